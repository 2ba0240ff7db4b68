"""From files to records: decoded ahead in threads, faces scored in batches."""

import hashlib
import io
import json
import os
import time
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facescore.boxes import Face
from facescore.crops import as_face, crop_face
from facescore.ranking.duplicates import colour_signature, perceptual_hash
from facescore.scorer.data import fit_crop
from illustkit.files import write_whole
from illustkit.images import read_image

NAME = "ranking.jsonl"


class Journal:
    """A file of JSON lines: the settings first, then a record a picture.

    Lines are only ever added. A line that a kill has cut short is taken off at the next
    start. Of two records of one file the later counts.

    Args:
        path: The file; made where it is missing.
        settings: Dict of texts and numbers that the records depend on.
        resume: Go on with the file that stands there, rather than begin it anew.
            Defaults to `True`.

    Raises:
        ValueError: if the file that stands there has other settings, or is no journal.
    """

    def __init__(self, path, settings, resume=True):
        self.path = path
        there = path.exists() and path.stat().st_size > 0
        if there and resume:
            self._check(settings)
        else:
            write_whole(path, _line({"facescore": "ranking", "settings": settings}))
        self._file, self._synced = open(path, "ab"), time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def append(self, records):
        """Add records: safe from a kill at once, from a power cut after seconds."""
        self._file.write(b"".join(map(_line, records)))
        self._file.flush()
        if time.monotonic() > self._synced + 5:  # it takes as long as some pictures
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def records(self):
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
                        raise ValueError("cut short")
                    if number == 0:
                        before = record["settings"]
                    else:
                        record["file"]
                except (ValueError, KeyError, TypeError) as error:
                    if number and not file.read(1):
                        break  # the last line only: where a kill came in
                    raise ValueError(
                        f"{self.path}, line {number + 1}: is no record of a ranking. "
                        "Rank anew with resume=False."
                    ) from error
                good = file.tell()
        os.truncate(self.path, good)
        settings = json.loads(json.dumps(settings))
        if other := [key for key in settings if settings[key] != before.get(key)]:
            raise ValueError(
                f"{self.path.parent} holds a ranking with another {', '.join(other)}. "
                "Choose another output, or rank anew with resume=False."
            )


def fingerprint(model):
    """A short text that two models share only if they give the same answers.

    Args:
        model: A scorer, a detector, a `Cascade`, a function, or `None`.

    Returns:
        The class's name, and a digest of the weights where there are any.
    """
    if model is None:
        return "none"
    name = getattr(model, "__qualname__", type(model).__qualname__)
    digest = hashlib.sha256()
    fields = ("image_size", "margin", "square", "objective", "mean", "scale")
    digest.update(repr([getattr(model, field, None) for field in fields]).encode())
    if isinstance(getattr(model, "path", None), Path):  # a cascade's file
        digest.update(model.path.read_bytes())
    network = getattr(model, "network", model)
    if hasattr(network, "get_weights"):
        for weight in network.get_weights():
            digest.update(np.ascontiguousarray(weight).tobytes())
    return f"{name} {digest.hexdigest()[:16]}"


def _line(record):
    # ASCII: names that are no Unicode come back as they were.
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


THUMBNAILS = "thumbnails"
FAILURES = ValueError, OSError, MemoryError
_BATCH = 8  # pictures: as many are found in, scored and written down at once


class Models(NamedTuple):
    """What finds and scores faces.

    Args:
        scorer: Has `predict_scores`, `image_size`, `margin` and `square`.
        detector: Has `detect`, and `detect_all` if it takes several pictures at once;
            or a function from an image to its faces; or `None` for whole pictures.
        options: Dict of `conf`, `iou`, `imgsz` and `tile`, for `detect_all`.
    """

    scorer: object
    detector: object
    options: dict


class Clock(defaultdict):
    """Seconds by stage."""

    def __init__(self):
        super().__init__(float)

    @contextmanager
    def time(self, stage, clock=time.perf_counter):
        """Add what passes inside to a stage."""
        start = clock()
        try:
            yield
        finally:
            self[stage] += clock() - start


def rate_pictures(paths, folder, output, models, *, workers, clock):
    """Find and score the faces of pictures, some at a time.

    Memory holds the pictures of one batch and of the threads, however many there are.

    Args:
        paths: Paths of the pictures.
        folder: Folder that records name them from.
        output: Folder for the thumbnails.
        models: `Models`.
        workers: Threads that decode.
        clock: A `Clock`, for what each stage took.

    Yields:
        Lists of records, in the order of the paths.
    """

    def load(path):
        return _load(path, folder, output, clock)

    paths, waiting = iter(paths), deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                batch = []
                while len(batch) < _BATCH:
                    # A whole batch ahead: it decodes while the last is searched.
                    while len(waiting) < _BATCH + workers:
                        if (path := next(paths, None)) is None:
                            break
                        waiting.append(pool.submit(load, path))
                    if not waiting:
                        break
                    with clock.time("wait"):
                        batch.append(waiting.popleft().result())
                if not batch:
                    return
                yield _rate(batch, models, clock)
        finally:
            for job in waiting:
                job.cancel()


def _load(path, folder, output, clock):
    """A record without faces, and the picture; or with the error, and `None`."""
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
    except FAILURES as error:
        record["error"] = _reason(error, path)
        return record, None
    # A full disk is no fault of the picture: this may stop the run.
    name = hashlib.sha256(record["file"].encode("utf-8", "surrogateescape"))
    record["thumbnail"] = f"{THUMBNAILS}/{name.hexdigest()[:24]}.jpg"
    write_whole(output / record["thumbnail"], data)
    record["width"], record["height"] = image.shape[1::-1]
    return record, image


def stamp(path):
    """Size and time of a file: whether a record is still true of it."""
    status = path.stat()
    return {"size": status.st_size, "time": status.st_mtime_ns}


def _thumbnail(image):
    from PIL import Image

    small = Image.fromarray(image)
    small.thumbnail((320, 320), Image.Resampling.LANCZOS, reducing_gap=2.0)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=82)
    return np.asarray(small), stream.getvalue()


def _rate(batch, models, clock):
    there = [(record, image) for record, image in batch if image is not None]
    with clock.time("detect"):
        found = _detect([image for _, image in there], models)
    crops, owners = [], []
    with clock.time("crop"):
        for (record, image), faces in zip(there, found, strict=True):
            if isinstance(faces, Exception):
                record["error"] = _reason(faces)
                continue
            record["faces"] = []
            for face in map(as_face, faces):
                crops.append(_crop(image, face, models))
                owners.append((record, face))
    with clock.time("score"):
        scores = _score(crops, models.scorer)
    for (record, face), score in zip(owners, scores, strict=True):
        box = [round(float(v), 2) for v in face.box]
        record["faces"].append([*box, round(float(face.confidence), 4), score])
    return [record for record, _ in batch]


def _detect(images, models):
    """Faces of each picture, or the error that finding them gave."""
    detector, options = models.detector, models.options
    if detector is None:
        return [[Face((0.0, 0.0, *map(float, i.shape[1::-1])))] for i in images]
    if hasattr(detector, "detect_all"):
        try:
            return detector.detect_all(images, **options) if images else []
        except FAILURES:
            pass  # One of them: which, the next lines tell.

    def detect(image):
        try:
            if hasattr(detector, "detect_all"):
                return detector.detect_all([image], **options)[0]
            faces = map(as_face, getattr(detector, "detect", detector)(image))
            return [face for face in faces if face.confidence >= options["conf"]]
        except FAILURES as error:
            return error

    return [detect(image) for image in images]


def _crop(image, face, models):
    scorer = models.scorer
    if models.detector is None:
        return fit_crop(image, scorer.image_size)
    return crop_face(
        image,
        face.box,
        margin=scorer.margin,
        square=scorer.square,
        size=scorer.image_size,
    )


def _score(crops, scorer):
    if not crops:
        return []
    scores = np.asarray(scorer.predict_scores(np.stack(crops)), np.float64)
    if scores.shape != (len(crops),) or not np.isfinite(scores).all():
        raise ValueError(
            "The scorer has to give one finite number a crop: train it again. "
            f"Received: shape {scores.shape} for {len(crops)} crops, "
            f"{np.count_nonzero(~np.isfinite(scores))} not finite"
        )
    return [round(v, 5) for v in scores.tolist()]


def _reason(error, path=None):
    text = " ".join((str(error) or type(error).__name__).split())
    return text.removeprefix(f"{path}: ") if path else text
