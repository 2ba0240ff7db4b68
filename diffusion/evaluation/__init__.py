"""Measure how new and how good icons are."""
