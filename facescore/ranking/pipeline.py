"""Rate the pictures of a folder in batches, and journal the records as they come."""

import hashlib
import io
import json
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from facescore.boxes import Face
from facescore.crops import failure
from facescore.detector.cascade import SHRINK, Cascade
from facescore.ranking.duplicates import colour_signature, perceptual_hash
from facescore.scorer.prediction import FaceScorer
from illustkit.errors import UserError
from illustkit.files import write_whole
from illustkit.images import read_image

NAME = "ranking.jsonl"


class Journal:
    """A file of JSON lines: the settings first, then a record for each picture.

    Lines are only appended. A last line that a kill has cut short is removed at the
    next start. Of two records of one file the later counts.

    Args:
        path: The file; made if it is missing.
        settings: Dict of texts and numbers that the records depend on.
        resume: Continue an existing file rather than begin it anew. Defaults to
            `True`.

    Raises:
        UserError: If the existing file has other settings, or is no journal.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], resume: bool = True
    ) -> None:
        self.path = path
        if resume and path.exists() and path.stat().st_size > 0:
            self._check(settings)
        else:
            write_whole(path, _line({"facescore": "ranking", "settings": settings}))
        self._file, self._synced = open(path, "ab"), time.monotonic()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append records: safe from a kill at once, from a power cut after seconds."""
        self._file.write(b"".join(map(_line, records)))
        self._file.flush()
        if time.monotonic() > self._synced + 5:  # it takes as long as some pictures
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def records(self) -> Iterator[dict[str, Any]]:
        """Read one record after the other, each a dict with "file"."""
        with open(self.path, "rb") as file:
            next(file)
            for line in file:
                yield json.loads(line)

    def _check(self, settings):
        good = 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file):
                try:
                    record = json.loads(line)
                    if not line.endswith(b"\n"):
                        raise UserError("cut short")
                    if number == 0:
                        before = record["settings"]
                    else:
                        record["file"]
                except (ValueError, KeyError, TypeError) as error:
                    if number and not file.read(1):
                        break  # the last line, which a kill cut short
                    raise UserError(
                        f"{self.path}, line {number + 1}: is no record of a ranking. "
                        "Rank anew with --overwrite (resume=False)."
                    ) from error
                good = file.tell()
        os.truncate(self.path, good)
        settings = json.loads(json.dumps(settings))
        if changed := [key for key in settings if settings[key] != before.get(key)]:
            raise UserError(
                f"{self.path.parent} holds a ranking with another {', '.join(changed)}"
                ". Choose another output, or rank anew with --overwrite (resume=False)."
            )


def fingerprint(model: Any) -> str:
    """Return a short text that two models share only if they give the same results.

    Args:
        model: A scorer, a detector, a `Cascade`, a function, or `None`.

    Returns:
        The class's name, and a digest of its settings and weights.
    """
    if model is None:
        return "none"
    name = getattr(model, "__qualname__", type(model).__qualname__)
    digest = hashlib.sha256()
    fields = ("image_size", "margin", "square", "objective", "mean", "scale")
    digest.update(repr([getattr(model, field, None) for field in fields]).encode())
    if calibration := getattr(model, "calibration", None):
        digest.update(repr(calibration).encode())
    part = model
    while part is not None:  # a detector or a scorer, its network, an exported file
        if isinstance(getattr(part, "path", None), Path):
            digest.update(part.path.read_bytes())
        if isinstance(part, Cascade):
            digest.update(f"{SHRINK}".encode())
        if hasattr(part, "get_weights"):
            for weight in part.get_weights():
                digest.update(np.ascontiguousarray(weight).tobytes())
            break
        part = getattr(part, "network", None)
    return f"{name} {digest.hexdigest()[:16]}"


def _line(record):
    # ASCII, so that names that are no Unicode are restored byte by byte.
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


THUMBNAILS = "thumbnails"
_BATCH = 8  # pictures that are searched, scored and journaled at once


class Clock(defaultdict[str, float]):
    """Seconds by stage."""

    def __init__(self) -> None:
        super().__init__(float)

    @contextmanager
    def time(
        self, stage: str, clock: Callable[[], float] = time.perf_counter
    ) -> Iterator[None]:
        """Add the time that passes inside to a stage."""
        start = clock()
        try:
            yield
        finally:
            self[stage] += clock() - start


def rate_pictures(
    paths: Iterable[Path],
    folder: Path,
    output: Path,
    rate: FaceScorer,
    *,
    workers: int,
    clock: Clock,
) -> Iterator[list[dict[str, Any]]]:
    """Find and score the faces of pictures, a batch at a time.

    Threads decode ahead. Memory holds the pictures of one batch and of the threads.

    Args:
        paths: Paths of the pictures.
        folder: Folder that records name them from.
        output: Folder for the thumbnails.
        rate: Finds and scores faces.
        workers: Threads that decode.
        clock: Receives the seconds of each stage.

    Yields:
        Lists of records, in the order of the paths.
    """

    def load(path):
        return _load(path, folder, output, clock)

    remaining = iter(paths)
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                batch: list[Any] = []
                while len(batch) < _BATCH:
                    # A whole batch ahead: it decodes while the last is searched.
                    while len(waiting) < _BATCH + workers:
                        if (path := next(remaining, None)) is None:
                            break
                        waiting.append(pool.submit(load, path))
                    if not waiting:
                        break
                    with clock.time("wait"):
                        batch.append(waiting.popleft().result())
                if not batch:
                    return
                yield _rate(batch, rate, clock)
        finally:
            for job in waiting:
                job.cancel()


class RatingWorker:
    """Rates pictures in a process of a cluster.

    Args:
        folder: As in `rate_pictures`, which all processes see.
        output: The same.
        scorer: Run folder or file of a scorer.
        detector: Name, run folder or file of a detector, or `None`.
        options: Further options of `FaceScorer`.
    """

    def __init__(
        self,
        folder: str,
        output: str,
        scorer: str,
        detector: str | None,
        options: Mapping[str, Any],
    ) -> None:
        self.folder, self.output = Path(folder), Path(output)
        self.rate = FaceScorer(scorer, detector, **options)

    def __call__(self, names: list[str]) -> list[dict[str, Any]]:
        """Return the records of pictures.

        Args:
            names: Their names within the folder.
        """
        clock = Clock()
        batch = [
            _load(self.folder / name, self.folder, self.output, clock) for name in names
        ]
        return _rate(batch, self.rate, clock)


def _load(path, folder, output, clock):
    """Return a record without faces and the picture; or with an error, and `None`."""
    record = {"file": path.relative_to(folder).as_posix()}
    try:
        record.update(stamp(path))
        with clock.time("decode", time.thread_time):
            image = read_image(path)
        with clock.time("thumbnail", time.thread_time):
            small, data = _thumbnail(image)
        with clock.time("hash", time.thread_time):
            record["hash"] = f"{perceptual_hash(small):016x}"
            record["colours"] = colour_signature(small).hex()
    except Exception as error:
        record["error"] = failure(path, error).removeprefix(f"{path}: ")
        return record, None
    # A full disk is not the picture's fault: this may stop the run.
    name = hashlib.sha256(record["file"].encode("utf-8", "surrogateescape"))
    record["thumbnail"] = f"{THUMBNAILS}/{name.hexdigest()[:24]}.jpg"
    write_whole(output / record["thumbnail"], data)
    record["width"], record["height"] = image.shape[1::-1]
    return record, image


def stamp(path: Path) -> dict[str, int]:
    """Return size and time of a file, which say whether its record still holds."""
    status = path.stat()
    return {"size": status.st_size, "time": status.st_mtime_ns}


def _thumbnail(image):
    from PIL import Image

    small = Image.fromarray(image)
    small.thumbnail((320, 320), Image.Resampling.LANCZOS, reducing_gap=2.0)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=82)
    return np.asarray(small), stream.getvalue()


def _rate(batch, rate, clock):
    read = [(record, image) for record, image in batch if image is not None]
    with clock.time("detect"):
        detections = _find([image for _, image in read], rate)
    crops, owners = [], []
    with clock.time("crop"):
        for (record, image), faces in zip(read, detections, strict=True):
            if isinstance(faces, str):
                record["error"] = faces
                continue
            try:
                cut = rate.crop(image, faces)
            except Exception as error:
                record["error"] = failure("", error)
                continue
            record["faces"] = []
            crops += cut
            owners += [(record, face) for face in faces]
    with clock.time("score"):
        scores = rate.score(crops).tolist()
    for (record, face), score in zip(owners, scores, strict=True):
        box = [round(float(v), 2) for v in face.box]
        row = [*box, round(float(face.confidence), 4), round(score, 5)]
        record["faces"].append(row)
    return [record for record, _ in batch]


def _find(images, rate: FaceScorer) -> list[list[Face] | str]:
    """Return the faces of each picture, or what is wrong with it."""
    try:
        return list(rate.find(images))
    except Exception as error:
        failure("", error)  # of one of the pictures; each by itself shows which

    def find(image):
        try:
            return rate.find([image])[0]
        except Exception as error:
            return failure("", error)

    return [find(image) for image in images]
