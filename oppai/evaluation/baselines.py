"""What restores a patch without a network: the methods to beat."""

import numpy as np


def keep_censored(censored, mask, *, block=8):
    """Return the censored patch as it is: what any method has to beat.

    Example:
    ```python
    filled = keep_censored(censored, mask)
    ```

    Args:
        censored: uint8 (height, width, 3).
        mask: uint8 (height, width), 255 = valid, less = hole.
        block: Side of a mosaic's blocks, in pixels. Defaults to `8`.

    Returns:
        uint8 (height, width, 3).
    """
    return censored


def blur_censored(censored, mask, *, block=8):
    """Blur the censored patch: the chapter's question whether that is not enough.

    Example:
    ```python
    filled = blur_censored(censored, mask, block=10)
    ```

    Args:
        censored: uint8 (height, width, 3).
        mask: uint8 (height, width), 255 = valid, less = hole.
        block: Side of a mosaic's blocks, in pixels; the standard deviation is a third
            of it. Defaults to `8`.

    Returns:
        uint8 (height, width, 3).
    """
    import cv2

    return cv2.GaussianBlur(censored, (0, 0), block / 3)


def upsample_blocks(censored, mask, *, block=8):
    """Enlarge the means of a mosaic's blocks bicubically, on the known grid of blocks.

    Example:
    ```python
    filled = upsample_blocks(censored, mask, block=10)
    ```

    Args:
        censored: uint8 (height, width, 3). The grid starts in its top left corner.
        mask: uint8 (height, width), 255 = valid, less = hole.
        block: Side of the blocks, in pixels. Defaults to `8`.

    Returns:
        uint8 (height, width, 3).
    """
    import cv2

    return _upsampled(censored, block, cv2.INTER_CUBIC)


def upsample_blocks_lanczos(censored, mask, *, block=8):
    """Enlarge the means of a mosaic's blocks by Lanczos' filter over eight blocks.

    Example:
    ```python
    filled = upsample_blocks_lanczos(censored, mask, block=10)
    ```

    Args:
        censored: uint8 (height, width, 3). The grid starts in its top left corner.
        mask: uint8 (height, width), 255 = valid, less = hole.
        block: Side of the blocks, in pixels. Defaults to `8`.

    Returns:
        uint8 (height, width, 3).
    """
    import cv2

    return _upsampled(censored, block, cv2.INTER_LANCZOS4)


def inpaint_telea(censored, mask, *, block=8):
    """Fill the hole from its rim by OpenCV's fast marching inpainting.

    Example:
    ```python
    filled = inpaint_telea(censored, mask)
    ```

    Args:
        censored: uint8 (height, width, 3).
        mask: uint8 (height, width), 255 = valid, less = hole.
        block: Not used: the hole's content is not looked at.

    Returns:
        uint8 (height, width, 3).

    Reference:
        Telea, "An Image Inpainting Technique Based on the Fast Marching Method" (2004).
    """
    import cv2

    return cv2.inpaint(censored, _hole(mask), 3, cv2.INPAINT_TELEA)


def inpaint_navier_stokes(censored, mask, *, block=8):
    """Fill the hole from its rim by OpenCV's fluid dynamics inpainting.

    Example:
    ```python
    filled = inpaint_navier_stokes(censored, mask)
    ```

    Args:
        censored: uint8 (height, width, 3).
        mask: uint8 (height, width), 255 = valid, less = hole.
        block: Not used: the hole's content is not looked at.

    Returns:
        uint8 (height, width, 3).

    Reference:
        Bertalmio et al., "Navier-Stokes, Fluid Dynamics, and Image and Video
        Inpainting" (2001).
    """
    import cv2

    return cv2.inpaint(censored, _hole(mask), 3, cv2.INPAINT_NS)


def _upsampled(censored, block, way):
    import cv2

    height, width = censored.shape[:2]
    # Blocks cut off by the patch's edge count as whole ones.
    down, right = -height % block, -width % block
    whole = cv2.copyMakeBorder(censored, 0, down, 0, right, cv2.BORDER_REPLICATE)
    small = whole.shape[1] // block, whole.shape[0] // block
    means = cv2.resize(whole, small, interpolation=cv2.INTER_AREA)
    size = whole.shape[1], whole.shape[0]
    return cv2.resize(means, size, interpolation=way)[:height, :width]


def _hole(mask):
    return (mask.reshape(mask.shape[:2]) < 255).astype(np.uint8)


BASELINES = {
    "censored": keep_censored,
    "blur": blur_censored,
    "bicubic blocks": upsample_blocks,
    "Lanczos blocks": upsample_blocks_lanczos,
    "Telea": inpaint_telea,
    "Navier-Stokes": inpaint_navier_stokes,
}
