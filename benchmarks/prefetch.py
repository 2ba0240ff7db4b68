"""Does a thread that makes batches ahead of the training save time?

    python benchmarks/prefetch.py [--rounds 9] [--steps 20]

Trains a small network on blurred crops of drawn characters. The batches are made in
four ways: by `keras.utils.PyDataset` as it is (TensorFlow prefetches it, JAX does not),
by its two worker threads, by `tf.data` with a parallel map, and by the thread of
`Batches`. In the first case the processor also trains, and a batch takes about as long
as a step. In the second it waits 30 ms per step, as it would for a GPU. The ways take
turns in every round. Prints the median seconds of an epoch and the median of the ratios
to the first way. Run it with `KERAS_BACKEND=jax` too.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import keras
import numpy as np
from devices import processor
from timing import median_ratio

from illustkit.samples import draw_character
from illustkit.training.batches import Batches

WAYS = "PyDataset", "PyDataset, 2 workers", "tf.data", "Batches"
SIDE = 64


class Crops(Batches):
    """Make pairs of blurred crops and the crops themselves."""

    def __init__(self, pictures, n, **kwargs):
        super().__init__(n, batch_size=8, **kwargs)
        self.pictures = pictures

    def make(self, indices, rng):
        crops = []
        for _ in indices:
            picture = self.pictures[rng.integers(len(self.pictures))]
            side = int(rng.integers(2 * SIDE, min(picture.shape[:2])))
            y, x = (int(rng.integers(0, n - side + 1)) for n in picture.shape[:2])
            crop = cv2.GaussianBlur(picture[y : y + side, x : x + side], None, 1.5)
            crop = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            crops.append(crop.astype("float32") / 255)
        crops = np.stack(crops)
        blurred = [cv2.GaussianBlur(crop, None, rng.uniform(2, 6)) for crop in crops]
        return np.stack(blurred), crops


class Clock(keras.callbacks.Callback):
    """Record the seconds of each epoch; wait after each step."""

    def __init__(self, wait):
        super().__init__()
        self.wait, self.seconds = wait, []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        float(logs["loss"])  # waits for the step
        time.sleep(self.wait)

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def make_batches(way, pictures, steps):
    """Return a data set that makes the same batches in one of the ways."""
    batches = Crops(pictures, 8 * steps)
    if way == "Batches":
        return batches
    batches._pool = None
    if way == "PyDataset, 2 workers":
        keras.utils.PyDataset.__init__(batches, workers=2, max_queue_size=2)
    if way == "tf.data":
        import tensorflow as tf

        shape = 8, SIDE, SIDE, 3
        data = tf.data.Dataset.range(steps).map(
            lambda i: tf.numpy_function(
                lambda i: batches[int(i)], [i], [tf.float32, tf.float32]
            ),
            num_parallel_calls=2,
        )
        data = data.map(
            lambda *both: tuple(tf.ensure_shape(x, shape) for x in both)
        ).prefetch(2)
        return data.apply(tf.data.experimental.assert_cardinality(steps))
    return batches


def build_model(width):
    """Build a network of three convolutions."""
    layers = [keras.layers.Conv2D(width, 3, padding="same") for _ in range(2)]
    last = keras.layers.Conv2D(3, 3, padding="same")
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers, last])
    model.compile("adam", "mae")
    return model


def main():
    """Print a row for each way of making batches, for both cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    pictures = [draw_character(i).image for i in range(10)]
    batches = make_batches(WAYS[0], pictures, options.steps)
    start = time.perf_counter()
    for i in range(options.steps):
        batches[i]
    seconds = (time.perf_counter() - start) / options.steps
    print(f"Keras {keras.__version__} on {keras.backend.backend()}; {processor()}")
    print(f"A batch takes {1000 * seconds:.0f} ms")
    for title, width, wait in (
        ("the processor trains", 16, 0.0),
        ("an accelerator trains", 1, 0.03),
    ):
        seconds = {way: [] for way in WAYS}
        model = build_model(width)
        for number in range(options.rounds + 1):
            for way in WAYS:
                clock = Clock(wait)
                batches = make_batches(way, pictures, options.steps)
                shuffle = {} if way == "tf.data" else {"shuffle": False}
                model.fit(batches, verbose=0, callbacks=[clock], **shuffle)
                if number:  # the first round traces
                    seconds[way] += clock.seconds
        for way, epochs in seconds.items():
            median = statistics.median(epochs)
            ratio = median_ratio(epochs, seconds[WAYS[0]])
            print(f"{title:22} {way:22} {median:6.2f} s  × {ratio:.3f}")


if __name__ == "__main__":
    main()
