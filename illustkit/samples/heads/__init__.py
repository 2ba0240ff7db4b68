"""Heads: faces, eyes, hair, what is worn on them and how they are held."""
