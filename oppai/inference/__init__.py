"""Restore pictures of any size, files and folders."""
