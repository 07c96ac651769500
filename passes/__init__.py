"""Passes: each takes a Program and returns a Program."""

from .base import Observer, Pass, Request, Rule, run_passes
from .options import check_options, unknown_to
from .pipeline import pipeline
from .schedule import check_precision, schedule
from .storage import keep_exact

__all__ = [
    "Observer",
    "Pass",
    "Request",
    "Rule",
    "check_options",
    "check_precision",
    "keep_exact",
    "pipeline",
    "run_passes",
    "schedule",
    "unknown_to",
]
