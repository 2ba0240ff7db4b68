import gc
import weakref

import keras
import numpy as np
import pytest

from illustkit.training.batches import Batches, even_batch_size


class Numbers(Batches):
    def make(self, indices, rng):
        return indices.astype("float32")[:, None], rng.normal(size=(len(indices), 1))


def contents(batches, epoch):
    batches.epoch = epoch
    return [[part.tolist() for part in batches[i]] for i in range(len(batches))]


def test_batches_depend_on_seed_epoch_and_index_alone():
    ahead = Numbers(11, batch_size=3, seed=7)
    plain = Numbers(11, batch_size=3, seed=7, lookahead=0)
    for epoch in (0, 1, 0):
        assert contents(ahead, epoch) == contents(plain, epoch)
    plain.epoch = 1
    assert plain[2][0].tolist() == contents(ahead, 1)[2][0]
    assert contents(ahead, 0) != contents(ahead, 1)
    assert contents(ahead, 0) != contents(Numbers(11, batch_size=3, seed=8), 0)


def test_an_epoch_visits_every_sample_once_and_drops_the_rest():
    seen = np.ravel([x for x, _ in contents(Numbers(9, batch_size=3), 4)])
    assert sorted(seen) == list(range(9))
    assert len(Numbers(11, batch_size=3)) == 3


def test_fit_sees_each_epoch_in_turn():
    class Recorded(Numbers):
        made = set()

        def make(self, indices, rng):
            self.made.add((self.epoch, tuple(indices.tolist())))
            return super().make(indices, rng)

    batches = Recorded(8, batch_size=4)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(batches, epochs=3, shuffle=False, verbose=0, callbacks=[batches.follow()])
    plain = Numbers(8, batch_size=4, lookahead=0)
    expected = {
        (epoch, tuple(int(v) for v in np.ravel(x)))
        for epoch in range(3)
        for x, _ in contents(plain, epoch)
    }
    assert batches.made == expected


def test_batches_drawn_out_of_order_are_right_and_not_hoarded():
    class Watched(Numbers):
        def make(self, indices, rng):
            x, y = super().make(indices, rng)
            made.append(weakref.ref(x))
            return x, y

    made, plain = [], Numbers(40, batch_size=1, lookahead=0)
    batches = Watched(40, batch_size=1)
    for index in np.random.default_rng(0).permutation(40).tolist():
        for part, expected in zip(batches[index], plain[index], strict=True):
            np.testing.assert_array_equal(part, expected)
    gc.collect()
    assert sum(ref() is not None for ref in made) <= batches.lookahead + 2


def test_too_few_samples_say_what_to_do():
    with pytest.raises(ValueError, match="smaller `batch_size`"):
        Numbers(2, batch_size=3)


@pytest.mark.parametrize(
    "size, at_most, multiple, expected",
    [(20, 16, 1, 10), (16, 16, 1, 16), (5, 16, 1, 5), (17, 8, 2, 4), (1, 8, 2, 2)],
)
def test_even_batch_size(size, at_most, multiple, expected):
    assert even_batch_size(size, at_most, multiple) == expected
