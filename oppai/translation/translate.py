"""Translate pictures of any size with a trained network."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from illustkit.errors import UserError
from illustkit.images import read_image, uint8_to_lab
from illustkit.training.runs import Run, load_run
from illustkit.training.shipped import load_network, save_network
from oppai.translation.task import Task, as_rgb
from oppai.translation.tasks import AB_RANGE, make_task
from oppai.translation.training import TRANSLATION, build_translator

TILE, OVERLAP = 512, 64  # pixels; larger pictures are translated in parts
DEFAULT = "default"  # the package's own network of a task
WEIGHTS = Path(__file__).parents[1] / "weights"  # which holds one file of each


class TranslationModel:
    """A trained translation, ready for pictures.

    Example:
    ```python
    model = load_translation("runs/clean")
    lines = model(read_image("sketch.png"))
    ```

    Args:
        network: A `TranslationNetwork`.
        task: What it does, a `Task`.
        image_size: Side in pixels of the crops that it learnt from. Defaults to 256.
        tile: Side of the parts of a large picture in pixels. Defaults to 512.
    """

    def __init__(
        self, network: Any, task: Task, *, image_size: int = 256, tile: int = TILE
    ) -> None:
        self.network, self.task, self.tile = network, task, tile
        self.image_size = image_size

    def __call__(self, picture: np.ndarray, **more: np.ndarray) -> np.ndarray:
        """Translate one picture.

        Args:
            picture: RGB uint8 `(height, width, 3)`.
            **more: Arrays that replace those that the task makes, such as `hints`.

        Returns:
            uint8 `(height, width, 3)`; of "segment" the numbers of
            `illustkit.samples.PARTS`, `(height, width)`.
        """
        x = {**self.task.given_of(picture), **more}
        size = picture.shape[:2]
        most = (self.task.sees or math.inf) * self.image_size
        scale = min(1.0, most / min(size))
        scale = max(scale, self.task.least * self.image_size / min(size))
        height, width = (max(8, round(n * scale)) for n in size)
        seen = x if scale == 1 else self.task.resized(x, (width, height))
        size = size if scale == 1 else (height, width)

        def made_of(arrays):
            def predict(place, size_of_part):
                part = {
                    k: a[place] if a.shape[:2] == size else a for k, a in arrays.items()
                }
                return self.predict(part, size_of_part)

            return in_parts(size, self.tile, predict)

        made = made_of(seen)
        if self.task.mirrors:
            mirrored = made_of({k: a[:, ::-1] for k, a in seen.items()})
            made = self.task.agreed(made, mirrored[:, ::-1])
        return self._finished(x, self.task.at_size_of(made, seen, x))

    def predict(self, x: Mapping[str, np.ndarray], size: tuple[int, int]) -> np.ndarray:
        """Return the network's output for the arrays of a part, of any sides.

        Args:
            x: The task's arrays, without the batch's axis.
            size: (height, width); arrays of these sides are padded for the network.

        Returns:
            float32 `(height, width, channels)`, on the network's scale.
        """
        padded = {
            name: pad_to(array, self.network.multiple)[None]
            if array.shape[:2] == size
            else array[None]
            for name, array in x.items()
        }
        inputs = self.task.inputs(
            {k: keras.ops.convert_to_tensor(v) for k, v in padded.items()}
        )
        result = self.network(inputs, training=False)
        return keras.ops.convert_to_numpy(result)[0, : size[0], : size[1]]

    def _finished(self, x, result):
        picture = self.task.result(x, result)
        return picture[..., 0] if self.task.name == "segment" else as_rgb(picture)


def in_parts(size: tuple[int, int], tile: int, predict: Any) -> np.ndarray:
    """Join what a function returns for the parts of a picture, without a seam.

    Args:
        size: (height, width) of the picture.
        tile: Side of the parts in pixels.
        predict: Function from a place (two slices) and its (height, width) to an array
            `(height, width, channels)`.

    Returns:
        float32 `(height, width, channels)`. Where parts overlap, it is their mean,
        weighted by how far a pixel is inside each.
    """
    height, width = size
    parts = [
        (rows, columns)
        for rows in _spans(height, tile)
        for columns in _spans(width, tile)
    ]
    if len(parts) == 1:
        return predict(np.s_[:, :], size)
    total: Any = None
    weight = np.zeros((height, width, 1), "float32")
    for (top, bottom), (left, right) in parts:
        place = np.s_[top:bottom, left:right]
        result = predict(place, (bottom - top, right - left))
        if total is None:
            total = np.zeros((height, width, result.shape[-1]), "float32")
        down = _slope(top, bottom, height)[:, None, None]
        across = _slope(left, right, width)[None, :, None]
        total[place] += down * across * result
        weight[place] += down * across
    return total / weight


def _spans(length, tile):
    """Return (first, last + 1) of parts that overlap and cover a length."""
    if length <= tile + tile // 2:
        return [(0, length)]
    n = -(-(length - OVERLAP) // (tile - OVERLAP))
    starts = np.linspace(0, length - tile, n).round().astype(int)
    return [(int(s), int(s) + tile) for s in starts]


def pad_to(array: np.ndarray, multiple: int) -> np.ndarray:
    """Return an array whose first two sides are multiples, its borders repeated."""
    extra = [(0, -side % multiple) for side in array.shape[:2]]
    return np.pad(array, extra + [(0, 0)] * (array.ndim - 2), mode="edge")


def _slope(first, last, length):
    """Return the weight of each pixel of a part, which falls towards its neighbours."""
    place = np.arange(first, last)
    rise = 1 + (place - first if first else np.full(last - first, OVERLAP))
    fall = last - place if last < length else np.full(last - first, OVERLAP + 1)
    return np.minimum(np.minimum(rise, fall), OVERLAP).astype("float32")


def load_translation(
    run: "str | os.PathLike | Run | TranslationModel", task: str | None = None
) -> TranslationModel:
    """Load a trained translation.

    Example:
    ```python
    model = oppai.translation.translate.load_translation("runs/clean")
    ```

    Args:
        run: "default" for the package's own network of the task, the run folder of
            `oppai.train_translation` (one of that name is given as "./default"), the
            `Run`, or a loaded model, which is returned as it is.
        task: The task that it must have. Defaults to any.

    Returns:
        A `TranslationModel`.

    Raises:
        UserError: If there is no such run, it is one of another task, or the package
            has no network of that task.
    """
    if isinstance(run, TranslationModel):
        model = run
    elif run == DEFAULT and isinstance(run, str):
        return _load_shipped(task)
    else:
        opened = TRANSLATION.open(run)
        trained = load_run(opened, TRANSLATION, build_translator)
        translator = getattr(trained, "generator", trained)
        rules = make_task(opened.settings["task"], opened.settings["network"])
        model = TranslationModel(
            translator.network, rules, image_size=opened.settings["image_size"]
        )
    if task not in (None, model.task.name):
        raise UserError(
            f"{getattr(run, 'folder', run)} holds a run of the task "
            f"{model.task.name!r}, not of {task!r}."
        )
    return model


def save_translation(
    model: "str | os.PathLike | Run | TranslationModel", path: str | os.PathLike
) -> Path:
    """Store a trained translation in float16, in one file that NumPy reads.

    Example:
    ```python
    save_translation("runs/clean", "clean.npz")
    ```

    Args:
        model: Run folder of `oppai.train_translation`, or a loaded model.
        path: The `.npz` to write.

    Returns:
        The path, once the file is whole.

    Raises:
        UserError: If there is no such run, or float16 cannot hold a weight.
    """
    model = load_translation(model)
    settings = {
        "task": model.task.name,
        "network": model.task.network,
        "image_size": model.image_size,
    }
    return save_network(model.network, settings, path)


def _load_shipped(task):
    """Return the package's own network of a task."""
    path = WEIGHTS / f"{task}.npz"
    if task is None or not path.exists():
        raise UserError(
            f"The package holds no network of the task {task!r}: name a run folder of "
            "oppai train-translation."
        )
    found: dict[str, Any] = {}

    def build(settings):
        found.update(settings)
        return make_task(settings["task"], settings["network"]).build()

    network = load_network(path, build)
    rules = make_task(found["task"], found["network"])
    return TranslationModel(network, rules, image_size=found["image_size"])


def translate(
    picture: np.ndarray | str | os.PathLike,
    model: str | os.PathLike | Run | TranslationModel,
    *,
    hints: Any = None,
) -> np.ndarray:
    """Translate one picture: clean lines, colours, parts, or what a run has learnt.

    Example:
    ```python
    coloured = oppai.translate("grey.png", "runs/colours", hints={(40, 60): "#ff8800"})
    ```

    Args:
        picture: RGB uint8 `(height, width, 3)`, or the path of a picture.
        model: Run folder of `oppai.train_translation`, or what `load_translation`
            returned.
        hints: For "colorize", a dict from places (x, y) in pixels to colours, "#rrggbb"
            or (red, green, blue). Defaults to none.

    Returns:
        uint8 `(height, width, 3)`; of "segment" the numbers of
        `illustkit.samples.PARTS`, `(height, width)`.

    Raises:
        UserError: If the file is no picture, the run is none of a translation, or a
            hint lies outside the picture.
    """
    model = load_translation(model)
    picture = as_picture(picture)
    if not hints:
        return model(picture)
    if model.task.name != "colorize":
        raise UserError(f'`hints` are for "colorize". Received: a {model.task.name!r}')
    return model(picture, hints=hints_map(hints, picture.shape[:2]))


def as_picture(picture: Any) -> np.ndarray:
    """Return an RGB picture, read if a path is given."""
    if isinstance(picture, (str, os.PathLike)):
        return read_image(picture)
    return picture


def colorize(picture: Any, model: Any = DEFAULT, *, hints: Any = None) -> np.ndarray:
    """Colour a grey picture; the lightness stays. Colours of the picture are ignored.

    Example:
    ```python
    coloured = oppai.colorize("grey.png")  # by the package's own network
    coloured = oppai.colorize("grey.png", "runs/colours", hints={(40, 60): "#ff8800"})
    ```

    Args:
        picture: RGB uint8 `(height, width, 3)`, or the path of a picture.
        model: Run folder of the task "colorize", or a loaded model. Defaults to
            "default", the package's own network.
        hints: Dict from places (x, y) in pixels to colours, "#rrggbb" or
            (red, green, blue). Defaults to none.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        UserError: As `translate`.

    Reference:
        Iizuka et al. (2016); Zhang et al., "Real-Time User-Guided Image Colorization
        with Learned Deep Priors" (2017), for the hints.
    """
    return translate(picture, load_translation(model, "colorize"), hints=hints)


def clean_sketch(picture: Any, model: Any = DEFAULT) -> np.ndarray:
    """Turn a rough sketch into clean lines.

    Example:
    ```python
    lines = oppai.clean_sketch("sketch.png")  # by the package's own network
    lines = oppai.clean_sketch("sketch.png", "runs/clean")
    ```

    Args:
        picture: RGB uint8 `(height, width, 3)`, or the path of a picture.
        model: Run folder of the task "clean", or a loaded model. Defaults to
            "default", the package's own network.

    Returns:
        Black lines on white, uint8 `(height, width, 3)`.

    Raises:
        UserError: As `translate`.

    Reference:
        Simo-Serra et al. (2016).
    """
    return translate(picture, load_translation(model, "clean"))


def hints_map(hints: Any, size: tuple[int, int]) -> np.ndarray:
    """Return a user's hints as the network takes them.

    Args:
        hints: Dict from (x, y) to "#rrggbb" or (red, green, blue).
        size: (height, width) of the picture.

    Returns:
        float32 `(height, width, 3)`: a*, b* by their range, and 1 where a hint is.

    Raises:
        UserError: If a place is outside, or a colour is none.
    """
    result = np.zeros((*size, 3), "float32")
    for (x, y), colour in hints.items():
        if not (0 <= x < size[1] and 0 <= y < size[0]):
            raise UserError(
                f"A hint lies in the picture of {size[1]}×{size[0]} pixels. "
                f"Received: {(x, y)}"
            )
        try:
            if isinstance(colour, str):
                colour = [int(colour.lstrip("#")[i : i + 2], 16) for i in (0, 2, 4)]
            rgb = np.asarray(colour, np.uint8).reshape(1, 1, 3)
        except (ValueError, TypeError, OverflowError):
            raise UserError(
                f'A colour is "#rrggbb" or (red, green, blue). Received: {colour!r}'
            ) from None
        ab = uint8_to_lab(rgb)[0, 0, 1:] / AB_RANGE
        result[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = [*ab, 1]
    return result
