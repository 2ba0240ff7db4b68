"""TransferNet: a learnt backbone's features, their statistics by cell, and a head."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from facescore.efficientnet_lite import build_features
from facescore.scorer.networks.backbones import LITE0, build_stages
from facescore.scorer.networks.base import (
    ImageSize,
    ScoringNetwork,
    check_size,
    score_layer,
)
from illustkit.options import check_number
from illustkit.training.dropout import Dropout

REACH = 0.2  # of the covariance of places, as a fraction of a picture's side


@keras.saving.register_keras_serializable(package="facescore")
class CellStatistics(layers.Layer):
    """Computes the mean and the standard deviation of each channel in cells of a grid.

    Cells overlap by a pixel where a side is no multiple of `grid`. The standard
    deviation is `sqrt(variance + 1e-6)`, whose derivative is finite; both are computed
    in float32.

    Example:
    ```python
    CellStatistics(5)(np.zeros((1, 20, 10, 24))).shape   # (1, 5, 5, 48)
    ```

    Args:
        grid: Cells of a side, fewer on a shorter side. Defaults to 5.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: `(batch, height, width, channels)`.

    Returns:
        `(batch, cells, cells, 2 * channels)`: the means, then the deviations.

    Raises:
        UserError: If `grid` is no whole number over 0.
    """

    def __init__(self, grid: int = 5, **kwargs: Any) -> None:
        check_number("grid", grid, whole=True, least=1)
        super().__init__(**kwargs)
        self.grid = int(grid)

    def call(self, x):
        values = ops.cast(x, "float32")
        cell = tuple(-(-side // self.grid) for side in x.shape[1:3])
        steps = tuple(max(1, side // self.grid) for side in x.shape[1:3])

        def pooled(v):
            v = ops.average_pool(v, cell, steps, padding="valid")
            return v[:, : self.grid, : self.grid]

        mean, squares = pooled(values), pooled(ops.square(values))
        deviation = ops.sqrt(ops.relu(squares - ops.square(mean)) + 1e-6)
        return ops.cast(ops.concatenate([mean, deviation], axis=-1), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        cells = min(self.grid, height), min(self.grid, width)
        return batch, *cells, 2 * channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "grid": self.grid}


@keras.saving.register_keras_serializable(package="facescore")
class TransferNet(ScoringNetwork):
    """Features that learnt ImageNet in the cells of a grid, and one linear layer.

    The mean and the deviation of EfficientNet-Lite0's features at strides 2, 4, 8 and
    16 in 5×5 cells tell the layer of colours and lines, and where they are. Of another
    backbone they are those at strides 8, 16 and 32 in 2×2 cells. Batch normalisation
    keeps ImageNet's statistics: fifty crops have none worth learning.
    `facescore.scorer.transfer.begin_with_features` gives it its weights.

    Example:
    ```python
    TransferNet(160)(pictures)   # signed scale (2, 160, 160, 3) -> (2, 1)
    ```

    Args:
        image_size: Side in pixels, or (width, height), multiples of 80. Defaults to
            160.
        dropout: Fraction of the features that training drops. Defaults to 0.3.
        backbone: "EfficientNetLite0", or the name of a network of `keras.applications`,
            such as "MobileNetV2". Defaults to "EfficientNetLite0".
        dtype: See `AlexNet`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        picture: RGB, signed scale, `(batch, height, width, 3)`.

    Returns:
        float32 `(batch, 1)`.

    Raises:
        UserError: If a side is not a multiple of 80, or the backbone is unknown.

    Reference:
        Tan and Le, "EfficientNet" (2019); the article, years 2 and 3, whose AlexNet
        began with learnt weights.
    """

    sides = 80, 80  # of a picture: the least, and what they are multiples of

    def __init__(
        self,
        image_size: ImageSize = 160,
        dropout: float = 0.3,
        backbone: str = LITE0,
        *,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        width, height = check_size(image_size, *self.sides)
        picture = keras.Input((height, width, 3), name="picture")
        if backbone == LITE0:
            found = build_features(picture, dtype=dtype)
            grid, end = 5, found[16]
            stages = [found[stride] for stride in (2, 4, 8, 16)]
        else:  # of a thousand channels and more
            grid = 2
            stages, end = build_stages(backbone, picture, dtype=dtype)
        cells = [
            CellStatistics(grid, dtype=dtype, name=f"cells{i}")(stage)
            for i, stage in enumerate(stages)
        ]
        x = layers.Concatenate(dtype=dtype, name="cells")(cells)
        x = layers.Flatten(dtype=dtype, name="features")(x)
        x = Dropout(dropout, dtype=dtype, name="drop")(x)
        arguments = {
            "image_size": (width, height),
            "dropout": dropout,
            "backbone": backbone,
        }
        super().__init__(picture, score_layer(x), dtype, arguments, **kwargs)
        self.backbone_end = end
        for layer in self.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.trainable = False

    @property
    def feature_blocks(self) -> np.ndarray:
        """The block of each of the last layer's features, for `ridge`.

        The means of a stride are a block, and the deviations are one.
        """
        widths = [part.shape[-1] // 2 for part in self.get_layer("cells").input]
        channels = np.repeat(np.arange(2 * len(widths)), np.repeat(widths, 2))
        places = np.prod(self.get_layer("cells").output.shape[1:3])
        return np.tile(channels, places)

    @property
    def place_covariance(self) -> np.ndarray:
        """The covariance of the last layer's weights at two cells, for `ridge`.

        It is a Gaussian of their distance with a deviation of a fifth of the picture's
        side: what is liked in one cell is liked a little beside it.
        """
        sides = self.get_layer("cells").output.shape[1:3]
        middles = [(np.arange(side) + 0.5) / side for side in sides]
        at = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 2)
        squares = ((at[:, None] - at) ** 2).sum(axis=-1)
        return np.exp(-squares / (2 * REACH**2))
