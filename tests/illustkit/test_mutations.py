"""Spoilt files of every kind that users hand in: a result or one clear line.

A few by default; a thousand of each kind with `--run-large`.
"""

import copy
import io
import json
import os
import random
import shutil
import struct
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image, features

from diffusion.evaluation.inception import read_inception_weights
from diffusion.icons import read_icons
from diffusion.network.checkpoints import load_state_dict
from diffusion.watermark import read_note
from facescore.crops import read_crop_table
from facescore.labels import from_coco, read_labels, read_predictions
from facescore.ranking.output import gather_top
from facescore.ranking.pipeline import Journal
from facescore.scorer.data import rated_crops
from facescore.scorer.ratings import read_ratings
from illustkit.errors import UserError
from illustkit.images import picture_size, read_image, read_picture, write_picture
from illustkit.images.animation import count_frames, read_animation
from illustkit.tables import read_json, read_table
from illustkit.tensors import read_tensors
from illustkit.training.fingerprint import compare_data
from illustkit.training.runs import Run, RunKind, load_run, load_weights
from illustkit.training.split import read_split
from illustkit.web.pictures import ServedPictures
from illustkit.yolo import read_classes, read_rows
from oppai.data.annotations import import_annotations
from oppai.data.archive import unpack
from oppai.data.metadata import check_metadata, load_metadata
from oppai.inference.marks import read_mask
from oppai.models.pretrained import DEFAULT, load_shipped
from oppai.pixiv.download import plan_downloads, read_outcomes
from tests.illustkit.test_tensors import storage_pickle, zip_with

FEW, MANY = 25, 1000

# What somebody's program may put in the place of a value.
ODD_VALUES = (
    *(None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**30, 0.5, [], {}),
    *("", "x", "../../x", "/etc/passwd", "a\0b", "half \ud83d", "\udc8a", "𝟙", "1e999"),
    *([[]], {"a": []}, [1, 2, 3, 4], "9" * 400, ["x"] * 3, [None]),
)
ODD_CELLS = (
    *("", "-1", "nan", "inf", "1e999", "x", '"', ",", ";", "\t", "\0", "\r", "９"),
    *("../x.png", "絵", "1" * 5000, "0.5 0.5", "D: x", "\ufeff", "'", "--", "1_0"),
)


def bitten(data, rng):
    """Return bytes with a few of them changed, cut out, doubled or cut short."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if not data:
            break
        place = rng.randrange(len(data))
        # Headers are short and say the most.
        place = rng.choice((place, min(place, rng.randrange(1, 120))))
        length = rng.choice((1, 2, 4, 8, 40))
        match rng.randrange(6):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                data[place : place + length] = rng.randbytes(length)
            case 2:
                del data[place : place + length]
            case 3:
                data[place:place] = data[place : place + length]
            case 4:
                data[place : place + length] = rng.choice((b"\0", b"\xff")) * length
            case 5:
                del data[place if rng.random() < 0.3 else len(data) - length :]
    return bytes(data)


def mixed_up(value, rng):
    """Return JSON with one part of it replaced, removed or doubled."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = holder = {"": value}
        key = ""
        while True:
            inner = place[key] if not isinstance(place, str) else None
            if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.2:
                break
            place = inner
            key = rng.choice(
                list(inner) if isinstance(inner, dict) else range(len(inner))
            )
        match rng.randrange(8):
            case 0 if place is not holder:
                del place[key]
            case 1 if isinstance(place, list):
                place.append(place[key])
            case 2 if isinstance(place, dict) and place is not holder:
                place[rng.choice(("x", "", "id"))] = place.pop(key)
            case _:
                place[key] = copy.deepcopy(rng.choice(ODD_VALUES))
        value = holder[""]
    return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode(
        rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16")), "surrogatepass"
    )


def json_of(value):
    def make(rng):
        if rng.random() < 0.3:
            return bitten(json.dumps(value).encode(), rng)
        return mixed_up(value, rng)

    return make


def text_of(text, separator):
    def make(rng):
        if rng.random() < 0.4:
            return bitten(text.encode(), rng)
        lines = [line.split(separator) for line in text.splitlines()]
        for _ in range(rng.choice((1, 2, 4))):
            row = rng.choice(lines)
            i = rng.randrange(len(row)) if row else 0
            match rng.randrange(4):
                case 0:
                    row[i:i] = [rng.choice(ODD_CELLS)]
                case 1:
                    del row[i : i + 1]
                case _:
                    row[i : i + 1] = [rng.choice(ODD_CELLS)]
        text_now = "\n".join(separator.join(row) for row in lines)
        encoding = rng.choice(("utf-8", "utf-8-sig", "utf-16", "cp932"))
        return text_now.encode(encoding, "replace")

    return make


def drawn(size=(24, 20)):
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return np.stack([x * 9 % 256, y * 11 % 256, (x + y) * 7 % 256], -1).astype(np.uint8)


def encoded(mode, format, **options):
    stream = io.BytesIO()
    image = Image.fromarray(drawn()).convert("RGBA" if mode == "LA" else "RGB")
    if mode == "I;16":
        image = Image.fromarray(drawn()[..., 0].astype(np.uint16) * 200)
    elif mode == "F":
        image = Image.fromarray(drawn()[..., 0] / np.float32(255))
    else:
        image = image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    if format in ("PNG", "JPEG", "TIFF", "WEBP"):
        options.setdefault("exif", exif)
    image.save(stream, format, **options)
    return stream.getvalue()


def pictures():
    frames = [Image.fromarray(np.roll(drawn(), 3 * i, axis=1)) for i in range(3)]
    more = {"save_all": True, "append_images": frames[1:], "duration": 40}
    files = [
        *((encoded(m, "PNG"), ".png") for m in ("1", "L", "LA", "P", "RGB", "I;16")),
        (encoded("RGBA", "PNG", pnginfo=None), ".png"),
        *((encoded(m, "JPEG"), ".jpg") for m in ("L", "RGB", "CMYK")),
        (encoded("RGB", "JPEG", progressive=True), ".jpg"),
        *((encoded(m, "WEBP"), ".webp") for m in ("RGB", "RGBA")),
        (encoded("RGB", "WEBP", lossless=True), ".webp"),
        (encoded("P", "GIF"), ".gif"),
        *((encoded(m, "BMP"), ".bmp") for m in ("1", "P", "RGB")),
        *((encoded(m, "TIFF"), ".tif") for m in ("L", "CMYK", "I;16", "F")),
        (encoded("RGB", "TIFF", compression="tiff_lzw"), ".tif"),
        (encoded("1", "TIFF", compression="group4"), ".tif"),
        *((encoded(m, "PPM"), ".ppm") for m in ("1", "L", "RGB")),
    ]
    for format, suffix in (("GIF", ".gif"), ("PNG", ".png"), ("WEBP", ".webp")):
        stream = io.BytesIO()
        frames[0].save(stream, format, **more)
        files.append((stream.getvalue(), suffix))
    if features.check("jpg_2000"):
        files.append((encoded("RGB", "JPEG2000"), ".jp2"))
    if features.check("avif"):
        files.append((encoded("RGB", "AVIF"), ".avif"))
    return files


METADATA = [
    {
        "id": 12,
        "name": f"{i}.png",
        "image_url": "https://i.pximg.net/img-original/img/2020/01/01/00/00/00/12_p0.png",
        "filepath": f"images/{i}.png",
        "size": {"width": 24, "height": 20},
        "n_bounding_boxes": 1,
        "bounding_boxes": [{"left": 1, "top": 2, "width": 9, "height": 8}],
    }
    for i in range(2)
]
COCO = {
    "images": [
        {"id": i, "file_name": f"{i}.png", "width": 24, "height": 20} for i in (0, 1)
    ],
    "annotations": [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 2, 9, 8], "iscrowd": 0}
        for i in (0, 1)
    ],
    "categories": [{"id": 1, "name": "face"}],
}
VOTT = {
    "assets": {
        "a": {
            "asset": {"name": "0.png", "size": {"width": 24, "height": 20}, "state": 2},
            "regions": [
                {
                    "tags": ["face"],
                    "boundingBox": {"left": 1, "top": 2, "width": 9, "height": 8},
                }
            ],
        }
    }
}
SETTINGS = {
    "kind": "restorer",
    "network": {"image_size": 64, "widths": [8, 16]},
    "epochs": 3,
    "changes": [{"setting": "epochs", "before": 2, "after": 3, "after_epoch": 2}],
}
SPLIT = {"train": ["0.png"], "held_out": ["1.png"]}
DATA = {"files": {"0.png": "ab" * 8, "1.png": "cd" * 8}, "changes": [["x"]]}
OUTCOMES = {"pictures": {"0.png": {"status": "fetched", "id": 12}}}
RESTORER = RunKind("restorer", frozenset({"network"}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    for i in range(2):
        path = folder / "images" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(drawn()).save(path)
    return folder


def accepted(call, path):
    """Call a reader; a result and one clear line for each problem are right."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return call(path)
    except UserError as error:
        assert error.problems and all(error.problems)
        assert not any("\n" in line.strip() for line in error.problems)
        return None


def feed(kind, makers, readers, folder, n, *, name=None):
    """Give each reader every spoilt file."""
    rng = random.Random(f"seed of {kind}")
    for number in range(n):
        make, suffix = makers[number % len(makers)]
        path = folder / (name or f"{kind}{suffix}")
        path.write_bytes(make(rng))
        for reader in readers:
            try:
                accepted(reader, path)
            except Exception as error:
                kept = Path(os.environ.get("KEEP_MUTATIONS", folder))
                shutil.copy(path, kept / f"bad-{kind}-{number}{path.suffix}")
                raise AssertionError(
                    f"{reader.__qualname__} at number {number} ({kept})"
                ) from error


def round_trip(path):
    picture = read_picture(path)
    write_picture(path.with_name("again" + path.suffix), picture.rgb, like=picture)


def served(path):
    ServedPictures([path]).encoded(0, 160)


def as_icons(path):
    folder = path.with_name("icons")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(path, folder)
    read_icons(folder, image_size=(8, 8))


PICTURE_READERS = (
    *(read_image, picture_size, round_trip, count_frames, read_note, served),
    *(read_animation, read_mask, as_icons),
)


def with_pictures(function, **options):
    def call(path):
        return function(path, path.parent / "images", **options)

    call.__qualname__ = function.__qualname__
    return call


def coco_labels(path):
    out = path.with_name("coco")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return from_coco(path, out, left_out=[], notes=[])


def planned(path):
    return plan_downloads(path, path.parent)


def as_run(path):
    run = path.with_name("run")
    run.mkdir(exist_ok=True)
    shutil.copy(path, run / "settings.json")
    return load_run(run, RESTORER, lambda settings: settings["network"]["widths"][0])


def as_data(path):
    run = path.with_name("run of data")
    run.mkdir(exist_ok=True)
    (run / "history.csv").write_text("epoch,loss\n0,1\n")
    shutil.copy(path, run / "data.json")
    names = ["0.png", "1.png"]
    return compare_data(run, names, [path.parent / "images" / n for n in names])


def as_history(path):
    run = path.with_name("run of history")
    run.mkdir(exist_ok=True)
    (run / "settings.json").write_text("{}")
    shutil.copy(path, run / "history.csv")
    return Run(run).history


def as_journal(path):
    copy = path.with_name("copy.jsonl")
    shutil.copy(path, copy)  # which is repaired in place
    with Journal(copy, {"scorer": "a"}) as journal:
        return list(journal.records())


def as_top(path):
    out = path.with_name("ranking")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    shutil.copy(path, out / "top.json")
    return gather_top([], path.parent, out, 3)


JSON = {
    "metadata": (METADATA, (load_metadata, with_pictures(check_metadata), planned)),
    "coco": (
        COCO,
        (with_pictures(import_annotations), import_annotations, coco_labels),
    ),
    "vott": (VOTT, (with_pictures(import_annotations), import_annotations)),
    "settings": (SETTINGS, (as_run,)),
    "split": (SPLIT, (read_split, read_json)),
    "data": (DATA, (as_data,)),
    "outcomes": (OUTCOMES, (read_outcomes,)),
    "top": (["1 a.png", "2 b.png"], (as_top,)),
}
JOURNAL = (
    '{"facescore": "ranking", "settings": {"scorer": "a"}}\n'
    '{"file": "0.png", "faces": []}\n{"file": "1.png", "faces": []}\n'
)


def as_ratings(path):
    return read_ratings(path, gone=[])


def as_crops(path):
    folder = path.with_name("crops")
    folder.mkdir(exist_ok=True)
    for i in range(2):
        shutil.copy(path.parent / "images" / f"{i}.png", folder)
    (folder / "ratings.csv").write_text("file,score\n0.png,5\n1.png,1\n")
    shutil.copy(path, folder / "crops.csv")
    read_crop_table(folder)
    rated_crops(folder)


def as_table(path):
    return read_table(path, ["file"])


CSV = {
    "ratings": ("file,score\nimages/0.png,5\nimages/1.png,1\n", (as_ratings, as_table)),
    "crops": (
        "crop,picture,number,left,top,right,bottom,score\n"
        "0.png,a.png,0,1,2,9,8,0.9\n1.png,a.png,1,3,2,9,8,0.8\n",
        (as_crops,),
    ),
    "vott": (
        '"image","xmin","ymin","xmax","ymax","label"\n"0.png",1,2,9,8,"face"\n',
        (with_pictures(import_annotations),),
    ),
    "history": ("epoch,loss,val_loss\n0,1.5,2.0\n1,0.5,\n", (as_history,)),
}


def labels(path):
    return read_labels(path, (24, 20))


def predictions(path):
    return read_predictions(path, (24, 20))


def classes(path):
    shutil.copy(path, path.with_name("classes.txt"))
    return read_classes(path.parent)


def as_folder(path):
    folder = path.with_name("labels")
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / "0.txt")
    return import_annotations(folder, path.parent / "images", left_out=[], notes=[])


TXT = {
    "labels": ("0 0.5 0.5 0.25 0.25\n1 0.25 0.25 0.1 0.1\n", (labels, as_folder)),
    "predictions": ("0 0.5 0.5 0.25 0.25 0.9\n", (predictions, read_rows)),
    "classes": ("face\nhand\n", (classes,)),
    "journal": (JOURNAL, (as_journal,)),
}


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/images/0.png", encoded("RGB", "PNG"))
        archive.writestr("set/meta.json", json.dumps(METADATA))
    return stream.getvalue()


def unpacked(path):
    out = path.with_name("unpacked")
    shutil.rmtree(out, ignore_errors=True)
    return unpack(path, out, max_bytes=1 << 20, progress=False)


def packed_npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def safetensors(**arrays):
    head, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        offsets = [len(data), len(data) + array.nbytes]
        head[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


class Network:
    """Stands for a U-Net of one layer, as `load_state_dict` walks it."""

    version = "2"
    layers = ()


def as_state(path):
    return load_state_dict(Network(), path)


def shipped():
    """Return the package's restorer with its settings and a few of its arrays."""
    with np.load(DEFAULT) as file:
        arrays = {name: file[name] for name in file.files[:3]}
        for name in file.files:
            if file[name].dtype == np.uint8:
                arrays[name] = file[name]
    return packed_npz(**arrays)


def torch_zip(folder):
    zip_with(
        folder / "whole.pt",
        b"\x80\x02}(U\x01a" + storage_pickle(0, (4,), (1,))[2:-1] + b"U\x01bK\x05u.",
    )
    return (folder / "whole.pt").read_bytes()


def torch_row(folder):
    import pickle

    parts = [pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001)]
    parts.append(pickle.dumps({"little_endian": True}, 2))
    parts += [b"\x80\x02}U\x01a" + storage_pickle(0, (4,), (1,))[2:-1] + b"s."]
    parts += [pickle.dumps(["0"], 2), (4).to_bytes(8, "little"), bytes(16)]
    return b"".join(parts)


def network():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def as_model(path):
    return load_run(path, RESTORER, lambda settings: None)


def as_weights(path):
    return load_weights(network(), path)


def saved(suffix, folder):
    path = folder / f"whole{suffix}"
    if suffix == ".keras":
        network().save(path)
    else:
        network().save_weights(path)
    return path.read_bytes()


def biting(data):
    return lambda rng: bitten(data, rng)


def makers_and_readers(kind, folder):
    if kind == "pictures":
        return [(biting(d), s) for d, s in pictures()], PICTURE_READERS
    family, _, name = kind.partition("-")
    if family == "json":
        value, readers = JSON[name]
        return [(json_of(value), ".json")], readers
    if family in ("csv", "txt"):
        text, readers = {"csv": CSV, "txt": TXT}[family][name]
        separator = "," if family == "csv" else " "
        return [(text_of(text, separator), f".{family}")], readers
    if kind == "zip":
        return [(biting(zipped()), ".zip")], (unpacked,)
    arrays = {"a.weight": np.arange(6, dtype="<f4").reshape(2, 3)}
    readers = read_tensors, read_inception_weights, as_state
    files = {
        "npz": lambda: packed_npz(**arrays),
        "safetensors": lambda: safetensors(**arrays),
        "pt": lambda: torch_zip(folder),
        "pth": lambda: torch_row(folder),
        "shipped": shipped,
    }
    if kind == "shipped":
        return [(biting(shipped()), ".npz")], (load_shipped,)
    if kind in ("keras", "weights.h5"):
        data = saved(f".{kind}", folder)
        reader = as_model if kind == "keras" else as_weights
        return [(biting(data), f".{kind}")], (reader,)
    return [(biting(files[kind]()), f".{kind}")], readers


KINDS = (
    "pictures",
    *(f"json-{name}" for name in JSON),
    *(f"csv-{name}" for name in CSV),
    *(f"txt-{name}" for name in TXT),
    *("zip", "npz", "safetensors", "pt", "pth", "shipped", "keras", "weights.h5"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoilt_file_gives_a_result_or_one_clear_line(folder, kind):
    feed(kind, *makers_and_readers(kind, folder), folder, FEW)


@pytest.mark.large
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_spoilt_files_of_each_kind(folder, kind):
    feed(kind, *makers_and_readers(kind, folder), folder, MANY)
