"""Models whose samples are known: the best guess for Gaussian pictures, and a toy."""

import numpy as np

START = np.linspace(-1.5, 1.5, 6, dtype="float32").reshape(1, 2, 3, 1)[:, :, ::-1]
"""x_T of the known samples."""


def toy(x, t, x_self_cond=None):
    """Any smooth function of its arguments; the known samples were made with it."""
    x, t = np.asarray(x, "float32"), np.asarray(t, "float32")
    output = np.tanh(np.float32(0.8) * x + np.float32(0.3))
    output += np.float32(0.2) * np.cos(t / np.float32(150))[:, None, None, None]
    if x_self_cond is not None:
        output += np.float32(0.1) * x_self_cond
    return output


class Recorder:
    """A model that notes the timesteps it was asked for."""

    def __init__(self, model=toy):
        self.model, self.times, self.own = model, [], []

    def __call__(self, x, t, x_self_cond=None):
        assert x.dtype == "float32" and t.dtype == "int32" and t.shape == (len(x),)
        assert len(set(t.tolist())) == 1
        self.times.append(int(t[0]))
        self.own.append(x_self_cond)
        return self.model(x, t, x_self_cond)


def gaussian_model(schedule, objective, mean, deviation):
    """The best model of pictures whose pixels are independently N(mean, deviation²)."""

    def model(x, t):
        a = schedule.alphas_cumprod[t[0]]
        noise = np.sqrt(1 - a) * (x - np.sqrt(a) * mean)
        noise = noise / (a * deviation**2 + 1 - a)
        x0 = (x - np.sqrt(1 - a) * noise) / np.sqrt(a)
        v = np.sqrt(a) * noise - np.sqrt(1 - a) * x0
        return {"noise": noise, "x0": x0, "v": v}[objective].astype("float32")

    return model
