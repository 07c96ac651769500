"""Functions for expressions, beside sympy's elementary ones."""

from graphc.ir.functions import clip, exprel, relu, sigmoid, softplus, where

__all__ = ["clip", "exprel", "relu", "sigmoid", "softplus", "where"]
