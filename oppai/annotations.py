"""The chapter's metadata from one's own pictures and the boxes drawn on them.

```python
entries = import_annotations("faces-export.csv", "pictures")
save_metadata(entries, "meta.json")
```
"""

import urllib.parse
from pathlib import Path, PurePosixPath

from illustkit.files import picture_size
from oppai._entries import parse_entries
from oppai.annotation_files import Found, read_json, read_vott_csv
from oppai.metadata import MetadataError
from oppai.yolo_labels import CLASSES, read_classes, read_yolo


def import_annotations(source, pictures=None, *, like=None, labels=None):
    """Make entries of the chapter's metadata from what an annotation tool wrote.

    Sizes come from the pictures, or without them from `like` or the file itself. A
    picture that nobody has looked at is left out; one without a box is an entry
    without boxes.

    Example:
    ```python
    entries = import_annotations("vott-csv-export/faces-export.csv", "pictures")
    entries = import_annotations("labels", "pictures")                # YOLO
    entries = import_annotations("coco.json", labels=["face"])
    ```

    Args:
        source: VoTT's CSV or JSON export, COCO's JSON, or a folder of YOLO's text
            files.
        pictures: Folder of the pictures. Defaults to none.
        like: Entries to take sizes, paths, ids and addresses from, by name. Defaults
            to none.
        labels: Labels to take; needed where the file has several. Defaults to the only
            one.

    Returns:
        List of `Entry`.

    Raises:
        MetadataError: with a line for each problem.
    """
    places = _Places(pictures, like)
    source = Path(source)
    if source.is_dir():
        found, problems = _read_yolo_folder(source, places)
    elif source.suffix.lower() == ".csv":
        found, problems = read_vott_csv(source)
    else:
        found, problems = read_json(source)
    problems += _check_labels(source, found, labels)
    items = []
    for picture in found:
        try:
            items.append(places.item(picture, labels, number=len(items)))
        except ValueError as error:
            problems.append(f"{picture.where}: {error}.")
    entries, wrong = parse_entries(items)
    problems += [f"{source}: {problem}" for problem in wrong]
    if not entries and not problems:
        problems = [f"{source}: holds no annotated picture."]
    if problems:
        raise MetadataError(problems)
    return entries


class _Places:
    """Which picture is meant by a name: one in a folder, or one of known entries."""

    def __init__(self, pictures, like):
        self.folder = Path(pictures) if pictures is not None else None
        self.like = {entry.name: entry for entry in like or ()}
        self.paths = {}
        if self.folder is not None:
            from illustkit.images import list_images

            for path in list_images(self.folder):
                self.paths.setdefault(path.name, []).append(path)

    def all(self):
        """`(stem of the label file, name, size)` of all pictures."""
        if self.folder is None:
            for entry in self.like.values():
                stem = PurePosixPath(entry.name).stem
                yield stem, entry.name, (entry.width, entry.height)
        for paths in self.paths.values():
            for path in paths:
                inside = path.relative_to(self.folder)
                yield inside.with_suffix("").as_posix(), inside.as_posix(), None

    def path(self, name):
        """Path of a picture by its relative path or, where only one has it, its name.

        VoTT writes a blank as %20.
        """
        for text in (name, urllib.parse.unquote(name)):
            paths = self.paths.get(PurePosixPath(text).name, [])
            exact = [p for p in paths if p.relative_to(self.folder).as_posix() == text]
            if len(paths) == 1 or exact:
                return (exact or paths)[0]
            if paths:
                raise ValueError(f"several pictures are called {text[:80]!r}")
        raise ValueError(f"there is no picture {name[:80]!r} in {self.folder}")

    def item(self, found, labels, number):
        """The chapter's object of one picture."""
        name, size = found.name, found.size
        known = self.like.get(PurePosixPath(name).name)
        filepath = known.filepath if known else name
        if self.folder is not None:
            path = self.path(name)
            name, true_size = path.name, picture_size(path)
            filepath = path.relative_to(self.folder).as_posix()
        else:
            name = PurePosixPath(name).name if "/" in name else name
            true_size = (known.width, known.height) if known else size
        if true_size is None:
            raise ValueError("no size is known: name the folder of the pictures")
        if size is not None and tuple(size) != tuple(true_size):
            raise ValueError(f"{name!r} is {true_size}, but was annotated at {size}")
        boxes = dict.fromkeys(b for label, b in found.boxes if _taken(label, labels))
        boxes = [
            {"left": b[0], "top": b[1], "width": b[2] - b[0], "height": b[3] - b[1]}
            for b in boxes
        ]
        more = {"id": number, "image_url": "", "original_url": ""}
        more |= {k: v for k, v in found.more.items() if v is not None}
        if known:
            more = {key: getattr(known, key) for key in more}
        return {
            "name": name,
            "filepath": filepath,
            "size": {"width": true_size[0], "height": true_size[1]},
            "bounding_boxes": boxes,
            "n_bounding_boxes": len(boxes),
            **more,
        }


def _read_yolo_folder(folder, places):
    classes = read_classes(folder)
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*.txt")}
    files.pop(CLASSES, None)
    found, problems = [], []
    for stem, name, size in places.all():
        path = files.pop(f"{stem}.txt", None)
        if path is None:
            path = files.pop(f"{PurePosixPath(stem).name}.txt", None)
        if path is None:
            continue
        try:
            size = size or picture_size(places.folder / name)
        except ValueError as error:
            problems.append(str(error))
            continue
        boxes, wrong = read_yolo(path, size, classes)
        problems += wrong
        found.append(Found(name, str(path), size, boxes))
    problems += [f"{path}: there is no picture for it." for path in files.values()]
    return found, problems


def _check_labels(source, found, labels):
    """A text where the labels to take are not clear."""
    there = sorted({label for picture in found for label, _ in picture.boxes})
    if not labels and len(there) > 1:
        return [f"{source}: has the labels {there[:10]}. Say which to take."]
    missing = sorted(set(labels or ()) - set(there))
    return [f"{source}: has no label {m!r}; it has {there[:10]}." for m in missing]


def _taken(label, labels):
    return not labels or label in labels
