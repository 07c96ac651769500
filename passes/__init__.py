"""Passes: each takes a Program and returns a Program."""

from .base import Observer, Pass, Request, run_passes
from .pipeline import pipeline
from .schedule import schedule

__all__ = ["Observer", "Pass", "Request", "pipeline", "run_passes", "schedule"]
