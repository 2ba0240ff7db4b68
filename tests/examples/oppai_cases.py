"""What the examples of `oppai` stand among."""

import contextlib
import dataclasses
import importlib
from typing import Any

import numpy as np
import pytest

from . import stage
from .case import (
    Case,
    Make,
    answering_page,
    box_mask,
    drawn,
    icons,
    name_of,
    open_run,
    patch,
    sha256,
    signed,
    valid,
    value,
)

VALUES: dict[str, Make] = {
    "alpha": lambda: box_mask().astype("float32") / 255,
    "batches": lambda: masked_batches(),
    "box": value((64, 80, 192, 176)),
    "censored": lambda: np.where(box_mask()[..., None] > 0, 255, patch()).astype(
        "uint8"
    ),
    "entries": lambda: importlib.import_module("oppai").load_metadata(
        "oppai_meta.json"
    ),
    "height": value(848),
    "held_out": lambda: cut_patches(64),
    "hole": lambda: box_mask() > 0,
    "image": stage.painted,
    "mask": box_mask,
    "missing": lambda: box_mask() > 0,
    "onnxruntime": lambda: pytest.importorskip("onnxruntime"),
    "patch": lambda: patch().copy(),
    "patches": lambda: cut_patches(16),
    "picture": lambda: drawn().copy(),
    "pictures": lambda: [drawn(), stage.character(8)],
    "prediction": lambda: patch(8).copy(),
    "restored": lambda: patch(8).copy(),
    "restorer": lambda: mosaic_restorer(),
    "rows": lambda: measured(),
    "run": lambda: open_run("runs/first"),
    "square": value((100, 200, 400, 500)),
    "training": value(["0.png", "2.png", "3.png"]),
    "truth": lambda: patch().copy(),
    "uint8_to_signed": name_of("illustkit.images.scales", "uint8_to_signed"),
    "width": value(600),
}


def cut_patches(size: int) -> Any:
    import oppai

    entries = oppai.load_metadata("oppai_meta.json")
    return oppai.build_patches(
        entries, "pictures", size=size, cache=None, minimum=24, progress=False
    )


def masked_batches() -> Any:
    """Batches of pictures of 64 pixels for `oppai.models.restorers.Restorer`."""
    import oppai

    patches = cut_patches(64)
    return oppai.CensoredPatches(patches, batch_size=2, blocks=(2, 3), picture_blur=1)


def mosaic_batches() -> Any:
    """Batches of pictures of 32 pixels for `MosaicRestorer`."""
    from oppai.data.batches import CensoredCrops

    return CensoredCrops([drawn()], patch=32, batch_size=2, steps=1)


def translation_batches(task: str) -> Any:
    """Batches of pairs of 32 pixels for `oppai.translation.training.Translator`."""
    from oppai.translation.pairs import PairBatches, draw_pairs
    from oppai.translation.tasks import make_task

    rules = make_task(task)
    pairs = draw_pairs(rules, range(2), 32)
    return PairBatches(rules, pairs, image_size=32, batch_size=2, steps=1)


def mosaic_restorer() -> Any:
    """A network of a moment that sees the mosaic."""
    import oppai
    from oppai.models.restorers import MosaicRestorer

    return MosaicRestorer(oppai.MosaicUNet(widths=(4, 6), blocks=(0, 1)))


def measured() -> Any:
    import oppai

    pictures = np.stack([patch()[:64, :64], patch(8)[:64, :64]])
    return oppai.evaluate(
        None, pictures, np.array([(8, 8, 40, 40)] * 2), progress=False
    )


def tiny_default(patch: pytest.MonkeyPatch) -> None:
    """The package's own restorer is one of a moment."""
    from oppai.models import pretrained

    patch.setattr(pretrained, "load_shipped", lambda *path: mosaic_restorer())


def tiny_presets(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The presets of `oppai.train` have a network of a moment."""
    from oppai.presets import PRESETS

    network = {"widths": (4, 8), "strides": (1, 2), "kernels": (3, 3)}
    small = {"image_size": 16, "network": network, "batch_size": 2, "epochs": 1}
    small |= {"blocks": (2, 3), "blur_sizes": (1, 1), "picture_blur": 1, "minimum": 24}
    for name, preset in PRESETS.items():
        patch.setitem(PRESETS, name, dataclasses.replace(preset, **small))


def pixiv(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """Pixiv is a server on loopback, and its works those of the metadata."""
    import json
    from pathlib import Path

    import pixivpy3

    from oppai.pixiv import client
    from tests.oppai.pixiv.loopback_client import lead_to
    from tests.oppai.pixiv.loopback_server import TOKEN, PixivServer

    server = stack.enter_context(PixivServer())
    patch.setattr(pixivpy3, "AppPixivAPI", lead_to(server.port))
    patch.setenv(client.VARIABLE, TOKEN)
    Path("oppai_dataset").mkdir(exist_ok=True)
    entries = [server.add(number) for number in (11, 72809999)]
    Path("oppai_dataset/oppai_meta.json").write_text(json.dumps(entries))


def session() -> Any:
    import oppai

    return oppai.login()


def fetched_metadata(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The pinned metadata are a small file that has been fetched before."""
    from pathlib import Path

    from oppai.data import metadata

    stage.FILES["oppai_meta.json"](Path("pinned.json"))
    data = Path("pinned.json").read_bytes()
    patch.setattr(metadata, "SHA256", sha256(data))
    cached = metadata.cache_folder() / metadata.URL.rsplit("/", 1)[1]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(data)


def finder_weights(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """A copy of the finder's weights, to write to."""
    import shutil
    from pathlib import Path

    from tests.conftest import ROOT

    Path("oppai/weights").mkdir(parents=True)
    shutil.copy(ROOT / "oppai/weights/censor_finder.npz", "oppai/weights")


_GRID = {"Grid": name_of("oppai.censoring.block_grid", "Grid")}
_PIXIV = Case(prepare=pixiv, values={"session": session})
_META = ("oppai_meta.json", "pictures")


def pconv_network() -> Any:
    import oppai

    return oppai.PConvUNet(16, widths=(4, 8), strides=(1, 2), kernels=(3, 3))


def pconv_restorer() -> Any:
    from oppai.models.restorers import Restorer

    return Restorer(pconv_network(), {"valid": 1.0, "hole": 6.0})


CASES: dict[str, Case] = {
    "oppai:serve": Case(
        files=("pictures",),
        prepare=answering_page,
        smaller=(('"pictures"', '"pictures", port=0, open_browser=False'),),
    ),
    "oppai:Crop": Case(values={"network": value(lambda seen: seen)}),
    "oppai:CensoredPatches": Case(files=_META, smaller=(("32", "2"),)),
    "oppai:": Case(
        files=_META,
        values={"split_names": name_of("illustkit.training.split", "split_names")},
        smaller=(("size=256", "size=16, minimum=24"), ("32", "2")),
    ),
    "oppai:build_patches": Case(files=_META, smaller=(("256", "16, minimum=24"),)),
    "oppai:save_metadata": Case(files=_META),
    "oppai:find_pictures": Case(files=("images",), smaller=(("downloads", "images"),)),
    "oppai:fetch_metadata": Case(prepare=fetched_metadata),
    "oppai:mosaic_inputs": Case(
        values={"network": lambda: mosaic_restorer().network},
    ),
    "oppai:activity": Case(
        values={
            "base": lambda: signed(256, 256, 3),
            "prediction": lambda: signed(256, 256, 3),
        }
    ),
    "oppai:fill_smoothly": Case(values={"picture": lambda: patch().copy()}),
    "oppai:train_cell_network": Case(
        prepare=finder_weights, smaller=(('.npz"', '.npz", steps=1, batch_size=2'),)
    ),
    "oppai:train_solid_network": Case(
        prepare=finder_weights, smaller=(('.npz"', '.npz", steps=1, batch_size=2'),)
    ),
    "oppai:train_evidence": Case(
        prepare=finder_weights,
        values={"pictures": lambda: [stage.character(3, (200, 283))]},
    ),
    "oppai:irregular_mask": Case(values={"picture": lambda: patch().copy()}),
    "oppai:pack": Case(without=("gdrive/MyDrive/oppai/oppai_dataset.zip",)),
    "oppai:held_out_patches": Case(files=("runs/first",)),
    "oppai:evaluate": Case(files=_META),
    "oppai:plot_history": Case(files=("runs/first",)),
    "oppai:restore_files": Case(),
    "oppai:find_files": Case(
        values={"restore_files": name_of("oppai.inference.files", "restore_files")},
    ),
    "oppai:mask_alpha": Case(),
    "oppai:plan_tiles": Case(),
    "oppai:loss_terms": Case(
        values={
            "load_vgg_features": name_of("oppai.models.vgg", "load_vgg_features"),
            "truth": lambda: signed(2, 32, 32, 3),
            "prediction": lambda: signed(2, 32, 32, 3)[:, ::-1],
            "mask": lambda: valid(2, 32, 32),
        }
    ),
    "oppai:psnr_in_hole": Case(
        values={
            "truth": lambda: signed(2, 32, 32, 3),
            "prediction": lambda: signed(2, 32, 32, 3)[:, ::-1],
            "mask": lambda: valid(2, 32, 32),
            "signed_to_unit": name_of("illustkit.images.scales", "signed_to_unit"),
            "composite": name_of("oppai.losses", "composite"),
        }
    ),
    "oppai:vgg_distance": Case(
        values={
            "load_vgg_features": name_of("oppai.models.vgg", "load_vgg_features"),
            "truth": lambda: signed(2, 32, 32, 3),
            "completed": lambda: signed(2, 32, 32, 3)[:, ::-1],
            "mask": lambda: valid(2, 32, 32),
        },
        smaller=(("vgg16.npz", "vgg16.weights.h5"),),
        files=("vgg16.weights.h5",),
    ),
    "oppai:AnySize": Case(
        values=_GRID
        | {"mosaic_inputs": name_of("oppai.data.mosaic_inputs", "mosaic_inputs")}
    ),
    "oppai:MosaicUNet": Case(
        values=_GRID
        | {"mosaic_inputs": name_of("oppai.data.mosaic_inputs", "mosaic_inputs")}
    ),
    "oppai:PConvUNet.freeze_encoder_batchnorm": Case(
        values={
            "network": lambda: pconv_network(),
            "restorer": lambda: pconv_restorer(),
        }
    ),
    "oppai:BaseRestorer.restore_patches": Case(
        values=_GRID
        | {"censored": lambda: patch()[None].copy(), "mask": lambda: box_mask()[None]}
    ),
    "oppai:Restorer": Case(
        files=_META,
        values={
            "PConvUNet": name_of("oppai", "PConvUNet"),
            "censored": lambda: icons(2, 64),
            "mask": lambda: box_mask()[None, 64:128, 64:128].repeat(2, 0),
        },
    ),
    "oppai:MosaicRestorer": Case(
        values=_GRID
        | {
            "batches": mosaic_batches,
            "censored": lambda: icons(1, 64),
            "mask": lambda: box_mask()[None, 64:128, 64:128],
        }
    ),
    "oppai:AdversarialRestorer": Case(
        values=_GRID
        | {
            "AdversarialAdam": name_of(
                "illustkit.training.adversarial", "AdversarialAdam"
            ),
            "MosaicRestorer": name_of("oppai.models.restorers", "MosaicRestorer"),
            "MosaicUNet": name_of("oppai", "MosaicUNet"),
            "load_vgg_features": name_of("oppai.models.vgg", "load_vgg_features"),
            "batches": mosaic_batches,
            "censored": lambda: icons(1, 64),
            "mask": lambda: box_mask()[None, 64:128, 64:128],
        },
        smaller=(
            ("MosaicUNet()", "MosaicUNet(widths=(4, 6), blocks=(0, 1))"),
            ("PatchGAN(", "PatchGAN(filters=4, "),
        ),
    ),
    "oppai:convert_vgg": Case(
        smaller=(
            ("vgg16_notop.h5", "vgg16.weights.h5"),
            ("half=True", "half=True, blocks=1"),
            ("relu4_3", "relu1_2"),
        ),
        files=("vgg16.weights.h5",),
    ),
    "oppai:load_vgg_features": Case(
        smaller=(("vgg16_notop.h5", "vgg16.weights.h5"),),
        files=("vgg16.weights.h5",),
        values={"signed_pictures": lambda: signed(1, 32, 32, 3)},
    ),
    "oppai:SignedToCaffe": Case(values={"signed": lambda: signed(1, 4, 4, 3)}),
    "oppai:login": _PIXIV,
    "oppai:ask_with_backoff": _PIXIV,
    "oppai:download_all": _PIXIV,
    "oppai:plan_downloads": _PIXIV,
    "oppai:DownloadReport": _PIXIV,
    "oppai:train": Case(
        files=("images",), without=("runs/first",), prepare=tiny_presets
    ),
    "oppai:censor_settings": Case(
        files=(*_META, "runs/first"),
        smaller=(("(patches,", "(patches, batch_size=2,"),),
    ),
    "oppai:train_mosaic": Case(
        values={"names": value(["0.png"])},
        without=("runs/mosaic",),
        smaller=(
            (
                "epochs=80",
                "epochs=1, steps=1, image_size=32, samples=0, batch_size=2, "
                "network={'widths': (4, 6), 'blocks': (0, 1)}",
            ),
        ),
    ),
    "oppai:unblend": Case(
        values={
            "picture": lambda: patch().copy(),
            "region": lambda: name_of("oppai", "Region")()(
                (64, 80, 192, 176),
                np.ones((96, 128), bool),
                "mosaic",
                name_of("oppai", "Grid")()((8, 8)),
            ),
        }
    ),
    "oppai:read_record": Case(
        values={"read_picture": name_of("illustkit.images", "read_picture")},
        smaller=(("a_restored.png", "a.png"),),
    ),
    "oppai:PairBatches": Case(
        values={
            "make_task": name_of("oppai.translation.tasks", "make_task"),
            "draw_pairs": name_of("oppai.translation.pairs", "draw_pairs"),
        },
        smaller=(("range(100)", "range(2)"),),
    ),
    "oppai:roughen": Case(
        values={"draw_lines": name_of("illustkit.samples", "draw_lines")}
    ),
    "oppai:adapt": Case(
        values={
            "encoder": value(lambda picture: picture),
            "content": lambda: signed(1, 8, 8, 3),
            "style": lambda: signed(1, 6, 9, 3),
        }
    ),
    "oppai:blend_poisson": Case(
        values={"picture": lambda: patch().copy(), "made": lambda: patch().copy()}
    ),
    "oppai:Translator": Case(
        values={
            "SketchNetwork": name_of("oppai.translation.sketch", "SketchNetwork"),
            "batches": lambda: translation_batches("clean"),
        },
    ),
    "oppai:AdversarialTranslator": Case(
        values={
            "AdversarialAdam": name_of(
                "illustkit.training.adversarial", "AdversarialAdam"
            ),
            "PatchGAN": name_of("oppai.models.discriminators", "PatchGAN"),
            "Pix2PixUNet": name_of("oppai.translation.pix2pix", "Pix2PixUNet"),
        },
        smaller=(
            ("Pix2PixUNet()", "Pix2PixUNet(filters=2, depth=4)"),
            ("PatchGAN()", "PatchGAN(filters=2)"),
        ),
    ),
    "oppai:train_translation": Case(
        without=("runs/clean",),
        smaller=(
            (
                "epochs=5",
                "epochs=1, epoch_steps=1, image_size=32, batch_size=2, drawn=2, "
                "network={'scale': 1 / 48}",
            ),
        ),
    ),
    "oppai:TranslationModel": Case(
        values={
            "load_translation": name_of(
                "oppai.translation.translate", "load_translation"
            ),
            "read_image": name_of("illustkit", "read_image"),
        },
    ),
    "oppai:demo": Case(
        prepare=tiny_presets,
        smaller=(('demo("demo")', 'demo("demo", n_samples=6, n_shown=1)'),),
    ),
    "oppai:draw_samples": Case(smaller=(("100", "2"),)),
    "docs/oppai.md:2": Case(
        files=("pictures",),
        without=("runs/first",),
        prepare=tiny_presets,
        values={"oppai": lambda: importlib.import_module("oppai")},
    ),
    "docs/oppai.md:3": _PIXIV,
}
