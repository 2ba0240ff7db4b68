"""Extract features in processes of Ray: of more pictures than one process takes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from diffusion.evaluation.features import Extractor, load_extractor
from diffusion.icons import as_channels, fit_icon
from illustkit.cluster import map_to_shards, read_shards, remove_shards, whole_path
from illustkit.errors import UserError, as_user_error
from illustkit.files import cache_folder
from illustkit.images import read_image, read_picture

NAMED = "inception", "pixels"  # features that are no file
SHARDS = "features"
"""Folder of the features of unfinished calls, in `illustkit.files.cache_folder()`."""


def spread_features(
    folder: Path,
    names: Sequence[str],
    extractor: Extractor,
    *,
    image_size: Sequence[int] | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    progress: bool = True,
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Extract features in processes of Ray, and yield those of some pictures at a time.

    What an interrupted call has extracted is not extracted again, unless a file has
    changed since. It is kept until all has been yielded.

    Args:
        folder: Folder of the pictures.
        names: Their names in it.
        extractor: What `load_extractor` returned for a name or a file.
        image_size: (width, height) to read them at, as `read_icons` does. Defaults to
            their own sizes.
        batch_size: Pictures per batch. Defaults to 32.
        workers: Number of processes. Defaults to one for each core.
        progress: Whether Ray shows its progress. Defaults to `True`.

    Yields:
        Names and float32 `(n, dimensions)`, in no particular order.

    Raises:
        UserError: If the features are a function, Ray is not installed, or pictures
            cannot be read: all are named.
    """
    if extractor.opened_by is None:
        raise UserError(
            "`engine` ray opens the features in each process: give a name or a file of "
            f"weights. Received: {extractor.name}"
        )
    features, resizing = extractor.opened_by
    folder = folder.resolve()
    size = None if image_size is None else list(image_size)
    key = json.dumps([str(folder), extractor.key, size])
    shards = cache_folder() / SHARDS / hashlib.sha256(key.encode()).hexdigest()[:32]
    wanted = set(names)
    done = {name for some, _ in _current(shards, folder, wanted) for name in some}
    map_to_shards(
        [name for name in names if name not in done],
        _Worker,
        [str(folder), whole_path(features, NAMED), resizing, size],
        shards,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
    )
    problems = _problems(shards, wanted)
    seen: set[str] = set()
    for some, values in _current(shards, folder, wanted):
        fresh = [i for i, name in enumerate(some) if name not in seen]
        seen.update(some)
        if fresh:
            yield [some[i] for i in fresh], values[fresh]
    if missing := wanted - seen:
        changed = "has changed meanwhile. Start again."
        raise UserError([problems.get(n, f"{n}: {changed}") for n in sorted(missing)])
    remove_shards(shards)


def _current(shards, folder, wanted):
    """Yield names and features of the wanted files that are as they were."""
    for record in read_shards(shards):
        kept = [
            i
            for i, (name, stamp) in enumerate(
                zip(record["names"], record["stamps"], strict=True)
            )
            if name in wanted and stamp_of(folder / name) == stamp
        ]
        if kept:
            data = base64.b64decode(record["features"])
            values = np.frombuffer(data, "<f4").reshape(len(record["names"]), -1)
            yield [record["names"][i] for i in kept], values[kept]


def _problems(shards, wanted):
    return {
        name: reason
        for record in read_shards(shards)
        for name, reason in record["left_out"]
        if name in wanted
    }


def stamp_of(path: Path) -> list[int]:
    """Return a file's size and time, which change when it does; -1 if it is gone."""
    try:
        about = path.stat()
    except OSError:
        return [-1, -1]
    return [about.st_size, about.st_mtime_ns]


class _Worker:
    """Extracts features in a process of a cluster."""

    def __init__(self, folder: str, features: Any, resizing: str, size: Any) -> None:
        self.folder, self.size = Path(folder), size
        self.extractor = load_extractor(features, resizing=resizing)

    def __call__(self, names: list[str]) -> list[dict[str, Any]]:
        pictures, left_out = [], []
        for name in names:
            stamp = stamp_of(self.folder / name)
            try:
                pictures.append((name, stamp, self._read(self.folder / name)))
            except Exception as error:
                if (problem := as_user_error(error, name)) is None:
                    raise
                left_out.append([name, str(problem)])
        features = [
            np.asarray(
                self.extractor.function(np.stack([p for _, _, p in some])), "<f4"
            )
            for _, some in (
                (shape, list(group))
                for shape, group in groupby(pictures, lambda x: x[2].shape)
            )
        ]
        data = np.concatenate(features).tobytes() if features else b""
        return [
            {
                "names": [name for name, _, _ in pictures],
                "stamps": [stamp for _, stamp, _ in pictures],
                "features": base64.b64encode(data).decode(),
                "left_out": left_out,
            }
        ]

    def _read(self, path):
        if self.size is None:
            return read_image(path)
        return fit_icon(as_channels(read_picture(path), 3), self.size)
