"""Rank folders of pictures."""
