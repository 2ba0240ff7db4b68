"""The denoising network and its checkpoints."""
