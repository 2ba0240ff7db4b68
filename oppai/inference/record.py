"""The record of what was restored: it is stored in the file, so that it is done once.

What was a blur or a white-out comes back soft and may be taken for a blur. Nothing in
its pixels tells the two apart. So `restore_files` notes the boxes that it restored, and
a hash of the pixels in each as the written file shows them. PNG, JPEG, WebP and GIF
hold such a note, animations too; see `illustkit.images.notes` for the others.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from illustkit.images import read_picture
from illustkit.images.animation import Animation, read_animation, write_animation
from illustkit.images.notes import read_note, with_note
from illustkit.images.read import Picture
from illustkit.images.write import changed_rows, encode_picture, write_bytes
from oppai.censoring.regions import Box

KEY = "illustkit:restored"
_NEAR = 8  # pixels: parts that are nearer are one box
_MOST = 64  # boxes: more become one around all


@dataclass(frozen=True)
class Record:
    """Holds what was restored in a file.

    Args:
        entries: Pairs of a box `(left, top, right, bottom)` and a hash of its pixels.
    """

    entries: Sequence[tuple[Box, str]] = ()

    def boxes_in(self, rgb: np.ndarray) -> list[Box]:
        """Return the boxes that were restored and have not changed since.

        Args:
            rgb: uint8 `(height, width, 3)`, the raw colours of the file or of a frame,
                upright.
        """
        return [
            box
            for box in dict.fromkeys(box for box, _ in self.entries)
            if (box, _hash(rgb, box)) in self.entries
        ]


def read_record(path: str | os.PathLike[str]) -> Record:
    """Return the record of a file; it is empty where the file has none.

    Example:
    ```python
    read_record("a_restored.png").boxes_in(read_picture("a_restored.png").rgb)
    ```

    Args:
        path: The file.
    """
    note = read_note(Path(path).read_bytes(), KEY)
    if note is None:
        return Record()
    try:
        entries = [(tuple(map(int, box)), str(own)) for *box, own in json.loads(note)]
    except (
        TypeError,
        ValueError,
        OverflowError,
    ):  # not written by this package, or damaged
        return Record()
    return Record([(box, own) for box, own in entries if len(box) == 4])


def restored_mask(shape: Sequence[int], boxes: Sequence[Box]) -> np.ndarray | None:
    """Return where a picture was restored: bool `(height, width)`, or `None`."""
    if not boxes:
        return None
    mask = np.zeros(shape[:2], bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


def write_restored(
    path: str | os.PathLike[str],
    restored: np.ndarray,
    like: Picture,
    earlier: Sequence[Box] = (),
    *,
    quality: int | None = None,
) -> None:
    """Write a restored picture, with a note of what was restored where it holds one.

    Args:
        path: The file.
        restored: uint8 `(height, width, 3)`, its raw colours as they are to be.
        like: The `Picture` that it was restored from.
        earlier: Boxes that were restored before and stayed. Defaults to none.
        quality: See `illustkit.images.write.encode_picture`. Defaults to `None`.
    """
    data, shown = encode_picture(path, restored, like=like, quality=quality)
    if with_note(data, KEY, "") is not None:
        if shown is None:
            write_bytes(path, data)
            shown = read_picture(path).rgb
        boxes = [*earlier, *_changed_boxes(restored, like.rgb)]
        data = _noted(data, [(box, _hash(shown, box)) for box in boxes])
    write_bytes(path, data)


def write_restored_animation(
    path: str | os.PathLike[str],
    frames: Sequence[np.ndarray],
    like: Animation,
    earlier: Sequence[Sequence[Box]],
    *,
    quality: int | None = None,
) -> None:
    """Write a restored animation, with a note of what was restored in its frames.

    Args:
        path: The file.
        frames: uint8 `(height, width, 4)` each, as they are to be.
        like: The `Animation` that they were restored from.
        earlier: For each frame, boxes that were restored before and stayed.
        quality: See `illustkit.images.animation.write_animation`. Defaults to `None`.
    """
    write_animation(path, frames, like=like, quality=quality)
    data = Path(path).read_bytes()
    if with_note(data, KEY, "") is None:
        return
    boxes = [
        [*old, *_changed_boxes(frame[..., :3], before[..., :3])]
        for frame, before, old in zip(frames, like.frames, earlier, strict=True)
    ]
    shown = read_animation(path).frames
    if len(shown) != len(boxes):  # equal frames became one
        boxes = [list(dict.fromkeys(box for own in boxes for box in own))] * len(shown)
    entries = [
        (box, _hash(frame[..., :3], box))
        for frame, own in zip(shown, boxes, strict=True)
        for box in own
    ]
    write_bytes(path, _noted(data, dict.fromkeys(entries)))


def _noted(data: bytes, entries: Iterable[tuple[Box, str]]) -> bytes:
    """Return a file with a record, or as it is where that is too long."""
    text = json.dumps([[*box, own] for box, own in entries])
    return with_note(data, KEY, text) or data


def _hash(rgb, box):
    left, top, right, bottom = box
    part = np.ascontiguousarray(rgb[top:bottom, left:right])
    size = "x".join(map(str, part.shape))
    return hashlib.sha256(size.encode() + part.tobytes()).hexdigest()[:32]


def _changed_boxes(one, other):
    """Return boxes around the parts in which two pictures differ."""
    import cv2

    rows = changed_rows(one, other)
    changed = (one[rows] != other[rows]).any(-1).astype(np.uint8)
    if not changed.size:
        return []
    wide = cv2.dilate(changed, np.ones((2 * _NEAR + 1,) * 2, np.uint8))
    n, labels, stats, _ = cv2.connectedComponentsWithStats(wide)
    if n > _MOST + 1:
        labels, stats = wide, np.array([[0] * 4, [0, 0, *wide.shape[::-1]]])
    boxes = []
    for k, (left, top, width, height) in enumerate(stats[1:, :4].tolist(), 1):
        place = np.s_[top : top + height, left : left + width]
        part = changed[place] & (labels[place] == k)
        x, y, width, height = cv2.boundingRect(part.astype(np.uint8))
        x, y = left + x, rows.start + top + y
        boxes.append((x, y, x + width, y + height))
    return boxes
