import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser):
    parser.addoption("--run-large", action="store_true", help="run the `large` tests")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--run-large"):
        skip = pytest.mark.skip(reason="large: run with --run-large")
        for item in items:
            if "large" in item.keywords:
                item.add_marker(skip)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # First weights are random: every test begins from the same ones.
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(0)


@pytest.fixture
def eagerly():
    """TensorFlow traces nothing: a few steps of a small network take half the time."""
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def real_data():
    """Folder of real illustrations: ILLUSTKIT_DATA, or ../shared/data."""
    folder = Path(os.environ.get("ILLUSTKIT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real illustrations here: set ILLUSTKIT_DATA to their folder")
    return folder
