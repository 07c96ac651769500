"""Find a schedule: search space, resource model, measurement, database."""
