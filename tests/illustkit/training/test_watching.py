"""Trainings that end early, and their numbers for TensorBoard."""

import math

import keras
import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.training import watching as module
from illustkit.training.fit import fit_run
from illustkit.training.runs import Run
from illustkit.training.watching import StopEarly, StopInTime, TensorBoard, watching
from tests.illustkit.training.test_fit import Line


class Scores(keras.callbacks.Callback):
    """Logs given numbers, one after each epoch."""

    def __init__(self, *scores, name="val_score"):
        super().__init__()
        self.scores, self.name = scores, name

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.scores[epoch]


def train(folder, *callbacks, epochs=6, monitor="val_score", verbose=0):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    run = Run.start(folder, {})
    options = {"epochs": epochs, "seed": 1, "monitor": monitor, "verbose": verbose}
    return fit_run(model, Line(4, batch_size=4), run, callbacks=callbacks, **options)


@pytest.mark.parametrize("patience, epochs", [(1, 3), (2, 4), (3, 6)])
def test_a_training_ends_when_its_best_epoch_lies_back(tmp_path, patience, epochs):
    scores = Scores(1.0, 3.0, 2.0, 2.5, 4.0, 1.0)
    # It sees what callbacks log that are named behind it.
    run = train(tmp_path, StopEarly(patience), scores)
    assert run.history["val_score"] == list(scores.scores[:epochs])


def test_a_training_that_ended_goes_on_with_more_patience_alone(tmp_path, capsys):
    scores = Scores(1.0, 3.0, 2.0, 2.5, math.nan, 5.0)
    assert train(tmp_path, scores, StopEarly(1)).epochs_done == 3
    assert train(tmp_path, scores, StopEarly(1), verbose=2).epochs_done == 3
    assert "ended early, 1 epochs after its best" in capsys.readouterr().out
    # An undefined number is no progress.
    assert train(tmp_path, scores, StopEarly(3)).epochs_done == 5
    assert train(tmp_path, scores).epochs_done == 6
    assert train(tmp_path, scores, StopEarly(1), verbose=2).epochs_done == 6
    assert "ended early" not in capsys.readouterr().out, "it is whole"


@pytest.mark.parametrize(
    "seconds, epochs", [(0, 1), (19, 1), (20, 2), (45, 4), (99, 6)]
)
def test_no_epoch_begins_that_would_end_too_late(
    tmp_path, monkeypatch, seconds, epochs
):
    now = iter([0, *(t for n in range(6) for t in (10 * n, 10 * n + 10))])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    run = train(tmp_path, StopInTime(seconds), monitor=None)
    assert run.epochs_done == epochs


def test_without_a_figure_of_its_own_the_validation_loss_decides(tmp_path):
    losses = Scores(3.0, 1.0, 2.0, 0.5, name="val_loss")
    run = train(tmp_path, losses, StopEarly(1), monitor=None)
    assert run.history["val_loss"] == [3.0, 1.0, 2.0]
    with pytest.raises(UserError, match="`early_stopping` must be"):
        StopEarly(0)
    assert watching() == []
    assert [type(each) for each in watching(2, True)] == [StopEarly, TensorBoard]


def events_of(folder):
    """(tag, step, value) of each event, as TensorFlow reads them."""
    tf = pytest.importorskip("tensorflow")
    (path,) = folder.iterdir()
    events = list(tf.compat.v1.train.summary_iterator(str(path)))
    assert events[0].file_version == "brain.Event:2"
    return [
        (value.tag, event.step, value.simple_value)
        for event in events
        for value in event.summary.value
    ]


def test_tensorboard_shows_every_epoch_once(tmp_path):
    scores = Scores(*np.linspace(1, 2, 200).tolist())
    train(tmp_path, scores, epochs=2)
    # What was done before is there, and after a stop no epoch comes twice.
    for epochs in (3, 4):
        run = train(tmp_path, scores, TensorBoard(), epochs=epochs)
    found = events_of(tmp_path / "tensorboard" / "validation")
    assert [event[:2] for event in found] == [("epoch_score", i) for i in range(4)]
    values = [event[2] for event in found]
    np.testing.assert_allclose(values, scores.scores[:4], rtol=1e-6)
    found = events_of(tmp_path / "tensorboard" / "train")
    assert [event[:2] for event in found] == [("epoch_loss", i) for i in range(4)]
    values = [event[2] for event in found]
    np.testing.assert_allclose(values, run.history["loss"], rtol=1e-6)


def test_a_step_of_any_size_is_written(tmp_path):
    board = TensorBoard()
    board.folder, board.rows = tmp_path, []
    board.on_train_begin()
    for step in (127, 128, 300, 70_000):
        board.on_epoch_end(step, {"loss": 1.5})
    steps = [event[1] for event in events_of(tmp_path / "train")]
    assert steps == [127, 128, 300, 70_000]
