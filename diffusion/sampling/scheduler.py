"""A sampler that is called step by step, for loops that were written for diffusers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from diffusion.process import Denoiser, check_pictures
from diffusion.sampling.heun import heun_steps, heun_timesteps
from diffusion.sampling.samplers import (
    Generators,
    Steps,
    ddim_steps,
    ddim_timesteps,
    ddpm_steps,
    dpm_steps,
    dpm_timesteps,
)
from diffusion.schedules import Schedule
from illustkit.errors import UserError
from illustkit.options import check_choice, check_number

SAMPLERS = "ddim", "ddpm", "dpm++", "heun"


class Step(NamedTuple):
    """Holds the result of a step.

    Args:
        prev_sample: Less noisy pictures, the next `sample`.
        pred_original_sample: The estimate of the clean pictures, x0.
    """

    prev_sample: np.ndarray
    pred_original_sample: np.ndarray


class Scheduler:
    """Step from noise to pictures, with the loop left to the caller.

    The steps are those of `diffusion.ddim`, `ddpm`, `dpm_solver_pp` and `heun`. A
    sample may be changed between two steps. After the last step the next one is the
    first again.

    Example:
    ```python
    scheduler = Scheduler(schedule, objective="noise", sampler="dpm++", steps=12)
    for t in scheduler.timesteps:
        output = model(sample, np.full(len(sample), t))
        sample = scheduler.step(output, t, sample).prev_sample
    ```

    Args:
        schedule: A `Schedule`.
        objective: What the model predicts: "noise", "x0" or "v".
        sampler: "ddim" (of version "2": from the last timestep to the clean picture),
            "ddpm" (all timesteps), "dpm++" or "heun". Defaults to "ddim".
        steps: Steps; "ddpm" takes all, and "heun" lists all but the last timestep
            twice or so: 2S - 1 evaluations. Defaults to 50.
        eta: Noise of DDIM, 0 to 1. Defaults to 0.
        rng: List of a generator for each picture, for "ddpm" and for `eta` above 0; see
            `diffusion.sampling.samplers.picture_generators`.
        clip: Whether to clip each estimate of the picture to -1 to 1. Defaults to
            `True`.

    Raises:
        ValueError: If an option is invalid, or there are more steps than timesteps.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        objective: str,
        sampler: str = "ddim",
        steps: int = 50,
        eta: float = 0.0,
        rng: Generators | None = None,
        clip: bool = True,
    ) -> None:
        check_choice("sampler", sampler, SAMPLERS)
        check_number("eta", eta, least=0, most=1)
        if rng is None and (sampler == "ddpm" or eta):
            raise UserError(
                "The sampler adds noise: give `rng`, a generator for each picture. "
                f"Received: sampler={sampler!r}, eta={eta}, rng=None"
            )
        self.schedule, self.objective = schedule, objective
        self.sampler, self.eta, self.rng, self.clip = sampler, eta, rng, clip
        self._denoise = Denoiser(_asked, schedule, objective, clip=clip)
        if sampler == "ddpm":
            self._times = list(range(schedule.timesteps - 1, -1, -1))
        elif sampler == "ddim":
            self._pairs = ddim_timesteps(schedule.timesteps, steps, "2")
            self._times = [t for t, _ in self._pairs]
        elif sampler == "dpm++":
            spacing = "logsnr" if steps <= 20 else "time"  # as `diffusion.sample`
            self._times = dpm_timesteps(schedule, steps, spacing=spacing)
        else:
            self._times = heun_timesteps(schedule, steps)
        self._begin()

    @property
    def timesteps(self) -> np.ndarray:
        """Return the timestep of each evaluation, int64, from noise to picture."""
        if self.sampler != "heun":
            return np.array(self._times)
        # At both ends of each step; the last step ends on the clean picture.
        pairs = zip(self._times[:-1], self._times[1:], strict=True)
        return np.array([t for pair in pairs for t in pair] + self._times[-1:])

    def _begin(self):
        self._steps: Steps
        if self.sampler == "ddpm":
            self._steps = ddpm_steps(self.schedule, self._times[0], self.rng or [])
        elif self.sampler == "ddim":
            self._steps = ddim_steps(
                self._denoise, self._pairs, eta=self.eta, version="2", rng=self.rng
            )
        elif self.sampler == "dpm++":
            self._steps = dpm_steps(self.schedule, self._times)
        else:
            self._steps = heun_steps(self.schedule, self._times)
        _, self._next = next(self._steps)

    def step(self, output: Any, t: int, sample: np.ndarray) -> Step:
        """Take one step.

        Args:
            output: The model's output for `sample` and `t`.
            t: The timestep, the next of `timesteps`.
            sample: Noisy pictures, float `(n, height, width, channels)`.

        Returns:
            `Step`: `prev_sample` and `pred_original_sample`, float32.

        Raises:
            ValueError: If `t` is not the next timestep, or arrays do not fit.
        """
        if int(t) != self._next:
            raise UserError(
                "Steps are taken in the order of `timesteps`: the next is "
                f"{self._next}. Received: t={t}"
            )
        x = check_pictures(sample, self.rng, name="sample")
        x0, noise = self._denoise.read(x, int(t), output)
        try:
            after, self._next = self._steps.send((x, x0, noise))
        except StopIteration as end:
            after = end.value
            self._begin()
        return Step(after, x0)

    def add_noise(self, x0: np.ndarray, noise: np.ndarray, t: int) -> np.ndarray:
        """Return pictures with the noise of a timestep: √ᾱ x0 + √(1 - ᾱ) ε."""
        signal = float(self.schedule.sqrt_alphas_cumprod[t])
        sigma = float(self.schedule.sqrt_one_minus_alphas_cumprod[t])
        return signal * x0 + sigma * noise


def _asked(*inputs):
    raise TypeError("A scheduler asks no model: call `step` with its output.")
