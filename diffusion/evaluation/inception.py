"""FID's InceptionV3: the network, its preprocessing, and where its weights are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from illustkit.errors import UserError
from illustkit.files import cache_folder, expand_user, fetch_pinned, is_pinned
from illustkit.options import check_choice
from illustkit.tensors import read_tensors

EPSILON = 1e-3  # of the batch normalisation
SIDE = 299  # pixels
FEATURES = 2048
RESIZINGS = "pytorch-fid", "clean-fid", "torch-fidelity"
UNUSED = ("fc.weight", "fc.bias")
FILE_NAME = "pt_inception-2015-12-05-6726825d.pth"
URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/" + FILE_NAME
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIZE = 95_628_359  # bytes


class WeightsError(UserError):
    """InceptionV3's weights are not available; the message says why and what to do."""


def load_inception(weights: str | os.PathLike | None = None) -> InceptionV3:
    """Load the network with its weights.

    Example:
    ```python
    inception = load_inception("pt_inception-2015-12-05-6726825d.pth")
    features = inception.features(pictures)   # uint8 (n, 128, 128, 3) -> (n, 2048)
    ```

    Args:
        weights: Path of a file of pytorch-fid's weights (`.pth`, `.npz` or
            `.safetensors`). Defaults to the published file, which is downloaded once
            (96 MB) unless pytorch-fid has stored it on this machine.

    Returns:
        `InceptionV3`.

    Raises:
        WeightsError: If the weights are not available, or a file holds others.
    """
    path = find_inception_weights(weights)
    state = read_inception_weights(path)
    model = InceptionV3()
    model.load_state_dict(state, source=path)
    model.source = path
    return model


@keras.saving.register_keras_serializable(package="diffusion")
class InceptionV3(keras.Model):
    """Computes InceptionV3 up to its last mean, in float32 under any policy.

    Example:
    ```python
    model = InceptionV3()
    model.load_state_dict(state)       # names of pytorch-fid's weights
    model.features(pictures).shape     # (n, 2048)
    ```

    Args:
        **kwargs: `name`.

    Call arguments:
        x: Pictures on the signed scale, `(batch, height, width, 3)`; FID is defined
            for 299×299.

    Returns:
        float32 `(batch, 2048)`.
    """

    def __init__(self, **kwargs: Any):
        x = pictures = keras.Input((None, None, 3), name="signed")
        x = _conv(x, "Conv2d_1a_3x3", 32, 3, strides=2, padding="valid")
        x = _conv(x, "Conv2d_2a_3x3", 32, 3, padding="valid")
        x = _conv(x, "Conv2d_2b_3x3", 64, 3)
        x = _max_pool(x, strides=2, padding="valid")
        x = _conv(x, "Conv2d_3b_1x1", 80, 1)
        x = _conv(x, "Conv2d_4a_3x3", 192, 3, padding="valid")
        x = _max_pool(x, strides=2, padding="valid")
        for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
            x = _block_a(x, f"Mixed_{name}", pooled)
        x = _block_b(x, "Mixed_6a")
        for name, width in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            x = _block_c(x, f"Mixed_{name}", width)
        x = _block_d(x, "Mixed_7a")
        x = _block_e(x, "Mixed_7b", _mean_pool)
        x = _block_e(x, "Mixed_7c", _max_pool)
        x = layers.GlobalAveragePooling2D(dtype="float32", name="mean")(x)
        super().__init__(inputs=pictures, outputs=x, **kwargs)
        self.trainable = False

    source: str | os.PathLike = ""
    """Path of the weights; none until `load_inception` sets it."""

    def get_config(self):
        return {"name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)

    def load_state_dict(
        self, state: Mapping[str, np.ndarray], *, source: object = "the state"
    ) -> None:
        """Set the weights, named as in torchvision and pytorch-fid.

        Args:
            state: Dict from a name, such as "Mixed_5b.branch1x1.conv.weight", to an
                array; convolutions are `(out, in, height, width)`. The classifier's
                weights and counters of batches are ignored.
            source: What to call it in an error. Defaults to "the state".

        Raises:
            ValueError: If a name is missing or unknown, or a shape differs.
        """
        expected = self._variables_by_name()
        unknown = [
            name
            for name in state
            if name not in (*expected, *UNUSED)
            and not name.endswith(".num_batches_tracked")
        ]
        missing = [name for name in expected if name not in state]
        if missing or unknown:
            problems = [
                f"{len(names)} {kind} (such as {names[0]})"
                for kind, names in (("missing", missing), ("unknown", unknown))
                if names
            ]
            raise UserError(
                f"{source}: not the weights of FID's InceptionV3: "
                f"{', '.join(problems)}. Give pytorch-fid's file."
            )
        values = []
        for name, variable in expected.items():
            value = np.asarray(state[name], np.float32)
            if value.ndim == 4:
                value = value.transpose(2, 3, 1, 0)  # out, in, h, w -> h, w, in, out
            if value.shape != tuple(variable.shape):
                raise UserError(
                    f"{source}: {name} should be {tuple(variable.shape)} (its output "
                    f"channels last). Received: {value.shape}. Give pytorch-fid's file."
                )
            if not np.isfinite(value).all():
                raise UserError(
                    f"{source}: {name} has values that are not finite. Fetch it again."
                )
            values.append((variable, value))
        for variable, value in values:
            variable.assign(value)

    def _variables_by_name(self):
        named = {}
        for layer in self.layers:
            if isinstance(layer, layers.Conv2D):
                named[f"{layer.name}.weight"] = layer.kernel
            elif isinstance(layer, layers.BatchNormalization):
                named[f"{layer.name}.weight"] = layer.gamma
                named[f"{layer.name}.bias"] = layer.beta
                named[f"{layer.name}.running_mean"] = layer.moving_mean
                named[f"{layer.name}.running_var"] = layer.moving_variance
        return named

    def features(
        self, pictures: np.ndarray, *, resizing: str = "pytorch-fid"
    ) -> np.ndarray:
        """Compute the features of a batch of pictures of one size.

        Args:
            pictures: uint8 RGB `(n, height, width, 3)`.
            resizing: See `to_network`. Defaults to "pytorch-fid".

        Returns:
            NumPy float32 `(n, 2048)`.
        """
        x = self.predict_on_batch(to_network(pictures, resizing))
        return np.asarray(ops.convert_to_numpy(x), np.float32)


def _conv(x, name, filters, size, *, strides=1, padding="same"):
    """Apply a convolution without bias, batch normalisation and ReLU."""
    x = layers.Conv2D(
        filters,
        size,
        strides,
        padding=padding,
        use_bias=False,
        dtype="float32",
        name=f"{name}.conv",
    )(x)
    x = layers.BatchNormalization(epsilon=EPSILON, dtype="float32", name=f"{name}.bn")(
        x
    )
    return layers.ReLU(dtype="float32", name=f"{name}.relu")(x)


def _max_pool(x, strides=1, padding="same"):
    return layers.MaxPooling2D(3, strides, padding=padding, dtype="float32")(x)


def _mean_pool(x):
    """Average 3×3 pixels; at the border, those inside the picture."""
    return layers.AveragePooling2D(3, 1, padding="same", dtype="float32")(x)


def _chain(x, name, *convolutions):
    """Apply convolutions one after the other, each (name, filters, size)."""
    for own_name, filters, size in convolutions:
        x = _conv(x, f"{name}.{own_name}", filters, size)
    return x


def _join(*branches):
    return layers.Concatenate(dtype="float32")(branches)


def _block_a(x, name, pooled):
    """Apply the block at 35×35: three branches of convolutions and one of pooling."""
    return _join(
        _chain(x, name, ("branch1x1", 64, 1)),
        _chain(x, name, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        _chain(
            x,
            name,
            ("branch3x3dbl_1", 64, 1),
            ("branch3x3dbl_2", 96, 3),
            ("branch3x3dbl_3", 96, 3),
        ),
        _chain(_mean_pool(x), name, ("branch_pool", pooled, 1)),
    )


def _block_b(x, name):
    """Reduce 35×35 to 17×17."""
    double = _chain(x, name, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3))
    return _join(
        _conv(x, f"{name}.branch3x3", 384, 3, strides=2, padding="valid"),
        _conv(double, f"{name}.branch3x3dbl_3", 96, 3, strides=2, padding="valid"),
        _max_pool(x, strides=2, padding="valid"),
    )


def _block_c(x, name, width):
    """Apply the block at 17×17: 7×7 convolutions factorised into rows and columns."""
    row, column = (1, 7), (7, 1)
    return _join(
        _chain(x, name, ("branch1x1", 192, 1)),
        _chain(
            x,
            name,
            ("branch7x7_1", width, 1),
            ("branch7x7_2", width, row),
            ("branch7x7_3", 192, column),
        ),
        _chain(
            x,
            name,
            ("branch7x7dbl_1", width, 1),
            ("branch7x7dbl_2", width, column),
            ("branch7x7dbl_3", width, row),
            ("branch7x7dbl_4", width, column),
            ("branch7x7dbl_5", 192, row),
        ),
        _chain(_mean_pool(x), name, ("branch_pool", 192, 1)),
    )


def _block_d(x, name):
    """Reduce 17×17 to 8×8."""
    small = _chain(x, name, ("branch3x3_1", 192, 1))
    large = _chain(
        x,
        name,
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
    )
    return _join(
        _conv(small, f"{name}.branch3x3_2", 320, 3, strides=2, padding="valid"),
        _conv(large, f"{name}.branch7x7x3_4", 192, 3, strides=2, padding="valid"),
        _max_pool(x, strides=2, padding="valid"),
    )


def _block_e(x, name, pool):
    """Apply the block at 8×8: rows and columns of three in parallel branches."""
    small = _chain(x, name, ("branch3x3_1", 384, 1))
    double = _chain(x, name, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
    return _join(
        _chain(x, name, ("branch1x1", 320, 1)),
        _chain(small, name, ("branch3x3_2a", 384, (1, 3))),
        _chain(small, name, ("branch3x3_2b", 384, (3, 1))),
        _chain(double, name, ("branch3x3dbl_3a", 384, (1, 3))),
        _chain(double, name, ("branch3x3dbl_3b", 384, (3, 1))),
        _chain(pool(x), name, ("branch_pool", 192, 1)),
    )


def to_network(
    pictures: np.ndarray, resizing: str = "pytorch-fid", side: int = SIDE
) -> np.ndarray:
    """Resize pictures and scale their colours as a tool of the field does.

    FID depends on both, so that figures can be compared within one of them alone.

    Args:
        pictures: uint8 RGB `(n, height, width, 3)`.
        resizing: "pytorch-fid": bilinear, half-pixel centres, no filter, 2x - 1 of the
            unit scale. "clean-fid": Pillow's bicubic filter, which averages where a
            picture shrinks, in float32, clipped, x / 128 - 1 of the uint8 scale.
            "torch-fidelity": bilinear as TensorFlow 1 was, corners on corners at the
            upper left alone, x / 128 - 1. Defaults to "pytorch-fid".
        side: Height and width to make. Defaults to 299.

    Returns:
        float32 `(n, side, side, 3)`, about -1 to 1.

    Raises:
        UserError: If there is no such resizing.

    Reference:
        Parmar, Zhang, Zhu, "On aliased resizing and surprising subtleties in GAN
        evaluation" (2022), for "clean-fid".
    """
    check_choice("resizing", resizing, RESIZINGS)
    if resizing == "pytorch-fid":
        return resize(pictures, side) * np.float32(2) - np.float32(1)
    if resizing == "clean-fid":
        x = np.stack([_bicubic(picture, side) for picture in pictures])
    else:
        x = _interpolated(pictures.astype(np.float32), side, half_pixel=False)
    return x / np.float32(128) - np.float32(1)


def _bicubic(picture, side):
    from PIL import Image

    channels = [
        Image.fromarray(picture[..., c].astype(np.float32)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        for c in range(picture.shape[-1])
    ]
    return np.stack([np.asarray(c) for c in channels], axis=-1).clip(0, 255)


def resize(pictures: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Resize pictures as pytorch-fid does: bilinear, half-pixel centres, no filter.

    A picture that shrinks is sampled, not averaged, as FID is defined.

    Args:
        pictures: uint8 `(n, height, width, channels)`.
        side: Height and width to make. Defaults to 299.

    Returns:
        float32 `(n, side, side, channels)`, unit scale.
    """
    return _interpolated(np.asarray(pictures, np.float32) / np.float32(255), side)


def _interpolated(x, side, **how):
    rows = interpolation_matrix(x.shape[1], side, **how)
    columns = interpolation_matrix(x.shape[2], side, **how)
    n, _, width, channels = x.shape
    x = (rows @ x.reshape(n, -1, width * channels)).reshape(n, side, width, channels)
    return columns @ x


@lru_cache(maxsize=16)
def interpolation_matrix(
    size: int, side: int = SIDE, half_pixel: bool = True
) -> np.ndarray:
    """Return the matrix that resamples `size` values to `side` linearly.

    Each row sums to 1. Pixels are areas, so output i is located at
    (i + ½) · size / side − ½; beyond the outermost centres their values continue.

    Args:
        size: Number of values.
        side: Number of values to make. Defaults to 299.
        half_pixel: Whether pixels are areas; else output i is located at
            i · size / side. Defaults to `True`.

    Returns:
        float32 `(side, size)`.
    """
    # Positions in float32, as torch computes them.
    scale = np.float32(size) / np.float32(side)
    half = np.float32(0.5 if half_pixel else 0)
    at = scale * (np.arange(side, dtype=np.float32) + half) - half
    at = np.maximum(at, np.float32(0))
    low = at.astype(np.int64)
    fraction = at - low.astype(np.float32)
    matrix = np.zeros((side, size), np.float32)
    here = np.arange(side)
    np.add.at(matrix, (here, low), np.float32(1) - fraction)
    np.add.at(matrix, (here, np.minimum(low + 1, size - 1)), fraction)
    matrix.flags.writeable = False
    return matrix


def find_inception_weights(weights: str | os.PathLike | None = None) -> Path:
    """Find the file of weights, or download it.

    Args:
        weights: Path of a file; `None` or "inception" for the published file, from
            torch's cache, the cache of this package, or the network.

    Returns:
        `Path`.

    Raises:
        WeightsError: If there is no such file, or the download fails.
    """
    if weights not in (None, "inception"):
        path = expand_user(weights)
        if not path.is_file():
            raise WeightsError(f"{path}: no such file of weights. {advice()}")
        return path
    for path in _known_places():
        if path.is_file() and path.stat().st_size == SIZE and is_pinned(path, SHA256):
            return path
    path = cache_folder() / FILE_NAME
    print(f"Fetching {URL} ({SIZE / 1e6:.0f} MB)", file=sys.stderr)
    try:
        return fetch_pinned(URL, SHA256, path, max_bytes=SIZE)
    except (OSError, ValueError) as error:
        raise WeightsError(
            "FID needs InceptionV3's weights, which are not on this machine: "
            f"{' '.join(str(error).split())} {advice()}"
        ) from None


def read_inception_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the arrays of a file of weights, named as in torchvision.

    Args:
        path: A `.pth`, `.npz` or `.safetensors`.

    Returns:
        Dict from name to array.

    Raises:
        WeightsError: If the file is broken, or holds no dict of arrays.
    """
    try:
        state = read_tensors(path)
    except ValueError as error:
        raise WeightsError(f"{error} {advice()}") from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, np.ndarray)
        for name, value in state.items()
    ):
        raise WeightsError(
            f"{path}: it holds no plain dict of weights by their names. {advice()}"
        )
    return state


def advice() -> str:
    """Say what to do without the weights."""
    return (
        f"Give the path of {FILE_NAME} ({URL}), or measure by other features, which "
        'is no FID: features="pixels".'
    )


def _known_places() -> Iterator[Path]:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    torch = Path(os.environ.get("TORCH_HOME") or Path(cache, "torch"))
    yield cache_folder() / FILE_NAME
    yield torch / "hub" / "checkpoints" / FILE_NAME
    # torch-fidelity stores the same bytes under another name.
    yield torch / "hub" / "checkpoints" / FILE_NAME.replace("pt_", "weights-")
