"""Restores mosaicked or whited-out regions of all-ages illustrations."""

from illustkit._lazy import attach_stub
from illustkit._moved import moved_modules

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

# `.keras` files of version 0.1 record these modules.
moved_modules(
    __name__,
    {
        "features": "models.vgg",
        "mosaic_optimizer": "illustkit.training.optimizers",
        "mosaic_restorer": "models.restorers",
        "mosaic_unet": "models.mosaic_unet",
        "restorer": "models.restorers",
        "transposed": "layers",
        "unet": "models.pconv_unet",
    },
)
