"""DCGAN: transposed convolutions with BatchNorm against strided convolutions."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from diffusion.attributes import Schema
from diffusion.attributes import width as values_of
from diffusion.gans.model import (
    IconGAN,
    check_square,
    keep_arguments,
    kept_config,
    one_hot,
    signed_output,
)
from illustkit.errors import UserError
from illustkit.options import check_number
from illustkit.training.adversarial import AdversarialAdam
from illustkit.training.trainable import replicas_in_sync


def _normal(mean=0.0):
    return keras.initializers.RandomNormal(mean, 0.02)


def _widths(image_size, filters):
    """Return the channels from 4×4 pixels up to half of the size."""
    levels = check_square(image_size)
    return [max(1, filters // 2**i) for i in range(levels)]


class _Blocks:
    """Layers that both networks have, all of one dtype."""

    def __init__(self, classes, dtype):
        self.classes, self.dtype = classes, dtype
        self.synchronized = replicas_in_sync() > 1
        self.labels = keras.Input((classes,), name="labels") if classes else None

    def with_labels(self, x):
        """Append the one-hot labels to the channels of `(height, width)` or of none."""
        if self.labels is None:
            return x
        labels = self.labels
        if len(x.shape) == 4:
            labels = layers.Reshape((1, 1, self.classes), dtype=self.dtype)(labels)
            labels = layers.UpSampling2D(x.shape[1:3], dtype=self.dtype)(labels)
        return layers.Concatenate(dtype=self.dtype)([x, labels])

    def norm(self, x):
        return layers.BatchNormalization(
            momentum=0.9,
            epsilon=1e-5,
            gamma_initializer=_normal(1.0),
            synchronized=self.synchronized,
            dtype=self.dtype,
        )(x)

    def convolution(self, kind, x, filters, kernel):
        return kind(
            filters,
            kernel,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=_normal(),
            dtype=self.dtype,
        )(self.with_labels(x))

    def dense(self, x, units):
        return layers.Dense(
            units, use_bias=False, kernel_initializer=_normal(), dtype=self.dtype
        )(self.with_labels(x))


@keras.saving.register_keras_serializable(package="diffusion")
class DCGenerator(keras.Model):
    """The generator of DCGAN, from a latent to a picture.

    Example:
    ```python
    generator = DCGenerator(64, filters=128)
    pictures = generator({"z": np.zeros((2, 100), "float32")})   # (2, 64, 64, 3)
    ```

    Args:
        image_size: Width and height in pixels, a power of two from 8. Defaults to 64.
        channels: 1, 3 or 4. Defaults to 3.
        latent: Numbers of a latent. Defaults to 100.
        filters: Channels at 4×4 pixels, halved with each doubling. Defaults to 1024.
        kernel: Side of the kernels; the paper has 5. Defaults to 4, an even number,
            which covers all pixels alike.
        classes: Number of classes, whose one-hot labels are appended to the latent
            and to the input of every layer. Defaults to 0, not conditional.
        dtype: Dtype policy of the layers. Defaults to the global one.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: Dict of "z" float32 `(batch, latent)` and, if there are classes,
            "labels" float32 `(batch, classes)`.

    Returns:
        float32 `(batch, image_size, image_size, channels)` in -1..1.

    Raises:
        UserError: If `image_size` is no power of two.

    Reference:
        Radford et al., "Unsupervised Representation Learning with Deep Convolutional
        GANs" (2016), figure 1; Mirza and Osindero, "Conditional Generative Adversarial
        Nets" (2014).
    """

    def __init__(
        self,
        image_size: int = 64,
        channels: int = 3,
        latent: int = 100,
        filters: int = 1024,
        kernel: int = 4,
        classes: int = 0,
        *,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        widths, blocks = _widths(image_size, filters), _Blocks(classes, dtype)
        z = keras.Input((latent,), name="z")
        inputs = {"z": z} | ({"labels": blocks.labels} if classes else {})
        x = blocks.dense(z, 4 * 4 * widths[0])
        x = layers.Reshape((4, 4, widths[0]), dtype=dtype)(x)
        for width in [*widths[1:], channels]:
            x = layers.ReLU(dtype=dtype)(blocks.norm(x))
            x = blocks.convolution(layers.Conv2DTranspose, x, width, kernel)
        x = layers.Activation("tanh", dtype=dtype)(x)
        super().__init__(inputs=inputs, outputs=signed_output(x), **kwargs)
        keep_arguments(
            self,
            dtype,
            image_size=image_size,
            channels=channels,
            latent=latent,
            filters=filters,
            kernel=kernel,
            classes=classes,
        )

    def get_config(self):
        return kept_config(self)


@keras.saving.register_keras_serializable(package="diffusion")
class DCDiscriminator(keras.Model):
    """The discriminator of DCGAN, from a picture to a logit.

    Example:
    ```python
    discriminator = DCDiscriminator(64)
    logits = discriminator({"pictures": np.zeros((2, 64, 64, 3), "float32")})  # (2, 1)
    ```

    Args:
        image_size: See `DCGenerator`. Defaults to 64.
        channels: See `DCGenerator`. Defaults to 3.
        filters: Channels at 4×4 pixels. Defaults to 1024.
        kernel: See `DCGenerator`. Defaults to 4.
        classes: See `DCGenerator`. Defaults to 0.
        dtype: See `DCGenerator`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: Dict of "pictures" in -1..1 `(batch, image_size, image_size, channels)`
            and, if there are classes, "labels".

    Returns:
        float32 `(batch, 1)`.

    Raises:
        UserError: If `image_size` is no power of two.

    Reference:
        See `DCGenerator`.
    """

    def __init__(
        self,
        image_size: int = 64,
        channels: int = 3,
        filters: int = 1024,
        kernel: int = 4,
        classes: int = 0,
        *,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        widths, blocks = _widths(image_size, filters), _Blocks(classes, dtype)
        x = keras.Input((image_size, image_size, channels), name="pictures")
        inputs = {"pictures": x} | ({"labels": blocks.labels} if classes else {})
        for i, width in enumerate(reversed(widths)):
            x = blocks.convolution(layers.Conv2D, x, width, kernel)
            x = layers.LeakyReLU(0.2, dtype=dtype)(blocks.norm(x) if i else x)
        # The convolution of all 4×4 pixels, as a dense layer.
        x = blocks.dense(layers.Flatten(dtype=dtype)(x), 1)
        super().__init__(inputs=inputs, outputs=signed_output(x, "logits"), **kwargs)
        keep_arguments(
            self,
            dtype,
            image_size=image_size,
            channels=channels,
            filters=filters,
            kernel=kernel,
            classes=classes,
        )

    def get_config(self):
        return kept_config(self)


@keras.saving.register_keras_serializable(package="diffusion")
class DCGAN(IconGAN):
    """Train a DCGAN on icons.

    `compile()` takes the paper's optimizer: Adam with a rate of 2e-4 and β₁ = 0.5.

    Example:
    ```python
    model = diffusion.DCGAN(image_size=64)
    model.compile()
    batches = LatentIcons(pictures, model, steps=100, batch_size=16)
    model.fit(batches, shuffle=False, callbacks=[batches.follow()])
    pictures = model.sample(16)
    ```

    Args:
        image_size: See `DCGenerator`. Defaults to 64.
        channels: See `DCGenerator`. Defaults to 3.
        latent: See `DCGenerator`. Defaults to 100.
        filters: See `DCGenerator`. At 128×128 pixels and a kernel of 4 the networks
            have 12,786,560 and 11,164,416 parameters. Defaults to 1024.
        kernel: See `DCGenerator`. Defaults to 4.
        classes: See `DCGenerator`. Defaults to 0.
        attributes: Names of what its pictures can be asked for, each with its values,
            instead of `classes`: the labels are then what `diffusion.attributes.encode`
            returns. Defaults to none.
        dtype: Dtype policy of the networks. Defaults to the global one.
        **kwargs: Passed to `diffusion.gans.model.IconGAN`.

    Call arguments:
        inputs: See `IconGAN`: "z" is uniform in -1..1; "labels" is one-hot, for each
            attribute if there are any.

    Returns:
        Pictures in -1..1.

    Raises:
        UserError: If `image_size` is no power of two.

    Reference:
        See `DCGenerator`.
    """

    def __init__(
        self,
        image_size: int = 64,
        channels: int = 3,
        latent: int = 100,
        filters: int = 1024,
        kernel: int = 4,
        classes: int = 0,
        *,
        attributes: Schema | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        check_number("classes", classes, whole=True, least=0)
        attributes = {k: list(v) for k, v in (attributes or {}).items()}
        if attributes and classes not in (0, n := values_of(attributes)):
            raise UserError(
                f"`attributes` have {n} values: leave `classes` out. Received: "
                f"{classes}"
            )
        classes = values_of(attributes) or classes
        options = {
            "image_size": image_size,
            "channels": channels,
            "filters": filters,
            "kernel": kernel,
            "classes": classes,
        }
        super().__init__(
            DCGenerator(latent=latent, dtype=dtype, name="generator", **options),
            DCDiscriminator(dtype=dtype, name="discriminator", **options),
            **kwargs,
        )
        keep_arguments(self, dtype, latent=latent, attributes=attributes, **options)

    def compile(self, optimizer=None, **kwargs):
        super().compile(optimizer or AdversarialAdam(2e-4, 0.5), **kwargs)

    def draw(self, rng, n, labels=None):
        z = rng.uniform(-1, 1, (n, self.latent)).astype("float32")
        if not self.classes:
            return {"z": z}
        return {"z": z, "labels": one_hot(labels, self.classes)}

    def call(self, inputs, training=False):
        names = self.generator.input
        return self.generator({k: inputs[k] for k in names}, training=training)

    def discriminator_inputs(self, x, samples):
        inputs = {"pictures": super().discriminator_inputs(x, samples)}
        if self.classes:  # eagerly Keras mixes no arrays and tensors
            inputs["labels"] = ops.convert_to_tensor(x["labels"])
        return inputs
