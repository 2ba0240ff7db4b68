"""Diffusion models without Keras: an ONNX graph in memory, and NumPy around it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusion.attributes import width
from diffusion.network.graph import SHIPPED_SAMPLING, shipped_name, unet_graph
from diffusion.schedules import make_schedule
from illustkit.engines import choose_engine, open_graph
from illustkit.errors import UserError
from illustkit.options import check_choice
from illustkit.runtime import missing_backend

if TYPE_CHECKING:
    from diffusion.gans.model import IconGAN
    from diffusion.network.model import Diffuser
    from illustkit.training.runs import Run

ENGINES = "auto", "keras", "onnx"
_ANY = None, "auto"  # precisions that ask for none


class EngineDiffuser:
    """A diffusion model whose network runs on ONNX Runtime, in float32, for sampling.

    It has what the samplers ask a `Diffuser` for, and its pictures are those of Keras
    within a level. It starts in a fraction of a second.

    Example:
    ```python
    from diffusion.sampling.exporting import network_of

    model = EngineDiffuser(*network_of("default"))
    pictures = diffusion.sample(model, 16)
    ```

    Args:
        settings: Those of a run that its network needs.
        arrays: The averaged weights by their paths.
        sampling: Sampler and steps where none are asked for. Defaults to ddim with 50.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        *,
        sampling: tuple[str, int | None] = ("ddim", None),
    ):
        self.settings, self.arrays, self.sampling = dict(settings), arrays, sampling
        self.schedule = make_schedule(settings["schedule"], settings["timesteps"])
        self.timesteps = self.schedule.timesteps
        self.objective, self.channels = settings["objective"], settings["channels"]
        self.image_size: tuple[int, int] = tuple(settings["image_size"])
        self.attributes = dict(settings.get("attributes") or {})
        self.distilled = settings.get("distilled")
        self.network: dict[str, Any] = {
            "dim_mults": tuple(settings["dim_mults"]),
            "patch": settings.get("patch") or 1,
        }
        self.unet = SimpleNamespace(
            version=settings["version"],
            dim=settings["dim"],
            self_condition=settings["self_condition"] > 0,
            attributes=width(self.attributes),
        )
        # What `fingerprint` reads: the same weights are the same model.
        self.average = SimpleNamespace(
            dtype_policy=SimpleNamespace(name="float32"),
            get_weights=lambda: [a.astype("float32") for a in arrays.values()],
        )
        self._run = open_graph(unet_graph(settings, arrays), "onnx")

    def denoiser(
        self, *, wishes: np.ndarray | None = None, guidance: float = 1.0
    ) -> Callable[..., np.ndarray]:
        """Return the network as a function that the samplers call.

        Args:
            wishes: See `Diffuser.denoiser`.
            guidance: See `Diffuser.denoiser`.

        Raises:
            UserError: If there are wishes, and the model has no attributes.
        """
        if wishes is not None and not self.attributes:
            raise UserError("This model was trained without attributes to wish for.")
        guided = wishes is not None and guidance != 1 and not self.distilled

        def model(x_t, t, x_self_cond=None):
            given = {"x_t": x_t, "t": t}
            if self.unet.self_condition:
                given["own"] = (
                    np.zeros_like(x_t) if x_self_cond is None else x_self_cond
                )
            if self.attributes:
                said = np.zeros((len(x_t), self.unet.attributes))
                given["attributes"] = said if wishes is None else said + wishes
            given = {k: np.asarray(value, "float32") for k, value in given.items()}
            if guided:
                given = {k: np.concatenate([v, v]) for k, v in given.items()}
                given["attributes"][len(x_t) :] = 0
            output = self._run(**given)
            if not guided:
                return output
            wished, without = np.split(output, 2)
            return without + np.float32(guidance) * (wished - without)

        return model


def open_model(
    run: str | os.PathLike[str] | Run,
    *,
    engine: str = "auto",
    precision: str | None = None,
) -> Diffuser | IconGAN | EngineDiffuser:
    """Open a model for sampling, on the engine that starts fastest.

    Args:
        run: A run, "default" or "quick".
        engine: "keras", "onnx", or "auto": ONNX Runtime for the package's own models
            where it is installed and there is no GPU. Defaults to "auto".
        precision: See `diffusion.load_diffuser`. Defaults to "float32".

    Returns:
        What `diffusion.load_diffuser` or `load_gan` returns, or an `EngineDiffuser`.

    Raises:
        UserError: If there is no such run or engine, the run is of a GAN and the engine
            "onnx", or `precision` is asked of ONNX Runtime, which computes in float32.
    """
    check_choice("engine", engine, ENGINES)
    shipped = shipped_name(run)
    chosen = choose_engine(engine, shipped=bool(shipped) and precision in _ANY)
    if chosen == "onnx":
        if precision not in (*_ANY, "float32"):
            raise UserError(
                "`engine` onnx computes in float32: leave `precision` out, or choose "
                f"keras. Received: {precision}"
            )
        return _on_onnx(run)
    try:
        from diffusion.gans.runs import load_model
    except ModuleNotFoundError as error:
        if not shipped or (advice := missing_backend(error)) is None:
            raise
        raise UserError(
            "The package's models make icons by ONNX Runtime alone: pip install "
            f"onnxruntime. Without it: {advice}"
        ) from error

    return load_model(run, precision=precision or "float32")


def _on_onnx(run):
    from diffusion.sampling.exporting import network_of

    settings, arrays = network_of(run)
    if shipped_name(run) and not settings.get("distilled"):
        return EngineDiffuser(settings, arrays, sampling=SHIPPED_SAMPLING)
    return EngineDiffuser(settings, arrays)
