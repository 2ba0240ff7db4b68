"""Finds faces in illustrations, learns one person's taste, ranks folders."""

from illustkit._lazy import attach_stub
from illustkit._moved import moved_modules

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

# `.keras` files of version 0.1 record these modules, and `facescore.detector` and
# `facescore.scorer`, which find their classes themselves.
moved_modules(
    __name__,
    {
        "alexnet": "scorer.networks",
        "animecnn": "scorer.networks",
        "detector_losses": "detector.losses",
        "optimizers": "illustkit.training.optimizers",
        "ordinal": "scorer.model",
        "smallnet": "scorer.networks",
    },
)
