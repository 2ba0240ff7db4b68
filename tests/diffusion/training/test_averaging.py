import keras
import numpy as np
import pytest

from diffusion.network.model import Diffuser, warm_decay
from diffusion.training.callbacks import Averaging, average_decay
from illustkit.training.trainable import Trainable, state_of

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


class Pair(Diffuser):
    """One weight, and its average."""

    def __init__(self):
        Trainable.__init__(self, {"mse": 1.0})
        self.unet = keras.layers.Dense(1, use_bias=False)
        self.average = keras.layers.Dense(1, use_bias=False)
        self.unet.build((None, 1))
        self.average.build((None, 1))
        self.averaging = None
        self.batches_seen = state_of(self, "batches_seen", (), "int32")
        self.steps_averaged = state_of(self, "steps_averaged", (), "int32")
        self.built = True
        self.compile(keras.optimizers.SGD())

    def begin_step(self):
        self.move_average()
        self.batches_seen.assign_add(1)


def weight_at(step):
    return np.float32(np.sin(step / 37) + step / 500)


@pytest.mark.parametrize("options, known", KNOWN, ids=["defaults", "quick"])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_it_is_the_average_of_ema_pytorch(options, known, accumulation):
    model, epoch_steps = Pair(), 225
    steps = max(step for step in known if accumulation == 1 or step <= 3 * epoch_steps)
    step = 0
    for epoch in range(-(-steps // epoch_steps)):
        # A callback of its own in each of the first epochs, and counts that a backup of
        # an older version lacks: the optimizer's count alone is restored.
        if epoch < 3:
            callback = Averaging(accumulation=accumulation, **options)
            callback.set_model(model)
            model.batches_seen.assign(0)
            model.steps_averaged.assign(0)
        model.optimizer.iterations.assign(step)
        callback.on_epoch_begin(epoch)
        for _ in range(min(epoch_steps, steps - step)):
            # Where no update is due, the counts alone would change.
            if step < 15 or step % options["every"] < 2:
                model.batches_seen.assign(step * accumulation)
                for _ in range(accumulation):
                    model.begin_step()
                model.unet.set_weights([np.full((1, 1), weight_at(step))])
            step += 1
            model.batches_seen.assign(step * accumulation)
            if step in known:
                model.move_average()
                found = float(model.average.get_weights()[0][0, 0])
                assert found == pytest.approx(known[step], abs=2e-5), step
        callback.on_epoch_end(epoch)
    assert step == steps


def test_a_step_computes_the_decay_of_its_definition():
    for step in (0, 99, 101, 109, 110, 111, 112, 500, 2927, 2928, 40_000):
        found = float(warm_decay(keras.ops.convert_to_tensor(step), 0.995, 10, 100))
        assert found == pytest.approx(average_decay(step), abs=1e-6), step


def test_an_epoch_s_last_step_moves_the_average_once():
    model = Pair()
    callback = Averaging(beta=0.5, every=1, after=0)
    callback.set_model(model)
    for value in (1.0, 2.0, 4.0):
        model.begin_step()
        model.unet.set_weights([np.full((1, 1), value)])
    callback.on_epoch_end(0)
    once = model.average.get_weights()[0].copy()
    callback.on_epoch_begin(1)
    model.begin_step()
    np.testing.assert_array_equal(model.average.get_weights()[0], once)
    # Two copies, 1 and 2; then a decay of .5, which is less than 1 - 3 ** -2/3.
    assert once[0, 0] == pytest.approx(2 * 0.5 + 4 * 0.5, abs=1e-6)


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
    model.plan_average()
    before = model.unet.get_weights()[0].copy()
    model.begin_step()
    model.move_average()
    np.testing.assert_array_equal(model.average.get_weights()[0], before)
    model.unet.set_weights([before + 1])
    np.testing.assert_array_equal(model.average.get_weights()[0], before)
