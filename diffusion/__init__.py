"""Learns one illustrator's face icons, and measures how new its pictures are."""

from illustkit._lazy import attach_stub
from illustkit._moved import moved_modules

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

# `.keras` files of version 0.1 record these modules.
moved_modules(
    __name__,
    {
        "attention": "network.attention",
        "inception": "evaluation.inception",
        "layers": "network.layers",
        "norms": "network.layers",
        "optimizers": "illustkit.training.optimizers",
        "unet": "network.unet",
    },
)
