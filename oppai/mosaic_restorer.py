"""The trainable mosaic-aware restorer."""

import keras
import numpy as np
from keras import ops

from illustkit.images import signed_to_uint8, signed_to_unit, uint8_to_signed
from illustkit.trainable import Trainable
from oppai import losses, metrics
from oppai.mosaic_inputs import mosaic_inputs, stack_inputs

MONITORS = ("psnr", "ssim")
PART_WEIGHTS = {"charbonnier": 1.0, "log_mse": 0.1}


@keras.saving.register_keras_serializable(package="oppai")
class MosaicRestorer(Trainable):
    """A network that sees the mosaic, its losses, and how it restores patches.

    It learns by two parts, both inside the hole and averaged a picture: the Charbonnier
    distance √(d² + 10⁻⁶), and log(mse + 2·10⁻⁴), whose mean is that of the PSNR but for
    a factor. Both are on the signed scale.

    Example:
    ```python
    restorer = MosaicRestorer(MosaicUNet())
    restorer.compile(keras.optimizers.Adam(6e-4))
    restorer.fit(batches, shuffle=False)
    pictures = restorer.restore_patches(censored, mask, [Grid((8, 8))])
    ```

    Args:
        network: An `oppai.MosaicUNet`.
        part_weights: Dict from a part's name to its weight in the loss.
            Defaults to `{"charbonnier": 1.0, "log_mse": 0.1}`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: As of `MosaicUNet`.

    Returns:
        The picture, signed scale, `(batch, height, width, 3)`.

    Reference:
        Charbonnier et al., "Two deterministic half-quadratic regularization algorithms
        for computed imaging" (1994); Chen et al., "HINet: Half Instance Normalization
        Network for Image Restoration" (2021), which learns by the PSNR.
    """

    def __init__(self, network, part_weights=None, **kwargs):
        super().__init__(part_weights or PART_WEIGHTS, monitors=MONITORS, **kwargs)
        self.network = network
        self.blend = 1.0
        self.built = True

    def call(self, inputs, training=False):
        return self.network(inputs, training=training)

    def parts(self, x, y, y_pred, training):
        truth, prediction = uint8_to_signed(y), ops.cast(y_pred, "float32")
        hole = x["hints"][..., :1]
        count = 3 * ops.maximum(ops.sum(hole, (1, 2, 3)), 1)
        error = hole * (prediction - truth)
        mse = ops.sum(error**2, (1, 2, 3)) / count
        distance = hole * ops.sqrt(error**2 + 1e-6)
        parts = {
            "charbonnier": ops.sum(distance, (1, 2, 3)) / count,
            "log_mse": ops.log(mse + 2e-4),
        }
        if training:
            return parts
        completed = losses.composite(truth, ops.clip(prediction, -1, 1), 1 - hole)
        pictures = signed_to_unit(truth), signed_to_unit(completed)
        parts["psnr"] = metrics.psnr_in_hole(*pictures, 1 - hole)
        parts["ssim"] = metrics.ssim_in_hole(*pictures, 1 - hole)
        return parts

    def restore_patches(
        self, censored, mask, grids=None, *, missing=None, batch_size=4
    ):
        """Predict the censored parts of patches.

        Args:
            censored: uint8 `(n, height, width, 3)`.
            mask: uint8 `(n, height, width, 1)` or `(n, height, width)`; under 255 is
                hole.
            grids: List of the mosaics' `Grid`s; `None` in it, or for it, where content
                is missing. Defaults to `None`.
            missing: bool, as `mask`: what of the holes shows no mosaic, where only a
                part of them does not. Defaults to `None`.
            batch_size: Patches at once. Defaults to 4.

        Returns:
            uint8 `(n, height, width, 3)`; outside the hole the censored picture.
        """
        n, height, width = censored.shape[:3]
        mask = np.reshape(mask, (n, height, width))
        grids = [None] * n if grids is None else grids
        if missing is None:
            missing = [None] * n
        else:
            missing = np.reshape(missing, (n, height, width))
        size = min(batch_size, n)
        pictures = []
        for start in range(0, n, size):
            chosen = np.minimum(np.arange(start, start + size), n - 1)
            inputs = stack_inputs(
                [
                    mosaic_inputs(censored[i], mask[i], grids[i], missing[i])
                    for i in chosen
                ]
            )
            signed = np.asarray(self.predict_on_batch(inputs), "float32")
            pictures.append(signed_to_uint8(signed)[: n - start])
        hole = (mask < 255)[..., None]
        return np.where(hole, np.concatenate(pictures), censored)

    def get_config(self):
        config = super().get_config()
        config["network"] = keras.saving.serialize_keras_object(self.network)
        config["part_weights"] = self.part_weights
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        return cls(network, config.pop("part_weights"), **config)
