"""Passes: each takes a Program and returns a Program."""

from .base import Observer, Pass, Request, run_passes
from .pipeline import pipeline
from .schedule import schedule
from .strategy import check_options

__all__ = ["Observer", "Pass", "Request", "check_options", "pipeline", "run_passes", "schedule"]
