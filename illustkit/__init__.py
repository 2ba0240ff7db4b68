"""The leaf that `oppai`, `facescore` and `diffusion` stand on."""

from illustkit._lazy import lazy_exports

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "devices": ["choose_backend", "describe_devices"],
        "images": ["read_image", "write_image"],
        "samples": ["draw_character", "draw_face_icon"],
        "strategy": ["get_strategy"],
    },
)
