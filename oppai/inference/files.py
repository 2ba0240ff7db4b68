"""Restore files and whole folders; results are written beside the pictures."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from illustkit.errors import UserError
from illustkit.images import list_images, read_picture, write_picture
from oppai.data.metadata import load_metadata
from oppai.inference.restore import restore

if TYPE_CHECKING:
    from oppai.models.restorers import BaseRestorer

PathLike = str | os.PathLike[str]
FOLDER, SUFFIX = "restored", "_restored"


@dataclass
class RestoreReport:
    """The files that were restored, and those that were left out.

    Attributes:
        written: Paths of the restored pictures, in order.
        left_out: Pairs (path, reason) of the pictures that were not restored.
    """

    written: list[Path] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{len(self.written)} restored, {len(self.left_out)} left out."]
        for path, reason in self.left_out:
            named = reason if str(path) in reason else f"{path}: {reason}"
            lines.append(f"  {named}")
        return "\n".join(lines)


def restore_files(
    paths: PathLike | Sequence[PathLike],
    *,
    restorer: "BaseRestorer | None" = None,
    output: PathLike | None = None,
    boxes: Sequence[Sequence[float]] | None = None,
    metadata: Any = None,
    masks: PathLike | None = None,
    mask_colour: Sequence[int] | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **options: Any,
) -> RestoreReport:
    """Restore one file, several files, or all pictures of a folder.

    Size, mode, alpha channel, EXIF and ICC profile stay as they were. A picture that
    cannot be read or restored is left out, with its reason in the report, and the run
    goes on.

    Example:
    ```python
    report = restore_files("pictures", restorer=restorer, masks="masks")
    print(report)  # 41 restored, 1 left out. …
    ```

    Args:
        paths: A file, a folder, or a list of them.
        restorer: As `oppai.load_restorer` returns it. Defaults to `None`, the
            package's own.
        output: Folder to write to, or for one file a file. Defaults to `restored/` in
            a given folder, and to `<stem>_restored` beside a given file.
        boxes: Boxes (left, top, right, bottom) in pixels, the same for every picture.
            Give one of `boxes`, `metadata`, `masks` and `mask_colour`, or none, and
            `oppai.find_censored` finds what is censored.
        metadata: Path of the chapter's JSON, or what `load_metadata` returns; its
            boxes are taken for the pictures whose file name it has, scaled where the
            picture has another size in the same proportions.
        masks: A mask file for every picture, or a folder of masks in which each
            picture's is found by its stem. White is restored.
        mask_colour: RGB colour with which regions are painted over.
        overwrite: Replace files that exist; the pictures themselves too where
            `output` is their folder. Defaults to `False`.
        progress: Show a progress bar. Defaults to `True`.
        **options: `blend`, `feather`, `tolerance` and `batch_size` of `restore`.

    Returns:
        A `RestoreReport`.

    Raises:
        UserError: If what to restore is given twice, or there is no picture.
    """
    from tqdm import tqdm

    sources = {
        "boxes": boxes,
        "metadata": metadata,
        "masks": masks,
        "mask_colour": mask_colour,
    }
    given = [name for name, value in sources.items() if value is not None]
    if len(given) > 1:
        raise UserError(
            f"Say what to restore by one of {', '.join(sources)}. "
            f"Received: {' and '.join(given)}"
        )
    marks = _Marks(boxes, metadata, masks, mask_colour)
    report, taken = RestoreReport(), set()
    jobs = _jobs(paths, output, marks.folder)
    for source, target in tqdm(jobs, unit="picture", disable=not progress):
        try:
            if target.resolve() in taken:
                raise UserError(f"another picture was written to {target}")
            if target.exists() and not overwrite:
                raise UserError(f"{target} exists; overwrite=True replaces it")
            _restore_file(source, target, restorer, marks, options)
        except (ValueError, OSError, MemoryError) as error:
            report.left_out.append((source, str(error) or type(error).__name__))
        else:
            taken.add(target.resolve())
            report.written.append(target)
    return report


def _restore_file(source, target, restorer, marks, options):
    picture = read_picture(source)
    marked = marks.find(source, picture.rgb.shape)
    shown = _over_white(picture)
    restored = restore(shown, restorer=restorer, **marked, **options)
    restored = np.where(restored == shown, picture.rgb, _under_alpha(restored, picture))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_picture(target, restored, like=picture)


def _over_white(picture):
    """Lay a transparent picture over white, as the network was trained."""
    if picture.alpha is None:
        return picture.rgb
    alpha = picture.alpha[..., None] / np.float32(255)
    return np.rint(255 - (255 - picture.rgb.astype(np.float32)) * alpha).astype(
        np.uint8
    )


def _under_alpha(shown, picture):
    """Return the colours that look like `shown` through the alpha over white."""
    if picture.alpha is None:
        return shown
    alpha = np.maximum(picture.alpha[..., None], 1) / np.float32(255)
    colours = np.clip(255 - (255 - shown.astype(np.float32)) / alpha, 0, 255)
    return np.rint(colours).astype(np.uint8)


def _jobs(paths, output, mask_folder):
    """Return pairs of a picture's path and its result's."""
    paths = [paths] if isinstance(paths, (str, Path)) else paths
    paths = [Path(path) for path in paths]
    output = None if output is None else Path(output)
    jobs = []
    for path in paths:
        if path.is_dir():
            folder = output or path / FOLDER
            # Masks and earlier results may be stored under the pictures' folder.
            skipped = [f.resolve() for f in (folder, mask_folder) if f is not None]
            skipped = [f for f in skipped if path.resolve() in f.parents]
            for source in list_images(path):
                if not any(f in source.resolve().parents for f in skipped):
                    jobs.append((source, folder / source.relative_to(path)))
        elif output is None:
            jobs.append((path, path.with_name(f"{path.stem}{SUFFIX}{path.suffix}")))
        elif len(paths) == 1 and output.suffix and not output.is_dir():
            jobs.append((path, output))
        else:
            jobs.append((path, output / path.name))
    if not jobs:
        raise UserError(f"No picture found. Received: {', '.join(map(str, paths))}")
    return jobs


class _Marks:
    """Finds what is to be restored in each picture."""

    def __init__(self, boxes, metadata, masks, mask_colour):
        self.fixed = {"boxes": boxes, "mask_colour": mask_colour}
        self.entries = self.masks = self.folder = None
        if metadata is not None:
            if isinstance(metadata, (str, Path)):
                metadata = load_metadata(metadata)
            self.entries = {}
            for entry in metadata:
                self.entries.setdefault(entry.name, []).append(entry)
        if masks is not None:
            if not Path(masks).exists():
                raise UserError(f"{masks}: no such mask file or folder.")
            self.fixed["mask"] = Path(masks)
            if Path(masks).is_dir():
                self.folder, self.masks = Path(masks), {}
                for path in list_images(masks):
                    self.masks.setdefault(path.stem, []).append(path)

    def find(self, source, shape):
        """Return the argument of `restore` that marks this picture."""
        if self.entries is not None:
            entry = _only(self.entries.get(source.name, []), "entries in the metadata")
            x, y = shape[1] / entry.width, shape[0] / entry.height
            if not 0.98 < x / y < 1.02:
                raise UserError(
                    f"is {shape[1]}x{shape[0]} pixels, but the metadata has its boxes "
                    f"for {entry.width}x{entry.height}"
                )
            # The same picture in another size; and the metadata allows empty boxes.
            boxes = np.reshape(entry.boxes, (-1, 4)) * (x, y, x, y)
            filled = (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
            return {"boxes": boxes[filled].tolist()}
        if self.masks is not None:
            masks = self._nearest(self.masks.get(source.stem, []), source)
            mask = _only(masks, f"masks in {self.folder}")
            if mask.resolve() == source.resolve():
                raise UserError("its mask is the picture itself")
            return {"mask": mask}
        return {key: value for key, value in self.fixed.items() if value is not None}

    def _nearest(self, masks, source):
        """Return the masks whose sub-folders are the picture's own."""
        depth = {}
        for mask in masks:
            folders = mask.relative_to(self.folder).parts[:-1]
            if source.parent.parts[-len(folders) :] == folders or not folders:
                depth[mask] = len(folders)
        return [m for m in depth if depth[m] == max(depth.values())] or masks


def _only(candidates, what):
    if len(candidates) != 1:
        raise UserError(f"has {len(candidates) or 'no'} {what}; it needs one")
    return candidates[0]
