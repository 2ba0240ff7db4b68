import keras
import numpy as np
import pytest

from illustkit.training.dropout import Dropout, EpochSeeds


def test_units_are_dropped_and_the_others_grow():
    layer, ones = Dropout(0.75, seed=1), np.ones((64, 64), "float32")
    dropped = keras.ops.convert_to_numpy(layer(ones, training=True))
    assert set(np.unique(dropped)) == {0.0, 4.0}
    # 4096 units: the fraction's standard deviation is 0.007.
    assert (dropped > 0).mean() == pytest.approx(0.25, abs=0.03)
    for same in (layer(ones), Dropout(0)(ones, training=True)):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(same), ones)
    with pytest.raises(ValueError, match="Received: rate=2"):
        Dropout(2)


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
