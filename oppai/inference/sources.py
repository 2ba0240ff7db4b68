"""Which pictures are restored, where the results go, and what marks each of them."""

import os
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from illustkit.errors import UserError
from illustkit.files import expand_user, inside
from illustkit.images import EXTENSIONS, list_images
from illustkit.images.formats import format_of
from illustkit.images.listing import check_given
from oppai.data.metadata import load_metadata
from oppai.inference.archives import ARCHIVES, Pages, holds_pictures, is_archive
from oppai.inference.restore import OWN_ALPHA

PathLike = str | os.PathLike[str]
FOLDER, SUFFIX = "restored", "_restored"
# The formats that results may be written in, by their names' ending.
KEEP = "keep"
FORMATS = {KEEP: None, "png": "PNG", "jpg": "JPEG", "webp": "WEBP"}


class Job(NamedTuple):
    """Says where a picture comes from and where what becomes of it goes.

    Attributes:
        source: The picture's file, or an archive of pictures.
        target: The file of the restored one.
        name: The picture's name within what was given: a folder's sub-folders stay.
        mask: The file for the mask of what is restored, of an archive the folder for
            its masks, or `None`.
    """

    source: Path
    target: Path
    name: Path
    mask: Path | None = None

    @property
    def written(self) -> list[Path]:
        """The files that are written."""
        return [self.target] if self.mask is None else [self.target, self.mask]


def plan_jobs(
    paths: PathLike | Sequence[PathLike],
    *,
    output: PathLike | None = None,
    marks: "Marks | None" = None,
    format: str = KEEP,
    save_masks: PathLike | None = None,
) -> list[Job]:
    """Return the pictures among files and folders, and where their results go.

    Args:
        paths: See `restore_files`.
        output: See `restore_files`. Defaults to `None`.
        marks: What marks the pictures: its masks are no pictures themselves. Defaults
            to `None`.
        format: See `restore_files`. Defaults to "keep".
        save_masks: See `restore_files`. Defaults to `None`.

    Raises:
        UserError: If a file is missing, there is no picture, or several pictures have
            one result.
    """
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    given = check_given(listed)
    one = len(given) == 1 and not given[0].is_dir()
    place = _place(output, "output", given, one)
    masks = _place(save_masks, "save_masks", given, one)
    if one and place is not None and _is_file(place):
        if format != KEEP and not is_archive(place):
            raise UserError(
                f"{place}: its ending names the format. Leave `format` away, or give "
                "a folder."
            )
        job = Job(given[0], place, Path(given[0].name))
        return _check_masks([_with_mask(job, masks, one)])
    jobs = []
    for path in given:
        if path.is_dir():
            folder = place or path / FOLDER
            places = folder, masks, marks and marks.folder
            for source in _pictures(path, places, marks):
                name = source.relative_to(path)
                jobs.append(Job(source, _in_format(folder / name, format), name))
        else:
            target = path.with_name(f"{path.stem}{SUFFIX}{path.suffix}")
            target = target if place is None else place / path.name
            jobs.append(Job(path, _in_format(target, format), Path(path.name)))
    if not jobs:
        raise UserError(f"No picture found. Received: {', '.join(map(str, given))}")
    return _check_masks([_with_mask(job, masks, one) for job in jobs])


def page_jobs(
    pages: Pages, *, marks: "Marks", format: str = KEEP, masks: Path | None = None
) -> list[Job]:
    """Return the pictures of an unpacked archive, and where their results go.

    Args:
        pages: The archive.
        marks: See `plan_jobs`.
        format: See `restore_files`. Defaults to "keep".
        masks: Folder for the masks of what is restored. Defaults to `None`.
    """
    paths = [pages.folder / name for name in pages.names]
    left = marks.beside(paths)
    jobs = []
    for name, path in zip(pages.names, paths, strict=True):
        if path not in left:
            job = Job(path, _in_format(pages.results / name, format), Path(name))
            jobs.append(_with_mask(job, masks, one=False))
    return jobs


def _place(path, option, paths, one):
    """Return where results go: a folder, or for one picture a file."""
    if path is None:
        return None
    path = expand_user(path)
    archive = one and is_archive(paths[0])
    if archive and option == "output" and _is_file(path):
        if not is_archive(path):
            raise UserError(
                f"{path}: what becomes of {paths[0]} is an archive, too. Name a "
                f"{' or '.join(ARCHIVES)}, or a folder."
            )
    elif _is_file(path) and one and not archive:
        format_of(path)
    elif _is_file(path) and path.suffix.lower() in EXTENSIONS:
        count = f"{len(paths)} paths"
        if len(paths) == 1:
            count = "an archive" if archive else "a folder"
        raise UserError(
            f"{path}: `{option}` is the name of one picture, and {count} "
            "may hold more. Give a folder."
        )
    elif path.exists() and not path.is_dir():
        raise UserError(f"{path}: `{option}` is a file. Give a folder.")
    return path


def _is_file(path):
    return bool(path.suffix) and not path.is_dir()


def _pictures(folder, places, marks):
    """Return a folder's pictures and archives that are neither masks nor results."""
    # Masks and earlier results may be stored under the pictures' folder.
    skipped = [place.resolve() for place in places if place is not None]
    skipped = [place for place in skipped if folder.resolve() in place.parents]
    listed = list_images(folder, also=ARCHIVES)
    left = marks.beside(listed) if marks else set()
    stems = {(path.parent, path.stem) for path in listed}
    return [
        path
        for path in listed
        if not any(place in path.resolve().parents for place in skipped)
        and path not in left
        and not _is_result(path, stems)
        and (not is_archive(path) or holds_pictures(path))
    ]


def _is_result(path, stems):
    """Whether a file was written beside the picture that it was restored from."""
    stem = path.stem.removesuffix(SUFFIX)
    return stem != path.stem and (path.parent, stem) in stems


def _in_format(path, format):
    """Return a picture's path with a format's ending; an archive keeps its own."""
    own = EXTENSIONS.get(path.suffix.lower())
    if format == KEEP or is_archive(path) or own == FORMATS[format]:
        return path
    return path.with_suffix(f".{format}")


def _with_mask(job, place, one):
    if place is None:
        return job
    if is_archive(job.source):
        place = place / job.name
    elif not (one and _is_file(place)):
        place = place / job.name.with_suffix(".png")
    return job._replace(mask=place)


def _check_masks(jobs):
    """Refuse masks in the place of a picture or of a result."""
    pictures = {path.resolve() for job in jobs for path in (job.source, job.target)}
    for job in jobs:
        if job.mask is not None and job.mask.resolve() in pictures:
            raise UserError(
                f"{job.mask}: is a picture. Name another place for the masks."
            )
    return jobs


class Marks:
    """Finds what is to be restored in each picture.

    Args:
        boxes: See `restore_files`.
        metadata: See `restore_files`.
        masks: See `restore_files`.
        mask_pattern: See `restore_files`.
        mask_colour: See `restore_files`.

    Raises:
        UserError: If a file is missing, or the pattern names one file for all pictures.
    """

    def __init__(
        self,
        boxes: Sequence[Sequence[float]] | None = None,
        metadata: Any = None,
        masks: PathLike | None = None,
        mask_pattern: str | None = None,
        mask_colour: Sequence[int] | None = None,
    ) -> None:
        self.fixed: dict[str, Any] = {"boxes": boxes, "mask_colour": mask_colour}
        self.entries: dict[str, list[Any]] | None = None
        self.masks: dict[str, list[Path]] | None = None
        self.folder: Path | None = None
        self.pattern = mask_pattern
        if mask_pattern is not None:
            _check_pattern(mask_pattern)
        if metadata is not None:
            if isinstance(metadata, (str, os.PathLike)):
                metadata = load_metadata(expand_user(metadata))
            self.entries = {}
            for entry in metadata:
                self.entries.setdefault(entry.name, []).append(entry)
        self.own_alpha = masks == OWN_ALPHA
        if masks is not None and not self.own_alpha:
            masks = expand_user(masks)
            if not masks.exists():
                raise UserError(f"{masks}: no such mask file or folder.")
            self.fixed["mask"] = masks
            if masks.is_dir():
                self.folder, self.masks = masks, {}
                for path in list_images(masks):
                    self.masks.setdefault(path.stem, []).append(path)

    def beside(self, listed: Sequence[Path]) -> set[Path]:
        """Return the masks that lie beside the pictures of a list, by their pattern."""
        if self.pattern is None:
            return set()
        masks = {_by_pattern(source, self.pattern) for source in listed}
        return masks & {*listed}

    def find(self, source: Path, shape: Sequence[int]) -> dict[str, Any]:
        """Return the argument of `restore` that marks a picture.

        Args:
            source: Its file.
            shape: (height, width) of it.

        Returns:
            A dict; empty where nothing marks any picture.

        Raises:
            UserError: If this picture has no mask or entry, or several.
        """
        if self.pattern is not None:
            mask = _by_pattern(source, self.pattern)
            if not mask.is_file():
                raise UserError(f"has no mask {mask}; it needs one")
            return {"mask": mask}
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


def _by_pattern(source, pattern):
    name = pattern.format(stem=source.stem, name=source.name)
    return inside(source.parent, name)


def _check_pattern(pattern):
    """Refuse a pattern that is none, or names one mask for every picture."""
    try:
        fields = {field for _, field, *_ in string.Formatter().parse(pattern) if field}
        pattern.format(stem="a", name="a.png")
    except (ValueError, KeyError, IndexError, AttributeError):
        fields = set()
    if not fields or not fields <= {"stem", "name"}:
        raise UserError(
            "`mask_pattern` is a file's name with {stem} (a of a.png) or {name} in it, "
            f"as {{stem}}_mask.png. Received: {pattern}"
        )


def _only(candidates, what):
    if len(candidates) != 1:
        raise UserError(f"has {len(candidates) or 'no'} {what}; it needs one")
    return candidates[0]
