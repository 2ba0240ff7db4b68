"""Find faces."""

import lazy_loader

# `.keras` files of version 0.1 record `facescore.detector` as the network's module.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"network": ["DetectorNetwork"]}
)
