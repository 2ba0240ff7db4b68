"""Find the faces of a folder's pictures; draw them, write labels, crops and tables."""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from facescore.crops import crop_face, failure
from facescore.detector.prediction import (
    DEFAULT,
    as_detector,
    check_finding,
    detect_faces,
)
from facescore.detector.results import Faces, face_entry
from facescore.labels import write_labels
from illustkit.deprecation import renamed_keywords
from illustkit.errors import UserError
from illustkit.files import check_writable, expand_user, write_whole
from illustkit.images import list_images, read_image, write_image
from illustkit.options import check_number
from illustkit.tables import read_json, write_table

JSON, CSV = "faces.json", "faces.csv"
NUMBERED = "predict"  # predict, predict2, predict3, ..., as Ultralytics numbers them
_DRAWN_AS = ".png", ".jpg", ".jpeg", ".webp"  # what else there is becomes .png


def numbered_folder(parent: str | os.PathLike[str]) -> Path:
    """Return the first of predict, predict2, predict3, ... that does not exist.

    Args:
        parent: Folder of the numbered ones; nothing is made in it.
    """
    folder, number = expand_user(parent) / NUMBERED, 1
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{NUMBERED}{number}")
    return folder


@renamed_keywords(out="output")
def detect_folder(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    detector: Any = DEFAULT,
    output: str | os.PathLike | None = None,
    *,
    save: bool = False,
    save_txt: bool = False,
    save_conf: bool = False,
    save_crop: bool = False,
    line_width: int | None = None,
    hide_conf: bool = False,
    overwrite: bool = False,
    engine: str = "auto",
    left_out: list[tuple[Path, str]] | None = None,
    skipped: list[Path] | None = None,
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> Iterator[tuple[Path, Faces]]:
    """Find the faces of every picture in a folder, and write what is asked for.

    With an `output`, `faces.json` (all pictures) and `faces.csv` (all boxes) stand in
    it at the end; what earlier calls have found stays in them.

    Example:
    ```python
    for path, faces in facescore.detect_folder("pictures", output="found", save=True):
        print(path, len(faces))
    ```

    Args:
        images: A folder, or a list of paths. What an earlier call has written under
            `output` is not searched.
        detector: As in `detect_faces`.
        output: Folder for all that is written; needed if something is saved. Defaults
            to none.
        save: Draw the faces on each picture, under its own name in `output`. Defaults
            to `False`.
        save_txt: Write YOLO labels to `output/labels`; an empty file for a picture
            without a face.
        save_conf: Add the confidence as the sixth column; such files are predictions,
            not labels.
        save_crop: Write each face to `output/crops`.
        line_width: See `draw_faces`.
        hide_conf: Whether to draw no confidences. Defaults to `False`.
        overwrite: Search pictures again whose files an earlier call has written.
            Defaults to `False`: they are passed over.
        engine: See `load_detector`. Defaults to "auto".
        left_out: List that receives pairs (path, reason) of the pictures that cannot
            be read. Defaults to none: the first of them raises its error.
        skipped: List that receives the pictures that were passed over.
        progress: Called with the number of pictures done. Defaults to none.
        **options: `confidence`, `iou`, `image_size` and `tile` of `detect_faces`.

    Yields:
        `(path, faces)`, one picture at a time, as it is done.

    Raises:
        UserError: If `output` is missing or cannot be written, two pictures would be
            saved under one name, a drawn picture would replace its own, or a picture
            cannot be read.
    """
    check_number("line_width", line_width, whole=True, least=1)
    if output is None and (save or save_txt or save_conf or save_crop):
        raise UserError("To save something, name a folder. Received: output=None")
    base, paths = _listed(images, output)
    names = [path.relative_to(base) if base else Path(path.name) for path in paths]
    folder = None if output is None else expand_user(output)
    kinds = {"drawn": save, "label": save_txt or save_conf, "crop": save_crop}
    known: dict[str, dict[str, Any]] = {}
    if folder is not None:
        _check_names(names, kinds)
        check_writable(folder)
        known = _read_known(folder)
    if folder is not None and save:
        _check_drawn(folder, names, paths)
    detector = as_detector(detector, engine=engine)
    check_finding(detector, **options)
    found: dict[str, dict[str, Any]] = {}
    try:
        for number, (path, name) in enumerate(zip(paths, names, strict=True), 1):
            files = None if folder is None else _files_of(folder, name)
            if files and not overwrite and _is_done(files, name, kinds, known):
                if skipped is not None:
                    skipped.append(path)
                continue
            try:
                image = read_image(path)
                faces = detect_faces(image, detector, **options)
                if files:
                    _write(files, image, faces, kinds, save_conf, line_width, hide_conf)
            except Exception as error:
                if left_out is None:
                    raise
                left_out.append((path, failure(path, error)))
                continue
            found[name.as_posix()] = {
                "file": name.as_posix(),
                "width": image.shape[1],
                "height": image.shape[0],
                "faces": [face_entry(face) for face in faces],
            }
            if progress is not None:
                progress(number)
            yield path, Faces(faces, path)
    finally:  # what was found before an error, or before the user stops it, stays
        if folder is not None and found:
            _write_tables(folder, {**known, **found})


def _listed(images, output):
    """Return the folder, if one is given, and the pictures to search."""
    if not isinstance(images, (str, os.PathLike)):
        paths = [expand_user(path) for path in images]
        for path in paths:
            if not path.exists():
                raise UserError(f"{path}: no such file. Check the path.")
        return None, paths
    base = expand_user(images)
    paths = list_images(base)
    if output is None:
        return base, paths
    own = expand_user(output)
    if re.fullmatch(rf"{NUMBERED}\d*", own.name):
        own = own.parent
    own = own.resolve()
    if base.resolve().is_relative_to(own):
        return base, paths
    others = [p for p in paths if not p.parent.resolve().is_relative_to(own)]
    if not others:
        raise UserError(f"{base}: no pictures here but those in {output}.")
    return base, others


def _files_of(folder, name):
    """Return the files of one picture; of its crops the first."""
    drawn = name if name.suffix.lower() in _DRAWN_AS else name.with_suffix(".png")
    return {
        "drawn": folder / drawn,
        "label": folder / "labels" / name.with_suffix(".txt"),
        "crop": folder / "crops" / name.parent / f"{name.stem}-0.png",
    }


def _is_done(files, name, kinds, known):
    """Return whether an earlier call has written all that is asked for."""
    label, entry = files["label"], known.get(name.as_posix())
    empty = entry is not None and not entry["faces"]
    empty = empty or (label.exists() and not label.stat().st_size)
    there = {kind: files[kind].exists() for kind in kinds}
    there["crop"] |= empty
    # Labels may have been corrected by hand since: they count without an entry.
    recorded = entry is not None or (kinds["label"] and there["label"])
    return recorded and all(there[kind] for kind, asked in kinds.items() if asked)


def _write(files, image, faces, kinds, save_conf, line_width, hide_conf):
    # What says that the picture is done is written last.
    if kinds["crop"]:
        first = files["crop"]
        crops = [crop_face(image, face.box) for face in faces]
        for i, crop in reversed(list(enumerate(crops))):
            write_image(first.with_name(f"{first.name[: -len('0.png')]}{i}.png"), crop)
    if kinds["drawn"]:
        faces.save(files["drawn"], line_width=line_width, hide_conf=hide_conf)
    if kinds["label"]:
        write_labels(
            files["label"],
            [face.box for face in faces],
            image.shape[1::-1],
            [face.confidence for face in faces] if save_conf else None,
        )


def _write_tables(folder, entries):
    lines = [json.dumps(entry, ensure_ascii=False) for entry in entries.values()]
    write_whole(folder / JSON, "[" + ",\n ".join(lines) + "]\n")
    rows = [
        [entry["file"], *face["box"], face["confidence"]]
        for entry in entries.values()
        for face in entry["faces"]
    ]
    columns = ["file", "left", "top", "right", "bottom", "confidence"]
    write_table(folder / CSV, columns, rows)


def _read_known(folder):
    """Return what earlier calls have found, by the pictures' names."""
    path = folder / JSON
    if not path.exists():
        return {}
    entries = read_json(path)
    try:
        for entry in entries:
            for face in entry["faces"]:
                len(face["box"]), face["confidence"]
        return {str(entry["file"]): entry for entry in entries}
    except (TypeError, KeyError):
        raise UserError(
            f"{path}: is not by facescore detect. Name another folder, or remove it."
        ) from None


def _check_names(names, kinds):
    owners: dict[Path, Path] = {}
    for name in names:
        files = _files_of(Path(), name)
        for target in {name, *(files[kind] for kind, asked in kinds.items() if asked)}:
            owner = owners.setdefault(target, name)
            if owner is not name:
                raise UserError(
                    f"{owner} and {name} would be saved under one name. Rename one of "
                    "them."
                )


def _check_drawn(folder, names, paths):
    pictures = {path.resolve() for path in paths}
    for name in names:
        drawn = _files_of(folder, name)["drawn"]
        if drawn.resolve() in pictures:
            raise UserError(
                f"{drawn}: the drawn picture would replace the picture itself. Name "
                "another folder by `output`."
            )
