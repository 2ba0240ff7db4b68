"""Rate pictures with one key each, in the browser."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from facescore.annotation import PAGES
from facescore.scorer.data import (
    RATING_TABLE,
    SCORES,
    Rating,
    ratings_from_csv,
    write_ratings,
)
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.images import list_images
from illustkit.web.pictures import ServedPictures
from illustkit.web.server import App, serve


class RatingApp(App):
    """The rating page of a folder's pictures.

    Args:
        folder: Folder of the pictures, with its sub-folders.
        table: The CSV of file and score. Defaults to `ratings.csv` in the folder.
        shuffle: Show the pictures in a random order, the same every time, so that
            neighbours do not influence each other's scores. Defaults to `False`.

    Raises:
        UserError: If there is no picture, or the CSV is invalid.
    """

    name, pages, page = "facescore", PAGES, "rate.html"

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        table: str | os.PathLike | None = None,
        shuffle: bool = False,
    ) -> None:
        super().__init__()
        self.folder = expand_user(folder)
        self.table = expand_user(table) if table else self.folder / RATING_TABLE
        self.images = list_images(self.folder)
        self.scores: dict[Path, int] = {}
        gone: list[Rating] = []
        if self.table.exists():
            rated = ratings_from_csv(self.table, self.folder, gone=gone)
            self.scores = dict([*rated, *gone])  # those that are gone stay in the table
        self.gone = [path for path, _ in gone]
        order = np.arange(len(self.images))
        if shuffle:
            np.random.default_rng(0).shuffle(order)
        self.paths = [self.images[i] for i in order]
        self.pictures = self._served = ServedPictures(self.paths)
        self.gets = {"queue": self.queue, "picture": self.picture}
        self.posts = {"rate": self.rate}

    def queue(self) -> dict[str, Any]:
        """Return the names and scores of all pictures in the order shown; 0 is none."""
        return {
            "folder": self.folder.resolve().name,
            "table": self.table.name,
            "names": [path.relative_to(self.folder).as_posix() for path in self.paths],
            "scores": [self.scores.get(path, 0) for path in self.paths],
        }

    def picture(self, i: int) -> dict[str, Any]:
        """Return one picture's name and score."""
        path = self._served.path(i)
        name = path.relative_to(self.folder).as_posix()
        return {"i": i, "name": name, "score": self.scores.get(path, 0)}

    def rate(self, body: dict[str, Any]) -> dict[str, Any]:
        """Store the score of picture `i`, 0 for none, and write the CSV.

        Raises:
            UserError: If the body is anything else.
        """
        if set(body) != {"i", "score"} or type(body["score"]) is not int:
            raise UserError(f"i and score are due. Received: {body}")
        path, score = self._served.path(body["i"]), body["score"]
        if score not in (0, *SCORES):
            raise UserError(f"A score is 1 to 5, or 0 for none. Received: {score}")
        scores = {k: v for k, v in self.scores.items() if k != path}
        if score:
            scores[path] = score
        order = {image: number for number, image in enumerate(self.images)}
        rated = sorted(scores.items(), key=lambda pair: order.get(pair[0], len(order)))
        write_ratings(self.table, rated, self.folder)
        self.scores = scores
        return {"i": body["i"], "score": score}


def rate(
    folder: str | os.PathLike,
    *,
    table: str | os.PathLike | None = None,
    shuffle: bool = False,
    port: int = 0,
    open_browser: bool = True,
) -> Path:
    """Rate pictures in the browser: keys 1 to 5, one for each picture, undo, skip.

    The whole CSV is written after every key. The same call again continues with the
    pictures that have no score yet. Ctrl-C ends.

    Args:
        folder: Folder of the pictures.
        table: The CSV. Defaults to `ratings.csv` in the folder.
        shuffle: Show the pictures in a random order, the same every time.
        port: TCP port on this machine; 0 takes a free one. Defaults to 0.
        open_browser: Open the page. Defaults to `True`.

    Returns:
        Path of the CSV.

    Raises:
        UserError: If there is no picture, or the CSV is invalid.
    """
    app = RatingApp(folder, table=table, shuffle=shuffle)
    if app.gone:
        print(f"{len(app.gone)} rated pictures are gone; their scores are kept:")
        print(*app.gone, sep="\n")
    serve(app, port=port, open_browser=open_browser)
    return app.table
