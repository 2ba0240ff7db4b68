"""Find faces with a trained detector or the cascade, in one picture or a folder."""

from pathlib import Path

import numpy as np

from facescore.boxes import Face, clip_boxes, nms
from facescore.detector.data import letterbox
from facescore.run_kinds import open_run
from illustkit.images import list_images, read_image


class Detector:
    """A trained network that finds the faces of pictures.

    Example:
    ```python
    detector = load_detector("runs/detector")
    for face in detector.detect(image, conf=0.4):
        print(face.box, face.confidence)
    ```

    Args:
        network: A `facescore.detector.network.DetectorNetwork`.
    """

    def __init__(self, network):
        from facescore.detector.network import fold_normalisation

        self.network = fold_normalisation(network)

    def detect(self, image, *, conf=0.25, iou=0.5, imgsz=640, tile=None, top=300):
        """Find the faces of one picture.

        Args:
            image: uint8 RGB `(height, width, 3)`.
            conf: Least confidence. Defaults to 0.25.
            iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
            imgsz: Side that the picture is scaled to, rounded up to a multiple of 32.
                Defaults to 640.
            tile: Side in pixels of overlapping windows that are searched as well, each
                scaled to `imgsz`, for small faces in large pictures.
                Defaults to none.
            top: Most faces. Defaults to 300.

        Returns:
            List of `Face`, best first, boxes inside the picture.

        Raises:
            ValueError: for a size under 1.
        """
        return self.detect_all(
            [image], conf=conf, iou=iou, imgsz=imgsz, tile=tile, top=top
        )[0]

    def detect_all(
        self, images, *, conf=0.25, iou=0.5, imgsz=640, tile=None, top=300, batch_size=8
    ):
        """Find the faces of several pictures; see `detect`. Returns a list of lists."""
        if imgsz < 1:
            raise ValueError(f"`imgsz` is 1 or more. Received: {imgsz}")
        imgsz = -(-imgsz // 32) * 32
        views = [
            (number, window, image[window[1] : window[3], window[0] : window[2]])
            for number, image in enumerate(images)
            for window in windows(image.shape[1::-1], tile)
        ]
        found = [[] for _ in images]
        for start in range(0, len(views), batch_size):
            part = views[start : start + batch_size]
            squares = [letterbox(view, imgsz) for _, _, view in part]
            pixels = np.stack([square for square, _, _ in squares])
            if len(views) > batch_size:  # one shape, one compilation
                rows = batch_size - len(pixels)
                pixels = np.concatenate([pixels, np.repeat(pixels[-1:], rows, axis=0)])
            raws = np.asarray(self.network.predict_on_batch(pixels))
            for raw, (number, window, _), (_, scale, offset) in zip(
                raws, part, squares, strict=False
            ):
                boxes, scores = candidates(raw, imgsz, conf)
                boxes = (boxes - np.tile(offset, 2)) / scale + np.tile(window[:2], 2)
                size = images[number].shape[1::-1]
                kept = whole(boxes, window, size, 2 / scale)
                boxes = clip_boxes(boxes, size)
                # Of a face that lies outside the picture nothing may be left.
                kept &= (boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1)
                found[number].append((boxes[kept], scores[kept]))
        faces = []
        for parts in found:
            boxes, scores = (np.concatenate(p) for p in zip(*parts, strict=True))
            kept = nms(boxes, scores, iou, top)
            faces.append(
                [Face(tuple(boxes[i].tolist()), float(scores[i])) for i in kept]
            )
        return faces


def candidates(raw, imgsz, conf):
    """Boxes and confidences of the cells that are certain enough.

    Args:
        raw: Raw predictions of one square picture `(cells, 65)`.
        imgsz: Its side in pixels.
        conf: Least confidence.

    Returns:
        `(boxes, confidences)`: xyxy `(n, 4)` in pixels of the square, and `(n,)`.
    """
    from facescore.detector.network import BINS, grid_cells

    scores = 1 / (1 + np.exp(-raw[:, -1].astype(np.float64)))
    kept = np.flatnonzero(scores >= conf)
    centres, strides = grid_cells((imgsz, imgsz))
    logits = raw[kept, :-1].reshape(-1, 4, BINS).astype(np.float64)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    sides = weights @ np.arange(BINS) * strides[kept, None]
    centres = centres[kept]
    boxes = np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1)
    return boxes, scores[kept]


def windows(size, tile=None, overlap=0.25):
    """The whole picture, and windows of `tile` pixels that overlap by a quarter.

    Args:
        size: (width, height) of the picture.
        tile: Side of a window in pixels, or `None`.
        overlap: Share of the side. Defaults to 0.25.

    Returns:
        List of (left, top, right, bottom), ints.
    """
    width, height = size
    found = [(0, 0, width, height)]
    if tile is None or max(size) <= tile:
        return found
    if tile < 32:
        raise ValueError(f"`tile` is 32 pixels or more. Received: {tile}")

    def starts(n):
        if n <= tile:
            return [0]
        steps = int(np.ceil((n - tile) / (tile * (1 - overlap))))
        return [round(i * (n - tile) / steps) for i in range(steps + 1)]

    return found + [
        (x, y, min(x + tile, width), min(y + tile, height))
        for y in starts(height)
        for x in starts(width)
    ]


def whole(boxes, window, size, margin):
    """Which boxes a window does not cut: the next window has those whole.

    Args:
        boxes: xyxy `(n, 4)` in pixels of the picture.
        window: (left, top, right, bottom).
        size: (width, height) of the picture; its own rim cuts nothing.
        margin: Pixels from the window's rim that count as touching it.

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
    return (boxes[:, :2] >= low).all(axis=1) & (boxes[:, 2:] <= high).all(axis=1)


def load_detector(run):
    """Load a trained detector.

    Args:
        run: A run folder, or the `Run` that `train_detector` returned; its best weights
            are taken.

    Returns:
        A `Detector`.

    Raises:
        ValueError: where there is no run, or no weights in it.
    """
    return Detector(load_network(run))


def load_network(run):
    """Load the trained network of a run, with its batch normalisation."""
    from facescore.detector.losses import FaceDetector
    from facescore.detector.network import DetectorNetwork

    run = open_run(run, "detector")
    settings = run.settings
    if not run.weights_path.exists():
        raise ValueError(
            f"{run.folder} has no {run.weights_path.name} yet: wait for the training's "
            "first epoch to end, or train again."
        )
    network = DetectorNetwork(settings["widths"], settings["depths"], settings["head"])
    try:
        FaceDetector(network).load_weights(run.weights_path)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{run.weights_path} does not hold this run's weights ({reason}): "
            "train again, or take another run."
        ) from error
    return network


def as_detector(detector):
    """Something that detects: "cascade", a run folder, a `Run`, or one already made."""
    if hasattr(detector, "detect"):
        return detector
    if detector == "cascade":
        from facescore.detector.cascade import Cascade

        return Cascade()
    return load_detector(detector)


def detect_faces(
    image, detector="cascade", *, conf=0.25, iou=0.5, imgsz=640, tile=None
):
    """Find the faces of one picture.

    Example:
    ```python
    faces = facescore.detect_faces("picture.png", "runs/detector")
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`, or a path.
        detector: "cascade", a run folder, or what `load_detector` returned; load it
            once where there are many pictures. Defaults to "cascade".
        conf: Least confidence. Defaults to 0.25, which lets all through that the
            cascade finds. The options that follow concern trained detectors.
        iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
        imgsz: Side that the picture is scaled to, rounded up to a multiple of 32.
            Defaults to 640.
        tile: Side of windows to search as well, in pixels. Defaults to none.

    Returns:
        List of `Face`, best first.
    """
    detector = as_detector(detector)
    image = read_image(image)
    if not isinstance(detector, Detector):
        return [face for face in detector.detect(image) if face.confidence >= conf]
    return detector.detect(image, conf=conf, iou=iou, imgsz=imgsz, tile=tile)


def detect_folder(
    images,
    detector="cascade",
    out=None,
    *,
    save_txt=False,
    save_conf=False,
    save_crop=False,
    left_out=None,
    progress=None,
    **options,
):
    """Find the faces of every picture in a folder, and write what is asked for.

    Args:
        images: A folder, or a list of paths.
        detector: As in `detect_faces`.
        out: Folder for `labels/` and `crops/`. Needed where something is saved.
        save_txt: Write YOLO labels to `out/labels`; an empty file where no face is.
        save_conf: Add the confidence as the sixth column; such files are predictions
            and no labels.
        save_crop: Write each face to `out/crops`.
        left_out: List that pairs (path, reason) are put on, for pictures that cannot
            be read. Defaults to none: the first one ends it.
        progress: Called with the number of pictures done. Defaults to none.
        **options: `conf`, `iou`, `imgsz` and `tile` of `detect_faces`.

    Yields:
        `(path, faces)`, one picture at a time, as it is done.

    Raises:
        ValueError: where `out` is missing, two pictures would be saved by one name, or
            a picture cannot be read.
    """
    from facescore.crops import crop_face
    from facescore.labels import write_labels
    from illustkit.images import write_image

    if (save_txt or save_conf or save_crop) and out is None:
        raise ValueError("To save something, name a folder. Received: out=None")
    base = Path(images) if isinstance(images, (str, Path)) else None
    paths = list_images(base) if base else [Path(path) for path in images]
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path}: no such file. Check the path.")
    names = [path.relative_to(base) if base else Path(path.name) for path in paths]
    if save_txt or save_conf or save_crop:
        _check_stems(names)
    detector = as_detector(detector)
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        try:
            image = read_image(path)
            faces = detect_faces(image, detector, **options)
        except (ValueError, OSError, MemoryError) as error:
            if left_out is None:
                raise
            reason = str(error) or type(error).__name__
            named = reason if str(path) in reason else f"{path}: {reason}"
            left_out.append((path, named))
            continue
        if save_txt or save_conf:
            write_labels(
                Path(out, "labels", name).with_suffix(".txt"),
                [face.box for face in faces],
                image.shape[1::-1],
                [face.confidence for face in faces] if save_conf else None,
            )
        for i, face in enumerate(faces if save_crop else ()):
            crop = crop_face(image, face.box)
            write_image(Path(out, "crops", name.parent, f"{name.stem}-{i}.png"), crop)
        if progress is not None:
            progress(number + 1)
        yield path, faces


def _check_stems(names):
    owners = {}
    for name in names:
        other = owners.setdefault(name.with_suffix(""), name)
        if other is not name:
            raise ValueError(
                f"{other} and {name} would be saved by one name. Rename one of them."
            )
