"""What was found in a picture: faces that know it, draw it and show themselves."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np

from facescore.boxes import Face, as_face
from facescore.crops import crop_face
from illustkit.errors import UserError
from illustkit.images import read_image, write_image

TRUTH, FOUND = (40, 170, 60), (230, 40, 40)
WHITE = 255, 255, 255
SHOWN = 640  # longest side of what a notebook shows, pixels


class Faces(list[Face]):
    """A list of `Face` that knows its picture; in a notebook it shows itself.

    It is equal to the plain list, and everything that takes one takes it.

    Example:
    ```python
    faces = facescore.detect_faces("picture.png")
    faces                               # in a notebook: the picture with its faces
    faces[:2].save("two.png", line_width=3)
    crops = faces.crop(size=128)
    print(faces.to_json())
    ```

    Args:
        faces: `Face`s, or boxes.
        image: The picture, uint8 RGB `(height, width, 3)`, or its path, which is read
            again when it is needed. Defaults to none: then nothing can be drawn.
    """

    def __init__(
        self,
        faces: Iterable[Any] = (),
        image: np.ndarray | str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(map(as_face, faces))
        self.image = image

    # A list's `__getitem__` has two forms, which mypy wants as overloads.
    def __getitem__(self, index: SupportsIndex | slice) -> Any:  # type: ignore[override]
        found = super().__getitem__(index)
        return Faces(found, self.image) if isinstance(index, slice) else found

    @property
    def picture(self) -> np.ndarray:
        """The picture, uint8 RGB `(height, width, 3)`."""
        if self.image is None:
            raise UserError("These faces know no picture: give `image` to `Faces`.")
        return read_image(self.image)

    def plot(
        self, *, line_width: int | None = None, hide_conf: bool = False
    ) -> np.ndarray:
        """Draw the faces on their picture, at its own size.

        Args:
            line_width: See `draw_faces`.
            hide_conf: Whether to leave out the confidences. Defaults to `False`.

        Returns:
            uint8 RGB `(height, width, 3)`.

        Raises:
            UserError: If the picture is unknown or cannot be read.
        """
        return draw_faces(
            self.picture, self, side=None, line_width=line_width, hide_conf=hide_conf
        )

    def save(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write what `plot` draws.

        Args:
            path: The picture file; its folders are made.
            **options: See `plot`.

        Returns:
            The path.

        Raises:
            UserError: If the picture cannot be read or written.
        """
        return write_image(path, self.plot(**options))

    def crop(self, **options: Any) -> list[np.ndarray]:
        """Cut the faces out.

        Args:
            **options: `margin`, `square`, `size` and `outside` of `crop_face`.

        Returns:
            List of uint8 RGB arrays, in the order of the faces.

        Raises:
            UserError: If the picture cannot be read, or an option is invalid.
        """
        picture = self.picture
        return [crop_face(picture, face.box, **options) for face in self]

    def to_json(self, **options: Any) -> str:
        """Return the faces as JSON.

        Args:
            **options: Passed to `json.dumps`, such as `indent`.

        Returns:
            A list of objects with `box`, `confidence` and, of scored faces, `score`.
        """
        return json.dumps([face_entry(face) for face in self], **options)

    def _repr_png_(self) -> bytes | None:
        if self.image is None:
            return None
        from PIL import Image

        from illustkit.images.write import save_bytes

        picture = self.picture
        side = min(SHOWN, max(picture.shape[:2]))
        drawn = Image.fromarray(draw_faces(picture, self, side=side))
        return save_bytes("faces.png", drawn, "PNG")


def face_entry(face: Face) -> dict[str, Any]:
    """Return a face as JSON holds it: `box`, `confidence` and, if it has one, `score`.

    Args:
        face: The `Face`.
    """
    entry = {
        "box": [round(float(v), 2) for v in face.box],
        "confidence": round(float(face.confidence), 4),
    }
    return entry if face.score is None else {**entry, "score": float(face.score)}


def draw_faces(
    image: np.ndarray,
    faces: Iterable[Face],
    truth: Iterable[Any] = (),
    side: int | None = 320,
    *,
    line_width: int | None = None,
    hide_conf: bool = False,
) -> np.ndarray:
    """Draw faces (red, with scores, else confidences) and the truth (green).

    Example:
    ```python
    drawn = facescore.draw_faces(image, facescore.detect_faces(image), side=None)
    ```

    Args:
        image: uint8 RGB.
        faces: List of `Face`.
        truth: True boxes. Defaults to none.
        side: Longer side of the result in pixels; `None` keeps the picture's. Defaults
            to 320.
        line_width: Width of the lines in pixels of the result; the confidences grow
            with it. Defaults to 0.3 % of the mean side, and at least 2, as in
            Ultralytics.
        hide_conf: Whether to leave out the numbers. Defaults to `False`.

    Returns:
        uint8 RGB.

    Raises:
        UserError: If the line has no width.
    """
    import cv2

    if line_width is not None and line_width < 1:
        raise UserError(f"`line_width` is 1 or more. Received: {line_width}")
    scale = 1.0 if side is None else side / max(image.shape[:2])
    width, height = (max(1, round(n * scale)) for n in image.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(image, (width, height), interpolation=how)
    line = line_width or max(2, round((width + height) / 2 * 0.003))

    def rectangle(box, colour):
        left, top, right, bottom = (int(round(v * scale)) for v in box)
        cv2.rectangle(image, (left, top), (right - 1, bottom - 1), colour, line)
        return left, top

    for box in truth:
        rectangle(box, TRUTH)
    for face in faces:
        left, top = rectangle(face.box, FOUND)
        if hide_conf:
            continue
        grown = line / 2  # the text of a line of 2 pixels is 11 pixels high
        above = top - round(5 * grown)
        place = left + 2, above if top >= 15 * grown else top + round(14 * grown)
        thick = max(1, line // 2)
        text = f"{face.confidence:.2f}"[-3:]
        if face.score is not None:
            text = f"{face.score:.1f}"
        for colour, stroke in ((WHITE, thick + 3 * line // 2), (FOUND, thick)):
            # legible on anything
            cv2.putText(
                image, text, place, 0, 0.45 * grown, colour, stroke, cv2.LINE_AA
            )
    return image
