"""lbpcascade_animeface through OpenCV: the first labels, before there is a detector."""

import os
from pathlib import Path

from facescore.boxes import Face, clip_boxes
from facescore.boxes import shrink as shrink_boxes
from illustkit.files import cache_folder, fetch_pinned
from illustkit.images import read_image

URL = (
    "https://raw.githubusercontent.com/nagadomi/lbpcascade_animeface/master/"
    "lbpcascade_animeface.xml"
)
SHA256 = "9376d30ac38db6bda2a68b88b3b76bbd7e6aa33af47f7f5c76bc88ca75f1ce30"
VARIABLE = "FACESCORE_CASCADE"
_MAX_BYTES = 1_000_000


class Cascade:
    """The local-binary-pattern cascade by nagadomi, for faces drawn in anime style.

    Its boxes are about 1.25 times as wide as a tight face: `shrink=0.85` suits labels.

    Example:
    ```python
    faces = Cascade().detect("picture.png", shrink=0.85)
    ```

    Args:
        path: The XML file. Defaults to what `find_cascade` finds or fetches.

    Raises:
        ValueError: if there is no such cascade, or OpenCV has none.

    Reference:
        https://github.com/nagadomi/lbpcascade_animeface (MIT)
    """

    def __init__(self, path=None):
        import cv2

        if not hasattr(cv2, "CascadeClassifier"):
            raise ValueError(
                f"OpenCV {cv2.__version__} has no CascadeClassifier: install it with "
                "pip install 'opencv-python<5', or use a trained detector."
            )
        self.path = find_cascade(path)
        self._classifier = cv2.CascadeClassifier()
        # OpenCV cannot open every path (letters beyond the code page), so: from memory.
        flags = cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY
        try:
            storage = cv2.FileStorage(self.path.read_text("utf-8"), flags)
            good = self._classifier.read(storage.getFirstTopLevelNode())
        except Exception:  # OpenCV raises SystemError too
            good = False
        if not good:
            raise ValueError(f"{self.path}: is no OpenCV cascade. Fetch {URL}")

    def detect(
        self, image, *, scale_factor=1.1, min_neighbors=5, min_size=24, shrink=1.0
    ):
        """Find faces, with the options of the cascade's README as defaults.

        Args:
            image: uint8 RGB `(height, width, 3)`, or a path.
            scale_factor: Step between the sizes tried, over 1.
            min_neighbors: Fewest raw hits that make a face; 1 finds more, more of
                them wrong.
            min_size: Smallest side, in pixels.
            shrink: Factor on each box about its centre. Defaults to 1.

        Returns:
            List of `Face`, surest first. Confidence is n / (n + 5) of n raw hits: an
            order, no probability; 0.5 at the default's fewest.

        Raises:
            ValueError: for a picture or an option that is none.
        """
        import cv2

        if not (scale_factor > 1 and min_neighbors >= 1 and min_size >= 1):
            raise ValueError(
                "The cascade needs scale_factor > 1, min_neighbors >= 1, min_size >= 1."
                f" Received: {scale_factor}, {min_neighbors}, {min_size}"
            )
        image = read_image(image)
        grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        boxes, hits = self._classifier.detectMultiScale2(
            grey, scale_factor, min_neighbors, minSize=(min_size, min_size)
        )
        if not len(boxes):
            return []
        size = image.shape[1], image.shape[0]
        boxes = [(x, y, x + w, y + h) for x, y, w, h in boxes.tolist()]
        boxes = clip_boxes(shrink_boxes(boxes, shrink), size).tolist()
        faces = [
            Face(tuple(box), n / (n + 5.0))
            for box, n in zip(boxes, map(int, hits), strict=True)
        ]
        return sorted(faces, key=lambda face: -face.confidence)


def find_cascade(path=None):
    """Find the cascade's XML: by path, by variable, in the cache, or by download.

    Example:
    ```python
    find_cascade()   # ~/.cache/illustkit/lbpcascade_animeface.xml
    ```

    Args:
        path: The file. Defaults to the variable `FACESCORE_CASCADE`, then to
            `$XDG_CACHE_HOME/illustkit`, which is filled over HTTPS when it is empty;
            the cached file must have the pinned SHA-256, one of your own need not.

    Returns:
        `Path` of the XML.

    Raises:
        ValueError: if the named file is missing, the download fails, or what came is
            not the pinned file; then nothing is kept.
    """
    for name, given in (("", path), (f"{VARIABLE}=", os.environ.get(VARIABLE))):
        if given:
            if not Path(given).is_file():
                raise ValueError(f"{name}{given}: no such file. Check the path.")
            return Path(given)
    return fetch_pinned(
        URL,
        SHA256,
        cache_folder() / URL.rsplit("/", 1)[1],
        max_bytes=_MAX_BYTES,
        advice=f"Fetch it by other means and name it by {VARIABLE}.",
    )
