"""Extract the features of pictures, or of a folder of them, for FID and KID."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from diffusion.icons import icon_files
from illustkit.errors import UserError
from illustkit.images import ImageError, read_image
from illustkit.options import check_choice
from illustkit.training.fingerprint import fingerprint_file

GRID = 16  # side to which "pixels" averages a picture


class Extractor(NamedTuple):
    """Holds a function from pictures to features, and the name to quote it by.

    Args:
        name: Name that figures quote.
        function: From uint8 `(n, height, width, 3)` to `(n, dimensions)`.
        key: What tells these features from all others, for statistics that are stored;
            `None` if nothing does.
        resizing: How pictures become InceptionV3's; `None` for other features.
        opened_by: `features` and `resizing` of `load_extractor`, by which another
            process opens the same; `None` for a function.
    """

    name: str
    function: Callable[[np.ndarray], np.ndarray]
    key: str | None = None
    resizing: str | None = None
    opened_by: tuple[Any, str] | None = None


def load_extractor(
    features: Any = "inception", *, resizing: str = "pytorch-fid"
) -> Extractor:
    """Return the extractor of the features asked for.

    Without its weights InceptionV3 is never replaced silently: ask for other features
    by name, and the figures quote it.

    Example:
    ```python
    extractor = load_extractor("pixels")
    extractor.name                        # "pixels"
    extractor.function(pictures).shape    # (n, 768)
    ```

    Args:
        features: "inception", or the path of a file of its weights; "pixels", the
            colours of the picture averaged to 16×16, unit scale; or a function from
            uint8 `(n, height, width, 3)` to `(n, dimensions)`. Defaults to
            "inception".
        resizing: How pictures become InceptionV3's 299×299: "pytorch-fid",
            "clean-fid" or "torch-fidelity", by the tool whose figures it makes; see
            `diffusion.evaluation.inception.to_network`. Defaults to "pytorch-fid".

    Returns:
        `Extractor`.

    Raises:
        WeightsError: If InceptionV3's weights are not available.
        UserError: If there is no such resizing.
    """
    if isinstance(features, Extractor):
        return features
    if callable(features):
        return Extractor(getattr(features, "__name__", "features"), features)
    if features == "pixels":
        return Extractor("pixels", _pixels, "pixels", opened_by=(features, resizing))
    from diffusion.evaluation.inception import RESIZINGS, load_inception

    check_choice("resizing", resizing, RESIZINGS)
    model = load_inception(features)
    weights = fingerprint_file(model.source)
    return Extractor(
        "inception",
        functools.partial(model.features, resizing=resizing),
        f"inception {weights} {resizing}",
        resizing,
        (features, resizing),
    )


def extract_features(
    pictures: str | os.PathLike | Sequence[str | os.PathLike] | np.ndarray,
    features: Any = "inception",
    *,
    batch_size: int = 32,
    progress: bool = True,
) -> np.ndarray:
    """Extract the features of pictures.

    Example:
    ```python
    a = extract_features("new", "pixels")
    b = extract_features("icons", "pixels")
    kid(a, b)
    ```

    Args:
        pictures: A folder, without the grid that `sample_folder` made of it; a list of
            paths; or uint8 `(n, height, width, 3)`. Files keep their own sizes.
        features: See `load_extractor`. Defaults to "inception".
        batch_size: Pictures per batch. Defaults to 32.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        float32 `(n, dimensions)`.

    Raises:
        UserError: See `load_extractor`; or if pictures cannot be read: all are named.
    """
    batches = feature_batches(
        pictures, load_extractor(features), batch_size=batch_size, progress=progress
    )
    return np.concatenate(list(batches))


def feature_batches(
    pictures: str | os.PathLike | Sequence[str | os.PathLike] | np.ndarray,
    extractor: Extractor,
    *,
    batch_size: int = 32,
    progress: bool = True,
) -> Iterator[np.ndarray]:
    """Extract the features of pictures, one batch after another.

    Args:
        pictures: See `extract_features`.
        extractor: What `load_extractor` returned.
        batch_size: Pictures per batch. Defaults to 32.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        Iterator of float32 `(n, dimensions)`.

    Raises:
        UserError: See `extract_features`.
    """
    from tqdm import tqdm

    items: Sequence[Any] | np.ndarray
    if isinstance(pictures, (str, os.PathLike)):
        items = icon_files(pictures)
    else:
        items = pictures
    problems: list[str] = []
    found = False

    def readable():
        for item in items:
            try:
                yield read_image(item)
            except ImageError as error:
                problems.append(str(error))

    with tqdm(
        total=len(items),
        desc=f"features ({extractor.name})",
        unit="picture",
        disable=not progress,
    ) as bar:
        for batch in _batches(readable(), batch_size):
            if problems:
                continue
            found = True
            yield np.asarray(extractor.function(batch), np.float32)
            bar.update(len(batch))
    if problems:
        raise UserError(problems)
    if not found:
        raise UserError("There is no picture to extract features of. Received: none")


def _batches(pictures: Iterable[Any], batch_size: int) -> Iterator[np.ndarray]:
    """Yield batches of pictures of one size, in order."""
    batch: list[np.ndarray] = []
    for picture in pictures:
        if batch and (len(batch) == batch_size or picture.shape != batch[0].shape):
            yield np.stack(batch)
            batch = []
        batch.append(picture)
    if batch:
        yield np.stack(batch)


def _pixels(pictures: np.ndarray) -> np.ndarray:
    from PIL import Image

    small = [
        Image.fromarray(p).resize((GRID, GRID), Image.Resampling.BOX) for p in pictures
    ]
    return np.stack([np.asarray(p, np.float32).ravel() for p in small]) / 255
