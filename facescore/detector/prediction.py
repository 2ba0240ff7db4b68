"""Find faces with a trained detector or the cascade, in one picture or a folder."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facescore.boxes import Face, as_face, clip_boxes, nms, whole_picture
from facescore.crops import crop_face, failure
from facescore.labels import write_labels
from illustkit.deprecation import keyword_aliases, renamed_keywords
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.images import list_images, read_image, write_image
from illustkit.options import check_number

GREY = 114  # of what lies outside a picture, as in Ultralytics
IOU, IMAGE_SIZE = 0.5, 640

# Ultralytics' names of the options that follow.
ultralytics_names = keyword_aliases(conf="confidence", imgsz="image_size")


class Detector:
    """A trained network that finds the faces of pictures.

    Example:
    ```python
    detector = load_detector("runs/detector")
    for face in detector.detect(image, confidence=0.4):
        print(face.box, face.confidence)
    ```

    Args:
        network: A `facescore.detector.network.DetectorNetwork`.
    """

    def __init__(self, network: Any) -> None:
        from facescore.detector.network import fold_normalisation

        self.network = fold_normalisation(network)

    def detect(self, image: np.ndarray, **options: Any) -> list[Face]:
        """Find the faces of one picture.

        Args:
            image: uint8 RGB `(height, width, 3)`.
            **options: See `detect_all`.

        Returns:
            List of `Face`, best first, boxes inside the picture.
        """
        return self.detect_all([image], **options)[0]

    @ultralytics_names
    def detect_all(
        self,
        images: Sequence[np.ndarray],
        *,
        confidence: float = 0.25,
        iou: float = IOU,
        image_size: int = IMAGE_SIZE,
        tile: int | None = None,
        top: int = 300,
        batch_size: int = 8,
    ) -> list[list[Face]]:
        """Find the faces of several pictures.

        Args:
            images: uint8 RGB arrays of any sizes.
            confidence: Least confidence. Defaults to 0.25.
            iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
            image_size: Side that pictures are scaled to, rounded up to a multiple of
                32. Defaults to 640.
            tile: Side in pixels of overlapping windows that are searched as well, each
                scaled to `image_size`, for small faces in large pictures.
                Defaults to none.
            top: Most faces of a picture. Defaults to 300.
            batch_size: Windows searched at once. Defaults to 8.

        Returns:
            A list of `Face` for each picture, best first, boxes inside the picture.

        Raises:
            UserError: If a size is too small.
        """
        if image_size < 1:
            raise UserError(f"`image_size` is 1 or more. Received: {image_size}")
        side = -(-image_size // 32) * 32
        views = [
            (number, window, image[window[1] : window[3], window[0] : window[2]])
            for number, image in enumerate(images)
            for window in windows(image.shape[1::-1], tile)
        ]
        hits: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in images]
        for start in range(0, len(views), batch_size):
            batch = views[start : start + batch_size]
            squares = [letterbox(view, side) for _, _, view in batch]
            pixels = np.stack([square for square, _, _ in squares])
            if len(views) > batch_size:  # one shape, one compilation
                rows = batch_size - len(pixels)
                pixels = np.concatenate([pixels, np.repeat(pixels[-1:], rows, axis=0)])
            raws = np.asarray(self.network.predict_on_batch(pixels))
            for raw, (number, window, _), (_, scale, offset) in zip(
                raws, batch, squares, strict=False
            ):
                boxes, scores = candidates(raw, side, confidence)
                boxes = (boxes - np.tile(offset, 2)) / scale + np.tile(window[:2], 2)
                size = images[number].shape[1::-1]
                kept = whole(boxes, window, size, 2 / scale)
                boxes = clip_boxes(boxes, size)
                # Nothing may remain of a face that lies outside the picture.
                kept &= (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
                hits[number].append((boxes[kept], scores[kept]))
        return [_suppressed(rows, iou, top) for rows in hits]


def letterbox(image: np.ndarray, size: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Scale a whole picture into a square, with grey beside it.

    Example:
    ```python
    square, scale, offset = letterbox(image, 640)
    boxes_in_square = boxes * scale + np.tile(offset, 2)
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`.
        size: Side of the square in pixels.

    Returns:
        `(square, scale, offset)`: uint8 `(size, size, 3)`; pixels of the square for one
        of the picture; and the picture's corner in the square, float `(x, y)`.
    """
    import cv2

    height, width = image.shape[:2]
    scale = size / max(height, width)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    if (w, h) != (width, height):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, (w, h), interpolation=how)
    x, y = (size - w) // 2, (size - h) // 2
    square = np.full((size, size, 3), GREY, np.uint8)
    square[y : y + h, x : x + w] = image
    return square, scale, np.array([x, y], float)


def _suppressed(hits, iou, top):
    boxes, scores = (np.concatenate(rows) for rows in zip(*hits, strict=True))
    kept = nms(boxes, scores, iou, top)
    return [Face(tuple(boxes[i].tolist()), float(scores[i])) for i in kept]


def candidates(
    raw: np.ndarray, side: int, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes and confidences of the cells that are confident enough.

    Args:
        raw: Raw predictions of one square picture `(cells, 65)`.
        side: Its side in pixels.
        confidence: Least confidence.

    Returns:
        `(boxes, confidences)`: xyxy `(n, 4)` in pixels of the square, and `(n,)`.
    """
    from facescore.detector.network import decode, grid_cells

    scores = 1 / (1 + np.exp(-raw[:, -1].astype(np.float64)))
    kept = np.flatnonzero(scores >= confidence)
    centres, strides = grid_cells((side, side))
    distances = raw[kept, :-1].astype(np.float64)
    return decode(distances, centres[kept], strides[kept]), scores[kept]


def windows(
    size: Sequence[int], tile: int | None = None, overlap: float = 0.25
) -> list[tuple[int, int, int, int]]:
    """Return the whole picture, and windows of `tile` pixels that overlap.

    Args:
        size: (width, height) of the picture.
        tile: Side of a window in pixels, or `None`.
        overlap: Least overlap of neighbours, as a fraction of the side. Defaults to
            0.25.

    Returns:
        List of (left, top, right, bottom), ints.

    Raises:
        UserError: If a window has under 32 pixels.
    """
    width, height = size
    whole_window = (0, 0, width, height)
    if tile is None or max(size) <= tile:
        return [whole_window]
    if tile < 32:
        raise UserError(f"`tile` is 32 pixels or more. Received: {tile}")

    def starts(n):
        if n <= tile:
            return [0]
        steps = int(np.ceil((n - tile) / (tile * (1 - overlap))))
        return [round(i * (n - tile) / steps) for i in range(steps + 1)]

    return [whole_window] + [
        (x, y, min(x + tile, width), min(y + tile, height))
        for y in starts(height)
        for x in starts(width)
    ]


def whole(
    boxes: np.ndarray, window: Sequence[int], size: Sequence[int], margin: float
) -> np.ndarray:
    """Return which boxes a window does not cut: the next window has the cut ones whole.

    Args:
        boxes: xyxy `(n, 4)` in pixels of the picture.
        window: (left, top, right, bottom).
        size: (width, height) of the picture; its own border cuts nothing.
        margin: Boxes nearer to the window's border are cut, pixels.

    Returns:
        bool `(n,)`.
    """
    left, top, right, bottom = window
    low = np.where([left > 0, top > 0], np.add((left, top), margin), -np.inf)
    high = np.where(
        [right < size[0], bottom < size[1]],
        np.subtract((right, bottom), margin),
        np.inf,
    )
    return np.all(boxes[:, :2] >= low, axis=1) & np.all(boxes[:, 2:] <= high, axis=1)


def load_detector(run: Any) -> Detector:
    """Load a trained detector.

    Args:
        run: A run folder, or the `Run` that `train_detector` returned, whose best
            weights are loaded; or the path of a `.keras` file.

    Returns:
        A `Detector`.

    Raises:
        UserError: If there is no such run, or no weights in it.
    """
    return Detector(load_network(run))


def load_network(run: Any) -> Any:
    """Load the trained network of a run, with its batch normalisation.

    Args:
        run: See `load_detector`.

    Returns:
        A `facescore.detector.network.DetectorNetwork`.
    """
    from facescore.detector.losses import DETECTOR, build_detector
    from illustkit.training.runs import load_run

    return load_run(run, DETECTOR, build_detector).network


def as_detector(detector: Any) -> Any:
    """Open a detector by its name or run; return one that is open as it is.

    Args:
        detector: "cascade", a run folder, a `Run`, an object with `detect`, a function
            from an image to its faces, or `None` for whole pictures.
    """
    if detector is None or callable(detector) or hasattr(detector, "detect"):
        return detector
    if detector == "cascade":
        from facescore.detector.cascade import Cascade

        return Cascade()
    return load_detector(detector)


@ultralytics_names
def check_finding(
    detector: Any,
    *,
    confidence: float | None = None,
    iou: float | None = None,
    image_size: int | None = None,
    tile: int | None = None,
) -> None:
    """Refuse options that a detector cannot work with, before it does any work.

    Args:
        detector: What `as_detector` returned.
        confidence: Least confidence of a face.
        iou: Overlap up to which two boxes are two faces. This and what follows is for
            trained detectors; the cascade and a function have no such options.
        image_size: Side that a picture is scaled to.
        tile: Side of windows.

    Raises:
        UserError: If a value is out of range, or given where it would do nothing.
    """
    check_number("confidence", confidence, least=0, most=1)
    check_number("iou", iou, least=0, most=1)
    check_number("image_size", image_size, whole=True, least=1)
    check_number("tile", tile, whole=True, least=32)
    given = {"iou": iou, "image_size": image_size, "tile": tile}
    names = [f"`{name}`" for name, value in given.items() if value is not None]
    if names and not hasattr(detector, "detect_all"):
        raise UserError(
            f"Only a trained detector has {' and '.join(names)}: leave it out, or name "
            "the run of one."
        )


@ultralytics_names
def find_faces(
    images: Sequence[np.ndarray],
    detector: Any,
    *,
    confidence: float = 0.25,
    top: int = 300,
    **options: Any,
) -> list[list[Face]]:
    """Find the faces of several pictures with any detector.

    Args:
        images: uint8 RGB arrays of any sizes.
        detector: What `as_detector` returned; `None` takes each picture for a face.
        confidence: Least confidence.
        top: Most faces of a picture, for detectors with `detect_all`.
        **options: `iou`, `image_size` and `tile` of `Detector.detect_all`; see
            `check_finding`.

    Returns:
        A list of `Face` for each picture.

    Raises:
        UserError: If an option is invalid, or one that the detector lacks.
    """
    check_finding(detector, confidence=confidence, **options)
    if detector is None:
        return [[whole_picture(image)] for image in images]
    if hasattr(detector, "detect_all"):
        given = {k: v for k, v in options.items() if v is not None}
        return detector.detect_all(images, confidence=confidence, top=top, **given)
    detect = getattr(detector, "detect", detector)
    return [
        [face for face in map(as_face, detect(image)) if face.confidence >= confidence]
        for image in images
    ]


@ultralytics_names
def detect_faces(
    image: np.ndarray | str | os.PathLike,
    detector: Any = "cascade",
    *,
    confidence: float = 0.25,
    iou: float | None = None,
    image_size: int | None = None,
    tile: int | None = None,
) -> list[Face]:
    """Find the faces of one picture.

    Ultralytics' names `conf` and `imgsz` are aliases of `confidence` and `image_size`.

    Example:
    ```python
    faces = facescore.detect_faces("picture.png", "runs/detector")
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`, or a path.
        detector: "cascade", a run folder, or what `load_detector` returned; load it
            once for many pictures. Defaults to "cascade".
        confidence: Least confidence. Defaults to 0.25, which keeps everything that the
            cascade finds. The options that follow are for trained detectors.
        iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
        image_size: Side that the picture is scaled to, rounded up to a multiple of 32.
            Defaults to 640.
        tile: Side of windows to search as well, in pixels. Defaults to none.

    Returns:
        List of `Face`, best first.

    Raises:
        UserError: If the picture or the detector cannot be read, or an option is
            invalid; the cascade refuses those of trained detectors.
    """
    return find_faces(
        [read_image(image)],
        as_detector(detector),
        confidence=confidence,
        iou=iou,
        image_size=image_size,
        tile=tile,
    )[0]


@renamed_keywords(out="output")
def detect_folder(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    detector: Any = "cascade",
    output: str | os.PathLike | None = None,
    *,
    save_txt: bool = False,
    save_conf: bool = False,
    save_crop: bool = False,
    overwrite: bool = False,
    left_out: list[tuple[Path, str]] | None = None,
    skipped: list[Path] | None = None,
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> Iterator[tuple[Path, list[Face]]]:
    """Find the faces of every picture in a folder, and write what is asked for.

    Args:
        images: A folder, or a list of paths.
        detector: As in `detect_faces`.
        output: Folder for `labels/` and `crops/`; needed if something is saved.
        save_txt: Write YOLO labels to `output/labels`; an empty file for a picture
            without a face.
        save_conf: Add the confidence as the sixth column; such files are predictions,
            not labels.
        save_crop: Write each face to `output/crops`.
        overwrite: Search pictures again whose files an earlier call has written.
            Defaults to `False`: they are passed over.
        left_out: List that receives pairs (path, reason) of the pictures that cannot
            be read. Defaults to none: the first of them raises its error.
        skipped: List that receives the pictures that were passed over.
        progress: Called with the number of pictures done. Defaults to none.
        **options: `confidence`, `iou`, `image_size` and `tile` of `detect_faces`.

    Yields:
        `(path, faces)`, one picture at a time, as it is done.

    Raises:
        UserError: If `output` is missing, two pictures would be saved under one name,
            or a picture cannot be read.
    """
    saved = save_txt or save_conf or save_crop
    if saved and output is None:
        raise UserError("To save something, name a folder. Received: output=None")
    base = None
    if isinstance(images, (str, os.PathLike)):
        base = expand_user(images)
        paths = list_images(base)
    else:
        paths = [expand_user(path) for path in images]
        for path in paths:
            if not path.exists():
                raise UserError(f"{path}: no such file. Check the path.")
    names = [path.relative_to(base) if base else Path(path.name) for path in paths]
    if saved:
        _check_stems(names)
    folder = expand_user(output or ".")
    detector = as_detector(detector)
    check_finding(detector, **options)
    for number, (path, name) in enumerate(zip(paths, names, strict=True), 1):
        label = folder / "labels" / name.with_suffix(".txt")
        crops = folder / "crops" / name.parent
        labelled = label.exists()
        cut = (crops / f"{name.stem}-0.png").exists()
        cut = cut or (labelled and not label.stat().st_size)  # no face
        written = (labelled or not (save_txt or save_conf)) and (cut or not save_crop)
        if saved and written and not overwrite:
            if skipped is not None:
                skipped.append(path)
            continue
        try:
            image = read_image(path)
            faces = detect_faces(image, detector, **options)
            cuts = [crop_face(image, f.box) for f in faces] if save_crop else []
        except Exception as error:
            if left_out is None:
                raise
            left_out.append((path, failure(path, error)))
            continue
        # What says that the picture is done is written last.
        for i, crop in reversed(list(enumerate(cuts))):
            write_image(crops / f"{name.stem}-{i}.png", crop)
        if save_txt or save_conf:
            write_labels(
                label,
                [face.box for face in faces],
                image.shape[1::-1],
                [face.confidence for face in faces] if save_conf else None,
            )
        if progress is not None:
            progress(number)
        yield path, faces


def _check_stems(names: Sequence[Path]) -> None:
    owners: dict[Path, Path] = {}
    for name in names:
        owner = owners.setdefault(name.with_suffix(""), name)
        if owner is not name:
            raise UserError(
                f"{owner} and {name} would be saved under one name. Rename one of them."
            )
