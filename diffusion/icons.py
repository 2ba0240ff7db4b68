"""Read a folder of icons as one array, for training and for evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffusion.watermark import shown
from illustkit.errors import UserError
from illustkit.images import ImageError, list_images, read_picture
from illustkit.images.cache import PictureWriter, file_stamps, store_pictures
from illustkit.images.read import Picture

CHANNELS = (1, 3, 4)


class Icons(NamedTuple):
    """Holds pictures of one size, and what became of each file.

    Args:
        pictures: uint8 `(n, height, width, channels)`, grey, RGB or RGBA.
        names: File names relative to the folder, or numbers for an array.
        resized: Names of the pictures that had another size.
        left_out: Pairs (name, reason) of the files that cannot be read.
    """

    pictures: np.ndarray
    names: list[str]
    resized: list[str]
    left_out: list[list[str]]

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

    Each picture is scaled to cover the size and cropped around its centre. Files that
    cannot be read are left out with the reason. The grid that `sample_folder` lays
    beside its pictures is passed over.

    Example:
    ```python
    icons = read_icons("icons", (128, 128))
    print(icons.report())
    ```

    Args:
        source: Folder of pictures, searched recursively; or uint8
            `(n, height, width, channels)`.
        image_size: (width, height) in pixels. Defaults to the size of the first
            picture.
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
        folder = Path(source)
        items = _pictures_of(folder)
        names = [path.relative_to(folder).as_posix() for path in items]
        size = None if image_size is None else list(image_size)
        where = str(folder)
        key = {"size": size, "channels": channels, "stamps": file_stamps(items)}

    def fill(writer: PictureWriter) -> None:
        size, left_out = image_size, []
        for done, (name, item) in enumerate(zip(names, items, strict=True), 1):
            try:
                if isinstance(item, np.ndarray):
                    picture = item
                else:
                    picture = as_channels(read_picture(item), channels)
            except ImageError as error:
                left_out.append([name, str(error)])
            else:
                size = size or picture.shape[1::-1]
                fitted = fit_icon(picture, size)
                samples = fitted.reshape(size[1], size[0], channels)
                writer.add(samples, name=name, resized=fitted is not picture)
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
    )


def _pictures_of(folder: Path) -> list[Path]:
    paths = list_images(folder)
    if len(paths) > 1 and (folder / "settings.json").exists():
        return [path for path in paths if path != folder / "grid.png"]
    return paths


def fit_icon(picture: np.ndarray, image_size: Sequence[int]) -> np.ndarray:
    """Scale a picture to cover a size, and crop it around its centre.

    Pillow's filters look at every pixel when they make a picture smaller; others skip
    some, which costs several points of FID.

    Args:
        picture: uint8 `(height, width)` or `(height, width, channels)`.
        image_size: (width, height) in pixels.

    Returns:
        uint8 of that size; the same array if it has the size already.

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
    covering = max(size[0], width), max(size[1], height)
    image = image.resize(covering, Image.Resampling.LANCZOS)
    left, top = (covering[0] - width) // 2, (covering[1] - height) // 2
    return np.asarray(image.crop((left, top, left + width, top + height)))


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
