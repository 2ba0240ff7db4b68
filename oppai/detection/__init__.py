"""Find what is censored in a picture."""
