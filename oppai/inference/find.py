"""Find what is censored in files, folders and archives, and restore nothing."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError, as_user_error
from illustkit.files import check_writable
from illustkit.images import read_image
from illustkit.images.animation import ANIMATED, count_frames, read_animation
from illustkit.images.colours import over_white
from illustkit.progress import advance, begin, inner_bar, listening
from oppai.censoring.regions import Region
from oppai.detection.find_censored import Found, find_censored
from oppai.inference.archives import is_archive, unpacked
from oppai.inference.marks import write_mask
from oppai.inference.sources import Job, Marks, PathLike, page_jobs, plan_jobs


@dataclass
class FindReport:
    """Lists what was found in each picture.

    Attributes:
        regions: A dict for each region: its "picture", the "frame" of it (0 but in
            animations), the "kind", the "box" [left, top, right, bottom] in pixels, a
            mosaic's "block" [width, height] in pixels and "opacity" (1 where nothing
            shows through), and a blur's "sigma" in pixels; `None` where the kind has
            none.
        clean: Paths of the pictures that show nothing censored.
        masks: Paths of the masks that were written.
        left_out: Pairs (path, reason) of the pictures that cannot be read.
    """

    regions: list[dict[str, Any]] = field(default_factory=list)
    clean: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """A line for each picture that was left out."""
        return [
            reason if str(path) in reason else f"{path}: {reason}"
            for path, reason in self.left_out
        ]

    @property
    def table(self) -> str:
        """A line for each region, and one of headings; empty without a region."""
        if not self.regions:
            return ""
        rows = [["picture", "frame", "kind", "box", "block or sigma", "opacity"]]
        rows += [_row(region) for region in self.regions]
        if not any(region["frame"] for region in self.regions):
            for row in rows:
                del row[1]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (
            "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True))
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines)

    @property
    def counts(self) -> str:
        """The numbers of pictures and regions in one line."""
        n = len({region["picture"] for region in self.regions})
        regions = _number(len(self.regions), "censored region")
        text = f"{regions} in {_number(n, 'picture')}"
        if self.clean:
            text += f", {len(self.clean)} show nothing censored"
        if self.left_out:
            text += f", {len(self.left_out)} left out"
        return text + "."

    def __str__(self) -> str:
        return "\n".join(filter(None, [self.table, self.counts, *self.problems]))


def _number(n, what):
    return f"{n} {what}{'' if n == 1 else 's'}"


def _row(region):
    size = ""
    if region["block"]:
        width, height = (f"{side:.4g}" for side in region["block"])
        size = width if width == height else f"{width}x{height}"
    elif region["sigma"] is not None:
        size = f"{region['sigma']:.3g}"
    opacity = "" if region["opacity"] is None else f"{region['opacity']:.2f}"
    box = ",".join(map(str, region["box"]))
    frame = str(region["frame"])
    return [region["picture"], frame, region["kind"], box, size, opacity]


def find_files(
    paths: PathLike | Sequence[PathLike],
    *,
    save_masks: PathLike | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> FindReport:
    """Find what is censored in files, folders or archives; nothing is restored.

    Example:
    ```python
    report = find_files("pictures", save_masks="masks")
    print(report.table)
    restore_files("pictures", masks="masks")
    ```

    Args:
        paths: A file, a folder, an archive (.zip, .cbz), or a list of them.
        save_masks: Folder for a mask of each picture, or for one picture a file: white
            where it is hidden, as `restore_files` takes them; black where nothing was
            found. Of an animation it shows all frames. Defaults to `None`, no masks.
        overwrite: Replace masks that exist. Defaults to `False`: a picture with another
            mask is left out.
        progress: Show a progress bar. Defaults to `True`.

    Returns:
        A `FindReport`.

    Raises:
        UserError: Before the first picture: if a file is missing, there is no picture,
            or the masks cannot be written.
    """
    from tqdm import tqdm

    jobs = plan_jobs(paths, save_masks=save_masks)
    for folder in dict.fromkeys(job.mask.parent for job in jobs if job.mask):
        check_writable(folder)
    run = _Run(overwrite, progress)
    for job in tqdm(jobs, unit="picture", disable=not progress):
        if not is_archive(job.source):
            run.find(job, str(job.source))
            continue
        with run.leaving_out(job.source), unpacked(job.source) as pages:
            options = {"unit": "picture", "desc": job.source.name, "leave": False}
            inner = page_jobs(pages, marks=Marks(), masks=job.mask)
            for page in tqdm(inner, disable=not progress, **options):
                run.find(page, pages.in_archive(str(page.source)))
    return run.report


class _Run:
    """Finds in one picture after the other, and reports what."""

    def __init__(self, overwrite: bool, progress: bool) -> None:
        self.overwrite, self.progress = overwrite, progress
        self.report = FindReport()
        self.taken: set[Path] = set()

    def find(self, job: Job, name: str) -> None:
        """Find in one picture, which the report calls by a name."""
        report = self.report
        with self.leaving_out(Path(name), job.source):
            if job.mask is not None:
                if job.mask.resolve() in self.taken:
                    raise UserError(f"another picture's mask is {job.mask}")
                self.taken.add(job.mask.resolve())
            with inner_bar(job.source.name, show=self.progress):
                found = _find(job.source)
            regions = [
                _entry(name, frame, region)
                for frame, one in enumerate(found)
                for region in one.regions
            ]
            if job.mask is not None:
                mask = np.maximum.reduce([one.mask for one in found])
                write_mask(job.mask, mask, overwrite=self.overwrite)
                report.masks.append(job.mask)
            report.regions += regions
            if not regions:
                report.clean.append(Path(name))

    @contextlib.contextmanager
    def leaving_out(self, path: Path, file: Path | None = None) -> Iterator[None]:
        """Report what a user can mend, and go on with the next picture."""
        try:
            yield
        except Exception as error:
            if (problem := as_user_error(error, file or path)) is None:
                raise
            reason = str(problem)
            if file is not None:
                reason = reason.replace(str(file), str(path))
            self.report.left_out.append((path, reason))


def _find(path: Path) -> list[Found]:
    """Return what is found in a picture, or in each frame of an animation."""
    n, format = count_frames(path)
    if n == 1 or format not in ANIMATED:
        return [find_censored(read_image(path))]
    frames, found = read_animation(path).frames, []
    begin("frames", n)
    for frame in frames:
        # What is told inside a frame would hide how many are done.
        with listening(lambda *stage: None):
            found.append(find_censored(over_white(frame[..., :3], frame[..., 3])))
        advance()
    return found


def _entry(name: str, frame: int, region: Region) -> dict[str, Any]:
    grid = region.grid
    opacity = region.opacity
    if grid is not None and opacity is None:
        opacity = 1.0
    return {
        "picture": name,
        "frame": frame,
        "kind": region.kind,
        "box": [int(value) for value in region.box],
        "block": None if grid is None else [float(side) for side in grid.block],
        "sigma": None if region.sigma is None else float(region.sigma),
        "opacity": None if opacity is None else float(opacity),
    }
