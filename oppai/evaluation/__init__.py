"""Measure restorers beside filters."""
