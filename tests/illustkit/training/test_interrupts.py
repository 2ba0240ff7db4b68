import signal
import threading

import keras
import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.training.batches import Batches
from illustkit.training.callbacks import Backup
from illustkit.training.fit import choose_devices, fit_run
from illustkit.training.folder import has_trained
from illustkit.training.interrupts import StopOnInterrupt
from illustkit.training.runs import Run

STEPS, EPOCHS = 4, 3


class Noise(Batches):
    def make(self, indices, rng):
        x = rng.normal(size=(len(indices), 3)).astype("float32")
        return x, x[:, :1]


class Press(keras.callbacks.Callback):
    """Presses Ctrl-C in a step of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            signal.raise_signal(signal.SIGINT)


def fit(folder, *callbacks, steps=STEPS, settings=None):
    devices = choose_devices("one", batch_size=2)
    with devices.building(seed=3):
        model = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dropout(0.5)]
        )
        model.add(keras.layers.Dense(1))
        model.compile(keras.optimizers.Adam(0.01), "mse")
        model.optimizer.build(model.trainable_variables)
    run = Run.start(folder, settings or {"seed": 3})
    batches = Noise(2 * steps, batch_size=2, seed=3)
    fit_run(model, batches, run, epochs=EPOCHS, seed=3, callbacks=callbacks, verbose=0)
    return run, model


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a training that was never stopped leaves."""
    return fit(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(autouse=True)
def foreground():
    """A process in the background, as on a CI machine, ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("epoch, batch", [(0, 0), (1, 1), (2, 2), (1, STEPS - 1)])
def test_a_training_goes_on_where_ctrl_c_stopped_it(whole, tmp_path, epoch, batch):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", Press(epoch, batch))
    assert signal.getsignal(signal.SIGINT) is before
    assert has_trained(tmp_path / "run")
    last = batch == STEPS - 1  # then the whole epoch is saved
    backup = Backup(Run(tmp_path / "run")._backup_folder, steps=STEPS)
    assert backup.epochs_done == epoch + last
    assert backup.batches_done == (0 if last else batch + 1)
    run, model = fit(tmp_path / "run")
    assert run.history == whole[0].history
    weights = model.get_weights(), whole[1].get_weights()
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [path.name for path in backup.folder.iterdir()] == ["epoch-00003"]


def test_an_epoch_stopped_twice_is_one_epoch(whole, tmp_path):
    for batch in (0, 1):  # of what is left
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "run", Press(0, batch))
    assert fit(tmp_path / "run")[0].history == whole[0].history


def test_an_epoch_of_another_length_begins_anew(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", Press(1, 1))
    folder = Run(tmp_path / "run")._backup_folder
    assert Backup(folder).batches_done == 0
    assert Backup(folder, steps=STEPS).batches_done == 2
    capsys.readouterr()
    assert fit(tmp_path / "run", steps=STEPS + 1)[0].epochs_done == EPOCHS
    assert capsys.readouterr().out == (
        "Epoch 2, which was stopped, begins anew: it has 5 batches.\n"
    )


def test_a_first_epoch_of_another_length_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", Press(0, 1))
    with pytest.raises(UserError, match="first epoch, of 4 batches, which has 5 now"):
        Backup(Run(tmp_path / "run")._backup_folder, steps=STEPS + 1)


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    stop = StopOnInterrupt(tmp_path, STEPS)
    with pytest.raises(KeyboardInterrupt), stop.listening():
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        signal.raise_signal(signal.SIGINT)
    assert not list(tmp_path.iterdir())


def test_a_thread_leaves_the_signal_alone(tmp_path):
    def work():
        with StopOnInterrupt(tmp_path, STEPS).listening():
            found.append(signal.getsignal(signal.SIGINT))

    found, before = [], signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


def test_in_the_background_ctrl_c_stays_ignored(tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = StopOnInterrupt(tmp_path, STEPS)
    with stop.listening():
        signal.raise_signal(signal.SIGINT)
    assert not stop.asked
