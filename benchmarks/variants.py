"""Which variant of the chapter's network restores best?

    python benchmarks/variants.py [--epochs 12] [--pictures 200] [--kinds mosaic white]
                                  [--variants chapter residual …]
                                  [--images DIR --meta FILE]

Trains the chapter's network and each of its exercises on the same pictures, with the
same censors and the same number of steps, and measures PSNR and SSIM inside the holes
of held-out pictures. Mosaics and white-outs have trainings of their own. The networks
are small (64×64, four stages), so that the table takes a quarter of an hour on two CPU
cores: it compares variants and does not show what a long training reaches.
"""

import argparse
import tempfile
import time
from pathlib import Path

from illustkit.training.runs import Run
from oppai.evaluation.evaluate import evaluate, held_out_patches
from oppai.models.pretrained import load_restorer
from oppai.pages.demo import draw_samples
from oppai.training import censor_settings, train

VARIANTS = {
    "chapter": {},
    "transposed": {"upsampling": "transposed"},
    "residual": {"residual": True},
    "input skip": {"input_skip": True},
    "sees the mosaic": {"see_censored": True},
    "sees it, input skip": {"see_censored": True, "input_skip": True},
}
BASE = {"see_censored": False, "input_skip": False}


def measure(name, kind, images, metadata, folder, epochs):
    """Train one variant on one kind of censor.

    Returns:
        `(rows, parameters, seconds)`: a dict from a method to its figures, the number
        of parameters, and the seconds of the training.
    """
    run = folder / f"{kind}-{name}"
    start = time.perf_counter()
    train(
        images,
        metadata,
        run,
        preset="tiny",
        image_size=64,
        epochs=epochs,
        kinds=(kind,),
        blocks=(3, 4),
        blur_sizes=(1.5, 1.5),
        picture_blur=1,
        network={**BASE, **VARIANTS[name]},
        cache=folder / "patches",
        sheet_every=0,
        verbose=0,
    )
    seconds = time.perf_counter() - start
    run = Run(run)
    restorer = load_restorer(run)
    patches = held_out_patches(run, images, metadata, progress=False)
    censors = censor_settings(run.settings)
    rows = evaluate(
        restorer,
        patches,
        kinds=(kind,),
        blocks=censors["blocks"],
        blur_size=censors["blur_sizes"][0],
        picture_blur=censors["picture_blur"],
        progress=False,
    )
    rows = {row["method"]: row for row in rows if row["hole_ratio"] == "all"}
    return rows, restorer.network.count_params(), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--pictures", type=int, default=200, help="samples to draw")
    kinds = "mosaic", "white"
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds)
    names = list(VARIANTS)
    parser.add_argument("--variants", nargs="+", choices=names, default=names)
    parser.add_argument("--images", type=Path, help="pictures instead of samples")
    parser.add_argument("--meta", type=Path, help="their metadata, JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        images, metadata = options.images, options.meta
        if images is None:
            images, metadata = folder / "samples", folder / "samples.json"
            draw_samples(images, metadata, options.pictures, progress=False)
        print("| censor | variant | parameters | s | PSNR | SSIM |")
        print("|-|-|-|-|-|-|")
        for kind in options.kinds:
            for name in options.variants:
                rows, parameters, seconds = measure(
                    name, kind, images, metadata, folder, options.epochs
                )
                if name == options.variants[0]:
                    for method in ("censored", "Telea"):
                        print(f"| {kind} | ({method}) | | | {figures(rows[method])} |")
                cells = (
                    f"{parameters:,} | {seconds:.0f} | {figures(rows['prediction'])}"
                )
                print(f"| {kind} | {name} | {cells} |", flush=True)


def figures(row):
    """Return the cells of PSNR and SSIM."""
    return f"{row['psnr']:.2f} | {row['ssim']:.3f}"


if __name__ == "__main__":
    main()
