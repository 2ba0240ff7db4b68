"""A folder of odd picture files, such as folders of downloads hold."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# What `read_image` gives for them; every other name is an error.
READABLE_SIZES = {"one pixel": (1, 1), "one row": (40, 1)}

ERRORS = {
    "empty": "is empty",
    "text": "is not a picture",
    "html": "is not a picture",
    "cut png header": "damaged or cut short",
    "cut png": "damaged or cut short",
    "cut jpeg": "damaged or cut short",
    "cut gif": "damaged or cut short",
    "cut webp": "damaged or cut short",
    "cut bmp": "damaged or cut short",
    "cut tiff": "damaged or cut short",
    "noise in png": "damaged or cut short",
    "one wrong bit in png": "damaged or cut short",
    "bomb png": "too large",
    "bomb gif": "too large",
    "bomb tiff": "too large",
    "float out of scale": "floating-point values",
    "float nan": "floating-point values",
    "whole numbers of 32 bits": "colour mode is I",
    "colour mode lab": "colour mode is LAB",
    "folder": "is a folder",
    "missing": "no such file",
}


def make_odd_pictures(folder):
    """Make every odd file in `folder`; return `{name: path}`.

    Names in `ERRORS` cannot be read, all others can and show `scene()`.
    """
    rgb = scene()
    image = Image.fromarray(rgb)
    grey = image.convert("L")
    rgba = Image.fromarray(np.dstack([rgb, alpha_ramp()]))
    paths = {}

    def put(name, extension, data):
        path = paths[name] = folder / f"{name}{extension}"
        path.write_bytes(data)

    def save(name, extension, picture, format=None, **options):
        stream = io.BytesIO()
        formats = {".jpg": "JPEG", ".tif": "TIFF"}
        format = format or formats.get(extension, extension[1:].upper())
        picture.save(stream, format, **options)
        put(name, extension, stream.getvalue())
        return stream.getvalue()

    png = save("plain", ".png", image)
    jpeg = save("plain jpeg", ".jpg", image, quality=90, subsampling=1)
    save("png called jpg", ".jpg", image, format="PNG")
    save("grey", ".png", grey)
    save("grey and alpha", ".png", Image.merge("LA", [grey, rgba.getchannel("A")]))
    save("one bit", ".png", grey.convert("1"))
    save("palette", ".png", image.quantize(32))
    clear = image.quantize(31)
    save("palette, one clear", ".png", clear, transparency=3)
    save("palette, many clear", ".png", clear, transparency=bytes(range(0, 248, 8)))
    save("rgb, one clear", ".png", image, transparency=tuple(map(int, rgb[0, 0])))
    save("rgba", ".png", rgba)
    save("rgba webp", ".webp", rgba, lossless=True, exact=True)
    save("cmyk jpeg", ".jpg", image.convert("CMYK"), quality=90)
    save("cmyk tiff", ".tif", image.convert("CMYK"))
    save("lzw tiff", ".tif", image, compression="tiff_lzw")
    bmp = save("bmp", ".bmp", image)
    save("ppm", ".ppm", image)
    gif = save("gif", ".gif", image.quantize(64))
    frames = [image, image.rotate(90, expand=False), image.rotate(180)]
    for name, extension in ("animated gif", ".gif"), ("animated webp", ".webp"):
        save(name, extension, frames[0], save_all=True, append_images=frames[1:])
    save("animated png", ".png", frames[0], save_all=True, append_images=frames[1:])

    deep = deep_grey()
    save("grey of 16 bits", ".png", Image.fromarray(deep))
    save("grey tiff of 16 bits", ".tif", Image.fromarray(deep))
    put("rgb of 16 bits", ".png", deep_png(deep_colour()))
    unit = (np.asarray(grey) / 255).astype(np.float32)
    save("float 0 to 1", ".tif", Image.fromarray(unit))
    save("float 0 to 255", ".tif", Image.fromarray(np.asarray(grey, np.float32)))
    save("float out of scale", ".tif", Image.fromarray(unit * 3.7))
    save("float nan", ".tif", Image.fromarray(np.where(unit > 0.5, np.nan, unit)))
    whole = Image.fromarray(np.asarray(grey, np.int32) * 1000)
    save("whole numbers of 32 bits", ".tif", whole)
    save("colour mode lab", ".tif", Image.frombytes("LAB", image.size, rgb.tobytes()))

    for orientation in range(1, 10):  # 9 does not exist: as if there were none
        exif = Image.Exif()
        exif[0x0112] = orientation
        for extension in ".jpg", ".png", ".webp", ".tif":
            options = {"lossless": True} if extension == ".webp" else {}
            turned = Image.fromarray(stored(rgb, orientation))
            name = f"turned {orientation} {extension[1:]}"
            save(name, extension, turned, exif=exif, **options)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(stored(rgb, 6))
    save("turned deflate tiff", ".tif", turned, exif=exif, compression="tiff_deflate")
    save("damaged exif", ".jpg", image, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\x01")

    save("one pixel", ".png", Image.new("RGB", (1, 1), (9, 8, 7)))
    save("one row", ".jpg", Image.new("RGB", (40, 1), (9, 8, 7)))

    put("empty", ".png", b"")
    put("text", ".png", b"version https://git-lfs.github.com/spec/v1\n")
    put("html", ".jpg", b"<!DOCTYPE html><html><body>404</body></html>")
    put("cut png header", ".png", png[:20])
    put("cut png", ".png", png[: len(png) // 2])
    put("cut jpeg", ".jpg", jpeg[: len(jpeg) // 2])
    put("cut gif", ".gif", gif[: len(gif) // 2])
    webp = paths["rgba webp"].read_bytes()
    put("cut webp", ".webp", webp[: len(webp) // 2])
    put("cut bmp", ".bmp", bmp[: len(bmp) // 2])
    tiff = paths["lzw tiff"].read_bytes()
    put("cut tiff", ".tif", tiff[: len(tiff) // 2])
    middle = len(png) // 2
    put("noise in png", ".png", png[:middle] + bytes(40) + png[middle + 40 :])
    flat = save("one wrong bit in png", ".png", image, compress_level=0)
    put(
        "one wrong bit in png", ".png", flat[:500] + bytes([flat[500] ^ 1]) + flat[501:]
    )
    put("bomb png", ".png", _png_header_of(60_000, 60_000))
    put("bomb gif", ".gif", b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0))
    paths["bomb gif"].write_bytes(
        paths["bomb gif"].read_bytes()
        + b","
        + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0)
        + b"\x02\x02L\x01\0;"
    )
    put("bomb tiff", ".tif", _tiff_of(60_000, 60_000))
    paths["folder"] = folder / "folder.png"
    paths["folder"].mkdir()
    paths["missing"] = folder / "missing.png"
    return paths


def scene():
    """uint8 RGB (24, 40, 3): no symmetry, so that a wrong turn shows."""
    y, x = np.mgrid[:24, :40]
    rgb = np.stack([x * 6, y * 10, (x + y) * 4], axis=-1).astype(np.uint8)
    rgb[2:8, 3:12] = (240, 180, 40)
    rgb[14:20, 25:36] = (30, 60, 200)
    return rgb


def alpha_ramp():
    """uint8 (24, 40), from 0 to 255, with whole rows clear and opaque."""
    alpha = np.tile(np.linspace(0, 255, 24).astype(np.uint8)[:, None], (1, 40))
    alpha[:3], alpha[-3:] = 0, 255
    return alpha


def deep_grey():
    """uint16 (24, 40) whose low bytes count."""
    return (np.arange(24 * 40, dtype=np.uint16) * 67 + 5).reshape(24, 40)


def deep_colour():
    """uint16 (24, 40, 3) whose low bytes count."""
    grey = deep_grey()
    return np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1)


def stored(rgb, orientation):
    """Pixels as a camera stores them under an EXIF orientation (1-based, EXIF 2.3).

    Written out from the standard's table: where row 0 and column 0 of the stored
    picture lie in the seen one.
    """
    height, width = rgb.shape[:2]
    seen = {  # (stored row, stored column) -> (seen row, seen column)
        2: lambda r, c: (r, width - 1 - c),
        3: lambda r, c: (height - 1 - r, width - 1 - c),
        4: lambda r, c: (height - 1 - r, c),
        5: lambda r, c: (c, r),
        6: lambda r, c: (c, width - 1 - r),
        7: lambda r, c: (height - 1 - c, width - 1 - r),
        8: lambda r, c: (height - 1 - c, r),
    }.get(orientation, lambda r, c: (r, c))
    shape = (width, height) if orientation in (5, 6, 7, 8) else (height, width)
    rows = [[rgb[seen(r, c)] for c in range(shape[1])] for r in range(shape[0])]
    return np.array(rows, np.uint8)


def png_chunk(name, body):
    return (
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
    )


def deep_png(samples, *before_data):
    """A 16-bit PNG of grey+alpha, RGB or RGBA, written by hand."""
    height, width, channels = samples.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", head), *before_data]
        + [png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    )


def _png_header_of(width, height):
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    chunks = (b"IHDR", head), (b"IDAT", data), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def _tiff_of(width, height):
    tags = {
        256: width,
        257: height,
        258: 8,
        259: 1,
        262: 1,
        273: 8,
        277: 1,
        278: height,
    }
    tags[279] = 1
    entries = b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags.items())
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
