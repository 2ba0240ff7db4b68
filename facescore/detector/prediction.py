"""Find faces with a trained detector, an exported one, or the cascade."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from facescore.boxes import (
    Face,
    as_face,
    box_areas,
    clip_boxes,
    nms,
    whole_picture,
)
from facescore.detector.engines import EngineNetwork, choose_engine
from facescore.detector.grid import decode, grid_cells
from facescore.detector.results import Faces
from facescore.exported import ExportedDetectorNetwork
from illustkit.deprecation import keyword_aliases
from illustkit.errors import UserError
from illustkit.exported import is_exported
from illustkit.images import read_image
from illustkit.options import check_number

GREY = 114  # of what lies outside a picture, as in Ultralytics
IOU, IMAGE_SIZE = 0.5, 640
DEFAULT = "default"  # the detector that comes with the package

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
        network: A `facescore.detector.network.DetectorNetwork`; or one that needs no
            Keras: `facescore.detector.engines.EngineNetwork`, or an exported one
            (`facescore.exported.ExportedDetectorNetwork`).
    """

    def __init__(self, network: Any) -> None:
        if not isinstance(network, (EngineNetwork, ExportedDetectorNetwork)):
            from facescore.detector.network import fold_normalisation

            network = fold_normalisation(network)
        self.network = network

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
        image_size: int | None = None,
        tile: int | None = None,
        top: int = 300,
        batch_size: int = 8,
    ) -> list[list[Face]]:
        """Find the faces of several pictures.

        Args:
            images: uint8 RGB arrays of any sizes.
            confidence: Least confidence. Defaults to 0.25.
            iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
            image_size: Longer side that pictures are scaled to, rounded up to a
                multiple of 32. Defaults to 640, or to that of an exported file of one
                size.
            tile: Side in pixels of overlapping windows that are searched as well, each
                scaled to `image_size`, for small faces in large pictures.
                Defaults to none.
            top: Most faces of a picture. Defaults to 300.
            batch_size: Windows searched at once. Defaults to 8.

        Returns:
            A list of `Face` for each picture, best first, boxes inside the picture.

        Raises:
            UserError: If a size is too small, or another than the exported file's.
        """
        shapes = self._shapes(image_size)
        views = [
            (number, window, image[window[1] : window[3], window[0] : window[2]])
            for number, image in enumerate(images)
            for window in windows(image.shape[1::-1], tile)
        ]
        hits: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in images]
        # By shape: a batch has one, and few shapes are few compilations.
        groups: dict[tuple[int, int], list[Any]] = {}
        for view in views:
            groups.setdefault(choose_shape(view[2].shape[1::-1], shapes), []).append(
                view
            )
        for shape, alike in groups.items():
            for start in range(0, len(alike), batch_size):
                batch = alike[start : start + batch_size]
                boxed = [letterbox(view, shape) for _, _, view in batch]
                pixels = np.stack([image for image, _, _ in boxed])
                if len(alike) > batch_size:
                    rows = batch_size - len(pixels)
                    pixels = np.concatenate([pixels, np.repeat(pixels[-1:], rows, 0)])
                found = self._candidates(pixels, confidence)
                for (boxes, scores), (number, window, _), (_, scale, offset) in zip(
                    found, batch, boxed, strict=False
                ):
                    boxes = (boxes - np.tile(offset, 2)) / scale
                    boxes = boxes + np.tile(window[:2], 2)
                    size = images[number].shape[1::-1]
                    kept = whole(boxes, window, size, 2 / scale)
                    boxes = clip_boxes(boxes, size)
                    # Nothing may remain of a face that lies outside the picture.
                    kept &= (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
                    hits[number].append((boxes[kept], scores[kept]))
        return [_suppressed(rows, iou, top) for rows in hits]

    def _shapes(self, image_size):
        exported = isinstance(self.network, ExportedDetectorNetwork)
        fixed = self.network.size if exported else None
        if image_size is not None and image_size < 1:
            raise UserError(f"`image_size` is 1 or more. Received: {image_size}")
        if fixed is None:
            return network_shapes(-(-(image_size or IMAGE_SIZE) // 32) * 32)
        if image_size not in (None, max(fixed)):
            raise UserError(
                f"{self.network.network.path}: was exported for `image_size` "
                f"{max(fixed)} alone. Received: {image_size}"
            )
        return [fixed]

    def _candidates(self, pixels, confidence):
        if isinstance(self.network, ExportedDetectorNetwork):
            return self.network.candidates(pixels, confidence)
        raws = np.asarray(self.network.predict_on_batch(pixels))
        size = pixels.shape[2], pixels.shape[1]
        return [candidates(raw, size, confidence) for raw in raws]


def network_shapes(side: int) -> list[tuple[int, int]]:
    """Return the few shapes in which pictures are searched, the smallest first.

    A picture of 640×360 in a square of 640 pixels would be 44 % grey.

    Args:
        side: Longer side in pixels, a multiple of 32.

    Returns:
        List of (width, height), multiples of 32: the shorter side is about 4/8 to 8/8
        of the longer.
    """
    shorter = sorted({-(-side * n // 8 // 32) * 32 for n in range(4, 9)})
    wide = [(side, n) for n in shorter]
    return sorted({*wide, *((n, side) for n in shorter)}, key=lambda s: s[0] * s[1])


def choose_shape(
    size: Sequence[int], shapes: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """Return the smallest shape that a picture fits in, its longer side filled.

    Args:
        size: (width, height) of the picture.
        shapes: What `network_shapes` returned.
    """
    side, (width, height) = max(max(shape) for shape in shapes), size
    scale = side / max(width, height)
    needed = round(width * scale), round(height * scale)
    fitting = (s for s in shapes if s[0] >= needed[0] and s[1] >= needed[1])
    return next(fitting, shapes[-1])  # a file of one broad shape takes tall ones too


def letterbox(
    image: np.ndarray, size: int | tuple[int, int]
) -> tuple[np.ndarray, float, np.ndarray]:
    """Scale a whole picture into a square or a rectangle, with grey beside it.

    Example:
    ```python
    square, scale, offset = letterbox(image, 640)
    boxes_in_square = boxes * scale + np.tile(offset, 2)
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`.
        size: Side of the square in pixels, or (width, height).

    Returns:
        `(boxed, scale, offset)`: uint8 of that size; pixels of it for one of the
        picture; and the picture's corner in it, float `(x, y)`.
    """
    import cv2

    columns, rows = (size, size) if isinstance(size, int) else size
    height, width = image.shape[:2]
    scale = min(columns / width, rows / height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    if (w, h) != (width, height):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, (w, h), interpolation=how)
    x, y = (columns - w) // 2, (rows - h) // 2
    boxed = np.full((rows, columns, 3), GREY, np.uint8)
    boxed[y : y + h, x : x + w] = image
    return boxed, scale, np.array([x, y], float)


def _suppressed(hits, iou, top):
    boxes, scores = (np.concatenate(rows) for rows in zip(*hits, strict=True))
    kept = nms(boxes, scores, iou, top)
    kept = kept[~_is_piece(boxes[kept])]
    return [Face(tuple(boxes[i].tolist()), float(scores[i])) for i in kept]


def _is_piece(boxes):
    """Return which boxes, best first, are pieces of a better one.

    A window may show a part of a face that it takes for a whole one. Its IoU with the
    whole is small; but it lies within it, and is too large for a face in front of it.
    """
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = box_areas(boxes)
    within = shared > 0.85 * areas[:, None]
    large = areas[:, None] > 0.3 * areas[None]
    better = np.tri(len(boxes), k=-1, dtype=bool)  # row: a box, column: a better one
    return (within & large & better).any(axis=1)


def candidates(
    raw: np.ndarray, size: Sequence[int], confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes and confidences of the cells that are confident enough.

    Args:
        raw: Raw predictions of one picture `(cells, 65)`.
        size: Its (width, height) in pixels.
        confidence: Least confidence.

    Returns:
        `(boxes, confidences)`: xyxy `(n, 4)` in its pixels, and `(n,)`.
    """
    scores = 1 / (1 + np.exp(-raw[:, -1].astype(np.float64)))
    kept = np.flatnonzero(scores >= confidence)
    centres, strides = grid_cells(size)
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


def load_detector(run: Any, *, engine: str = "auto") -> Detector:
    """Load a trained detector.

    Example:
    ```python
    detector = facescore.load_detector("default", engine="opencv")
    ```

    Args:
        run: "default", the detector that comes with the package; a run folder, or the
            `Run` that `train_detector` returned, whose best weights are loaded; or the
            path of a `.keras` file, or of an `.onnx` or `.tflite` file that
            `facescore.export_detector` wrote. A run folder named default is given as
            "./default".
        engine: What computes: "keras", on the GPU where there is one; "onnx" (ONNX
            Runtime) or "opencv", on the CPU; they find the same faces. "auto" is Keras
            for a run and wherever there is a GPU, and else the faster start: ONNX
            Runtime if it is installed, or OpenCV. Defaults to "auto". An exported file
            has its own.

    Returns:
        A `Detector`.

    Raises:
        UserError: If there is no such run, no weights in it, or no such engine.
    """
    shipped = isinstance(run, str) and run == DEFAULT
    chosen = choose_engine(engine, shipped=shipped)
    if is_exported(run):
        if engine != "auto":
            raise UserError(f"{run}: has its own engine; leave `engine` out.")
        return Detector(ExportedDetectorNetwork(run))
    if chosen == "keras":
        return Detector(load_network(run))
    if shipped:
        from facescore.detector.pretrained import read_shipped

        return Detector(EngineNetwork(*read_shipped(), engine=chosen))
    network = load_network(run)
    weights = {w.path: np.asarray(w) for w in network.weights}
    return Detector(EngineNetwork(network.get_config(), weights, engine=chosen))


def load_network(run: Any) -> Any:
    """Load the trained network of a run, with its batch normalisation.

    Args:
        run: See `load_detector`.

    Returns:
        A `facescore.detector.network.DetectorNetwork`.
    """
    if isinstance(run, str) and run == DEFAULT:
        from facescore.detector.pretrained import load_shipped

        return load_shipped()
    from facescore.detector.losses import DETECTOR, build_detector
    from illustkit.training.runs import load_run

    return load_run(run, DETECTOR, build_detector).network


def as_detector(detector: Any, *, engine: str = "auto") -> Any:
    """Open a detector by its name or run; return one that is open as it is.

    Args:
        detector: "default", "cascade", a run folder, a `Run`, an exported file, an
            object with `detect`, a function from an image to its faces, or `None` for
            whole pictures.
        engine: See `load_detector`.

    Raises:
        UserError: If the detector cannot be opened, or has no such engine.
    """
    opened = detector is None or callable(detector) or hasattr(detector, "detect")
    if engine != "auto" and (opened or detector == "cascade"):
        raise UserError(
            "`engine` is for a detector that is named and trained: leave it out."
        )
    if opened:
        return detector
    if detector == "cascade":
        from facescore.detector.cascade import Cascade

        return Cascade()
    return load_detector(detector, engine=engine)


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
    detector: Any = DEFAULT,
    *,
    confidence: float = 0.25,
    iou: float | None = None,
    image_size: int | None = None,
    tile: int | None = None,
    engine: str = "auto",
) -> Faces:
    """Find the faces of one picture.

    Ultralytics' names `conf` and `imgsz` are aliases of `confidence` and `image_size`.

    Example:
    ```python
    faces = facescore.detect_faces("picture.png")
    faces.save("found.png")
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`, or a path.
        detector: "default", which comes with the package; "cascade", a run folder, a
            file that `export_detector` wrote, or what `load_detector` returned; load
            it once for many pictures. Defaults to "default".
        confidence: Least confidence. Defaults to 0.25. The options that follow are for
            trained detectors, not for the cascade.
        iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
        image_size: Side that the picture is scaled to, rounded up to a multiple of 32.
            Defaults to 640.
        tile: Side of windows to search as well, in pixels. Defaults to none.
        engine: See `load_detector`. Defaults to "auto".

    Returns:
        `Faces`: a list of `Face`, best first, that draws itself on the picture.

    Raises:
        UserError: If the picture or the detector cannot be read, or an option is
            invalid; the cascade refuses those of trained detectors.
    """
    (found,) = find_faces(
        [read_image(image)],
        as_detector(detector, engine=engine),
        confidence=confidence,
        iou=iou,
        image_size=image_size,
        tile=tile,
    )
    return Faces(found, image)
