"""Export a model with its sampler: from noise and wishes to icons, in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusion.network.graph import SHIPPED, UNetNodes, shipped_name
from diffusion.sampling.samplers import Steps, ddim_steps, dpm_steps, dpm_timesteps
from diffusion.schedules import Schedule, make_schedule
from illustkit.engines import OnnxGraph
from illustkit.errors import UserError
from illustkit.exported import is_exported
from illustkit.files import check_writable, expand_user, write_whole
from illustkit.options import check_number

if TYPE_CHECKING:
    from diffusion.network.model import Diffuser
    from illustkit.training.runs import Run

ICONS = "icons"
LINEAR = "noise", "x0", "v"
"""Objectives of networks that see x_t and t as they are."""
STEPS = 12
COLUMNS = "t", "x0_of_x", "x0_of_output", "x", "x0", "x0_before"


def export(
    model: Diffuser | Run | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    steps: int | None = None,
    int8: bool = False,
) -> Path:
    """Export a model and its sampler to one ONNX or TFLite file.

    The file needs nothing of this package: it takes noise and wishes, and gives icons.
    It samples by DPM-Solver++, or in a distilled model's own steps, and computes in
    float32. By these names, channels last:

    | name | shape | |
    |-|-|-|
    | `noise` | (n, height, width, channels) | standard normal, float32 |
    | `attributes` | (n, values) | 1 where a value is wished, float32; if it has any |
    | `guidance` | (1,) | how strongly wishes count, float32; not of a distilled model |
    | `icons` | (n, height, width, channels) | uint8 |

    A TFLite file makes one icon at a time. The ONNX metadata, or the TFLite file's
    description, is a dict that holds the attributes with their values in order, and the
    guidance to give. ONNX needs neither TensorFlow nor the `onnx` package.

    Example:
    ```python
    diffusion.export("runs/icons", "icon.onnx")
    ```

    Args:
        model: A `Diffuser`, a run (its folder, or the `Run`), "default" or "quick".
        path: The file to write, `.onnx` or `.tflite`; an existing file is replaced
            once the new one is whole. The folder must exist.
        steps: Evaluations of the network. Defaults to 12, or a distilled model's own.
        int8: Whether a TFLite file stores its weights in 8 bits, at a quarter of the
            size. Defaults to `False`.

    Returns:
        The path.

    Raises:
        UserError: If the suffix is another, `int8` is asked of an ONNX file, the model
            takes pictures of any size, or a TFLite file is asked for where Keras runs
            on another backend than TensorFlow.
    """
    path = check_target(path, int8=int8)
    settings, arrays = network_of(model)
    table = sampling_table(settings, steps)
    about = describe_file(settings, len(table))
    if path.suffix.lower() == ".onnx":
        return write_whole(path, sampler_graph(settings, arrays, table, about))
    from diffusion.sampling.tflite import write_tflite

    return write_tflite(settings, arrays, table, path, about, int8=int8)


def check_target(path: str | os.PathLike[str], *, int8: bool = False) -> Path:
    """Raise what prevents an export to a file, before anything is loaded.

    Args:
        path: See `export`.
        int8: See `export`.

    Returns:
        The path as a `Path`, "~" expanded.

    Raises:
        UserError: See `export`.
    """
    path = expand_user(path)
    if not is_exported(path):
        raise UserError(f"{path}: a model is exported as .onnx or .tflite.")
    if int8 and path.suffix.lower() != ".tflite":
        raise UserError(f"{path}: 8 bits are for .tflite files: name such a file.")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}: make it first.")
    check_writable(path.parent)
    if path.suffix.lower() == ".tflite":
        from illustkit.exported import check_export

        check_export(path)
    return path


def network_of(
    model: Diffuser | Run | str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what builds a model's network: its settings, and its averaged weights.

    The package's own models are read without Keras.

    Args:
        model: See `export`.

    Returns:
        `(settings, arrays)`: those of a run that the network needs, and its weights by
        their paths.

    Raises:
        UserError: If there is no such model, or it takes pictures of any size.
    """
    if name := shipped_name(model):
        from illustkit.training.shipped import read_network

        return read_network(SHIPPED[name])
    from diffusion.network.model import Diffuser, load_diffuser

    if not isinstance(model, Diffuser):
        model = load_diffuser(model)
    arrays = {
        weight.path: np.asarray(value, "float32")
        for weight, value in zip(
            model.average.weights, model.average.get_weights(), strict=True
        )
    }
    return settings_of(model), arrays


def settings_of(model: Diffuser) -> dict[str, Any]:
    """Return the settings of a run that build a model's network again.

    Args:
        model: A `Diffuser` with a fixed size.

    Raises:
        UserError: If the network takes pictures of any size, or sees them scaled.
    """
    if model.image_size is None:
        raise UserError("This network takes any size: build it with an `image_size`.")
    if model.objective not in LINEAR:
        raise UserError(
            f"A model that predicts {model.objective} runs in Keras alone. Exported "
            f"and distilled are those that predict one of: {', '.join(LINEAR)}"
        )
    unet = model.unet
    return {
        **{name: getattr(unet, name) for name in ("channels", "version", "dim")},
        "dim_mults": list(unet.dim_mults),
        "dropout": unet.dropout,
        "patch": unet.patch if unet.patch > 1 else None,
        "image_size": list(model.image_size),
        "self_condition": float(unet.self_condition),
        "schedule": model.schedule.kind,
        "timesteps": model.timesteps,
        "objective": model.objective,
        "loss": model.loss_name,
        "min_snr_gamma": model.min_snr_gamma,
        "attributes": model.attributes or None,
        "distilled": model.distilled,
    }


def describe_file(settings: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Return what an exported file says of itself."""
    distilled = settings.get("distilled")
    return {
        "network": "diffusion icons",
        "image_size": list(settings["image_size"]),
        "channels": settings["channels"],
        "steps": steps,
        "attributes": settings.get("attributes") or {},
        "guidance": (distilled or {"guidance": 3.0})["guidance"],
        "guidance_built_in": bool(distilled),
    }


def sampling_table(settings: Mapping[str, Any], steps: int | None = None) -> np.ndarray:
    """Return a sampler's steps as numbers: each is linear in x and the estimates of x0.

    Args:
        settings: A run's settings.
        steps: See `export`.

    Returns:
        float32 `(steps, 6)`: the timestep, the factors of x and of the network's output
        in x0, and the factors of x, x0 and the x0 of the step before in the next x.

    Raises:
        UserError: If a distilled model is asked for more steps, or the schedule has
            fewer.
    """
    schedule = make_schedule(settings["schedule"], settings["timesteps"])
    if distilled := settings.get("distilled"):
        times = list(distilled["timesteps"])
        if steps not in (None, len(times)):
            raise UserError(
                f"This model was distilled to {len(times)} steps of its own: leave "
                f"`steps` out. Received: {steps}"
            )
        walking = _jumps(schedule, settings["objective"], times)
    else:
        steps = STEPS if steps is None else steps
        check_number("steps", steps, whole=True, least=1)
        spacing = "logsnr" if steps <= 20 else "time"
        times = dpm_timesteps(schedule, steps, spacing=spacing)
        walking = dpm_steps(schedule, times)
    signal = schedule.sqrt_alphas_cumprod
    sigma = schedule.sqrt_one_minus_alphas_cumprod
    rows = []
    next(walking)
    # The sampler walks on unit vectors: x, and the estimates of even and odd steps.
    unit = np.eye(3)
    for number, t in enumerate(times):
        this, before = unit[1 + number % 2], 2 - number % 2
        noise = (unit[0] - signal[t] * this) / sigma[t]
        try:
            after, _ = walking.send((unit[0], this, noise))
        except StopIteration as end:
            after = end.value
        factors = after[0], after[1 + number % 2], after[before]
        rows.append([t, *_x0_factors(settings, signal[t], sigma[t]), *factors])
    return np.array(rows, "float32")


def _x0_factors(settings, signal, sigma):
    """Return the factors of x_t and of the network's output in x0."""
    if settings["objective"] == "edm":  # whose network takes scaled pictures
        raise UserError('A model of the objective "edm" cannot be exported: take "v".')
    if settings["objective"] == "x0":
        return 0.0, 1.0
    if settings["objective"] == "noise":
        return 1 / signal, -sigma / signal
    return signal, -sigma


def _jumps(schedule: Schedule, objective: str, times: Sequence[int]) -> Steps:
    from diffusion.process import Denoiser

    denoise = Denoiser(lambda x, t: x, schedule, objective, clip=False)
    pairs = list(zip(times, [*times[1:], -1], strict=True))
    return ddim_steps(denoise, pairs, eta=0.0, version="2", rng=None)


def sampler_graph(
    settings: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    table: np.ndarray,
    about: Mapping[str, Any],
) -> bytes:
    """Return the sampler and its network as an ONNX file: a loop over the steps.

    Args:
        settings: A run's settings.
        arrays: The network's weights by their paths.
        table: What `sampling_table` returned.
        about: What the file says of itself.

    Returns:
        The file's bytes.
    """
    graph = OnnxGraph()
    width, height = settings["image_size"]
    channels = settings["channels"]
    shape = ("n", height, width, channels)
    inputs: dict[str, Sequence[int | str]] = {"noise": shape}
    guided = bool(settings.get("attributes")) and not settings.get("distilled")
    if settings.get("attributes"):
        inputs["attributes"] = ("n", sum(map(len, settings["attributes"].values())))
    if guided:
        inputs["guidance"] = (1,)
    x = graph.node("Transpose", ["noise"], perm=[0, 3, 1, 2])
    zero = graph.constant(np.zeros(1, "float32"))
    nothing = graph.node("Mul", [x, zero])
    count = graph.constant(np.array(len(table), "int64"))
    body = _loop_body(settings, arrays, table, guided)
    x = graph.node("Loop", [count, "", x, nothing], output=["x", "x0"], body=body)
    x = graph.node("Transpose", [x], perm=[0, 2, 3, 1])
    one, half = (graph.constant(np.full(1, n, "float32")) for n in (1, 127.5))
    x = graph.node("Mul", [graph.node("Add", [x, one]), half])
    limits = [graph.constant(np.array(n, "float32")) for n in (0, 255)]
    x = graph.node("Clip", [graph.node("Round", [x]), *limits])
    graph.node("Cast", [x], output=ICONS, to=2)  # 2: uint8
    return graph.file(inputs, {ICONS: shape}, types={ICONS: "uint8"}, about=about)


def _loop_body(settings, arrays, table, guided):
    """Return one step: from x and the last x0 to the next x and this x0."""
    graph = OnnxGraph("step_")
    node = graph.node

    def number(value, dtype="float32"):
        return graph.constant(np.array(value, dtype))

    row = node("Gather", [graph.constant(table), "i"], axis=0)
    t, x0_of_x, x0_of_output, *factors = (
        node("Gather", [row, number([k], "int64")], axis=0) for k in range(len(COLUMNS))
    )
    given = {}
    x, own, wish = "x_now", "x0_before", "attributes"
    if guided:
        x, own = (node("Concat", [each, each], axis=0) for each in (x, own))
        without = node("Mul", ["attributes", number([0])])
        wish = node("Concat", ["attributes", without], axis=0)
    if settings["self_condition"] and not settings.get("distilled"):
        given["own"] = own
    elif settings["self_condition"]:
        given["own"] = node("Mul", [own, number([0])])
    if settings.get("attributes"):
        given["wish"] = wish
    output = UNetNodes(graph, settings, arrays)(x, t, **given)
    if guided:
        width, height = settings["image_size"]
        halves = number([2, -1, settings["channels"], height, width], "int64")
        halves = node("Reshape", [output, halves])
        wished, without = (
            node("Gather", [halves, number(k, "int64")], axis=0) for k in range(2)
        )
        change = node("Mul", [node("Sub", [wished, without]), "guidance"])
        output = node("Add", [without, change])
    x0 = node(
        "Add",
        [node("Mul", ["x_now", x0_of_x]), node("Mul", [output, x0_of_output])],
    )
    if settings.get("distilled"):
        x0 = node("Identity", [x0], output="x0_now")
    else:
        x0 = node("Clip", [x0, number(-1), number(1)], output="x0_now")
    parts = [
        node("Mul", [each, factor])
        for each, factor in zip(("x_now", x0, "x0_before"), factors, strict=True)
    ]
    node("Add", [node("Add", parts[:2]), parts[2]], output="x_next")
    node("Identity", ["go"], output="go_on")
    width, height = settings["image_size"]
    shape = ("n", settings["channels"], height, width)
    return graph.body(
        {"i": (), "go": (), "x_now": shape, "x0_before": shape},
        {"go_on": (), "x_next": shape, "x0_now": shape},
        types={"i": "int64", "go": "bool", "go_on": "bool"},
    )
