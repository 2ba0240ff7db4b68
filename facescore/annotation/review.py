"""Serve the review page: the queue, one picture's boxes, and saving them."""

from pathlib import Path
from typing import Any

from facescore.annotation import PAGES
from facescore.annotation.store import PROBLEM, Annotation, Annotations
from facescore.boxes import Face, box_areas, clip_boxes
from illustkit.errors import UserError
from illustkit.images import picture_size
from illustkit.web.pictures import SIDES, ServedPictures
from illustkit.web.server import App

_MAX_FACES = 1000
_MOST = 1e7  # pixels


class ReviewApp(App):
    """The review page of a folder's boxes.

    Args:
        annotations: `Annotations` of the folder.
    """

    name, pages, page = "facescore", PAGES, "review.html"

    def __init__(self, annotations: Annotations) -> None:
        super().__init__()
        self.annotations = annotations
        self.pictures = self._served = ServedPictures(annotations.images)
        self.gets = {"queue": self.queue, "picture": self.picture}
        self.posts = {"save": self.save, "damaged": self.damaged}
        self.problems: dict[int, str] = {}  # pictures that could not be shown

    def queue(self) -> dict[str, Any]:
        """Return names, states and lowest confidences, in the folder's order."""
        pairs = self.annotations.summaries()
        states = [state for state, _ in pairs]
        for i in self.problems:
            states[i] = PROBLEM
        return {
            "folder": self.annotations.folder.resolve().name,
            "names": [self._name(image) for image in self.annotations.images],
            "states": states,
            "confidences": [round(confidence, 4) for _, confidence in pairs],
        }

    def picture(self, i: int) -> dict[str, Any]:
        """Return one picture's name, size, state, boxes and those of other classes."""
        image = self._served.path(i)
        try:
            annotation, size = self.annotations.load(image), picture_size(image)
        except ValueError as error:
            annotation, size = Annotation(PROBLEM, [], str(error)), (0, 0)
            self.problems[i] = str(error)
        return {
            "i": i,
            "name": self._name(image),
            "width": size[0],
            "height": size[1],
            "state": annotation.state,
            "message": annotation.message,
            "boxes": [[*face.box, face.confidence] for face in annotation.faces],
            "others": [[*b, n] for b, n in self.annotations.others(image, size)],
        }

    def save(self, body: dict[str, Any]) -> dict[str, Any]:
        """Save boxes `[left, top, right, bottom, confidence]`; `accept` makes labels.

        `forget` removes what a person has drawn instead, so that the picture is as new
        or suggested as before; `aside` is "skipped" or "unsure".

        Raises:
            UserError: If the body is anything else.
        """
        accept, forget = body.get("accept"), body.get("forget", False)
        aside = body.get("aside", "")
        complete = set(body) - {"forget", "aside"} == {"i", "boxes", "accept"}
        kinds = type(accept), type(forget), type(aside)
        if not complete or kinds != (bool, bool, str):
            raise UserError(f"i, boxes and accept are due. Received: {sorted(body)}")
        image = self._served.path(body["i"])
        faces = _faces(body["boxes"], picture_size(image))
        if forget:
            self.annotations.forget(image)
        else:
            self.annotations.save(image, faces, accept=bool(accept), aside=aside)
        state, confidence = self.annotations.summary(image)
        return {"i": body["i"], "state": state, "confidence": confidence}

    def damaged(self, body: dict[str, Any]) -> dict[str, Any]:
        """Remember a picture that cannot be shown, if that is so.

        Raises:
            UserError: If the body is anything else than `i`.
        """
        if set(body) != {"i"}:
            raise UserError(f"i is due. Received: {sorted(body)}")
        try:
            self._served.encoded(body["i"], SIDES[0])
        except ValueError as error:
            self.problems[body["i"]] = str(error)
        return {"i": body["i"], "message": self.problems.get(body["i"], "")}

    def _name(self, image: Path) -> str:
        return image.relative_to(self.annotations.folder).as_posix()


def _faces(rows: Any, size: tuple[int, int]) -> list[Face]:
    if not isinstance(rows, list) or len(rows) > _MAX_FACES:
        raise UserError(f"boxes must be a list of at most {_MAX_FACES}.")
    for row in rows:
        complete = isinstance(row, list) and len(row) == 5
        if not complete or not all(type(v) in (int, float) for v in row):
            raise UserError(f"A box is five numbers. Received: {row!r}")
        if not all(abs(v) <= _MOST for v in row) or not 0 <= row[4] <= 1:  # nor NaN
            raise UserError("A box lies near its picture, a confidence is 0 to 1.")
    boxes = clip_boxes([row[:4] for row in rows], size)
    if (box_areas(boxes) <= 0).any():
        raise UserError(f"A box lies outside the picture of {size}.")
    confidences = [float(row[4]) for row in rows]
    return [
        Face(tuple(box), confidence)
        for box, confidence in zip(boxes.tolist(), confidences, strict=True)
    ]
