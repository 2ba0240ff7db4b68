"""Draw scenes and a taste to learn from."""
