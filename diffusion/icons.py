"""A folder of icons as one array, and the batches a diffusion model learns from."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffusion.watermark import shown
from illustkit.images import ImageError, list_images, read_picture

MANIFEST, PICTURES = "icons.json", "icons.npy"
CHANNELS = (1, 3, 4)


class Icons(NamedTuple):
    """Pictures of one size, and what became of each file.

    Args:
        pictures: uint8 `(n, height, width, channels)`, grey, RGB or RGBA.
        names: Their file names, relative to the folder.
        resized: Names of those that had another size.
        left_out: Pairs (name, reason) of files that could not be read.
    """

    pictures: np.ndarray
    names: list
    resized: list
    left_out: list

    def report(self):
        """What was read, resized and left out, in lines for a person."""
        height, width = self.pictures.shape[1:3]
        lines = [
            f"{len(self.names)} pictures of {width}x{height}, {len(self.resized)} of "
            f"them resized, {len(self.left_out)} left out."
        ]
        lines += [f"Left out: {reason}" for _, reason in self.left_out]
        return "\n".join(lines)


def fit_icon(picture, image_size):
    """Scale a picture so that it covers a size, and cut what stands over.

    Pillow's filters look at every pixel when they make a picture smaller; others skip
    some, which costs several points of FID.

    Args:
        picture: uint8 `(height, width)` or `(height, width, channels)`.
        image_size: (width, height) in pixels.

    Returns:
        uint8 of that size; the same array where it has the size already.

    Reference:
        [On aliased resizing](https://arxiv.org/abs/2104.11222)
    """
    from PIL import Image

    width, height = image_size
    if picture.shape[:2] == (height, width):
        return picture
    scale = max(height / picture.shape[0], width / picture.shape[1])
    image = Image.fromarray(picture)
    size = [max(1, round(n * scale)) for n in image.size]
    size = max(size[0], width), max(size[1], height)
    image = image.resize(size, Image.Resampling.LANCZOS)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.asarray(image.crop((left, top, left + width, top + height)))


def read_icons(folder, image_size, *, channels=3, cache=None, progress=None):
    """Read a folder of pictures at one size.

    Files that cannot be read are left out with the reason; the others are scaled to
    cover the size, and cut to it about the middle.

    Example:
    ```python
    icons = read_icons("icons", (128, 128))
    print(icons.report())
    ```

    Args:
        folder: Folder of pictures; its folders are looked through as well.
        image_size: (width, height) in pixels.
        channels: 1 for grey, 3 for RGB on white, 4 for RGBA. Defaults to 3.
        cache: Folder to keep the array in, so that many thousand pictures need no
            memory and are read once. Defaults to memory alone.
        progress: Called with the number of files done. Defaults to none.

    Returns:
        `Icons`.

    Raises:
        ValueError: where the folder holds no picture that can be read.
    """
    if channels not in CHANNELS:
        raise ValueError(f"`channels` is one of {CHANNELS}. Received: {channels}")
    folder = Path(folder)
    paths = list_images(folder)
    stamps = [
        [str(p), s.st_mtime_ns, s.st_size] for p, s in ((p, os.stat(p)) for p in paths)
    ]
    wanted = {"size": list(image_size), "channels": channels, "stamps": stamps}
    if cache is not None and (kept := _kept(Path(cache), wanted)):
        return kept
    width, height = image_size
    pictures = _room((len(paths), height, width, channels), cache)
    names, resized, left_out = [], [], []
    for n, path in enumerate(paths, 1):
        name = path.relative_to(folder).as_posix()
        try:
            picture = as_channels(read_picture(path), channels)
        except ImageError as error:
            left_out.append([name, str(error)])
        else:
            fitted = fit_icon(picture, image_size)
            if fitted is not picture:
                resized.append(name)
            pictures[len(names)] = fitted.reshape(height, width, channels)
            names.append(name)
        if progress is not None:
            progress(n)
    if not names:
        raise ValueError(f"{folder}: no picture here can be read. {left_out[0][1]}")
    icons = Icons(pictures[: len(names)], names, resized, left_out)
    return icons if cache is None else _keep(Path(cache), wanted, icons)


def as_channels(picture, channels):
    """The samples of a picture as a model of so many channels takes them.

    Args:
        picture: What `illustkit.images.read_picture` gave.
        channels: 1 for grey, 3 for RGB, both on white; 4 for RGBA.

    Returns:
        uint8 `(height, width)`, `(height, width, 3)` or `(height, width, 4)`.
    """
    alpha = picture.alpha
    if alpha is None:
        alpha = np.full(picture.rgb.shape[:2], 255, np.uint8)
    rgba = np.dstack([picture.rgb, alpha])
    if channels == 4:
        return rgba
    # The colours of a file go on where it is transparent: any of them may be there.
    rgb = shown(rgba)
    if channels == 3:
        return rgb
    from PIL import Image

    return np.asarray(Image.fromarray(rgb).convert("L"))


def _room(shape, cache):
    if cache is None:
        return np.empty(shape, np.uint8)
    cache = Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / (PICTURES + ".part")
    path.unlink(missing_ok=True)
    return np.lib.format.open_memmap(path, "w+", np.uint8, shape)


def _keep(cache, wanted, icons):
    (cache / MANIFEST).unlink(missing_ok=True)
    icons.pictures.flush()
    # A training that still reads the file of before keeps it.
    os.replace(cache / (PICTURES + ".part"), cache / PICTURES)
    told = {**wanted, **icons._asdict()}
    del told["pictures"]
    part = cache / (MANIFEST + ".part")
    part.write_text(json.dumps(told), encoding="utf-8")
    os.replace(part, cache / MANIFEST)
    return _kept(cache, wanted)


def _kept(cache, wanted):
    try:
        told = json.loads((cache / MANIFEST).read_text("utf-8"))
        if any(told.pop(key) != value for key, value in wanted.items()):
            return None
        pictures = np.load(cache / PICTURES, mmap_mode="r")[: len(told["names"])]
        return Icons(pictures, **told)
    except (OSError, ValueError, KeyError, TypeError):
        return None
