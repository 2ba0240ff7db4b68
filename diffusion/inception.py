"""The InceptionV3 whose features FID is measured with, and the resizing before it.

It is the network of 2015 that the first FID was made with, as pytorch-fid has it. It
differs from `keras.applications.InceptionV3` in its weights, in a factor (gamma) in
every batch normalisation, and in the last block, whose pooling branch takes the
greatest value where the others take the mean.

Reference:
    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2015);
    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
    Nash Equilibrium" (2017); https://github.com/mseitzer/pytorch-fid.
"""

from functools import lru_cache

import keras
import numpy as np
from keras import layers, ops

from diffusion import _inception_blocks as blocks
from diffusion.inception_weights import find_inception_weights, read_inception_weights

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
        x = blocks.conv(x, "Conv2d_1a_3x3", 32, 3, strides=2, padding="valid")
        x = blocks.conv(x, "Conv2d_2a_3x3", 32, 3, padding="valid")
        x = blocks.conv(x, "Conv2d_2b_3x3", 64, 3)
        x = blocks.max_pool(x, strides=2, padding="valid")
        x = blocks.conv(x, "Conv2d_3b_1x1", 80, 1)
        x = blocks.conv(x, "Conv2d_4a_3x3", 192, 3, padding="valid")
        x = blocks.max_pool(x, strides=2, padding="valid")
        for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
            x = blocks.block_a(x, f"Mixed_{name}", pooled)
        x = blocks.block_b(x, "Mixed_6a")
        for name, width in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            x = blocks.block_c(x, f"Mixed_{name}", width)
        x = blocks.block_d(x, "Mixed_7a")
        x = blocks.block_e(x, "Mixed_7b", blocks.mean_pool)
        x = blocks.block_e(x, "Mixed_7c", blocks.max_pool)
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
