"""Measured comparisons with other systems, with hand-written C and with the floors of the machine."""
