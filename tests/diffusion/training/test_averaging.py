import keras
import numpy as np
import pytest

from diffusion.training.callbacks import Averaging, average_decay


class Reference:
    """The average by the rule of ema-pytorch, step for step, in NumPy."""

    def __init__(self, beta=0.995, after=100, every=10):
        self.beta, self.after, self.every = beta, after, every
        self.step, self.moving, self.average = 0, False, None

    def update(self, weight):
        step = self.step
        self.step += 1
        if step % self.every:
            return
        if step <= self.after:
            self.average = np.float64(weight)
            return
        if not self.moving:
            self.average, self.moving = np.float64(weight), True
        e = max(self.step - self.after - 1, 0)
        decay = min(max(1 - (1 + e) ** (-2 / 3), 0.0), self.beta) if e else 0.0
        self.average = decay * self.average + (1 - decay) * np.float64(weight)


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


@pytest.mark.parametrize("accumulation", [1, 3])
def test_it_is_the_average_of_ema_pytorch(accumulation):
    model, reference = Pair(), Reference()
    callback = Averaging(accumulation=accumulation)
    callback.set_model(model)
    callback.on_train_begin()
    step, epoch_steps = 0, 225
    for epoch in range(14 if accumulation == 1 else 3):
        # Where a backup was restored, the optimizer's count alone says so.
        if epoch == 2:
            callback = Averaging(accumulation=accumulation)
            callback.set_model(model)
            callback.on_train_begin()
        model.optimizer.iterations.assign(step)
        callback.on_epoch_begin(epoch)
        for batch in range(epoch_steps * accumulation):
            if (batch + 1) % accumulation == 0:
                if step % 10 == 0:
                    model.unet.set_weights([np.full((1, 1), weight_at(step))])
                reference.update(weight_at(step))
                step += 1
            callback.on_train_batch_end(batch)
            if step in (1, 101, 111, 121, 3000):
                found = float(model.average.get_weights()[0][0, 0])
                assert found == pytest.approx(reference.average, abs=2e-6)
    found = float(model.average.get_weights()[0][0, 0])
    assert found == pytest.approx(reference.average, abs=2e-5)
    # What it is compared with is neither the weight nor a copy.
    assert accumulation > 1 or abs(found - weight_at(step - 1)) > 0.1


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
