"""Rate pictures with one key each, in the browser."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facescore.annotation import PAGES
from facescore.crops import fit_crop, read_each
from facescore.scorer.questions import ASK, Questions, choose_candidates
from facescore.scorer.ratings import (
    RATING_TABLE,
    SCORES,
    Rating,
    ratings_from_csv,
    write_ratings,
)
from illustkit.cli import progress_bar
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.images import list_images
from illustkit.options import check_choice, check_number
from illustkit.web.pictures import ServedPictures
from illustkit.web.server import App, serve

MOST = 2000  # unscored pictures to choose from; their features take 10 ms each
SIDE = 160  # pixels of a picture that features are computed of


class RatingApp(App):
    """The rating page of a folder's pictures.

    Args:
        folder: Folder of the pictures, with its sub-folders.
        table: The CSV of file and score. Defaults to `ratings.csv` in the folder.
        shuffle: Show the pictures in a random order, the same every time, so that
            neighbours do not influence each other's scores. Defaults to `False`.
        ask: "informative" to ask for the picture whose score teaches most, or "random";
            either shows how well the scores so far predict each other, see
            `facescore.scorer.questions.Questions`. Defaults to none of it: the pictures
            in their order.
        most: Most unscored pictures that `ask` chooses from. Defaults to 2000.
        progress: Called with the number of pictures whose features are known. Defaults
            to none.

    Raises:
        UserError: If there is no picture, `ask` is unknown, or the CSV is invalid.
    """

    name, pages, page = "facescore", PAGES, "rate.html"

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        table: str | os.PathLike | None = None,
        shuffle: bool = False,
        ask: str | None = None,
        most: int = MOST,
        progress: Callable[[int], object] | None = None,
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
        self.gets = {"queue": self.queue, "picture": self.picture, "ask": self.ask}
        self.posts = {"rate": self.rate}
        self.questions: Questions | None = None
        self.candidates: list[int] = []
        if ask is not None:
            check_choice("ask", ask, ASK)
            self._learn(ask, most, progress)

    def queue(self) -> dict[str, Any]:
        """Return the names and scores of all pictures in the order shown; 0 is none."""
        return {
            "folder": self.folder.resolve().name,
            "table": self.table.name,
            "names": [path.relative_to(self.folder).as_posix() for path in self.paths],
            "scores": [self.scores.get(path, 0) for path in self.paths],
            "asks": self.questions is not None,
        }

    def _learn(self, ask, most, progress):
        from facescore.scorer.transfer import features_of

        rated = [i for i, path in enumerate(self.paths) if path in self.scores]
        numbers = choose_candidates(len(self.paths), most, rated)
        number_of = {self.paths[i]: i for i in numbers}
        broken: list[tuple[Path, str]] = []  # they are shown last, with their reason

        def pictures():
            for path, image in read_each(number_of, broken, progress):
                self.candidates.append(number_of[path])
                yield fit_crop(image, (SIDE, SIDE))

        self.questions = Questions(features_of(pictures()), ask)
        self.questions.learn(self._scored())

    def ask(self, count: int) -> dict[str, Any]:
        """Return the pictures to show next, and how well the scores are predicted.

        Args:
            count: Most pictures.

        Returns:
            Dict of "next", numbers of pictures; "curve", pairs of a number of scores
            and their agreement; "settled", whether it changes little. Without `ask`
            all of them are empty.

        Raises:
            UserError: If `count` is not positive.
        """
        check_number("count", count, whole=True, least=1)
        if self.questions is None:
            return {"next": [], "curve": [], "settled": False}
        scored = list(self._scored())
        return {
            "next": [self.candidates[k] for k in self.questions.ask(scored, count)],
            "curve": [
                (n, value)
                for n, value in sorted(self.questions.curve.items())
                if math.isfinite(value)
            ],
            "settled": self.questions.settled,
        }

    def _scored(self):
        """Return a dict from the scored candidates' places to their scores."""
        return {
            k: self.scores[self.paths[i]]
            for k, i in enumerate(self.candidates)
            if self.paths[i] in self.scores
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
        if self.questions is not None:
            self.questions.learn(self._scored())
        return {"i": body["i"], "score": score}


def rate(
    folder: str | os.PathLike,
    *,
    table: str | os.PathLike | None = None,
    shuffle: bool = False,
    ask: str | None = None,
    port: int = 0,
    host: str = "127.0.0.1",
    open_browser: bool = True,
) -> Path:
    """Rate pictures in the browser: keys 1 to 5, one for each picture, undo, skip.

    The whole CSV is written after every key. The same call again continues with the
    pictures that have no score yet. Ctrl-C ends.

    Args:
        folder: Folder of the pictures.
        table: The CSV. Defaults to `ratings.csv` in the folder.
        shuffle: Show the pictures in a random order, the same every time.
        ask: "informative" or "random"; see `RatingApp`. Defaults to neither.
        port: TCP port on this machine; 0 takes a free one. Defaults to 0.
        host: See `illustkit.web.server.LocalServer`. Defaults to "127.0.0.1".
        open_browser: Open the page. Defaults to `True`.

    Returns:
        Path of the CSV.

    Raises:
        UserError: If there is no picture, `ask` is unknown, or the CSV is invalid.
    """
    options: dict[str, Any] = {"table": table, "shuffle": shuffle}
    if ask is None:
        app = RatingApp(folder, **options)
    else:
        found = min(MOST, len(list_images(expand_user(folder))))
        with progress_bar(found, "picture looked at") as progress:
            app = RatingApp(folder, **options, ask=ask, progress=progress)
    if app.gone:
        print(f"{len(app.gone)} rated pictures are gone; their scores are kept:")
        print(*app.gone, sep="\n")
    serve(app, port=port, host=host, open_browser=open_browser)
    return app.table
