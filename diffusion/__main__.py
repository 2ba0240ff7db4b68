"""Command line: `illust-diffusion` learns icons, and makes new ones."""

from diffusion import _measure_commands, _picture_commands
from diffusion._picture_commands import NAME
from illustkit.command_line import app_with

app = app_with("Learn an illustrator's icons, make new ones, and measure how new.")

COMMANDS = (
    (_picture_commands.train, "train icons --run runs/icons --preset tiny"),
    (_picture_commands.sample, "sample runs/icons --out new --n 64"),
    (
        _picture_commands.interpolate,
        "interpolate runs/icons a.png b.png --out between.png",
    ),
    (
        _picture_commands.inpaint,
        "inpaint runs/icons a.png mask.png --out versions.png",
    ),
    (_measure_commands.evaluate, "evaluate new/icons icons --output evaluation.json"),
    (_measure_commands.validity, "validity early later another-domain"),
    (_measure_commands.experiment, "experiment icons --run runs/icons"),
)

for command, example in COMMANDS:
    name = command.__name__.replace("_", "-")
    app.command(name, epilog=f"Example: {NAME} {example}")(command)


def main():
    """Run the command line."""
    app(prog_name=NAME)


if __name__ == "__main__":
    main()
