"""Restore files and whole folders; results are written beside the pictures."""

import contextlib
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from illustkit.engines import ENGINES
from illustkit.errors import UserError, as_user_error
from illustkit.files import check_writable, expand_user, remove_leftovers
from illustkit.images import EXTENSIONS, list_images, read_picture
from illustkit.images.animation import (
    ANIMATED,
    check_frames,
    count_frames,
    read_animation,
)
from illustkit.images.formats import format_of
from illustkit.images.write import changed_rows, check_like
from illustkit.options import check_choice, check_number
from illustkit.progress import inner_bar
from oppai.data.metadata import load_metadata
from oppai.detection.find_censored import find_censored
from oppai.inference.marks import NothingCensoredError, check_boxes, painted_mask
from oppai.inference.record import (
    Record,
    read_record,
    restored_mask,
    write_restored,
    write_restored_animation,
)
from oppai.inference.restore import LOADING, open_restorer, restore
from oppai.models.pretrained import PRECISIONS

if TYPE_CHECKING:
    from oppai.models.restorers import BaseRestorer

PathLike = str | os.PathLike[str]
FOLDER, SUFFIX = "restored", "_restored"
NOTHING = "nothing censored was found: mark it with boxes, a mask or paint"
# Seconds after which the half-written file of a killed run is no one's work any more.
_OLD = 3600
# Rows that are laid over white at once: a float is four times as large as a level.
_ROWS = 256
_log = logging.getLogger(__name__)


@dataclass
class RestoreReport:
    """Lists what became of each picture.

    Attributes:
        written: Paths of the restored pictures, in order.
        skipped: Paths of the results that exist already, and stay.
        unmarked: Pairs (path, reason) of the pictures that show nothing censored, or
            nothing where they are marked; nothing is written.
        left_out: Pairs (path, reason) of the pictures that were not restored.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    unmarked: list[tuple[Path, str]] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """A line for each picture that was left out."""
        return [
            reason if str(path) in reason else f"{path}: {reason}"
            for path, reason in self.left_out
        ]

    @property
    def numbers(self) -> dict[str, int]:
        """The number of pictures of each kind."""
        return {
            "restored": len(self.written),
            "exist already": len(self.skipped),
            "show nothing censored": len(self.unmarked),
            "left out": len(self.left_out),
        }

    @property
    def counts(self) -> str:
        """The numbers in one line."""
        kinds = [f"{n} {k}" for k, n in self.numbers.items() if n or k == "restored"]
        return ", ".join(kinds) + "."

    def __str__(self) -> str:
        lines = [self.counts]
        lines += [f"  {path}: {reason}" for path, reason in self.unmarked]
        lines += [f"  {problem}" for problem in self.problems]
        return "\n".join(lines)


def restore_files(
    paths: PathLike | Sequence[PathLike],
    *,
    restorer: "BaseRestorer | PathLike | None" = None,
    output: PathLike | None = None,
    boxes: Sequence[Sequence[float]] | None = None,
    metadata: Any = None,
    masks: PathLike | None = None,
    mask_colour: Sequence[int] | None = None,
    again: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    **options: Any,
) -> RestoreReport:
    """Restore one file, several files, or all pictures of a folder.

    Size, mode, alpha channel, EXIF and ICC profile stay as they were, and so do all
    frames of an animated GIF, PNG or WebP, each of which is restored. A picture that
    cannot be read or restored is left out, with its reason in the report, and the run
    goes on. A result that exists already is skipped: a run that was stopped goes on
    when it is called again. A picture that shows nothing censored is not copied.

    Example:
    ```python
    report = restore_files("pictures", restorer=restorer, masks="masks")
    print(report)  # 41 restored, 1 left out. …
    ```

    Args:
        paths: A file, a folder, or a list of them.
        restorer: As `oppai.load_restorer` returns it, or what that takes: it is loaded
            once a picture needs it. Defaults to `None`, the package's own.
        output: Folder to write to, or for one file a file. Defaults to `restored/` in
            a given folder, and to `<stem>_restored` beside a given file.
        boxes: Boxes (left, top, right, bottom) in pixels, the same for every picture.
            Give one of `boxes`, `metadata`, `masks` and `mask_colour`, or none, and
            `oppai.find_censored` finds what is censored.
        metadata: Path of the chapter's JSON, or what `load_metadata` returns; its
            boxes are taken for the pictures whose file name it has, scaled where the
            picture has another size in the same proportions.
        masks: A mask file for every picture, or a folder of masks in which each
            picture's is found by its stem. White is restored; see `oppai.restore` for
            masks with transparency.
        mask_colour: RGB colour with which regions are painted over.
        again: Restore also what the file's record says was restored before and has not
            changed since, whatever marks it; `fill` does so too. PNG, JPEG, WebP and
            GIF hold such a record, animations too. Defaults to `False`: it stays byte
            for byte.
        overwrite: Replace files that exist; the pictures themselves too where
            `output` is their folder. Defaults to `False`.
        progress: Show a progress bar. Defaults to `True`.
        **options: `blend`, `feather`, `tolerance`, `fill`, `batch_size`, `engine`,
            `precision` and `mirror` of `restore`.

    Returns:
        A `RestoreReport`.

    Raises:
        UserError: Before the first picture: if what to restore is given twice, an
            option has an invalid value, a file is missing, there is no picture, or the
            output cannot be written.
    """
    from tqdm import tqdm

    _check_options(boxes, metadata, masks, mask_colour, options)
    marks = _Marks(boxes, metadata, masks, mask_colour)
    jobs = _jobs(paths, output, marks.folder)
    _check_targets(jobs, overwrite)
    remove_leftovers([target for _, target in jobs], older_than=_OLD)
    report, taken = RestoreReport(), set()
    load = _Loader(restorer, options)
    for source, target in tqdm(jobs, unit="picture", disable=not progress):
        place = target.resolve()
        try:
            if place in taken:
                raise UserError(f"another picture is written to {target}")
            taken.add(place)
            if target.exists() and not overwrite:
                report.skipped.append(target)
                continue
            with inner_bar(source.name, show=progress), _naming(source):
                _restore_file(source, target, load, marks, options, again)
            report.written.append(target)
        except NothingCensoredError as error:
            report.unmarked.append((source, str(error)))
        except _NoRestorerError as error:
            raise error.problem from None
        except Exception as error:
            if (problem := as_user_error(error, source)) is None:
                raise
            report.left_out.append((source, str(problem)))
    return report


@contextlib.contextmanager
def _naming(source):
    """Tell what `restore` warns of with the picture's name, and of each picture."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        finally:
            lines = [w for w in caught if w.filename == __file__]
            others = [w for w in caught if w.filename != __file__]
    for line in lines:
        _log.warning("%s: %s", source, line.message)
    for other in others:
        place = other.filename, other.lineno
        warnings.warn_explicit(other.message, other.category, *place)


class _NoRestorerError(Exception):
    """Ends a run: no picture can be restored without its restorer."""

    def __init__(self, problem: UserError) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _Loader:
    """Opens the restorer when the first picture needs it."""

    def __init__(self, restorer, options):
        self.restorer = restorer
        self.options = {name: options.pop(name, None) for name in LOADING}
        self.opened = None

    def __call__(self):
        if self.opened is None:
            try:
                self.opened = open_restorer(self.restorer, **self.options)
            except UserError as error:
                raise _NoRestorerError(error) from error
        return self.opened


def _check_options(boxes, metadata, masks, mask_colour, options):
    """Refuse what no picture could be restored with, before the first one."""
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
    blend, tolerance = options.get("blend"), options.get("tolerance", 0)
    check_number("blend", blend, least=0, most=1)
    check_number("feather", options.get("feather"), least=0)
    check_number("tolerance", tolerance, whole=True, least=0, most=255)
    check_number("batch_size", options.get("batch_size"), whole=True, least=1)
    check_choice("engine", options.get("engine"), ENGINES)
    check_choice("precision", options.get("precision"), PRECISIONS)
    if boxes is not None:
        check_boxes(boxes)
    if mask_colour is not None:
        painted_mask(np.zeros((1, 1, 3), np.uint8), mask_colour)
        if blend not in (None, 1):
            raise UserError(
                "Under paint there is nothing to blend with: `blend` is 1 there. "
                f"Received: {blend}"
            )
    elif tolerance:
        raise UserError(
            "`tolerance` is how far paint may differ from `mask_colour`: give both."
        )


def _check_targets(jobs, overwrite):
    """Refuse outputs that cannot be written, before the first picture is read."""
    for source, target in jobs:
        if not overwrite and target.resolve() == source.resolve():
            raise UserError(
                f"{target}: is the picture itself. Give another `output`; `overwrite` "
                "replaces the pictures."
            )
    for folder in dict.fromkeys(target.parent for _, target in jobs):
        check_writable(folder)


def _restore_file(source, target, load, marks, options, again):
    """Restore and write one file."""
    format_of(target)
    n, format = count_frames(source)
    # What is filled is restored whatever it shows.
    again = again or options.get("fill", False)
    if n > 1 and format in ANIMATED:
        check_frames(target, n, source)
        _restore_animation(source, target, load, marks, options, again)
        return
    if n > 1:
        _log.warning("%s: of its %d pictures, the first is restored.", source, n)
    picture = read_picture(source)
    check_like(target, picture)
    marked = marks.find(source, picture.rgb.shape)
    earlier = [] if again else read_record(source).boxes_in(picture.rgb)
    options = {**options, "done": restored_mask(picture.rgb.shape, earlier)}
    restored = _restore_rgb(picture.rgb, picture.alpha, marked, load, options)
    write_restored(target, restored, picture, earlier)


def _restore_animation(source, target, load, marks, options, again):
    """Restore every frame in which something is censored."""
    animation = read_animation(source)
    marked = marks.find(source, animation.frames[0].shape)
    record = Record() if again else read_record(source)
    frames, earlier, reason = [], [], None
    for frame in animation.frames:
        rgb, alpha = frame[..., :3], frame[..., 3]
        alpha = None if (alpha == 255).all() else alpha
        earlier.append(record.boxes_in(rgb))
        options = {**options, "done": restored_mask(rgb.shape, earlier[-1])}
        try:
            restored = _restore_rgb(rgb, alpha, marked, load, options)
        except NothingCensoredError as error:
            frames.append(frame)
            reason = error
        else:
            frames.append(np.concatenate([restored, frame[..., 3:]], axis=-1))
    if all(a is b for a, b in zip(frames, animation.frames, strict=True)):
        raise reason
    write_restored_animation(target, frames, animation, earlier)


def _restore_rgb(rgb, alpha, marked, load, options):
    """Return restored colours; raise where nothing is censored."""
    shown = _over_white(rgb, alpha)
    if not marked:
        found = find_censored(shown)
        if not found.regions:
            raise NothingCensoredError(NOTHING)
        marked = {"found": found}
    elif "boxes" in marked and not len(marked["boxes"]):
        raise NothingCensoredError("the metadata has no box for it")
    restored = restore(shown, restorer=load(), **marked, **options)
    # Only rows in which something has changed: the picture may be a hundred times as
    # large as what is restored.
    rows = changed_rows(restored, shown)
    part, before = restored[rows], shown[rows]
    changed = (part != before).any(axis=-1, keepdims=True)
    beneath = _under_alpha(part, None if alpha is None else alpha[rows])
    result = rgb.copy()
    result[rows] = np.where(changed, beneath, rgb[rows])
    return result


def _over_white(rgb, alpha):
    """Lay a transparent picture over white, as the network was trained."""
    if alpha is None:
        return np.ascontiguousarray(rgb)
    shown = rgb.copy()
    for row in range(0, len(rgb), _ROWS):
        rows = np.s_[row : row + _ROWS]
        if (alpha[rows] == 255).all():
            continue
        cover = alpha[rows][..., None] / np.float32(255)
        shown[rows] = np.rint(255 - (255 - rgb[rows].astype(np.float32)) * cover)
    return shown


def _under_alpha(shown, alpha):
    """Return the colours that look like `shown` through the alpha over white."""
    if alpha is None:
        return shown
    cover = np.maximum(alpha[..., None], 1) / np.float32(255)
    colours = np.clip(255 - (255 - shown.astype(np.float32)) / cover, 0, 255)
    return np.rint(colours).astype(np.uint8)


def _jobs(paths, output, mask_folder):
    """Return pairs of a picture's path and its result's."""
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    paths = list(dict.fromkeys(expand_user(path) for path in paths))
    if missing := [path for path in paths if not path.exists()]:
        raise UserError(
            [f"{path}: no such file or folder. Check the path." for path in missing]
        )
    output = None if output is None else expand_user(output)
    is_file = output is not None and output.suffix and not output.is_dir()
    if len(paths) == 1 and is_file and not paths[0].is_dir():
        format_of(output)
        return [(paths[0], output)]
    if output is not None and output.suffix.lower() in EXTENSIONS and is_file:
        count = "a folder" if len(paths) == 1 else f"{len(paths)} paths"
        raise UserError(
            f"{output}: `output` is the name of one picture, and {count} "
            "may hold more. Give a folder."
        )
    if output is not None and output.exists() and not output.is_dir():
        raise UserError(f"{output}: `output` is a file. Give a folder.")
    jobs = []
    for path in paths:
        if path.is_dir():
            folder = output or path / FOLDER
            # Masks and earlier results may be stored under the pictures' folder.
            skipped = [f.resolve() for f in (folder, mask_folder) if f is not None]
            skipped = [f for f in skipped if path.resolve() in f.parents]
            listed = list_images(path)
            for source in listed:
                if any(f in source.resolve().parents for f in skipped):
                    continue
                if not _is_result(source):
                    jobs.append((source, folder / source.relative_to(path)))
        elif output is None:
            jobs.append((path, path.with_name(f"{path.stem}{SUFFIX}{path.suffix}")))
        else:
            jobs.append((path, output / path.name))
    if not jobs:
        raise UserError(f"No picture found. Received: {', '.join(map(str, paths))}")
    return jobs


def _is_result(path):
    """Whether a file was written beside the picture that it was restored from."""
    if not path.stem.endswith(SUFFIX):
        return False
    return path.with_name(path.stem.removesuffix(SUFFIX) + path.suffix).exists()


class _Marks:
    """Finds what is to be restored in each picture."""

    def __init__(self, boxes, metadata, masks, mask_colour):
        self.fixed = {"boxes": boxes, "mask_colour": mask_colour}
        self.entries = self.masks = self.folder = None
        if metadata is not None:
            if isinstance(metadata, (str, os.PathLike)):
                metadata = load_metadata(expand_user(metadata))
            self.entries = {}
            for entry in metadata:
                self.entries.setdefault(entry.name, []).append(entry)
        if masks is not None:
            masks = expand_user(masks)
            if not masks.exists():
                raise UserError(f"{masks}: no such mask file or folder.")
            self.fixed["mask"] = masks
            if masks.is_dir():
                self.folder, self.masks = masks, {}
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
