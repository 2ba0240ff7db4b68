"""Search one picture for faces and write what is asked for, here or on a cluster."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from facescore.boxes import Face
from facescore.crops import crop_face, failure
from facescore.detector.prediction import NAMES, as_detector, detect_faces
from facescore.detector.results import Faces, face_entry
from facescore.labels import write_labels
from illustkit.cluster import map_to_shards, whole_path
from illustkit.errors import UserError
from illustkit.images import read_image, write_image

_DRAWN_AS = ".png", ".jpg", ".jpeg", ".webp"  # what else there is becomes .png


def files_of(folder: Path, name: Path) -> dict[str, Path]:
    """Return the files of one picture; of its crops the first.

    Args:
        folder: Where all is written.
        name: The picture's name within what is searched.
    """
    drawn = name if name.suffix.lower() in _DRAWN_AS else name.with_suffix(".png")
    return {
        "drawn": folder / drawn,
        "label": folder / "labels" / name.with_suffix(".txt"),
        "crop": folder / "crops" / name.parent / f"{name.stem}-0.png",
    }


@dataclass(frozen=True)
class Saving:
    """Says what is written of each picture.

    Args:
        folder: Where; `None` if nothing is.
        kinds: Whether "drawn", "label" and "crop" are written.
        save_conf: See `detect_folder`.
        line_width: See `detect_folder`.
        hide_conf: See `detect_folder`.
    """

    folder: Path | None
    kinds: Mapping[str, bool]
    save_conf: bool = False
    line_width: int | None = None
    hide_conf: bool = False

    def write(self, name: Path, image: np.ndarray, faces: Faces) -> None:
        """Write the files of one picture.

        Args:
            name: Its name within what is searched.
            image: uint8 RGB `(height, width, 3)`.
            faces: What was found.
        """
        if self.folder is None:
            return
        files = files_of(self.folder, name)
        # What says that the picture is done is written last.
        if self.kinds["crop"]:
            first = files["crop"]
            stem = first.name[: -len("0.png")]
            crops = [crop_face(image, face.box) for face in faces]
            for i, crop in reversed(list(enumerate(crops))):
                write_image(first.with_name(f"{stem}{i}.png"), crop)
        if self.kinds["drawn"]:
            width, hide = self.line_width, self.hide_conf
            faces.save(files["drawn"], line_width=width, hide_conf=hide)
        if self.kinds["label"]:
            write_labels(
                files["label"],
                [face.box for face in faces],
                image.shape[1::-1],
                [face.confidence for face in faces] if self.save_conf else None,
            )


def search_picture(
    path: Path, name: Path, detector: Any, saving: Saving, options: Mapping[str, Any]
) -> tuple[dict[str, Any], Faces]:
    """Find the faces of one picture and write its files.

    Args:
        path: The picture's file.
        name: Its name within what is searched.
        detector: What `as_detector` returned.
        saving: What is written.
        options: Further options of `detect_faces`.

    Returns:
        `(entry, faces)`: what `faces.json` says of it, and the faces.

    Raises:
        UserError: If it cannot be read.
    """
    image = read_image(path)
    faces = detect_faces(image, detector, **options)
    saving.write(name, image, faces)
    entry = {
        "file": name.as_posix(),
        "width": image.shape[1],
        "height": image.shape[0],
        "faces": [face_entry(face) for face in faces],
    }
    return entry, Faces(faces, path)


def spread_search(
    pictures: Sequence[tuple[Path, Path]],
    detector: str | os.PathLike[str] | None,
    saving: Saving,
    options: Mapping[str, Any],
    shards: Path,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Search pictures in processes of Ray; what is found are Parquet files.

    Args:
        pictures: Pairs of a file and its name within what is searched.
        detector: Name, run folder or file of a detector, or `None`.
        saving: What is written; its folder is given.
        options: Further options of `detect_faces`.
        shards: Folder of the Parquet files: for each picture its entry in `faces.json`,
            or `file` and `error`.
        workers: Number of processes. Defaults to one for each core.
        progress: Whether Ray shows its progress. Defaults to `True`.
    """
    # Processes have a working folder of their own.
    items = [json.dumps([os.path.abspath(p), name.as_posix()]) for p, name in pictures]
    whole = replace(saving, folder=Path(os.path.abspath(saving.folder or "")))
    arguments = [whole_path(detector, NAMES), whole, dict(options)]
    map_to_shards(
        items, _SearchWorker, arguments, shards, workers=workers, progress=progress
    )


def as_found(record: Mapping[str, Any], path: Path) -> tuple[dict[str, Any], Faces]:
    """Return what `search_picture` returns, from the record of a process.

    Args:
        record: One of the shards' records.
        path: The picture's file.

    Raises:
        UserError: If the picture could not be searched.
    """
    if "error" in record:
        raise UserError(record["error"])
    faces = [Face(tuple(f["box"]), f["confidence"]) for f in record["faces"]]
    return dict(record), Faces(faces, path)


class _SearchWorker:
    """Searches pictures in a process of a cluster."""

    def __init__(self, detector, saving, options):
        self.detector = as_detector(detector)
        self.saving, self.options = saving, options

    def __call__(self, items):
        return [self._search(*map(Path, json.loads(item))) for item in items]

    def _search(self, path, name):
        try:
            return search_picture(path, name, self.detector, self.saving, self.options)[
                0
            ]
        except Exception as error:
            return {"file": name.as_posix(), "error": failure(path, error)}
