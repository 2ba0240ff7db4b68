"""How well does the small detector find faces in trained and untrained styles?

    python benchmarks/detector_quality.py DATA WORK draw
    python benchmarks/detector_quality.py DATA WORK train      # two CPU cores: an hour
    python benchmarks/detector_quality.py DATA WORK evaluate

DATA is a folder with `clipart/` (Open Clip Art pictures and `meta.json`) and `noto/`
(face icons). WORK is the folder for the results. `detector_quality.json` holds the face
boxes of the icons, the clip art that has no face and may be a background, and the
hand-labelled face boxes of 42 pictures of clip art, a style that no detector here was
trained on. `--quick` makes everything small to show that the steps work; its figures
mean nothing.
"""

import argparse
import functools
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

TONES = ["1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"]
LABELS = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
# Small pictures first: the detector learns most there, in a fraction of the time.
STAGES = {
    "320": {"image_size": 320, "epochs": 13, "epoch_size": 768},
    "480": {
        "image_size": 480,
        "epochs": 9,
        "epoch_size": 384,
        "learning_rate": 2e-3,
        "warm_up": 0.5,
        "close_mosaic": 3,
    },
    "640": {
        "image_size": 640,
        "epochs": 4,
        "epoch_size": 384,
        "batch_size": 4,
        "scale": (0.6, 1.25),
        "mosaic": 0.0,
        "learning_rate": 1e-3,
        "warm_up": 0.25,
        "close_mosaic": 1,
    },
}

QUICK = {
    "image_size": 64,
    "epochs": 1,
    "epoch_size": 16,
    "widths": (4, 4, 4, 4, 4),
    "depths": (1, 1, 1, 1),
    "head": 4,
}


def clip_art(data):
    """Return a dict from the number of a picture to its path and kind."""
    entries = json.loads((data / "clipart" / "meta.json").read_text("utf-8"))
    return {
        e["id"]: (data / e["filepath"], e["original_url"].split(": ")[1].split("/")[0])
        for e in entries
    }


def icon_faces(folder):
    """Return pairs (path, box) of the labelled icons with a human skin tone."""
    faces = []
    for path in sorted(folder.glob("*.png")):
        words = path.stem.split("_")
        stem = "_".join(word for word in words if word not in TONES)
        if stem in LABELS["noto_faces"] and set(TONES) & set(words):
            faces.append((str(path), tuple(LABELS["noto_faces"][stem])))
    return faces


def write_clip_art(data, folder):
    """Write the clip art whose faces were labelled by hand."""
    from facescore.labels import write_labels
    from illustkit.images import read_image, write_image

    pictures = clip_art(data)
    faces = {int(number): boxes for number, boxes in LABELS["clipart_faces"].items()}
    empty = {number: [] for number in LABELS["clipart_without_faces"]}
    for number, boxes in {**faces, **empty}.items():
        path = pictures[number][0]
        image = read_image(path)
        write_image(folder / path.name, image)
        label = folder / path.with_suffix(".txt").name
        write_labels(label, boxes, image.shape[1::-1])


def draw(data, work, quick):
    """Write the five sets of pictures; test and training sets share nothing."""
    from facescore.synthetic.scenes import write_scenes

    pictures = clip_art(data)
    grounds = [
        str(path)
        for number, (path, kind) in pictures.items()
        if kind in LABELS["background_kinds"]
        and number not in LABELS["not_a_background"]
    ]
    test = {"backgrounds": grounds[::3]}
    training = {
        "backgrounds": [path for i, path in enumerate(grounds) if i % 3],
        "n_faces": (0, 8),
        "format": "jpg",
    }
    early, late = (icon_faces(data / "noto" / f"faces_{s}") for s in ("early", "new"))
    drawn_train, drawn_test, icons_train, icons_test = (
        (20, 4, 8, 4) if quick else (1000, 200, 400, 120)
    )
    write_scenes(work / "drawn-train", drawn_train, seed=1, **training)
    write_scenes(work / "drawn-test", drawn_test, seed=2, **test)
    write_scenes(work / "icons-train", icons_train, seed=3, faces=early, **training)
    write_scenes(work / "icons-test", icons_test, seed=4, faces=late, **test)
    write_clip_art(data, work / "clipart-test")


def train(work, quick):
    """Train in three stages on drawn faces and icons; a stopped stage resumes."""
    from facescore.detector.training import train_detector

    small = QUICK if quick else {}
    holdout = 0.2 if quick else 0.05
    previous = None
    for name, settings in STAGES.items():
        previous = train_detector(
            [work / "drawn-train", work / "icons-train"],
            work / f"run-{name}",
            preset="small",
            holdout=holdout,
            start_from=previous,
            most_validated=50,
            cache=work / "cache",
            **(settings | small),
        )
    train_detector(
        work / "drawn-train",
        work / "run-drawn",
        preset="small",
        holdout=holdout,
        scale=(0.4, 1.9),
        most_validated=30,
        **({"image_size": 384, "epochs": 12, "epoch_size": 512} | small),
    )


def evaluate(work, cascade):
    """Print AP50 and AP50-95 of each detector on each set, as a table."""
    from facescore.detector.cascade import Cascade
    from facescore.detector.evaluation import evaluate_detector
    from facescore.detector.prediction import load_detector

    cascade = functools.partial(Cascade(cascade).detect, shrink=1.0)
    rows = [
        ("small, drawn and icons", load_detector(work / "run-640"), 1.0),
        ("small, drawn alone", load_detector(work / "run-drawn"), 1.0),
        ("cascade", cascade, 1.0),
        ("cascade, boxes x0.85", cascade, 0.85),
    ]
    sets = "drawn-test", "icons-test", "clipart-test"
    print(f"| AP50 / AP50-95 | {' | '.join(sets)} |\n|-|-|-|-|")
    for name, detector, shrunk in rows:
        cells = []
        for test in sets:
            sheet = work / "sheets" / f"{name.split(',')[0]}-{shrunk}-{test}.png"
            figures = evaluate_detector(
                work / test, detector, shrunk=shrunk, sheet_path=sheet
            )
            cells.append(f"{figures.ap50:.3f} / {figures.ap50_95:.3f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main():
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of clip art and icons")
    parser.add_argument("work", type=Path, help="folder for the results")
    parser.add_argument("step", choices=("draw", "train", "evaluate"))
    parser.add_argument("--cascade", help="cascade file; downloaded by default")
    parser.add_argument("--quick", action="store_true", help="small, as a test only")
    options = parser.parse_args()
    if options.step == "draw":
        draw(options.data, options.work, options.quick)
    elif options.step == "train":
        train(options.work, options.quick)
    else:
        evaluate(options.work, options.cascade)


if __name__ == "__main__":
    main()
