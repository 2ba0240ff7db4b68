"""Find faces with a trained detector, an exported one, or the cascade."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from facescore.boxes import (
    Face,
    as_face,
    clip_boxes,
    whole_picture,
)
from facescore.detector import CONFIDENCE
from facescore.detector.engines import EngineNetwork
from facescore.detector.grid import decode, grid_cells
from facescore.detector.results import Faces
from facescore.detector.views import (
    AUTO,
    IMAGE_SIZE,
    cut_out,
    fuse,
    is_piece,
    letterbox,
    plan_views,
    whole,
)
from facescore.exported import ExportedDetectorNetwork
from illustkit.deprecation import keyword_aliases
from illustkit.engines import choose_engine
from illustkit.errors import UserError
from illustkit.exported import is_exported
from illustkit.images import read_image
from illustkit.options import check_number

IOU = 0.5
WEAKEST = 0.01  # confidence of a box that may still confirm another
DEFAULT = "default"  # the detector that comes with the package
NAMES = DEFAULT, "cascade"

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
        confidence: float = CONFIDENCE,
        iou: float = IOU,
        image_size: int | None = None,
        tile: int | str | None = AUTO,
        top: int = 300,
        batch_size: int = 8,
    ) -> list[list[Face]]:
        """Find the faces of several pictures.

        Args:
            images: uint8 RGB arrays of any sizes.
            confidence: Least confidence. Defaults to 0.4.
            iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
            image_size: Longer side that pictures are scaled to, rounded up to a
                multiple of 32. Defaults to what `tile` says.
            tile: Side in pixels of overlapping windows that are searched as well, each
                scaled to `image_size`, for small faces in large pictures; or `None`:
                a picture is searched once, at 640 pixels. Defaults to "auto": where
                `image_size` is not given, pictures are searched at 320 and 640 pixels,
                those of more than 900 pixels at 320, 480, 960 and 1920, some nine
                times the work. An exported file of one size searches at that, large
                pictures also in windows of half their side.
            top: Most faces of a picture. Defaults to 300.
            batch_size: Windows searched at once. Defaults to 8.

        Returns:
            A list of `Face` for each picture, best first, boxes inside the picture.

        Raises:
            UserError: If a size is too small, or another than the exported file's.
        """
        fixed = self._fixed(image_size)
        views = [
            (number, view)
            for number, image in enumerate(images)
            for view in plan_views(image.shape[1::-1], image_size, tile, fixed)
        ]
        hits: list[list[tuple[Any, ...]]] = [[] for _ in images]
        scales: list[dict[int, float]] = [{} for _ in images]
        # By shape: a batch has one, and few shapes are few compilations.
        groups: dict[tuple[int, int], list[Any]] = {}
        for number, view in views:
            groups.setdefault(view.shape, []).append((number, view))
        for shape, alike in groups.items():
            # A batch has no more pixels than one of the common size.
            share = IMAGE_SIZE**2 / (shape[0] * shape[1])
            rows = max(1, min(batch_size, int(batch_size * share)))
            for start in range(0, len(alike), rows):
                batch = alike[start : start + rows]
                boxed = [letterbox(cut_out(images[n], v), shape) for n, v in batch]
                pixels = np.stack([image for image, _, _ in boxed])
                if len(alike) > rows:
                    more = np.repeat(pixels[-1:], rows - len(pixels), 0)
                    pixels = np.concatenate([pixels, more])
                # Weak boxes may confirm a strong one.
                found = self._candidates(pixels, min(confidence, WEAKEST))
                for (boxes, scores), (number, view), (_, scale, offset) in zip(
                    found, batch, boxed, strict=False
                ):
                    boxes = (boxes - np.tile(offset, 2)) / scale
                    boxes = boxes + np.tile(view.window[:2], 2)
                    size = images[number].shape[1::-1]
                    kept = whole(boxes, view.window, size, 2 / scale)
                    boxes = clip_boxes(boxes, size)
                    # Nothing may remain of a face that lies outside the picture.
                    kept &= (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
                    levels = np.full(len(boxes), view.level)
                    scales[number][view.level] = scale
                    hits[number].append((boxes[kept], scores[kept], levels[kept]))
        return [
            _faces(rows, of_levels, iou=iou, least=confidence, top=top)
            for rows, of_levels in zip(hits, scales, strict=True)
        ]

    def _fixed(self, image_size):
        """Return (width, height) of an exported file of one size; else `None`."""
        if image_size is not None and image_size < 1:
            raise UserError(f"`image_size` is 1 or more. Received: {image_size}")
        if not isinstance(self.network, ExportedDetectorNetwork):
            return None
        fixed = self.network.size
        if fixed is not None and image_size not in (None, max(fixed)):
            raise UserError(
                f"{self.network.network.path}: was exported for `image_size` "
                f"{max(fixed)} alone. Received: {image_size}"
            )
        return fixed

    def _candidates(self, pixels, confidence):
        if isinstance(self.network, ExportedDetectorNetwork):
            return self.network.candidates(pixels, confidence)
        raws = np.asarray(self.network.predict_on_batch(pixels))
        size = pixels.shape[2], pixels.shape[1]
        return [candidates(raw, size, confidence) for raw in raws]


def _faces(hits, scales, **options):
    boxes, scores, levels = (np.concatenate(rows) for rows in zip(*hits, strict=True))
    of_levels = [scales[level] for level in range(len(scales))]
    boxes, scores = fuse(boxes, scores, levels, of_levels, **options)
    kept = ~is_piece(boxes)
    return [
        Face(tuple(box.tolist()), float(score))
        for box, score in zip(boxes[kept], scores[kept], strict=True)
    ]


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
    tile: int | str | None = AUTO,
) -> None:
    """Refuse options that a detector cannot work with, before it does any work.

    Args:
        detector: What `as_detector` returned.
        confidence: Least confidence of a face.
        iou: Overlap up to which two boxes are two faces. This and what follows is for
            trained detectors; the cascade and a function have no such options.
        image_size: Side that a picture is scaled to.
        tile: Side of windows, "auto" or `None`.

    Raises:
        UserError: If a value is out of range, or given where it would do nothing.
    """
    check_number("confidence", confidence, least=0, most=1)
    check_number("iou", iou, least=0, most=1)
    check_number("image_size", image_size, whole=True, least=1)
    of_windows = None if tile == AUTO else tile  # which every detector has
    if isinstance(of_windows, str):
        raise UserError(f"`tile` is auto, None or a number. Received: {tile!r}")
    check_number("tile", of_windows, whole=True, least=32)
    given = {"iou": iou, "image_size": image_size, "tile": of_windows}
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
    confidence: float = CONFIDENCE,
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
        # `tile=None` asks for something; the others leave it to the detector.
        given = {k: v for k, v in options.items() if v is not None or k == "tile"}
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
    confidence: float = CONFIDENCE,
    iou: float | None = None,
    image_size: int | None = None,
    tile: int | str | None = AUTO,
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
        confidence: Least confidence. Defaults to 0.4. The options that follow are for
            trained detectors, not for the cascade.
        iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
        image_size: Side that the picture is scaled to, rounded up to a multiple of 32.
            Defaults to what `tile` says.
        tile: Side of windows to search as well, in pixels, or `None`: once, at 640
            pixels. Defaults to "auto": at 320 and 640 pixels, and pictures of more than
            900 pixels at 320, 480, 960 and 1920, where `image_size` is not given.
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
