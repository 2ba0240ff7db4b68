"""What a ranking has done so far, a line a picture: a kill loses next to nothing."""

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np

from illustkit.files import write_whole

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
