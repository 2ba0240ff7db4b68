"""Find faces with lbpcascade_animeface, for the first labels without a detector."""

import os
from pathlib import Path

import numpy as np

from facescore.boxes import Face, clip_boxes
from facescore.boxes import shrink as shrink_boxes
from illustkit.errors import UserError
from illustkit.files import cache_folder, expand_user, fetch_pinned, read_text
from illustkit.images import read_image
from illustkit.options import check_number

URL = (
    "https://raw.githubusercontent.com/nagadomi/lbpcascade_animeface/master/"
    "lbpcascade_animeface.xml"
)
SHA256 = "9376d30ac38db6bda2a68b88b3b76bbd7e6aa33af47f7f5c76bc88ca75f1ce30"
VARIABLE = "FACESCORE_CASCADE"
SHRINK = 0.85
_MAX_BYTES = 1_000_000


class Cascade:
    """The local-binary-pattern cascade by nagadomi, for faces drawn in anime style.

    The boxes it was trained on are about 1.25 times as wide as a tight face. They are
    shrunk, so that labels, crops and scores have the faces that a detector would find.

    Example:
    ```python
    faces = Cascade().detect("picture.png")
    ```

    Args:
        path: The XML file. Defaults to what `find_cascade` finds or fetches.

    Raises:
        UserError: If there is no such cascade, or OpenCV has no cascades.

    Reference:
        https://github.com/nagadomi/lbpcascade_animeface (MIT)
    """

    def __init__(self, path: str | os.PathLike | None = None) -> None:
        import cv2

        if not hasattr(cv2, "CascadeClassifier"):
            raise UserError(
                f"OpenCV {cv2.__version__} has no CascadeClassifier: install it with "
                "pip install 'opencv-python<5', or use a trained detector."
            )
        self.path = find_cascade(path)
        self._classifier = cv2.CascadeClassifier()
        # From memory, since OpenCV cannot open paths beyond the code page.
        flags = cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY
        try:
            storage = cv2.FileStorage(read_text(self.path), flags)
            good = self._classifier.read(storage.getFirstTopLevelNode())
        except Exception:  # OpenCV raises SystemError too
            good = False
        if not good:
            raise UserError(f"{self.path}: is no OpenCV cascade. Fetch {URL}")

    def detect(
        self,
        image: np.ndarray | str | os.PathLike,
        *,
        scale_factor: float = 1.1,
        min_neighbors: int = 5,
        min_size: int = 24,
        shrink: float = SHRINK,
    ) -> list[Face]:
        """Find faces, with the options of the cascade's README as defaults.

        Args:
            image: uint8 RGB `(height, width, 3)`, or a path.
            scale_factor: Ratio of neighbouring sizes that are searched, over 1.
            min_neighbors: Fewest raw hits of a face; 1 finds more, more of them wrong.
            min_size: Smallest side, in pixels.
            shrink: Factor on each box around its centre. Defaults to 0.85; 1 gives the
                boxes that it was trained on.

        Returns:
            List of `Face`, most confident first. Confidence is n / (n + 5) of n raw
            hits: an order, not a probability; 0.5 for the default's fewest hits.

        Raises:
            UserError: If the picture cannot be read, or an option is invalid.
        """
        import cv2

        check_cascade(scale_factor, min_neighbors, min_size, shrink)
        image = read_image(image)
        grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        rows, hits = self._classifier.detectMultiScale2(
            grey, scale_factor, min_neighbors, minSize=(min_size, min_size)
        )
        if not len(rows):
            return []
        corners = [(x, y, x + w, y + h) for x, y, w, h in np.asarray(rows).tolist()]
        boxes = clip_boxes(shrink_boxes(corners, shrink), image.shape[1::-1])
        faces = [
            Face(tuple(box), n / (n + 5.0))
            for box, n in zip(boxes.tolist(), map(int, hits), strict=True)
        ]
        return sorted(faces, key=lambda face: -face.confidence)


def check_cascade(
    scale_factor: float = 1.1,
    min_neighbors: int = 5,
    min_size: int = 24,
    shrink: float = SHRINK,
) -> None:
    """Refuse options that `Cascade.detect` cannot work with, before any work.

    Raises:
        UserError: If one is out of range.
    """
    check_number("scale_factor", scale_factor, above=1)
    check_number("min_neighbors", min_neighbors, whole=True, least=1)
    check_number("min_size", min_size, whole=True, least=1)
    check_number("shrink", shrink, above=0)


def find_cascade(path: str | os.PathLike | None = None) -> Path:
    """Find the cascade's XML: by path, by variable, in the cache, or by download.

    Example:
    ```python
    find_cascade()   # ~/.cache/illustkit/lbpcascade_animeface.xml
    ```

    Args:
        path: The file. Defaults to the variable `FACESCORE_CASCADE`, then to
            `$XDG_CACHE_HOME/illustkit`, which is filled over HTTPS if it is empty. The
            cached file must have the pinned SHA-256, a file of your own need not.

    Returns:
        `Path` of the XML.

    Raises:
        UserError: If the named file is missing, the download fails, or it gives
            another file than the pinned one, which is not kept then.
    """
    for name, given in (("", path), (f"{VARIABLE}=", os.environ.get(VARIABLE))):
        if given:
            if not expand_user(given).is_file():
                raise UserError(f"{name}{given}: no such file. Check the path.")
            return expand_user(given)
    return fetch_pinned(
        URL,
        SHA256,
        cache_folder() / URL.rsplit("/", 1)[1],
        max_bytes=_MAX_BYTES,
        advice=f"Fetch it by other means and name it in {VARIABLE}.",
    )
