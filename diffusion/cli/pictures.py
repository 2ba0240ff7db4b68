"""Commands that train a model and make pictures with it."""

from pathlib import Path
from typing import Annotated

import typer

from illustkit.cli import given, user_errors

NAME = "illust-diffusion"

RunFolder = Annotated[Path, typer.Option(help="Folder of the training.")]
RunArgument = Annotated[Path, typer.Argument(help="Folder of the training.")]
Strategy = Annotated[str, typer.Option(help="auto, one, mirrored, multiworker or tpu.")]
Precision = Annotated[
    str | None, typer.Option(help="float32, mixed_bfloat16 or mixed_float16.")
]
Steps = Annotated[int, typer.Option(help="Evaluations of the network a picture.")]
Sampler = Annotated[str, typer.Option(help="ddim, ddpm (all timesteps) or dpm++.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same pictures.")]
Watermark = Annotated[
    bool,
    typer.Option("--watermark/--no-watermark", help="Mark pictures as generated."),
]
WatermarkText = Annotated[str, typer.Option(help="Text of the watermark.")]
Opacity = Annotated[float, typer.Option(help="Of the watermark, 0 to 1.")]


def size_of(text):
    """(width, height) of "64" or "96x64"; `None` of `None`."""
    if text is None:
        return None
    try:
        numbers = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise ValueError(f"A size is 64 or 96x64. Received: {text}")
    return numbers * 2 if len(numbers) == 1 else numbers


def multiples_of(text):
    """(1, 2, 4) of "1,2,4"; `None` of `None`."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--dim-mults takes numbers with commas, as 1,2,4,8. Received: {text}"
        ) from None


def train(
    images: Annotated[Path, typer.Argument(help="Folder of the icons.")],
    run: RunFolder = Path("runs/diffusion"),
    preset: Annotated[
        str, typer.Option(help="preprint, hourglass, colab, small or tiny.")
    ] = "preprint",
    steps: Annotated[int | None, typer.Option(help="Training steps in all.")] = None,
    epoch_steps: Annotated[
        int | None, typer.Option(help="Steps between backups and grids.")
    ] = None,
    image_size: Annotated[
        str | None, typer.Option(help="Side in pixels, or WIDTHxHEIGHT.")
    ] = None,
    channels: Annotated[int | None, typer.Option(help="1 grey, 3 RGB, 4 RGBA.")] = None,
    dim: Annotated[int | None, typer.Option(help="Channels at full size.")] = None,
    dim_mults: Annotated[
        str | None, typer.Option(help="Multiple of dim at each level, as 1,2,4,8.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="0.25.3 or 2.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="cosine, linear or sigmoid.")
    ] = None,
    timesteps: Annotated[int | None, typer.Option()] = None,
    objective: Annotated[str | None, typer.Option(help="noise, x0 or v.")] = None,
    loss: Annotated[str | None, typer.Option(help="l1 or mse.")] = None,
    min_snr_gamma: Annotated[
        float | None, typer.Option(help="Cap of the signal-to-noise ratio.")
    ] = None,
    self_condition: Annotated[
        float | None, typer.Option(help="Probability of seeing the own estimate.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Icons a batch, over all devices.")
    ] = None,
    accumulation: Annotated[
        int | None, typer.Option(help="Batches a step; needs one device.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    flip: Annotated[float | None, typer.Option(help="Probability.")] = None,
    precision: Precision = None,
    strategy: Strategy = "auto",
    sample_every: Annotated[
        int, typer.Option(help="Epochs between grids; 0 for none.")
    ] = 1,
    metrics: Annotated[
        str | None,
        typer.Option(help="Log FID and KID: inception, or a file of its weights."),
    ] = None,
    seed: Annotated[int | None, typer.Option()] = None,
):
    """Learn an illustrator's icons; the same command again resumes it."""
    with user_errors(NAME):
        from diffusion.training import train

        train.train(
            images,
            run,
            preset=preset,
            strategy=strategy,
            sample_every=sample_every,
            metrics=metrics,
            **given(
                steps=steps,
                epoch_steps=epoch_steps,
                image_size=size_of(image_size),
                channels=channels,
                dim=dim,
                dim_mults=multiples_of(dim_mults),
                version=version,
                schedule=schedule,
                timesteps=timesteps,
                objective=objective,
                loss=loss,
                min_snr_gamma=min_snr_gamma,
                self_condition=self_condition,
                batch_size=batch_size,
                accumulation=accumulation,
                learning_rate=learning_rate,
                flip=flip,
                precision=precision,
                seed=seed,
            ),
        )
        typer.echo(f"Make pictures with: {NAME} sample {run} --out new")


def sample(
    run: RunArgument,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("new"),
    n: Annotated[int, typer.Option(help="Number of icons.")] = 64,
    sampler: Sampler = "ddim",
    steps: Steps = 50,
    eta: Annotated[float | None, typer.Option(help="Noise of DDIM, 0 to 1.")] = None,
    seed: Seed = 3407,
    size: Annotated[
        str | None, typer.Option(help="For a network that takes any size.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Icons at once.")] = None,
    precision: Precision = None,
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
):
    """Make new icons: a folder of PNG files and a grid."""
    with user_errors(NAME):
        from diffusion.network.model import load_diffuser
        from diffusion.sampling.generate import sample_folder

        model = load_diffuser(run, precision=precision or "float32")
        sample_folder(
            model,
            n,
            out,
            sampler=sampler,
            steps=steps,
            eta=eta,
            seed=seed,
            image_size=size_of(size),
            batch_size=batch_size,
            watermark=watermark_text if watermark else None,
            opacity=opacity,
        )
        typer.echo(f"Look at {(out / 'grid.png').resolve()}")


def interpolate(
    run: RunArgument,
    first: Annotated[Path, typer.Argument(help="A picture.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path(
        "interpolation.png"
    ),
    n: Annotated[int, typer.Option(help="Pictures between the two.")] = 7,
    t: Annotated[
        int | None, typer.Option(help="Timestep at which the two are mixed.")
    ] = None,
    seed: Seed = 3407,
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
):
    """Make the pictures between two pictures."""
    with user_errors(NAME):
        from diffusion.sampling.editing import interpolate_pictures, write_row

        pictures = interpolate_pictures(run, first, second, n=n, t=t, seed=seed)
        text = watermark_text if watermark else None
        write_row(out, pictures, watermark=text, opacity=opacity, given=(0, -1))
        typer.echo(f"Look at {out.resolve()}")


def inpaint(
    run: RunArgument,
    picture: Annotated[Path, typer.Argument(help="The picture.")],
    mask: Annotated[Path, typer.Argument(help="White is made anew, black is kept.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path(
        "inpainted.png"
    ),
    n: Annotated[int, typer.Option(help="Versions, side by side.")] = 4,
    steps: Steps = 50,
    seed: Seed = 3407,
    watermark: Watermark = True,
    watermark_text: WatermarkText = "AI-generated",
    opacity: Opacity = 0.35,
):
    """Make the white part of a mask anew, to fit the rest."""
    with user_errors(NAME):
        from diffusion.sampling.editing import inpaint_picture, write_row

        pictures = inpaint_picture(run, picture, mask, n=n, steps=steps, seed=seed)
        text = watermark_text if watermark else None
        write_row(out, pictures, watermark=text, opacity=opacity)
        typer.echo(f"Look at {out.resolve()}")
