"""The trainable restorers, and what they have in common."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from illustkit import progress
from illustkit.errors import UserError
from illustkit.images import signed_to_unit, uint8_to_signed
from illustkit.training.runs import RunKind
from illustkit.training.trainable import Trainable
from oppai import losses, metrics
from oppai.models.base_restorer import BaseRestorer as BaseRestorer
from oppai.models.base_restorer import PredictsMosaics, by_size
from oppai.models.pconv_unet import PConvUNet
from oppai.models.prediction import AnySize

MONITORS = ("psnr", "ssim")
WEIGHT_SETS = {
    "book": losses.BOOK_WEIGHTS,
    "paper": losses.PAPER_WEIGHTS,
    "pix2pix": losses.PIX2PIX_WEIGHTS,
}
_NOT_SAVED = "not saved"  # the features of a restorer that is loaded
RESTORER = RunKind("restorer", frozenset({"blend", "minimum"}))
MOSAIC_RESTORER = RunKind("mosaic restorer", frozenset({"patch", "samples"}))


class KerasRestorer(BaseRestorer, Trainable):
    """A restorer that Keras trains."""

    def predict(self, picture, hole=None, grid=None, missing=None, **kwargs):
        """Predict one picture, as `BaseRestorer.predict`; without `hole`, as Keras."""
        if hole is None:
            return Trainable.predict(self, picture, **kwargs)
        return BaseRestorer.predict(self, picture, hole, grid, missing)


@keras.saving.register_keras_serializable(package="oppai")
class Restorer(KerasRestorer):
    """A restoration network that trains on censored patches and restores them.

    As a Keras model it takes the batches' `(censored, mask)` as uint8, which moves four
    times fewer bytes than floats, with 255 = valid; every pixel under 255 counts as
    hole. It returns the picture on the signed scale. `psnr` and `ssim` are those of the
    composite (truth outside, prediction inside the hole), measured inside the hole.

    Example:
    ```python
    network = PConvUNet(64, widths=(16, 32), strides=(1, 2), kernels=(3, 3))
    restorer = Restorer(network, {"valid": 1.0, "hole": 6.0})
    restorer.compile(keras.optimizers.RMSprop(1e-4))
    restorer.fit(batches, shuffle=False)
    pictures = restorer.restore_patches(censored, mask)
    ```

    Args:
        network: A model from `[picture, mask]` to a picture, signed scale.
        term_weights: Dict from a loss term's name to its weight; see `oppai.losses`.
            "l1" is the sum of "valid" and "hole", L1 over the whole picture. Without
            `features`, the terms that need them have to be left out.
        features: Frozen feature network (`oppai.models.vgg`), or `None`. It is not
            saved with the model: set the attribute to train a loaded restorer on.
            Defaults to `None`.
        blend: Weight of the prediction in what `oppai.restore` returns; the rest is the
            censored picture. Defaults to 0.5, the chapter's.
        minimum: Smallest side, in pixels, of the squares that were cut from the
            pictures to train on; `oppai.restore` cuts alike. Defaults to 256.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: `(censored, mask)`: uint8 `(batch, height, width, 3)` and
            `(batch, height, width, 1)`, 255 = valid.

    Returns:
        The picture, signed scale, `(batch, height, width, 3)`.

    Raises:
        UserError: If a term needs features and none are given; after loading, at `fit`.

    Reference:
        Liu et al., "Image Inpainting for Irregular Holes Using Partial Convolutions"
        (2018), section 3.3; the chapter, equation (2).
    """

    def __init__(
        self,
        network: keras.Model,
        term_weights: Mapping[str, float],
        *,
        features: Any = None,
        blend: float = 0.5,
        minimum: int = 256,
        **kwargs: Any,
    ) -> None:
        if features is None:
            _check_features(term_weights)
        if not 0 <= blend <= 1:
            raise UserError(f"`blend` is a weight from 0 to 1. Received: {blend}")
        super().__init__(term_weights, monitors=MONITORS, **kwargs)
        self.network = network
        self.features = None if features is _NOT_SAVED else features
        self.blend = float(blend)
        self.minimum = int(minimum)
        self.built = True

    @property
    def image_size(self):  # type: ignore[override]
        """Side of the patches that the network was trained on, in pixels."""
        return self.network.image_size

    @property
    def divisor(self):  # type: ignore[override]
        """Number by which the sides of a picture are divisible."""
        return self.network.divisor

    def call(self, inputs, training=False):
        censored, mask = inputs
        valid = ops.cast(ops.equal(mask, 255), "float32")
        return self.network([uint8_to_signed(censored), valid], training=training)

    def terms(self, x, y, y_pred, training):
        truth, prediction = uint8_to_signed(y), ops.cast(y_pred, "float32")
        mask = ops.cast(ops.equal(x[1], 255), "float32")
        if self.features is None:
            _check_features(self.term_weights)
        terms = losses.loss_terms(truth, prediction, mask, features=self.features)
        terms["l1"] = terms["valid"] + terms["hole"]
        terms = {name: terms[name] for name in self.term_weights}
        if training:
            return terms
        completed = losses.composite(truth, ops.stop_gradient(prediction), mask)
        pictures = signed_to_unit(truth), signed_to_unit(completed)
        terms["psnr"] = metrics.psnr_in_hole(*pictures, mask)
        terms["ssim"] = metrics.ssim_in_hole(*pictures, mask)
        return terms

    def predict_all(self, cases, batch_size=8):
        results: list = [None] * len(cases)
        for numbers in by_size(cases):
            # The last batch is padded, so that nothing is compiled twice.
            n = min(batch_size, len(numbers))
            for start in range(0, len(numbers), n):
                chosen = numbers[start : start + n]
                padded = [cases[i] for i in (chosen + chosen[-1:] * n)[:n]]
                censored = np.stack([case.picture for case in padded])
                valid = [np.where(case.hole, 0, 255).astype("uint8") for case in padded]
                signed = self.predict_on_batch((censored, np.stack(valid)[..., None]))
                signed = np.clip(np.asarray(signed, "float32"), -1, 1)
                for i, picture in zip(chosen, signed, strict=False):
                    results[i] = picture
                progress.advance(len(chosen))
        return results

    def get_config(self):
        config = super().get_config()
        config.update(
            network=keras.saving.serialize_keras_object(self.network),
            term_weights=self.term_weights,
            blend=self.blend,
            minimum=self.minimum,
        )
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        weights = config.pop("term_weights")
        return cls(network, weights, features=_NOT_SAVED, **config)


def _check_features(term_weights):
    if needing := sorted(set(losses.FEATURE_TERMS) & set(term_weights)):
        raise UserError(
            f"The loss terms {', '.join(needing)} need VGG16, which no restorer "
            "holds once it is saved: set `features` to what load_vgg_features (of "
            "oppai.models.vgg) returns, or leave these terms out. Received: "
            "features=None"
        )


def build_restorer(settings: Mapping[str, Any]) -> Restorer:
    """Build the untrained restorer of a run of `oppai.train`, without VGG16.

    Args:
        settings: Dict, as `Run.settings`.

    Returns:
        A `Restorer` with the loss terms of the run. `fit` needs its `features` to be
        set if the run was trained with VGG16.
    """
    weights = dict(WEIGHT_SETS[settings.get("losses", "book")])
    if settings.get("vgg_weights") is None:
        weights = {k: w for k, w in weights.items() if k not in losses.FEATURE_TERMS}
    return Restorer(
        PConvUNet(**settings["network"]),
        weights,
        features=_NOT_SAVED,
        blend=settings["blend"],
        minimum=settings["minimum"],
    )


@keras.saving.register_keras_serializable(package="oppai")
class MosaicRestorer(PredictsMosaics, KerasRestorer):
    """A network that sees the mosaic, its losses, and how it restores patches.

    Its loss has two terms, both inside the hole and averaged per picture: the
    Charbonnier distance √(d² + 10⁻⁶), and log(mse + 4·10⁻⁵), whose mean is that of the
    PSNR but for a factor. Both are on the signed scale. A third term, "perceptual", is
    L1 between VGG16's features of the restored picture (truth around the hole) and of
    the truth, summed over the taps; it needs `features`. On VGG16's scale it is
    hundreds of times larger than the others.

    Example:
    ```python
    restorer = MosaicRestorer(MosaicUNet())
    restorer.compile(keras.optimizers.Adam(6e-4))
    restorer.fit(batches, shuffle=False)
    pictures = restorer.restore_patches(censored, mask, [Grid((8, 8))])
    ```

    Args:
        network: An `oppai.MosaicUNet`.
        term_weights: Dict from a loss term's name to its weight.
            Defaults to `{"charbonnier": 1.0, "log_mse": 0.1}`.
        features: As in `Restorer`. Defaults to `None`.
        passes: 1 to predict each picture as it is, 2 to predict it mirrored as well and
            to take the mean. Defaults to 2.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: As in `MosaicUNet`.

    Returns:
        The picture, signed scale, `(batch, height, width, 3)`.

    Raises:
        UserError: If "perceptual" is a term and no features are given; after loading,
            at `fit`.

    Reference:
        Charbonnier et al., "Two deterministic half-quadratic regularization algorithms
        for computed imaging" (1994); Chen et al., "HINet: Half Instance Normalization
        Network for Image Restoration" (2021), which learns by the PSNR.
    """

    def __init__(
        self,
        network: keras.Model,
        term_weights: Mapping[str, float] | None = None,
        *,
        features: Any = None,
        passes: int = 2,
        **kwargs: Any,
    ) -> None:
        if passes not in (1, 2):
            raise UserError(f"`passes` is 1 or 2. Received: {passes}")
        weights = term_weights or {"charbonnier": 1.0, "log_mse": 0.1}
        if features is None:
            _check_features(weights)
        # The base and the grid keep float32 where the network computes in bfloat16.
        kwargs = {"autocast": False, **kwargs}
        super().__init__(weights, monitors=MONITORS, **kwargs)
        self.network = network
        self.features = None if features is _NOT_SAVED else features
        self.passes = passes
        self._predict: AnySize | None = None
        self.built = True

    @property
    def divisor(self):  # type: ignore[override]
        """Number by which the sides of a picture are divisible."""
        return self.network.divisor

    def call(self, inputs, training=False):
        return self.network(inputs, training=training)

    def terms(self, x, y, y_pred, training):
        truth, prediction = uint8_to_signed(y), ops.cast(y_pred, "float32")
        hole = x["hole"]
        count = 3 * ops.maximum(ops.sum(hole, (1, 2, 3)), 1)
        error = hole * (prediction - truth)
        mse = ops.sum(error**2, (1, 2, 3)) / count
        distance = hole * ops.sqrt(error**2 + 1e-6)
        terms = {
            "charbonnier": ops.sum(distance, (1, 2, 3)) / count,
            "log_mse": ops.log(mse + 4e-5),
        }
        if "perceptual" in self.term_weights:
            terms["perceptual"] = self._perceptual(truth, prediction, 1 - hole)
        terms = {name: terms[name] for name in self.term_weights}
        if training:
            return terms
        completed = losses.composite(truth, ops.clip(prediction, -1, 1), 1 - hole)
        pictures = signed_to_unit(truth), signed_to_unit(completed)
        terms["psnr"] = metrics.psnr_in_hole(*pictures, 1 - hole)
        terms["ssim"] = metrics.ssim_in_hole(*pictures, 1 - hole)
        return terms

    def _perceptual(self, truth, prediction, mask):
        if self.features is None:
            _check_features(self.term_weights)
        of_truth = self.features(truth)
        restored = self.features(losses.composite(truth, prediction, mask))
        # Outside the hole nothing is predicted: the composite stands for both.
        return losses.perceptual_loss(of_truth, restored, restored) / 2

    def predict_inputs(self, inputs):
        if self._predict is None or self._predict.network is not self.network:
            self._predict = AnySize(self.network)
        return self._predict(inputs)

    def get_config(self):
        config = super().get_config()
        config["network"] = keras.saving.serialize_keras_object(self.network)
        config["term_weights"] = self.term_weights
        config["passes"] = self.passes
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        # Files of version 0.1 call them parts.
        weights = config.pop("part_weights", None) or config.pop("term_weights")
        return cls(network, weights, features=_NOT_SAVED, **config)
