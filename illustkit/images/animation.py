"""Animations: all frames in, with their timing, and out again in the same format."""

import io
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from illustkit.images.colours import as_stored, upright
from illustkit.images.formats import (
    FORMATS,
    HOLDS_EXIF,
    HOLDS_ICC,
    MAX_PIXELS,
    ImageError,
    check_path,
    format_of,
    reason_of,
)
from illustkit.images.opening import open_picture, without_warnings
from illustkit.images.read import encoding_of
from illustkit.images.write import (
    at_quality,
    nearest_entries,
    save_bytes,
    write_bytes,
)

_log = logging.getLogger(__name__)

# The formats whose frames are read and written, and a file name's usual ending.
ANIMATED = {"GIF": ".gif", "PNG": ".png", "WEBP": ".webp"}


@dataclass(frozen=True, eq=False)
class Animation:
    """Holds the frames of an animation, each as large as the whole picture.

    Args:
        path: The file it came from.
        frames: Sequence of uint8 `(height, width, 4)`, RGB and alpha, upright. What is
            read from a file is decoded when it is asked for, and forgotten with the
            next frame, so that a long animation takes no more memory than a short one.
        durations: Milliseconds that each frame is shown.
        format: "GIF", "PNG" or "WEBP".
        loop: How often it is played, 0 = for ever, or `None` where the file does not
            say.
        default_image: Whether the first frame is a PNG's still picture, which is not
            part of the animation.
        orientation: EXIF orientation, 1 to 8; 1 = stored upright.
        options: Further options to save it by: EXIF, colour profile, WebP's
            "lossless".
    """

    path: str | os.PathLike
    frames: Sequence[np.ndarray]
    durations: list[float]
    format: str
    loop: int | None
    default_image: bool
    orientation: int
    options: dict[str, Any]


def count_frames(path: str | os.PathLike) -> tuple[int, str]:
    """Count the frames or pages of a picture file.

    Example:
    ```python
    count_frames("a.gif")     # (3, "GIF")
    ```

    Args:
        path: The file.

    Returns:
        The number, and the format's name as in `ANIMATED`; `(1, "")` for a file that
        is no readable picture.
    """
    try:
        with open(check_path(path), "rb") as file, without_warnings():
            image = Image.open(file, formats=FORMATS)
            return getattr(image, "n_frames", 1), image.format or ""
    except Exception:  # `read_picture` says what is wrong with it
        return 1, ""


def read_animation(
    path: str | os.PathLike, *, max_pixels: int = MAX_PIXELS
) -> Animation:
    """Read all frames of an animated GIF, PNG or WebP.

    Example:
    ```python
    animation = read_animation("a.gif")
    animation.frames[0].shape     # (240, 320, 4)
    ```

    Args:
        path: The file.
        max_pixels: Most pixels of all frames together. Defaults to 200 million.

    Returns:
        An `Animation`.

    Raises:
        ImageError: If the file is damaged, too large or no animation of these formats.
    """
    first, data, orientation, exif = open_picture(path, max_pixels)
    durations: list[float] = []
    try:
        with without_warnings(), Image.open(io.BytesIO(data), formats=FORMATS) as file:
            count = getattr(file, "n_frames", 1)
            if file.format not in ANIMATED or count == 1:
                raise ImageError(
                    f"{path}: is no animation of the formats {', '.join(ANIMATED)}."
                )
            if count * file.width * file.height > max_pixels:
                raise ImageError(
                    f"{path}: too large ({count} frames of {file.width} x "
                    f"{file.height}; the limit is {max_pixels / 1e6:g} megapixels). "
                    "Make it smaller or shorter."
                )
            loop = file.info.get("loop")
            default_image = bool(getattr(file, "default_image", False))
            for number in range(count):
                file.seek(number)
                file.load()  # decoded here once, so that a damaged one is named
                durations.append(file.info.get("duration", 0))
    except ImageError:
        raise
    except Exception as error:  # whatever Pillow meets in a damaged frame
        raise ImageError(
            f"{path}: frame {len(durations) + 1} is damaged or cut short "
            f"({reason_of(error)}). Fetch or export it again."
        ) from error
    options = {"exif": exif, "icc_profile": first.info.get("icc_profile")}
    options["lossless"] = encoding_of(first, data).get("lossless")
    return Animation(
        path=path,
        frames=_Frames(data, count, orientation),
        durations=durations,
        format=first.format,
        loop=loop,
        default_image=default_image,
        orientation=orientation,
        options=options,
    )


class _Frames(Sequence[np.ndarray]):
    """The frames of a file, each decoded when it is asked for; the last is kept."""

    def __init__(self, data: bytes, n: int, orientation: int) -> None:
        self.data, self.n, self.orientation = data, n, orientation
        self.number, self.file, self.frame = -1, None, None

    def __len__(self):
        return self.n

    def __getitem__(self, number):
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(self.n))]
        if number < 0:
            number += self.n
        if not 0 <= number < self.n:
            raise IndexError(number)
        if number != self.number:
            with without_warnings():
                if number < self.number:
                    self.file = None  # Pillow does not find back in every PNG
                if self.file is None:
                    self.file = Image.open(io.BytesIO(self.data), formats=FORMATS)
                self.file.seek(number)
                pixels = np.asarray(self.file.convert("RGBA"))
            self.number, self.frame = number, upright(pixels, self.orientation)
        return self.frame


class _Images:
    """The frames to save, each made when Pillow asks for it; it asks more than once."""

    def __init__(self, frames: Sequence[np.ndarray], make: Any) -> None:
        self.frames, self.make = frames, make

    def __iter__(self):
        return (self.make(i) for i in range(1, len(self.frames)))


def check_frames(path: str | os.PathLike, n: int, source: str | os.PathLike) -> None:
    """Refuse to write an animation as a format that holds one frame.

    Args:
        path: The file to write.
        n: Number of frames.
        source: The file they came from, for the error.

    Raises:
        ImageError: If frames would be lost.
    """
    if (name := format_of(path)) not in ANIMATED:
        raise ImageError(
            f"{path}: {name} holds one frame, and {source} has {n}. Write a "
            f"{' or '.join(ANIMATED.values())}."
        )


def write_animation(
    path: str | os.PathLike,
    frames: Sequence[np.ndarray],
    *,
    like: Animation,
    quality: int | None = None,
) -> Path:
    """Write frames with the timing, loop, EXIF and profile of an animation.

    PNG and lossless WebP keep every pixel. A GIF keeps the colours of unchanged pixels;
    changed ones take what is free of a frame's 256 colours, or the nearest of them.

    Example:
    ```python
    animation = read_animation("a.gif")
    write_animation("backwards.gif", animation.frames[::-1], like=animation)
    ```

    Args:
        path: The file to write: .gif, .png or .webp.
        frames: uint8 `(height, width, 4)` each, upright.
        like: The `Animation` from `read_animation`.
        quality: 1 to 100, of a WebP; the other formats have none. Defaults to `None`:
            lossless, unless `like` is a lossy WebP.

    Returns:
        The path written.

    Raises:
        ImageError: If the format holds one frame, or the file cannot be written.
    """
    path, name = check_path(path), format_of(path)
    check_frames(path, len(frames), like.path)
    loop = like.loop
    if name == "GIF" != like.format:  # without a number it is played once
        loop = None if loop == 1 else loop
    elif like.format == "GIF" != name:
        loop = 1 if loop is None else loop
    options: dict[str, Any] = {"duration": list(like.durations), "loop": loop}
    turns = name in HOLDS_EXIF
    if turns:
        options["exif"] = like.options["exif"]
    if name in HOLDS_ICC:
        options["icc_profile"] = like.options["icc_profile"]
    opaque = all((frame[..., 3] == 255).all() for frame in frames)
    before = like.frames if len(like.frames) == len(frames) else frames
    channels = 3 if opaque else 4

    def make(number):
        frame = frames[number]
        if name == "GIF":
            return _palette_image(path, frame, before[number])
        if turns:
            frame = as_stored(frame, like.orientation)
        return Image.fromarray(np.ascontiguousarray(frame[..., :channels]))

    if name == "GIF":
        # A transparent pixel would show the frame before.
        options["disposal"] = 1 if opaque else 2
    elif name == "PNG":
        options["default_image"] = like.default_image
    elif like.format == "WEBP":
        options["lossless"] = like.options["lossless"]
    if name == "WEBP" and quality is not None:
        options |= at_quality(name, quality)
    data = save_bytes(
        path,
        make(0),
        name,
        save_all=True,
        append_images=_Images(frames, make),
        **options,
    )
    return write_bytes(path, data)


def _palette_image(path, frame, before):
    """Return a frame in 256 colours; unchanged pixels keep theirs while they fit."""
    clear = frame[..., 3] < 128
    colours = np.where(clear[..., None], 0, frame)
    colours[..., 3] = 255
    packed = colours.view(np.uint32)[..., 0]
    room = 255 if clear.any() else 256
    changed = ~clear & (frame != before).any(axis=-1)
    kept = np.unique(packed[~changed & ~clear])
    if len(kept) > room:
        _log.warning(
            "%s: a frame shows %d colours, and a GIF holds %d: it takes the nearest.",
            path,
            len(kept),
            room,
        )
        entries = _quantised(colours[~clear], room)
    else:
        new = np.setdiff1d(packed[changed], kept)
        if len(kept) + len(new) > room:
            new = _quantised(colours[changed], room - len(kept))
        entries = np.concatenate([kept, new])
    values, inverse = np.unique(packed, return_inverse=True)
    as_rgba = entries.astype(np.uint32).view(np.uint8).reshape(-1, 4)
    index = nearest_entries(values.view(np.uint8).reshape(-1, 4), as_rgba)
    samples = index[inverse].reshape(packed.shape)
    palette = as_rgba[:, :3].tobytes()
    if clear.any():
        samples[clear] = len(entries)
        palette += b"\0\0\0"
    image = Image.fromarray(samples)
    image.putpalette(palette, "RGB")
    if clear.any():
        image.info["transparency"] = len(entries)
    return image


def _quantised(colours, n):
    """Return at most `n` packed colours that stand for many."""
    if n == 0:
        return np.empty(0, np.uint32)
    row = Image.fromarray(np.ascontiguousarray(colours[None, :, :3]))
    small = row.quantize(n, Image.Quantize.MEDIANCUT)
    palette = np.frombuffer(bytes(small.getpalette("RGB")), np.uint8).reshape(-1, 3)
    used = np.unique(np.asarray(small))
    return np.unique(
        np.pad(palette[used], ((0, 0), (0, 1)), constant_values=255).view(np.uint32)[
            :, 0
        ]
    )
