"""The chapter's metadata as COCO's JSON and as YOLO's text files."""

import json
from pathlib import Path, PurePosixPath

from illustkit.files import write_whole
from oppai.metadata import MetadataError
from oppai.yolo_labels import CLASSES, yolo_line


def export_coco(entries, path, *, label="region"):
    """Write entries as COCO's JSON.

    Args:
        entries: Sequence of `Entry`.
        path: The file; replaced as a whole.
        label: Name of the one category. Defaults to "region".

    Returns:
        Number of boxes.
    """
    images, boxes = [], []
    for number, entry in enumerate(entries, 1):
        images.append(
            {
                "id": number,
                "file_name": entry.filepath,
                "width": entry.width,
                "height": entry.height,
                "coco_url": entry.image_url,
                "original_url": entry.original_url,
                "work_id": entry.id,
            }
        )
        for left, top, right, bottom in entry.boxes:
            width, height = right - left, bottom - top
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    data = {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": 1, "name": label}],
    }
    write_whole(path, json.dumps(data, ensure_ascii=False, indent=1))
    return len(boxes)


def export_yolo(entries, folder, *, label="region"):
    """Write entries as YOLO's text files, `<name>.txt`, and `classes.txt`.

    Args:
        entries: Sequence of `Entry`.
        folder: Where to.
        label: Name of the one class. Defaults to "region".

    Returns:
        Number of boxes.

    Raises:
        MetadataError: with a line for each picture whose file another has; then
            nothing is written.
    """
    files, problems = {}, []
    for entry in entries:
        name = f"{PurePosixPath(entry.name).stem}.txt"
        if name in files or name == CLASSES:
            problems.append(f"{entry.name}: its labels would be another's {name}.")
        size = entry.width, entry.height
        files[name] = [yolo_line(0, box, size) + "\n" for box in entry.boxes]
    if problems:
        raise MetadataError(problems)
    write_whole(Path(folder, CLASSES), f"{label}\n")
    for name, lines in files.items():
        write_whole(Path(folder, name), "".join(lines))
    return sum(map(len, files.values()))
