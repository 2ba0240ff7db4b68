"""Restore one picture file or animation, and write it as it came."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from illustkit.errors import UserError
from illustkit.images import read_picture
from illustkit.images.animation import (
    ANIMATED,
    check_frames,
    count_frames,
    read_animation,
    write_animation,
)
from illustkit.images.colours import over_white
from illustkit.images.formats import HOLDS_QUALITY, format_of
from illustkit.images.read import Picture
from illustkit.images.write import changed_rows, check_like, write_bytes
from illustkit.progress import advance, begin, listening
from oppai.detection.find_censored import find_censored
from oppai.inference.marks import NothingCensoredError, write_mask
from oppai.inference.record import (
    Record,
    read_record,
    restored_mask,
    write_restored,
    write_restored_animation,
)
from oppai.inference.restore import restore, without_erased
from oppai.inference.sources import Job, Marks

NOTHING = "nothing censored was found: mark it with boxes, a mask or paint"
_log = logging.getLogger(__name__)


@dataclass
class FileRestorer:
    """Restores picture files, each as it came.

    Args:
        load: Returns the restorer; called once a picture needs it.
        marks: What marks the pictures.
        options: Further arguments of `restore`.
        again: See `restore_files`. Defaults to `False`.
        overwrite: See `restore_files`. Defaults to `False`.
        quality: See `restore_files`. Defaults to `None`.
    """

    load: Callable[[], Any]
    marks: Marks
    options: dict[str, Any] = field(default_factory=dict)
    again: bool = False
    overwrite: bool = False
    quality: int | None = None

    def restore(self, job: Job) -> None:
        """Restore and write one file, and the mask of what was restored.

        Raises:
            NothingCensoredError: If it shows nothing censored; nothing is written.
            UserError: If it cannot be read, restored or written.
        """
        with _naming(job.source):
            format_of(job.target)
            n, format = count_frames(job.source)
            if n > 1 and format in ANIMATED:
                check_frames(job.target, n, job.source)
                self._restore_animation(job)
                return
            if n > 1:
                _log.warning(
                    "%s: of its %d pictures, the first is restored.", job.source, n
                )
            self._restore_picture(job)

    def copy(self, job: Job) -> None:
        """Write a file in which nothing is restored: the same bytes, if it may be."""
        format = format_of(job.target)
        n, own = count_frames(job.source)
        anew = self.quality is not None and format in HOLDS_QUALITY
        if format == own and not anew:
            write_bytes(job.target, job.source.read_bytes())
        elif n > 1 and own in ANIMATED:
            check_frames(job.target, n, job.source)
            animation = read_animation(job.source)
            frames, quality = animation.frames, self.quality
            write_animation(job.target, frames, like=animation, quality=quality)
        else:
            picture = read_picture(job.source)
            check_like(job.target, picture)
            write_restored(job.target, picture.rgb, picture, quality=self.quality)

    def _restore_picture(self, job):
        picture = read_picture(job.source)
        if not self.marks.own_alpha:
            check_like(job.target, picture)
        marked = self.marks.find(job.source, picture.rgb.shape)
        # What is filled is restored whatever it shows.
        again = self.again or self.options.get("fill", False)
        earlier = [] if again else read_record(job.source).boxes_in(picture.rgb)
        done = restored_mask(picture.rgb.shape, earlier)
        used: list[np.ndarray] = []
        if self.marks.own_alpha:
            restored = self._fill_erased(picture, done, used)
            picture = _opaque(picture)
            check_like(job.target, picture)
        else:
            restored = self._restore_rgb(
                picture.rgb, picture.alpha, marked, done=done, used=used
            )
        if job.mask is not None:
            write_mask(job.mask, *used, overwrite=self.overwrite)
        quality = self.quality
        write_restored(job.target, restored, picture, earlier, quality=quality)

    def _restore_animation(self, job):
        """Restore every frame in which something is censored."""
        if self.marks.own_alpha:
            raise UserError(
                "is animated: its transparency does not tell what was erased. Give "
                "the file of a mask"
            )
        animation = read_animation(job.source)
        marked = self.marks.find(job.source, animation.frames[0].shape)
        again = self.again or self.options.get("fill", False)
        record = Record() if again else read_record(job.source)
        frames = _Edited(animation.frames)
        earlier, used, reason = [], [], None
        begin("frames", len(animation.frames))
        for number, frame in enumerate(animation.frames):
            rgb, alpha = frame[..., :3], frame[..., 3]
            alpha = None if (alpha == 255).all() else alpha
            earlier.append(record.boxes_in(rgb))
            done = restored_mask(rgb.shape, earlier[-1])
            try:
                # What is told inside a frame would hide how many are done.
                with listening(lambda *stage: None):
                    restored = self._restore_rgb(
                        rgb, alpha, marked, done=done, used=used
                    )
            except NothingCensoredError as error:
                reason = error
            else:
                frames.edit(number, restored, rgb)
            used[:] = [np.maximum.reduce(used)] if used else []
            advance()
        if not frames.edits:
            raise reason
        if job.mask is not None:
            write_mask(job.mask, *used, overwrite=self.overwrite)
        quality = self.quality
        write_restored_animation(
            job.target, frames, animation, earlier, quality=quality
        )

    def _fill_erased(self, picture, done, used):
        """Return what stands in the place of what is transparent."""
        shown = _shown(picture.rgb, picture.alpha)
        grow = self.options.get("grow", 0)
        shown, erased = without_erased(shown, picture.alpha, grow)
        options = {**self.options, "grow": 0, "blend": 1, "done": done, "used": used}
        return restore(shown, restorer=self.load(), found=erased, **options)

    def _restore_rgb(self, rgb, alpha, marked, **options):
        """Return restored colours; raise where nothing is censored."""
        shown = _shown(rgb, alpha)
        if not marked:
            found = find_censored(shown)
            if not found.regions:
                raise NothingCensoredError(NOTHING)
            marked = {"found": found}
        elif "boxes" in marked and not len(marked["boxes"]):
            raise NothingCensoredError("the metadata has no box for it")
        options = {**self.options, **options}
        restored = restore(shown, restorer=self.load(), **marked, **options)
        # Only rows in which something has changed: the picture may be a hundred times
        # as large as what is restored.
        rows = changed_rows(restored, shown)
        part, before = restored[rows], shown[rows]
        changed = (part != before).any(axis=-1, keepdims=True)
        beneath = under_alpha(part, None if alpha is None else alpha[rows])
        result = rgb.copy()
        result[rows] = np.where(changed, beneath, rgb[rows])
        return result


class _Edited(Sequence[np.ndarray]):
    """The frames of an animation, of which the changed parts alone are kept."""

    def __init__(self, frames: Sequence[np.ndarray]) -> None:
        self.frames = frames
        self.edits: dict[int, tuple[slice, np.ndarray]] = {}

    def edit(self, number: int, rgb: np.ndarray, before: np.ndarray) -> None:
        """Change the colours of a frame, uint8 `(height, width, 3)`."""
        rows = changed_rows(rgb, before)
        self.edits[number] = rows, rgb[rows].copy()

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, number):
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        frame = self.frames[number]
        if number not in self.edits:
            return frame
        rows, part = self.edits[number]
        frame = frame.copy()
        frame[rows, :, :3] = part
        return frame


def _opaque(picture: Picture) -> Picture:
    """Return a picture as it would be without its transparency."""
    samples, mode = picture.samples, picture.mode
    if mode in ("LA", "RGBA"):
        samples, mode = samples[..., :-1], mode[:-1]
        samples = samples[..., 0] if mode == "L" else samples
    return replace(picture, alpha=None, samples=samples, mode=mode, transparency=None)


@contextlib.contextmanager
def _naming(source):
    """Tell what `restore` warns of with the picture's name, and of each picture."""
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield
    finally:
        for line in caught:
            if line.filename == __file__:
                _log.warning("%s: %s", source, line.message)
            else:
                place = line.filename, line.lineno
                warnings.warn_explicit(line.message, line.category, *place)


def _shown(rgb, alpha):
    """Return a picture over white, as the network was trained."""
    return np.ascontiguousarray(rgb) if alpha is None else over_white(rgb, alpha)


def under_alpha(shown, alpha):
    """Return the colours that look like `shown` through the alpha over white."""
    if alpha is None:
        return shown
    cover = np.maximum(alpha[..., None], 1) / np.float32(255)
    colours = np.clip(255 - (255 - shown.astype(np.float32)) / cover, 0, 255)
    return np.rint(colours).astype(np.uint8)
