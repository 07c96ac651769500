"""Other systems doing the same work, each in a worker process of its own environment."""
