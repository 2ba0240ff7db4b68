"""Mean and covariance of features: streamed, stored, and compared as FID does.

A set of any size takes the memory of one batch and of one matrix of its features, and
a folder of unchanged pictures is looked at once.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from diffusion.evaluation.features import Extractor, feature_batches
from diffusion.evaluation.spread import spread_features, stamp_of
from diffusion.icons import icon_files
from illustkit.cluster import RAY
from illustkit.errors import UserError
from illustkit.files import cache_folder, expand_user, write_whole
from illustkit.options import check_choice
from illustkit.training.fingerprint import fingerprint_file

CACHE = "statistics"
"""Folder of the stored statistics, in `illustkit.files.cache_folder()`."""
_FORMAT = 1  # of what is stored: a change makes all statistics anew


class FeatureStatistics:
    """Gather the mean and the covariance of features, one batch after another.

    Example:
    ```python
    statistics = FeatureStatistics()
    for features in batches:                # (n, dimensions), of any number of pictures
        statistics.add(features)
    fid(statistics, more_features)
    ```

    `merge` joins the statistics of several parts, exactly.

    Reference:
        Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing
        sample variances" (1979), equation 2.1.
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))  # sum of (x - mean)(x - mean)ᵀ

    def add(self, features: np.ndarray) -> None:
        """Add a batch.

        Args:
            features: `(n, dimensions)`.

        Raises:
            UserError: If the shape differs from that of earlier batches, or a value is
                not finite.
        """
        x = np.asarray(features, np.float64)
        if x.ndim != 2 or not len(x) or (self.n and x.shape[1] != len(self.mean)):
            raise UserError(
                f"Features are (n, {len(self.mean) or 'dimensions'}), of one picture "
                f"or more. Received: {x.shape}"
            )
        if not np.isfinite(x).all():
            raise UserError(
                "Features are finite numbers. Received: some nan or infinite"
            )
        mean = x.mean(axis=0)
        x = x - mean
        self._join(len(x), mean, x.T @ x)

    def merge(self, other: FeatureStatistics) -> None:
        """Take in the statistics of other pictures, as if all had been added here.

        Parts of a set can be looked at by several processes or machines, and stored.

        Args:
            other: Of features of as many dimensions.

        Raises:
            UserError: If it has another number of dimensions.
        """
        if self.n and other.n and self.mean.shape != other.mean.shape:
            raise UserError(
                "Only statistics of equal dimensions merge. Received: "
                f"{len(self.mean)} and {len(other.mean)}"
            )
        if other.n:
            self._join(other.n, other.mean, other._scatter)

    def _join(self, n: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        if not self.n:
            self.mean, self._scatter = np.zeros_like(mean), np.zeros_like(scatter)
        gap, total = mean - self.mean, self.n + n
        self._scatter = self._scatter + scatter
        self._scatter += np.outer(gap, gap * (self.n * n / total))
        self.mean = self.mean + gap * (n / total)
        self.n = total

    @property
    def covariance(self) -> np.ndarray:
        """Return the covariance over n - 1, float64 `(dimensions, dimensions)`."""
        if self.n < 2:
            raise UserError(
                f"A covariance takes two pictures or more. Received: {self.n}"
            )
        return self._scatter / (self.n - 1)

    @property
    def root(self) -> np.ndarray:
        """Return R with RᵀR = Σ, from the eigenvalues that are not rounding alone."""
        values, vectors = np.linalg.eigh(self.covariance)
        least = values[-1] * len(values) * np.finfo(float).eps
        return (vectors * np.sqrt(np.where(values > least, values, 0))).T

    def save(self, path: str | os.PathLike) -> Path:
        """Store the statistics as pytorch-fid does: `mu` and `sigma`, and `n` besides.

        Args:
            path: The `.npz` to write, atomically.

        Returns:
            The path.
        """
        stream = io.BytesIO()
        np.savez(stream, mu=self.mean, sigma=self.covariance, n=self.n)
        return write_whole(path, stream.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike) -> FeatureStatistics:
        """Load what `save` or pytorch-fid stored.

        Args:
            path: The `.npz`.

        Returns:
            `FeatureStatistics`.

        Raises:
            UserError: If the file is missing or holds no statistics.
        """
        path = expand_user(path)
        out = cls()
        try:
            with np.load(path) as stored:
                mean, covariance = stored["mu"], stored["sigma"]
                # pytorch-fid stores no number: any will do, two being the fewest.
                out.n = int(stored["n"]) if "n" in stored else 2
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path}: holds no statistics, `mu` and `sigma` ({error}). Name a "
                "folder of pictures, or a file that pytorch-fid stored."
            ) from None
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise UserError(
                f"{path}: `mu` {mean.shape} and `sigma` {covariance.shape} do not fit "
                "each other. Name another file."
            )
        out.mean = mean.astype(np.float64)
        out._scatter = covariance.astype(np.float64) * (out.n - 1)
        return out


def read_statistics(
    source: str | os.PathLike | np.ndarray,
    extractor: Extractor,
    *,
    batch_size: int = 32,
    engine: str = "auto",
    workers: int | None = None,
    progress: bool = True,
) -> FeatureStatistics:
    """Gather the statistics of a folder's pictures, or take those of an earlier time.

    They are stored on this machine, by the content of the files and by what the
    features are: where both are as before, no picture is looked at. Features of a
    function that was given have no such name and are gathered each time.

    Example:
    ```python
    statistics = read_statistics("icons", load_extractor("pixels"))
    ```

    Args:
        source: A folder; an `.npz` file of statistics (see `FeatureStatistics.save`);
            or uint8 `(n, height, width, 3)`.
        extractor: What `load_extractor` returned.
        batch_size: Pictures per batch. Defaults to 32.
        engine: "auto", or "ray": a folder's pictures are looked at by processes of Ray,
            on this machine or on a cluster whose machines all see it. What they
            extract is merged in any order, equal to 1e-9. Defaults to "auto".
        workers: Number of processes of `engine` "ray". Defaults to one for each core.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        `FeatureStatistics`.

    Raises:
        UserError: If pictures cannot be read: all are named; or if Ray is not
            installed.
    """
    check_choice("engine", engine, ("auto", RAY))
    stored = None
    if isinstance(source, str | os.PathLike):
        path = expand_user(source)
        if path.suffix.lower() == ".npz" and not path.is_dir():
            return FeatureStatistics.load(path)
        if extractor.key is not None:
            key = _key(path, extractor, by_stamps=engine == RAY)
            stored = cache_folder() / CACHE / f"{key}.npz"
            if stored.exists():
                return FeatureStatistics.load(stored)
    elif engine == RAY:
        raise UserError("`engine` ray reads files: name a folder of pictures.")
    statistics = FeatureStatistics()
    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    if engine == RAY:
        names = [file.relative_to(path).as_posix() for file in icon_files(path)]
        for _, features in spread_features(
            path, names, extractor, workers=workers, **options
        ):
            statistics.add(features)
    else:
        for features in feature_batches(source, extractor, **options):
            statistics.add(features)
    if stored is not None:
        statistics.save(stored)
    return statistics


def _key(folder: Path, extractor: Extractor, *, by_stamps: bool = False) -> str:
    """Return the name of a folder's statistics: its files' content, in any order.

    Of a million files the content is not read for that, but their names, sizes and
    times.
    """
    files = icon_files(folder)
    if by_stamps:
        stamps = [str([str(file.resolve()), *stamp_of(file)]) for file in files]
        contents = sorted(stamps)
    else:
        contents = sorted(map(fingerprint_file, files))
    text = "\n".join([f"{_FORMAT} {extractor.key}", *contents])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
