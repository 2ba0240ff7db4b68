"""The command line `illust-diffusion`: learns icons, and makes new ones."""

from __future__ import annotations

from diffusion.cli.compare import compare
from diffusion.cli.demo import demo
from diffusion.cli.distill import distill
from diffusion.cli.edit import inpaint, interpolate
from diffusion.cli.evaluate import evaluate, features, validity
from diffusion.cli.experiment import experiment
from diffusion.cli.export import export, export_web
from diffusion.cli.options import NAME
from diffusion.cli.sample import sample
from diffusion.cli.serve import serve
from diffusion.cli.train import train
from diffusion.cli.train_gan import train_gan
from illustkit.cli import app_with
from illustkit.deprecation import renamed_options

app = app_with(
    "Learn an illustrator's icons, make new ones, and measure how new.", command=NAME
)

COMMANDS = (
    (train, "train icons --run runs/icons --preset tiny"),
    (train_gan, "train-gan icons --model stylegan2 --run runs/gan --preset tiny"),
    (sample, "sample runs/icons --output new --n 64"),
    (interpolate, "interpolate runs/icons a.png b.png --output between.png"),
    (inpaint, "inpaint runs/icons a.png mask.png --output versions.png"),
    (evaluate, "evaluate new/icons icons --output evaluation.json"),
    (features, "features new --output new.npz --against icons"),
    (validity, "validity early later another-domain"),
    (experiment, "experiment icons --run runs/icons"),
    (compare, "compare icons --models dcgan,ddpm --hours 0.5 --output comparison"),
    (distill, "distill runs/icons runs/four --steps 4"),
    (export, "export runs/icons icon.onnx"),
    (export_web, "export-web runs/icons site"),
    (serve, "serve runs/icons"),
    (demo, "demo --output diffusion-demo"),
)
OLD_OPTIONS = {
    sample: {"out": "output", "size": "image_size"},
    interpolate: {"out": "output"},
    inpaint: {"out": "output"},
    evaluate: {"mae": "definition", "size": "image_size"},
    validity: {"mae": "definition", "size": "image_size"},
    serve: {"size": "image_size", "open": "browser", "no_open": "no_browser"},
    demo: {"folder": "output"},
}

for command, example in COMMANDS:
    options = renamed_options(**OLD_OPTIONS.get(command, {}))
    name = command.__name__.replace("_", "-")
    app.command(name, cls=options, epilog=f"Example: {NAME} {example}")(command)


def main() -> None:
    """Run the command line."""
    app(prog_name=NAME)
