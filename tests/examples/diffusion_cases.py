"""What the examples of `diffusion` stand among."""

import contextlib
import dataclasses
import functools
import importlib
from typing import Any

import numpy as np
import pytest

from .case import Case, Make, answering_page, icons, name_of, signed, value

_SLIM = "tests.diffusion.slim"


def gan() -> Any:
    """A compiled `DCGAN` of a few filters."""
    import diffusion

    model = diffusion.DCGAN(16, filters=8)
    model.compile()
    return model


def tiny_gans(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The presets of `diffusion.train_gan` have networks of a moment."""
    from diffusion.training.gan import PRESETS

    networks = {"dcgan": {"filters": 8}, "stylegan2": {"base": 32, "latent": 8}}
    small = {"image_size": 16, "batch_size": 4, "steps": 2, "epoch_steps": 2}
    for model, network in networks.items():
        preset = dataclasses.replace(PRESETS[model]["tiny"], **small, network=network)
        patch.setitem(PRESETS[model], "tiny", preset)


def _gan(
    size: str = "image_size=16, filters=8", end: tuple = (("sample(16", "sample(2"),)
) -> Case:
    begin = (("image_size=64", size),) if end else ()
    batch = (("steps=100, batch_size=16", "steps=1, batch_size=4"),)
    return Case(
        values={
            "LatentIcons": name_of("diffusion.training.gan", "LatentIcons"),
            "model": gan,
            "pictures": lambda: icons(4, 16),
        },
        smaller=(*begin, *batch, *end),
    )


def icon_network(objective: str = "noise") -> Any:
    """A callable of two convolutions, in the place of a trained U-Net."""
    from tests.diffusion.slim import Slim

    network = Slim()
    return lambda x_t, t, *more: network([x_t, t])


@functools.cache
def schedule(timesteps: int = 1000) -> Any:
    import diffusion

    return diffusion.make_schedule("cosine", timesteps=timesteps)


def slim_network() -> Any:
    from tests.diffusion.slim import Slim

    return Slim()


VALUES: dict[str, Make] = {
    "a": lambda: signed(1, 16, 16, 3),
    "b": lambda: signed(1, 16, 16, 3)[:, ::-1],
    "batches": lambda: noised_icons(),
    "generated": lambda: icons(4, 16, 50),
    "generated_features": lambda: signed(20, 6),
    "icon": lambda: icons(1)[0],
    "icons": lambda: importlib.import_module("diffusion").read_icons("icons"),
    "known": lambda: signed(2, 128, 128, 3),
    "model": icon_network,
    "network": slim_network,
    "noise": lambda: signed(2, 16, 16, 3),
    "picture": lambda: icons(1, 64)[0],
    "pictures": icons,
    "schedule": schedule,
    "t": value(np.array([5, 90])),
    "training": lambda: icons(6, 16),
    "training_features": lambda: signed(24, 6),
    "x": lambda: signed(2, 16, 16, 3),
    "x0": lambda: signed(2, 16, 16, 3),
    "x_t": lambda: signed(2, 16, 16, 3),
}


def noised_icons() -> Any:
    from diffusion.training.noised_icons import NoisedIcons

    return NoisedIcons(icons(4, 16), steps=1, batch_size=2, timesteps=100)


def diffuser() -> Any:
    """A compiled `Diffuser` of a small network."""
    import diffusion

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffusion.network.model.UNet", name_of(_SLIM, "Slim")())
        model = diffusion.Diffuser({"image_size": (32, 32)})
    model.compile("adam")
    return model


def tiny_diffusion(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The presets of `diffusion.train` have a network of a moment."""
    from diffusion.training.presets import PRESETS

    small = {"image_size": (16, 16), "dim": 8, "dim_mults": (1, 2), "batch_size": 2}
    small |= {"timesteps": 60, "steps": 2, "epoch_steps": 2}
    patch.setattr("diffusion.network.model.UNet", name_of(_SLIM, "Slim")())
    for name, preset in PRESETS.items():
        patch.setitem(PRESETS, name, dataclasses.replace(preset, **small))


def tiny_comparison(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    tiny_gans(patch, stack)
    tiny_diffusion(patch, stack)
    from diffusion.comparison import PRESETS

    for model in ("ddpm", "hourglass"):
        patch.setitem(PRESETS["tiny"], model, {"preset": "tiny"})


class PixelInception:
    """Features of a few pixels, for those of InceptionV3, whose weights are large."""

    source = ""

    def features(self, pictures: np.ndarray, *, resizing: str = "") -> np.ndarray:
        return np.asarray(pictures, "float32")[:, ::8, ::8].reshape(len(pictures), -1)


def pixel_inception(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    from diffusion.evaluation import inception

    patch.setattr(inception, "load_inception", lambda weights=None: PixelInception())


@functools.cache
def inception_state() -> dict[str, np.ndarray]:
    """Random weights of InceptionV3."""
    from diffusion.evaluation.inception import InceptionV3
    from tests.diffusion.evaluation.test_inception import random_state

    return random_state(InceptionV3())


def random_inception(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """A file of InceptionV3's weights holds random ones."""
    from diffusion.evaluation import inception

    patch.setattr(inception, "find_inception_weights", lambda weights=None: weights)
    patch.setattr(inception, "read_inception_weights", lambda path: inception_state())


def marked_icon(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """An icon as `sample_folder` writes it."""
    import diffusion

    marked = diffusion.add_watermark(icons(1)[0])
    diffusion.write_marked("new/icons/icon-00000.png", marked)


def tiny_experiment(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    tiny_diffusion(patch, stack)
    pixel_inception(patch, stack)


DISTILLATION = "diffusion.training.distillation"
RUNTIME = "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"


def shipped_icons() -> Any:
    """Return what builds the package's icon network, and its weights."""
    from diffusion.sampling.exporting import network_of

    return network_of("default")


def browser_runtime(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """Let npm's package have files of a few bytes."""
    files = {name: b"1" for name in ("ort.wasm.min.js", *RUNTIME)}
    patch.setattr("diffusion.pages.export_web.runtime_files", lambda folder: files)


def few_paths() -> Any:
    """Return one path of two jumps, of 16 pixels and without wishes."""
    from diffusion.training.distillation import Paths

    x = np.zeros((1, 2, 16, 16, 3), np.float16)
    return Paths(x, x, (999, 500), np.zeros((1, 0), "float32"))


CASES: dict[str, Case] = {
    "diffusion:load_inception": Case(
        prepare=random_inception, values={"pictures": lambda: icons(1)}
    ),
    "diffusion:InceptionV3": Case(
        values={"pictures": lambda: icons(1), "state": inception_state}
    ),
    "diffusion:load_state_dict": Case(
        smaller=(("version=", "image_size=32, dim=32, dim_mults=(1, 2), version="),)
    ),
    "diffusion:DCGAN": _gan(),
    "diffusion:StyleGAN2": _gan("image_size=16, base=32, latent=8"),
    "diffusion:LatentIcons": _gan(end=()),
    "diffusion:train_gan": Case(
        prepare=tiny_gans,
        smaller=(("16", "1"), ('"tiny"', '"tiny", sample_every=0')),
    ),
    "diffusion:load_gan": Case(
        prepare=tiny_gans,
        smaller=(("16", "1"), ('"tiny"', '"tiny", sample_every=0')),
    ),
    "diffusion:choose_gan_settings": Case(
        values={
            "choose_gan_settings": name_of(
                "diffusion.training.gan", "choose_gan_settings"
            )
        }
    ),
    "diffusion:augment": Case(
        values={
            name: name_of("diffusion.gans.augment", name)
            for name in ("augment", "draw_augmentation")
        }
        | {"np": value(np)}
    ),
    "diffusion:vgg16_extractor": Case(
        values={
            "vgg16_extractor": name_of("diffusion.evaluation.vgg", "vgg16_extractor"),
            "pictures": lambda: icons(2, 16),
        }
    ),
    "diffusion:compare_models": Case(
        prepare=tiny_comparison,
        smaller=(("0.5, n=256", "1e-6, n=4, verbose=0, sampling_steps=2"),),
    ),
    "diffusion:DCGenerator": Case(
        smaller=(("filters=128", "filters=8"),), values={"np": value(np)}
    ),
    "diffusion:DCDiscriminator": Case(smaller=(("(64)", "(64, filters=8)"),)),
    "diffusion:heun": Case(
        smaller=(("steps=18", "steps=3"),),
        values={
            "schedule": lambda: schedule(20),
            "draw_noise": name_of("diffusion.sampling.samplers", "draw_noise"),
            "picture_generators": name_of(
                "diffusion.sampling.samplers", "picture_generators"
            ),
        },
    ),
    "diffusion:Scheduler": Case(
        smaller=(("steps=12", "steps=3"),),
        values={
            "schedule": lambda: schedule(20),
            "np": value(np),
            "sample": lambda: signed(2, 16, 16, 3),
        },
    ),
    "diffusion:repaint": Case(
        smaller=(("128", "16"), ("40:90", "4:10"), ("rng=rng", "rng=rng, steps=4")),
        values={
            "known": lambda: signed(2, 16, 16, 3),
            "schedule": lambda: schedule(20),
        },
    ),
    "diffusion:ddpm": Case(values={"schedule": lambda: schedule(20)}),
    "diffusion:picture_generators": Case(
        smaller=(("3407, 16", "3407, 2"), ("128, 128", "16, 16"))
    ),
    "diffusion:evaluate_pictures": Case(prepare=pixel_inception),
    "diffusion:format_evaluation": Case(prepare=pixel_inception),
    "diffusion:nwi": Case(prepare=pixel_inception),
    "diffusion:validity_table": Case(prepare=pixel_inception),
    "diffusion:fid": Case(values={"inception": PixelInception}),
    "diffusion:kid_of_subsets": Case(smaller=(("subset_size=100", "subset_size=2"),)),
    "diffusion:FeatureStatistics": Case(
        values={
            "batches": lambda: [signed(4, 3), signed(2, 3)],
            "more_features": lambda: signed(5, 3),
        }
    ),
    "diffusion:run_experiment": Case(
        prepare=tiny_experiment,
        without=("runs/icons",),
        smaller=(('"preprint"', '"preprint", n=4, steps=2, sample_every=0'),),
    ),
    "diffusion:distill": Case(
        smaller=(
            ("steps=4", "steps=1, teacher_steps=2, paths=4, epochs=1, batch_size=4"),
            ("16", "1"),
        ),
        without=("runs/four",),
    ),
    "diffusion:EngineDiffuser": Case(
        needs="onnxruntime", smaller=(("16", "1, steps=1"),)
    ),
    "diffusion:export_web": Case(prepare=browser_runtime),
    "diffusion:UNetNodes": Case(
        values={
            "OnnxGraph": name_of("illustkit.engines", "OnnxGraph"),
            "settings": lambda: shipped_icons()[0],
            "arrays": lambda: shipped_icons()[1],
        }
    ),
    "diffusion:Student": Case(
        values={"paths": few_paths, "Jumps": name_of(DISTILLATION, "Jumps")},
        smaller=(("batch_size=16", "batch_size=2"),),
    ),
    "diffusion:load_diffuser": Case(smaller=(("16", "1, steps=2"),)),
    "diffusion:interpolate_pictures": Case(smaller=(("n=5", "n=1, steps=2"),)),
    "diffusion:inpaint_picture": Case(smaller=(("n=4", "n=1, steps=2"),)),
    "diffusion:sample": Case(smaller=(("16", "1"), ("12", "2"))),
    "diffusion:sample_folder": Case(smaller=(("1024", "2"), ("50", "2"))),
    "diffusion:demo": Case(
        prepare=tiny_diffusion,
        smaller=(('"diffusion-demo"', '"diffusion-demo", n_icons=6, n=4, steps=2'),),
    ),
    "diffusion:IconPage": Case(values={"model": diffuser}),
    "diffusion:serve": Case(prepare=answering_page, smaller=(("port=7860", "port=0"),)),
    "diffusion:train": Case(
        prepare=tiny_diffusion,
        without=("runs/icons",),
        smaller=(("16", "1, steps=2"), ('"tiny"', '"tiny", sample_every=0')),
    ),
    "diffusion:Diffuser": Case(
        smaller=(("(64, 64)", "(16, 16)"), ("32", "8, 'dim_mults': (1, 2)")),
        values={"Averaging": name_of("diffusion.training.callbacks", "Averaging")},
    ),
    "diffusion:NoisedIcons": Case(
        files=("icons",),
        smaller=(("steps=100, batch_size=16", "steps=1, batch_size=2"),),
        values={"model": diffuser},
    ),
    "diffusion:read_statistics": Case(
        values={
            "load_extractor": name_of("diffusion.evaluation.features", "load_extractor")
        }
    ),
    "diffusion:interpolate": Case(values={"schedule": lambda: schedule(20)}),
    "diffusion:read_note": Case(values={}, prepare=marked_icon),
    "docs/diffusion.md:1": Case(
        prepare=tiny_experiment,
        without=("runs/icons",),
        smaller=(("run, 16", "run, 1"), ('"tiny"', '"tiny", sample_every=0')),
    ),
}
