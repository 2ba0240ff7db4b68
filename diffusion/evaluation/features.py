"""From pictures, or a folder of them, to features for FID and KID."""

import os
from typing import NamedTuple

import numpy as np

from illustkit.images import list_images, read_image

GRID = 16  # side of the pictures that "pixels" compares


class Extractor(NamedTuple):
    """A name to tell with every figure, and a function uint8 pictures → features."""

    name: str
    function: object


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
