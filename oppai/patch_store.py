"""Patches on disk: one uint8 array that is mapped into memory, never loaded whole."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

INDEX = "patches.json"


class Rows:
    """Some rows of an array, read when they are asked for.

    Indexing a memory map by a list of rows would load them all; this waits for the
    index of a batch.

    Args:
        array: Array or memory map `(n, ...)`.
        rows: int array, the rows of this view.
    """

    def __init__(self, array, rows):
        self.array, self.rows = array, np.asarray(rows)
        self.shape, self.dtype = (len(self.rows), *array.shape[1:]), array.dtype
        self.ndim = len(self.shape)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key):
        return self.array[self.rows[key]]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array[self.rows], dtype=dtype)


@dataclass(frozen=True)
class Report:
    """What became of the pictures of a metadata file.

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
    left_out: dict

    def __str__(self):
        text = f"{self.patches} patches from {self.used} of {self.pictures} pictures."
        for reason, names in self.left_out.items():
            shown = [f"{n}: {why}" if why else n for n, why in list(names.items())[:3]]
            more = ", …" if len(names) > 3 else ""
            text += f"\nLeft out, {reason}: {len(names)} ({', '.join(shown)}{more})"
        return text


@dataclass(frozen=True)
class Patches:
    """Square patches of pictures, each with the box that is to be censored.

    Args:
        patches: uint8 `(n, size, size, 3)`: a read-only memory map, or a view of some
            of its rows. Index it; `np.asarray` would load it all.
        boxes: int32 `(n, 4)`, `(left, top, right, bottom)` in pixels of the patch.
        names: List of the picture's name of each patch.
        report: `Report` of the build, or `None`.
    """

    patches: object
    boxes: np.ndarray
    names: list
    report: Report | None = None

    def __len__(self):
        return len(self.names)

    def select(self, names):
        """Return the patches of some pictures, without loading them.

        Args:
            names: Names of pictures; those without patches count for nothing.

        Returns:
            `Patches`, in the order of this one.

        Raises:
            ValueError: where none of the pictures has a patch.
        """
        wanted = set(names)
        rows = [i for i, name in enumerate(self.names) if name in wanted]
        if not rows:
            raise ValueError(
                f"None of these pictures has a patch. Received: {sorted(wanted)[:5]}"
            )
        array = self.patches
        view = (
            Rows(array.array, array.rows[rows])
            if isinstance(array, Rows)
            else Rows(array, rows)
        )
        return Patches(
            view, self.boxes[rows], [self.names[i] for i in rows], self.report
        )


def open_patches(folder, fingerprint):
    """Open the patches that a folder holds, if they are whole and of this fingerprint.

    Args:
        folder: Folder of the cache.
        fingerprint: Text that stands for all that the patches are made from.

    Returns:
        `Patches`, or `None` where they have to be built.
    """
    folder = Path(folder)
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["fingerprint"] != fingerprint:
            return None
        patches = np.load(folder / _data_name(fingerprint), mmap_mode="r")
        boxes = np.array(index["boxes"], np.int32)
        names, report = index["names"], Report(**index["report"])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    n = len(names)
    if patches.shape[0] != n or boxes.shape != (n, 4) or patches.dtype != np.uint8:
        return None
    return Patches(patches, boxes, names, report)


class PatchWriter:
    """Writes patches one by one; nothing can be opened before `finish`.

    Data go to a file of another name, which is renamed when it is whole; the index,
    which says what the data are, follows. Whatever breaks in between leaves a folder
    from which `open_patches` opens nothing.

    Args:
        folder: Folder of the cache; made if missing.
        fingerprint: As in `open_patches`.
        size: Side of a patch in pixels.
    """

    def __init__(self, folder, fingerprint, size):
        self.folder, self.fingerprint, self.size = Path(folder), fingerprint, size
        self.boxes, self.names = [], []
        self.folder.mkdir(parents=True, exist_ok=True)
        for part in self.folder.glob("*.part*"):
            # What a run that was killed left behind; a younger one may be at work.
            if time.time() - part.stat().st_mtime > 24 * 60 * 60:
                part.unlink(missing_ok=True)
        self._target = self.folder / _data_name(fingerprint)
        self._part = self._target.with_name(f"{self._target.name}.part{os.getpid()}")
        self._file = self._part.open("wb")
        self._write_header()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()
        self._part.unlink(missing_ok=True)

    def add(self, patch, box, name):
        """Append a uint8 patch `(size, size, 3)`, its box and its picture's name."""
        self._file.write(np.ascontiguousarray(patch).data)
        self.boxes.append([int(v) for v in box])
        self.names.append(name)

    def finish(self, report):
        """Rename the data, write the index, and remove data of other fingerprints."""
        # NumPy leaves room in the header for the first axis to grow.
        self._file.seek(0)
        self._write_header()
        self._file.close()
        self._part.replace(self._target)
        index = {
            "fingerprint": self.fingerprint,
            "names": self.names,
            "boxes": self.boxes,
            "report": asdict(report),
        }
        part = self.folder / f"{INDEX}.part{os.getpid()}"
        part.write_text(json.dumps(index), encoding="utf-8")
        part.replace(self.folder / INDEX)
        for old in self.folder.glob("patches-*.npy"):
            if old != self._target:
                old.unlink(missing_ok=True)

    def _write_header(self):
        header = {
            "descr": "|u1",
            "fortran_order": False,
            "shape": (len(self.names), self.size, self.size, 3),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


def _data_name(fingerprint):
    return f"patches-{fingerprint[:16]}.npy"
