"""Cut patches from a folder of pictures and their metadata.

```python
entries = load_metadata("oppai_meta.json")
patches = build_patches(entries, "images", size=256, cache="cache")
training, held_out = split_names(patches.names)
batches = CensoredPatches(patches.select(training), batch_size=32)
```
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError, as_user_error
from oppai.data.crops import cut_patch, expand_box, is_grey
from oppai.data.metadata import Entry, find_pictures

# Reasons of which each picture has its line.
_TO_FIX = "broken", "other size"
# Goes up when the code cuts other patches from the same pictures.
_VERSION = 1


@dataclass(frozen=True)
class PatchReport:
    """Say what became of the pictures of a metadata file.

    Args:
        pictures: Number of pictures in the metadata.
        used: Number of pictures that gave patches.
        patches: Number of patches.
        left_out: Dict from a reason ("missing", "broken", "grey", "other size",
            "empty box", "no box") to a dict from picture name to details.
    """

    pictures: int
    used: int
    patches: int
    left_out: dict[str, dict[str, str]]

    def __str__(self) -> str:
        text = f"{self.patches} patches from {self.used} of {self.pictures} pictures."
        for reason, names in self.left_out.items():
            lines = [f"{n}: {why}" if why else n for n, why in names.items()]
            if reason in _TO_FIX:
                listed = "".join(f"\n  {line}" for line in lines)
                text += f"\nLeft out, {reason}: {len(names)}{listed}"
                continue
            more = ", …" if len(names) > 3 else ""
            text += f"\nLeft out, {reason}: {len(names)} ({', '.join(lines[:3])}{more})"
        return text


@dataclass(frozen=True)
class Patches:
    """Hold square patches of pictures, each with the box to censor.

    Args:
        patches: uint8 `(n, size, size, 3)`: an array, or the `StoredPictures` of a
            cache. Index it; `np.asarray` would load them all.
        boxes: int32 `(n, 4)`, `(left, top, right, bottom)` in pixels of the patch.
        names: List of the picture's name of each patch.
        report: `PatchReport` of the build, or `None`.
    """

    patches: Any
    boxes: np.ndarray
    names: list[str]
    report: PatchReport | None = None

    def __len__(self) -> int:
        return len(self.names)

    def select(self, names: Iterable[str]) -> "Patches":
        """Return the patches of some pictures, without loading those of a cache.

        Args:
            names: Names of pictures; those without patches are ignored.

        Returns:
            `Patches`, in the order of this one.

        Raises:
            UserError: If none of the pictures has a patch.
        """
        names = set(names)
        rows = [i for i, name in enumerate(self.names) if name in names]
        if not rows:
            raise UserError(
                f"None of these pictures has a patch. Received: {sorted(names)[:5]}"
            )
        if isinstance(self.patches, np.ndarray):
            patches = self.patches[rows]
        else:
            patches = self.patches.select(rows)
        chosen = [self.names[i] for i in rows]
        return Patches(patches, self.boxes[rows], chosen, self.report)


def build_patches(
    entries: Iterable[Entry],
    root: str | os.PathLike,
    *,
    size: int = 256,
    cache: str | os.PathLike | None,
    scale: float = 1.5,
    minimum: int = 256,
    grey: float = 0.995,
    progress: bool = True,
) -> Patches:
    """Cut a patch around every box of every picture, or open those cut before.

    Each picture is decoded once. Patches made from the same metadata, pictures (by
    size and time of change) and options are opened again. What cannot be used is left
    out and reported: missing, broken and grey pictures, pictures whose proportions
    differ from the metadata's, empty boxes. The boxes of a picture in another size of
    the same proportions are scaled.

    Example:
    ```python
    patches = build_patches(entries, "images", size=256, cache="cache")
    print(patches.report)
    ```

    Args:
        entries: The `Entry` of each picture.
        root: Folder that holds the pictures; see `find_pictures`.
        size: Side of a patch in pixels. Defaults to 256.
        cache: Folder for the patches, `size² · 3` bytes each; `None` keeps them in
            memory.
        scale: As in `expand_box`. Defaults to 1.5.
        minimum: As in `expand_box`. Defaults to 256.
        grey: Mean correlation of the channels from which on a picture is left out as
            grey; above 1 none is. Defaults to 0.995.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        `Patches`.

    Raises:
        UserError: If no patch can be cut, or `root` is not a folder.
    """
    from illustkit.images.cache import store_pictures

    entries = list(entries)
    paths, missing = find_pictures(entries, root)
    options = {"size": size, "scale": scale, "minimum": minimum, "grey": grey}

    def fill(writer):
        from tqdm import tqdm

        left_out = {"missing": dict.fromkeys(missing, "")} if missing else {}
        present = [entry for entry in entries if entry.name in paths]
        for entry in tqdm(
            present, "Cutting patches", unit=" pictures", disable=not progress
        ):
            reason, detail = _add_patches(writer, entry, paths[entry.name], options)
            if reason:
                left_out.setdefault(reason, {})[entry.name] = detail
        used = len({row["name"] for row in writer.rows})
        report = PatchReport(len(entries), used, len(writer), left_out)
        if not len(writer):
            raise UserError(f"{root}: no patch could be cut. {report}")
        writer.details["report"] = asdict(report)

    key = _key(entries, root, paths, options)
    stored = store_pictures(cache, key, fill, name="patches")
    return Patches(
        stored,
        np.array([row["box"] for row in stored.rows], np.int32),
        [row["name"] for row in stored.rows],
        PatchReport(**stored.details["report"]),
    )


def _key(entries: Sequence[Entry], root, paths: dict[str, Path], options):
    """Return everything that the patches are made from, as JSON."""
    from illustkit.images.cache import file_stamps

    stamps = dict(zip(paths, file_stamps(paths.values(), root), strict=True))
    rows = [[e.name, e.width, e.height, e.boxes, stamps.get(e.name)] for e in entries]
    return [_VERSION, options, rows]


def _add_patches(writer, entry, path, options):
    """Add a picture's patches; return `(reason, detail)` of what is left out."""
    from illustkit.images import read_image

    if not entry.boxes:
        return "no box", ""
    try:
        picture = read_image(path)
    except Exception as error:
        if (problem := as_user_error(error, path)) is None:
            raise
        return "broken", str(problem)
    height, width = picture.shape[:2]
    x, y = width / entry.width, height / entry.height
    if not 0.98 < x / y < 1.02:
        expected = f"{entry.width}×{entry.height}"
        return "other size", f"{width}×{height} instead of {expected}"
    if is_grey(picture, threshold=options["grey"]):
        return "grey", ""
    n_empty, size = 0, options["size"]
    for left, top, right, bottom in entry.boxes:
        if left == right or top == bottom:
            n_empty += 1
            continue
        square, box = expand_box(
            (width, height),
            (left * x, top * y, right * x, bottom * y),
            scale=options["scale"],
            minimum=options["minimum"],
        )
        box = _scale_box(box, size / (square[2] - square[0]), size)
        writer.add(cut_patch(picture, square, size), box=box, name=entry.name)
    return ("empty box", f"{n_empty} of {len(entry.boxes)}") if n_empty else (None, "")


def _scale_box(box, factor, size):
    """Return a box in pixels of the patch, at least one pixel wide and high."""
    left, top, right, bottom = (round(v * factor) for v in box)
    left, top = min(left, size - 1), min(top, size - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)
