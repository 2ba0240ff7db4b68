"""A picture that the page has opened: its view, what is found and predicted."""

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError
from illustkit.images import read_picture
from illustkit.images.animation import ANIMATED, count_frames
from illustkit.images.colours import over_white
from illustkit.images.write import check_like, write_picture
from oppai.censoring.regions import Box
from oppai.detection.find_censored import Found, find_censored
from oppai.inference.one_file import under_alpha
from oppai.inference.recompose import Prediction, predict_marked
from oppai.inference.record import read_record, restored_mask, write_restored

# Pixels of a view: a browser's canvas needs 4 bytes of each, several times.
_MOST_PIXELS = 16_000_000
_MOST_PREDICTIONS = 4
STEPS = 15  # levels of a pixel of distance; 255 is beyond


class OpenedPicture:
    """Holds a decoded picture and what was computed of it.

    Args:
        path: The file.

    Raises:
        ImageError: If it is no readable picture.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames, self.format = count_frames(path)
        self.picture = read_picture(path)
        rgb, alpha = self.picture.rgb, self.picture.alpha
        self.shown = rgb if alpha is None else over_white(rgb, alpha)
        self.earlier = read_record(path).boxes_in(self.picture.rgb)
        self.height, self.width = self.shown.shape[:2]
        self.scale = min(1.0, (_MOST_PIXELS / (self.height * self.width)) ** 0.5)
        self._found: Found | None = None
        self._predictions: OrderedDict[tuple, Prediction] = OrderedDict()

    @property
    def is_animated(self) -> bool:
        """Whether the file is an animation that can be written again."""
        return self.frames > 1 and self.format in ANIMATED

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the view in pixels."""
        return _scaled(self.width, self.scale), _scaled(self.height, self.scale)

    @property
    def view(self) -> np.ndarray:
        """The picture over white, made smaller where it is very large."""
        return _resized(self.shown, self.size, smooth=True)

    def describe(self) -> dict[str, Any]:
        """Return sizes, format and frames for the page."""
        return {
            "name": self.path.name,
            "width": self.width,
            "height": self.height,
            "view": list(self.size),
            "format": self.picture.format,
            "frames": self.frames if self.is_animated else 1,
        }

    def find(self) -> dict[str, Any]:
        """Return the censored regions; boxes are in pixels of the view."""
        found = self._search()
        regions = [
            {
                "kind": region.kind,
                "box": [round(v * self.scale, 2) for v in region.box],
                "block": None if region.grid is None else max(region.grid.block),
                "sigma": region.sigma,
                "confidence": region.confidence,
            }
            for region in found.regions
        ]
        return {"regions": regions, "restored": len(self.earlier)}

    def labels(self) -> np.ndarray:
        """Return uint8 of the view's size: 0, or the number of a region, from 1."""
        found = self._search()
        labels = np.zeros(self.shown.shape[:2], np.uint8)
        for number, region in enumerate(found.regions[:255], 1):
            labels[region.slices][region.mask] = number
        return _resized(labels, self.size)

    def predict(
        self, mask: bytes, restorer: Any, name: str, *, fill: bool = False
    ) -> Prediction:
        """Predict what a mask of the view marks; the last few are kept.

        Args:
            mask: Bytes of a picture of the view's size, white where it is hidden.
            restorer: The restorer.
            name: Its name.
            fill: See `oppai.restore`. Defaults to `False`.

        Raises:
            UserError: If the mask is no picture or has another size.
        """
        key = name, fill, hashlib.sha256(mask).digest()
        return self.remembered(
            key, lambda: self._restore(self.full_mask(mask), restorer, fill)
        )

    def remembered(self, key: tuple, make: Callable[[], Prediction]) -> Prediction:
        """Return one of the last few predictions, or make it.

        Args:
            key: All that decides what it is.
            make: Makes it.
        """
        if key in self._predictions:
            self._predictions.move_to_end(key)
            return self._predictions[key]
        prediction = self._predictions[key] = make()
        while len(self._predictions) > _MOST_PREDICTIONS:
            self._predictions.popitem(last=False)
        return prediction

    def _restore(self, marked, restorer, fill):
        found = self._search()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            prediction = predict_marked(
                self.shown, marked, found, restorer=restorer, fill=fill
            )
        notes = [*prediction.notes, *(str(warning.message) for warning in caught)]
        return replace(prediction, notes=notes)

    def stacked(self, prediction: Prediction) -> tuple[Box, np.ndarray]:
        """Return a prediction for the page: its pixels, and its distances below them.

        Returns:
            `(box, picture)`: the box in pixels of the view, and uint8 RGB of twice its
            height. A level of the lower half is 1/15 pixel of the picture; 255 is
            beyond every feather.
        """
        left, top, right, bottom = prediction.box
        width, height = self.size
        box = (
            int(left * self.scale),
            int(top * self.scale),
            min(int(np.ceil(right * self.scale)), width),
            min(int(np.ceil(bottom * self.scale)), height),
        )
        size = max(box[2] - box[0], 1), max(box[3] - box[1], 1)
        distance = np.minimum(prediction.distance * STEPS, 255).round()
        distance = _resized(distance.astype(np.uint8), size)
        pixels = _resized(prediction.pixels, size, smooth=True)
        return box, np.concatenate([pixels, np.stack([distance] * 3, -1)])

    def write(
        self,
        path: Path,
        prediction: Prediction,
        *,
        blend: float,
        feather: float,
        noted: bool = True,
    ) -> None:
        """Write the picture with a prediction blended in, in the form of its file.

        Args:
            path: The file.
            prediction: What was predicted of the picture.
            blend: See `Prediction.compose`.
            feather: See `Prediction.compose`.
            noted: Whether the file holds a note of what was restored. Defaults to
                `True`.
        """
        check_like(path, self.picture)
        shown = prediction.compose(self.shown, blend=blend, feather=feather)
        changed = (shown != self.shown).any(axis=-1, keepdims=True)
        beneath = under_alpha(shown, self.picture.alpha)
        result = np.where(changed, beneath, self.picture.rgb)
        if not noted:
            write_picture(path, result, like=self.picture)
            return
        stays = [
            (left, top, right, bottom)
            for left, top, right, bottom in self.earlier
            if not changed[top:bottom, left:right].any()
        ]
        write_restored(path, result, self.picture, stays)

    def edited_mask(self, mask: bytes) -> np.ndarray | None:
        """Return a mask in the picture's size, or `None` if it is as it was found."""
        marked = self.full_mask(mask)
        return None if np.array_equal(marked, self._search().mask) else marked

    def _search(self) -> Found:
        """Find what is censored, but for what was restored before."""
        if self._found is not None:
            return self._found
        found = find_censored(self.shown)
        done = restored_mask(self.shown.shape, self.earlier)
        if done is not None:
            regions = [
                region
                for region in found.regions
                if done[region.slices][region.mask].mean() < 0.5
            ]
            mask = np.zeros_like(found.mask)
            for region in regions:
                mask[region.slices][region.mask] = 255
            found = Found(tuple(regions), mask)
        self._found = found
        return found

    def full_mask(self, data: bytes) -> np.ndarray:
        """Return the mask of the picture: exact where the view's is as it was found.

        Args:
            data: Bytes of a picture of the view's size.

        Raises:
            UserError: If it is no picture or has another size.
        """
        import cv2

        given = np.frombuffer(data, np.uint8)
        mask = cv2.imdecode(given, cv2.IMREAD_GRAYSCALE) if len(given) else None
        if mask is None or mask.shape != self.size[::-1]:
            size = "no picture"
            if mask is not None:
                size = f"{mask.shape[1]}x{mask.shape[0]}"
            raise UserError(
                f"The mask has to be of the view's size, {self.size[0]}x{self.size[1]} "
                f"pixels. Received: {size}"
            )
        mask = np.where(mask > 127, 255, 0).astype(np.uint8)
        full = self.width, self.height
        if self.scale == 1:
            return mask
        edited = mask != np.where(self.labels() > 0, 255, 0)
        if not edited.any():
            return self._search().mask
        exact = np.where(
            _resized(edited.astype(np.uint8), full), 0, self._search().mask
        )
        # No rim of an erased region stays that is finer than the view's pixels.
        near = _resized(cv2.dilate(mask, np.ones((3, 3), np.uint8)), full)
        changed = _resized(np.where(edited, mask, 0).astype(np.uint8), full)
        return np.maximum(np.where(near > 0, exact, 0), changed).astype(np.uint8)


def encode_png(picture: np.ndarray) -> bytes:
    """Return a PNG that is written fast: uint8 grey or RGB."""
    import cv2

    if picture.ndim == 3:
        picture = picture[..., ::-1]
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _scaled(side, scale):
    return max(1, round(side * scale))


def _resized(picture, size, *, smooth=False):
    import cv2

    if picture.shape[1::-1] == size:
        return picture
    return cv2.resize(
        picture, size, interpolation=cv2.INTER_AREA if smooth else cv2.INTER_NEAREST
    )
