import csv
import json
from functools import lru_cache

import numpy as np
import pytest

import facescore.detector.losses
import facescore.synthetic.demo
from facescore.boxes import Face
from facescore.labels import read_labels
from facescore.ranking.rank import RankedPicture, Ranking
from facescore.synthetic.demo import (
    SIZE,
    UNSEEN_SEED,
    demo,
    draw_characters,
    draw_scenes,
    judge,
    trained_detector,
)
from facescore.synthetic.taste import rated_characters
from illustkit.images import list_images, read_image
from tests.facescore.slim import Slim

SCORER = {
    "image_size": 16,
    "network_options": {"widths": (4, 6), "places": 2},
    "batch_size": 8,
    "epochs": 1,
}
SETTINGS = {
    "per_score": 3,
    "per_score_unseen": 2,
    "top_k": 2,
    "strategy": "one",
    "verbose": 0,
    "scorer_settings": SCORER,
}


@lru_cache
def rated(per_score, first_seed):
    """Drawing until each score is there takes long: once for all that follows."""
    return list(rated_characters(per_score, first_seed=first_seed, size=SIZE))


@pytest.fixture(scope="module", autouse=True)
def drawn_once():
    def cached(per_score, *, first_seed=0, size=SIZE):
        assert size == SIZE
        return iter(rated(per_score, first_seed))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facescore.synthetic.demo, "rated_characters", cached)
        yield


class Knows:
    """Finds the faces of drawn characters, as it knows where they were drawn."""

    def __init__(self):
        self.boxes = {}
        for first, n in ((0, SETTINGS["per_score"]), (UNSEEN_SEED, 2)):
            for _, character, _ in rated(n, first):
                self.boxes[character.image.tobytes()] = character.face_box
        # In one of the unseen it finds nothing.
        self.blind = list(self.boxes)[-1]

    def detect(self, image):
        key = image.tobytes()
        return [] if key == self.blind else [Face(tuple(self.boxes[key]), 0.9)]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A demo of few characters, run twice: the second goes on at its end."""
    folder, detector = tmp_path_factory.mktemp("demo"), Knows()
    found = demo(folder, detector=detector, **SETTINGS)
    first = min((folder / "unseen").iterdir()).stat().st_mtime_ns
    again = demo(folder, detector=detector, **SETTINGS)
    assert str(again.agreement) == str(found.agreement)
    assert min((folder / "unseen").iterdir()).stat().st_mtime_ns == first
    return folder, found


def test_the_unseen_are_ranked_judged_and_shown(shown):
    folder, found = shown
    assert found.missed == 1 and found.detector is None
    truth = {
        f"character-{seed:08d}.png": score for seed, _, score in rated(2, UNSEEN_SEED)
    }
    with open(folder / "evaluation" / "predictions.csv", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert {name: int(row["score"]) for name, row in rows.items()} == truth
    with open(folder / "ranking" / "ranking.csv", newline="") as file:
        ranked = {row["file"]: row["score"] for row in csv.DictReader(file)}
    mean = json.loads((folder / "scorer" / "settings.json").read_text())["mean"]
    for name, row in rows.items():
        expected = float(ranked[name] or mean)
        assert float(row["predicted"]) == pytest.approx(expected, abs=1e-4)
    predicted = [float(row["predicted"]) for row in rows.values()]
    errors = np.abs(np.subtract(predicted, [int(r["score"]) for r in rows.values()]))
    assert found.agreement.measures["MAE"].value == pytest.approx(
        errors.mean(), abs=1e-4
    )
    assert len(list((folder / "ranking" / "top").glob("*.png"))) == 2
    assert found.gallery.is_file() and found.stability.faces == 9


def test_the_page_names_what_is_there(shown):
    folder, found = shown
    page = found.page.read_text("utf-8")
    for quote in "'\"":
        for part in page.split(f"src={quote}")[1:]:
            assert read_image(folder / part.split(quote)[0]).std() > 5
        for part in page.split(f"href={quote}")[1:]:
            assert (folder / part.split(quote)[0]).is_file()
    assert f"{found.agreement.measures['MAE'].value:.3f}" in page
    assert "No face was found in 1 of them" in page and "JPEG quality 30" in page


def test_no_character_is_both_trained_on_and_ranked(shown):
    folder, _ = shown
    rated = {path.name for path in list_images(folder / "rated")}
    assert not rated & {path.name for path in list_images(folder / "unseen")}
    assert len(rated) == 15


def test_a_picture_without_a_face_counts_as_the_mean(tmp_path):
    table = draw_characters(
        tmp_path / "unseen", 1, table=tmp_path / "unseen.csv", progress=False
    )
    names = [path.name for path in list_images(tmp_path / "unseen")]
    pictures = [RankedPicture(name, score=4.0) for name in names[:4]]
    pictures.append(RankedPicture(names[4]))
    found = judge(Ranking(pictures, tmp_path), table, tmp_path, 2.5)
    with open(tmp_path / "evaluation" / "predictions.csv", newline="") as file:
        predicted = {r["file"]: float(r["predicted"]) for r in csv.DictReader(file)}
    assert predicted == {**dict.fromkeys(names[:4], 4.0), names[4]: 2.5}
    assert found.missed == 1


def test_its_detector_is_trained_and_measured_on_scenes_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(facescore.detector.losses, "DetectorNetwork", Slim)
    settings = {"epochs": 1, "epoch_size": 2, "batch_size": 2, "image_size": 32}
    draw_characters(tmp_path / "rated", 1, labelled=3, progress=False)
    detector, scores = trained_detector(
        tmp_path, n_scenes=3, strategy="one", verbose=0, **settings
    )
    assert scores.n_pictures == 2 and 0 <= scores.ap50 <= 1
    assert hasattr(detector, "detect_all")
    assert len(list_images(tmp_path / "scenes")) == 3
    split = json.loads((tmp_path / "detector" / "split.json").read_text())
    assert len(split["train"] + split["held_out"]) == 3 + 3
    # The first three are labelled, each with its own face.
    labels = [path.with_suffix(".txt") for path in list_images(tmp_path / "rated")]
    assert [path.exists() for path in labels] == [True] * 3 + [False] * 2
    for (_, character, _), path in zip(rated(1, 0), labels[:3], strict=False):
        found = read_labels(path, SIZE)
        np.testing.assert_allclose(found, [character.face_box], atol=1e-3)
    for name in ("detector.png", "precision-recall.png"):
        assert read_image(tmp_path / name).std() > 5
    first = read_image(tmp_path / "scenes" / "scene-0000.png")
    other = read_image(tmp_path / "unseen-scenes" / "scene-0000.png")
    assert (first != other).any()


def test_scenes_are_drawn_once_with_their_labels(tmp_path):
    draw_scenes(tmp_path, 1, progress=False)
    path = tmp_path / "scene-0000.png"
    first = path.stat().st_mtime_ns
    draw_scenes(tmp_path, 2, progress=False)
    assert path.stat().st_mtime_ns == first
    for path in list_images(tmp_path):
        assert len(read_labels(path.with_suffix(".txt"), (320, 320))) >= 1
