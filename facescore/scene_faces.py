"""Faces to paste into scenes: drawn heads, drawn characters, cut-outs of pictures."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from illustkit.images import read_picture
from illustkit.samples import draw_character, draw_head


def cut_out(picture):
    """Turn a picture on white into RGBA: white that touches the rim is transparent.

    Args:
        picture: uint8 RGB or RGBA, or a path; RGBA is returned as it is.

    Returns:
        uint8 RGBA.
    """
    if not isinstance(picture, np.ndarray):
        read = read_picture(picture)
        if read.alpha is not None:
            return np.dstack([read.rgb, read.alpha])
        picture = read.rgb
    if picture.shape[-1] == 4:
        return picture
    framed = cv2.copyMakeBorder(
        picture, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=[255] * 3
    )
    mask = np.zeros((framed.shape[0] + 2, framed.shape[1] + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | 255 << 8
    cv2.floodFill(framed, mask, (0, 0), 0, (14,) * 3, (14,) * 3, flags)
    inside = (mask[2:-2, 2:-2] == 0).astype(np.uint8)
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8), borderValue=1)  # pale rim
    return np.dstack([picture, cv2.GaussianBlur(inside * 255, (3, 3), 0)])


def choose_face(rng, faces, side):
    """A face's RGBA, flipped half the time, and its box, `side` pixels long."""
    if faces is not None:
        picture, box = _loaded_face(faces, int(rng.integers(len(faces))))
        angle = rng.uniform(-14, 14)
    elif rng.random() < 0.75 or side < 32:
        picture, box = draw_head(int(rng.integers(2**31)), side)
        angle = 0.0
    else:
        picture, box = _panel(rng, side)
        angle = 0.0
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
        width = picture.shape[1]
        box = np.array([width - box[2], box[1], width - box[0], box[3]])
    return _turned(picture, box, side, angle)


def _loaded_face(faces, index):
    face = faces[index]
    picture, box = face if isinstance(face, tuple) else (face, None)
    cached = _cut_out_file if isinstance(picture, (str, Path)) else cut_out
    picture = cached(picture)
    if box is None:
        rows, columns = np.nonzero(picture[..., 3] > 127)
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return picture, np.asarray(box, float)


@lru_cache(maxsize=1024)
def _cut_out_file(path):
    return cut_out(path)


def _panel(rng, side):
    """A character with its own background, cut about the face, as a comic has them."""
    seed = int(rng.integers(2**31))
    face = draw_character(seed, (150, 212)).face_box  # how large a face comes out
    scale = side / (face[2] - face[0])
    size = int(np.clip(150 * scale, 32, 900)), int(np.clip(212 * scale, 45, 1272))
    character = draw_character(seed, size)
    left, top, right, bottom = character.face_box
    room = rng.uniform((0.1, 0.3, 0.1, 0.1), (0.8, 0.9, 0.8, 1.6)) * (right - left)
    x0, y0 = max(0, int(left - room[0])), max(0, int(top - room[1]))
    x1, y1 = int(right + room[2]) + 1, int(bottom + room[3]) + 1
    cut = character.image[y0:y1, x0:x1]
    if rng.random() < 0.5:
        cut = cv2.copyMakeBorder(cut[2:-2, 2:-2], 2, 2, 2, 2, cv2.BORDER_CONSTANT)
    picture = np.dstack([cut, np.full(cut.shape[:2], 255, np.uint8)])
    return picture, np.array([left - x0, top - y0, right - x0, bottom - y0], float)


def _turned(picture, box, side, angle):
    """Scale a face to `side` pixels and turn it; its box grows only with the scale."""
    height, width = picture.shape[:2]
    scale = side / max(box[2] - box[0], box[3] - box[1])
    if abs(scale - 1) < 0.02 and not angle:
        return picture, box
    middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    matrix = cv2.getRotationMatrix2D(tuple(middle), angle, scale)
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]])
    corners = corners @ matrix.T
    matrix[:, 2] -= corners.min(axis=0)
    size = tuple(int(np.ceil(n)) for n in np.ptp(corners, axis=0))
    if scale < 0.5:  # area first: warping alone would alias
        return _turned(*_halved(picture, box), side, angle)
    turned = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR)
    middle = matrix @ (*middle, 1)
    half = scale * np.array([box[2] - box[0], box[3] - box[1]]) / 2
    return turned, np.concatenate([middle - half, middle + half])


def _halved(picture, box):
    size = max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2)
    ratio = np.tile([size[0] / picture.shape[1], size[1] / picture.shape[0]], 2)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), box * ratio
