"""Find faces."""
