"""StyleGAN2: styles that scale the channels of a generator, with skips of pictures."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from diffusion.gans.layers import (
    EqualizedConv2D,
    EqualizedDense,
    FIRUpsampling2D,
    LearnedConstant,
    MinibatchStd,
    ModulatedConv2D,
    StyleMixing,
)
from diffusion.gans.model import (
    IconGAN,
    check_square,
    keep_arguments,
    kept_config,
    signed_output,
)
from illustkit.options import check_number
from illustkit.training.adversarial import (
    AdversarialAdam,
    gradient_of,
    mean_of_batch,
)
from illustkit.training.trainable import state_of

MOST = 512  # channels
MIXING = 0.9
"""Probability that a training picture has two styles."""
PATH_DECAY = 0.01
STYLE_DECAY = 0.998


def _widths(image_size, base):
    """Return the channels at 4, 8, …, `image_size` pixels."""
    levels = check_square(image_size)
    return [max(1, min(MOST, base // (4 << i))) for i in range(levels + 1)]


@keras.saving.register_keras_serializable(package="diffusion")
class StyleGenerator(keras.Model):
    """The generator of StyleGAN2: a mapping network, and a synthesis with skips.

    Example:
    ```python
    generator = StyleGenerator(32, base=512, latent=16)
    z = np.random.default_rng(0).normal(size=(2, 16)).astype("float32")
    w = generator.mapping(z)                                    # (2, 16)
    styles = np.repeat(np.asarray(w)[:, None], generator.n_styles, axis=1)
    noise = np.zeros((2, generator.n_noise), "float32")
    pictures = generator.synthesis({"styles": styles, "noise": noise})
    ```

    Args:
        image_size: Width and height in pixels, a power of two from 8. Defaults to 128.
        channels: 1, 3 or 4. Defaults to 3.
        latent: Numbers of a latent, and of a style. Defaults to 512.
        base: Channels are `base` divided by the pixels of a side, at most 512.
            Defaults to 16384.
        mapping_layers: Layers of the mapping network. Defaults to 2, as ADA has it for
            small sets; the paper's configuration F has 8, and a `base` of 32768.
        dtype: Dtype policy of the layers. Defaults to the global one.
        **kwargs: Passed to `keras.Model`.

    Attributes:
        n_styles: Number of styles, one for each layer.
        n_noise: Number of noise values, of all layers.
        mean_style: Variable `(latent,)`, the moving mean of w.
        mapping: Model from "z" `(batch, latent)` to w `(batch, latent)`.
        synthesis: Model from a dict of "styles" `(batch, n_styles, latent)` and "noise"
            `(batch, n_noise)` to pictures.

    Call arguments:
        inputs: Dict of "z" `(batch, 2, latent)`, normal numbers for two styles,
            "mixing" int `(batch,)`, the first layer with the second style, and "noise"
            `(batch, n_noise)`, normal.

    Returns:
        float32 `(batch, image_size, image_size, channels)`, mostly in -1..1.

    Raises:
        UserError: If `image_size` is no power of two.

    Reference:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020).
    """

    def __init__(
        self,
        image_size: int = 128,
        channels: int = 3,
        latent: int = 512,
        base: int = 16384,
        mapping_layers: int = 2,
        *,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        widths = _widths(image_size, base)
        sizes = [4 << i for i in range(len(widths))]
        n_styles = 2 * len(widths)
        n_noise = 16 + sum(2 * size * size for size in sizes[1:])
        mapping = _mapping(latent, mapping_layers, dtype)
        synthesis = _synthesis(widths, channels, latent, n_styles, n_noise, dtype)

        inputs = {
            "z": keras.Input((2, latent), name="z"),
            "mixing": keras.Input((), dtype="int32", name="mixing"),
            "noise": keras.Input((n_noise,), name="noise"),
        }
        first, second = mapping(inputs["z"][:, 0]), mapping(inputs["z"][:, 1])
        styles = StyleMixing(n_styles, dtype=dtype, name="mix")(
            [first, second, inputs["mixing"]]
        )
        pictures = synthesis({"styles": styles, "noise": inputs["noise"]})
        super().__init__(inputs=inputs, outputs=pictures, **kwargs)
        self.mapping, self.synthesis = mapping, synthesis
        self.mean_style = state_of(self, "mean_style", (latent,))
        self.mix = self.get_layer("mix")
        self.n_styles, self.n_noise = n_styles, n_noise
        keep_arguments(
            self,
            dtype,
            image_size=image_size,
            channels=channels,
            latent=latent,
            base=base,
            mapping_layers=mapping_layers,
        )

    def get_config(self):
        return kept_config(self)


def _mapping(latent, n, dtype):
    z = x = keras.Input((latent,), name="z")
    # To a mean square of one; in float32, since bfloat16 has eight bits.
    x = layers.UnitNormalization(dtype="float32")(x)
    x = layers.Rescaling(latent**0.5, dtype=dtype)(x)
    for i in range(n):
        x = EqualizedDense(
            latent, activate=True, lr_multiplier=0.01, dtype=dtype, name=f"dense_{i}"
        )(x)
    return keras.Model(z, x, name="mapping")


def _synthesis(widths, channels, latent, n_styles, n_noise, dtype):
    styles = keras.Input((n_styles, latent), name="styles")
    noise = keras.Input((n_noise,), name="noise")
    x = LearnedConstant(widths[0], dtype=dtype, name="constant")(styles)
    picture, at, number = None, 0, 0
    for level, width in enumerate(widths):
        size = 4 << level
        for up in (True, False) if level else (False,):
            part = noise[:, at : at + size * size]
            part = layers.Reshape((size, size, 1), dtype=dtype)(part)
            x = ModulatedConv2D(
                width, up=up, dtype=dtype, name=f"conv_{size}{'_up' * up}"
            )([x, styles[:, number], part])
            at, number = at + size * size, number + 1
        rgb = ModulatedConv2D(
            channels, 1, demodulate=False, dtype=dtype, name=f"rgb_{size}"
        )([x, styles[:, number]])
        if picture is not None:
            picture = FIRUpsampling2D(dtype=dtype, name=f"picture_{size}")(picture)
            rgb = layers.Add(dtype=dtype)([picture, rgb])
        picture = rgb
    inputs = {"styles": styles, "noise": noise}
    return keras.Model(inputs, signed_output(picture), name="synthesis")


@keras.saving.register_keras_serializable(package="diffusion")
class StyleDiscriminator(keras.Model):
    """The residual discriminator of StyleGAN2.

    Example:
    ```python
    discriminator = StyleDiscriminator(32, base=512)
    logits = discriminator({"pictures": np.zeros((4, 32, 32, 3), "float32")})  # (4, 1)
    ```

    Args:
        image_size: See `StyleGenerator`. Defaults to 128.
        channels: See `StyleGenerator`. Defaults to 3.
        base: See `StyleGenerator`. Defaults to 16384.
        group_size: See `diffusion.gans.layers.MinibatchStd`. Defaults to 4.
        dtype: See `StyleGenerator`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: Dict of "pictures" in -1..1 `(batch, image_size, image_size, channels)`.

    Returns:
        float32 `(batch, 1)`.

    Raises:
        UserError: If `image_size` is no power of two.

    Reference:
        See `StyleGenerator`.
    """

    def __init__(
        self,
        image_size: int = 128,
        channels: int = 3,
        base: int = 16384,
        group_size: int = 4,
        *,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        widths = _widths(image_size, base)
        pictures = keras.Input((image_size, image_size, channels), name="pictures")
        x = EqualizedConv2D(widths[-1], 1, dtype=dtype, name="from_rgb")(pictures)
        for level in range(len(widths) - 1, 0, -1):
            size = 4 << level
            short = EqualizedConv2D(
                widths[level - 1], 1, down=True, activate=False, use_bias=False,
                dtype=dtype, name=f"short_{size}",
            )(x)  # fmt: skip
            x = EqualizedConv2D(widths[level], dtype=dtype, name=f"conv_{size}")(x)
            x = EqualizedConv2D(
                widths[level - 1], down=True, dtype=dtype, name=f"conv_{size}_down"
            )(x)
            x = layers.Add(dtype=dtype)([x, short])
            x = layers.Rescaling(0.5**0.5, dtype=dtype)(x)
        x = MinibatchStd(group_size, dtype=dtype, name="minibatch_std")(x)
        x = EqualizedConv2D(widths[0], dtype=dtype, name="conv_4")(x)
        x = layers.Flatten(dtype=dtype)(x)
        x = EqualizedDense(widths[0], activate=True, dtype=dtype, name="dense")(x)
        x = EqualizedDense(1, dtype=dtype, name="logit")(x)
        super().__init__({"pictures": pictures}, signed_output(x, "logits"), **kwargs)
        keep_arguments(
            self,
            dtype,
            image_size=image_size,
            channels=channels,
            base=base,
            group_size=group_size,
        )

    def get_config(self):
        return kept_config(self)


@keras.saving.register_keras_serializable(package="diffusion")
class StyleGAN2(IconGAN):
    """Train a StyleGAN2 on icons.

    Beside the logistic loss, R1 regularises the discriminator every 16 steps and the
    path length the generator every 4; each then counts as often. Both enter the loss of
    the same step, so that Adam needs no correction for steps of their own. `compile()`
    takes the paper's optimizer: Adam with a rate of 0.002, β = (0, 0.99), ε = 1e-8.

    Pictures are made from averaged weights, with styles that `truncation` draws towards
    their mean.

    Example:
    ```python
    model = diffusion.StyleGAN2(image_size=64)
    model.compile()
    batches = LatentIcons(pictures, model, steps=100, batch_size=16)
    model.fit(batches, shuffle=False, callbacks=[batches.follow()])
    pictures = model.sample(16, truncation=0.7)
    ```

    Args:
        image_size: See `StyleGenerator`. Defaults to 128.
        channels: See `StyleGenerator`. Defaults to 3.
        latent: See `StyleGenerator`. Defaults to 512.
        base: See `StyleGenerator`. At 128×128 pixels the networks have 22,949,277 and
            23,882,369 parameters, those of configuration F 29,328,669 and 28,389,121.
            Defaults to 16384.
        mapping_layers: See `StyleGenerator`. Defaults to 2.
        group_size: See `StyleDiscriminator`. Defaults to 4.
        path_weight: Weight of the path length's penalty; 0 for none. Defaults to 2.
        path_every: Steps from one penalty to the next. Defaults to 4.
        average_images: Pictures after which the averaged weights have forgotten half;
            at most a twentieth of all that were seen. Defaults to 10,000.
        r1: See `Adversarial`. Defaults to 1, which suits 64×64 pixels: ADA takes 0.0002
            times the pixels, divided by the batch size, and up to ten times that.
        r1_every: See `Adversarial`. Defaults to 16.
        dtype: Dtype policy of the networks. Defaults to the global one.
        **kwargs: Passed to `diffusion.gans.model.IconGAN`.

    Call arguments:
        inputs: See `IconGAN` and `StyleGenerator`.

    Returns:
        Pictures, mostly in -1..1.

    Raises:
        UserError: If `image_size` is no power of two.

    Reference:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020),
        sections 3.1 and 3.2; "Training GANs with Limited Data" (2020), table of
        hyperparameters.
    """

    def __init__(
        self,
        image_size: int = 128,
        channels: int = 3,
        latent: int = 512,
        base: int = 16384,
        mapping_layers: int = 2,
        *,
        group_size: int = 4,
        path_weight: float = 2.0,
        path_every: int = 4,
        average_images: float = 10_000.0,
        r1: float = 1.0,
        r1_every: int = 16,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        check_number("path_weight", path_weight, least=0)
        check_number("path_every", path_every, whole=True, least=1)
        options = {
            "image_size": image_size,
            "channels": channels,
            "base": base,
            "dtype": dtype,
        }
        generator = StyleGenerator(
            latent=latent, mapping_layers=mapping_layers, name="generator", **options
        )
        super().__init__(
            generator,
            StyleDiscriminator(group_size=group_size, name="discriminator", **options),
            average_images=average_images,
            more_terms={"path_length": path_weight} if path_weight else {},
            r1=r1,
            r1_every=r1_every,
            **{"adversarial_loss": "logistic", **kwargs},
        )
        keep_arguments(
            self,
            dtype,
            image_size=image_size,
            channels=channels,
            latent=latent,
            base=base,
            mapping_layers=mapping_layers,
            group_size=group_size,
            path_weight=float(path_weight),
            path_every=path_every,
        )
        self.mean_style = generator.mean_style
        self.mean_length = state_of(self, "mean_length", ())

    def compile(self, optimizer=None, **kwargs):
        if optimizer is None:
            optimizer = AdversarialAdam(2e-3, 0.0, beta_2=0.99, epsilon=1e-8)
        super().compile(optimizer, **kwargs)

    def draw(self, rng, n, labels=None):
        n_styles = self.generator.n_styles
        return {
            "z": rng.standard_normal((n, 2, self.latent), dtype="float32"),
            "mixing": np.full(n, n_styles, "int32"),
            "noise": rng.standard_normal((n, self.generator.n_noise), dtype="float32"),
        }

    def draw_training(self, rng, n, labels=None):
        drawn = super().draw_training(rng, n, labels)
        mixed = rng.random(n) < MIXING
        layer = rng.integers(1, self.generator.n_styles, n, dtype="int32")
        drawn["mixing"] = np.where(mixed, layer, drawn["mixing"])
        if self.path_weight:
            shape = n, self.image_size, self.image_size, self.channels
            drawn["direction"] = rng.standard_normal(shape, dtype="float32")
        return drawn

    def call(self, inputs, training=False):
        first, styles = self._styles(inputs)
        if training:
            first = ops.cast(ops.stop_gradient(first), "float32")
            mean = mean_of_batch(first, axis=0)
            self.mean_style.assign(mean + (self.mean_style.value - mean) * STYLE_DECAY)
        return self._pictures(styles, inputs["noise"])

    def _styles(self, x):
        """Return the first style, and the styles of all layers."""
        z = ops.convert_to_tensor(x["z"])
        first, second = self.generator.mapping(z[:, 0]), self.generator.mapping(z[:, 1])
        mixing = ops.convert_to_tensor(x["mixing"])
        return first, self.generator.mix([first, second, mixing])

    def _pictures(self, styles, noise):
        inputs = {"styles": styles, "noise": noise}  # eagerly no arrays and tensors
        inputs = {k: ops.convert_to_tensor(v) for k, v in inputs.items()}
        return self.generator.synthesis(inputs)

    def discriminator_inputs(self, x, samples):
        return {"pictures": super().discriminator_inputs(x, samples)}

    def extra_terms(self, x, real_logits, training):
        terms = super().extra_terms(x, real_logits, training)
        if self.path_weight:
            terms["path_length"] = self._path_penalty(x, training)
        return terms

    def _path_penalty(self, x, training):
        """Return (‖Jᵀy‖ - a)² of every second picture, with a the lengths' mean."""
        # Every second one: two devices then take the same pictures as one.
        half = {k: v[::2] for k, v in x.items() if k != "pictures"}

        def lengths():
            _, styles = self._styles(half)
            direction = ops.convert_to_tensor(half["direction"]) / self.image_size
            gradient = gradient_of(
                lambda w: ops.sum(self._pictures(w, half["noise"]) * direction), styles
            )
            square = ops.sum(ops.square(ops.cast(gradient, "float32")), axis=2)
            return ops.sqrt(ops.mean(square, axis=1) + 1e-12)

        if not training:
            return ops.square(lengths() - self.mean_length.value)
        due = ops.equal(self.steps.value % self.path_every, 0)
        none = ops.zeros_like(ops.convert_to_tensor(half["z"])[:, 0, 0])
        found = ops.cond(due, lengths, lambda: none)
        before = ops.convert_to_tensor(self.mean_length.value)
        # Outside of the condition: devices cannot talk within it.
        mean = before + PATH_DECAY * (mean_of_batch(found) - before)
        self.mean_length.assign(ops.where(due, ops.stop_gradient(mean), before))
        penalty = self.path_every * ops.square(found - mean)
        return ops.where(due, penalty, ops.zeros_like(penalty))

    def styles(
        self, latents: dict[str, np.ndarray], truncation: float = 1.0
    ) -> np.ndarray:
        """Return the styles of latents, drawn towards the mean style.

        Args:
            latents: What `latents` returns.
            truncation: ψ: 1 for the styles themselves, 0 for the mean. Defaults to 1.

        Returns:
            float32 `(n, n_styles, latent)`. Put in the latents' dict as "styles",
            perhaps interpolated or mixed, `generate` takes them.
        """
        with self.averaged():
            styles = np.asarray(self._styles(latents)[1], "float32")
        mean = np.asarray(self.mean_style, "float32")
        return mean + truncation * (styles - mean)

    def sample(self, n, *, truncation=1.0, **options):
        latents = self.latents(n, **options)
        if truncation != 1:
            latents["styles"] = self.styles(latents, truncation)
        return self.generate(latents)

    def _generated(self, batch):
        if "styles" not in batch:
            return super()._generated(batch)
        inputs = {name: batch[name] for name in ("styles", "noise")}
        return self.generator.synthesis.predict_on_batch(inputs)
