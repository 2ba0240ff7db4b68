"""The arithmetic of diffusion: x_t from x0 and ε, and x0 and ε from a network's output.

The first three functions hold the formulas, for NumPy arrays and for backend tensors.
The training calls them through `q_sample` … `q_posterior`, with a timestep for each
picture; the samplers call them through `Denoiser`, with one timestep for all pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from diffusion.schedules import Schedule
from illustkit.errors import UserError

Tensor = Any
"""A NumPy array or a tensor of the Keras backend."""

OBJECTIVES = "noise", "x0", "v", "edm"
SIGMA_DATA = 0.5
"""Deviation of the pictures, signed scale, for which "edm" is scaled."""
SIGMA_MEAN, SIGMA_DEVIATION = -1.2, 1.2
"""Mean and deviation of the logarithm of σ in a training of "edm"."""
VERSIONS = "0.25.3", "2"


def add_noise(x0: Tensor, noise: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """Compute x_t = √ᾱ x0 + √(1 - ᾱ) ε.

    Args:
        x0: Clean pictures, NumPy array or tensor.
        noise: ε, of the shape of `x0`.
        signal: √ᾱ, a Python float (which keeps float32 as it is) or a tensor that
            broadcasts.
        sigma: √(1 - ᾱ), likewise.

    Returns:
        x_t.
    """
    return signal * x0 + sigma * noise


def noise_in(x_t: Tensor, x0: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """Compute ε = (x_t - √ᾱ x0) / √(1 - ᾱ); see `add_noise`."""
    return (x_t - signal * x0) / sigma


def x0_and_noise(
    objective: str, x_t: Tensor, output: Tensor, signal: Tensor, sigma: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the x0 and the ε that a network's output stands for.

    Args:
        objective: What the network predicts: "noise", "x0", "v" or "edm".
        x_t: Noisy pictures, NumPy array or tensor.
        output: The network's output, of the shape of `x_t`.
        signal: √ᾱ; see `add_noise`.
        sigma: √(1 - ᾱ).

    Returns:
        `(x0, noise)`, x0 not clipped.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, equation 15.
    """
    if objective == "noise":
        return (x_t - sigma * output) / signal, output
    if objective == "x0":
        return output, noise_in(x_t, output, signal, sigma)
    if objective == "edm":
        skip, out = preconditioning(signal, sigma)
        x0 = skip * x_t + out * output
        return x0, noise_in(x_t, x0, signal, sigma)
    return signal * x_t - sigma * output, sigma * x_t + signal * output


def preconditioning(signal: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Compute EDM's c_skip and c_out, for x_t: x0 = c_skip x_t + c_out F.

    EDM has them for x_t/√ᾱ and its σ, which is √((1 - ᾱ)/ᾱ). With a `SIGMA_DATA` of 1
    the output F would be -v.

    Args:
        signal: √ᾱ; see `add_noise`.
        sigma: √(1 - ᾱ).

    Returns:
        `(c_skip, c_out)`, shaped as the arguments.

    Reference:
        Karras, Aittala, Aila, Laine, Elucidating the Design Space of Diffusion-Based
        Generative Models, 2022, table 1.
    """
    power = sigma**2 + (SIGMA_DATA * signal) ** 2
    return SIGMA_DATA**2 * signal / power, SIGMA_DATA * sigma / power**0.5


def input_scales(schedule: Schedule) -> np.ndarray:
    """Compute EDM's c_in of each timestep, by which a network's x_t is multiplied.

    The network's timestep t stands in the place of c_noise, since σ rises with it.

    Args:
        schedule: A `Schedule`.

    Returns:
        NumPy float64 `(timesteps,)`.

    Reference:
        See `preconditioning`.
    """
    bar = schedule.alphas_cumprod
    return ((1 - bar) + SIGMA_DATA**2 * bar) ** -0.5


def timestep_chances(schedule: Schedule) -> np.ndarray:
    """Compute how often each timestep is learnt by "edm": its σ is log-normal.

    A timestep has the probability of all σ that lie nearest to its own, by logarithm.

    Args:
        schedule: A `Schedule`.

    Returns:
        NumPy float64 `(timesteps,)`, whose sum is 1.

    Reference:
        See `preconditioning`.
    """
    levels = np.log(schedule.snr) / -2
    between = ((levels[1:] + levels[:-1]) / 2 - SIGMA_MEAN) / SIGMA_DEVIATION
    below = [(1 + math.erf(z / math.sqrt(2))) / 2 for z in between]
    return np.diff(below, prepend=0.0, append=1.0)


def q_sample(schedule: Schedule, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Add the noise of timestep t to clean pictures: x_t = √ᾱ x0 + √(1 - ᾱ) ε.

    Example:
    ```python
    schedule = make_schedule("cosine")
    t = keras.random.randint((len(x0),), 0, schedule.timesteps)
    x_t = q_sample(schedule, x0, t, keras.random.normal(x0.shape))
    ```

    Args:
        schedule: A `Schedule`.
        x0: Clean pictures `(batch, height, width, channels)`, signed scale.
        t: Timesteps from 0 to T - 1, int `(batch,)`.
        noise: ε, standard normal, of the shape of `x0`.

    Returns:
        x_t, float32, of the shape of `x0`.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, equation 4.
    """
    x0, noise = _float32(x0, noise)
    return add_noise(x0, noise, *_scales_at(schedule, t, x0))


def target(
    schedule: Schedule, objective: str, x0: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Compute what the network learns to predict for x_t.

    Example:
    ```python
    loss = keras.ops.abs(network([x_t, t]) - target(schedule, "v", x0, t, noise))
    ```

    Args:
        schedule: A `Schedule`.
        objective: "noise" for ε, "x0" for the clean picture, "v" for
            v = √ᾱ ε - √(1 - ᾱ) x0, or "edm" for (x0 - c_skip x_t) / c_out; see
            `preconditioning`.
        x0: Clean pictures `(batch, height, width, channels)`, signed scale.
        t: Timesteps, int `(batch,)`.
        noise: ε, of the shape of `x0`.

    Returns:
        float32, of the shape of `x0`.

    Raises:
        ValueError: If `objective` is invalid.

    Reference:
        - Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, section 3.2
        - Salimans, Ho, Progressive Distillation for Fast Sampling of Diffusion Models,
          2022, section 4 (v)
    """
    check_objective(objective)
    x0, noise = _float32(x0, noise)
    if objective == "noise":
        return noise
    if objective == "x0":
        return x0
    signal, sigma = _scales_at(schedule, t, x0)
    if objective == "edm":
        # Without the difference of x0 and c_skip x_t, which float32 rounds off.
        power = sigma**2 + (SIGMA_DATA * signal) ** 2
        clean = sigma / SIGMA_DATA * x0
        return (clean - SIGMA_DATA * signal * noise) / power**0.5
    return signal * noise - sigma * x0


def predict_x0(
    schedule: Schedule, objective: str, x_t: Tensor, t: Tensor, output: Tensor
) -> Tensor:
    """Compute the clean picture that a network's output stands for, not clipped.

    Args:
        schedule: A `Schedule`.
        objective: What the network predicts: "noise", "x0", "v" or "edm".
        x_t: Noisy pictures `(batch, height, width, channels)`.
        t: Their timesteps, int `(batch,)`.
        output: The network's output, of the shape of `x_t`.

    Returns:
        float32, of the shape of `x_t`, signed scale.

    Raises:
        ValueError: If `objective` is invalid.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, equation 15.
    """
    check_objective(objective)
    x_t, output = _float32(x_t, output)
    return x0_and_noise(objective, x_t, output, *_scales_at(schedule, t, x_t))[0]


def predict_noise(schedule: Schedule, x_t: Tensor, t: Tensor, x0: Tensor) -> Tensor:
    """Compute the noise in x_t, given the clean picture: (x_t - √ᾱ x0) / √(1 - ᾱ).

    Args:
        schedule: A `Schedule`.
        x_t: Noisy pictures `(batch, height, width, channels)`.
        t: Their timesteps, int `(batch,)`.
        x0: Clean pictures, of the shape of `x_t`.

    Returns:
        ε, float32, of the shape of `x_t`.
    """
    x_t, x0 = _float32(x_t, x0)
    return noise_in(x_t, x0, *_scales_at(schedule, t, x_t))


def q_posterior(
    schedule: Schedule, x0: Tensor, x_t: Tensor, t: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the distribution of x_{t-1}, given x_t and the clean picture.

    Args:
        schedule: A `Schedule`.
        x0: Clean pictures `(batch, height, width, channels)`.
        x_t: Noisy pictures, of the shape of `x0`.
        t: Timesteps of `x_t`, int `(batch,)`.

    Returns:
        `(mean, variance, log_variance)`, float32: the mean of the shape of `x0`, the
        others `(batch, 1, 1, 1)`; the variance is 0 at t = 0, and the logarithm is of
        at least 1e-20.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, equations 6
        and 7.
    """
    x0, x_t = _float32(x0, x_t)
    mean = _at(schedule.posterior_mean_coef1, t, x0) * x0
    mean = mean + _at(schedule.posterior_mean_coef2, t, x0) * x_t
    variance = _at(schedule.posterior_variance, t, x0)
    return mean, variance, _at(schedule.posterior_log_variance_clipped, t, x0)


def loss_weights(
    schedule: Schedule,
    objective: str,
    *,
    min_snr_gamma: float | None = None,
    p2_gamma: float = 0.0,
    p2_k: float = 1.0,
    version: str = "0.25.3",
) -> np.ndarray:
    """Compute the weight of each timestep in the loss.

    Version "0.25.3" weighs all timesteps alike, whatever the objective; version "2"
    weighs as if the error were that of ε, so that "x0" has the weight SNR and "v" has
    ᾱ. With `min_snr_gamma` the SNR is clipped to that number, in both versions; the p2
    weight (k + SNR)^-γ multiplies. "edm" has its own weight in c_out, so that its error
    counts alike at all timesteps.

    Example:
    ```python
    loss_weights(schedule, "v", min_snr_gamma=5)          # float64 (timesteps,)
    ```

    Args:
        schedule: A `Schedule`.
        objective: "noise", "x0", "v" or "edm".
        min_snr_gamma: γ of min-SNR, usually 5. Defaults to `None`, no min-SNR.
        p2_gamma: γ of the p2 weight. Defaults to 0, no weight.
        p2_k: Its k. Defaults to 1.
        version: "0.25.3" or "2". Defaults to "0.25.3".

    Returns:
        NumPy float64 `(timesteps,)`.

    Raises:
        ValueError: If `objective` or `version` is invalid, or a γ or k out of range.

    Reference:
        - Hang et al., Efficient Diffusion Training via Min-SNR Weighting Strategy, 2023
        - Choi et al., Perception Prioritized Training of Diffusion Models, 2022,
          equation 8
    """
    check_objective(objective)
    check_version(version)
    if min_snr_gamma is not None and not min_snr_gamma > 0 or p2_gamma < 0 or p2_k < 0:
        raise UserError(
            "`min_snr_gamma` must be positive, `p2_gamma` and `p2_k` not negative. "
            f"Received: {min_snr_gamma}, {p2_gamma}, {p2_k}"
        )
    if objective == "edm" and min_snr_gamma is not None:
        raise UserError(
            'The objective "edm" has weights of its own: leave `min_snr_gamma` out. '
            f"Received: {min_snr_gamma}"
        )
    snr = schedule.snr
    clipped = snr if min_snr_gamma is None else np.minimum(snr, float(min_snr_gamma))
    weights = np.ones_like(snr)
    if objective != "edm" and (min_snr_gamma is not None or version == "2"):
        weights = {"noise": clipped / snr, "x0": clipped, "v": clipped / (snr + 1)}[
            objective
        ]
    return weights * (p2_k + snr) ** -p2_gamma


def check_objective(objective: str) -> None:
    """Raise a `ValueError` unless `objective` is one of `OBJECTIVES`."""
    if objective not in OBJECTIVES:
        raise UserError(
            f"`objective` must be one of {OBJECTIVES}. Received: {objective!r}"
        )


def check_version(version: str) -> None:
    """Raise a `ValueError` unless `version` is one of `VERSIONS`."""
    if version not in VERSIONS:
        raise UserError(f"`version` must be one of {VERSIONS}. Received: {version!r}")


def _float32(*tensors):
    from keras import ops  # late: the samplers need NumPy alone

    return tuple(
        ops.cast(ops.convert_to_tensor(tensor), "float32") for tensor in tensors
    )


def _scales_at(schedule, t, like):
    """Return √ᾱ and √(1 - ᾱ) at the timesteps, as `_at`."""
    signal, sigma = schedule.sqrt_alphas_cumprod, schedule.sqrt_one_minus_alphas_cumprod
    return _at(signal, t, like), _at(sigma, t, like)


def _at(values, t, like):
    """Return values at the timesteps, float32 `(batch, 1, …)` of the rank of `like`."""
    from keras import ops

    values = ops.convert_to_tensor(values.astype("float32"))
    picked = ops.take(values, ops.cast(ops.convert_to_tensor(t), "int32"), axis=0)
    return ops.reshape(picked, (-1,) + (1,) * (len(like.shape) - 1))


class Denoiser:
    """Calls a model for x0 and ε, in NumPy, at one timestep for all pictures.

    Example:
    ```python
    denoise = Denoiser(model, schedule, "noise", clip=True)
    x0, noise = denoise(x, 999)
    ```

    Args:
        model: Callable `model(x_t, t)`, or `model(x_t, t, x_self_cond)` with
            self-conditioning, from float32 `(n, height, width, channels)` and int32
            `(n,)` to the shape of `x_t`.
        schedule: A `Schedule`.
        objective: What the model predicts: "noise", "x0", "v" or "edm".
        clip: Whether to clip x0 to -1 to 1.
        self_condition: Whether to give the model its last x0, zeros at first. Defaults
            to `False`.

    Raises:
        ValueError: If `objective` is invalid; when called, if the model's output has
            another shape than its input or is not finite.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        schedule: Schedule,
        objective: str,
        *,
        clip: bool,
        self_condition: bool = False,
    ):
        check_objective(objective)
        self.model, self.schedule, self.objective = model, schedule, objective
        self.clip, self.self_condition = clip, self_condition
        self._x0: np.ndarray | None = None

    def __call__(self, x: np.ndarray, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Return x0, clipped with `clip`, and the ε of the x0 before clipping."""
        inputs = [x, np.full(len(x), t, "int32")]
        if self.self_condition:
            inputs.append(np.zeros_like(x) if self._x0 is None else self._x0)
        return self.read(x, t, self.model(*inputs))

    def read(self, x: np.ndarray, t: int, output: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return what a model's output for x stands for, as a call does."""
        output = np.asarray(output).astype("float32", copy=False)
        if output.shape != x.shape:
            raise UserError(
                "the model must give an output of the shape of its input. Received: "
                f"output.shape={output.shape}, x_t.shape={x.shape}"
            )
        if not np.isfinite(output).all():
            raise UserError(
                f"the model's output at timestep {t} is not finite: take weights from "
                "before its training diverged, or another precision than float16."
            )
        x0, noise = x0_and_noise(self.objective, x, output, *self._scales(t))
        if self.clip:
            x0 = np.clip(x0, -1.0, 1.0)
        self._x0 = x0
        return x0, noise

    def noise_of(self, x: np.ndarray, t: int, x0: np.ndarray) -> np.ndarray:
        """Return the ε that leads from x0 to x at timestep t."""
        return noise_in(x, x0, *self._scales(t))

    def _scales(self, t):
        """Return √ᾱ and √(1 - ᾱ) at timestep t."""
        # Python floats keep float32 arrays as they are; NumPy's would widen them.
        return (
            float(self.schedule.sqrt_alphas_cumprod[t]),
            float(self.schedule.sqrt_one_minus_alphas_cumprod[t]),
        )


def check_pictures(x: Any, rng: Any = None, *, name: str = "x_T") -> np.ndarray:
    """Return pictures as float32; raise a `ValueError` that names an invalid array."""
    x = np.asarray(x)
    if x.ndim != 4 or x.dtype.kind != "f":
        raise UserError(
            f"`{name}` must be floats (n, height, width, channels). Received: "
            f"{x.dtype} {x.shape}"
        )
    if rng is not None and (not isinstance(rng, (list, tuple)) or len(rng) != len(x)):
        raise UserError(
            f"`rng` must be a list of {len(x)} generators, one for each picture: see "
            f"`picture_generators`. Received: {type(rng).__name__}"
            + (f" of {len(rng)}" if hasattr(rng, "__len__") else "")
        )
    return x.astype("float32")
