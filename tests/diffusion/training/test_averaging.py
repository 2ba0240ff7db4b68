import keras
import numpy as np
import pytest

from diffusion.training.callbacks import Averaging, average_decay

# The average after so many steps of the weights of `weight_at`, by ema-pytorch 0.0.10
# (of the summer of 2022, as the preprint's trainer) on torch 2.13.0, in float64.
DEFAULTS = {"beta": 0.995, "every": 10, "after": 100}
QUICK = {"beta": 0.9, "every": 2, "after": 4}
KNOWN = [
    (
        DEFAULTS,
        {
            1: 0.0,
            101: 0.6249348840678928,
            111: 0.3878217665714792,
            121: 0.355069738164884,
            225: 0.012459203765329704,
            450: 0.32452692995211846,
            675: 0.5832616710069691,
            1000: 0.9802766581842812,
            3000: 3.3739542635047903,
            3150: 3.6056873472177022,
        },
    ),
    (
        QUICK,
        {
            1: 0.0,
            4: 0.05802773500962431,
            5: 0.11589764801412294,
            6: 0.11589764801412294,
            7: 0.1734523780268693,
            10: 0.1929745259190225,
            20: 0.34101241952232036,
            60: 0.925759607243258,
        },
    ),
]


class Pair(keras.Model):
    """One weight, and its average."""

    def __init__(self):
        super().__init__()
        self.unet = keras.layers.Dense(1, use_bias=False)
        self.average = keras.layers.Dense(1, use_bias=False)
        self.unet.build((None, 1))
        self.average.build((None, 1))
        self.compile(keras.optimizers.SGD())


def weight_at(step):
    return np.float32(np.sin(step / 37) + step / 500)


@pytest.mark.parametrize("options, known", KNOWN, ids=["defaults", "quick"])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_it_is_the_average_of_ema_pytorch(options, known, accumulation):
    model, epoch_steps = Pair(), 225
    steps = max(step for step in known if accumulation == 1 or step <= 3 * epoch_steps)
    step = 0
    for epoch in range(-(-steps // epoch_steps)):
        # A callback of its own in each of the first epochs: what a backup restores is
        # the optimizer's count alone.
        if epoch < 3:
            callback = Averaging(accumulation=accumulation, **options)
            callback.set_model(model)
            callback.on_train_begin()
        model.optimizer.iterations.assign(step)
        callback.on_epoch_begin(epoch)
        for batch in range(min(epoch_steps, steps - step) * accumulation):
            # The weights change after the update of a step, so most are never seen.
            if (batch + 1) % accumulation == 0 and step % options["every"] == 0:
                model.unet.set_weights([np.full((1, 1), weight_at(step))])
            callback.on_train_batch_end(batch)
            step += (batch + 1) % accumulation == 0
            if step in known and (batch + 1) % accumulation == 0:
                found = float(model.average.get_weights()[0][0, 0])
                assert found == pytest.approx(known[step], abs=2e-5), step
    assert step == steps


def test_the_warm_up_reaches_its_end_where_the_preprint_s_trainer_did():
    assert [average_decay(step) for step in (0, 50, 100, 110)] == [0] * 4
    assert average_decay(120) == pytest.approx(1 - 21 ** (-2 / 3), abs=1e-12)
    reached = next(s for s in range(10_000) if average_decay(s) >= 0.995)
    assert reached == 2928
    assert average_decay(10**6) == 0.995
    assert average_decay(10**6, beta=0.9) == 0.9
    decays = [average_decay(s) for s in range(0, 5000, 10)]
    assert decays == sorted(decays)
    assert average_decay(5, after=2, every=2) == pytest.approx(1 - 4 ** (-2 / 3))


def test_a_copy_does_not_follow_the_weight():
    model = Pair()
    Averaging.update(type("Owner", (), {"model": model})(), 0.0)
    before = model.unet.get_weights()[0].copy()
    np.testing.assert_array_equal(model.average.get_weights()[0], before)
    model.unet.set_weights([before + 1])
    np.testing.assert_array_equal(model.average.get_weights()[0], before)
