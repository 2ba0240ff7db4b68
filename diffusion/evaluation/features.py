"""From pictures, or a folder of them, to features for FID and KID."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from illustkit.images import ImageError, list_images, read_image

GRID = 16  # side of the pictures that "pixels" compares


class Extractor(NamedTuple):
    """A name to tell with every figure, and a function uint8 pictures → features."""

    name: str
    function: object


class PictureSet(NamedTuple):
    """Pictures of one size, and what became of each file.

    Args:
        pictures: uint8 RGB `(n, height, width, 3)`.
        names: Names of the files, or numbers.
        resized: How many had another size.
        left_out: Reasons, one for every file that could not be read.
    """

    pictures: np.ndarray
    names: list
    resized: int
    left_out: list


def load_extractor(features="inception"):
    """What takes features from pictures.

    Nothing stands in for InceptionV3 where its weights cannot be had; other features
    have to be asked for, and their name is told with the figures.

    Example:
    ```python
    extractor = load_extractor("pixels")
    extractor.name                        # "pixels"
    extractor.function(pictures).shape    # (n, 768)
    ```

    Args:
        features: "inception", or the path of a file of its weights; "pixels", the
            colours of the picture averaged to 16×16, unit scale; or a function of
            uint8 `(n, height, width, 3)` to `(n, dimensions)`. Defaults to
            "inception".

    Returns:
        `Extractor`.

    Raises:
        WeightsError: where InceptionV3's weights cannot be had.
    """
    if isinstance(features, Extractor):
        return features
    if callable(features):
        return Extractor(getattr(features, "__name__", "features"), features)
    if features == "pixels":
        return Extractor("pixels", _pixels)
    from diffusion.evaluation.inception import load_inception

    return Extractor("inception", load_inception(features).features)


def extract_features(pictures, features="inception", *, batch_size=32, progress=True):
    """Features of pictures.

    Example:
    ```python
    a = extract_features("new", "pixels")
    b = extract_features("icons", "pixels")
    kid(a, b)
    ```

    Args:
        pictures: A folder, a list of paths, or uint8 `(n, height, width, 3)`. Files
            are taken at their own sizes.
        features: As in `load_extractor`. Defaults to "inception".
        batch_size: Pictures at once. Defaults to 32.
        progress: Whether to show a bar. Defaults to `True`.

    Returns:
        float32 `(n, dimensions)`.

    Raises:
        ValueError: as `load_extractor`; or for a picture that cannot be read.
    """
    from tqdm import tqdm

    extractor = load_extractor(features)
    if isinstance(pictures, (str, os.PathLike)):
        pictures = list_images(pictures)
    found = []
    with tqdm(
        total=len(pictures),
        desc=f"features ({extractor.name})",
        unit="picture",
        disable=not progress,
    ) as bar:
        for batch in _batches(pictures, batch_size):
            found.append(np.asarray(extractor.function(batch), np.float32))
            bar.update(len(batch))
    if not found:
        raise ValueError("There is no picture to take features from. Received: none")
    return np.concatenate(found)


def read_set(source, image_size=None):
    """Pictures of a folder at one size, as they are compared.

    Those of another size are scaled to cover it and cut to it, as for a training.

    Args:
        source: A folder, or uint8 `(n, height, width, 3)`, which is taken as it is if
            it has the size. A grid that `sample_folder` laid beside its pictures is
            passed over.
        image_size: (width, height). Defaults to the size of the first picture.

    Returns:
        `PictureSet`.

    Raises:
        ValueError: where the folder holds no picture that can be read.
    """
    from diffusion.icons import fit_icon

    if isinstance(source, np.ndarray):
        files = [str(i) for i in range(len(source))]
        if source.dtype != np.uint8 or source.ndim != 4 or source.shape[-1] != 3:
            raise ValueError(
                "Pictures are uint8 (n, height, width, 3). "
                f"Received: {source.dtype} {source.shape}"
            )
    else:
        folder = Path(source)
        source = list_images(folder)
        if len(source) > 1 and (folder / "settings.json").exists():
            source = [path for path in source if path.name != "grid.png"]
        files = [path.relative_to(folder).as_posix() for path in source]
    pictures, names, resized, left_out = [], [], 0, []
    for name, item in zip(files, source, strict=True):
        try:
            picture = read_image(item)
        except ImageError as error:
            left_out.append(str(error))
            continue
        image_size = image_size or picture.shape[1::-1]
        resized += picture.shape[1::-1] != tuple(image_size)
        pictures.append(fit_icon(picture, image_size))
        names.append(name)
    if not pictures:
        reason = left_out[0] if left_out else "it is empty."
        raise ValueError(f"No picture can be read: {reason}")
    return PictureSet(np.stack(pictures), names, int(resized), left_out)


def _batches(pictures, batch_size):
    """Batches of pictures of one size, in order."""
    batch = []
    for item in pictures:
        picture = read_image(item)
        if batch and (len(batch) == batch_size or picture.shape != batch[0].shape):
            yield np.stack(batch)
            batch = []
        batch.append(picture)
    if batch:
        yield np.stack(batch)


def _pixels(pictures):
    from PIL import Image

    small = [
        Image.fromarray(p).resize((GRID, GRID), Image.Resampling.BOX) for p in pictures
    ]
    return np.stack([np.asarray(p, np.float32).ravel() for p in small]) / 255
