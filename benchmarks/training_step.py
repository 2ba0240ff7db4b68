"""How much time and memory does a training step save over the book's formula?

    python benchmarks/training_step.py [--batch-size 4] [--rounds 5]

Builds the chapter's network at 256×256 twice: with `PConv2D`, whose masks have one
channel, and with the book's formula, whose masks have as many channels as the features.
Both are trained with the mean absolute error and RMSprop, so that only the layers
differ. The steps are timed in turn, and the median ratio is printed. The peak memory is
measured in a process of its own; what that process held before the first step is
subtracted. Needs TensorFlow, a CPU and Linux.
"""

import argparse
import os
import statistics
import subprocess
import sys
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from devices import process_peak
from keras import layers
from pconv_speed import BookPConv2D as BookUnstrided
from timing import median_ratio, time_in_turn

from oppai.models.pconv_unet import PConvUNet

SIZE, WIDTHS, STRIDES = 256, (32, 64, 128, 256, 512), (1, 4, 2, 2, 2)


class BookPConv2D(BookUnstrided):
    """Convolve by the book's formula with a stride."""

    def __init__(self, filters, kernel_size, strides):
        super().__init__(filters, kernel_size, use_bias=True)
        self.strides = strides

    def call(self, inputs):
        pad = self.kernel_size[0] // 2
        pads = ((0, 0), (pad, pad), (pad, pad), (0, 0))
        picture, mask = (keras.ops.pad(x, pads) for x in inputs)
        options = {"strides": self.strides, "padding": "valid"}
        total = keras.ops.conv(mask, self.ones, **options)
        out = keras.ops.conv(picture * mask, self.kernel, **options)
        new_mask = keras.ops.clip(total, 0, 1)
        window = self.kernel_size[0] * self.kernel_size[1]
        return [out * window / (total + 1e-8) * new_mask + self.bias, new_mask]


def book_network():
    """Build the chapter's network as its code does, with the deepest mask corrected."""

    def stage(picture, mask, filters, kernel, stride=1):
        for i in range(2):
            layer = BookPConv2D(filters, kernel, stride if i == 0 else 1)
            picture, mask = layer([picture, mask])
            picture = layers.ReLU()(layers.BatchNormalization()(picture))
        return picture, mask

    picture, mask = keras.Input((SIZE, SIZE, 3)), keras.Input((SIZE, SIZE, 3))
    inputs, stages = [picture, mask], []
    for i, (filters, stride) in enumerate(zip(WIDTHS, STRIDES, strict=True)):
        picture, mask = stage(picture, mask, filters, 5 if i == 1 else 3, stride)
        stages.append((picture, mask))
    for i in (3, 2, 1, 0):
        up = layers.UpSampling2D(STRIDES[i + 1])
        picture, mask = up(picture), up(mask)
        picture = layers.Concatenate()([picture, stages[i][0]])
        mask = layers.Concatenate()([mask, stages[i][1]])
        picture, mask = stage(picture, mask, WIDTHS[i], 5 if i == 0 else 3)
    picture, _ = BookPConv2D(3, 3, 1)([picture, mask])
    picture = layers.BatchNormalization()(picture)
    return keras.Model(inputs, layers.Activation("tanh")(picture))


def prepare(name, batch):
    """Return a compiled model and a batch for it."""
    model = book_network() if name == "book" else PConvUNet(SIZE)
    model.compile("rmsprop", "mae")
    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 1, (batch, SIZE, SIZE, 3)).astype("float32")
    mask = np.ones((batch, SIZE, SIZE, 3 if name == "book" else 1), "float32")
    mask[:, 64:192, 64:192] = 0
    return model, ([truth * mask, mask], truth)


def peak_memory(name, batch):
    """Print the MiB that two steps add to the peak memory of this process."""
    model, data = prepare(name, batch)
    before = process_peak()
    for _ in range(2):
        model.train_on_batch(*data)
    print(f"\n{(process_peak() - before) / 2**20:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--memory-of", choices=("ours", "book"), help="only print this one's peak, MiB"
    )
    options = parser.parse_args()
    if options.memory_of:
        return peak_memory(options.memory_of, options.batch_size)
    steps = {}
    for name in ("ours", "book"):
        model, data = prepare(name, options.batch_size)
        steps[name] = partial(model.train_on_batch, *data)
    seconds = time_in_turn(steps, options.rounds, warm_up=1)  # the first one compiles
    ours, book = seconds["ours"], seconds["book"]
    speed = median_ratio(book, ours)
    memory = {}
    for name in steps:
        command = [sys.executable, __file__, "--memory-of", name]
        done = subprocess.run(
            [*command, "--batch-size", str(options.batch_size)],
            capture_output=True,
            text=True,
            check=True,
        )
        memory[name] = int(done.stdout.split()[-1])
    print(f"A step of {options.batch_size} pictures of {SIZE}×{SIZE}:")
    print(f"ours {statistics.median(ours):.2f} s, {memory['ours']} MiB")
    print(f"book {statistics.median(book):.2f} s, {memory['book']} MiB")
    print(f"{speed:.2f} × as fast, {memory['ours'] / memory['book']:.2f} × the memory")


if __name__ == "__main__":
    main()
