"""Clothes: what a character wears, its cuts, colours and patterns."""
