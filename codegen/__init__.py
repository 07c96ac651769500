"""Schedules to kernel text."""
