"""The weights of FID's InceptionV3: found on this machine, fetched, or in a file."""

import os
import sys
from functools import lru_cache
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from illustkit.files import cache_folder, fetch_pinned, is_pinned
from illustkit.tensors import read_tensors

EPSILON = 1e-3  # of the batch normalisation


def conv(x, name, filters, size, *, strides=1, padding="same"):
    """Convolution without bias, batch normalisation, ReLU."""
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


def max_pool(x, strides=1, padding="same"):
    return layers.MaxPooling2D(3, strides, padding=padding, dtype="float32")(x)


def mean_pool(x):
    """Mean over 3×3; at the border over what lies inside alone."""
    return layers.AveragePooling2D(3, 1, padding="same", dtype="float32")(x)


def chain(x, name, *parts):
    """Convolutions one after the other; a part is (its name, filters, size)."""
    for part, filters, size in parts:
        x = conv(x, f"{name}.{part}", filters, size)
    return x


def join(*branches):
    return layers.Concatenate(dtype="float32")(branches)


def block_a(x, name, pooled):
    """35×35: three branches of convolutions and one of pooling."""
    return join(
        chain(x, name, ("branch1x1", 64, 1)),
        chain(x, name, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        chain(
            x,
            name,
            ("branch3x3dbl_1", 64, 1),
            ("branch3x3dbl_2", 96, 3),
            ("branch3x3dbl_3", 96, 3),
        ),
        chain(mean_pool(x), name, ("branch_pool", pooled, 1)),
    )


def block_b(x, name):
    """From 35×35 to 17×17."""
    double = chain(x, name, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3))
    return join(
        conv(x, f"{name}.branch3x3", 384, 3, strides=2, padding="valid"),
        conv(double, f"{name}.branch3x3dbl_3", 96, 3, strides=2, padding="valid"),
        max_pool(x, strides=2, padding="valid"),
    )


def block_c(x, name, width):
    """17×17: squares of seven as rows and columns."""
    row, column = (1, 7), (7, 1)
    return join(
        chain(x, name, ("branch1x1", 192, 1)),
        chain(
            x,
            name,
            ("branch7x7_1", width, 1),
            ("branch7x7_2", width, row),
            ("branch7x7_3", 192, column),
        ),
        chain(
            x,
            name,
            ("branch7x7dbl_1", width, 1),
            ("branch7x7dbl_2", width, column),
            ("branch7x7dbl_3", width, row),
            ("branch7x7dbl_4", width, column),
            ("branch7x7dbl_5", 192, row),
        ),
        chain(mean_pool(x), name, ("branch_pool", 192, 1)),
    )


def block_d(x, name):
    """From 17×17 to 8×8."""
    small = chain(x, name, ("branch3x3_1", 192, 1))
    large = chain(
        x,
        name,
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
    )
    return join(
        conv(small, f"{name}.branch3x3_2", 320, 3, strides=2, padding="valid"),
        conv(large, f"{name}.branch7x7x3_4", 192, 3, strides=2, padding="valid"),
        max_pool(x, strides=2, padding="valid"),
    )


def block_e(x, name, pool):
    """8×8: rows and columns of three side by side."""
    small = chain(x, name, ("branch3x3_1", 384, 1))
    double = chain(x, name, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
    return join(
        chain(x, name, ("branch1x1", 320, 1)),
        chain(small, name, ("branch3x3_2a", 384, (1, 3))),
        chain(small, name, ("branch3x3_2b", 384, (3, 1))),
        chain(double, name, ("branch3x3dbl_3a", 384, (1, 3))),
        chain(double, name, ("branch3x3dbl_3b", 384, (3, 1))),
        chain(pool(x), name, ("branch_pool", 192, 1)),
    )


SIDE = 299  # pixels
FEATURES = 2048
UNUSED = ("fc.weight", "fc.bias")


def load_inception(weights=None):
    """The network with its weights, ready to give features.

    Example:
    ```python
    inception = load_inception("pt_inception-2015-12-05-6726825d.pth")
    features = inception.features(pictures)   # uint8 (n, 128, 128, 3) -> (n, 2048)
    ```

    Args:
        weights: Path of a file of pytorch-fid's weights (`.pth`, `.npz` or
            `.safetensors`). By default the published file, which is downloaded once
            (96 MB), or taken where pytorch-fid has left it.

    Returns:
        `InceptionV3`.

    Raises:
        WeightsError: where there are no weights to be had, or a file holds others.
    """
    path = find_inception_weights(weights)
    state = read_inception_weights(path)
    model = InceptionV3()
    model.load_state_dict(state, source=path)
    return model


@keras.saving.register_keras_serializable(package="diffusion")
class InceptionV3(keras.Model):
    """InceptionV3 up to its last mean, in float32 whatever the policy is.

    Example:
    ```python
    model = InceptionV3()
    model.load_state_dict(state)       # names of pytorch-fid's weights
    model.features(pictures).shape     # (n, 2048)
    ```

    Args:
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        x: Pictures on the signed scale, `(batch, height, width, 3)`; FID is defined
            for 299×299.

    Returns:
        float32 `(batch, 2048)`.
    """

    def __init__(self, **kwargs):
        x = pictures = keras.Input((None, None, 3), name="signed")
        x = conv(x, "Conv2d_1a_3x3", 32, 3, strides=2, padding="valid")
        x = conv(x, "Conv2d_2a_3x3", 32, 3, padding="valid")
        x = conv(x, "Conv2d_2b_3x3", 64, 3)
        x = max_pool(x, strides=2, padding="valid")
        x = conv(x, "Conv2d_3b_1x1", 80, 1)
        x = conv(x, "Conv2d_4a_3x3", 192, 3, padding="valid")
        x = max_pool(x, strides=2, padding="valid")
        for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
            x = block_a(x, f"Mixed_{name}", pooled)
        x = block_b(x, "Mixed_6a")
        for name, width in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            x = block_c(x, f"Mixed_{name}", width)
        x = block_d(x, "Mixed_7a")
        x = block_e(x, "Mixed_7b", mean_pool)
        x = block_e(x, "Mixed_7c", max_pool)
        x = layers.GlobalAveragePooling2D(dtype="float32", name="mean")(x)
        super().__init__(inputs=pictures, outputs=x, **kwargs)
        self.trainable = False

    def get_config(self):
        return {"name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)

    def load_state_dict(self, state, *, source="the state"):
        """Set the weights by the names that torchvision and pytorch-fid give them.

        Args:
            state: Dict from a name, such as "Mixed_5b.branch1x1.conv.weight", to an
                array, convolutions being `(out, in, height, width)`. The classifier's
                and counters of batches are passed over.
            source: What to call it in an error. Defaults to "the state".

        Raises:
            ValueError: where a name is missing, unknown, or has another shape.
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
            told = [
                f"{len(names)} {kind} (such as {names[0]})"
                for kind, names in (("missing", missing), ("unknown", unknown))
                if names
            ]
            raise ValueError(
                f"{source}: these are not the weights of FID's InceptionV3: "
                f"{', '.join(told)}. Give pytorch-fid's file."
            )
        values = []
        for name, variable in expected.items():
            value = np.asarray(state[name], np.float32)
            if value.ndim == 4:
                value = value.transpose(2, 3, 1, 0)  # out, in, h, w -> h, w, in, out
            if value.shape != tuple(variable.shape):
                raise ValueError(
                    f"{source}: {name} should be {tuple(variable.shape)} (its output "
                    f"channels last). Received: {value.shape}. Give pytorch-fid's file."
                )
            if not np.isfinite(value).all():
                raise ValueError(
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

    def features(self, pictures):
        """Features of a batch of pictures of one size.

        Args:
            pictures: uint8 RGB `(n, height, width, 3)`.

        Returns:
            NumPy float32 `(n, 2048)`.
        """
        x = self.predict_on_batch(resize(pictures) * np.float32(2) - np.float32(1))
        return np.asarray(ops.convert_to_numpy(x), np.float32)


def resize(pictures, side=SIDE):
    """Resize pictures as pytorch-fid does: bilinear, half-pixel centres, no filter.

    A picture that is made smaller is sampled, not averaged: so FID is defined.

    Args:
        pictures: uint8 `(n, height, width, channels)`.
        side: Height and width to make. Defaults to 299.

    Returns:
        float32 `(n, side, side, channels)`, unit scale.
    """
    x = np.asarray(pictures, np.float32) / np.float32(255)
    rows = interpolation_matrix(x.shape[1], side)
    columns = interpolation_matrix(x.shape[2], side)
    n, _, width, channels = x.shape
    x = (rows @ x.reshape(n, -1, width * channels)).reshape(n, side, width, channels)
    return columns @ x


@lru_cache(maxsize=16)
def interpolation_matrix(size, side=SIDE):
    """Matrix that resamples `size` values to `side` linearly, each row summing to 1.

    Pixels are areas, so that output i lies at (i + ½) · size / side − ½; beyond the
    first and the last centre the outermost value holds.

    Args:
        size: Number of values.
        side: Number of values to make. Defaults to 299.

    Returns:
        float32 `(side, size)`.
    """
    # Positions in float32, as torch computes them.
    scale = np.float32(size) / np.float32(side)
    at = scale * (np.arange(side, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    at = np.maximum(at, np.float32(0))
    low = at.astype(np.int64)
    share = at - low.astype(np.float32)
    matrix = np.zeros((side, size), np.float32)
    here = np.arange(side)
    np.add.at(matrix, (here, low), np.float32(1) - share)
    np.add.at(matrix, (here, np.minimum(low + 1, size - 1)), share)
    matrix.flags.writeable = False
    return matrix


FILE_NAME = "pt_inception-2015-12-05-6726825d.pth"
URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/" + FILE_NAME
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIZE = 95_628_359  # bytes


class WeightsError(ValueError):
    """InceptionV3's weights cannot be had: the message says why and what to do."""


def find_inception_weights(weights=None):
    """The file of weights, fetched if need be.

    Args:
        weights: Path of a file; `None` or "inception" for the published one: where
            torch keeps what pytorch-fid fetched, in the cache, or from the network.

    Returns:
        `Path`.

    Raises:
        WeightsError: where there is no such file, or nothing to be had from the
            network.
    """
    if weights not in (None, "inception"):
        path = Path(weights).expanduser()
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


def read_inception_weights(path):
    """Arrays of a file of weights, by the names of torchvision.

    Args:
        path: A `.pth`, `.npz` or `.safetensors`.

    Returns:
        Dict from name to array.

    Raises:
        WeightsError: where the file is broken, or no dict of arrays.
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


def advice():
    """What to do where there are no weights."""
    return (
        f"Give the path of {FILE_NAME} ({URL}), or measure by other features, which "
        'is no FID: features="pixels".'
    )


def _known_places():
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    torch = Path(os.environ.get("TORCH_HOME") or Path(cache, "torch"))
    yield cache_folder() / FILE_NAME
    yield torch / "hub" / "checkpoints" / FILE_NAME
    # torch-fidelity keeps the same bytes under another name.
    yield torch / "hub" / "checkpoints" / FILE_NAME.replace("pt_", "weights-")
