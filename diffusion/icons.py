"""Read a folder of icons as one array, for training and for evaluation."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffusion.watermark import shown
from illustkit.errors import UserError, as_user_error
from illustkit.files import expand_user
from illustkit.images import list_images, read_picture
from illustkit.images.animation import count_frames
from illustkit.images.cache import PictureWriter, file_stamps, store_pictures
from illustkit.images.opening import picture_size
from illustkit.images.read import Picture
from illustkit.tables import read_json

CHANNELS = (1, 3, 4)
GRID, SETTINGS = "grid.png", "settings.json"


class Icons(NamedTuple):
    """Holds pictures of one size, and what became of each file.

    Args:
        pictures: uint8 `(n, height, width, channels)`, grey, RGB or RGBA.
        names: File names relative to the folder, or numbers for an array.
        resized: Names of the pictures that had another size.
        left_out: Pairs (name, reason) of the files that cannot be read.
        animated: Names of the files of which the first of several frames was read.
    """

    pictures: np.ndarray
    names: list[str]
    resized: list[str]
    left_out: list[list[str]]
    animated: list[str]

    @property
    def image_size(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        height, width = self.pictures.shape[1:3]
        return width, height

    def report(self) -> str:
        """Say in lines for a person what was read, resized and left out."""
        width, height = self.image_size
        lines = [
            f"{len(self.names)} pictures of {width}x{height}, {len(self.resized)} of "
            f"them resized, {len(self.left_out)} left out."
        ]
        lines += [
            f"First of its frames alone: {name} is animated." for name in self.animated
        ]
        lines += [f"Left out: {reason}" for _, reason in self.left_out]
        return "\n".join(lines)


def read_icons(
    source: str | os.PathLike | np.ndarray,
    image_size: Sequence[int] | None = None,
    *,
    channels: int = 3,
    cache: str | os.PathLike | None = None,
    progress: Callable[[int], object] | None = None,
) -> Icons:
    """Read a folder of pictures at one size.

    Each picture is scaled to cover the size and cropped around its centre. What is
    transparent is white: laid over white in grey and RGB, and white under an alpha of
    zero in RGBA, whatever colour a file keeps there. Of an animation the first frame
    is read. Files that cannot be read are left out with the reason. The grid that
    `sample_folder` lays beside its pictures is passed over.

    Example:
    ```python
    icons = read_icons("icons", (128, 128))
    print(icons.report())
    ```

    Args:
        source: Folder of pictures, searched recursively; or uint8
            `(n, height, width, channels)`.
        image_size: (width, height) in pixels. Defaults to the medians of the pictures'
            widths and heights, which no order of the files changes.
        channels: 1 for grey, 3 for RGB on white, 4 for RGBA. Defaults to 3.
        cache: Folder for the array of a folder's pictures, so that many thousand
            pictures take no memory and are read once. Defaults to memory alone.
        progress: Called with the number of files done. Defaults to none.

    Returns:
        `Icons`.

    Raises:
        ValueError: If the folder holds no picture that can be read, `channels` is
            invalid, or an array is not uint8 of so many channels.
    """
    if channels not in CHANNELS:
        raise UserError(f"`channels` is one of {CHANNELS}. Received: {channels}")
    items: Sequence[Path | np.ndarray]
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 4 or source.shape[-1] != channels:
            raise UserError(
                f"Pictures are uint8 (n, height, width, {channels}). "
                f"Received: {source.dtype} {source.shape}"
            )
        names, items = [str(i) for i in range(len(source))], list(source)
        where, key, cache = "The array", None, None
    else:
        folder = expand_user(source)
        items = icon_files(folder)
        names = [path.relative_to(folder).as_posix() for path in items]
        size = None if image_size is None else list(image_size)
        where = str(folder)
        # The number goes up when the same files become other pictures.
        key = [2, {"size": size, "channels": channels, "stamps": _stamps(items)}]

    def fill(writer: PictureWriter) -> None:
        left_out: list[list[str]] = []
        size = image_size or _median_size(items)
        for done, (name, item) in enumerate(zip(names, items, strict=True), 1):
            try:
                picture, animated = _read(item, channels)
            except Exception as error:
                if (problem := as_user_error(error, name)) is None:
                    raise
                left_out.append([name, str(problem)])
            else:
                fitted = fit_icon(picture, size).reshape(size[1], size[0], channels)
                resized = picture.shape[1::-1] != tuple(size)
                writer.add(fitted, name=name, resized=resized, animated=animated)
            if progress is not None:
                progress(done)
        if not len(writer):
            reason = left_out[0][1] if left_out else "It is empty."
            raise UserError(f"{where}: no picture here can be read. {reason}")
        writer.details["left_out"] = left_out

    # Version 0.1 kept the pictures in icons.npy.
    stored = store_pictures(cache, key, fill, name="icons", obsolete=("icons.npy",))
    return Icons(
        stored.array,
        [row["name"] for row in stored.rows],
        [row["name"] for row in stored.rows if row["resized"]],
        stored.details["left_out"],
        [row["name"] for row in stored.rows if row["animated"]],
    )


def icon_files(folder: str | os.PathLike) -> list[Path]:
    """List the pictures of a folder, without the grid that `sample_folder` made of it.

    Args:
        folder: The folder, searched recursively.

    Returns:
        List of `Path`, each beginning with `folder`.

    Raises:
        UserError: If there is no such folder, or no picture in it.
    """
    folder = expand_user(folder)
    paths = list_images(folder)
    if folder / GRID in paths and holds_samples(folder):
        paths.remove(folder / GRID)
    return paths


def holds_samples(folder: Path) -> bool:
    """Return whether `sample_folder` wrote the pictures of a folder, by its record."""
    try:
        settings = read_json(folder / SETTINGS)
    except UserError:
        return False
    return isinstance(settings, dict) and {"sampler", "model"} <= settings.keys()


def _stamps(paths):
    """Return what changes when a file does; a link that leads nowhere has no stamp."""
    return file_stamps([path for path in paths if path.exists()])


def _median_size(items):
    """Return the medians of the widths and of the heights, as sizes that occur."""
    sizes = []
    for item in items:
        if isinstance(item, np.ndarray):
            sizes.append(item.shape[1::-1])
        else:
            with contextlib.suppress(UserError):
                sizes.append(picture_size(item))
    # Without a size no picture can be read, which is said where they are.
    return tuple(map(statistics.median_low, zip(*sizes, strict=True))) or (1, 1)


def _read(item, channels):
    """Return a picture's samples, and whether its file has more frames."""
    if isinstance(item, np.ndarray):
        return item, False
    return as_channels(read_picture(item), channels), is_animated(item)


def is_animated(path: str | os.PathLike) -> bool:
    """Return whether a file has more frames than the one that is read.

    A photograph's second picture (MPO) is a preview, no frame.
    """
    n, name = count_frames(path)
    return n > 1 and name != "MPO"


def fit_icon(picture: np.ndarray, image_size: Sequence[int]) -> np.ndarray:
    """Scale a picture to cover a size, and crop it around its centre.

    Pillow's filters look at every pixel when they make a picture smaller; others skip
    some, which costs several points of FID.

    Args:
        picture: uint8 `(height, width)` or `(height, width, channels)`.
        image_size: (width, height) in pixels.

    Returns:
        uint8 of that size, white where RGBA is clear; the same array if it is so
        already.

    Reference:
        [On aliased resizing](https://arxiv.org/abs/2104.11222)
    """
    from PIL import Image

    width, height = image_size
    if picture.shape[:2] == (height, width):
        return _white_where_clear(picture)
    scale = max(height / picture.shape[0], width / picture.shape[1])
    image = Image.fromarray(picture)
    covering = [
        max(least, round(n * scale))
        for n, least in zip(image.size, (width, height), strict=True)
    ]
    # Only what stays is made: a line of pixels would cover gigabytes before the crop.
    ends = []
    for n, whole, kept in zip(image.size, covering, (width, height), strict=True):
        first = (whole - kept) // 2
        ends.append((first * n / whole, (first + kept) * n / whole))
    (left, right), (top, bottom) = ends
    box = left, top, right, bottom
    image = image.resize((width, height), Image.Resampling.LANCZOS, box)
    return _white_where_clear(np.asarray(image))


def _white_where_clear(picture):
    """Return a picture whose clear pixels are white; any other as it is.

    A file may keep any colour where alpha is zero, and Pillow makes it black when it
    resizes. Nobody sees either, but a network would learn them.
    """
    if picture.ndim == 2 or picture.shape[-1] != 4:
        return picture
    clear = picture[..., 3] == 0
    if (picture[clear, :3] == 255).all():
        return picture
    picture = picture.copy()
    picture[clear, :3] = 255
    return picture


def as_channels(picture: Picture, channels: int) -> np.ndarray:
    """Convert a picture to the channels that a model takes.

    Args:
        picture: What `illustkit.images.read_picture` returned.
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
    # A file may hold any colour under its transparent pixels.
    rgb = shown(rgba)
    if channels == 3:
        return rgb
    from PIL import Image

    return np.asarray(Image.fromarray(rgb).convert("L"))
