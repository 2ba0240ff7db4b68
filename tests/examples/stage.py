"""The small files that examples name, made when one asks for them."""

import ast
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import ROOT

BOX = (57, 258, 344, 471)  # what is censored in the pictures of 600×848
_SMALL = (72, 96)  # width and height of the pictures in folders
_RUNS = ROOT / "tests" / "data" / "a0b91a7"


def character(seed: int = 7, size: tuple[int, int] = (600, 848)) -> np.ndarray:
    from illustkit.samples import draw_character

    return draw_character(seed, size).image


def censored(seed: int = 7) -> np.ndarray:
    """A drawn picture with a mosaic."""
    import oppai

    return oppai.add_mosaic(character(seed), BOX, block=12).image


def painted(seed: int = 7) -> np.ndarray:
    """A drawn picture, green where something is to be restored."""
    picture = character(seed)
    picture[300:400, 100:300] = 0, 255, 0
    return picture


def mask(box: tuple[int, int, int, int] = BOX) -> np.ndarray:
    """A mask of 600×848 pixels that is white in a box."""
    hidden = np.zeros((848, 600, 3), np.uint8)
    hidden[box[1] : box[3], box[0] : box[2]] = 255
    return hidden


def _picture(make: Callable[[], np.ndarray]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        from illustkit.images import write_image

        write_image(path, make())

    return write


def _pictures(path: Path, n: int = 6) -> None:
    """Drawn pictures, with YOLO labels of their faces and "a/1.png" among them."""
    from facescore import label_path, write_labels
    from illustkit.images import write_image
    from illustkit.samples import draw_character

    for i in range(n):
        name = path / ("a/1.png" if i == 1 else f"{i}.png")
        drawn = draw_character(i, _SMALL)
        write_image(name, drawn.image)
        write_labels(label_path(name), [drawn.face_box], _SMALL)


def _labelled(path: Path) -> None:
    """The same in the two folders that YOLO is used to."""
    from facescore import label_path, write_labels
    from illustkit.images import write_image
    from illustkit.samples import draw_character

    for name in ("1.png", "2.png", "3.png", "a/1.png"):
        image = path / "images" / name
        drawn = draw_character(len(name), _SMALL)
        write_image(image, drawn.image)
        write_labels(label_path(image), [drawn.face_box], _SMALL)


def _icons(path: Path, first: int = 0, n: int = 8) -> None:
    from illustkit.images import write_image
    from illustkit.samples import draw_face_icon

    for i in range(first, first + n):
        write_image(path / f"{i}.png", draw_face_icon(i, 32))


def _metadata(path: Path, folder: str = "pictures", n: int = 6) -> None:
    """Metadata of the pictures of that folder, each with the box of its face."""
    from illustkit.samples import draw_character

    entries = []
    for i in range(n):
        name = "a/1.png" if i == 1 else f"{i}.png"
        left, top, right, bottom = draw_character(i, _SMALL).face_box
        box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
        entries.append(
            {
                "name": Path(name).name,
                "filepath": name,
                "id": i,
                "size": {"width": _SMALL[0], "height": _SMALL[1]},
                "image_url": "",
                "original_url": "",
                "bounding_boxes": [box],
                "n_bounding_boxes": 1,
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries), "utf-8")


def _dataset(path: Path) -> None:
    _metadata(path / "oppai_meta.json")
    _pictures(path)


def _archive(path: Path) -> None:
    """A packed data set."""
    import oppai

    folder = path.with_name("oppai_dataset")
    _dataset(folder)
    oppai.pack(folder, path)
    shutil.rmtree(folder)


def _yolo(path: Path) -> None:
    path.mkdir(parents=True)
    for i in range(6):
        name = path / ("a/1.txt" if i == 1 else f"{i}.txt")
        name.parent.mkdir(exist_ok=True)
        name.write_text("0 0.5 0.4 0.3 0.2\n", "utf-8")


def _spoilt(path: Path) -> None:
    """A PNG whose text, before the pixels, does not fit its checksum."""
    import io
    import zlib

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(character(7, _SMALL)).save(file, "PNG")
    png, text = file.getvalue(), b"tEXtComment\0spoilt"
    size, crc = len(text) - 4, zlib.crc32(text) ^ 1
    chunk = size.to_bytes(4, "big") + text + crc.to_bytes(4, "big")
    path.write_bytes(png[:33] + chunk + png[33:])  # after the signature and IHDR


def _animation(path: Path) -> None:
    """Three frames of 320×240 pixels."""
    from PIL import Image

    frames = [Image.fromarray(character(i, (320, 240))) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)


def _masks(path: Path, n: int = 6) -> None:
    """Masks of the names of the pictures."""
    from illustkit.images import write_image

    hidden = np.zeros((_SMALL[1], _SMALL[0], 3), np.uint8)
    hidden[30:60, 20:50] = 255
    for i in range(n):
        write_image(path / ("a/1.png" if i == 1 else f"{i}.png"), hidden)


def _vott(path: Path) -> None:
    rows = [f'"{i}.png",20,10,50,40,"face"\n' for i in (0, 2, 3)]
    path.write_text('"image","xmin","ymin","xmax","ymax","label"\n' + "".join(rows))


def _coco(path: Path, name: str = "anime_face") -> None:
    """Three of the pictures, each with a face."""
    three = range(3)
    width, height = _SMALL
    names = ["0.png", "a/1.png", "2.png"]
    images = [
        {"id": i, "file_name": names[i], "width": width, "height": height}
        for i in three
    ]
    boxes = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [20, 10, 30, 30]}
        for i in three
    ]
    data = {"images": images, "annotations": boxes}
    data["categories"] = [{"id": 1, "name": name}]
    path.write_text(json.dumps(data), "utf-8")


def _unzip(name: str, prefix: str) -> Callable[[Path], None]:
    """Write what a ZIP of old files holds under a name."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(_RUNS / f"{name}.zip") as file:
            for member in file.namelist():
                if member.startswith(prefix + "/"):
                    target = path / member[len(prefix) + 1 :]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(file.read(member))

    return write


def _detector_run(path: Path) -> None:
    """A run of the network that stands in for the detector's own."""
    import pytest

    from facescore.detector.losses import build_detector
    from tests.facescore.slim import Slim

    _unzip("facescore_train_detector", "whole")(path)
    settings = json.loads((path / "settings.json").read_text("utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facescore.detector.losses.DetectorNetwork", Slim)
        build_detector(settings).save_weights(path / "best.weights.h5")


def _diffusion_run(path: Path) -> None:
    """A run of 8×8 pixels and 20 steps of noise, made into one of 16×16 and 100."""
    _unzip("diffusion_train", "whole")(path)
    settings = path / "settings.json"
    values = json.loads(settings.read_text("utf-8"))
    settings.write_text(
        json.dumps(values | {"timesteps": 100, "image_size": [16, 16]}), "utf-8"
    )


def _stylegan2(path: Path) -> None:
    """Weights of a generator of 16×16 pixels as ADA names them."""
    from tests.diffusion.gans.test_checkpoints import ada_generator

    np.savez(path, **ada_generator())


def _state(path: Path) -> None:
    """Weights of a U-Net as the preprint's version 2 names them."""
    import safetensors.numpy

    import diffusion

    network = diffusion.UNet(32, dim=32, dim_mults=(1, 2), version="2")
    state = {k: np.array(v) for k, v in diffusion.state_dict(network).items()}
    safetensors.numpy.save_file(state, path)


def _comic(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in ("01.png", "02.png"):
            _picture(censored)(path.with_name(name))
            file.write(path.with_name(name), name)


def _vgg(path: Path) -> None:
    import keras

    keras.applications.VGG16(include_top=False, weights=None).save_weights(path)


def _translation_run(task: str, **network: Any) -> Callable[[Path], None]:
    def train(path: Path) -> None:
        import oppai
        from tests.conftest import running_eagerly

        options = {"image_size": 32, "batch_size": 2, "epochs": 1, "epoch_steps": 1}
        options |= {"drawn": 2, "sheet_every": 0, "verbose": 0}
        with running_eagerly():
            oppai.train_translation(task, None, path, network=network, **options)

    return train


FILES: dict[str, Callable[[Path], None]] = {
    "a.gif": _animation,
    "a.png": _picture(censored),
    "b.png": _picture(lambda: censored(8)),
    "b_mask.png": _picture(mask),
    "c.png": _picture(painted),
    "censored.png": _picture(censored),
    "character.png": _picture(character),
    "comic.cbz": _comic,
    "grey.png": _picture(lambda: character(7, _SMALL)),
    "mask.png": _picture(mask),
    "new.png": _picture(lambda: character(1, _SMALL)),
    "painted.png": _picture(painted),
    "painting.png": _picture(lambda: character(3, _SMALL)),
    "photo.png": _picture(lambda: character(2, _SMALL)),
    "picture.png": _picture(character),
    "sketch.png": _picture(lambda: character(7, _SMALL)),
    "spoilt.png": _spoilt,
    "torn.png": _picture(lambda: character(4, _SMALL)),
    "animals": lambda path: _icons(path, 60),
    "clipart": _pictures,
    "crops": _unzip("facescore_train_scorer", "crops"),
    "faces_early": lambda path: _icons(path, 40),
    "faces_new": lambda path: _icons(path, 50),
    "icons": _icons,
    "images": _pictures,
    "labelled": _pictures,
    "masks": _masks,
    "new": lambda path: _icons(path, 20),
    "new/icons": lambda path: _icons(path, 20),
    "oppai_dataset": _dataset,
    "pictures": _pictures,
    "set": _labelled,
    "unseen": _pictures,
    "boxes.json": _metadata,
    "coco.json": lambda path: _coco(path, "face"),
    "faces.json": _coco,
    "gdrive/MyDrive/oppai/oppai_dataset.zip": _archive,
    "labels": _yolo,
    "meta.json": _metadata,
    "model.safetensors": _state,
    "oppai_dataset/oppai_meta.json": _metadata,
    "oppai_meta.json": _metadata,
    "runs/clean": _translation_run("clean", scale=1 / 48),
    "runs/colours": _translation_run("colorize", scale=1 / 64, global_size=32),
    "runs/complete": _translation_run("complete", filters=4),
    "runs/detector": _detector_run,
    "runs/faces": _detector_run,
    "runs/first": _unzip("oppai_train", "stopped"),
    "runs/icons": _diffusion_run,
    "runs/mosaic": _unzip("oppai_train_mosaic", "whole"),
    "runs/style": _translation_run("stylize", tap="relu2_1"),
    "runs/taste": _unzip("facescore_train_scorer", "stopped"),
    "stylegan2.npz": _stylegan2,
    "vgg16.weights.h5": _vgg,
    "vott-csv-export/faces-export.csv": _vott,
}
"""What an example finds in its folder, if it names it."""


def set_up(source: str, made: Path, folder: Path, also=(), without=()) -> None:
    """Put the files that an example names into its folder.

    Args:
        source: The example.
        made: Folder of the files that were made before.
        folder: The example's own folder.
        also: Names of more files that it needs.
        without: Names of those that it makes itself.
    """
    strings = {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for name in sorted((strings & set(FILES)) - set(without) | set(also)):
        if not (made / name).exists():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            FILES[name](made / name)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (made / name).is_dir():
            shutil.copytree(made / name, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(made / name, target)
