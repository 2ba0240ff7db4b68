"""The trainable restorer: a network, the losses it learns by, and how it is loaded."""

from pathlib import Path

import keras
import numpy as np
from keras import ops

from illustkit.images import (
    signed_to_uint8,
    signed_to_unit,
    uint8_to_signed,
)
from illustkit.runs import Run
from illustkit.trainable import Trainable
from oppai import losses, metrics
from oppai.unet import PConvUNet

MONITORS = ("psnr", "ssim")


@keras.saving.register_keras_serializable(package="oppai")
class Restorer(Trainable):
    """A restoration network that trains on censored patches and restores them.

    It takes what the batches hold, `(censored, mask)` as uint8, which moves four times
    fewer bytes than floats, and returns the picture on the signed scale. Every pixel
    whose mask is under 255 counts as hole. `psnr` and `ssim` are those of the composite
    (truth outside, prediction inside the hole), measured inside the hole.

    Example:
    ```python
    restorer = Restorer(PConvUNet(64, widths=(16, 32), ...), losses.BOOK_WEIGHTS)
    restorer.compile(keras.optimizers.RMSprop(1e-4))
    restorer.fit(batches, shuffle=False)
    pictures = restorer.restore_patches(censored, mask)
    ```

    Args:
        network: A model from `[picture, mask]` to a picture, signed scale.
        term_weights: Dict from a loss term's name to its weight; see `oppai.losses`.
            Without `features`, the terms that need them have to be left out.
        features: Frozen feature network (`oppai.features`), or `None`. It is not
            saved with the model. Defaults to `None`.
        blend: Share of the prediction in what `oppai.restore` pastes; the rest is the
            censored picture. Defaults to 0.5, the chapter's.
        minimum: Smallest side, in pixels, of the squares that were cut from the
            pictures to train on; `oppai.restore` cuts alike. Defaults to 256.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: `(censored, mask)`: uint8 `(batch, height, width, 3)` and
            `(batch, height, width, 1)`.

    Returns:
        The picture, signed scale, `(batch, height, width, 3)`.

    Raises:
        ValueError: where a term needs features and none are given.

    Reference:
        Liu et al., "Image Inpainting for Irregular Holes Using Partial Convolutions"
        (2018), section 3.3; the chapter, equation (2).
    """

    def __init__(
        self,
        network,
        term_weights,
        *,
        features=None,
        blend=0.5,
        minimum=256,
        **kwargs,
    ):
        needing = set(losses.FEATURE_TERMS) & set(term_weights)
        if needing and features is None:
            raise ValueError(
                f"The terms {sorted(needing)} need `features`, the VGG16 taps. "
                "Received: features=None"
            )
        if not 0 <= blend <= 1:
            raise ValueError(f"`blend` is a share from 0 to 1. Received: {blend}")
        super().__init__(term_weights, monitors=MONITORS, **kwargs)
        self.network = network
        self.features = features
        self.blend = float(blend)
        self.minimum = int(minimum)
        self.built = True

    @property
    def image_size(self):
        """Side of the patches that the network was trained on, in pixels."""
        return self.network.image_size

    def call(self, inputs, training=False):
        censored, mask = inputs
        valid = ops.cast(ops.equal(mask, 255), "float32")
        return self.network([uint8_to_signed(censored), valid], training=training)

    def parts(self, x, y, y_pred, training):
        truth, prediction = uint8_to_signed(y), ops.cast(y_pred, "float32")
        mask = ops.cast(ops.equal(x[1], 255), "float32")
        terms = losses.loss_terms(truth, prediction, mask, features=self.features)
        terms = {name: terms[name] for name in self.part_weights}
        if training:
            return terms
        completed = losses.composite(truth, ops.stop_gradient(prediction), mask)
        pictures = signed_to_unit(truth), signed_to_unit(completed)
        terms["psnr"] = metrics.psnr_in_hole(*pictures, mask)
        terms["ssim"] = metrics.ssim_in_hole(*pictures, mask)
        return terms

    def restore_patches(self, censored, mask, batch_size=8):
        """Predict whole patches, the raw output of the network.

        Args:
            censored: uint8 `(n, height, width, 3)`.
            mask: uint8 `(n, height, width, 1)`; under 255 is hole.
            batch_size: Patches at once; the last batch is padded to it, so that
                nothing is compiled twice. Defaults to 8.

        Returns:
            uint8 `(n, height, width, 3)`.
        """
        pictures = []
        batch_size = min(batch_size, len(censored))
        for start in range(0, len(censored), batch_size):
            part = (
                censored[start : start + batch_size],
                mask[start : start + batch_size],
            )
            n = len(part[0])
            part = [
                np.concatenate([p, np.repeat(p[-1:], batch_size - n, axis=0)])
                for p in part
            ]
            signed = self.predict_on_batch(tuple(part))
            pictures.append(signed_to_uint8(np.asarray(signed, "float32"))[:n])
        return np.concatenate(pictures)

    def get_config(self):
        config = super().get_config()
        config.update(
            network=keras.saving.serialize_keras_object(self.network),
            term_weights={
                k: w
                for k, w in self.part_weights.items()
                if k not in losses.FEATURE_TERMS
            },
            blend=self.blend,
            minimum=self.minimum,
        )
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        return cls(network, config.pop("term_weights"), **config)


def load_restorer(run):
    """Load a trained restorer, ready for `oppai.restore`.

    Example:
    ```python
    restorer = oppai.load_restorer("default")  # the package's own, nothing to train
    restorer = oppai.load_restorer("runs/first")
    restored = oppai.restore("a.png", boxes=[(60, 80, 160, 190)], restorer=restorer)
    ```

    Args:
        run: "default", for the restorer that comes with the package. Or a run folder
            (its path, or the `Run` that `oppai.train` or `train_mosaic` returned),
            whose best weights are taken; or the path of a `.keras` file.

    Returns:
        A `Restorer`, which holds no VGG16: it restores, and trains on without those
        terms. Of the package and of `train_mosaic`, a `MosaicRestorer`.

    Raises:
        ValueError: where there is no run, or no weights in it.
    """
    if str(run) == "default":
        from oppai.shipped import load_shipped

        return load_shipped()
    if isinstance(run, (str, Path)) and Path(run).suffix == ".keras":
        if not Path(run).is_file():
            raise ValueError(f"There is no file {run}: name a run folder or its file.")
        import oppai.mosaic_restorer  # noqa: F401  Keras has to know its classes.
        import oppai.mosaic_unet  # noqa: F401

        return keras.saving.load_model(run, compile=False)
    run = run if isinstance(run, Run) else Run(run)
    if not run.weights_path.exists():
        raise ValueError(
            f"{run.folder} has no {run.weights_path.name} yet: wait for the training's "
            "first epoch to end, or train again."
        )
    settings = run.settings
    if settings.get("model") == "mosaic":
        from oppai.mosaic_restorer import MosaicRestorer
        from oppai.mosaic_unet import MosaicUNet

        restorer = MosaicRestorer(MosaicUNet(**settings["network"]))
    else:
        restorer = Restorer(
            PConvUNet(**settings["network"]),
            {"valid": 1.0, "hole": 1.0},
            blend=settings["blend"],
            minimum=settings["minimum"],
        )
    try:
        restorer.load_weights(run.weights_path)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{run.weights_path} does not hold this run's weights ({reason}): "
            "train again, or take another run."
        ) from error
    return restorer
