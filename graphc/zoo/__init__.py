"""Models of the literature, each a few lines of sympy."""
