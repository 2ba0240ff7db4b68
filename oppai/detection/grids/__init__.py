"""Grids of mosaics: where their blocks lie, and what form the blocks fill."""
