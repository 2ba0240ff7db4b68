"""From metadata and a folder of pictures to patches, split by picture.

```python
entries = load_metadata("oppai_meta.json")
patches = build_patches(entries, "images", size=256, cache="cache")
training, held_out = split_by_picture(patches.names)
batches = CensoredPatches(patches.select(training), batch_size=32)
```
"""

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from oppai.data.crops import cut_patch, expand_box, is_grey
from oppai.data.metadata import (
    Entry,
    MetadataError,
    find_pictures,
    load_metadata,
    save_metadata,
)
from oppai.models.pretrained import SPLIT as SHIPPED

SPLIT = "split.json"


def write_split(run, training, held_out):
    """Write which pictures a run trains on into its folder.

    Args:
        run: `illustkit.training.runs.Run`.
        training: Names of the pictures to train on.
        held_out: Names of those held out.
    """
    text = json.dumps({"train": training, "held_out": held_out}, indent=1)
    (run.folder / SPLIT).write_text(text, encoding="utf-8")


def held_out_patches(run, images, metadata, *, cache=None, progress=True):
    """Cut the patches of all pictures that a run did not train on.

    Pictures are told apart by name: of the run's own folder these are the ones held
    out, of another folder all of them.

    Example:
    ```python
    patches = held_out_patches(run, "images", "oppai_meta.json")
    rows = oppai.evaluate(oppai.load_restorer(run), patches)
    ```

    Args:
        run: `illustkit.training.runs.Run` of a training, or "default" for the restorer that
            comes with the package, whose patches have 256 pixels.
        images: Folder of the pictures.
        metadata: Path of the JSON with their boxes.
        cache: Folder for the patches; the run's own by default, `runs/default` for the
            package's restorer.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        `oppai.data.dataset.Patches`.

    Raises:
        ValueError: where the run knows no split, or trained on every picture.
    """
    path = SHIPPED if run == "default" else run.folder / SPLIT
    try:
        trained = set(json.loads(path.read_text("utf-8"))["train"])
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} does not say which pictures were trained on "
            f"({error}): train again to evaluate on held-out ones."
        ) from None
    entries = [e for e in load_metadata(metadata) if e.name not in trained]
    if not entries:
        raise ValueError(
            f"{metadata}: the run trained on every picture of it. "
            "Name other pictures to evaluate on."
        )
    folder, sizes = Path("runs/default"), {"size": 256, "minimum": 256}
    if run != "default":
        folder, settings = run.folder, run.settings
        sizes = {"size": settings.get("image_size", 256)}
        sizes["minimum"] = settings.get("minimum", 256)
    return build_patches(
        entries,
        images,
        **sizes,
        cache=cache or folder / "held_out_patches",
        progress=progress,
    )


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


__all__ = [
    "Entry",
    "MetadataError",
    "Patches",
    "Report",
    "build_patches",
    "find_pictures",
    "load_metadata",
    "save_metadata",
    "split_by_picture",
]

# Goes up when other patches come from the same pictures.
_VERSION = 1


def __getattr__(name):
    # Reading metadata needs no Keras, drawing batches does.
    if name == "CensoredPatches":
        from oppai.data.batches import CensoredPatches

        return CensoredPatches
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def split_by_picture(names, holdout=0.1, seed=0):
    """Split pictures into those to train on and those held out.

    By picture, since two patches of one picture on both sides would give the answer
    away. Each picture's side is decided by a hash of its name and the seed, so that
    it stays where it is when pictures are added; where a side would be empty, the
    picture nearest to it changes over.

    Example:
    ```python
    training, held_out = split_by_picture(patches.names)
    ```

    Args:
        names: Names of pictures; those that come again count once.
        holdout: Part of the pictures to hold out, in (0, 1). Defaults to 0.1.
        seed: Int. Defaults to 0.

    Returns:
        `(training, held_out)`: two lists of names, in the order given.

    Raises:
        ValueError: for a `holdout` out of range.
    """
    if not 0 < holdout < 1:
        raise ValueError(f"`holdout` lies between 0 and 1. Received: {holdout}")
    place = {name: _hash_to_unit(f"{seed}:{name}") for name in names}
    held_out = {name for name, p in place.items() if p < holdout}
    if len(place) > 1 and not held_out:
        held_out.add(min(place, key=place.get))
    elif len(place) > 1 and len(held_out) == len(place):
        held_out.remove(max(place, key=place.get))
    elif len(place) == 1:
        held_out.clear()
    return [n for n in place if n not in held_out], [n for n in place if n in held_out]


def build_patches(
    entries,
    root,
    *,
    size=256,
    cache,
    scale=1.5,
    minimum=256,
    grey=0.995,
    progress=True,
):
    """Cut a patch round every box of every picture, or open those cut before.

    Each picture is decoded once. Patches made from the same metadata, pictures (by
    size and time of change) and options are opened again instead. What cannot be
    used is left out and reported: missing, broken and grey pictures, pictures whose
    proportions are not the metadata's, empty boxes. A picture larger or smaller than
    the metadata says, in the same proportions, has its boxes scaled.

    Example:
    ```python
    patches = build_patches(entries, "images", size=256, cache="cache")
    print(patches.report)
    ```

    Args:
        entries: Sequence of `Entry`.
        root: Folder under which the pictures lie; see `find_pictures`.
        size: Side of a patch in pixels. Defaults to 256.
        cache: Folder for the patches, `size² · 3` bytes each.
        scale: As in `expand_box`. Defaults to 1.5.
        minimum: As in `expand_box`. Defaults to 256.
        grey: Mean correlation of the channels from which on a picture is left out as
            grey; above 1 none is. Defaults to 0.995.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        `Patches`.

    Raises:
        ValueError: where no patch is left, or `root` is no folder.
    """
    entries = list(entries)
    found, missing = find_pictures(entries, root)
    options = {"size": size, "scale": scale, "minimum": minimum, "grey": grey}
    fingerprint = _fingerprint(entries, root, found, options)
    patches = open_patches(cache, fingerprint)
    if patches is not None:
        return patches
    from tqdm import tqdm

    left_out = {"missing": dict.fromkeys(missing, "")} if missing else {}
    with PatchWriter(cache, fingerprint, size) as writer:
        present = [entry for entry in entries if entry.name in found]
        for entry in tqdm(
            present, "Cutting patches", unit=" pictures", disable=not progress
        ):
            reason, detail = _add_patches(writer, entry, found[entry.name], options)
            if reason:
                left_out.setdefault(reason, {})[entry.name] = detail
        used = len(set(writer.names))
        report = Report(len(entries), used, len(writer.names), left_out)
        if not writer.names:
            raise ValueError(f"{root}: no patch could be cut. {report}")
        writer.finish(report)
    return open_patches(cache, fingerprint)


def _add_patches(writer, entry, path, options):
    """Add a picture's patches; `(reason, detail)` if something is left out."""
    from illustkit.images import ImageError, read_image

    if not entry.boxes:
        return "no box", ""
    try:
        picture = read_image(path)
    except (ImageError, OSError) as error:
        return "broken", str(error)
    height, width = picture.shape[:2]
    x, y = width / entry.width, height / entry.height
    if not 0.98 < x / y < 1.02:
        expected = f"{entry.width}×{entry.height}"
        return "other size", f"{width}×{height} in the place of {expected}"
    if is_grey(picture, threshold=options["grey"]):
        return "grey", ""
    n_empty, size = 0, options["size"]
    for left, top, right, bottom in entry.boxes:
        if left == right or top == bottom:
            n_empty += 1
            continue
        square, box = expand_box(
            (width, height),
            (left * x, top * y, right * x, bottom * y),
            scale=options["scale"],
            minimum=options["minimum"],
        )
        box = _scale_box(box, size / (square[2] - square[0]), size)
        writer.add(cut_patch(picture, square, size), box, entry.name)
    return ("empty box", f"{n_empty} of {len(entry.boxes)}") if n_empty else (None, "")


def _scale_box(box, factor, size):
    left, top, right, bottom = (round(v * factor) for v in box)
    left, top = min(left, size - 1), min(top, size - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _hash_to_unit(text):
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _fingerprint(entries, root, found, options):
    files = {}
    for name, path in found.items():
        status = path.stat()
        place = path.relative_to(root).as_posix()
        files[name] = [place, status.st_size, status.st_mtime_ns]
    rows = [[e.name, e.width, e.height, e.boxes, files.get(e.name)] for e in entries]
    text = json.dumps([_VERSION, options, rows])
    return hashlib.sha256(text.encode()).hexdigest()
