"""Learn one person's taste from face crops."""

import lazy_loader

# `.keras` files of version 0.1 record `facescore.scorer` as the model's module.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"model": ["Scorer"]}
)
