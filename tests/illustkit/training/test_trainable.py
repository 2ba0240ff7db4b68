import keras
import numpy as np
import pytest
from keras import ops

from illustkit.training.trainable import Trainable


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


def test_compile_changes_the_weights_of_terms_as_in_keras():
    model = Line()
    model.build((None, 1))
    model.compile(keras.optimizers.SGD(0.1), loss_weights={"size": 0.0, "shown": 1.0})
    logs = model.train_on_batch(X, Y, return_dict=True)
    assert float(logs["loss"]) == pytest.approx(2.5 + 1.5)
    # d/dw = mean(2·error·x) + mean(x) = (2 + 12)/2 + 2 = 9
    np.testing.assert_allclose(model.get_weights()[0], [[1 - 0.1 * 9]], rtol=1e-6)
    with pytest.raises(ValueError, match=r"\['shown', 'size', 'square'\].*'colour'"):
        model.compile("sgd", loss_weights={"colour": 1.0})


def test_a_saved_model_keeps_the_weights_of_its_terms_and_its_optimizer(tmp_path):
    model = Line()
    model.build((None, 1))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5), loss_weights={"shown": 1.0})
    model.train_on_batch(X, Y)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", {"Line": Line})
    assert again.term_weights == {"square": 1.0, "size": 0.5, "shown": 1.0}
    for each in (model, again):
        each.train_on_batch(X, Y)
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
