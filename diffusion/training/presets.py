"""Presets of the training, with hardware, time and results to expect."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DiffusionPreset:
    """Holds the settings of `diffusion.train`; each is also one of its options.

    Args:
        image_size: (width, height) in pixels; an int for squares.
        channels: 1 for grey, 3 for RGB, 4 for RGBA.
        dim: Channels at full size.
        dim_mults: Multiple of `dim` at each level; the size is halved between levels.
        patch: Side of the squares of pixels that are one to the network; `None` for
            pixels. 2 takes a quarter of the time.
        version: "0.25.3" or "2"; see `diffusion.UNet`.
        dropout: Fraction dropped in the blocks; version "2" alone.
        schedule: "cosine", "linear" or "sigmoid".
        timesteps: T.
        objective: "noise", "x0", "v" or "edm", which is best sampled by "heun".
        loss: "l1" or "mse".
        min_snr_gamma: Cap of the signal-to-noise ratio in the loss weights, or `None`.
        self_condition: Probability that a sample sees its own first estimate; 0
            builds a network without that input.
        batch_size: Icons per batch, over all devices.
        accumulation: Batches per step; 1 under a `tf.distribute` strategy of several
            devices.
        learning_rate: Learning rate of Adam (0.9, 0.99).
        warm_up: Steps over which the learning rate rises from 0.
        clip: Norm to which gradients are clipped, or `None`.
        ema_decay: Highest decay of the moving average.
        ema_every: Steps between updates of the average. Ten suit trainings of tens of
            thousands of steps: the average then reaches back over 2,000.
        steps: Steps in all, rounded up to whole epochs.
        epoch_steps: Steps per epoch: a row in the history, and a backup.
        flip: Probability of mirroring.
        precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16".
        seed: Decides initial weights, order, timesteps and noise.
        early_stopping: Epochs without a lower validation loss after which the training
            ends, or as soon as it memorises: a tenth of the icons is held out for it,
            and the weights of the best epoch are kept. `None` for the whole training.
        start_from: Run, or "default", whose averaged weights it begins with, of the
            same network and attributes; `None` for random ones.
        focus: (left, top, right, bottom) in pixels of a box in every icon, such as
            that of the eyes, whose errors count `focus_weight` times; `None` for none.
        focus_weight: How much an error in `focus` counts beside one outside.
    """

    image_size: tuple | int = (128, 128)
    channels: int = 3
    dim: int = 64
    dim_mults: tuple = (1, 2, 4, 8)
    patch: int | None = None
    version: str = "0.25.3"
    dropout: float = 0.0
    schedule: str = "cosine"
    timesteps: int = 1000
    objective: str = "noise"
    loss: str = "l1"
    min_snr_gamma: float | None = None
    self_condition: float = 0.0
    batch_size: int = 16
    accumulation: int = 1
    learning_rate: float = 1e-4
    warm_up: int = 0
    clip: float | None = None
    ema_decay: float = 0.995
    ema_every: int = 10
    steps: int = 100_000
    epoch_steps: int = 1000
    flip: float = 0.5
    precision: str = "float32"
    seed: int = 3407
    early_stopping: int | None = None
    start_from: str | None = None
    focus: tuple | None = None
    focus_weight: float = 4.0


PREPRINT = DiffusionPreset()
"""The preprint's picture size, network and seed, with the trainer's defaults of July
2022: 35.7 or 36.3 M parameters. Half a day on a gaming GPU (an estimate; not run)."""

HOURGLASS = DiffusionPreset(dim_mults=(1, 4, 16))
"""The preprint's wider network: 98 M parameters, 4.3 times the work. Two days on a
gaming GPU (an estimate; not run)."""

COLAB = DiffusionPreset(
    image_size=(64, 64), version="2", objective="v", loss="mse", min_snr_gamma=5.0,
    learning_rate=2e-4, warm_up=500, clip=1.0, batch_size=32, steps=20_000,
    epoch_steps=500, precision="auto",
)  # fmt: skip
"""For one hour of a Colab GPU or TPU (an estimate; not run)."""

SMALL = DiffusionPreset(
    image_size=(64, 64), dim=32, objective="v", loss="mse", min_snr_gamma=5.0,
    learning_rate=8e-4, warm_up=200, ema_every=1, steps=6000, epoch_steps=250,
    precision="auto",
)  # fmt: skip
"""For some hours on two CPU cores."""

TINY = DiffusionPreset(
    image_size=(32, 32), dim=32, dim_mults=(1, 2, 4), objective="v", loss="mse",
    min_snr_gamma=5.0, learning_rate=1e-3, warm_up=100, ema_every=1, steps=800,
    epoch_steps=100, precision="auto",
)  # fmt: skip
"""For some minutes on two CPU cores: the demo."""

PRESETS = {"preprint": PREPRINT, "hourglass": HOURGLASS, "colab": COLAB}
PRESETS |= {"small": SMALL, "tiny": TINY}
