"""Find faces."""

import lazy_loader

# Least confidence of a face, where none is given: see benchmarks/train_detector.py.
CONFIDENCE = 0.4

# `.keras` files of version 0.1 record `facescore.detector` as the network's module.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"network": ["DetectorNetwork"]}
)
