"""Load trained restorers: the package's own, runs and files."""

import json
import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from illustkit.engines import choose_engine
from illustkit.errors import UserError
from illustkit.options import check_choice
from illustkit.training.shipped import load_network, read_network, save_network
from oppai.models.base_restorer import BaseRestorer, PredictsMosaics

if TYPE_CHECKING:
    from illustkit.training.runs import Run
    from oppai.models.restorers import MosaicRestorer

_log = logging.getLogger(__name__)
DEFAULT = Path(__file__).parents[1] / "weights" / "default.npz"
# The package's own restorers by name.
SHIPPED = {"default": DEFAULT, "sharp": DEFAULT.with_name("sharp.npz")}
# Keras' dtype policy of each precision.
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "int8": None}
# The range of what each convolution of the package's own takes and gives, for int8.
RANGES = DEFAULT.with_name("int8_ranges.json")
# Which pictures they were trained on.
SPLIT = DEFAULT.with_name("default_split.json")


def save_shipped(restorer: "MosaicRestorer", path: str | os.PathLike[str]) -> Path:
    """Store a trained network in float16, in one file that NumPy reads.

    Example:
    ```python
    save_shipped(oppai.load_restorer("runs/mosaic"), "default.npz")
    ```

    Args:
        restorer: An `oppai.MosaicRestorer`.
        path: The `.npz` to write.

    Returns:
        The path, once the file is whole.

    Raises:
        UserError: If float16 cannot hold a weight.
    """
    network = restorer.network
    settings = {
        k: v for k, v in network.get_config().items() if k not in ("name", "dtype")
    }
    return save_network(network, {**settings, "passes": restorer.passes}, path)


def load_shipped(path: str | os.PathLike[str] = DEFAULT) -> "MosaicRestorer":
    """Load a restorer that `save_shipped` stored.

    Example:
    ```python
    restorer = oppai.load_restorer("default")  # the same
    ```

    Args:
        path: The `.npz`. Defaults to the package's own.

    Returns:
        An `oppai.MosaicRestorer` with float32 weights.

    Raises:
        UserError: If the file is missing or does not fit the network.
    """
    from oppai.models.mosaic_unet import MosaicUNet
    from oppai.models.restorers import MosaicRestorer

    passes = 2

    def build(settings):
        nonlocal passes
        passes = settings.pop("passes", passes)
        return MosaicUNet(**settings)

    return MosaicRestorer(load_network(path, build), passes=passes)


def load_restorer(
    run: "str | os.PathLike[str] | Run",
    *,
    engine: str = "keras",
    precision: str | None = None,
    mirror: bool | None = None,
) -> "BaseRestorer":
    """Load a trained restorer, ready for `oppai.restore`.

    Example:
    ```python
    restorer = oppai.load_restorer("default")  # the package's own, nothing to train
    restorer = oppai.load_restorer("sharp")  # its second, which draws more detail
    restorer = oppai.load_restorer("default", precision="bfloat16", mirror=False)
    restorer = oppai.load_restorer("default", engine="opencv")  # without Keras
    restorer = oppai.load_restorer("runs/first")
    restored = oppai.restore("a.png", boxes=[(60, 80, 160, 190)], restorer=restorer)
    ```

    Args:
        run: "default" or "sharp", for the restorers that come with the package:
            "default" is the more exact, "sharp" invents detail where it is likely. Or a
            run folder (its path, or the `Run` that `oppai.train` or `train_mosaic`
            returned), whose best weights are loaded; or the path of a `.keras` file. A
            run folder of such a name is given as "./default" or as a `Path`.
        engine: What computes: "keras", which can train, on the GPU where there is one;
            "onnx" (ONNX Runtime) or "opencv", for restorers that see mosaics, which
            start without Keras; or "auto", one of these. Defaults to "keras".
        precision: What the network computes in: "float32", or "bfloat16", which is
            faster on CPUs that have it in hardware, on GPUs and TPUs, and off by a
            fraction of a level; or "int8", for the package's own with `engine` "onnx"
            or "auto", which takes half as long on CPUs with dot products of 8 bits
            (VNNI) and loses .05 dB at most on mosaics, .3 to .5 dB where content is
            missing. Defaults to `None`, as it was trained.
        mirror: Predict each picture mirrored too and take the mean, which takes twice
            as long and is better by some tenths of a decibel. Of restorers that see
            mosaics. Defaults to `None`, as it was saved; the package's own do.

    Returns:
        A `Restorer` without VGG16: it restores; to train it on, set its `features` if
        its loss has terms of VGG16. An adversarial run gives the generator alone.
        "default", "sharp" and runs of `train_mosaic` give a `MosaicRestorer`, or with
        another engine an `oppai.models.engines.EngineRestorer`, which only restores.

    Raises:
        UserError: If there is no run, or no weights in it; if there is no such engine
            or precision for it, or `mirror` is given for a restorer that has no choice.
    """
    check_choice("precision", precision, PRECISIONS)
    shipped = isinstance(run, str) and run in SHIPPED
    half = precision == "bfloat16"
    if precision == "int8":
        if engine not in ("auto", "onnx"):
            raise UserError(f"`precision` int8 needs `engine` onnx. Received: {engine}")
        if find_spec("onnxruntime") is None:
            raise UserError(
                "`precision` int8 needs ONNX Runtime: pip install onnxruntime, or "
                "leave the option out."
            )
        engine = "onnx"
    chosen = choose_engine(engine, shipped=shipped and not half, fastest="opencv")
    restorer: BaseRestorer
    if chosen == "keras":
        restorer = _load(run)
        if precision is not None:
            restorer = _in_precision(restorer, PRECISIONS[precision])
    elif half:
        raise UserError(f"`engine` {chosen} computes in float32: bfloat16 needs keras.")
    else:
        restorer = _in_engine(run, chosen, int8=precision == "int8")
    if mirror is not None:
        set_mirror(restorer, mirror)
    return restorer


def _in_engine(run, engine, *, int8=False):
    """Return a restorer that an engine runs; read without Keras where it is ours."""
    from oppai.models.engines import EngineRestorer

    if isinstance(run, str) and run in SHIPPED:
        _warn_of_folder(run)
        settings, arrays = read_network(SHIPPED[run])
        ranges = json.loads(RANGES.read_text("utf-8"))[run] if int8 else None
        passes = settings["passes"]
        return EngineRestorer(settings, arrays, engine, passes=passes, ranges=ranges)
    if int8:
        raise UserError(
            f"{run}: only the package's own restorers compute in int8: leave "
            "`precision` out."
        )
    restorer = _load(run)
    if not isinstance(restorer, PredictsMosaics):
        raise UserError(
            f"{run}: only Keras runs a {type(restorer.network).__name__}: choose "
            "`engine` keras."
        )
    arrays = {w.path: np.asarray(w) for w in restorer.network.weights}
    settings = restorer.network.get_config()
    return EngineRestorer(settings, arrays, engine, passes=restorer.passes)


def _warn_of_folder(name):
    if Path(name).is_dir():
        _log.warning(
            f"{name} is the restorer of the package, not the folder of that name "
            f"here: give ./{name} for the folder."
        )


def set_mirror(restorer: "BaseRestorer", mirror: bool) -> None:
    """Choose whether a restorer predicts each picture mirrored too.

    Args:
        restorer: An `oppai.BaseRestorer`.
        mirror: See `load_restorer`.

    Raises:
        UserError: If it does not see mosaics.
    """
    if not isinstance(restorer, PredictsMosaics):
        raise UserError(
            "`mirror` is for restorers that see mosaics, as the package's own: leave "
            "it out."
        )
    restorer.passes = 1 + mirror


def _in_precision(restorer, policy):
    """Return a restorer whose network computes by another dtype policy."""
    import keras

    network = restorer.network
    if network.dtype_policy.name == policy:
        return restorer
    config = {**network.get_config(), "dtype": policy}
    other = type(network).from_config(config)
    settings = {
        **restorer.get_config(),
        "network": keras.saving.serialize_keras_object(other),
    }
    same = type(restorer).from_config(settings)
    same.network.set_weights(network.get_weights())
    return same


def _load(run: Any) -> Any:
    if isinstance(run, str) and run in SHIPPED:
        _warn_of_folder(run)
        return load_shipped(SHIPPED[run])
    # Keras has to know the classes in a `.keras` file.
    from illustkit.training.runs import Run, load_run
    from oppai.models.discriminators import build_trained
    from oppai.models.mosaic_unet import MosaicUNet
    from oppai.models.restorers import MOSAIC_RESTORER, RESTORER, MosaicRestorer

    if not isinstance(run, Run) and Path(run).suffix != ".keras":
        run = Run(run)
    if isinstance(run, Run) and MOSAIC_RESTORER.matches(run.settings):
        return load_run(
            run, MOSAIC_RESTORER, lambda s: MosaicRestorer(MosaicUNet(**s["network"]))
        )
    trained = load_run(run, RESTORER, build_trained)
    return getattr(trained, "generator", trained)  # of an adversarial training
