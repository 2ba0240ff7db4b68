"""Labels to and from Pascal VOC's XML files and the `data.yaml` of YOLO tools."""

import math
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from facescore.labels import (
    NAME,
    UNLABELLED,
    LabelError,
    PathLike,
    check_labels,
    entry_of,
    label_kind,
    label_path,
    labelled_entries,
    note_kept,
    reason_of,
    tell_problems,
    write_entry,
)
from illustkit import yolo
from illustkit.errors import UserError
from illustkit.files import (
    expand_user,
    name_within,
    named_file,
    read_text,
    walk_folder,
    write_whole,
)
from illustkit.images import list_images

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_SPLITS = ("train", "val", "test")


def to_voc(
    images: Iterable[PathLike],
    folder: PathLike,
    *,
    root: PathLike | None = None,
    face_class: int | None = None,
    overwrite: bool = False,
    left_out: list[str] | None = None,
) -> tuple[int, int]:
    """Write the labels of pictures as Pascal VOC's XML files, one a picture.

    A picture without a face becomes a file without objects; an unlabelled picture is
    left out. Corners are whole pixels, as readers of VOC expect, of the upright
    picture, counted from 0.

    Example:
    ```python
    to_voc(list_images("pictures"), "annotations", root="pictures")
    ```

    Args:
        images: Paths of pictures; `label_path` says where their labels are.
        folder: Folder to write to; `a/1.png` becomes `a/1.xml`.
        root: Folder that the names are relative to. Defaults to the nearest that holds
            all pictures.
        face_class: See `read_labels`.
        overwrite: Replace other files that are there. Defaults to `False`.
        left_out: List that receives a line for each problem of a picture that cannot
            be written. Defaults to none: all are raised, and nothing is written.

    Returns:
        (number of pictures written, number of faces).

    Raises:
        LabelError: Naming every problem of the pictures and labels, file and line.
        UserError: If a picture is outside `root`, or there is none, or another file is
            there.
    """
    texts: dict[Path, str] = {}
    n_faces = 0
    for name, size, boxes in labelled_entries(images, root, face_class, left_out):
        target = expand_user(folder) / Path(name).with_suffix(".xml")
        texts[target] = _voc_text(name, size, boxes.tolist())
        n_faces += len(boxes)
    for target, text in texts.items():
        _check_free(target, text, overwrite)
    for target, text in texts.items():
        write_whole(target, text)
    return len(texts), n_faces


def _voc_text(name, size, boxes):
    top = ElementTree.Element("annotation")

    def add(parent, tag, value=None):
        element = ElementTree.SubElement(parent, tag)
        element.text = None if value is None else str(value)
        return element

    add(top, "filename", name.rpartition("/")[2])
    part = add(top, "size")
    for tag, value in zip(("width", "height", "depth"), (*size, 3), strict=True):
        add(part, tag, value)
    for left, top_edge, right, bottom in boxes:
        # A thin box keeps an area when its edges are rounded.
        x, y = min(round(left), size[0] - 1), min(round(top_edge), size[1] - 1)
        low, high = (x, y), (max(x + 1, round(right)), max(y + 1, round(bottom)))
        face = add(top, "object")
        add(face, "name", NAME)
        add(face, "difficult", 0)
        corners = add(face, "bndbox")
        for tag, value in zip(_CORNERS, (*low, *high), strict=True):
            add(corners, tag, value)
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="unicode") + "\n"


def from_voc(
    source: PathLike,
    folder: PathLike,
    *,
    category: str | None = None,
    overwrite: bool = False,
    left_out: list[str] | None = None,
    notes: list[str] | None = None,
) -> list[Path]:
    """Write the boxes of Pascal VOC's XML files as YOLO text files.

    A file without an object of the category gets an empty text file: no face. Corners
    are taken as they are written, counted from 0.

    Example:
    ```python
    to_voc(list_images("pictures"), "annotations", root="pictures")
    from_voc("annotations", "copies")
    ```

    Args:
        source: Folder of XML files, with its sub-folders.
        folder: Folder of the pictures, in the same sub-folders under the `filename` of
            the XML; `label_path` says where their labels go.
        category: Name of the objects to take; needed if the files have several.
        overwrite: Replace label files that exist. Defaults to `False`: they stay.
        left_out: List that receives a line for each file that is invalid. Defaults to
            none: they are raised when the valid ones have been written.
        notes: List that receives what else there is to say. Defaults to none.

    Returns:
        List of the paths written.

    Raises:
        LabelError: Naming every file that is invalid, or the categories to choose from.
        UserError: If there is no XML file.
    """
    source = expand_user(source)
    problems: list[str] = []
    notes = [] if notes is None else notes
    found = []
    paths = sorted(p for p, _ in _files(source) if p.suffix.lower() == ".xml")
    if not paths:
        raise UserError(f"{source}: holds no XML file. Name the folder of annotations.")
    for path in paths:
        try:
            found.append((path, *_read_voc(path)))
        except (ElementTree.ParseError, TypeError, ValueError) as error:
            problems.append(f"{path}: {reason_of(error)}.")
    names = {name for *_, rows in found for name, _ in rows}
    category = _only_category(source, names, category)
    written, kept = [], 0
    targets: set[Path] = set()
    for path, name, size, rows in found:
        try:
            below = path.parent.relative_to(source) / name
            picture = named_file(folder, below.as_posix())
            target = label_path(picture)
            if target in targets:
                raise UserError(f"{target.name} is the file of another picture")
            targets.add(target)
            if target.exists() and not overwrite:
                kept += 1
                continue
            entry = entry_of(size, picture, target, notes)
            boxes = [box for kind, box in rows if kind == category]
            written.append(write_entry(entry, boxes))
        except (ValueError, OverflowError) as error:
            problems.append(f"{path}: {reason_of(error)}.")
    note_kept(kept, notes)
    tell_problems(problems, left_out)
    return written


def _files(folder):
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder.")
    for path, names in walk_folder(folder):
        for name in names:
            yield path / name, name


def _read_voc(path):
    """Return the picture's name, its size and its objects, (name, corners) each."""
    top = ElementTree.fromstring(read_text(path))
    name = (top.findtext("filename") or "").strip()
    if not name:
        raise UserError("the filename is missing")
    size = {}
    for tag in ("width", "height"):
        size[tag] = _number(top.find("size"), tag)
    rows = []
    for face in top.findall("object"):
        corners = [_number(face.find("bndbox"), tag) for tag in _CORNERS]
        if corners[0] >= corners[2] or corners[1] >= corners[3]:
            raise UserError(f"a box of {corners} has no area")
        rows.append(((face.findtext("name") or "").strip(), corners))
    return name, size, rows


def _number(parent, tag):
    text = None if parent is None else parent.findtext(tag)
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{tag} is no number. Received: {text!r:.40}")
    return value


def _only_category(path, names, category):
    if category is None and len(names) <= 1:
        return next(iter(names), NAME)
    if category not in names:
        raise LabelError(
            f"{path}: name one `category` of {sorted(names)}. Received: {category!r}"
        )
    return category


def to_data_yaml(
    images: Iterable[PathLike],
    path: PathLike,
    *,
    holdout: float = 0.1,
    seed: int = 0,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Write a `data.yaml` of the labelled pictures, for Ultralytics and others.

    Beside it are written two lists of pictures. Pictures below its folder are named
    relative to it, others by their whole path; pictures and labels stay where they are.

    Example:
    ```python
    to_data_yaml(list_images("pictures"), "pictures/data.yaml")
    ```

    Args:
        images: Paths of pictures; those without a label file are left out.
        path: The file to write; `data.yaml` gets `data-train.txt` and `data-val.txt`.
        holdout: Fraction of the pictures in the second list. Defaults to 0.1.
        seed: Decides which. Defaults to 0.
        overwrite: Replace other files that are there. Defaults to `False`.

    Returns:
        (pictures to train on, pictures held out): each one or more.

    Raises:
        LabelError: Naming every problem of the labels, file and line.
        UserError: If fewer than two pictures are labelled, or another file is there.
    """
    if not 0 < holdout < 1:
        raise UserError(f"`holdout` must be between 0 and 1. Received: {holdout}")
    paths, path = [expand_user(image) for image in images], expand_user(path)
    if problems := check_labels(paths):
        raise LabelError(problems)
    labelled = [p for p in paths if label_kind(label_path(p)) != UNLABELLED]
    if len(labelled) < 2:
        raise UserError(
            f"{path}: two labelled pictures are due. Received: {len(labelled)}"
        )
    n_held = min(max(1, round(holdout * len(labelled))), len(labelled) - 1)
    order = np.random.default_rng(seed).permutation(len(labelled))
    held = set(order[:n_held].tolist())
    folder = path.parent.resolve()
    texts = {path: f"names:\n  0: {NAME}\n"}
    for split, wanted in (("train", False), ("val", True)):
        names = [p for i, p in enumerate(labelled) if (i in held) == wanted]
        listed = path.with_name(f"{path.stem}-{split}.txt")
        texts[path] += f"{split}: {listed.name}\n"
        texts[listed] = "".join(f"{_listed(folder, name)}\n" for name in names)
    for target, text in texts.items():
        _check_free(target, text, overwrite)
    for target, text in texts.items():
        write_whole(target, text)
    return len(labelled) - n_held, n_held


def _listed(folder, image):
    # Ultralytics reads "./" as the folder of the list.
    whole = image.parent.resolve() / image.name
    below = whole.is_relative_to(folder)
    return f"./{whole.relative_to(folder).as_posix()}" if below else whole.as_posix()


def from_data_yaml(
    path: PathLike,
    folder: PathLike,
    *,
    category: str | None = None,
    overwrite: bool = False,
    left_out: list[str] | None = None,
    notes: list[str] | None = None,
) -> list[Path]:
    """Write the labels of a `data.yaml`'s pictures as labels of one class.

    Example:
    ```python
    to_data_yaml(list_images("pictures"), "pictures/data.yaml")
    from_data_yaml("pictures/data.yaml", "copies")
    ```

    Args:
        path: The file; it names folders or lists of pictures (`train`, `val`, `test`),
            and the classes (`names`).
        folder: Folder that holds the pictures under the same names as the data set's
            folder (`path`, or that of the file); of pictures that are outside of it,
            as the deepest folder that holds all those.
        category: Name of the class to take; needed if there are several.
        overwrite: Replace label files that exist. Defaults to `False`: they stay.
        left_out: List that receives a line for each picture whose labels are invalid.
            Defaults to none: they are raised when the valid ones have been written.
        notes: List that receives what else there is to say. Defaults to none.

    Returns:
        List of the paths written; pictures without a label file get none.

    Raises:
        LabelError: Naming file and line of what is invalid.
    """
    path = expand_user(path)
    data = _read_yaml(path)
    names = data.get("names", [])
    classes = dict(enumerate(names)) if isinstance(names, list) else names
    try:
        classes = {int(number): str(name) for number, name in classes.items()}
    except (AttributeError, TypeError, ValueError):
        raise LabelError(f"{path}: `names` is a list or numbers with names.") from None
    if not classes:
        raise LabelError(f"{path}: `names` of the classes is missing.")
    category = _only_category(path, set(classes.values()), category)
    (number,) = [n for n, name in classes.items() if name == category][:1]
    root = Path(os.path.abspath(path.parent / str(data.get("path") or ".")))
    problems: list[str] = []
    notes = [] if notes is None else notes
    written, kept = [], 0
    for image, name in _names(root, _yaml_pictures(path, root, data)):
        try:
            rows = yolo.read_rows(label_path(image), columns=5, only=number)
            if rows is None:
                continue
            target = label_path(named_file(folder, name))
        except UserError as error:
            problems += error.problems
            continue
        if target.exists() and not overwrite:
            kept += 1
            continue
        rows[:, 0] = 0
        written.append(yolo.write_rows(target, rows))
    note_kept(kept, notes)
    tell_problems(problems, left_out)
    return written


def _yaml_pictures(path, root, data):
    pictures: dict[Path, None] = {}
    for split in _SPLITS:
        places = data.get(split) or []
        for place in places if isinstance(places, list) else [places]:
            there = Path(os.path.abspath(root / str(place)))
            if not there.exists() and str(place).startswith("../"):
                # Roboflow writes it so, and Ultralytics reads it without.
                there = Path(os.path.abspath(root / str(place)[3:]))
            if there.is_dir():
                found = list_images(there)
            elif there.suffix == ".txt" and there.is_file():
                lines = [line.strip() for line in read_text(there).splitlines()]
                found = [there.parent / line for line in lines if line]
            else:
                raise LabelError(f"{path}: {split} names {there}, which is not there.")
            pictures |= dict.fromkeys(Path(os.path.abspath(p)) for p in found)
    if not pictures:
        raise LabelError(f"{path}: names no pictures (train, val or test).")
    return pictures


def _names(root, pictures):
    """Yield each picture and its name within the root, or within a folder of others."""
    apart = []
    for image in pictures:
        try:
            yield image, name_within(root, image)
        except UserError:
            apart.append(image)
    if apart:
        base = os.path.commonpath([image.parent for image in apart])
        yield from ((image, name_within(base, image)) for image in apart)


def _read_yaml(path):
    """Read what a `data.yaml` needs of YAML: texts, lists and one level of names."""
    data: dict[str, Any] = {}
    key = ""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        text = _without_comment(line).rstrip()
        if not text.strip() or text == "---":
            continue
        inner, item = text[0] in " \t", text.lstrip().startswith("- ")
        if key not in ("names", "path", *_SPLITS) and (inner or item):
            continue  # of a key that says nothing of pictures and classes
        if item and isinstance(data[key], list | None):
            data[key] = [*(data[key] or []), _scalar(text.lstrip()[2:])]
            continue
        name, colon, value = text.strip().partition(":")
        if not colon or (inner and not isinstance(data[key], dict | None)):
            raise LabelError(f"{path}, line {number}: is no line of a data.yaml.")
        if inner:
            data[key] = (data[key] or {}) | {_scalar(name): _scalar(value)}
        else:
            key = _scalar(name)
            data[key] = _flow(value.strip())
    return data


def _without_comment(line):
    quote = ""
    for i, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (i == 0 or line[i - 1] in " \t"):
            return line[:i]
    return line


def _scalar(text):
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _flow(text):
    if text[:1] == "[" and text[-1:] == "]":
        return [_scalar(part) for part in text[1:-1].split(",") if part.strip()]
    if text[:1] == "{" and text[-1:] == "}":
        pairs = (part.partition(":") for part in text[1:-1].split(",") if part.strip())
        return {_scalar(name): _scalar(value) for name, _, value in pairs}
    return _scalar(text) or None


def _check_free(path, text, overwrite):
    if path.exists() and not overwrite and read_text(path) != text:
        raise UserError(
            f"{path}: another file is here. Give `overwrite`, or another place."
        )
