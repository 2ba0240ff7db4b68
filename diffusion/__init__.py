"""Learns one illustrator's face icons, and measures how new its pictures are."""
