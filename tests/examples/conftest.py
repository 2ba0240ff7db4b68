import keras
import pytest


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of the files that examples name, made once."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="module", autouse=True)
def short_trainings():
    """A training is one step of one epoch, and TensorFlow traces nothing."""
    before = keras.config.max_epochs(), keras.config.max_steps_per_epoch()
    keras.config.set_max_epochs(1)
    keras.config.set_max_steps_per_epoch(1)
    yield
    keras.config.set_max_epochs(before[0])
    keras.config.set_max_steps_per_epoch(before[1])
