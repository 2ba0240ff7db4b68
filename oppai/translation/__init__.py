"""Translate pictures into pictures: clean lines, colours, parts, and any pairs."""
