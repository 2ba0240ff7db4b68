"""The trainable pair of a GAN for icons: what DCGAN and StyleGAN2 have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from diffusion.attributes import Schema, groups
from diffusion.gans.augment import AUGMENTS, augment, draw_augmentation
from illustkit._keras_compat import sync_jax_state
from illustkit.errors import UserError
from illustkit.images import signed_to_uint8, uint8_to_signed
from illustkit.options import check_choice, check_number
from illustkit.runtime import replicas
from illustkit.training.adversarial import Adversarial, mean_of_batch
from illustkit.training.trainable import move_averages, replicas_in_sync, state_of

ADA_EVERY = 4  # steps from one change of the probability to the next


class IconGAN(Adversarial):
    """Train a generator of icons against a discriminator, in one loss.

    All random numbers are drawn on the host, in `draw`, and are inputs of the networks:
    a step is then the same on every backend and any number of devices.

    Args:
        generator: A built model from a dict with "z", and what else `draw` adds, to
            pictures in -1..1 `(batch, height, width, channels)`.
        discriminator: See `Adversarial`.
        average_images: Pictures after which the averaged weights of the generator have
            forgotten half; at most a twentieth of all that were seen, so that the first
            weights fade. Pictures are made from the average. 0 for none: BatchNorm's
            statistics belong to the weights of the moment. Defaults to 0.
        augment: What is done to real and generated pictures before the discriminator
            sees them, for few icons: "diffaugment", "ada", or `None`, nothing. R1 is
            then the penalty of augmented pictures. See `diffusion.gans.augment`.
            Defaults to `None`.
        ada_target: Mean sign of the discriminator's logits of real pictures that ADA
            aims at: where it is higher, each augmentation becomes more probable.
            Defaults to 0.6.
        ada_images: Pictures over which ADA's probability can change from 0 to 1.
            Defaults to 500,000, the paper's.
        **kwargs: Passed to `Adversarial`.

    Call arguments:
        inputs: Dict of a batch: "pictures" uint8 `(batch, height, width, channels)`
            and the arrays that `draw` returns.

    Returns:
        Generated pictures in -1..1, of the shape of "pictures".
    """

    image_size: int
    latent: int
    channels: int
    classes: int = 0
    attributes: Schema = {}

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        average_images: float = 0.0,
        augment: str | None = None,
        ada_target: float = 0.6,
        ada_images: float = 500_000.0,
        more_terms: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        check_number("average_images", average_images, least=0)
        check_choice("augment", augment, (None, *AUGMENTS))
        check_number("ada_target", ada_target, least=-1, most=1)
        check_number("ada_images", ada_images, above=0)
        if augment == "ada":  # both are logged, and no part of the loss
            more_terms = {**(more_terms or {}), "real_sign": 0.0, "augment_p": 0.0}
        super().__init__(generator, discriminator, more_terms=more_terms, **kwargs)
        self.augment = augment
        self.ada_target, self.ada_images = float(ada_target), float(ada_images)
        if augment == "ada":
            self.augment_p = state_of(self, "augment_p", ())
            self.sum_of_signs = state_of(self, "sum_of_signs", ())
        self.average_images = float(average_images)
        self.steps = state_of(self, "steps", (), "int32")
        self._averages = []
        if average_images:
            for i, weight in enumerate(generator.trainable_variables):
                self._averages.append(state_of(self, f"average_{i}", weight.shape))

    def draw(
        self, rng: np.random.Generator, n: int, labels: Any = None
    ) -> dict[str, np.ndarray]:
        """Draw the random numbers of a batch.

        Args:
            rng: The generator to draw from.
            n: Number of pictures.
            labels: int `(n,)`, a class for each, or what `diffusion.attributes.encode`
                made of their attributes, if the model is conditional.

        Returns:
            Dict of float32 and int32 arrays whose first axis is `n`.
        """
        raise TypeError(f"{type(self).__name__} has no `draw(rng, n, labels)`")

    def draw_training(
        self, rng: np.random.Generator, n: int, labels: Any = None
    ) -> dict[str, np.ndarray]:
        """Draw the random numbers of a batch of a training; see `draw`."""
        drawn = self.draw(rng, n, labels)
        if self.augment:
            for name in ("augment_real", "augment_fake"):
                drawn[name] = draw_augmentation(self.augment, rng, n, self.image_size)
        return drawn

    def samples(self, x, y, y_pred):
        real = uint8_to_signed(x["pictures"])
        if not self.augment:
            return real, y_pred
        p = self.augment_p.value if self.augment == "ada" else 1.0
        return (
            augment(self.augment, real, x["augment_real"], p),
            augment(self.augment, y_pred, x["augment_fake"], p),
        )

    def extra_terms(self, x, real_logits, training):
        if self.augment != "ada":
            return {}
        signs = ops.sign(real_logits)
        signs = ops.mean(signs, axis=tuple(range(1, len(signs.shape))))
        p = ops.convert_to_tensor(self.augment_p.value)
        if training:
            batch = _batch_of(signs)
            total = self.sum_of_signs.value + mean_of_batch(signs)
            due = ops.equal(self.steps.value % ADA_EVERY, ADA_EVERY - 1)
            change = ADA_EVERY * batch / self.ada_images
            moved = p + change * ops.sign(total / ADA_EVERY - self.ada_target)
            self.augment_p.assign(ops.where(due, ops.clip(moved, 0.0, 1.0), p))
            self.sum_of_signs.assign(ops.where(due, ops.zeros_like(total), total))
        return {"real_sign": signs, "augment_p": ops.zeros_like(signs) + p}

    def terms(self, x, y, y_pred, training):
        if training and self._averages:
            self._average(_batch_of(y_pred))
        terms = super().terms(x, y, y_pred, training)
        if training:
            self.steps.assign(self.steps + 1)
        return terms

    def _average(self, batch):
        """Take the weights before this step into their average."""
        seen = ops.cast(self.steps.value, "float32") * batch
        half = ops.minimum(self.average_images, 0.05 * seen)
        decay = 0.5 ** (batch / ops.maximum(half, 1e-6))  # at first 0, a copy
        move_averages(self._averages, self.generator.trainable_variables, decay)

    def begin_average(self) -> None:
        """Take the generator's weights of the moment for their average."""
        for average, weight in zip(
            self._averages,
            self.generator.trainable_variables[: len(self._averages)],
            strict=True,
        ):
            average.assign(ops.convert_to_numpy(weight))

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Return a context in which the generator has the averaged weights."""
        sync_jax_state(self)
        if not self._averages or not int(ops.convert_to_numpy(self.steps)):
            yield
            return
        weights = self.generator.trainable_variables
        own = [ops.convert_to_numpy(weight) for weight in weights]
        try:
            for weight, average in zip(weights, self._averages, strict=True):
                weight.assign(ops.convert_to_numpy(average))
            yield
        finally:
            for weight, value in zip(weights, own, strict=True):
                weight.assign(value)

    def latents(
        self,
        n: int,
        *,
        seed: int = 3407,
        first: int = 0,
        label: int | None = None,
        wishes: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Draw the inputs of new pictures, each from a random generator of its own.

        A conditional model is asked for each class in turn, or for values of its
        attributes that are drawn, unless `label` or `wishes` say more.

        Args:
            n: Number of pictures.
            seed: int, not negative. Defaults to 3407, the preprint's.
            first: Number of the first picture. Defaults to 0.
            label: Class of all of them, for a conditional model.
            wishes: float32 `(n, classes)`, what `diffusion.attributes.encode` made of a
                wish for each picture; attributes that it does not name are drawn.

        Returns:
            Dict of arrays, for `generate`.

        Raises:
            UserError: If the model has no such class.
        """
        check_number("n", n, whole=True, least=1)
        if label is not None:
            if not self.classes:
                raise UserError(
                    "`label` is the number of a class, for a conditional model alone. "
                    f"Received: {label} with no classes"
                )
            check_number("label", label, whole=True, least=0, most=self.classes - 1)
        each = []
        for i in range(n):
            number = first + i
            labels = None
            if self.classes:
                asked = None if wishes is None else wishes[i]
                labels = self._label(number, seed, label, asked)[None]
            rng = np.random.default_rng((seed, number))
            each.append(self.draw(rng, 1, labels))
        return {name: np.concatenate([d[name] for d in each]) for name in each[0]}

    def _label(self, number, seed, label, asked):
        """Return the label of a picture, float32 `(classes,)`."""
        if label is not None or not self.attributes:
            chosen = number % self.classes if label is None else label
            return one_hot([chosen], self.classes)[0]
        vector = np.zeros(self.classes, "float32")
        if asked is not None:
            vector += asked
        rng = np.random.default_rng((seed, number, 1))
        for place in groups(self.attributes):
            drawn = rng.integers(place.start, place.stop)
            if not vector[place].any():
                vector[drawn] = 1
        return vector

    def generate(
        self, latents: dict[str, np.ndarray], *, batch_size: int = 32
    ) -> np.ndarray:
        """Generate the pictures of latents.

        Args:
            latents: What `latents` returns, perhaps changed.
            batch_size: Pictures at a time. Defaults to 32.

        Returns:
            uint8 `(n, height, width, channels)`.
        """
        n = len(latents["z"])
        share = replicas(None)
        batch_size = -(-min(batch_size, n) // share) * share
        pictures = []
        with self.averaged():
            for start in range(0, n, batch_size):
                # Padded: one shape for all batches, shared equally by all devices.
                rows = np.arange(start, start + batch_size).clip(max=n - 1)
                batch = {name: values[rows] for name, values in latents.items()}
                made = np.asarray(self._generated(batch), "float32")
                pictures.append(signed_to_uint8(made[: n - start]))
        return np.concatenate(pictures)[:n]

    def _generated(self, batch):
        return self.generator.predict_on_batch(batch)

    def sample(self, n: int, **options: Any) -> np.ndarray:
        """Make new pictures: `generate(latents(n, …))`.

        Args:
            n: Number of pictures.
            **options: See `latents`.

        Returns:
            uint8 `(n, height, width, channels)`.
        """
        return self.generate(self.latents(n, **options))

    def get_config(self):
        names = "adversarial_loss", "adversarial_weight", "r1", "r1_every"
        names += "average_images", "augment", "ada_target", "ada_images"
        own = {name: getattr(self, name) for name in names}
        return {**kept_config(self), **own}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _batch_of(x):
    """Return the number of samples on all replicas, of an array of one of them."""
    return ops.cast(ops.shape(x)[0], "float32") * replicas_in_sync()


def one_hot(labels: Any, classes: int) -> np.ndarray:
    """Return class numbers `(n,)` as float32 `(n, classes)`, 1 at the class's place.

    What is `(n, classes)` already, the encoded values of attributes, stays as it is.
    """
    if np.ndim(labels) == 2:
        return np.asarray(labels, "float32")
    return np.eye(classes, dtype="float32")[np.asarray(labels, int)]


def interpolate_latents(points: Sequence[Any], n: int) -> np.ndarray:
    """Return latents evenly spaced on the lines through a row of points.

    Example:
    >>> interpolate_latents([[0.0], [1.0], [3.0]], 5)[:, 0].tolist()
    [0.0, 0.5, 1.0, 2.0, 3.0]

    Args:
        points: Two or more arrays of one shape, such as "z" of `IconGAN.latents`.
        n: Number of latents, two or more, the first and last point included.

    Returns:
        float32 `(n, …)`.

    Reference:
        Radford et al., "Unsupervised Representation Learning with Deep Convolutional
        GANs" (2016), figure 4.
    """
    ends = np.asarray(points, "float64")
    if len(ends) < 2 or n < 2:
        raise ValueError(f"Two points and two latents at least: {len(ends)}, {n}")
    at = np.linspace(0, len(ends) - 1, n)
    left = np.minimum(at.astype(int), len(ends) - 2)
    part = (at - left).reshape(-1, *[1] * (ends.ndim - 1))
    between = ends[left] * (1 - part) + ends[left + 1] * part
    return between.astype("float32")


def combine_latents(plus: Sequence[Any], minus: Sequence[Any] = ()) -> np.ndarray:
    """Add and subtract concepts, each the mean of the latents of some pictures.

    "smiling woman" - "neutral woman" + "neutral man": the paper takes the mean of three
    pictures for each, since single pictures give no stable results.

    Example:
    >>> combine_latents([[[1.0], [3.0]], [[5.0]]], [[[4.0]]]).tolist()
    [3.0]

    Args:
        plus: Arrays `(k, …)`, the latents of the pictures of a concept each.
        minus: Likewise, concepts that are subtracted. Defaults to none.

    Returns:
        float32, one latent.

    Reference:
        Radford et al. (2016), section 6.3.2.
    """

    def total(concepts):
        return sum(np.mean(np.asarray(each, "float64"), axis=0) for each in concepts)

    return np.asarray(total(plus) - total(minus), "float32")


def keep_arguments(model: keras.Model, dtype: Any, **arguments: Any) -> None:
    """Keep a constructor's arguments as attributes, and their names for a config."""
    model.dtype_policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    model.kept = tuple(arguments)
    for name, value in arguments.items():
        setattr(model, name, value)


def kept_config(model: keras.Model) -> dict[str, Any]:
    """Return the config of a model whose arguments `keep_arguments` kept."""
    return {
        "name": model.name,
        "trainable": model.trainable,
        "dtype": model.dtype_policy.name,
        **{name: getattr(model, name) for name in model.kept},
    }


def signed_output(x: Any, name: str = "pictures") -> Any:
    """Return a symbolic tensor of pictures as float32, under any precision."""
    return keras.layers.Activation("linear", dtype="float32", name=name)(x)


def check_square(image_size: int) -> int:
    """Return how often 4 pixels double up to `image_size`.

    Raises:
        UserError: If it is no power of two, or less than 8.
    """
    check_number("image_size", image_size, whole=True, least=8)
    levels = int(image_size).bit_length() - 3
    if 4 << levels != image_size:
        raise UserError(
            f"`image_size` must be a power of two for a GAN. Received: {image_size}"
        )
    return levels
