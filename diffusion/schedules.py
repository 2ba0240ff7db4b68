"""Noise schedules: how much of the picture is left at each timestep, in float64."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Schedule:
    """The constants of one diffusion process, a float64 `(timesteps,)` array each.

    In the papers' symbols, with index t from 0 to T - 1: `betas` are β, `alphas` are
    α = 1 - β, `alphas_cumprod` are ᾱ (the share of the picture's variance that is left)
    and `alphas_cumprod_prev` are ᾱ of the timestep before, 1 at t = 0. The arrays are
    read-only.

    Example:
    ```python
    schedule = make_schedule("cosine", timesteps=1000)
    schedule.alphas_cumprod[499]              # 0.49384359
    same = make_schedule(**schedule.config)
    ```

    Args:
        kind: Name of the schedule: "linear", "cosine" or "sigmoid".
        options: Dict of that schedule's options, complete.
        betas: β, float64 `(timesteps,)`, above 0 and below 1.

    Raises:
        ValueError: for betas outside of 0 to 1.

    Reference:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, section 2;
        `posterior_*` are its equations 6 and 7.
    """

    kind: str
    options: dict
    betas: np.ndarray
    alphas: np.ndarray = field(init=False)
    alphas_cumprod: np.ndarray = field(init=False)
    alphas_cumprod_prev: np.ndarray = field(init=False)
    sqrt_alphas_cumprod: np.ndarray = field(init=False)
    sqrt_one_minus_alphas_cumprod: np.ndarray = field(init=False)
    posterior_variance: np.ndarray = field(init=False)
    posterior_log_variance_clipped: np.ndarray = field(init=False)
    posterior_mean_coef1: np.ndarray = field(init=False)
    posterior_mean_coef2: np.ndarray = field(init=False)
    snr: np.ndarray = field(init=False)

    def __post_init__(self):
        betas = np.array(self.betas, "float64")
        if betas.ndim != 1 or not len(betas) or not np.all((betas > 0) & (betas < 1)):
            raise ValueError(
                "`betas` must be one row of numbers between 0 and 1. Received: "
                f"shape {betas.shape}, {betas.min(initial=np.inf):.6g} to "
                f"{betas.max(initial=-np.inf):.6g}"
            )
        alphas = 1.0 - betas
        bar = np.cumprod(alphas)
        before = np.concatenate([[1.0], bar[:-1]])
        variance = betas * (1.0 - before) / (1.0 - bar)
        values = {
            "options": dict(self.options),
            "betas": betas,
            "alphas": alphas,
            "alphas_cumprod": bar,
            "alphas_cumprod_prev": before,
            "sqrt_alphas_cumprod": np.sqrt(bar),
            "sqrt_one_minus_alphas_cumprod": np.sqrt(1.0 - bar),
            "posterior_variance": variance,
            # The variance is 0 at t = 0, where no noise is added.
            "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
            "posterior_mean_coef1": betas * np.sqrt(before) / (1.0 - bar),
            "posterior_mean_coef2": (1.0 - before) * np.sqrt(alphas) / (1.0 - bar),
            "snr": bar / (1.0 - bar),
        }
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    @property
    def timesteps(self):
        """T, the number of timesteps."""
        return len(self.betas)

    @property
    def config(self):
        """Dict from which `make_schedule(**config)` makes the same schedule."""
        return {"kind": self.kind, "timesteps": self.timesteps, **self.options}

    def __repr__(self):
        config = ", ".join(f"{name}={value!r}" for name, value in self.config.items())
        return f"make_schedule({config})"


def make_schedule(kind="cosine", timesteps=1000, **options):
    """Make one of the usual noise schedules.

    Example:
    ```python
    schedule = make_schedule("sigmoid", timesteps=1000, tau=0.9)
    ```

    Args:
        kind: "linear" (Ho et al.), "cosine" (Nichol and Dhariwal) or "sigmoid" (Jabri
            et al.). Defaults to "cosine".
        timesteps: T. Defaults to 1000.
        **options: "linear": `beta_start` (1e-4) and `beta_end` (0.02), those of 1,000
            timesteps, multiplied by 1000 / T; "cosine": `s` (0.008) and `max_beta`
            (0.999); "sigmoid": `start` (-3), `end` (3), `tau` (1) and `max_beta`
            (0.999).

    Returns:
        A `Schedule`.

    Raises:
        ValueError: for an unknown kind or option, or one that gives no schedule.

    Reference:
        - Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020, section 4
        - Nichol, Dhariwal, Improved Denoising Diffusion Probabilistic Models, 2021,
          section 3.2
        - Jabri, Fleet, Chen, Scalable Adaptive Computation for Iterative Generation,
          2022, appendix
    """
    if kind not in _KINDS:
        raise ValueError(f"`kind` must be one of {(*_KINDS,)}. Received: {kind!r}")
    if isinstance(timesteps, bool) or timesteps != int(timesteps) or timesteps < 1:
        raise ValueError(
            f"`timesteps` must be a whole number above 0. Received: {timesteps!r}"
        )
    make_betas, defaults = _KINDS[kind]
    if unknown := sorted(set(options) - set(defaults)):
        raise ValueError(
            f"a {kind} schedule has the options {(*defaults,)}. Received: {unknown}"
        )
    options = {name: float(options.get(name, defaults[name])) for name in defaults}
    with np.errstate(all="ignore"):
        betas = make_betas(int(timesteps), **options)
    if not np.all((betas > 0) & (betas < 1)):
        raise ValueError(
            f"a {kind} schedule of {timesteps} timesteps with {options} has betas "
            "outside of 0 to 1: take more timesteps, or other options."
        )
    return Schedule(kind, options, betas)


def _linear_betas(timesteps, *, beta_start, beta_end):
    scale = 1000 / timesteps
    return np.linspace(scale * beta_start, scale * beta_end, timesteps)


def _cosine_betas(timesteps, *, s, max_beta):
    t = np.arange(timesteps + 1) / timesteps
    return _betas(np.cos((t + s) / (1 + s) * np.pi / 2) ** 2, max_beta)


def _sigmoid_betas(timesteps, *, start, end, tau, max_beta):
    t = np.arange(timesteps + 1) / timesteps
    # The two ends are float32, as in the code that trained the known models.
    first, last = _sigmoid(np.array([start / tau, end / tau], "float32"))
    bar = float(last) - _sigmoid((t * (end - start) + start) / tau)
    return _betas(bar / float(last - first), max_beta)


def _sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def _betas(bar, max_beta):
    """β from ᾱ at T + 1 times, of which the first is the clean picture."""
    return np.clip(1.0 - bar[1:] / bar[:-1], 0.0, max_beta)


_KINDS = {
    "linear": (_linear_betas, {"beta_start": 1e-4, "beta_end": 0.02}),
    "cosine": (_cosine_betas, {"s": 0.008, "max_beta": 0.999}),
    "sigmoid": (
        _sigmoid_betas,
        {"start": -3.0, "end": 3.0, "tau": 1.0, "max_beta": 0.999},
    ),
}
