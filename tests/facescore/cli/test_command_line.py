import csv
import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

import facescore.annotation.loop
import facescore.detector.losses
import facescore.detector.prediction
import facescore.detector.training
from facescore.boxes import Face
from facescore.cli.main import COMMANDS, app
from facescore.detector.results import FOUND
from facescore.labels import read_labels, write_labels
from facescore.scorer.ratings import write_ratings
from facescore.scorer.training import SCORER_PRESETS
from illustkit.errors import UserError
from illustkit.images import list_images, read_image, write_image
from illustkit.training.runs import Run
from tests.commands import commands_of, imported
from tests.facescore.slim import Slim

run, done = commands_of(app)
BOX = 16, 8, 40, 32


class Bright:
    """Finds the one bright square of a picture; sure of it by 0.6."""

    path = None

    def __init__(self, path=None):
        pass

    def detect(self, image, **options):
        rows, columns = np.nonzero(image[..., 1] > 60)
        if not len(rows):
            return []
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        return [Face(tuple(map(float, box)), 0.6)]


class Trained(Bright):
    """The same with the options of a trained detector."""

    def detect_all(self, images, *, confidence=0.25, **options):
        found = [self.detect(image) for image in images]
        return [[f for f in faces if f.confidence >= confidence] for faces in found]


@pytest.fixture(scope="module")
def patched():
    """`runs/bright` is a detector, and the small scorer smaller still."""
    with pytest.MonkeyPatch.context() as patch:
        load_detector = facescore.detector.prediction.load_detector

        def load(run, **options):
            if run == "runs/bright":
                return Trained()
            return load_detector(run, **options)

        patch.setattr(facescore.detector.prediction, "load_detector", load)
        tiny = dataclasses.replace(
            SCORER_PRESETS["small"],
            network_options={"widths": (4, 6), "places": 2},
        )
        patch.setitem(SCORER_PRESETS, "small", tiny)
        yield


@pytest.fixture(scope="module")
def walked(patched, tmp_path_factory):
    """Pictures, of which the last has no face, then crops, then a trained scorer."""
    folder, rng = tmp_path_factory.mktemp("walk"), np.random.default_rng(0)
    lines = ["file,score"]
    for i in range(20):
        score = 1 + i % 5
        image = rng.integers(0, 40, (48, 64, 3), "uint8")
        image[8:32, 16:40] = rng.integers(45 * score + 20, 45 * score + 29, 3)
        write_image(folder / "pictures" / f"{i:02d}.png", image)
        lines.append(f"{i:02d}.png,{score}")
    write_image(folder / "pictures" / "20.png", np.zeros((48, 64, 3), "uint8"))
    (folder / "pictures" / "ratings.csv").write_text("\n".join(lines) + "\n")
    bright = "--detector", "runs/bright"
    done("crop", folder / "pictures", folder / "crops", *bright, "--size", 24)
    output = done(
        *("train-scorer", folder / "crops", "--run", folder / "run"),
        *("--ratings", folder / "pictures", "--imgsz", 16, "--epochs", 2),
        *("--batch", 4, "--holdout", 0.25, "--lr0", 0.004, "--strategy", "one"),
        *("--objective", "coral", "--margin", "0.3,0.15,0", "--seed", 3),
    )
    assert "Best rank correlation" in output
    return folder


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_detect_prints_and_saves_what_it_finds(walked, tmp_path):
    options = "--detector", "runs/bright", "--output", tmp_path
    output = done("detect", walked / "pictures", *options, "--save-txt", "--save_crop")
    assert "20 faces in 21 pictures." in output
    assert f"{walked / 'pictures' / '20.png'}: 0 faces" in output
    assert f"{walked / 'pictures' / '00.png'}: 1 face\n" in output
    assert f"Written to {tmp_path}: drawn pictures, labels, crops, faces.json" in output
    assert rows_of(tmp_path / "faces.csv")[0] == {
        **{"file": "00.png", "left": "16.0", "top": "8.0", "right": "40.0"},
        **{"bottom": "32.0", "confidence": "0.6"},
    }
    found = read_labels(tmp_path / "labels" / "00.txt", (64, 48))
    np.testing.assert_allclose(found, [BOX], atol=1e-4)
    assert (tmp_path / "labels" / "20.txt").read_text() == ""
    assert len(list_images(tmp_path / "crops")) == 20
    unsure = "--conf", 0.7, "--no-save", "--overwrite"
    unsure = done("detect", walked / "pictures" / "00.png", *options, *unsure)
    assert "0 faces in 1 picture." in unsure
    assert len(rows_of(tmp_path / "faces.csv")) == 19  # its row is gone


def test_detect_draws_into_numbered_folders(walked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = walked / "pictures" / "00.png"
    options = "--detector", "runs/bright"
    for folder in ("predict", "predict2"):
        output = done("detect", picture, *options, "--line-width", 1, "--hide_conf")
        place = tmp_path / "runs" / "detect" / folder
        assert f"Written to runs/detect/{folder}: drawn pictures," in output
        drawn, image = read_image(place / "00.png"), read_image(picture)
        assert tuple(drawn[8, 16]) == FOUND and tuple(drawn[31, 39]) == FOUND
        inside = (slice(10, 30), slice(18, 38))
        np.testing.assert_array_equal(drawn[inside], image[inside])
    # Drawn pictures are no pictures to search; without --save nothing is written.
    assert run("detect", ".", *options).exit_code == 2
    done("detect", picture, *options, "--no-save")
    names = sorted(path.name for path in (tmp_path / "runs" / "detect").iterdir())
    assert names == ["predict", "predict2"] and len(list(tmp_path.iterdir())) == 1


def test_export_says_what_it_cannot_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").write_text("mine")
    for words, message in (
        (["a.h5"], "exported as .onnx or .tflite"),
        (["no/a.onnx"], "there is no folder no"),
        (["there.onnx"], "--overwrite replaces it"),
        (["a.tflite", "--scorer", "runs/a", "--imgsz", 64], "exclude each other"),
        (["a.tflite", "--detector", "cascade"], "Only a trained detector"),
        (["a.tflite", "--imgsz", 33], "multiple of 32"),
    ):
        result = run("export", *words)
        assert result.exit_code == 2 and message in result.stderr, result.output
        assert result.stderr.count("\n") == 1
    assert (tmp_path / "there.onnx").read_text() == "mine"


def test_detect_goes_on_after_a_broken_picture(patched, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "in" / "b.png", np.zeros((20, 20, 3), "uint8"))
    (tmp_path / "in" / "a.png").write_bytes(b"no picture")
    result = run("detect", tmp_path / "in", "--detector", "runs/bright")
    assert result.exit_code == 1
    assert "0 faces in 1 picture." in result.output
    assert result.stderr.startswith("facescore: ") and result.stderr.count("\n") == 1
    assert str(tmp_path / "in" / "a.png") in result.stderr
    write_image(tmp_path / "in" / "b.jpg", np.zeros((20, 20, 3), "uint8"))
    result = run("detect", tmp_path / "in", "--detector", "runs/bright", "--save-txt")
    assert result.exit_code == 2 and "saved under one name" in result.output


def test_the_training_got_the_options(walked):
    settings = json.loads((walked / "run" / "settings.json").read_text())
    expected = {
        **{"objective": "coral", "image_size": [16, 16], "epochs": 2, "seed": 3},
        **{"batch_size": 4, "learning_rate": 0.004, "margin": [0.3, 0.15, 0.0]},
        **{"holdout": 0.25, "square": True, "network": "small"},
    }
    assert {key: settings[key] for key in expected} == expected


def test_evaluate_scorer_judges_by_the_held_out_alone(walked):
    options = "--detector", "runs/bright", "--ratings", walked / "pictures"
    output = done(
        *("evaluate-scorer", walked / "crops", "--scorer", walked / "run"),
        *(*options, "--pictures", walked / "pictures"),
    )
    split = json.loads((walked / "run" / "split.json").read_text())
    rows = rows_of(walked / "run" / "evaluation" / "predictions.csv")
    # a crop is called after its picture
    assert {f"{row['file'][:2]}.png" for row in rows} == set(split["held_out"])
    assert f"{len(rows)} crops that were not trained on" in output
    errors = [abs(float(r["predicted"]) - int(r["score"])) for r in rows]
    assert f"MAE       {np.mean(errors):8.3f}" in output
    assert "JPEG quality 30" in output and "20 faces" in output
    for name in ("agreement.csv", "distributions.png", "stability.txt"):
        assert (walked / "run" / "evaluation" / name).is_file()


def test_score_and_rank_agree(walked, tmp_path):
    models = "--scorer", walked / "run", "--detector", "runs/bright"
    table = tmp_path / "scores.csv"
    done("score", walked / "pictures", *models, "--output", table)
    scores = rows_of(table)
    assert len(scores) == 21 and scores[-1]["score"] == ""
    printed = done("score", walked / "pictures" / "00.png", *models).splitlines()
    assert printed[0].startswith("file,left") and printed[1].endswith(
        f"0.6000,{scores[0]['score']}"
    )
    output = done(
        *("rank", walked / "pictures", *models, "--output", tmp_path / "ranking"),
        *("--top-k", 3, "--duplicates", -1),
    )
    assert "20 ranked, 1 without a face" in output
    ranked = rows_of(tmp_path / "ranking" / "ranking.csv")
    found = {row["file"]: row["score"] for row in ranked}
    for row in scores:
        name = row["file"].rsplit("/", 1)[1]
        if row["score"]:
            assert float(found[name]) == pytest.approx(float(row["score"]), abs=0.002)
    assert len(list((tmp_path / "ranking" / "top").glob("*.png"))) == 3
    whole = done(
        "score", walked / "pictures" / "20.png", *models[:2], "--detector=none"
    )
    assert "0.0,0.0,64.0,48.0,1.0000" in whole


def test_a_detector_is_trained_evaluated_and_its_labels_go_to_coco(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(facescore.detector.losses, "DetectorNetwork", Slim)
    rng, folder = np.random.default_rng(0), tmp_path / "set"
    for i in range(4):
        image = rng.integers(0, 99, (48, 64, 3), dtype=np.uint8)
        write_image(folder / f"{i}.png", image)
        write_labels(folder / f"{i}.txt", [BOX], (64, 48))
    options = (
        *("--preset", "tiny", "--epochs", 1, "--epoch-size", 2, "--batch", 2),
        *("--imgsz", 32, "--lr0", 0.002, "--strategy", "one"),
    )
    output = done("train-detector", folder, "--run", tmp_path / "run", *options)
    assert "AP50" in output
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert (settings["image_size"], settings["learning_rate"]) == (32, 0.002)
    output = done(
        *("evaluate-detector", folder, "--detector", tmp_path / "run"),
        *("--imgsz", 64, "--output", tmp_path / "evaluation"),
    )
    assert "4 faces in 4 pictures" in output
    names = sorted(p.name for p in (tmp_path / "evaluation").iterdir())
    assert names == ["examples-0.png", "precision-recall.png"]

    def train(images, run, **settings):
        assert [path.name for path in images] == [f"{i}.png" for i in range(4)]
        assert (settings["preset"], settings["epochs"]) == ("tiny", 1)
        assert settings["start_from"] == "default"
        return Run(tmp_path / "run")

    monkeypatch.setattr(facescore.detector.training, "train_detector", train)
    options += "--start-from", "default"
    output = done("annotate", "train", folder, "--run", tmp_path / "round", *options)
    assert "AP50" in output
    path = tmp_path / "faces.json"
    assert "4 faces in 4" in done("export-coco", folder, path)
    done("import-coco", path, tmp_path / "back")
    for i in range(4):
        there = read_labels(tmp_path / "back" / f"{i}.txt", (64, 48))
        np.testing.assert_allclose(there, [BOX], atol=1e-3)


def test_annotate_suggests_and_serves(patched, walked, tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    for path in list_images(walked / "pictures")[:3]:
        (folder / path.name).parent.mkdir(exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())
    xml = tmp_path / "cascade.xml"
    xml.write_text("none")
    monkeypatch.setattr(Bright, "path", xml)
    monkeypatch.setattr(facescore.annotation.loop, "Cascade", Bright)
    start = "annotate", "start", folder, "--limit", 2
    output = done(*start, "--detector", "cascade")
    assert "2 faces in 2 of 2 pictures" in output and "1 new, 2 suggested" in output

    served = []

    def serve(app, **options):
        served.append((type(app).__name__, options))

    monkeypatch.setattr("illustkit.web.server.serve", serve)
    monkeypatch.setattr("facescore.annotation.rate.serve", serve)
    done("annotate", "review", folder, "--no-browser", "--port", 8123)
    done("rate", folder, "--no-browser", "--port", 8124)
    assert [name for name, _ in served] == ["ReviewApp", "RatingApp"]
    assert [o["port"] for _, o in served] == [8123, 8124]
    assert not any(o["open_browser"] for _, o in served)


def test_rate_asks_for_pictures_that_teach_until_all_are_rated(
    tmp_path, monkeypatch, colours
):
    for n in range(4):
        write_image(tmp_path / f"{n}.png", np.full((8, 8, 3), 60 * n, "uint8"))
    asked = []

    def serve(app, **options):
        while following := app.ask(2)["next"]:
            assert len(set(following)) == min(2, 4 - len(asked))
            asked.append(following[0])
            app.rate({"i": following[0], "score": 1 + following[0]})

    monkeypatch.setattr("facescore.annotation.rate.serve", serve)
    output = done("rate", tmp_path, "--ask", "informative", "--no-browser")
    assert sorted(asked) == [0, 1, 2, 3] and "ratings.csv" in output
    written = (tmp_path / "ratings.csv").read_text().splitlines()
    assert written == ["file,score", *(f"{n}.png,{n + 1}" for n in range(4))]
    result = run("rate", tmp_path, "--ask", "loudest", "--no-browser")
    assert result.exit_code == 2 and "informative" in result.output


MISTAKES = [
    (["detect", "nowhere.png", "--detector", "runs/none"], "nowhere.png: no such"),
    (["detect", "a.png", "--detector", "nowhere"], "nowhere holds no run"),
    (["train-detector", "nowhere"], "nowhere: no such"),
    (["train-detector", ".", "--preset", "huge"], "'tiny'"),
    (["evaluate-detector", ".", "--detector", "nothing"], "holds no run"),
    (["crop", "a", "b", "--margin", "1,2"], "3 numbers"),
    (["evaluate-detector", "nowhere"], "nowhere: no such"),
    (["train-scorer", "nowhere"], "nowhere"),
    (["train-scorer", ".", "--objective", "guess"], "coral"),
    (["score", "a.png", "--scorer", "nowhere"], "holds no run"),
    (["score", "nowhere.png", "--scorer", "nothing"], "nowhere.png: no such"),
    (["evaluate-scorer", ".", "--scorer", "nowhere"], "holds no run"),
    (["rank", "nowhere", "--scorer", "nothing"], "nowhere"),
    (["annotate", "train", "nowhere"], "nowhere"),
    (
        ["train-detector", ".", "--learning-rate", "-1"],
        "--learning-rate must be over 0",
    ),
    (["train-detector", ".", "--batch", "0"], "--batch-size must be"),
    (["train-detector", ".", "--seed", "-1"], "--seed must be"),
    (["train-detector", ".", "--holdout", "1"], "--holdout must be"),
    (["train-detector", ".", "--imgsz", "-32"], "--image-size must be"),
    (["train-scorer", ".", "--epochs", "0"], "--epochs must be"),
    (["train-scorer", ".", "--holdout", "1"], "--holdout must be"),
    (["annotate", "start", "a", "--limit", "0"], "--limit must be"),
    (["annotate", "start", ".", "--shrink", "-1"], "--shrink must be"),
    (["rank", ".", "--workers", "0"], "--workers must be"),
    (["annotate", "label", "nowhere"], "nowhere"),
    (["rate", "nowhere", "--no-browser"], "nowhere"),
    (["export-coco", "nowhere", "a.json"], "nowhere"),
    (["import-coco", "nowhere.json", "a"], "nowhere.json"),
]


@pytest.mark.parametrize("arguments, message", MISTAKES, ids=lambda v: str(v)[:40])
def test_mistakes_end_in_one_line_and_exit_code_2(
    arguments, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", np.zeros((20, 20, 3), "uint8"))
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output and result.output.count("\n") == 1
    assert "Traceback" not in result.output


def test_every_wrong_label_has_a_line_of_its_own(tmp_path):
    for i in range(3):
        write_image(tmp_path / f"{i}.png", np.zeros((20, 20, 3), "uint8"))
        (tmp_path / f"{i}.txt").write_text("0 2 2 2 2\n" if i else "")
    result = run("export-coco", tmp_path, tmp_path / "a.json")
    assert result.exit_code == 1 and "0 faces in 1 labelled" in result.stdout
    lines = result.stderr.splitlines()
    assert [f"{i}.txt, line 1" in line for i, line in enumerate(lines, 1)] == [True] * 2


def test_help_has_examples_and_loads_nothing_heavy():
    code = "import facescore, facescore.__main__"
    assert not imported(code, "keras", "cv2", "numpy", "PIL", "matplotlib")
    names = [[f.__name__.replace("_", "-")] for f, *_ in COMMANDS] + [["demo"]]
    names += [["annotate", step] for step in ("start", "review", "train", "label")]
    for name in names:
        shown = done(*name, "--help")
        assert f"Example: facescore {' '.join(name)}" in " ".join(shown.split())


def test_the_cascade_loads_no_keras(tmp_path):
    """Detecting, cropping, suggesting and ranking take 0.6 s, and not 7 with Keras."""
    write_image(tmp_path / "in" / "a.png", np.full((48, 64, 3), 90, "uint8"))
    code = f"""
from pathlib import Path
from facescore.annotation import loop
from facescore.boxes import Face
from facescore.cli.main import app
from facescore.detector import cascade
from facescore.ranking.rank import rank_folder
from tests.facescore.rankings import Scorer

class Fake:
    path = Path({str(tmp_path / "in" / "a.png")!r})

    def __init__(self, path=None):
        pass

    def detect(self, image, **options):
        return [Face((8, 8, 24, 24), 0.5)]

cascade.Cascade = loop.Cascade = Fake
for line in (
    "detect in --detector cascade --save-txt --save-crop --output found",
    "crop in crops --detector cascade",
    "annotate start in --detector cascade",
):
    app(line.split(), standalone_mode=False)
rank_folder(
    "in", scorer=Scorer(), detector="cascade", output="ranking", progress=False
)
"""
    assert not imported(code, "keras", "tensorflow", "jax", cwd=tmp_path)
    labels = [
        (tmp_path / "found" / "labels" / "a.txt").read_text(),
        *(p.read_text() for p in (tmp_path / "in").glob(".facescore/*/*/a.txt")),
    ]
    assert labels[0].split()[1:] == labels[1].split()[1:5]  # one rule for its boxes


@pytest.mark.parametrize(
    "command",
    [
        ("detect", "in"),
        ("crop", "in", "out", "--detector", "default"),
        ("score", "in"),
        ("explain", "in"),
        ("rank", "in"),
        ("annotate", "start", "in"),
    ],
)
def test_the_engine_of_a_command_is_the_detectors(command, tmp_path, monkeypatch):
    opened = []

    def refuse(name, *, engine):
        opened.append((name, engine))
        raise UserError("stop here.")

    monkeypatch.setattr(facescore.detector.prediction, "load_detector", refuse)
    write_image(tmp_path / "in" / "a.png", np.zeros((20, 20, 3), "uint8"))
    settings = tmp_path / "runs" / "scorer" / "settings.json"  # `explain` looks first
    settings.parent.mkdir(parents=True)
    settings.write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert "stop here." in run(*command, "--engine", "opencv").stderr
    assert opened == [("default", "opencv")]
    chosen = ("--detector", "cascade") if "crop" not in command else ()
    if chosen:  # which has no engine
        result = run(*command, *chosen, "--engine", "opencv")
        assert result.exit_code == 2 and "--engine is for a" in result.stderr


def test_tiles_are_a_number_none_or_left_to_the_picture(walked, monkeypatch, tmp_path):
    asked = []

    def detect_all(self, images, **options):
        asked.append(options.get("tile", "left out"))
        return [[] for _ in images]

    monkeypatch.setattr(Trained, "detect_all", detect_all)
    line = "detect", walked / "pictures" / "00.png", "--detector", "runs/bright"
    for tile in ((), ("--tile", "none"), ("--tile", 64)):
        done(*line, "--no-save", *tile)
    assert asked == ["auto", None, 64]
    result = run(*line, "--tile", "many")
    assert result.exit_code == 2
    assert "--tile takes auto, none or a number. Received: many" in result.stderr


def test_options_that_would_do_nothing_are_refused(patched, tmp_path, monkeypatch):
    monkeypatch.setattr("facescore.detector.cascade.Cascade", Bright)
    write_image(tmp_path / "in" / "a.png", np.zeros((20, 20, 3), "uint8"))
    for option in (("--tile", 64), ("--imgsz", 320), ("--iou", 0.4)):
        for command in (
            ("detect", tmp_path / "in", "--detector", "cascade"),
            ("crop", tmp_path / "in", tmp_path / "out"),
            ("crop", tmp_path / "in", tmp_path / "out", "--detector", "cascade"),
        ):
            result = run(*command, *option)
            assert result.exit_code == 2 and f"has {option[0]}".replace(
                "imgsz", "image-size"
            ) in result.stderr.replace("--imgsz", "--image-size")
    assert not (tmp_path / "out").exists()
    # Beside a trained detector the cascade is compared without them, as a line says.
    (tmp_path / "in" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    both = "--detector", "cascade", "--detector", "runs/bright"
    output = done(
        *("evaluate-detector", tmp_path / "in", *both, "--imgsz", 64),
        *("--output", tmp_path / "evaluation", "--shrink", 0.9),
    )
    assert "cascade: searched without image_size, which it lacks." in output
    assert "runs/bright" in output and "undefined" in output  # no detection: precision


def test_names_that_are_no_text_go_through_every_command(patched, walked, tmp_path):
    folder, name = tmp_path / "in", os.fsdecode("絵.png".encode("cp932"))
    folder.mkdir()
    for path in list_images(walked / "pictures")[:5]:
        target = name if path.name == "00.png" else path.name
        shutil.copy(path, folder / target)
    scores = enumerate(sorted(folder.iterdir()))
    table = folder / "ratings.csv"
    write_ratings(table, [(path, 1 + i % 5) for i, path in scores])
    bright = "--detector", "runs/bright"
    saved = "--save-txt", "--save-crop", "--output", tmp_path / "found"
    assert "5 faces in 5" in done("detect", folder, *bright, *saved)
    assert len(read_labels(tmp_path / "found/labels" / f"{name[:-4]}.txt", (64, 48)))
    done("crop", folder, tmp_path / "crops", *bright, "--size", 24)
    models = "--scorer", walked / "run", *bright
    done("score", folder, *models, "--output", tmp_path / "scores.csv")
    assert os.fsencode(name) in (tmp_path / "scores.csv").read_bytes()
    ranking = "--output", tmp_path / "ranking", "--top-k", 20, "--duplicates", -1
    done("rank", folder, *models, *ranking)
    assert list((tmp_path / "ranking" / "top").glob(f"*_{name}"))
    done(
        *("evaluate-scorer", tmp_path / "crops", "--scorer", walked / "run"),
        *("--ratings", table, "--output", tmp_path / "evaluation"),
    )
    for path in folder.glob("*.png"):
        write_labels(path.with_suffix(".txt"), [BOX], (64, 48))
    done("export-coco", folder, tmp_path / "faces.json")
    for path in folder.glob("*.txt"):
        path.unlink()
    done("import-coco", tmp_path / "faces.json", folder)
    assert len(list(folder.glob("*.txt"))) == 5
    done(
        *("evaluate-detector", folder, *bright),
        *("--output", tmp_path / "detector-evaluation"),
    )


def test_a_second_run_goes_on_and_counts_what_is_there(patched, walked, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(walked / "pictures", folder)
    bright = "--detector", "runs/bright"
    commands = {
        ("detect", folder, "--save-txt", "--output", tmp_path / "a"): "{n} skipped",
        ("crop", folder, tmp_path / "b", "--size", 24): "({n} before)",
        (
            *("rank", folder, "--scorer", walked / "run"),
            *("--output", tmp_path / "c"),
        ): "{n} pictures were rated before",
    }
    for command in commands:
        done(*command, *bright)
    write_image(folder / "new.png", np.zeros((48, 64, 3), "uint8"))
    (folder / "bad.png").write_bytes(b"no picture")
    for (command, text), n in zip(commands.items(), (21, 20, 21), strict=True):
        result = run(*command, *bright)
        assert result.exit_code == 1 and text.format(n=n) in result.stdout
        (line,) = [t for t in result.stderr.splitlines() if t.startswith("facescore")]
        assert "bad.png: " in line
        result = run(*command, *bright, "--overwrite")
        assert result.exit_code == 1 and text.format(n=n) not in result.stdout


def test_old_options_and_those_of_ultralytics_still_work(walked, tmp_path):
    models = "--scorer", walked / "run", "--detector", "runs/bright"
    options = *models, "--output", tmp_path / "ranking", "--imgsz", 64, "--conf", 0.7
    for old, new in (("--resume", "--no-overwrite"), ("--anew", "--overwrite")):
        result = run("rank", walked / "pictures", *options, old)
        assert result.exit_code == 0 and f"{old} is deprecated: use {new}" in (
            result.stderr
        )
        assert "0 ranked, 21 without a face" in result.stdout
    help_text = done("rank", "--help")
    assert "--image-size" in help_text and "--anew" not in help_text


def test_version_and_traceback():
    from illustkit import __version__

    assert done("--version").strip() == f"facescore {__version__}"
    result = run("--traceback", "crop", "a", "b", "--margin", "1,2")
    assert result.exit_code == 2 and "3 numbers" in result.output
    assert "--install-completion" in done("--help")


def test_labels_go_out_and_come_back_in_the_formats_of_others(tmp_path):
    folder, voc = tmp_path / "pictures", tmp_path / "voc"
    for i in range(2):
        write_image(folder / f"{i}.png", np.zeros((48, 64, 3), "uint8"))
        write_labels(folder / f"{i}.txt", [BOX], (64, 48))
    assert "2 faces in 2 labelled pictures" in done("export-voc", folder, voc)
    assert "stay: 2. See --overwrite" in done("import-voc", voc, folder)
    assert "2 label files" in done("import-voc", voc, folder, "--overwrite")
    path = folder / "data.yaml"
    assert "1 pictures to train on, 1 held out" in done(
        "export-data-yaml", folder, path
    )
    assert "2 label files" in done("import-data-yaml", path, tmp_path / "back")
    there = read_labels(tmp_path / "back" / "0.txt", (64, 48))
    np.testing.assert_allclose(there, [BOX], atol=0.51)
