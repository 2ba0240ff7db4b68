"""Restores mosaicked or whited-out regions of all-ages illustrations."""

from illustkit._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "censor": ["add_light", "add_mosaic", "irregular_mask"],
        "dataset": ["load_metadata"],
        "evaluation": ["evaluate"],
        "layers": ["PConv2D"],
        "patches": ["expand_box"],
        "plots": ["plot_results"],
        "restorer": ["load_restorer"],
        "restoring": ["restore"],
        "training": ["train"],
        "unet": ["PConvUNet"],
    },
)
