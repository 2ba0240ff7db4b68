"""What does a discriminator add to the chapter's network?

    python benchmarks/pix2pix.py IMAGES META [--epochs 12] [--vgg-weights FILE]
        [--output DIR]

The chapter's third exercise: its network (four stages, 64×64) is trained by L1 alone,
and by L1 and a PatchGAN beside the censored picture, as in pix2pix. All trainings have
the same pictures, censors, seed and number of steps, and resume if they were stopped.
PSNR, SSIM and the distance by VGG16's features are measured in the holes of held-out
pictures. "Sharpness" is the mean absolute difference of neighbouring pixels in the
holes, as a ratio to that of the originals: 1 is as sharp as they are.
"""

import argparse
from pathlib import Path

import numpy as np

from illustkit.figures import sheet
from illustkit.images import uint8_to_signed, write_image
from oppai.data.batches import CensoredPatches
from oppai.evaluation.evaluate import held_out_patches
from oppai.metrics import VGG_TAPS, measure_hole, vgg_distance
from oppai.models.pretrained import load_restorer
from oppai.models.vgg import load_vgg_features
from oppai.training import censor_settings, train

# Half the filters of the paper: a fourth of its time.
JUDGE = {"filters": 32}
SPECTRAL = {**JUDGE, "norm": "none", "spectral_norm": True}
VARIANTS = {
    "L1": {"losses": "pix2pix"},
    "pix2pix": {"adversarial": "pix2pix", "discriminator": JUDGE},
    "hinge, spectral norm": {
        "adversarial": "pix2pix",
        "adversarial_loss": "hinge",
        "discriminator": SPECTRAL,
    },
}


def sharpness(picture, hole):
    """Return the mean absolute difference of neighbours that both lie in the hole."""
    picture = picture.astype("float32")
    both = hole[:, 1:] & hole[:, :-1], hole[1:] & hole[:-1]
    steps = np.abs(np.diff(picture, axis=1)), np.abs(np.diff(picture, axis=0))
    return np.concatenate([s[b].ravel() for s, b in zip(steps, both, strict=True)])


def measure(restored, truth, hole, features):
    """Return PSNR, SSIM, sharpness and distance, means over the patches."""
    each = [measure_hole(*case) for case in zip(truth, restored, hole, strict=True)]
    differences = [
        np.concatenate([sharpness(*case) for case in zip(pictures, hole, strict=True)])
        for pictures in (restored, truth)
    ]
    row = [np.mean([figures[name] for figures in each]) for name in ("psnr", "ssim")]
    row.append(differences[0].mean() / differences[1].mean())
    if features is not None:
        valid = 1 - hole[..., None].astype("float32")
        pictures = uint8_to_signed(truth), uint8_to_signed(restored)
        row.append(
            np.mean(np.asarray(vgg_distance(*pictures, valid, features=features)))
        )
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder of pictures")
    parser.add_argument("meta", type=Path, help="their metadata, JSON")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--vgg-weights", help="VGG16's five blocks: adds its distance")
    parser.add_argument("--output", type=Path, default=Path("pix2pix"))
    options = parser.parse_args()
    features = options.vgg_weights and load_vgg_features(
        options.vgg_weights, taps=VGG_TAPS
    )
    rows, columns = {}, []
    for name, settings in VARIANTS.items():
        run = train(
            options.images,
            options.meta,
            options.output / name.replace(", ", "-").replace(" ", "-"),
            preset="tiny",
            image_size=64,
            epochs=options.epochs,
            cache=options.output / "patches",
            sheet_every=0,
            verbose=2,
            **settings,
        )
        if not rows:
            patches = held_out_patches(run, options.images, options.meta)
            censors = censor_settings(run.settings)
            batch = CensoredPatches(
                patches, batch_size=len(patches), fixed=True, lookahead=0, **censors
            )[0]
            (censored, valid), truth = batch
            mask = 255 - valid[..., 0]
            hole = mask > 0
            rows["(censored)"] = measure(censored, truth, hole, features)
            columns.append(censored)
        restored = load_restorer(run).restore_patches(censored, mask)
        rows[name] = measure(restored, truth, hole, features)
        columns.append(restored)
    print("| training | PSNR | SSIM | sharpness | distance |\n|-|-|-|-|-|")
    for name, figures in rows.items():
        cells = [f"{figures[0]:.2f}", *(f"{figure:.3f}" for figure in figures[1:]), ""]
        print(f"| {name} | {' | '.join(cells[:4])} |")
    shown = np.stack([*columns, truth], axis=1)[:12]
    picture = sheet(list(shown.reshape(-1, *truth.shape[1:])), columns=len(columns) + 1)
    write_image(options.output / "sheet.png", picture)


if __name__ == "__main__":
    main()
