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

from oppai.finding import find_pictures
from oppai.metadata import Entry, MetadataError, load_metadata, save_metadata
from oppai.patch_store import Patches, PatchWriter, Report, open_patches
from oppai.patches import cut_patch, expand_box, is_grey

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
        from oppai.batches import CensoredPatches

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
