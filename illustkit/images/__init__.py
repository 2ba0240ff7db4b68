"""Read, write and convert pictures."""

from illustkit._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "formats": ["EXTENSIONS", "FORMATS", "MAX_PIXELS", "ImageError", "check_image"],
        "read": ["Picture", "list_images", "read_image", "read_picture"],
        "scales": [
            "signed_to_caffe",
            "signed_to_uint8",
            "signed_to_unit",
            "uint8_to_signed",
            "uint8_to_unit",
            "unit_to_signed",
            "unit_to_uint8",
        ],
        "write": ["write_image", "write_picture"],
    },
)
