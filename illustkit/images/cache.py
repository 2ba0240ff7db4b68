"""Pictures of any shapes, stored in one file that is read as it is needed."""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from illustkit.files import expand_user, remove_leftovers, replacing, write_whole

# A cache of another number is built anew, never misread.
_VERSION = 2
_DAY = 24 * 60 * 60


class StoredPictures:
    """Pictures that `store_pictures` stored, read when they are asked for.

    Example:
    ```python
    pictures[0]                     # uint8 (height, width, 3), a view of the file
    pictures[[4, 2]]                # uint8 (2, height, width, 3) if shapes are equal
    pictures.select([4, 2]).rows    # what was stored with these two
    ```

    Args:
        data: uint8 array or memory map of all samples, flat.
        places: int64 `(n, 2)`: offset of each picture in `data`, and number of its
            shape.
        shapes: List of the distinct shapes.
        rows: List of a dict for each picture.
        details: Dict for all of them.

    Attributes:
        rows: The same list.
        details: The same dict.
    """

    def __init__(
        self,
        data: np.ndarray,
        places: np.ndarray,
        shapes: list[tuple[int, ...]],
        rows: list[dict[str, Any]],
        details: dict[str, Any],
    ) -> None:
        self._data, self._places, self._shapes = data, places, shapes
        self.rows, self.details = rows, details

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        """Return one picture, or several: stacked, or as a list of unlike shapes."""
        if isinstance(index, (int, np.integer)):
            offset, kind = self._places[index]
            shape = self._shapes[kind]
            return self._data[offset : offset + int(np.prod(shape))].reshape(shape)
        pictures = [self[int(i)] for i in np.arange(len(self))[index]]
        if len(self._shapes) != 1:
            return pictures
        return np.stack(pictures) if pictures else self._empty()

    def _empty(self):
        return np.zeros((0, *self._shapes[0]), np.uint8)

    def select(self, indices: Sequence[int] | np.ndarray) -> "StoredPictures":
        """Return some of the pictures, without loading them.

        Args:
            indices: Their numbers, or a bool array.
        """
        indices = np.asarray(indices)
        chosen = np.arange(len(self))[indices if indices.size else indices.astype(int)]
        rows = [self.rows[i] for i in chosen]
        return StoredPictures(
            self._data, self._places[chosen], self._shapes, rows, self.details
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """`(n, height, width, ...)`; `ValueError` where the shapes differ."""
        if len(self._shapes) != 1:
            raise ValueError(f"The pictures have {len(self._shapes)} different shapes.")
        return (len(self), *self._shapes[0])

    @property
    def ndim(self) -> int:
        """Number of axes of all pictures together."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """The type of the samples, uint8."""
        return self._data.dtype

    @property
    def array(self) -> np.ndarray:
        """All pictures of equal shapes as one array, if possible of the memory map."""
        size = int(np.prod(self.shape[1:]))
        offsets = self._places[:, 0]
        if len(self) and (np.diff(offsets) == size).all():
            start = int(offsets[0])
            return self._data[start : start + size * len(self)].reshape(self.shape)
        return self[:]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.array, dtype=dtype)


class PictureWriter:
    """Takes the pictures that are to be stored; `store_pictures` makes it.

    Args:
        file: Binary file, open at the first sample.

    Attributes:
        rows: List of what was stored with each picture.
        details: Dict of JSON to store for all of them.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.size = 0  # bytes so far
        self.rows: list[dict[str, Any]] = []
        self.details: dict[str, Any] = {}
        self.places: list[tuple[int, int]] = []
        self.shapes: dict[tuple[int, ...], int] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, picture: np.ndarray, **row: Any) -> None:
        """Append a picture.

        Args:
            picture: uint8 array of any shape.
            **row: What to store with it: JSON.
        """
        picture = np.ascontiguousarray(picture, np.uint8)
        kind = self.shapes.setdefault(picture.shape, len(self.shapes))
        self.places.append((self.size, kind))
        self._file.write(picture.data)
        self.size += picture.size
        self.rows.append(row)


def store_pictures(
    folder: str | os.PathLike | None,
    key: Any,
    fill: Callable[[PictureWriter], object],
    *,
    name: str = "pictures",
    obsolete: Iterable[str] = (),
) -> StoredPictures:
    """Store pictures in a folder, or open those that an earlier call stored.

    Two files: `<name>.json` says what the pictures are made from, `<name>-….npy` holds
    their samples. The data are renamed when they are whole, and the JSON file follows,
    so that a kill leaves nothing that could be taken for whole; whoever still reads
    the data of before keeps them.

    Example:
    ```python
    def fill(writer):
        for path in paths:
            writer.add(read_image(path), file=path.name)

    pictures = store_pictures("cache", {"files": file_stamps(paths)}, fill)
    ```

    Args:
        folder: Folder of the cache; `None` keeps the pictures in memory.
        key: JSON of all that the pictures are made from: settings, `file_stamps`, a
            number that goes up when the code makes other pictures of the same files.
        fill: Function of a `PictureWriter`, called unless the folder holds pictures of
            this key.
        name: Begins the names of both files. Defaults to "pictures".
        obsolete: Names or patterns of files in the folder that older versions wrote;
            removed once the new ones are there. Defaults to none.

    Returns:
        `StoredPictures`.
    """
    if folder is None:
        memory = io.BytesIO()
        writer = PictureWriter(memory)
        fill(writer)
        data = np.frombuffer(memory.getbuffer().toreadonly(), np.uint8)
        return _stored(data, json.loads(json.dumps(_index(writer))))
    folder = expand_user(folder)
    text = json.dumps([_VERSION, key], sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    index, samples = folder / f"{name}.json", folder / f"{name}-{fingerprint[:16]}.npy"
    if (stored := _open(index, samples, fingerprint)) is not None:
        return stored
    remove_leftovers([index, samples], older_than=_DAY)
    with replacing(samples) as part, open(part, "xb") as file:
        _write_header(file, 0)
        writer = PictureWriter(file)
        fill(writer)
        file.seek(0)
        _write_header(file, writer.size)  # NumPy leaves room for the length to grow
    record = {"version": _VERSION, "fingerprint": fingerprint, **_index(writer)}
    write_whole(index, json.dumps(record))
    for pattern in (f"{name}-{'?' * 16}.npy", *obsolete):
        for old in folder.glob(pattern):
            if old not in (index, samples):
                with contextlib.suppress(OSError):  # mapped, on Windows
                    old.unlink()
    return _stored(np.load(samples, mmap_mode="r"), json.loads(json.dumps(record)))


def _write_header(file, size):
    header = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
    np.lib.format.write_array_header_1_0(file, header)


def _index(writer):
    return {
        "shapes": list(writer.shapes),
        "places": writer.places,
        "rows": writer.rows,
        "details": writer.details,
    }


def _open(index, samples, fingerprint):
    """`StoredPictures`, or `None` where they have to be stored."""
    try:
        record = json.loads(index.read_text("utf-8"))
        if (record["version"], record["fingerprint"]) != (_VERSION, fingerprint):
            return None
        return _stored(np.load(samples, mmap_mode="r"), record)
    except (OSError, ValueError, KeyError, TypeError, EOFError, IndexError):
        return None


def _stored(data, record):
    places = np.asarray(record["places"], np.int64).reshape(-1, 2)
    shapes = [tuple(shape) for shape in record["shapes"]]
    sizes = [int(np.prod(shapes[kind])) for _, kind in places]
    ends = places[:, 0] + np.asarray(sizes, np.int64)
    if len(places) != len(record["rows"]) or ends.max(initial=0) != data.size:
        raise ValueError("the file of samples is not the one of the index")
    return StoredPictures(data, places, shapes, record["rows"], record["details"])


def file_stamps(
    paths: Iterable[str | os.PathLike], root: str | os.PathLike | None = None
) -> list[list[Any]]:
    """Return what changes when a file does, for the key of a cache.

    Args:
        paths: Paths of the files.
        root: Folder that the names are relative to. Defaults to the paths as given.

    Returns:
        A list `[name, time of change in ns, size in bytes]` for each file.
    """
    stamps = []
    root = None if root is None else expand_user(root)
    for path in map(expand_user, paths):
        status = path.stat()
        name = str(path) if root is None else path.relative_to(root).as_posix()
        stamps.append([name, status.st_mtime_ns, status.st_size])
    return stamps
