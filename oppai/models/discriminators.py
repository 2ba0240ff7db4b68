"""The discriminator of pix2pix, and restorers that train against one."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from illustkit.errors import UserError
from illustkit.images import uint8_to_signed
from illustkit.training.adversarial import Adversarial, SpectralConv2D
from illustkit.training.trainable import replicas_in_sync
from oppai.layers import one_of
from oppai.losses import composite
from oppai.models.restorers import KerasRestorer, build_restorer

NORMS = ("batch", "none")


@keras.saving.register_keras_serializable(package="oppai")
class PatchGAN(keras.Model):
    """The discriminator of pix2pix, which judges every patch of a picture.

    The layers are C64-C128-C256-C512 and a convolution to one logit for each patch, all
    4×4 with a padding of one pixel. All but the last two have a stride of 2. BatchNorm
    comes between a convolution and its leaky ReLU, but not after the first. With six
    channels, a condition and a picture, it has 2,768,705 trainable weights.

    Example:
    ```python
    discriminator = PatchGAN()
    pair = np.random.uniform(-1, 1, (1, 64, 64, 6)).astype("float32")
    discriminator(pair).shape  # (1, 6, 6, 1)
    ```

    Args:
        channels: Channels of the input. Defaults to 6.
        filters: Filters of the first convolution. Defaults to 64.
        n_layers: Convolutions of stride 2. One logit sees 16×16 pixels with 1, 34×34
            with 2, 70×70 with 3, and 142×142 with 4. Defaults to 3.
        norm: "batch", or "none", where each convolution has a bias instead. Defaults to
            `"batch"`.
        spectral_norm: Whether each kernel is divided by its largest singular value; see
            `illustkit.training.adversarial.SpectralConv2D`. Defaults to `False`.
        slope: Of the leaky ReLU. Defaults to 0.2.
        synchronized: Share BatchNorm's statistics between replicas (TensorFlow only).
            Defaults to `None`: where a strategy has several.
        dtype: Dtype policy of all layers; the logits are float32. Defaults to `None`,
            the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: `(batch, height, width, channels)`, signed scale; height and width are
            at least `3 · 2 ** n_layers`.

    Returns:
        Logits, float32 `(batch, rows, columns, 1)`, `rows = height // 2 ** n_layers -
        2`.

    Raises:
        UserError: If an argument is wrong or a picture is too small.

    Reference:
        Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks"
        (2017), section 3.2.2 and appendix 6.1.2; the padding is that of its code.
    """

    def __init__(
        self,
        channels: int = 6,
        *,
        filters: int = 64,
        n_layers: int = 3,
        norm: str = "batch",
        spectral_norm: bool = False,
        slope: float = 0.2,
        synchronized: bool | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        one_of(norm, "norm", NORMS)
        if n_layers < 1:
            raise UserError(f"`n_layers` must be at least 1. Received: {n_layers}")
        if synchronized is None:
            synchronized = replicas_in_sync() > 1
        normal = keras.initializers.RandomNormal
        convolution = SpectralConv2D if spectral_norm else layers.Conv2D
        inputs = x = keras.Input((None, None, channels), name="inputs")
        widths = [filters * min(2**i, 8) for i in range(n_layers + 1)]
        for i, width in enumerate([*widths, 1]):
            normalised = norm == "batch" and 0 < i <= n_layers
            # "same" pads an even kernel of stride 2 on one side alone.
            x = layers.ZeroPadding2D(1, dtype=dtype, name=f"pad_{i}")(x)
            x = convolution(
                width,
                4,
                strides=2 if i < n_layers else 1,
                use_bias=not normalised,
                kernel_initializer=normal(stddev=0.02),
                dtype=dtype,
                name="logits" if i > n_layers else f"convolution_{i}",
            )(x)
            if i > n_layers:
                break
            if normalised:
                x = layers.BatchNormalization(
                    momentum=0.9,
                    epsilon=1e-5,
                    gamma_initializer=normal(1.0, 0.02),
                    synchronized=synchronized,
                    dtype=dtype,
                    name=f"batchnorm_{i}",
                )(x)
            x = layers.LeakyReLU(slope, dtype=dtype, name=f"leaky_{i}")(x)
        logits = layers.Activation("linear", dtype="float32", name="float32")(x)
        super().__init__(inputs=inputs, outputs=logits, **kwargs)
        self.dtype_policy = keras.dtype_policies.get(
            dtype or keras.config.dtype_policy()
        )
        self.channels, self.filters, self.n_layers = channels, filters, n_layers
        self.norm, self.spectral_norm, self.slope = norm, spectral_norm, slope
        self.synchronized = synchronized
        self._own_dtype = None if dtype is None else self.dtype_policy.name

    @property
    def smallest(self) -> int:
        """Side of the smallest picture that it judges, in pixels."""
        return 3 * 2**self.n_layers

    def call(self, inputs, training=None, mask=None):
        for side in inputs.shape[1:3]:
            if side is not None and side < self.smallest:
                raise UserError(
                    f"PatchGAN with n_layers={self.n_layers} judges pictures of "
                    f"{self.smallest} pixels or more: take fewer. Received: {side}"
                )
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "channels": self.channels,
            "filters": self.filters,
            "n_layers": self.n_layers,
            "norm": self.norm,
            "spectral_norm": self.spectral_norm,
            "slope": self.slope,
            "synchronized": self.synchronized,
            "dtype": self._own_dtype,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="oppai")
class AdversarialRestorer(Adversarial):
    """Train a restorer against a discriminator that sees the censored picture, too.

    A `Restorer` is judged by its whole prediction, beside the censored picture. A
    `MosaicRestorer` is judged by its prediction in the hole and the truth around it,
    beside the base (the enlarged block means): its prediction is undefined elsewhere.

    Example:
    ```python
    weights = {"charbonnier": 1.0, "log_mse": 0.1, "perceptual": 0.002}
    features = load_vgg_features("package")
    restorer = MosaicRestorer(MosaicUNet(), weights, features=features)
    judge = PatchGAN(norm="none", spectral_norm=True)
    model = AdversarialRestorer(restorer, judge, adversarial_weight=0.01)
    model.compile(AdversarialAdam(1e-4))
    model.fit(batches, shuffle=False)
    restored = restorer.restore_patches(censored, mask, [Grid((8, 8))])
    ```

    Args:
        generator: A `Restorer` or a `MosaicRestorer`; its loss terms stay.
        discriminator: A `PatchGAN` of six channels, or another model of that input.
        **kwargs: See `illustkit.training.adversarial.Adversarial`.

    Call arguments:
        inputs: As the generator's.

    Returns:
        The picture, signed scale, `(batch, height, width, 3)`.

    Reference:
        Isola et al. (2017); the chapter's third exercise; Wang et al., "ESRGAN:
        Enhanced Super-Resolution Generative Adversarial Networks" (2018).
    """

    generator: Any

    @property
    def blend(self):
        """As the generator's."""
        return self.generator.blend

    def restore_patches(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Restore patches with the generator; see `BaseRestorer.restore_patches`."""
        return self.generator.restore_patches(*args, **kwargs)

    def samples(self, x, y, y_pred):
        truth, prediction = uint8_to_signed(y), ops.cast(y_pred, "float32")
        if self.generator.sees_mosaics:
            prediction = composite(truth, prediction, 1 - x["hole"])
        return truth, prediction

    def discriminator_inputs(self, x, samples):
        seen = x["base"] if self.generator.sees_mosaics else uint8_to_signed(x[0])
        return ops.concatenate([ops.cast(seen, samples.dtype), samples], axis=-1)


def build_trained(settings: Mapping[str, Any]) -> KerasRestorer | AdversarialRestorer:
    """Build the untrained model that a run of `oppai.train` fits, without VGG16.

    Args:
        settings: Dict, as `Run.settings`.

    Returns:
        What `build_restorer` returns, as the generator of an `AdversarialRestorer` if
        the run is adversarial.

    Raises:
        UserError: If a setting of the discriminator is unknown, or the patches are too
            small for it.
    """
    restorer = build_restorer(settings)
    if settings.get("adversarial") is None:
        return restorer
    options = settings["discriminator"]
    names = set(inspect.signature(PatchGAN.__init__).parameters)
    names -= {"self", "channels", "kwargs"}
    if unknown := sorted(set(options) - names):
        raise UserError(
            f"`discriminator` has the settings {sorted(names)}. Received: {unknown}"
        )
    discriminator = PatchGAN(**options)
    sides = np.atleast_1d(restorer.image_size)
    if min(sides) < discriminator.smallest:
        raise UserError(
            f"`image_size` must be at least {discriminator.smallest} for a "
            f"discriminator with n_layers={discriminator.n_layers}: take larger "
            f"patches, or discriminator={{'n_layers': 1}}. Received: {min(sides)}"
        )
    return AdversarialRestorer(
        restorer, discriminator, adversarial_loss=settings["adversarial_loss"]
    )
