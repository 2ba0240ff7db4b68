"""What one evaluation of a model says: the clean picture and the noise in x_t."""

import numpy as np

from diffusion.process import check_objective


class Denoiser:
    """A model that is asked for x0 and ε, in NumPy, at one timestep for all pictures.

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
        objective: What the model gives: "noise", "x0" or "v".
        clip: Whether x0 is held to -1 to 1.
        self_condition: Whether the model is given its last x0, zeros at first.
            Defaults to `False`.

    Raises:
        ValueError: for an unknown objective; when called, for a model whose output has
            another shape, or is not finite.
    """

    def __init__(self, model, schedule, objective, *, clip, self_condition=False):
        check_objective(objective)
        self.model, self.schedule, self.objective = model, schedule, objective
        self.clip, self.self_condition = clip, self_condition
        self._x0 = None

    def __call__(self, x, t):
        """Return x0 (clipped if so wished) and ε (of the x0 before clipping)."""
        inputs = [x, np.full(len(x), t, "int32")]
        if self.self_condition:
            inputs.append(np.zeros_like(x) if self._x0 is None else self._x0)
        output = np.asarray(self.model(*inputs)).astype("float32", copy=False)
        if output.shape != x.shape:
            raise ValueError(
                "the model must give an output of the shape of its input. Received: "
                f"output.shape={output.shape}, x_t.shape={x.shape}"
            )
        if not np.isfinite(output).all():
            raise ValueError(
                f"the model's output at timestep {t} is not finite: take weights from "
                "before its training diverged, or another precision than float16."
            )
        signal, scale = self._scales(t)
        if self.objective == "noise":
            x0, noise = (x - scale * output) / signal, output
        elif self.objective == "x0":
            x0, noise = output, self.noise_of(x, t, output)
        else:
            x0, noise = signal * x - scale * output, scale * x + signal * output
        if self.clip:
            x0 = np.clip(x0, -1.0, 1.0)
        self._x0 = x0
        return x0, noise

    def noise_of(self, x, t, x0):
        """Return the ε that leads from x0 to x at timestep t."""
        signal, scale = self._scales(t)
        return (x - signal * x0) / scale

    def _scales(self, t):
        # Python floats keep float32 arrays as they are; NumPy's would widen them.
        return (
            float(self.schedule.sqrt_alphas_cumprod[t]),
            float(self.schedule.sqrt_one_minus_alphas_cumprod[t]),
        )


def check_pictures(x, rng=None, *, name="x_T"):
    """Return pictures as float32, or raise a `ValueError` that names them."""
    x = np.asarray(x)
    if x.ndim != 4 or x.dtype.kind != "f":
        raise ValueError(
            f"`{name}` must be floats (n, height, width, channels). Received: "
            f"{x.dtype} {x.shape}"
        )
    if rng is not None and (not isinstance(rng, (list, tuple)) or len(rng) != len(x)):
        raise ValueError(
            f"`rng` must be a list of {len(x)} generators, one for each picture: see "
            f"`picture_generators`. Received: {type(rng).__name__}"
            + (f" of {len(rng)}" if hasattr(rng, "__len__") else "")
        )
    return x.astype("float32")
