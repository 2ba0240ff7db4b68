"""Restore files, folders and archives; results are written beside the pictures."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from illustkit.cluster import (
    RAY,
    map_to_shards,
    read_shards,
    remove_shards,
    whole_path,
)
from illustkit.engines import ENGINES
from illustkit.errors import UserError, as_user_error
from illustkit.files import check_writable, expand_user, remove_leftovers
from illustkit.images.formats import HOLDS_QUALITY
from illustkit.options import check_choice, check_number
from illustkit.progress import inner_bar
from oppai.data.metadata import load_metadata
from oppai.inference.archives import is_archive, pack_like, unpacked
from oppai.inference.marks import NothingCensoredError, check_boxes, painted_mask
from oppai.inference.one_file import NOTHING, FileRestorer
from oppai.inference.restore import (
    LOADING,
    OWN_ALPHA,
    check_changes,
    open_restorer,
    whole_blend,
)
from oppai.inference.sources import (
    FORMATS,
    KEEP,
    Job,
    Marks,
    PathLike,
    page_jobs,
    plan_jobs,
)
from oppai.models.pretrained import PRECISIONS, SHIPPED

if TYPE_CHECKING:
    from oppai.models.restorers import BaseRestorer

# Seconds after which the half-written file of a killed run is no one's work any more.
_OLD = 3600
SHARDS = ".restore-shards"  # what processes of Ray report, in the results' folder


@dataclass
class RestoreReport:
    """Lists what became of each picture.

    Attributes:
        written: Paths of the restored pictures, in order.
        skipped: Paths of the results that exist already, and stay.
        copied: Paths of the copies of pictures that show nothing censored.
        unmarked: Pairs (path, reason) of the pictures that show nothing censored, or
            nothing where they are marked; nothing is written.
        left_out: Pairs (path, reason) of the pictures that were not restored.
        notes: A line for each archive: how many of its pictures are restored.
    """

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    copied: list[Path] = field(default_factory=list)
    unmarked: list[tuple[Path, str]] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

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
            "copied as they are": len(self.copied),
            "show nothing censored": len(self.unmarked),
            "left out": len(self.left_out),
        }

    @property
    def counts(self) -> str:
        """The numbers in one line."""
        kinds = [f"{n} {k}" for k, n in self.numbers.items() if n or k == "restored"]
        return ", ".join(kinds) + "."

    def add(self, record: Mapping[str, Any], job: Job) -> None:
        """Add what a process of a cluster reports of one picture.

        Args:
            record: Dict from the names of the attributes to lists of texts.
            job: The picture; its paths are given as they are here.
        """

        def told(text: str) -> str:
            for path in job.source, *job.written:
                text = text.replace(os.path.abspath(path), str(path))
            return text

        for paths in "written", "skipped", "copied":
            getattr(self, paths).extend(Path(told(path)) for path in record[paths])
        for pairs in "unmarked", "left_out":
            getattr(self, pairs).extend(
                (Path(told(path)), told(reason)) for path, reason in record[pairs]
            )
        self.notes += map(told, record["notes"])

    def __str__(self) -> str:
        lines = [self.counts]
        lines += [f"  {note}" for note in self.notes]
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
    mask_pattern: str | None = None,
    mask_colour: Sequence[int] | None = None,
    again: bool = False,
    save_masks: PathLike | None = None,
    format: str = KEEP,
    quality: int | None = None,
    copy_clean: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool = True,
    **options: Any,
) -> RestoreReport:
    """Restore one file, several files, or all pictures of a folder.

    Size, mode, alpha channel, EXIF and ICC profile stay as they were, and so do all
    frames of an animated GIF, PNG or WebP, each of which is restored. A picture that
    cannot be read or restored is left out, with its reason in the report, and the run
    goes on. A result that exists already is skipped: a run that was stopped goes on
    when it is called again. A picture that shows nothing censored is not copied, unless
    `copy_clean` says so.

    A ZIP or CBZ that is named, or lies in a folder, becomes another one, in which its
    pictures are restored; their order and all else stay.

    Example:
    ```python
    report = restore_files("pictures", restorer=restorer, masks="masks")
    print(report)  # 41 restored, 1 left out. …
    ```

    Args:
        paths: A file, a folder, an archive (.zip, .cbz), or a list of them.
        restorer: As `oppai.load_restorer` returns it, or what that takes: it is loaded
            once a picture needs it. Defaults to `None`, the package's own.
        output: Folder to write to, or for one file a file. Defaults to `restored/` in
            a given folder, and to `<stem>_restored` beside a given file.
        boxes: Boxes (left, top, right, bottom) in pixels, the same for every picture.
            Give one of `boxes`, `metadata`, `masks`, `mask_pattern` and `mask_colour`,
            or none, and `oppai.find_censored` finds what is censored.
        metadata: Path of the chapter's JSON, or what `load_metadata` returns; its
            boxes are taken for the pictures whose file name it has, scaled where the
            picture has another size in the same proportions.
        masks: A mask file for every picture, or a folder of masks in which each
            picture's is found by its stem. White is restored; see `oppai.restore` for
            masks with transparency. "alpha" restores what was erased from each
            picture, that is, what is transparent in it; it is opaque afterwards.
        mask_pattern: Name of the mask beside each picture, with {stem} (a of a.png) or
            {name} in it, as "{stem}_mask.png" or "masks/{name}".
        mask_colour: RGB colour with which regions are painted over.
        again: Restore also what the file's record says was restored before and has not
            changed since, whatever marks it; `fill` does so too. PNG, JPEG, WebP and
            GIF hold such a record, animations too. Defaults to `False`: it stays byte
            for byte.
        save_masks: Folder for the masks of what is restored, or for one picture a
            file: white where it is, with the soft rim, as `masks` takes them again. An
            animation has one mask for all frames. Defaults to `None`.
        format: "png", "jpg" or "webp", in which the results are written; "keep" is
            each picture's own. Defaults to "keep".
        quality: 1 to 100, of JPEG, WebP and AVIF files, which are then compressed anew
            as a whole. Defaults to `None`: as the picture was, or the most exact.
        copy_clean: Copy pictures that show nothing censored, so that the output folder
            is whole. Defaults to `False`.
        overwrite: Replace files that exist; the pictures themselves too where
            `output` is their folder. Defaults to `False`.
        workers: Number of processes of `engine` "ray". Defaults to one for each core.
        progress: Show a progress bar. Defaults to `True`.
        **options: `blend`, `feather`, `tolerance`, `grow`, `invert`, `fill`,
            `batch_size`, `engine`, `precision` and `mirror` of `restore`. `engine` may
            be "ray", too: processes of Ray restore the pictures, on this machine or on
            a cluster whose machines all see the folders. The restorer is named then.
            The files are those of one process; one value in some 50,000 may differ by a
            level, since a network with one thread adds up in another order.

    Returns:
        A `RestoreReport`.

    Raises:
        UserError: Before the first picture: if what to restore is given twice, an
            option has an invalid value, a file is missing, there is no picture, or the
            output cannot be written.
    """
    from tqdm import tqdm

    sources = {
        "boxes": boxes,
        "metadata": metadata,
        "masks": masks,
        "mask_pattern": mask_pattern,
        "mask_colour": mask_colour,
    }
    _check_options(sources, options)
    check_number("workers", workers, whole=True, least=1)
    _check_form(format, quality)
    marks = Marks(**sources)
    jobs = plan_jobs(
        paths, output=output, marks=marks, format=format, save_masks=save_masks
    )
    _check_targets(jobs, overwrite)
    remove_leftovers([job.target for job in jobs], older_than=_OLD)
    setting = _Setting(
        restorer, sources, options, again, overwrite, quality, format, copy_clean
    )
    if options.get("engine") == RAY:
        return _spread(jobs, setting, workers, progress)
    run = setting.run(progress)
    for job in tqdm(jobs, unit="picture", disable=not progress):
        run.restore(job)
    return run.report


@dataclass
class _Setting:
    """How pictures are restored: what a process of a cluster is told."""

    restorer: Any
    sources: dict[str, Any]
    options: dict[str, Any]
    again: bool
    overwrite: bool
    quality: int | None
    format: str
    copy_clean: bool

    def run(self, progress: bool) -> "_Run":
        options = dict(self.options)
        load = _Loader(self.restorer, options)
        marks = Marks(**self.sources)
        one = FileRestorer(
            load, marks, options, self.again, self.overwrite, self.quality
        )
        return _Run(one, self.format, self.copy_clean, progress)

    def for_processes(self) -> "_Setting":
        """Return what holds in processes that have a working folder of their own.

        Raises:
            UserError: If the restorer is an open one.
        """
        restorer, sources = self.restorer, dict(self.sources)
        if not isinstance(restorer, str | os.PathLike | None):
            raise UserError(
                "`engine` ray opens the restorer in each process: name it, its run or "
                f"its file. Received: {restorer!r}"
            )
        if sources["masks"] not in (None, OWN_ALPHA):
            sources["masks"] = whole_path(sources["masks"])
        if isinstance(sources["metadata"], str | os.PathLike):
            sources["metadata"] = load_metadata(expand_user(sources["metadata"]))
        options = {k: v for k, v in self.options.items() if k != "engine"}
        restorer = whole_path(restorer, SHIPPED)
        return replace(self, restorer=restorer, sources=sources, options=options)


def _spread(jobs, setting, workers, progress):
    """Restore in processes of Ray; return what became of each picture, in order."""
    setting = setting.for_processes()
    run = setting.run(progress=False)
    run.one.load()  # a wrong name shows before any process starts
    todo, claimed = {}, set()
    for number, job in enumerate(jobs):
        own = {path.resolve() for path in job.written}
        if not own & claimed and (setting.overwrite or not job.target.exists()):
            todo[number] = job
        claimed |= own
    folder = os.path.commonpath([os.path.abspath(job.target.parent) for job in jobs])
    shards = Path(folder, SHARDS)
    remove_shards(shards)
    items = [json.dumps([n, *map(_absolute, job)]) for n, job in todo.items()]
    options = {"workers": workers, "progress": progress}
    try:
        map_to_shards(items, _Worker, [setting], shards, **options)
        records = {record["number"]: record for record in read_shards(shards)}
    finally:
        remove_shards(shards)
    for number, job in enumerate(jobs):
        if number in records:
            run.report.add(records[number], job)
            run.taken |= {path.resolve() for path in job.written}
        else:
            run.restore(job)  # it is there, or another is written to its place
    return run.report


class _Worker:
    """Restores pictures in a process of a cluster."""

    def __init__(self, setting):
        self.setting = setting
        self.one = setting.run(progress=False).one

    def __call__(self, items):
        return [self._restore(*json.loads(item)) for item in items]

    def _restore(self, number, source, target, name, mask):
        run = self.setting.run(progress=False)
        run.one = self.one  # with the restorer that is open
        job = Job(Path(source), Path(target), Path(name), mask and Path(mask))
        run.restore(job)
        kinds = asdict(run.report).items()
        return {"number": number} | {k: [_plain(v) for v in of] for k, of in kinds}


def _plain(value):
    return [*map(str, value)] if isinstance(value, tuple) else str(value)


def _absolute(path):
    return path and os.path.abspath(path)


class _Run:
    """Restores one file after the other, and reports what became of each."""

    def __init__(
        self, one: FileRestorer, format: str, copy_clean: bool, progress: bool
    ) -> None:
        self.one, self.format = one, format
        self.copy_clean, self.progress = copy_clean, progress
        self.report = RestoreReport()
        self.taken: set[Path] = set()

    def restore(self, job: Job) -> None:
        """Restore one file; what a user can mend is reported and does not end the run.

        Raises:
            UserError: If there is no restorer: no picture can be restored without it.
        """
        report = self.report
        try:
            for path in job.written:
                if (place := path.resolve()) in self.taken:
                    raise UserError(f"another picture is written to {path}")
                self.taken.add(place)
            if job.target.exists() and not self.one.overwrite:
                report.skipped.append(job.target)
                return
            if is_archive(job.source):
                self._restore_archive(job)
                return
            with inner_bar(job.source.name, show=self.progress):
                self.one.restore(job)
            report.written.append(job.target)
        except NothingCensoredError as error:
            self._leave(job, str(error))
        except _NoRestorerError as error:
            raise error.problem from None
        except Exception as error:
            self._leave_out(job, error)

    def _restore_archive(self, job):
        """Restore the pictures of a ZIP or CBZ, and write it with them."""
        from tqdm import tqdm

        with unpacked(job.source) as pages:
            inner = _Run(self.one, self.format, self.copy_clean, self.progress)
            jobs = page_jobs(
                pages, marks=self.one.marks, format=self.format, masks=job.mask
            )
            options = {"unit": "picture", "desc": job.source.name, "leave": False}
            for page in tqdm(jobs, disable=not self.progress, **options):
                inner.restore(page)
            told = inner.report
            for path, reason in told.left_out:
                name = pages.in_archive(str(path))
                self.report.left_out.append((Path(name), pages.in_archive(reason)))
            if not told.written and not self.copy_clean:
                raise NothingCensoredError(f"in its {len(jobs)} pictures {NOTHING}")
            done = {*told.written, *told.copied}
            replaced = {
                page.name.as_posix(): (
                    page.target.relative_to(pages.results).as_posix(),
                    page.target,
                )
                for page in jobs
                if page.target in done and page.target.exists()
            }
            pack_like(job.target, job.source, replaced)
        number = f"{len(told.written)} of its {len(jobs)} pictures are restored"
        self.report.notes.append(f"{job.target}: {number}.")
        written = self.report.written if told.written else self.report.copied
        written.append(job.target)

    def _leave(self, job, reason):
        """Copy a picture that shows nothing censored, or say that it is left."""
        if not self.copy_clean:
            self.report.unmarked.append((job.source, reason))
            return
        try:
            if job.target.resolve() != job.source.resolve():
                self.one.copy(job)
            self.report.copied.append(job.target)
        except Exception as error:
            self._leave_out(job, error)

    def _leave_out(self, job, error):
        if (problem := as_user_error(error, job.source)) is None:
            raise error
        self.report.left_out.append((job.source, str(problem)))


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


def _check_options(sources, options):
    """Refuse what no picture could be restored with, before the first one."""
    given = [name for name, value in sources.items() if value is not None]
    if len(given) > 1:
        raise UserError(
            f"Say what to restore by one of {', '.join(sources)}. "
            f"Received: {' and '.join(given)}"
        )
    grow, invert = options.get("grow", 0), options.get("invert", False)
    check_changes(given, grow, invert, sources["masks"])
    boxes, mask_colour = sources["boxes"], sources["mask_colour"]
    blend, tolerance = options.get("blend"), options.get("tolerance", 0)
    check_number("blend", blend, least=0, most=1)
    check_number("feather", options.get("feather"), least=0)
    check_number("tolerance", tolerance, whole=True, least=0, most=255)
    check_number("batch_size", options.get("batch_size"), whole=True, least=1)
    check_choice("engine", options.get("engine"), [*ENGINES, RAY])
    check_choice("precision", options.get("precision"), PRECISIONS)
    if boxes is not None:
        check_boxes(boxes)
    if mask_colour is not None:
        painted_mask(np.zeros((1, 1, 3), np.uint8), mask_colour)
    if mask_colour is not None or sources["masks"] == OWN_ALPHA:
        whole_blend(blend)
    if tolerance and mask_colour is None:
        raise UserError(
            "`tolerance` is how far paint may differ from `mask_colour`: give both."
        )


def _check_form(format, quality):
    """Refuse a format that is none, and a quality that no file could have."""
    check_choice("format", format, FORMATS)
    check_number("quality", quality, whole=True, least=1, most=100)
    if quality is not None and FORMATS[format] not in (None, *HOLDS_QUALITY):
        raise UserError(
            f"`quality` is for JPEG, WebP and AVIF: {format} loses nothing. Leave it "
            "away, or choose another `format`."
        )


def _check_targets(jobs, overwrite):
    """Refuse outputs that cannot be written, before the first picture is read."""
    for job in jobs:
        if not overwrite and job.target.resolve() == job.source.resolve():
            raise UserError(
                f"{job.target}: is the picture itself. Give another `output`; "
                "`overwrite` replaces the pictures."
            )
    for folder in dict.fromkeys(path.parent for job in jobs for path in job.written):
        check_writable(folder)
