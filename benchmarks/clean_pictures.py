"""Make clean pictures of many kinds, in which `find_censored` should find nothing."""

import cv2
import numpy as np

from illustkit.images import read_image
from illustkit.samples import draw_character, draw_face_icon

CHARACTER = (360, 512)


def clean_pictures(paths, held_out, n):
    """Return a dict from a kind to an iterable of uncensored uint8 RGB pictures."""
    few = min(n, 100)
    return {
        "clip art": (read_image(path) for path in paths[:n]),
        "of these held out": (read_image(path) for path in held_out[:n]),
        "drawn characters": (draw_character(s, CHARACTER).image for s in range(n)),
        "drawn face icons": (draw_face_icon(seed) for seed in range(few)),
        "clip art, JPEG 10 to 30": (
            jpeg(read_image(path), 10 + seed % 21)
            for seed, path in enumerate(paths[:: max(1, len(paths) // few)])
        ),
        "clip art, JPEG 60 to 95": (
            jpeg(read_image(path), 60 + seed % 36)
            for seed, path in enumerate(paths[:: max(1, len(paths) // few)])
        ),
        "pixel art": (pixel_art(seed) for seed in range(few)),
        "checkerboards": (checkerboard(seed) for seed in range(few)),
        "halftones": (
            halftone(read_image(path), seed)
            for seed, path in enumerate(held_out[:few])
        ),
    }  # fmt: skip


def jpeg(picture, quality):
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def pixel_art(seed):
    icon = draw_face_icon(seed, size=32 + 8 * (seed % 5))
    return icon.repeat(4 + seed % 9, 0).repeat(4 + seed % 9, 1)


def checkerboard(seed):
    rng = np.random.default_rng(seed)
    side, n = int(rng.integers(4, 33)), int(rng.integers(6, 14))
    board = np.indices((n, n)).sum(0) % 2
    return rng.integers(0, 256, (2, 3), np.uint8)[board].repeat(side, 0).repeat(side, 1)


def halftone(picture, seed):
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    y, x = np.indices(grey.shape) * (2 * np.pi / (4 + seed % 9))
    dots = 127.5 + 63 * (np.cos(x) + np.cos(y))
    return np.where(grey > dots, 255, 0).astype(np.uint8)[..., None].repeat(3, 2)
