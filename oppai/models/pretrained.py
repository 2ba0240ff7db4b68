"""Load trained restorers: the package's own, runs and files."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from illustkit.training.shipped import load_network, save_network

if TYPE_CHECKING:
    from illustkit.training.runs import Run
    from oppai.models.restorers import KerasRestorer, MosaicRestorer

_log = logging.getLogger(__name__)
DEFAULT = Path(__file__).parents[1] / "weights" / "default.npz"
# The package's own restorers by name.
SHIPPED = {"default": DEFAULT, "sharp": DEFAULT.with_name("sharp.npz")}
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


def load_restorer(run: "str | os.PathLike[str] | Run") -> "KerasRestorer":
    """Load a trained restorer, ready for `oppai.restore`.

    Example:
    ```python
    restorer = oppai.load_restorer("default")  # the package's own, nothing to train
    restorer = oppai.load_restorer("sharp")  # its second, which draws more detail
    restorer = oppai.load_restorer("runs/first")
    restored = oppai.restore("a.png", boxes=[(60, 80, 160, 190)], restorer=restorer)
    ```

    Args:
        run: "default" or "sharp", for the restorers that come with the package:
            "default" is the more exact, "sharp" invents detail where it is likely. Or a
            run folder (its path, or the `Run` that `oppai.train` or `train_mosaic`
            returned), whose best weights are loaded; or the path of a `.keras` file. A
            run folder of such a name is given as "./default" or as a `Path`.

    Returns:
        A `Restorer` without VGG16: it restores; to train it on, set its `features` if
        its loss has terms of VGG16. An adversarial run gives the generator alone.
        "default", "sharp" and runs of `train_mosaic` give a `MosaicRestorer`.

    Raises:
        UserError: If there is no run, or no weights in it.
    """
    if isinstance(run, str) and run in SHIPPED:
        if Path(run).is_dir():
            _log.warning(
                f"{run} is the restorer of the package, not the folder of that name "
                f"here: give ./{run} for the folder."
            )
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
