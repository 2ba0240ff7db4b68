import csv
import json
import os

import numpy as np
import pytest

from facescore.boxes import Face
from illustkit.images import write_image
from illustkit.samples import draw_character
from tests.facescore.rankings import (
    Scorer,
    contents,
    make_folder,
    picture,
    run,
)


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path)


def test_order_table_and_json(folder):
    before = contents(folder)
    ranking = run(folder, top_k=2)
    assert contents(folder) == before
    assert [(p.rank, p.file) for p in ranking.pictures] == [
        *((1, "sub/high.png"), (2, "two.png"), (3, "low.png")),
        *((None, "none.png"), (None, "broken.png"), (None, "tiny.png")),
    ]
    best = ranking.pictures[1]
    assert best.score == pytest.approx(1 + 204 / 63.75, abs=1e-4)
    assert [f.box for f in best.faces] == [(0, 0, 8, 9), (8, 0, 16, 9)]
    assert [f.confidence for f in best.faces] == [0.5, 0.75]
    assert [p.name for p in ranking.top] == ["01_5.00_high.png", "02_4.20_two.png"]
    assert ranking.top[0].read_bytes() == (folder / "sub/high.png").read_bytes()
    assert "3 ranked, 1 without a face, 2 that cannot be read" in str(ranking)

    with open(ranking.output / "ranking.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["file"], r["face"], r["score"], r["state"]) for r in rows] == [
        *(("sub/high.png", "1", "5.0000", "ranked"),),
        *(("two.png", "1", "4.2000", "ranked"), ("two.png", "2", "2.6000", "ranked")),
        *(("low.png", "1", "1.8000", "ranked"), ("none.png", "", "", "no face")),
        *(("broken.png", "", "", "broken"), ("tiny.png", "", "", "broken")),
    ]
    assert rows[1]["right"] == "8.00" and rows[1]["confidence"] == "0.5000"
    assert "damaged" in rows[5]["reason"] and "too small" in rows[6]["reason"]
    records = json.loads((ranking.output / "ranking.json").read_text())
    files = [record["file"] for record in records["pictures"]]
    assert files == [picture.file for picture in ranking.pictures]
    assert records["pictures"][1]["faces"][1]["box"] == [8, 0, 16, 9]

    mean = run(folder, picture_score="mean")
    assert mean.done == 2  # the broken ones, once more
    assert mean.pictures[1].score == pytest.approx(1 + 153 / 63.75, abs=1e-4)


def test_people_see_scores_within_the_scale_in_the_scorers_order(folder):
    """A linear head gives 5.2 and 8.4; both are shown as 5, the better one first."""
    scorer = Scorer()
    scorer.limits = 1.0, 5.0
    predict = scorer.predict_scores
    scorer.predict_scores = lambda crops: 2 * predict(crops)
    ranking = run(folder, scorer=scorer, top_k=2)
    values = [p.score for p in ranking.pictures if p.rank]
    assert values == sorted(values, reverse=True) and values[1] > 8
    with open(ranking.output / "ranking.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["rank"]]
    assert [(r["file"], r["picture_score"], r["score"]) for r in rows] == [
        ("sub/high.png", "5.0000", "5.0000"),
        ("two.png", "5.0000", "5.0000"),
        ("two.png", "5.0000", "5.0000"),
        ("low.png", "3.6000", "3.6000"),
    ]
    records = json.loads((ranking.output / "ranking.json").read_text())["pictures"]
    assert [r["score"] for r in records[:3]] == [5, 5, pytest.approx(3.6, abs=1e-4)]
    page = (ranking.output / "gallery.html").read_text()
    assert '"score":5.0' in page and '"score":8' not in page
    assert [p.name for p in ranking.top] == ["01_5.00_high.png", "02_5.00_two.png"]


def test_crops_go_to_the_scorer_together(folder):
    scorer = Scorer()
    run(folder, scorer=scorer)
    assert scorer.batches == [(4, 16, 16, 3)]  # of three pictures
    whole = run(folder, scorer=Scorer(), detector=None, output=folder.parent / "whole")
    assert [len(p.faces) for p in whole.pictures] == [1] * 5 + [0]
    assert whole.pictures[-2].faces[0].box == (0, 0, 16, 20)


@pytest.mark.parametrize("whole", [True, False])
def test_the_scores_are_those_of_single_pictures(tmp_path, whole):
    import keras

    from facescore.scorer.model import NETWORKS, Scorer
    from facescore.scorer.prediction import score

    class Middle:
        def detect(self, image):
            return [Face((10.5, 12.0, 40.25, 44.0), 0.9), Face((30, 20, 60, 50), 0.4)]

    keras.utils.set_random_seed(1)
    scorer = Scorer(NETWORKS["small"]((24, 24)), margin=(0.2, 0.1, 0), square=True)
    detector = None if whole else Middle()
    for n in range(3):
        image = draw_character(n, (80, 70)).image
        write_image(tmp_path / "pictures" / f"{n}.png", image)
    ranking = run(tmp_path / "pictures", scorer=scorer, detector=detector)
    for ranked in ranking.pictures:
        path = tmp_path / "pictures" / ranked.file
        faces = score(path, scorer=scorer, detector=detector)
        faces.sort(key=lambda face: -face.score)
        for found, wanted in zip(ranked.faces, faces, strict=True):
            assert found.box == pytest.approx(wanted.box, abs=0.01)
            assert found.score == pytest.approx(wanted.score, abs=1e-4)
    assert len({p.score for p in ranking.pictures}) == 3


def test_duplicates_and_what_goes_to_the_top(tmp_path):
    folder = tmp_path / "pictures"
    images = [draw_character(seed, (60, 80)).image for seed in range(3)]
    for n, image in enumerate(images):
        write_image(folder / f"{n}.png", image)
    darker = (images[0] * 0.97).astype(np.uint8)
    write_image(folder / "copy.jpg", darker)
    ranking = run(folder, top_k=9, link=True)
    by_name = {p.file: p for p in ranking.pictures}
    assert by_name["copy.jpg"].duplicate_of == "0.png"
    assert [by_name[f"{n}.png"].duplicate_of for n in range(3)] == [None] * 3
    assert by_name["0.png"].alike == by_name["copy.jpg"].alike == 2
    assert len(ranking.top) == 3 and all(path.is_symlink() for path in ranking.top)
    assert {path.resolve().name for path in ranking.top} == {"0.png", "1.png", "2.png"}

    # Copies take the links' place, and never go through them.
    before = contents(folder)
    (ranking.output / "top" / "mine.txt").write_text("my own")
    again = run(folder, top_k=1, duplicates=None)
    assert contents(folder) == before
    there = {path.name for path in (ranking.output / "top").iterdir()}
    assert there == {again.top[0].name, "mine.txt"}
    assert not again.top[0].is_symlink()
    assert all(p.duplicate_of is None for p in again.pictures)


def test_odd_names(tmp_path):
    folder = tmp_path / "pictures"
    long = "a" * 245 + ".png"
    names = ["<img src=x onerror=alert(1)>.png", "a,b\n\"c'.png", "=1+1.png", long]
    names.append(os.fsdecode(b"caf\xe9.png"))  # no UTF-8
    data = (write_image(tmp_path / "one.png", picture(90, 0))).read_bytes()
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(data)
    ranking = run(folder, top_k=5, duplicates=None)
    assert {p.file for p in ranking.pictures} == set(names)
    assert len(ranking.top) == 5 and all(p.is_file() for p in ranking.top)
    table = ranking.output / "ranking.csv"
    with open(table, newline="", errors="surrogateescape") as file:
        assert {row["file"] for row in csv.DictReader(file)} == set(names)
    assert run(folder).done == 0


def test_where_it_must_not_write(folder, tmp_path):
    for output in (folder, tmp_path):
        with pytest.raises(ValueError, match="mix with the pictures"):
            run(folder, output=output)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "gallery.html").write_text("my own")
    with pytest.raises(ValueError, match="something else than a ranking"):
        run(folder, output=tmp_path / "mine")
    # Within the folder it may be: what it writes there is no picture to rank.
    inside = folder / "ranked"
    assert len(run(folder, output=inside, top_k=2).pictures) == 6
    assert len(run(folder, output=inside, top_k=2).pictures) == 6
    assert len(run(folder).pictures) == 6


@pytest.mark.parametrize(
    "options, message",
    [
        ({"picture_score": "worst"}, "best.*mean"),
        ({"workers": 0}, "`workers` must be"),
        ({"top_k": 0}, "`top_k` must be"),
        ({"duplicates": 40}, "`duplicates` must be .* at most 31"),
    ],
)
def test_options_that_are_none(folder, options, message):
    with pytest.raises(ValueError, match=message):
        run(folder, **options)
    assert not (folder.parent / "ranking").exists()


def test_a_scorer_without_a_number_stops_the_run(folder):
    class Lost(Scorer):
        def predict_scores(self, crops):
            return np.full(len(crops), np.nan)

    with pytest.raises(ValueError, match="4 not finite"):
        run(folder, scorer=Lost())
