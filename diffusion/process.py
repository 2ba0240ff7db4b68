"""The forward process: noise added to a picture, and what a network learns of it.

Everything is float32, whatever the precision policy: at the noisy end of the cosine
schedule √ᾱ is 5e-5, of which bfloat16 keeps two digits and float16 makes a denormal.
"""

import numpy as np
from keras import ops

OBJECTIVES = "noise", "x0", "v"
VERSIONS = "0.25.3", "2"


def q_sample(schedule, x0, t, noise):
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
    signal = _at(schedule.sqrt_alphas_cumprod, t, x0)
    return signal * x0 + _at(schedule.sqrt_one_minus_alphas_cumprod, t, x0) * noise


def target(schedule, objective, x0, t, noise):
    """What the network learns to give for x_t.

    Example:
    ```python
    loss = keras.ops.abs(network([x_t, t]) - target(schedule, "v", x0, t, noise))
    ```

    Args:
        schedule: A `Schedule`.
        objective: "noise" for ε, "x0" for the clean picture, or "v" for
            v = √ᾱ ε - √(1 - ᾱ) x0.
        x0: Clean pictures `(batch, height, width, channels)`, signed scale.
        t: Timesteps, int `(batch,)`.
        noise: ε, of the shape of `x0`.

    Returns:
        float32, of the shape of `x0`.

    Raises:
        ValueError: for an unknown objective.

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
    signal = _at(schedule.sqrt_alphas_cumprod, t, x0)
    return signal * noise - _at(schedule.sqrt_one_minus_alphas_cumprod, t, x0) * x0


def predict_x0(schedule, objective, x_t, t, output):
    """The clean picture that a network's output stands for, not clipped.

    Args:
        schedule: A `Schedule`.
        objective: What the network gives: "noise", "x0" or "v".
        x_t: Noisy pictures `(batch, height, width, channels)`.
        t: Their timesteps, int `(batch,)`.
        output: The network's output, of the shape of `x_t`.

    Returns:
        float32, of the shape of `x_t`, signed scale.

    Raises:
        ValueError: for an unknown objective.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, equation 15.
    """
    check_objective(objective)
    x_t, output = _float32(x_t, output)
    if objective == "x0":
        return output
    signal, noise = schedule.sqrt_alphas_cumprod, schedule.sqrt_one_minus_alphas_cumprod
    if objective == "noise":
        return _at(1.0 / signal, t, x_t) * x_t - _at(noise / signal, t, x_t) * output
    return _at(signal, t, x_t) * x_t - _at(noise, t, x_t) * output


def predict_noise(schedule, x_t, t, x0):
    """The noise in x_t where `x0` is the clean picture: (x_t - √ᾱ x0) / √(1 - ᾱ).

    Args:
        schedule: A `Schedule`.
        x_t: Noisy pictures `(batch, height, width, channels)`.
        t: Their timesteps, int `(batch,)`.
        x0: Clean pictures, of the shape of `x_t`.

    Returns:
        ε, float32, of the shape of `x_t`.
    """
    x_t, x0 = _float32(x_t, x0)
    signal, noise = schedule.sqrt_alphas_cumprod, schedule.sqrt_one_minus_alphas_cumprod
    return _at(1.0 / noise, t, x_t) * x_t - _at(signal / noise, t, x_t) * x0


def q_posterior(schedule, x0, x_t, t):
    """The distribution of x_{t-1} where both x_t and the clean picture are known.

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
    schedule, objective, *, min_snr_gamma=None, p2_gamma=0.0, p2_k=1.0, version="0.25.3"
):
    """Weight of each timestep in the loss.

    Version "0.25.3" weighs all timesteps alike, whatever the objective; version "2"
    weighs as if the error were that of ε, so that "x0" has the weight SNR and "v" has
    ᾱ. With `min_snr_gamma` the SNR is held to that number, in both versions; the p2
    weight (k + SNR)^-γ multiplies.

    Example:
    ```python
    loss_weights(schedule, "v", min_snr_gamma=5)          # float64 (timesteps,)
    ```

    Args:
        schedule: A `Schedule`.
        objective: "noise", "x0" or "v".
        min_snr_gamma: γ of min-SNR, usually 5. Defaults to `None`, no min-SNR.
        p2_gamma: γ of the p2 weight. Defaults to 0, no weight.
        p2_k: Its k. Defaults to 1.
        version: "0.25.3" or "2". Defaults to "0.25.3".

    Returns:
        NumPy float64 `(timesteps,)`.

    Raises:
        ValueError: for an unknown objective or version, or a γ or k out of its range.

    Reference:
        - Hang et al., Efficient Diffusion Training via Min-SNR Weighting Strategy, 2023
        - Choi et al., Perception Prioritized Training of Diffusion Models, 2022,
          equation 8
    """
    check_objective(objective)
    check_version(version)
    if min_snr_gamma is not None and not min_snr_gamma > 0 or p2_gamma < 0 or p2_k < 0:
        raise ValueError(
            "`min_snr_gamma` must be positive, `p2_gamma` and `p2_k` not negative. "
            f"Received: {min_snr_gamma}, {p2_gamma}, {p2_k}"
        )
    snr = schedule.snr
    held = snr if min_snr_gamma is None else np.minimum(snr, float(min_snr_gamma))
    weights = np.ones_like(snr)
    if min_snr_gamma is not None or version == "2":
        weights = {"noise": held / snr, "x0": held, "v": held / (snr + 1)}[objective]
    return weights * (p2_k + snr) ** -p2_gamma


def check_objective(objective):
    """Raise a `ValueError` unless the objective is a known one."""
    if objective not in OBJECTIVES:
        raise ValueError(
            f"`objective` must be one of {OBJECTIVES}. Received: {objective!r}"
        )


def check_version(version):
    """Raise a `ValueError` unless the version is a known one."""
    if version not in VERSIONS:
        raise ValueError(f"`version` must be one of {VERSIONS}. Received: {version!r}")


def _float32(*tensors):
    return tuple(
        ops.cast(ops.convert_to_tensor(tensor), "float32") for tensor in tensors
    )


def _at(values, t, like):
    """Values at the timesteps, float32 `(batch, 1, …)` with as many axes as `like`."""
    values = ops.convert_to_tensor(values.astype("float32"))
    picked = ops.take(values, ops.cast(ops.convert_to_tensor(t), "int32"), axis=0)
    return ops.reshape(picked, (-1,) + (1,) * (len(like.shape) - 1))
