import keras
import numpy as np
import pytest
from keras import ops

from illustkit.training.trainable import EpochSeeds, Trainable


class Line(Trainable):
    """y = w·x, whose two parts a hand can differentiate."""

    def __init__(self, term_weights=None, **kwargs):
        super().__init__(
            term_weights or {"square": 1.0, "size": 0.5, "shown": 0.0},
            monitors=("largest",),
            **kwargs,
        )
        self.dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")

    def build(self, shape):
        self.dense.build(shape)
        self.built = True

    def call(self, x):
        return self.dense(x)

    def terms(self, x, y, y_pred, training):
        error = (y_pred - y)[:, 0]
        parts = {
            "square": error**2,
            "size": ops.abs(y_pred)[:, 0],
            "shown": error,
        }
        return parts if training else {**parts, "largest": ops.abs(error)}


X, Y = np.array([[1.0], [3.0]], "float32"), np.array([[0.0], [1.0]], "float32")


def test_loss_step_and_logs_are_the_hand_computed_ones():
    model = Line()
    model.build((None, 1))
    model.compile(keras.optimizers.SGD(0.1))
    logs = model.train_on_batch(X, Y, return_dict=True)
    # w = 1: errors 1 and 2, outputs 1 and 3.
    assert float(logs["square"]) == pytest.approx((1 + 4) / 2)
    assert float(logs["size"]) == pytest.approx((1 + 3) / 2)
    assert float(logs["shown"]) == pytest.approx(1.5)
    assert float(logs["loss"]) == pytest.approx(2.5 + 0.5 * 2)
    # d/dw = mean(2·error·x) + 0.5·mean(x) = (2 + 12)/2 + 0.5·2 = 8
    np.testing.assert_allclose(model.get_weights()[0], [[1 - 0.1 * 8]], rtol=1e-6)


def test_monitors_are_logged_in_validation_alone_and_in_every_epoch():
    model = Line()
    model.build((None, 1))
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(
        X, Y, epochs=3, validation_data=(X, Y), shuffle=False, verbose=0
    ).history
    names = {"loss", "square", "size", "shown"}
    assert set(history) == {
        *names,
        *(f"val_{name}" for name in names),
        "val_largest",
    }
    assert history["val_largest"] == [1.5] * 3
    assert history["square"] == history["val_square"] == [2.5] * 3


def test_a_forgotten_part_is_named():
    model = Line({"square": 1.0, "size": 1.0, "shown": 1.0, "colour": 1.0})
    model.build((None, 1))
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match="colour"):
        model.train_on_batch(X, Y)


def test_each_epoch_drops_out_by_seeds_of_its_own():
    def seeds(epochs, seed=1):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
        model.add(keras.layers.Dropout(0.5))
        callback = EpochSeeds(seed)
        callback.set_model(model)
        for epoch in epochs:
            callback.on_epoch_begin(epoch)
            model(np.ones((2, 4), "float32"), training=True)  # draws
        callback.on_epoch_begin(epochs[-1])
        states = [v for v in model.variables if "seed" in v.name]
        return [tuple(keras.ops.convert_to_numpy(v).tolist()) for v in states]

    whole = seeds([0, 1, 2])
    assert seeds([2]) == whole  # as where a training was resumed
    assert len(set(whole)) == 2
    others = seeds([0, 1]) + seeds([0, 1, 2], seed=2)
    assert not set(whole) & set(others)
