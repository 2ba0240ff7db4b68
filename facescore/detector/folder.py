"""Find the faces of a folder's pictures; draw them, write labels, crops and tables."""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from facescore.crops import failure
from facescore.detector.prediction import DEFAULT, as_detector, check_finding
from facescore.detector.results import Faces
from facescore.detector.search import (
    Saving,
    as_found,
    files_of,
    search_picture,
    spread_search,
)
from illustkit.cluster import RAY, read_shards, remove_shards
from illustkit.deprecation import renamed_keywords
from illustkit.errors import UserError
from illustkit.files import check_writable, expand_user, write_whole
from illustkit.images import list_images
from illustkit.options import check_number
from illustkit.tables import read_json, write_table

JSON, CSV = "faces.json", "faces.csv"
NUMBERED = "predict"  # predict, predict2, predict3, ..., as Ultralytics numbers them
SHARDS = "shards"  # what processes of Ray have found, until it is in the tables


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
    workers: int | None = None,
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
        engine: See `load_detector`; or "ray": processes of Ray search the pictures, on
            this machine or on a cluster whose machines all see the folders. The files
            are those of one process. A detector is named then, and the faces come once
            all are found, as `faces.json` has them. Defaults to "auto".
        workers: Number of Ray's processes. Defaults to one for each core.
        left_out: List that receives pairs (path, reason) of the pictures that cannot
            be read. Defaults to none: the first of them raises its error.
        skipped: List that receives the pictures that were passed over.
        progress: Called with the number of pictures done; with it Ray shows its own
            progress, too. Defaults to none.
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
    spread = engine == RAY
    named = detector
    if spread:
        _check_spread(named, folder)
        known = _merge(folder, known)
    detector = as_detector(detector, **{} if spread else {"engine": engine})
    check_finding(detector, **options)
    saving = Saving(folder, kinds, save_conf, line_width, hide_conf)
    todo = []
    for path, name in zip(paths, names, strict=True):
        if folder and not overwrite and _is_done(folder, name, kinds, known):
            if skipped is not None:
                skipped.append(path)
        else:
            todo.append((path, name))
    if spread and folder is not None:
        shards = folder / SHARDS
        spread_search(
            todo, named, saving, options, shards, workers, progress is not None
        )
        found = {record["file"]: record for record in read_shards(shards)}
    results: dict[str, dict[str, Any]] = {}
    try:
        for number, (path, name) in enumerate(todo, 1):
            try:
                if spread:
                    entry, faces = as_found(found[name.as_posix()], path)
                else:
                    entry, faces = search_picture(path, name, detector, saving, options)
            except Exception as error:
                if left_out is None:
                    raise
                left_out.append((path, failure(path, error)))
                continue
            results[entry["file"]] = entry
            if progress is not None:
                progress(number)
            yield path, faces
    finally:  # what was found before an error, or before the user stops it, stays
        if folder is not None and results:
            _write_tables(folder, {**known, **results})
    if spread and folder is not None:
        remove_shards(folder / SHARDS)


def _check_spread(detector, folder):
    if not isinstance(detector, str | os.PathLike | None):
        raise UserError(
            "`engine` ray opens the detector in each process: name it, its run or its "
            f"file. Received: {detector!r}"
        )
    if folder is None:
        raise UserError(
            "`engine` ray gathers what is found in a folder: name one as `output`."
        )


def _merge(folder, known):
    """Bring the tables up to date with what an interrupted run of Ray has left."""
    records = list(read_shards(folder / SHARDS))
    if records:
        known = {**known, **{r["file"]: r for r in records if "error" not in r}}
        _write_tables(folder, known)
    remove_shards(folder / SHARDS)
    return known


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


def _is_done(folder, name, kinds, known):
    """Return whether an earlier call has written all that is asked for."""
    files = files_of(folder, name)
    label, entry = files["label"], known.get(name.as_posix())
    empty = entry is not None and not entry["faces"]
    empty = empty or (label.exists() and not label.stat().st_size)
    there = {kind: files[kind].exists() for kind in kinds}
    there["crop"] |= empty
    # Labels may have been corrected by hand since: they count without an entry.
    recorded = entry is not None or (kinds["label"] and there["label"])
    return recorded and all(there[kind] for kind, asked in kinds.items() if asked)


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
        files = files_of(Path(), name)
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
        drawn = files_of(folder, name)["drawn"]
        if drawn.resolve() in pictures:
            raise UserError(
                f"{drawn}: the drawn picture would replace the picture itself. Name "
                "another folder by `output`."
            )
