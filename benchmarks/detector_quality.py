"""How well the small face detector finds faces, in styles it knows and does not know.

    python benchmarks/detector_quality.py DATA WORK draw
    python benchmarks/detector_quality.py DATA WORK train      # two CPU cores: an hour
    python benchmarks/detector_quality.py DATA WORK evaluate

DATA is a folder with `clipart/` (Open Clip Art pictures and `meta.json`) and `noto/`
(face icons); WORK is written to. `detector_quality.json` says where the faces of the
icons are, which clip art has no face and may be a background, and the boxes, labelled
by eye, of the faces in 42 pictures of clip art: a style that no detector here learnt.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

TONES = ["1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"]
KNOWN = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
# Small pictures first: most is learnt there, at a fraction of the time.
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


def clip_art(data):
    """Dict from the number of a picture of clip art to its path and kind."""
    entries = json.loads((data / "clipart" / "meta.json").read_text("utf-8"))
    return {
        e["id"]: (data / e["filepath"], e["original_url"].split(": ")[1].split("/")[0])
        for e in entries
    }


def icon_faces(folder):
    """Pairs (path, box) of the icons whose face is known, with a human skin tone."""
    faces = []
    for path in sorted(folder.glob("*.png")):
        words = path.stem.split("_")
        stem = "_".join(word for word in words if word not in TONES)
        if stem in KNOWN["noto_faces"] and set(TONES) & set(words):
            faces.append((str(path), tuple(KNOWN["noto_faces"][stem])))
    return faces


def draw(data, work):
    """Write the five sets of pictures; what is tested shares nothing with training."""
    from facescore.labels import write_labels
    from facescore.synthetic.scenes import write_scenes
    from illustkit.images import read_image, write_image

    pictures = clip_art(data)
    grounds = [
        str(path)
        for number, (path, kind) in pictures.items()
        if kind in KNOWN["background_kinds"] and number not in KNOWN["not_a_background"]
    ]
    known = [path for i, path in enumerate(grounds) if i % 3]
    unknown = grounds[::3]
    new = {"backgrounds": unknown}
    old = {"backgrounds": known, "n_faces": (0, 8), "format": "jpg"}
    early, late = (icon_faces(data / "noto" / f"faces_{s}") for s in ("early", "new"))
    write_scenes(work / "drawn-train", 1000, seed=1, **old)
    write_scenes(work / "drawn-test", 200, seed=2, **new)
    write_scenes(work / "icons-train", 400, seed=3, faces=early, **old)
    write_scenes(work / "icons-test", 120, seed=4, faces=late, **new)
    faces = {int(number): boxes for number, boxes in KNOWN["clipart_faces"].items()}
    empty = {number: [] for number in KNOWN["clipart_without_faces"]}
    for number, boxes in {**faces, **empty}.items():
        path = pictures[number][0]
        image = read_image(path)
        write_image(work / "clipart-test" / path.name, image)
        write_labels(
            work / "clipart-test" / path.with_suffix(".txt").name,
            boxes,
            image.shape[1::-1],
        )


def train(work):
    """Train in three stages on drawn faces and icons; a stopped stage goes on."""
    from facescore.detector.training import train_detector

    before = None
    for name, settings in STAGES.items():
        before = train_detector(
            [work / "drawn-train", work / "icons-train"],
            work / f"run-{name}",
            preset="small",
            holdout=0.05,
            start_from=before,
            most_validated=50,
            cache=work / "cache",
            **settings,
        )
    train_detector(
        work / "drawn-train",
        work / "run-drawn",
        preset="small",
        holdout=0.05,
        image_size=384,
        epochs=12,
        epoch_size=512,
        scale=(0.4, 1.9),
        most_validated=30,
    )


def evaluate(work, cascade):
    """Print AP50 and AP50-95 of each detector on each set, as a table."""
    from facescore.detector.cascade import Cascade
    from facescore.detector.evaluation import evaluate_detector
    from facescore.detector.prediction import load_detector

    cascade = Cascade(cascade)
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
            found = evaluate_detector(
                work / test, detector, shrunk=shrunk, sheet_path=sheet
            )
            cells.append(f"{found.ap50:.3f} / {found.ap50_95:.3f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main():
    """Do one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("step", choices=["draw", "train", "evaluate"])
    parser.add_argument("--cascade", help="File; downloaded by default.")
    options = parser.parse_args()
    if options.step == "draw":
        draw(options.data, options.work)
    elif options.step == "train":
        train(options.work)
    else:
        evaluate(options.work, options.cascade)


if __name__ == "__main__":
    main()
