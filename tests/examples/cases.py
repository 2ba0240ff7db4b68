"""What examples stand among: variables, smaller numbers, and what never runs."""

import contextlib
import dataclasses
import functools
import importlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from . import stage

Make = Callable[[], Any]
Prepare = Callable[[pytest.MonkeyPatch, contextlib.ExitStack], None]


@dataclasses.dataclass(frozen=True)
class Case:
    """What one example needs besides what its package's examples have.

    Args:
        values: Functions that make variables which it does not make itself.
        smaller: Pairs (text, text): its numbers, replaced by ones that take a moment.
        files: Names of files in `stage.FILES` that its text does not name.
        without: Names of those that it makes itself.
        prepare: Function that sets up what stands in for the network or the user.
        needs: Module that is not installed everywhere.
    """

    values: Mapping[str, Make] = dataclasses.field(default_factory=dict)
    smaller: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    prepare: Prepare | None = None
    needs: str = ""


def name_of(module: str, name: str) -> Make:
    """Return a function that imports a name."""
    return lambda: getattr(importlib.import_module(module), name)


def value(item: Any) -> Make:
    """Return a function that returns a copy of an array, or the value itself."""
    return lambda: item.copy() if isinstance(item, np.ndarray) else item


@functools.cache
def drawn() -> np.ndarray:
    return stage.character(7)


def jpeg(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG")
    return stream.getvalue()


@functools.cache
def patch(seed: int = 7) -> np.ndarray:
    """256×256 pixels of a drawn picture."""
    return stage.character(seed)[100:356, 150:406]


def box_mask() -> np.ndarray:
    """A mask of a patch, 255 = hidden."""
    hidden = np.zeros((256, 256), np.uint8)
    hidden[80:176, 64:192] = 255
    return hidden


def icons(n: int = 6, side: int = 32, first: int = 0) -> np.ndarray:
    """Drawn faces, uint8 `(n, side, side, 3)`."""
    from illustkit import draw_face_icon

    return np.stack([draw_face_icon(first + i, side) for i in range(n)])


def censored_icons() -> np.ndarray:
    pictures = icons()
    pictures[:, 10:20, 8:24] = 255
    return pictures


def signed(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def valid(*shape: int) -> np.ndarray:
    """The paper's mask of a batch: 0 in the hole."""
    inside = np.ones((*shape, 1), "float32")
    inside[:, 4:12, 4:12] = 0
    return inside


def dense() -> Any:
    """A compiled model of one number to one number."""
    import keras

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def number_batches() -> Any:
    from illustkit.training.batches import Batches

    class Numbers(Batches):
        def make(self, indices, rng):
            x = np.asarray(indices, "float32")[:, None]
            return x, x

    return Numbers(8, batch_size=4)


def open_run(folder: str) -> Any:
    from illustkit.training.runs import Run

    return Run(folder)


# illustkit


def answering_page(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The page's user is done at once."""
    from illustkit.web.server import LocalServer

    patch.setattr(LocalServer, "wait", lambda self: None)


def served_file(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The pinned file has been fetched before."""
    from illustkit.files import cache_folder

    cache_folder().mkdir(parents=True, exist_ok=True)
    (cache_folder() / "model.xml").write_bytes(b"<xml/>")


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def greeting_app() -> Any:
    from pathlib import Path

    from illustkit.web.server import App

    class Greeting(App):
        name = "greeting"
        pages = Path("pages")
        page = "greeting.html"

    Path("pages").mkdir()
    Path("pages/greeting.html").write_text("hello {{token}}")
    return Greeting()


def canvas() -> Any:
    from illustkit.samples.canvas import Canvas

    return Canvas.blank((64, 64)).placed(32, 32, scale=16)


def circle(radius: float) -> Make:
    def make() -> Any:
        from illustkit.samples.curves import ellipse

        return ellipse(0, 0, radius, radius)

    return make


ILLUSTKIT = {
    "Path": name_of("pathlib", "Path"),
    "batches": number_batches,
    "build_and_compile": value(dense),
    "censored": censored_icons,
    "image": lambda: drawn().copy(),
    "model": dense,
    "oppai": lambda: importlib.import_module("oppai"),
    "paths": lambda: importlib.import_module("illustkit").list_images("pictures"),
    "picture": lambda: drawn().copy(),
    "pictures": icons,
    "restored": icons,
    "rgb": lambda: drawn().copy(),
    "samples": icons,
    "scores": value([3.25, 1.0, 4.5, 2.0, 5.0, 3.0]),
    "truth": icons,
}
_SCORER = {
    "SCORER": name_of("facescore.scorer.model", "SCORER"),
    "build_scorer": name_of("facescore.scorer.model", "build_scorer"),
}


def stored_pictures() -> Any:
    from illustkit.images import store_pictures

    def fill(writer):
        for i, icon in enumerate(icons()):
            writer.add(icon, file=f"{i}.png")

    return store_pictures(None, {}, fill)


def typer_app() -> Any:
    import typer

    return typer.Typer()


# oppai

OPPAI = {
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


def dense_network(shape: Any, units: Any) -> Any:
    """A network of one dense layer, from and to any shape."""
    import keras

    shape = (shape,) if isinstance(shape, int) else shape
    units = (units,) if isinstance(units, int) else units
    dense = keras.layers.Dense(int(np.prod(units)))
    flat, shaped = keras.layers.Flatten(), keras.layers.Reshape(units)
    return keras.Sequential([keras.Input(shape), flat, dense, shaped])


def adversarial_model() -> Any:
    from illustkit.training.adversarial import Adversarial

    return Adversarial(dense_network(2, 3), dense_network(3, 1))


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
    patch.setattr(metadata, "SHA256", _sha256(data))
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


# facescore

CASCADE = (
    '<?xml version="1.0"?><opencv_storage><cascade><stageType>BOOST</stageType>'
    "<featureType>LBP</featureType><height>24</height><width>24</width><stageParams>"
    "<boostType>GAB</boostType><minHitRate>0.99</minHitRate><maxFalseAlarm>0.5"
    "</maxFalseAlarm><weightTrimRate>0.95</weightTrimRate><maxDepth>1</maxDepth>"
    "<maxWeakCount>1</maxWeakCount></stageParams><featureParams><maxCatCount>256"
    "</maxCatCount><featSize>1</featSize></featureParams><stageNum>1</stageNum>"
    "<stages><_><maxWeakCount>1</maxWeakCount><stageThreshold>2."
    "</stageThreshold><weakClassifiers><_><internalNodes>0 -1 0 -1 -1 -1 -1 -1 -1 -1 "
    "-1</internalNodes><leafValues>-1. 1.</leafValues></_></weakClassifiers></_>"
    "</stages><features><_><rect>0 0 8 8</rect></_></features></cascade>"
    "</opencv_storage>"
)


def cascade(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """A cascade that finds nothing stands in for the one that is fetched."""
    from pathlib import Path

    Path("cascade.xml").write_text(CASCADE)
    patch.setenv("FACESCORE_CASCADE", str(Path("cascade.xml").resolve()))


def eager_cascade(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """A cascade that finds a face in the middle of each picture."""
    from facescore import Cascade, Face
    from illustkit import read_image

    def detect(self, image, **options):
        picture = image if isinstance(image, np.ndarray) else read_image(image)
        height, width = picture.shape[:2]
        return [Face((width / 3, height / 3, width / 1.5, height / 1.5), 0.9)]

    cascade(patch, stack)
    patch.setattr(Cascade, "detect", detect)


def tiny_demo(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    tiny_scorer(patch, stack)
    eager_cascade(patch, stack)


def scored() -> np.ndarray:
    return np.repeat([1, 2, 3, 4, 5], 4)


def predicted() -> np.ndarray:
    return scored() + np.random.default_rng(0).normal(0, 0.5, 20)


def ranked() -> Any:
    import facescore

    options = {"scorer": "runs/taste", "detector": "runs/faces", "progress": False}
    return facescore.rank_folder("pictures", output="ranking", **options)


def random_crops(side: int, n: int = 4) -> np.ndarray:
    return icons(n, side)


def dense_layer(units: int = 3) -> Any:
    import keras

    given = keras.Input((2,))
    return keras.Model(given, keras.layers.Dense(units, name="dense")(given))


def detector_network() -> Any:
    from facescore.detector.network import DetectorNetwork

    return DetectorNetwork((4, 4, 4, 4, 4), (1, 1, 1, 1), 4)


def lite_network() -> Any:
    from facescore.efficientnet_lite import EfficientNetLite0

    return EfficientNetLite0(32)


def face() -> Any:
    import facescore

    return facescore.Face((200.0, 150.0, 330.0, 290.0), 0.9)


FACESCORE = {
    "a": lambda: icons(1, 64)[0],
    "b": lambda: icons(1, 64, 1)[0],
    "batches": lambda: detector_batches(),
    "boxes": value(np.array([(10.0, 10.0, 60.0, 60.0)])),
    "crop": lambda: icons(1, 96)[0],
    "crops": lambda: random_crops(96),
    "detector": lambda: importlib.import_module("facescore").load_detector(
        "runs/faces"
    ),
    "explanation": lambda: importlib.import_module("facescore").Explainer("runs/taste")(
        icons(1, 96)[0]
    ),
    "face": face,
    "image": lambda: drawn().copy(),
    "images": lambda: [
        *icons(1, 64),
        *icons(1, 64, 1),
        *icons(1, 64),
        *icons(1, 64, 3),
    ],
    "picture": lambda: importlib.import_module("illustkit").list_images("pictures")[0],
    "pictures": lambda: icons(2, 96),
    "predicted": predicted,
    "run": lambda: open_run("runs/taste"),
    "scorer": lambda: importlib.import_module("facescore").load_scorer("runs/taste"),
    "scores": value(np.array([1.0, 2.0, 4.0, 5.0])),
    "size": value((72, 96)),
    "true": scored,
}


def detector_batches() -> Any:
    """Batches of squares of 64 pixels with a face in each."""
    from facescore.detector.data import DetectorBatches, build_pictures
    from facescore.detector.training import DETECTOR_PRESETS

    with pytest.MonkeyPatch.context() as patch:
        tiny_detector(patch, contextlib.ExitStack())
        chosen = DETECTOR_PRESETS["small"]
    paths = importlib.import_module("illustkit").list_images("pictures")
    return DetectorBatches(build_pictures(paths, side=64, cache=None), chosen, seed=0)


def slim_detector(patch: pytest.MonkeyPatch) -> None:
    """The detector's network is one of three convolutions, built in a moment."""
    patch.setattr(
        "facescore.detector.losses.DetectorNetwork",
        name_of("tests.facescore.slim", "Slim")(),
    )


def tiny_detector(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The presets of `facescore.train_detector` have a network of a moment."""
    from facescore.detector.training import DETECTOR_PRESETS

    small = {"image_size": 64, "batch_size": 2, "epoch_size": 4, "validation_size": 64}
    small |= {"widths": (2, 2, 4, 4, 4), "depths": (1, 1, 1, 1), "head": 2}
    slim_detector(patch)
    for name, preset in DETECTOR_PRESETS.items():
        patch.setitem(DETECTOR_PRESETS, name, dataclasses.replace(preset, **small))


def tiny_scorer(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The presets of `facescore.train_scorer` have a network of a moment."""
    from facescore.scorer.training import SCORER_PRESETS

    small = {"network": "small", "image_size": (16, 16), "batch_size": 4}
    small |= {"network_options": {"widths": (4, 6), "places": 2}}
    for name, preset in SCORER_PRESETS.items():
        patch.setitem(SCORER_PRESETS, name, dataclasses.replace(preset, **small))


def tiny_trainings(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    tiny_detector(patch, stack)
    tiny_scorer(patch, stack)


# diffusion

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


DIFFUSION = {
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
    from diffusion.training.train import NoisedIcons

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


VALUES: dict[str, dict[str, Make]] = {
    "illustkit": ILLUSTKIT,
    "oppai": OPPAI,
    "facescore": FACESCORE,
    "diffusion": DIFFUSION,
}
_GRID = {"Grid": name_of("oppai.censoring.block_grid", "Grid")}
_PIXIV = Case(prepare=pixiv, values={"session": session})
_META = ("oppai_meta.json", "pictures")

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
    "illustkit:attach_stub": Case(
        values={
            "__name__": value("oppai"),
            "__file__": lambda: importlib.import_module("oppai").__file__,
        }
    ),
    "illustkit:user_errors": Case(
        values={"restore": value(lambda path: path), "path": value("a.png")}
    ),
    "illustkit:renamed_options": Case(values={"app": typer_app}),
    "illustkit:UserError": Case(values={"path": value("pictures")}),
    "illustkit:read_rows": Case(
        files=("set",), values={"width": value(72), "height": value(96)}
    ),
    "illustkit:fetch_pinned": Case(
        values={
            "URL": value("https://example.org/model.xml"),
            "SHA256": value(_sha256(b"<xml/>")),
        },
        prepare=served_file,
    ),
    "illustkit:with_note": Case(values={"data": lambda: jpeg(drawn())}),
    "illustkit:with_blocks_of": Case(
        values={
            "original": lambda: jpeg(drawn()),
            "encode_rows": value(lambda rows: jpeg(drawn()[rows])),
            "changed": value(np.zeros((848, 600), bool)),
        }
    ),
    "illustkit:StoredPictures": Case(values={"pictures": stored_pictures}),
    "illustkit:store_pictures": Case(files=("pictures",)),
    "illustkit:precision": Case(values={"build": value(dense)}),
    "illustkit:Canvas.inside": Case(
        values={"canvas": canvas, "face": circle(1.0), "shadow": circle(0.5)}
    ),
    "illustkit:fit_run": Case(without=("runs/first",), smaller=(("val_psnr", "loss"),)),
    "illustkit:Run": Case(without=("runs/first",), smaller=(("val_psnr", "loss"),)),
    "illustkit:RunKind": Case(
        without=("runs/taste",), values={"settings": value({"network": "small"})}
    ),
    "illustkit:choose_preset": Case(
        values={
            "DETECTOR_PRESETS": name_of(
                "facescore.detector.training", "DETECTOR_PRESETS"
            )
        }
    ),
    "illustkit:load_run": Case(values=_SCORER),
    "illustkit:App": Case(values={"__file__": value("greeting.py")}),
    "illustkit:Run.best": Case(
        files=("runs/first",), values={"run": lambda: open_run("runs/first")}
    ),
    "illustkit:map_to_shards": Case(needs="ray"),
    "illustkit:LocalServer": Case(values={"app": greeting_app}, prepare=answering_page),
    "illustkit:Adversarial": Case(
        values={
            "generator": lambda: dense_network(2, (8, 8, 3)),
            "discriminator": lambda: dense_network((8, 8, 3), 1),
            "noise": lambda: signed(4, 2),
            "pictures": lambda: signed(4, 8, 8, 3),
        }
    ),
    "illustkit:AdversarialAdam": Case(values={"model": adversarial_model}),
    "illustkit:SpectralConv2D": Case(values={"pictures": lambda: signed(2, 8, 8, 3)}),
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
    "facescore:start": Case(prepare=cascade),
    "facescore:crop_faces": Case(prepare=cascade),
    "facescore:crop_folder": Case(
        prepare=cascade,
        without=("crops",),
        values={"Cascade": name_of("facescore", "Cascade")},
    ),
    "facescore:Cascade": Case(prepare=cascade),
    "facescore:find_cascade": Case(prepare=cascade),
    "facescore:train_detector": Case(
        prepare=tiny_detector, without=("runs/detector",), smaller=(("20", "1"),)
    ),
    "facescore:read_labels": Case(files=("pictures",)),
    "facescore:write_labels": Case(files=("pictures",)),
    "facescore:to_coco": Case(without=("faces.json",)),
    "facescore:write_gallery": Case(
        files=("pictures", "runs/taste", "runs/faces"), values={"ranking": ranked}
    ),
    "facescore:FaceDetector": Case(
        files=("pictures",),
        smaller=(("DetectorNetwork()", "DetectorNetwork((2, 2, 4, 4, 4), head=2)"),),
    ),
    "facescore:held_out_ratings": Case(
        files=("runs/taste",),
        values={"score_crops": name_of("facescore.scorer.prediction", "score_crops")},
    ),
    "facescore:evaluate_stability": Case(
        prepare=eager_cascade, smaller=(('"runs/faces"', '"cascade"'),)
    ),
    "facescore:stability": Case(
        values={"detect_faces": value(lambda image: [(16, 16, 48, 48)])}
    ),
    "facescore:load_scorer": Case(prepare=cascade),
    "facescore:explain": Case(prepare=cascade),
    "facescore:Explainer": Case(files=("runs/taste",)),
    "facescore:draw_veil": Case(files=("runs/taste",)),
    "facescore:explain_pictures": Case(
        smaller=(('detector="runs/faces"', "detector=None"),)
    ),
    "facescore:save_shipped": Case(values={"network": detector_network}),
    "facescore:shipped_features": Case(values={"network": lite_network}),
    "facescore:EfficientNetLite0": Case(
        values={"pictures": lambda: np.zeros((2, 224, 224, 3), "uint8")}
    ),
    "facescore:TransferNet": Case(values={"pictures": lambda: signed(2, 160, 160, 3)}),
    "illustkit:save_network": Case(values={"network": dense_layer}),
    "illustkit:read_network": Case(values={"network": dense_layer}),
    "illustkit:load_network": Case(
        values={"network": dense_layer, "build": value(dense_layer)}
    ),
    "facescore:feature_places": Case(
        values={
            "network": lambda: importlib.import_module(
                "facescore.scorer.networks"
            ).SmallNet(32)
        }
    ),
    "facescore:AlexNet": Case(
        values={"pictures": lambda: signed(2, 360, 360, 3)},
        smaller=(("1024", "8"),),
    ),
    "facescore:AnimeCNN": Case(values={"pictures": lambda: signed(2, 96, 144, 3)}),
    "facescore:SmallNet": Case(values={"pictures": lambda: signed(2, 96, 96, 3)}),
    "facescore:DetectorNetwork": Case(
        values={"pictures": lambda: np.zeros((2, 640, 640, 3), "uint8")}
    ),
    "facescore:score_crops": Case(files=("runs/taste",)),
    "facescore:train_scorer": Case(prepare=tiny_scorer, without=("runs/taste",)),
    "facescore:demo": Case(
        prepare=tiny_demo,
        smaller=(
            (
                '"facescore-demo"',
                '"facescore-demo", detector="cascade", per_score=4, per_score_unseen=2',
            ),
        ),
    ),
    "facescore:write_scenes": Case(smaller=(("200", "2"),)),
    "facescore:rate": Case(),
    "facescore:rated_characters": Case(smaller=(("100", "2"),)),
    "docs/facescore.md:1": Case(
        prepare=tiny_trainings, without=("runs/faces", "runs/taste"), smaller=()
    ),
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

WITH_OWN_RESTORER = {"oppai:load_shipped", "oppai:load_restorer"}
"""Examples that load the package's own restorer; the others get a tiny one."""

WITH_OWN_DETECTOR = {"facescore:FaceDetector", "facescore:DetectorNetwork"}
"""Examples that build the detector's own network; the others get a small one."""

NOT_RUN: dict[str, str] = {
    "facescore:export_detector": "it takes 20 s; test_export.py exports small ones",
    "facescore:export_scorer": "it takes 10 s; test_export.py exports small ones",
}
"""Examples that no test runs, each with the reason."""


def pconv_network() -> Any:
    import oppai

    return oppai.PConvUNet(16, widths=(4, 8), strides=(1, 2), kernels=(3, 3))


def pconv_restorer() -> Any:
    from oppai.models.restorers import Restorer

    return Restorer(pconv_network(), {"valid": 1.0, "hole": 6.0})
