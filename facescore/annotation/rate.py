"""Rating pictures with one key each, in the browser."""

from pathlib import Path

import numpy as np

from facescore.annotation import PAGES
from facescore.scorer.data import RATING_TABLE, SCORES, ratings_from_csv, write_ratings
from illustkit.images import list_images
from illustkit.web.pictures import ServedPictures
from illustkit.web.server import App, serve


class RatingApp(App):
    """The rating of a folder's pictures.

    Args:
        folder: Folder of the pictures; sub-folders count.
        table: The CSV of file and score. Defaults to `ratings.csv` in the folder.
        shuffle: Show the pictures in a random order, the same every time, so that
            neighbours do not colour each other's scores. Defaults to `False`.

    Raises:
        ValueError: if there is no picture, or the CSV holds a problem.
    """

    name, pages, page = "facescore", PAGES, "rate.html"

    def __init__(self, folder, *, table=None, shuffle=False):
        super().__init__()
        self.folder = Path(folder)
        self.table = Path(table) if table else self.folder / RATING_TABLE
        self.images = list_images(self.folder)
        self.scores = {}
        if self.table.exists():
            self.scores = dict(ratings_from_csv(self.table, self.folder))
        order = np.arange(len(self.images))
        if shuffle:
            np.random.default_rng(0).shuffle(order)
        self.pictures = ServedPictures([self.images[i] for i in order])
        self.gets = {"queue": self.queue, "picture": self.picture}
        self.posts = {"rate": self.rate}

    def queue(self):
        """Scores of all pictures in the order shown, 0 where there is none."""
        return {
            "folder": self.folder.resolve().name,
            "table": self.table.name,
            "names": [
                p.relative_to(self.folder).as_posix() for p in self.pictures.paths
            ],
            "scores": [self.scores.get(path, 0) for path in self.pictures.paths],
        }

    def picture(self, i):
        """One picture's name and score."""
        path = self.pictures.path(i)
        name = path.relative_to(self.folder).as_posix()
        return {"i": i, "name": name, "score": self.scores.get(path, 0)}

    def rate(self, body):
        """Keep the score of picture `i`, 0 for none, and write the CSV.

        Raises:
            ValueError: for anything else than that.
        """
        if set(body) != {"i", "score"} or type(body["score"]) is not int:
            raise ValueError(f"i and score are due. Received: {body}")
        path, score = self.pictures.path(body["i"]), body["score"]
        if score not in (0, *SCORES):
            raise ValueError(f"A score is 1 to 5, or 0 for none. Received: {score}")
        scores = {k: v for k, v in self.scores.items() if k != path}
        if score:
            scores[path] = score
        order = {image: number for number, image in enumerate(self.images)}
        rated = sorted(scores.items(), key=lambda pair: order.get(pair[0], len(order)))
        write_ratings(self.table, rated, self.folder)
        self.scores = scores
        return {"i": body["i"], "score": score}


def rate(folder, *, table=None, shuffle=False, port=0, open_browser=True):
    """Rate pictures in the browser: keys 1 to 5, one a picture, undo, skip.

    The CSV is written whole after every key; called again, it goes on with what has
    no score yet. Ctrl-C ends.

    Args:
        folder: Folder of the pictures.
        table: The CSV. Defaults to `ratings.csv` in the folder.
        shuffle: Show the pictures in a random order, the same every time.
        port: TCP port on this machine; 0 takes a free one. Defaults to 0.
        open_browser: Open the page by itself. Defaults to `True`.

    Returns:
        Path of the CSV.

    Raises:
        ValueError: if there is no picture, or the CSV holds a problem.
    """
    app = RatingApp(folder, table=table, shuffle=shuffle)
    serve(app, port=port, open_browser=open_browser)
    return app.table
