"""Train a diffusion model."""
