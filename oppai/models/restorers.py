"""The trainable mosaic-aware restorer."""

from pathlib import Path

import keras
import numpy as np
from keras import ops

from illustkit.images import (
    signed_to_uint8,
    signed_to_unit,
    uint8_to_signed,
)
from illustkit.training.runs import Run
from illustkit.training.trainable import Trainable
from oppai import losses, metrics
from oppai.data.mosaic_frames import (
    activity,
    bounds,
    frame_case,
    frame_round,
    mosaic_inputs,
    stack_inputs,
)
from oppai.models.pconv_unet import PConvUNet

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
        features: Frozen feature network (`oppai.models.vgg`), or `None`. It is not
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
        from oppai.models.pretrained import load_shipped

        return load_shipped()
    if isinstance(run, (str, Path)) and Path(run).suffix == ".keras":
        if not Path(run).is_file():
            raise ValueError(f"There is no file {run}: name a run folder or its file.")
        pass  # DROPPED  # noqa: F401  Keras has to know its classes.
        import oppai.models.mosaic_unet  # noqa: F401

        return keras.saving.load_model(run, compile=False)
    run = run if isinstance(run, Run) else Run(run)
    if not run.weights_path.exists():
        raise ValueError(
            f"{run.folder} has no {run.weights_path.name} yet: wait for the training's "
            "first epoch to end, or train again."
        )
    settings = run.settings
    if settings.get("model") == "mosaic":
        from oppai.models.mosaic_unet import MosaicUNet

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


PART_WEIGHTS = {"charbonnier": 1.0, "log_mse": 0.1}


@keras.saving.register_keras_serializable(package="oppai")
class MosaicRestorer(Trainable):
    """A network that sees the mosaic, its losses, and how it restores patches.

    It learns by two parts, both inside the hole and averaged a picture: the Charbonnier
    distance √(d² + 10⁻⁶), and log(mse + 4·10⁻⁵), whose mean is that of the PSNR but for
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
            "log_mse": ops.log(mse + 4e-5),
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
        holes = np.reshape(mask, (n, height, width)) < 255
        grids = [None] * n if grids is None else grids
        lost = [None] * n
        if missing is not None:
            lost = np.reshape(missing, (n, height, width))
        jobs = [
            (frame_round(bounds(hole) or (0, 0, 1, 1), grid), picture, hole, grid, part)
            for picture, hole, grid, part in zip(
                censored, holes, grids, lost, strict=True
            )
        ]
        result = censored.copy()
        for number, (job, frame) in enumerate(
            zip(jobs, self.restore_frames(jobs, batch_size), strict=True)
        ):
            (left, top, right, bottom), part = job[0].give(frame, (width, height))
            place = np.s_[number, top:bottom, left:right]
            result[place] = np.where(
                holes[place][..., None], signed_to_uint8(part), result[place]
            )
        return result

    def restore_frames(self, jobs, batch_size=4):
        """Predict what lies in frames, those of one size together.

        Each is predicted twice, as it is and mirrored, and the mean is taken; where
        nothing is drawn (`oppai.data.mosaic_frames`), the base.

        Args:
            jobs: List of `(frame, picture, hole, grid, missing)`, arguments of
                `oppai.data.mosaic_frames.frame_case`.
            batch_size: Frames of 256 pixels at once; of larger ones fewer.
                Defaults to 4.

        Returns:
            List of float32 `(height, width, 3)`, signed scale, of the frames' sizes.
        """
        sizes = {}
        for number, (frame, *_) in enumerate(jobs):
            sizes.setdefault(frame.size, []).append(number)
        results = [None] * len(jobs)
        for (width, height), numbers in sizes.items():
            # Memory is that of so many frames of 256 pixels.
            n = max(1, batch_size * 256**2 // (width * height) // 2)
            for start in range(0, len(numbers), n):
                chosen = numbers[start : start + n]
                seen = [frame_case(*jobs[i]) for i in chosen]
                inputs = [_inputs(*one) for one in seen]
                mirrored = [_inputs(*_mirrored(*one)) for one in seen]
                signed = self.predict_on_batch(stack_inputs(inputs + mirrored))
                pairs = np.split(np.asarray(signed, "float32"), 2)
                for i, given, (_, hole, _, lost), one, other in zip(
                    chosen, inputs, seen, *pairs, strict=True
                ):
                    mean, base = (one + other[:, ::-1]) / 2, given["base"]
                    change = activity(base, hole, lost)[..., None] * (mean - base)
                    results[i] = base + change
        return results

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


def _inputs(picture, hole, grid, missing):
    mask = np.where(hole, 0, 255).astype(np.uint8)
    return mosaic_inputs(picture, mask, grid, missing)


def _mirrored(picture, hole, grid, missing):
    grid = grid and grid.mirrored(hole.shape[1])
    arrays = [np.ascontiguousarray(a[:, ::-1]) for a in (picture, hole, missing)]
    return arrays[0], arrays[1], grid, arrays[2]
