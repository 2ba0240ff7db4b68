"""Labels to and from COCO's JSON."""

import json
import math
import os
from pathlib import Path

from facescore.boxes import box_areas, convert_boxes
from facescore.label_rows import NAME
from facescore.labels import LabelError, label_path, read_labels, write_labels
from illustkit.files import inside, picture_size, write_whole


def to_coco(images, path, *, root=None):
    """Write the labels of pictures as one COCO file.

    A picture without a face becomes an image without annotations; an unlabelled one is
    left out.

    Example:
    ```python
    to_coco(list_images("pictures"), "faces.json", root="pictures")
    ```

    Args:
        images: Paths of pictures, whose labels stand where `label_path` says.
        path: The JSON file to write.
        root: Folder that `file_name` is relative to. Defaults to the nearest that
            holds all pictures.

    Returns:
        (number of pictures written, number of faces).

    Raises:
        LabelError: naming file and line of every problem in the labels.
        ValueError: for a picture that is none, or outside `root`.
    """
    images = [Path(image) for image in images]
    root = Path(root) if root else _common_folder(images)
    entries, faces, problems = [], [], []
    for image in images:
        size = picture_size(image)
        try:
            boxes = read_labels(label_path(image), size)
        except LabelError as error:
            problems += error.problems
            continue
        if boxes is None:
            continue
        entries.append(
            {
                "id": len(entries) + 1,
                "file_name": image.resolve().relative_to(root.resolve()).as_posix(),
                "width": size[0],
                "height": size[1],
            }
        )
        rows = convert_boxes(boxes, "xyxy", "coco")
        for row, area in zip(rows.tolist(), box_areas(boxes).tolist(), strict=True):
            faces.append(
                {
                    "id": len(faces) + 1,
                    "image_id": len(entries),
                    "category_id": 1,
                    "bbox": [round(v, 4) for v in row],
                    "area": round(area, 4),
                    "iscrowd": 0,
                }
            )
    if problems:
        raise LabelError(problems)
    written = {
        "images": entries,
        "annotations": faces,
        "categories": [{"id": 1, "name": NAME}],
    }
    write_whole(path, json.dumps(written, ensure_ascii=False, indent=1))
    return len(entries), len(faces)


def from_coco(path, labels_folder, *, category=None):
    """Write a COCO file's boxes as YOLO text files.

    A picture without annotations gets an empty file: no face. Crowds (`iscrowd`) are
    left out.

    Example:
    ```python
    from_coco("faces.json", "pictures")   # beside the pictures they name
    ```

    Args:
        path: The JSON file.
        labels_folder: Folder the text files are written under, by `file_name`.
        category: Name of the category to take, where the file has several.

    Returns:
        List of the paths written.

    Raises:
        LabelError: naming the file and the entry of every problem; then nothing is
            written.
    """
    images, annotations, wanted = _read_coco(path, category)
    problems, boxes, targets, taken, known = [], {}, {}, set(), set()
    for number, image in enumerate(images):
        try:
            known.add(image["id"])
            target = inside(labels_folder, image["file_name"]).with_suffix(".txt")
            size = int(image["width"]), int(image["height"])
            if min(size) < 1:
                raise ValueError(f"a size of {size}")
            if target in taken:
                raise ValueError(f"{target.name} is the file of another picture")
            taken.add(target)
            targets[image["id"]], boxes[image["id"]] = (target, size), []
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}, images[{number}]: {_what(error)}")
    for number, face in enumerate(annotations):
        try:
            if face["image_id"] not in known:
                raise ValueError(f"no image has the id {face['image_id']!r}")
            if face.get("iscrowd") or face["category_id"] != wanted:
                continue
            x, y, width, height = (float(v) for v in face["bbox"])
            if not all(map(math.isfinite, (x, y, width, height))):
                raise ValueError(f"a box of {face['bbox']}")
            if face["image_id"] not in targets:
                continue
            columns, rows = targets[face["image_id"]][1]
            inside_x = min(x + width, columns) > max(x, 0)
            if not (inside_x and min(y + height, rows) > max(y, 0)):
                raise ValueError(f"a box of {face['bbox']} outside the picture")
            boxes[face["image_id"]].append((x, y, x + width, y + height))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}, annotations[{number}]: {_what(error)}")
    if problems:
        raise LabelError(problems)
    return [write_labels(t, boxes[i], size) for i, (t, size) in targets.items()]


def _read_coco(path, category):
    try:
        data = json.loads(Path(path).read_text("utf-8-sig"))
        images, annotations = data["images"], data["annotations"]
        names = {c["name"]: c["id"] for c in data["categories"]}
        if not (isinstance(images, list) and isinstance(annotations, list)):
            raise ValueError("images and annotations must be lists")
    except FileNotFoundError:
        raise LabelError(f"{path}: no such file. Check the path.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabelError(f"{path}: is no COCO file ({_what(error)}).") from error
    if category is None and len(names) == 1:
        category = next(iter(names))
    if category not in names:
        raise LabelError(
            f"{path}: name one category of {sorted(names)}. Received: {category!r}"
        )
    return images, annotations, names[category]


def _common_folder(images):
    if not images:
        raise ValueError("There must be a picture. Received: none")
    folders = [image.resolve().parent for image in images]
    return Path(os.path.commonpath(folders))


def _what(error):
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
