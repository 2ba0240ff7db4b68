"""A network in one file comes back, whatever its weights are called."""

import json

import keras
import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.training.shipped import load_network, read_network, save_network


def dense(units):
    given = keras.Input((4,))
    return keras.Model(given, keras.layers.Dense(units, name="dense")(given))


class Two(keras.Model):
    """Two networks inside, whose layers have the same names."""

    def __init__(self, units):
        super().__init__()
        self.parts = [dense(units), dense(units)]
        self.built = True

    def call(self, x):
        return self.parts[0](x) - self.parts[1](x)


def test_networks_inside_may_share_the_names_of_their_weights(tmp_path):
    network = Two(3)
    path = save_network(network, {"units": 3}, tmp_path / "two.npz")
    settings, arrays = read_network(path)
    assert settings == {"units": 3} and len(arrays) == 4
    again = load_network(path, lambda settings: Two(**settings))
    for before, after in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(before.astype("float16"), after)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    made = keras.ops.convert_to_numpy(again(x))
    assert np.abs(made).max() > 0.01  # the second is not the first
    np.testing.assert_allclose(made, keras.ops.convert_to_numpy(network(x)), atol=0.01)


def test_a_file_of_other_weights_is_refused_by_name(tmp_path):
    path = save_network(Two(3), {"units": 3}, tmp_path / "two.npz")
    one = dense(3)
    with pytest.raises(UserError, match="two.npz does not fit .*dense/.*#2"):
        load_network(path, lambda settings: one)
    large = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="large")])
    large.set_weights([np.full((1, 1), 1e6, "float32"), np.zeros(1, "float32")])
    with pytest.raises(UserError, match="float16 cannot hold .*large/kernel"):
        save_network(large, {}, tmp_path / "large.npz")
    (tmp_path / "none.npz").write_text(json.dumps({}))
    with pytest.raises(UserError, match="none.npz"):
        read_network(tmp_path / "none.npz")
