"""Compiled programs as torch modules."""
