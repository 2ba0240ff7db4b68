"""Whether a score is of the face, or of how it was cut out, scaled and compressed."""

import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facescore.agreement import spearman
from facescore.boxes import as_boxes, shrink
from facescore.crops import as_face, crop_face


class Shift(NamedTuple):
    """How scores move under one change.

    Args:
        mean: Mean of the change, in points: whether all go the same way.
        absolute: Mean of its absolute value.
        largest: 95th percentile of its absolute value.
        relative: `absolute` over the standard deviation of the unchanged scores.
        order: Rank correlation with the unchanged scores.
    """

    mean: float
    absolute: float
    largest: float
    relative: float
    order: float


@dataclass(frozen=True)
class Stability:
    """What `stability` found.

    Attributes:
        shifts: Dict from the name of a change to its `Shift`.
        spread: Standard deviation of the unchanged scores, in points.
        framing: Share of the scores' variance, 0..1, that a line through size, place
            and proportions of the boxes foretells, corrected for its own freedom: what
            of the scores may come from framing alone. nan for fewer than 12 faces.
        faces: Number of faces.
    """

    shifts: dict
    spread: float
    framing: float
    faces: int

    def __str__(self):
        heads = ("mean", 8), ("|mean|", 8), ("95 %", 8), ("/sd", 7), ("order", 8)
        lines = ["change".ljust(22) + "".join(h.rjust(n) for h, n in heads)]
        for name, (mean, absolute, largest, relative, order) in self.shifts.items():
            lines.append(
                f"{name:<22}{mean:+8.3f}{absolute:8.3f}{largest:8.3f}"
                f"{relative:7.2f}{order:8.3f}"
            )
        lines.append(
            f"{self.faces} faces, scores with a standard deviation (sd) of "
            f"{self.spread:.3f}; framing alone explains {self.framing:.0%} of them"
        )
        return "\n".join(lines)


def stability(
    pictures,
    *,
    scorer,
    margins=(0.5, 1.5),
    boxes=(0.9, 1.1),
    scales=(0.5, 2.0),
    qualities=(90, 60, 30),
):
    """Measure how scores move when the picture's content stays.

    Each face is scored as it is, then with another margin, with a box that is smaller
    or larger, in the picture scaled, and in the picture compressed as JPEG. A scorer
    of faces should move little by any of them, beside what tells faces apart.

    Example:
    ```python
    pictures = [(image, detect_faces(image)) for image in images]
    print(stability(pictures, scorer=load_scorer("runs/taste")))
    ```

    Args:
        pictures: Iterable of pairs (uint8 RGB `(height, width, 3)`, faces or boxes);
            one picture is held at a time.
        scorer: What `load_scorer` returned: has `predict_scores`, `image_size`,
            `margin` and `square`.
        margins: Factors on the margin of the crop. Defaults to 0.5 and 1.5.
        boxes: Factors on the side of the box. Defaults to 0.9 and 1.1.
        scales: Factors on the picture's size. Defaults to 0.5 and 2.
        qualities: JPEG qualities, 1 to 95. Defaults to 90, 60 and 30.

    Returns:
        A `Stability`.

    Raises:
        ValueError: where there are fewer than two faces.
    """
    changes = [(f"margin x{f:g}", _margin(f)) for f in margins]
    changes += [(f"box x{f:g}", _box(f)) for f in boxes]
    changes += [(f"picture x{f:g}", _scale(f)) for f in scales]
    changes += [(f"JPEG quality {q}", _jpeg(q)) for q in qualities]
    scores, framings = [], []
    for image, faces in pictures:
        found = as_boxes([as_face(face).box for face in faces])
        if not len(found):
            continue
        framings.append(_framing(found, image))
        start = image, found, scorer.margin
        variants = [start, *(change(*start) for _, change in changes)]
        scores.append([_scores(*variant, scorer) for variant in variants])
    if sum(len(part[0]) for part in scores) < 2:
        raise ValueError("There must be two faces at least to compare.")
    plain, *changed = np.concatenate(scores, axis=1)
    spread = float(plain.std())
    shifts = {}
    for (name, _), values in zip(changes, changed, strict=True):
        moved = np.abs(values - plain)
        shifts[name] = Shift(
            mean=float((values - plain).mean()),
            absolute=float(moved.mean()),
            largest=float(np.quantile(moved, 0.95)),
            relative=float(moved.mean() / spread) if spread else float("nan"),
            order=spearman(plain, values),
        )
    explained = framing_share(np.concatenate(framings), plain)
    return Stability(shifts, spread, explained, len(plain))


def framing_share(framings, scores):
    """Share of the variance of scores that a linear model of the framing explains.

    Args:
        framings: `(n, k)` numbers that tell how each face was framed.
        scores: `(n,)`.

    Returns:
        Adjusted R², not below 0; nan where there are fewer than 2 (k + 1) scores, or
        the scores do not differ.

    Reference:
        Ezekiel, Methods of Correlation Analysis, 1930: the adjusted R².
    """
    framings, scores = np.asarray(framings, np.float64), np.asarray(scores, np.float64)
    n, k = framings.shape
    total = np.square(scores - scores.mean()).sum()
    if n < 2 * (k + 1) or not total:
        return float("nan")
    spread = framings.std(axis=0)
    columns = (framings - framings.mean(axis=0)) / np.where(spread > 0, spread, 1)
    columns = np.concatenate([np.ones((n, 1)), columns], axis=1)
    weights, _, rank, _ = np.linalg.lstsq(columns, scores, rcond=None)
    left = np.square(scores - columns @ weights).sum()
    return float(max(0.0, 1 - left / (n - rank) * (n - 1) / total))


def _framing(boxes, image):
    """Log side in pixels, log share of the picture's, log proportion, and place."""
    height, width = image.shape[:2]
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    side = np.sqrt(sides.prod(axis=1))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / (width, height)
    columns = (
        np.log(side),
        np.log(side / np.sqrt(width * height)),
        np.log(sides[:, 0] / sides[:, 1]),
        centres[:, 0],
        centres[:, 1],
    )
    return np.stack(columns, axis=1)


def _scores(image, boxes, margin, scorer):
    crops = [
        crop_face(
            image, box, margin=margin, square=scorer.square, size=scorer.image_size
        )
        for box in boxes
    ]
    return np.asarray(scorer.predict_scores(np.stack(crops)), np.float64)


def _margin(factor):
    return lambda image, boxes, margin: (image, boxes, [v * factor for v in margin])


def _box(factor):
    return lambda image, boxes, margin: (image, shrink(boxes, factor), margin)


def _scale(factor):
    def change(image, boxes, margin):
        from PIL import Image

        height, width = image.shape[:2]
        size = max(1, round(width * factor)), max(1, round(height * factor))
        scaled = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
        # Whole pixels: the factor is not quite the same both ways.
        ratio = np.array([size[0] / width, size[1] / height] * 2)
        return np.asarray(scaled), boxes * ratio, margin

    return change


def _jpeg(quality):
    def change(image, boxes, margin):
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=quality)
        return np.asarray(Image.open(stream)), boxes, margin

    return change
