"""From a trained network to faces: letterbox, windows, candidates, suppression."""

import numpy as np

from facescore.augmentation import letterbox
from facescore.boxes import Face, clip_boxes, nms


class Detector:
    """A trained network that finds the faces of pictures.

    Example:
    ```python
    detector = load_detector("runs/detector")
    for face in detector.detect(image, conf=0.4):
        print(face.box, face.confidence)
    ```

    Args:
        network: A `facescore.detector.DetectorNetwork`.
    """

    def __init__(self, network):
        from facescore.detector import fold_normalisation

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
    from facescore.detector import BINS, grid_cells

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
