"""The record of what was restored: it stands in the file, so that it is done once.

What was a blur or a white-out comes back soft and may be taken for a blur. Nothing in
its pixels tells the two apart. So `restore_files` notes the boxes that it restored, and
a hash of the pixels in each as the written file shows them.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from illustkit.images import read_picture
from illustkit.images.notes import read_note, with_note
from illustkit.images.read import Picture
from illustkit.images.write import write_bytes
from oppai.censoring.regions import Box

KEY = "illustkit:restored"
_NEAR = 8  # pixels: parts that are nearer are one box
_MOST = 64  # boxes: more become one around all


def read_record(path: str | os.PathLike[str], rgb: np.ndarray) -> list[Box]:
    """Return the boxes of a file that were restored and have not changed since.

    Example:
    ```python
    read_record("a_restored.png", read_picture("a_restored.png").rgb)
    ```

    Args:
        path: The file.
        rgb: uint8 `(height, width, 3)`, its raw colours, upright.

    Returns:
        List of `(left, top, right, bottom)`; empty where a file has no record.
    """
    note = read_note(Path(path).read_bytes(), KEY)
    if note is None:
        return []
    try:
        entries = [(tuple(map(int, box)), str(own)) for *box, own in json.loads(note)]
    except (TypeError, ValueError):  # not written by this package, or damaged
        return []
    return [box for box, own in entries if len(box) == 4 and own == _hash(rgb, box)]


def restored_mask(shape: Sequence[int], boxes: Sequence[Box]) -> np.ndarray | None:
    """Return where a picture was restored: bool `(height, width)`, or `None`."""
    if not boxes:
        return None
    mask = np.zeros(shape[:2], bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


def write_record(
    path: str | os.PathLike[str],
    restored: np.ndarray,
    before: Picture,
    earlier: Sequence[Box] = (),
) -> bool:
    """Note in a file that was written what was restored in it.

    Args:
        path: The file.
        restored: uint8 `(height, width, 3)`, its raw colours as they were to be.
        before: The `Picture` that it was restored from.
        earlier: Boxes that were restored before and stayed. Defaults to none.

    Returns:
        Whether the format holds a note; others than PNG and JPEG do not.
    """
    data = Path(path).read_bytes()
    if with_note(data, KEY, "") is None:
        return False
    boxes = [*earlier, *_changed_boxes(restored, before.rgb)]
    # A JPEG shows other pixels than it was given, and so may grey or a palette.
    exact = not data.startswith(b"\xff\xd8") and before.mode in ("RGB", "RGBA")
    shown = restored if exact and before.bits == 8 else read_picture(path).rgb
    text = json.dumps([[*box, _hash(shown, box)] for box in boxes])
    noted = with_note(data, KEY, text)
    if noted is None:
        return False
    write_bytes(path, noted)
    return True


def _hash(rgb, box):
    left, top, right, bottom = box
    part = np.ascontiguousarray(rgb[top:bottom, left:right])
    size = "x".join(map(str, part.shape))
    return hashlib.sha256(size.encode() + part.tobytes()).hexdigest()[:32]


def _changed_boxes(one, other):
    """Return boxes around the parts in which two pictures differ."""
    import cv2

    changed = (one != other).any(-1).astype(np.uint8)
    wide = cv2.dilate(changed, np.ones((2 * _NEAR + 1,) * 2, np.uint8))
    n, labels, stats, _ = cv2.connectedComponentsWithStats(wide)
    if n > _MOST + 1:
        labels, stats = wide, np.array([[0] * 4, [0, 0, *wide.shape[::-1]]])
    boxes = []
    for k, (left, top, width, height) in enumerate(stats[1:, :4].tolist(), 1):
        place = np.s_[top : top + height, left : left + width]
        part = changed[place] & (labels[place] == k)
        x, y, width, height = cv2.boundingRect(part.astype(np.uint8))
        boxes.append((left + x, top + y, left + x + width, top + y + height))
    return boxes
