"""The intermediate representation: typed graphs of one time step."""
