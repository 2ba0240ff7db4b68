"""Which of the network's variants is worth having?

    python benchmarks/variants.py [--epochs 12] [--images DIR --meta FILE]

Trains the chapter's network and each of its exercises on the same pictures, with the
same censors and number of steps, and measures them inside the holes of held-out
pictures: mosaics, and white-outs, each with a training of its own. Small (64×64, four
stages) so that the table is there in a quarter of an hour on two CPU cores: it compares
variants, not what a long training reaches.
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
    """Train one variant on one kind of censor; return its row."""
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
    row = {r["method"]: r for r in rows if r["hole_ratio"] == "all"}
    return row, restorer.network.count_params(), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--meta", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        images, metadata = options.images, options.meta
        if images is None:
            images, metadata = folder / "samples", folder / "samples.json"
            draw_samples(images, metadata, 200, progress=False)
        print("| censor | variant | parameters | s | PSNR | SSIM |")
        print("|-|-|-|-|-|-|")
        for kind in ("mosaic", "white"):
            for name in VARIANTS:
                row, parameters, seconds = measure(
                    name, kind, images, metadata, folder, options.epochs
                )
                if name == "chapter":
                    for method in ("censored", "Telea"):
                        filled = row[method]
                        print(
                            f"| {kind} | ({method}) | | | {filled['psnr']:.2f} "
                            f"| {filled['ssim']:.3f} |"
                        )
                got = row["prediction"]
                print(
                    f"| {kind} | {name} | {parameters:,} | {seconds:.0f} "
                    f"| {got['psnr']:.2f} | {got['ssim']:.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
