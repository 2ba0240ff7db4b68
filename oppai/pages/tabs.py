"""What the page's tabs make of a picture, and the networks behind them."""

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError
from illustkit.options import check_number
from oppai.inference.marks import NothingCensoredError
from oppai.inference.recompose import Prediction
from oppai.pages.opened import OpenedPicture
from oppai.translation.remarks import remark

WEIGHTS = Path(__file__).parents[1] / "weights"  # with one file of each translation
RESTORE = "restore"
TRANSLATIONS = "colorize", "clean", "complete", "segment", "stylize", "pix2pix"
_MOST_HINTS = 10_000


class Translations:
    """The translations that the page offers; each network is loaded when it is used.

    Args:
        runs: Run folders of `oppai.train_translation`; each takes the place of the
            package's own network of its task. Defaults to none.

    Raises:
        UserError: If a folder holds no such run, or two are of one task.
    """

    def __init__(self, runs: Sequence[str | os.PathLike[str]] = ()) -> None:
        self._runs: dict[str, Any] = {}
        self._models: dict[str, Any] = {}
        self._lock = threading.Lock()
        for run in runs:
            self._add(run)

    @property
    def names(self) -> list[str]:
        """Names of the tasks that have a network, in the order of the tabs."""
        return [
            name
            for name in TRANSLATIONS
            if name in self._runs or (WEIGHTS / f"{name}.npz").exists()
        ]

    def predict(
        self,
        task: str,
        opened: OpenedPicture,
        data: bytes,
        *,
        style: OpenedPicture | None = None,
        strength: float = 1,
        keep_colours: bool = False,
    ) -> Prediction:
        """Translate a whole picture; the last few results are kept.

        Args:
            task: One of `names`.
            opened: The picture.
            data: What it is given beside the picture: of "complete" a mask as in
                `OpenedPicture.predict`, of "colorize" hints as JSON, a list of
                [x, y, "#rrggbb"] in pixels of the view; else nothing.
            style: Picture of the style, of "stylize".
            strength: Of "stylize". Defaults to 1.
            keep_colours: Of "stylize". Defaults to `False`.

        Returns:
            A `Prediction` of the whole picture, with a note where the picture is none
            that the task is made for.

        Raises:
            NothingCensoredError: If nothing is marked for "complete".
            UserError: If the mask, the hints or the style are missing or invalid.
        """
        check_number("strength", strength, least=0, most=1)
        styled = None if style is None else str(style.path)
        key = task, styled, strength, keep_colours, hashlib.sha256(data).digest()

        def make() -> Prediction:
            # Before the network is loaded: a mask or hints that are wrong are told now.
            more: dict[str, Any] = {}
            if task == "complete":
                more["mask"] = opened.full_mask(data)
                if not more["mask"].any():
                    raise NothingCensoredError("Nothing is marked.")
            if task == "colorize":
                more["hints"] = _read_hints(data, opened)
            if task == "stylize":
                if style is None:
                    raise UserError("Choose a picture of the style first.")
                more = {"style": style.shown, "strength": strength}
                more["keep_colours"] = keep_colours
            pixels = _translate(task, opened.shown, self._model(task), more)
            notes = [note] if (note := remark(task, opened.shown)) else []
            box = 0, 0, opened.width, opened.height
            whole = np.zeros(pixels.shape[:2], np.float32)
            return Prediction(box, pixels, whole, notes)

        return opened.remembered(key, make)

    def _add(self, run):
        from oppai.translation.training import TRANSLATION

        task = TRANSLATION.open(run).settings["task"]
        if task in self._runs:
            raise UserError(
                f"{self._runs[task]} and {run} are both of the task {task!r}: a tab "
                "has one network."
            )
        self._runs[task] = run

    def _model(self, task):
        from oppai.translation.translate import DEFAULT, load_translation

        with self._lock:
            if task not in self._models:
                run = self._runs.get(task, DEFAULT)
                self._models[task] = load_translation(run, task)
            return self._models[task]


def _translate(task, picture, model, more):
    import oppai

    if task == "stylize":
        return oppai.stylize(picture, more.pop("style"), model, **more)
    do = {
        "colorize": oppai.colorize,
        "clean": oppai.clean_sketch,
        "complete": oppai.complete,
    }.get(task, oppai.translate)
    return model.task.coloured(do(picture, model, **more))


def _read_hints(data, opened):
    """Return {(x, y): colour} in pixels of the picture."""
    try:
        given = json.loads(data or b"[]")
        if not isinstance(given, list) or len(given) > _MOST_HINTS:
            raise ValueError
        return {
            (int(x / opened.scale), int(y / opened.scale)): str(colour)
            for x, y, colour in given
        }
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise UserError(
            f'Hints are a list of [x, y, "#rrggbb"], at most {_MOST_HINTS}.'
        ) from None
