"""Does diffusion win, as the preprint says, where all have the same time?

    python benchmarks/gans.py ICONS WORK --minutes 20 --size 32

DCGAN, StyleGAN2 with DiffAugment, the preprint's U-Net and its hourglass learn the same
icons for as many minutes of processor time. The baseline is DCGAN. `WORK/index.html`
shows a grid of each. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse

from diffusion import compare_models, format_comparison
from diffusion.comparison import MODELS


def settings_of(size: int) -> dict:
    """Return the settings of each model for pictures of a few pixels."""
    gan = {"image_size": size, "precision": "float32", "epoch_steps": 100}
    icons = {"image_size": (size, size), "epoch_steps": 50, "warm_up": 50}
    if size >= 64:  # a quarter of the work: minutes make hundreds of steps more
        icons["patch"] = 2
    return {
        "dcgan": {**gan, "network": {"filters": 256}},
        "stylegan2": {**gan, "network": {"base": 1024, "latent": 64}},
        "ddpm": {**icons, "dim_mults": (1, 2, 4)},
        "hourglass": {**icons, "dim_mults": (1, 4, 8)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("icons")
    parser.add_argument("work")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--models", default=",".join(MODELS))
    options = parser.parse_args()
    rows = compare_models(
        options.icons,
        options.work,
        models=options.models.split(","),
        hours=options.minutes / 60,
        n=options.n,
        sampler="dpm++",
        sampling_steps=12,
        clock="processor",
        settings=settings_of(options.size),
    )
    print(format_comparison(rows))


if __name__ == "__main__":
    main()
