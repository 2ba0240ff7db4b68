"""Samplers, and what is made with them."""
