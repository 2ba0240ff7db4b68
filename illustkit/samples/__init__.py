"""The procedural illustrator."""

from illustkit._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "illustrator": [
            "Character",
            "FaceIcon",
            "draw_background",
            "draw_character",
            "draw_face_icon",
            "draw_head",
        ]
    },
)
