"""The leaf that `oppai`, `facescore` and `diffusion` stand on."""

from illustkit._lazy import lazy_exports

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "images": ["read_image", "write_image"],
        "runtime": ["choose_backend", "describe_devices", "get_strategy"],
        "samples": ["draw_character", "draw_face_icon"],
    },
)
