"""Metadata, patches and batches to train on."""
