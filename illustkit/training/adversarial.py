"""Train a generator against a discriminator in one loss, on every accelerator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from illustkit._keras_compat import clip_by_whole_norm
from illustkit.options import check_choice
from illustkit.training.trainable import Trainable, replicas_in_sync, state_of


@dataclass(frozen=True)
class AdversarialLoss:
    """Hold the two losses of an adversarial training, as functions of logits.

    Both functions map the logits `(batch, …)` of real and of generated samples to one
    number for each sample, `(batch,)`, a mean over the logits of the sample.

    Args:
        discriminator: Loss of the discriminator.
        generator: Loss of the generator. Its logits of real samples are constants.
    """

    discriminator: Callable[[Any, Any], Any]
    generator: Callable[[Any, Any], Any]


def _relativistic(real, fake):
    """Return both logits, each less the mean of the other."""
    return real - mean_of_batch(fake), fake - mean_of_batch(real)


def _relativistic_discriminator(real, fake):
    real, fake = _relativistic(real, fake)
    return (_mean(ops.softplus(-real)) + _mean(ops.softplus(fake))) / 2


def _relativistic_generator(real, fake):
    real, fake = _relativistic(real, fake)
    return (_mean(ops.softplus(real)) + _mean(ops.softplus(-fake))) / 2


LOSSES = {
    # -log σ(real) - log(1 - σ(fake)), halved as in pix2pix; -log σ(fake).
    "bce": AdversarialLoss(
        lambda r, f: (_mean(ops.softplus(-r)) + _mean(ops.softplus(f))) / 2,
        lambda r, f: _mean(ops.softplus(-f)),
    ),
    "hinge": AdversarialLoss(
        lambda r, f: _mean(ops.relu(1 - r)) + _mean(ops.relu(1 + f)),
        lambda r, f: -_mean(f),
    ),
    "least_squares": AdversarialLoss(
        lambda r, f: (_mean((r - 1) ** 2) + _mean(f**2)) / 2,
        lambda r, f: _mean((f - 1) ** 2) / 2,
    ),
    "relativistic": AdversarialLoss(
        _relativistic_discriminator, _relativistic_generator
    ),
    "logistic": AdversarialLoss(
        lambda r, f: _mean(ops.softplus(-r)) + _mean(ops.softplus(f)),
        lambda r, f: _mean(ops.softplus(-f)),
    ),
}
"""The adversarial losses by name:

- "bce": the non-saturating loss of Goodfellow et al. (2014), the discriminator's halved
  (Isola et al. 2017).
- "hinge": Lim and Ye, "Geometric GAN" (2017).
- "least_squares": Mao et al., "Least Squares GAN" (2017), with the labels 0 and 1.
- "relativistic": the relativistic average loss, halved as in the code of ESRGAN (Wang
  et al. 2018). Its means are of the whole batch, on all devices.
- "logistic": "bce" without the half, as StyleGAN2 weighs R1 against it.
"""


class Adversarial(Trainable):
    """Train a generator against a discriminator, both in each step.

    The loss has the generator's own terms (those of a `Trainable`) and two more.
    "discriminator" sees the generator's sample as a constant. "adversarial" sees the
    discriminator's variables as constants, so that a gradient reaches the generator
    alone. So one `compute_loss` gives the gradients of two `GradientTape`s, and both
    networks are updated at the same time, from the state before the step. No
    `train_step` is needed.

    A subclass overrides `samples` and `discriminator_inputs` where the targets are on
    another scale than the generator's samples, or the discriminator sees a condition.

    Example:
    ```python
    model = Adversarial(generator, discriminator, adversarial_loss="hinge", r1=10.0)
    model.compile(AdversarialAdam(2e-4, discriminator_rate=4.0))
    model.fit(noise, pictures)
    drawn = model.generator(noise)
    ```

    Args:
        generator: A model from the batch's inputs to samples. If it is a `Trainable`,
            its terms and monitors are those of this model, too.
        discriminator: A built model from what `discriminator_inputs` returns to
            logits `(batch, …)`.
        adversarial_loss: Name in `LOSSES`. Defaults to `"bce"`.
        adversarial_weight: Weight of "adversarial" beside the generator's terms.
            Defaults to 1.
        r1: The factor γ of the penalty γ/2 · ‖∇D(real)‖² (R1), the gradient being that
            of the sum of a sample's logits; 0 for no penalty. TensorFlow has no second
            gradient of `ops.image.resize` and bilinear `UpSampling2D`, and its
            strategies allow no synchronised BatchNorm in a penalty. Defaults to 0.
        r1_every: Steps from one penalty to the next, which counts as often ("lazy").
            Defaults to 16.
        more_terms: Dict from the names to the weights of the terms that a subclass
            returns from `extra_terms`. Defaults to none.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        inputs: As the generator's.

    Returns:
        The generator's samples.

    Raises:
        UserError: If the loss is unknown.
        ValueError: If the generator has a term of one of the names added here.

    Reference:
        Goodfellow et al., "Generative Adversarial Nets" (2014); Mescheder et al.,
        "Which Training Methods for GANs do actually Converge?" (2018), for R1; Karras
        et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020),
        section 3.1, for the lazy penalty.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        adversarial_loss: str = "bce",
        adversarial_weight: float = 1.0,
        r1: float = 0.0,
        r1_every: int = 16,
        more_terms: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        check_choice("adversarial_loss", adversarial_loss, tuple(LOSSES))
        weights = {"adversarial": float(adversarial_weight), "discriminator": 1.0}
        if r1:
            weights["r1"] = r1 / 2
        weights |= more_terms or {}
        own = generator.term_weights if isinstance(generator, Trainable) else {}
        if both := sorted(set(own) & set(weights)):
            raise ValueError(f"The generator has terms of its own named {both}")
        monitors = generator.monitors if isinstance(generator, Trainable) else ()
        # Each network casts its own inputs.
        super().__init__({**own, **weights}, monitors, **{"autocast": False, **kwargs})
        # The generator is the first: `AdversarialAdam` counts on it.
        self.generator = generator
        self.discriminator = discriminator
        self.adversarial_loss = adversarial_loss
        self.adversarial_weight = float(adversarial_weight)
        self.r1, self.r1_every = float(r1), int(r1_every)
        self.steps_done = None
        if r1:
            self.steps_done = state_of(self, "steps_done", (), "int32")
        self.built = True

    def compile(self, optimizer="rmsprop", **kwargs):
        own = getattr(optimizer, "inner_optimizer", optimizer)  # of a scaled loss
        if isinstance(own, AdversarialAdam):
            own.n_generator = len(self.generator.trainable_variables)
        super().compile(optimizer, **kwargs)

    def call(self, inputs, training=False):
        return self.generator(inputs, training=training)

    def samples(self, x: Any, y: Any, y_pred: Any) -> tuple[Any, Any]:
        """Return the real and the generated samples that the discriminator compares.

        Args:
            x: The batch's inputs, as `fit` got them.
            y: The batch's targets.
            y_pred: The generator's output for `x`.

        Returns:
            Two tensors of one shape, real and generated. Defaults to `(y, y_pred)`.
        """
        return y, y_pred

    def discriminator_inputs(self, x: Any, samples: Any) -> Any:
        """Return what the discriminator is given to judge samples.

        Args:
            x: The batch's inputs, as `fit` got them: for a condition.
            samples: Real or generated samples, one of what `samples` returns.

        Returns:
            Defaults to `samples`.
        """
        return samples

    def extra_terms(self, x: Any, real_logits: Any, training: bool) -> dict[str, Any]:
        """Compute the terms that `more_terms` names.

        Args:
            x: The batch's inputs, as `fit` got them.
            real_logits: The discriminator's logits of the real samples, a constant.
            training: Whether this is a training step.

        Returns:
            Dict from a name to a tensor of one number per sample. Defaults to none.
        """
        return {}

    def terms(self, x, y, y_pred, training):
        terms = {}
        if isinstance(self.generator, Trainable):
            terms = self.generator.terms(x, y, y_pred, training)
        real, fake = self.samples(x, y, y_pred)
        real = ops.cast(real, fake.dtype)
        of_real = self._logits(x, real, training)
        of_fake = self._logits(x, ops.stop_gradient(fake), training)
        loss = LOSSES[self.adversarial_loss]
        terms["discriminator"] = loss.discriminator(of_real, of_fake)
        more = self.extra_terms(x, ops.stop_gradient(of_real), training)
        constant = [ops.stop_gradient(v.value) for v in self._learnt]
        judged = self._stateless_logits(constant, x, fake, training)
        terms["adversarial"] = loss.generator(ops.stop_gradient(of_real), judged)
        if self.r1:
            terms["r1"] = self._lazy_penalty(x, real, training)
        return terms | more

    @property
    def _learnt(self):
        return self.discriminator.trainable_variables

    def _logits(self, x, samples, training):
        inputs = self.discriminator_inputs(x, samples)
        return ops.cast(self.discriminator(inputs, training=training), "float32")

    def _stateless_logits(self, variables, x, samples, training):
        """Return the logits with other values of the variables; no state changes."""
        state = [
            ops.convert_to_tensor(v.value)
            for v in self.discriminator.non_trainable_variables
        ]
        inputs = self.discriminator_inputs(x, samples)
        logits, _ = self.discriminator.stateless_call(
            variables, state, inputs, training=training
        )
        return ops.cast(logits, "float32")

    def _lazy_penalty(self, x, real, training):
        variables = [ops.convert_to_tensor(v.value) for v in self._learnt]

        def penalty():
            # Without state: what BatchNorm assigns within `jax.grad` would leak.
            gradient = gradient_of(
                lambda r: ops.sum(self._stateless_logits(variables, x, r, training)),
                real,
            )
            square = ops.square(ops.cast(gradient, "float32"))
            return ops.sum(square, axis=tuple(range(1, len(square.shape))))

        if not training:
            return penalty()
        due = ops.equal(self.steps_done.value % self.r1_every, 0)
        first = (slice(None), *[0] * (len(real.shape) - 1))
        none = ops.zeros_like(ops.cast(real, "float32")[first])
        result = ops.cond(due, lambda: self.r1_every * penalty(), lambda: none)
        self.steps_done.assign(self.steps_done + 1)
        return result

    def get_config(self):
        config = super().get_config()
        config.update(
            generator=keras.saving.serialize_keras_object(self.generator),
            discriminator=keras.saving.serialize_keras_object(self.discriminator),
            adversarial_loss=self.adversarial_loss,
            adversarial_weight=self.adversarial_weight,
            r1=self.r1,
            r1_every=self.r1_every,
        )
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("generator", "discriminator"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)


@keras.saving.register_keras_serializable(package="illustkit")
class AdversarialAdam(keras.optimizers.Adam):
    """Adam that gives generator and discriminator their own rates and clipping.

    Adam takes the same steps whatever the size of a gradient, so that weights of the
    loss's terms make no two rates ("TTUR"): the rate itself is multiplied here.

    Example:
    ```python
    model.compile(AdversarialAdam(1e-4, discriminator_rate=4.0, network_clipnorm=1.0))
    ```

    Args:
        learning_rate: Rate of the generator, a float or a schedule. Defaults to 2e-4.
        beta_1: Decay of the first moment. Defaults to 0.5, as in pix2pix and DCGAN.
        discriminator_rate: Rate of the discriminator, as a multiple of the
            generator's. Defaults to 1.
        network_clipnorm: Norm to which the gradient of each network is clipped, over
            the whole batch. Defaults to `None`, no clipping.
        **kwargs: Passed to `keras.optimizers.Adam`. A `weight_decay` has the
            generator's rate for both networks.

    Reference:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
        Nash Equilibrium" (2017).
    """

    def __init__(
        self,
        learning_rate: Any = 2e-4,
        beta_1: float = 0.5,
        *,
        discriminator_rate: float = 1.0,
        network_clipnorm: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, **kwargs)
        self.discriminator_rate = float(discriminator_rate)
        self.network_clipnorm = network_clipnorm
        self.n_generator: int | None = None  # `Adversarial.compile` counts them

    def apply(self, grads, trainable_variables=None):
        if self.network_clipnorm is not None:
            grads, n, limit = list(grads), self._count(), self.network_clipnorm
            grads = [
                *clip_by_whole_norm(grads[:n], limit),
                *clip_by_whole_norm(grads[n:], limit),
            ]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        if self._get_variable_index(variable) >= self._count():
            learning_rate = learning_rate * self.discriminator_rate
        super().update_step(gradient, variable, learning_rate)

    def _count(self):
        if self.n_generator is None:
            raise ValueError("AdversarialAdam trains an `Adversarial` model alone.")
        return self.n_generator

    def get_config(self):
        return {
            **super().get_config(),
            "discriminator_rate": self.discriminator_rate,
            "network_clipnorm": self.network_clipnorm,
        }


@keras.saving.register_keras_serializable(package="illustkit")
class SpectralConv2D(layers.Conv2D):
    """Apply a 2D convolution whose kernel is divided by its largest singular value.

    The kernel counts as a matrix (height·width·channels, filters). Each training call
    improves an estimate of the singular vector by one power iteration; the gradient
    takes the vectors as constants. `keras.layers.SpectralNormalization` overwrites the
    kernel in each call instead, so that its gradient differs from the paper's, and on
    TensorFlow from JAX's.

    Example:
    ```python
    layer = SpectralConv2D(64, 4, strides=2)
    features = layer(pictures, training=True)
    ```

    Args:
        filters: As in `keras.layers.Conv2D`.
        kernel_size: Likewise.
        **kwargs: Passed to `keras.layers.Conv2D`; channels are last.

    Reference:
        Miyato et al., "Spectral Normalization for Generative Adversarial Networks"
        (2018), appendix A.
    """

    def __init__(self, filters: int, kernel_size: Any, **kwargs: Any) -> None:
        kwargs.setdefault("data_format", "channels_last")
        super().__init__(filters, kernel_size, **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        self.direction = self.add_weight(
            shape=(self.filters,),
            dtype="float32",
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="direction",
        )

    def save_own_variables(self, store):
        super().save_own_variables(store)  # kernel and bias alone
        store["direction"] = self.direction

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.direction.assign(store["direction"])

    def call(self, inputs, training=False):
        kernel = ops.cast(self.kernel, "float32")
        matrix = ops.reshape(kernel, (-1, self.filters))
        constant = ops.stop_gradient(matrix)
        right = _unit(self.direction.value)
        left = _unit(ops.matmul(constant, right))
        if training:
            right = _unit(ops.matmul(left, constant))
            self.direction.assign(right)
        largest = ops.sum(left * ops.matmul(matrix, right))
        kernel = ops.cast(kernel / largest, inputs.dtype)
        outputs = self.convolution_op(inputs, kernel)
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        return outputs if self.activation is None else self.activation(outputs)


def _unit(vector):
    return vector / ops.maximum(ops.sqrt(ops.sum(vector**2)), 1e-12)


def gradient_of(function: Callable[[Any], Any], x: Any) -> Any:
    """Return the gradient of a scalar function of a tensor, itself differentiable."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(function)(x)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x)


def _mean(logits):
    """Return the mean over all axes but the batch's."""
    return ops.mean(logits, axis=tuple(range(1, len(logits.shape))))


def mean_of_batch(logits: Any, axis: int | None = None) -> Any:
    """Return the mean over the whole batch, on all replicas, of all or of one axis.

    Within `ops.cond` the replicas of a TensorFlow strategy cannot talk.
    """
    mean = ops.mean(logits, axis=axis)
    if replicas_in_sync() == 1:
        return mean
    import tensorflow as tf

    return tf.distribute.get_replica_context().all_reduce("MEAN", mean)
