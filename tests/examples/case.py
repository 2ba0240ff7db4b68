"""What an example stands among, and what the examples of several packages share."""

import contextlib
import dataclasses
import functools
import importlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from . import stage

Make = Callable[[], Any]
Prepare = Callable[[pytest.MonkeyPatch, contextlib.ExitStack], None]


@dataclasses.dataclass(frozen=True)
class Case:
    """What one example needs besides what its package's examples have.

    Args:
        values: Functions that make variables which it does not make itself.
        smaller: Pairs (text, text): its numbers, replaced by ones that take a moment.
        files: Names of files in `stage.FILES` that its text does not name.
        without: Names of those that it makes itself.
        prepare: Function that sets up what stands in for the network or the user.
        needs: Module that is not installed everywhere.
    """

    values: Mapping[str, Make] = dataclasses.field(default_factory=dict)
    smaller: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    prepare: Prepare | None = None
    needs: str = ""


def name_of(module: str, name: str) -> Make:
    """Return a function that imports a name."""
    return lambda: getattr(importlib.import_module(module), name)


def value(item: Any) -> Make:
    """Return a function that returns a copy of an array, or the value itself."""
    return lambda: item.copy() if isinstance(item, np.ndarray) else item


@functools.cache
def drawn() -> np.ndarray:
    return stage.character(7)


def jpeg(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG")
    return stream.getvalue()


@functools.cache
def patch(seed: int = 7) -> np.ndarray:
    """256×256 pixels of a drawn picture."""
    return stage.character(seed)[100:356, 150:406]


def box_mask() -> np.ndarray:
    """A mask of a patch, 255 = hidden."""
    hidden = np.zeros((256, 256), np.uint8)
    hidden[80:176, 64:192] = 255
    return hidden


def icons(n: int = 6, side: int = 32, first: int = 0) -> np.ndarray:
    """Drawn faces, uint8 `(n, side, side, 3)`."""
    from illustkit import draw_face_icon

    return np.stack([draw_face_icon(first + i, side) for i in range(n)])


def censored_icons() -> np.ndarray:
    pictures = icons()
    pictures[:, 10:20, 8:24] = 255
    return pictures


def signed(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def valid(*shape: int) -> np.ndarray:
    """The paper's mask of a batch: 0 in the hole."""
    inside = np.ones((*shape, 1), "float32")
    inside[:, 4:12, 4:12] = 0
    return inside


def dense() -> Any:
    """A compiled model of one number to one number."""
    import keras

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def number_batches() -> Any:
    from illustkit.training.batches import Batches

    class Numbers(Batches):
        def make(self, indices, rng):
            x = np.asarray(indices, "float32")[:, None]
            return x, x

    return Numbers(8, batch_size=4)


def open_run(folder: str) -> Any:
    from illustkit.training.runs import Run

    return Run(folder)


def answering_page(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The page's user is done at once."""
    from illustkit.web.server import LocalServer

    patch.setattr(LocalServer, "wait", lambda self: None)


def sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def dense_network(shape: Any, units: Any) -> Any:
    """A network of one dense layer, from and to any shape."""
    import keras

    shape = (shape,) if isinstance(shape, int) else shape
    units = (units,) if isinstance(units, int) else units
    dense = keras.layers.Dense(int(np.prod(units)))
    flat, shaped = keras.layers.Flatten(), keras.layers.Reshape(units)
    return keras.Sequential([keras.Input(shape), flat, dense, shaped])


def adversarial_model() -> Any:
    from illustkit.training.adversarial import Adversarial

    return Adversarial(dense_network(2, 3), dense_network(3, 1))


def dense_layer(units: int = 3) -> Any:
    import keras

    given = keras.Input((2,))
    return keras.Model(given, keras.layers.Dense(units, name="dense")(given))


def face() -> Any:
    import facescore

    return facescore.Face((200.0, 150.0, 330.0, 290.0), 0.9)
