"""Tell where a picture is none that a translation is made for."""

import numpy as np

LEAST_PAPER = 0.5  # fraction of a sketch's pixels; see `paper_ratio`
GREY = 8  # levels by which the channels of a grey picture may differ, after a JPEG


def remark(task: str, picture: np.ndarray) -> str | None:
    """Return what keeps a picture from being translated well, or `None`.

    Example:
    ```python
    remark("colorize", np.zeros((8, 8, 3), "uint8"))  # None: it is grey
    ```

    Args:
        task: Name of a translation.
        picture: RGB uint8 `(height, width, 3)`.

    Returns:
        The end of a line that begins with the picture's name, or `None`.
    """
    if task == "colorize" and np.ptp(picture, axis=2).max() > GREY:
        return "has colours: only its lightness is used."
    if task == "clean":
        import cv2

        from oppai.translation.sketch import paper_ratio

        if paper_ratio(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)) < LEAST_PAPER:
            return (
                "has little light paper of one colour: only a sketch can be cleaned, "
                "no photograph."
            )
    return None
