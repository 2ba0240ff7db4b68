"""Every notebook runs from its first cell to its last, from a clean kernel."""

import base64
import importlib.util
import os
import sys

import nbformat
import numpy as np
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from illustkit.images import read_image
from tests.conftest import ROOT
from tests.notebooks.reading import NOTEBOOKS, assigned, is_settings, read

# Settings that end in seconds, and the number of figures that are then shown.
CAPPED = {
    "diffusion": (
        {
            **{"n_drawn": 12, "steps": 2, "options": {"dim": 8, "dim_mults": (1,)}},
            **{"n_new": 16, "sampler_steps": 2},
        },
        4,
    ),
    "facescore": (
        {
            **{"n_scenes": 4, "n_per_score": 4, "n_to_rank": 5},
            # A network of two steps is sure of nothing.
            **{"conf": 0.0, "imgsz": 64},
            "detector_options": {"image_size": 64, "validation_size": 64},
            "scorer_options": {
                "image_size": (32, 32),
                "network_options": {"widths": (4, 6), "places": 2},
            },
        },
        7,
    ),
    "oppai_restore": ({}, 2),
    "picture_to_picture": (
        {
            "options": {
                **{"epoch_steps": 1, "drawn": 3, "image_size": 32, "batch_size": 2}
            }
        },
        6,
    ),
    "oppai_train": ({"n_samples": 12, "epochs": 1}, 4),
}
ELSEWHERE = {"oppai_dataset": "test_dataset.py"}  # it needs a stand-in for Pixiv
SECONDS = 240  # for one cell, on a machine that does much else


class ThisPython(KernelSpecManager):
    """Kernels of the interpreter that runs the tests, whatever else is installed."""

    def get_kernel_spec(self, kernel_name):
        command = [sys.executable, "-m", "ipykernel_launcher", "-f"]
        return KernelSpec(argv=[*command, "{connection_file}"], language="python")


class Manager(AsyncKernelManager):
    """Starts them."""

    def __init__(self, **kwargs):
        super().__init__(kernel_spec_manager=ThisPython(), **kwargs)


def environment(folder):
    """Variables of a runtime where nothing was set up, trainings capped."""
    variables = dict(os.environ)
    if importlib.util.find_spec("tensorflow") is None:
        variables.pop("KERAS_BACKEND", None)  # the second cell has to choose it
    variables |= {
        "KERAS_MAX_EPOCHS": "1",
        "KERAS_MAX_STEPS_PER_EPOCH": "2",
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder / "ipython"),
        "https_proxy": "http://127.0.0.1:9",  # what needs the network fails
    }
    variables.pop("MPLBACKEND", None)
    return variables


def with_settings(notebook, settings):
    """The notebook with a cell of other settings after its own, as papermill does."""
    place = next(i for i, cell in enumerate(notebook.cells) if is_settings(cell))
    unknown = set(settings) - assigned(notebook.cells[place])
    assert not unknown, f"The settings cell does not assign {unknown}"
    lines = [f"{name} = {value!r}" for name, value in settings.items()]
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell("\n".join(lines)))
    return notebook


# What a kernel does before the first cell: it traces nothing, which takes half of the
# time for so few steps, and has a detector of three convolutions.
EAGERLY = "import tensorflow\ntensorflow.config.run_functions_eagerly(True)\n"
SLIM = {
    "facescore": """\
import facescore.detector.losses
from tests.facescore.slim import Slim

facescore.detector.losses.DetectorNetwork = Slim
"""
}


def shorten(folder, name):
    """Have the kernels of a notebook run what takes a moment."""
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "short.py").write_text(EAGERLY + SLIM.get(name, ""))


def run(path, folder, settings, *, eager=False):
    """Run a notebook in `folder`; return it with its outputs."""
    notebook = with_settings(read(path), settings)
    if eager and importlib.util.find_spec("tensorflow"):
        shorten(folder, path.stem)
    client = NotebookClient(
        notebook,
        kernel_manager_class=Manager,  # made by the client, so that it ends it too
        timeout=SECONDS,
        startup_timeout=SECONDS,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute(env=environment(folder))


def outputs(notebook, kind):
    """All outputs of a MIME type, in order."""
    found = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return [out.data[kind] for out in found if kind in out.get("data", {})]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_figures(path, tmp_path, pytestconfig):
    if path.stem in ELSEWHERE:
        assert (ROOT / "tests" / "notebooks" / ELSEWHERE[path.stem]).exists()
        return
    settings, n_figures = CAPPED[path.stem]
    traced = pytestconfig.getoption("--run-large")
    notebook = run(path, tmp_path, settings, eager=not traced)
    figures = outputs(notebook, "image/png")
    assert len(figures) >= n_figures
    for i, data in enumerate(figures):
        (tmp_path / f"{i}.png").write_bytes(base64.b64decode(data))
        figure = read_image(tmp_path / f"{i}.png")
        assert min(figure.shape[:2]) >= 100 and np.std(figure) > 10
