"""Baselines: restore a patch without a network.

Every function of `BASELINES` takes the same arguments and returns uint8
`(height, width, 3)`:

    censored: uint8 `(height, width, 3)`; a mosaic's grid starts in its upper left
        corner.
    mask: uint8 `(height, width)` or `(height, width, 1)`, above 0 = hole.
    block: Side of the mosaic's blocks in pixels. Defaults to 8.
"""

from collections.abc import Callable

import numpy as np


def keep_censored(
    censored: np.ndarray, mask: np.ndarray, *, block: int = 8
) -> np.ndarray:
    """Return the censored patch as it is: what any method has to beat."""
    return censored


def blur_censored(
    censored: np.ndarray, mask: np.ndarray, *, block: int = 8
) -> np.ndarray:
    """Blur the censored patch by a third of a block, as the chapter proposes."""
    import cv2

    return cv2.GaussianBlur(censored, (0, 0), block / 3)


def upsample_blocks(
    censored: np.ndarray, mask: np.ndarray, *, block: int = 8
) -> np.ndarray:
    """Enlarge the means of a mosaic's blocks bicubically."""
    import cv2

    return _upsampled(censored, block, cv2.INTER_CUBIC)


def upsample_blocks_lanczos(
    censored: np.ndarray, mask: np.ndarray, *, block: int = 8
) -> np.ndarray:
    """Enlarge the means of a mosaic's blocks by Lanczos' filter over eight blocks."""
    import cv2

    return _upsampled(censored, block, cv2.INTER_LANCZOS4)


def inpaint_telea(
    censored: np.ndarray, mask: np.ndarray, *, block: int = 8
) -> np.ndarray:
    """Fill the hole from its rim by OpenCV's fast marching inpainting.

    Reference:
        Telea, "An Image Inpainting Technique Based on the Fast Marching Method" (2004).
    """
    import cv2

    return _inpainted(censored, mask, cv2.INPAINT_TELEA)


def inpaint_navier_stokes(
    censored: np.ndarray, mask: np.ndarray, *, block: int = 8
) -> np.ndarray:
    """Fill the hole from its rim by OpenCV's fluid dynamics inpainting.

    Reference:
        Bertalmio et al., "Navier-Stokes, Fluid Dynamics, and Image and Video
        Inpainting" (2001).
    """
    import cv2

    return _inpainted(censored, mask, cv2.INPAINT_NS)


BASELINES: dict[str, Callable[..., np.ndarray]] = {
    "censored": keep_censored,
    "blur": blur_censored,
    "bicubic blocks": upsample_blocks,
    "Lanczos blocks": upsample_blocks_lanczos,
    "Telea": inpaint_telea,
    "Navier-Stokes": inpaint_navier_stokes,
}


def _upsampled(censored, block, interpolation):
    import cv2

    height, width = censored.shape[:2]
    # Blocks cut off by the patch's edge count as whole ones.
    down, right = -height % block, -width % block
    whole = cv2.copyMakeBorder(censored, 0, down, 0, right, cv2.BORDER_REPLICATE)
    small = whole.shape[1] // block, whole.shape[0] // block
    means = cv2.resize(whole, small, interpolation=cv2.INTER_AREA)
    size = whole.shape[1], whole.shape[0]
    return cv2.resize(means, size, interpolation=interpolation)[:height, :width]


def _inpainted(censored, mask, algorithm):
    import cv2

    hole = (mask.reshape(mask.shape[:2]) > 0).astype(np.uint8)
    return cv2.inpaint(censored, hole, 3, algorithm)
