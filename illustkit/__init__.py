"""Pictures, training runs, devices and files, for `oppai`, `facescore`, `diffusion`."""

from illustkit._lazy import attach_stub
from illustkit._moved import moved_modules

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

# `.keras` files of version 0.1 record these modules.
moved_modules(
    __name__,
    {
        "clipping": "training.optimizers",
        "dropout": "training.dropout",
        "trainable": "training.trainable",
    },
)
