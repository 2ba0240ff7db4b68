import http.cookiejar
import json
import os
import urllib.request

import numpy as np
import pytest

from facescore.annotation import PAGES
from facescore.annotation.loop import review
from facescore.annotation.rate import RatingApp, rate
from facescore.annotation.review import ReviewApp
from facescore.annotation.store import Annotations
from facescore.boxes import Face
from facescore.labels import label_path, read_labels
from facescore.scorer.ratings import read_ratings, write_ratings
from illustkit.images import write_image
from illustkit.web.server import LocalServer

SIZE = 40, 30


@pytest.fixture
def folder(tmp_path):
    for name in ("1.png", "2.png", "10.png"):
        write_image(tmp_path / name, np.full((30, 40, 3), 200, np.uint8))
    return tmp_path


def test_the_review_says_what_there_is_and_keeps_what_is_drawn(folder):
    annotations = Annotations(folder)
    source = annotations.source("cascade-x")
    faces = [Face((2, 2, 12, 12), 0.9), Face((20, 2, 30, 12), 0.4)]
    annotations.suggest(folder / "2.png", faces, source)
    app = ReviewApp(annotations)
    assert app.queue() == {
        "folder": folder.name,
        "names": ["1.png", "2.png", "10.png"],
        "states": ["new", "suggested", "new"],
        "confidences": [0.0, 0.4, 0.0],
    }
    picture = app.picture(1)
    assert (picture["name"], picture["width"], picture["height"]) == ("2.png", *SIZE)
    assert np.allclose(picture["boxes"], [(*f.box, f.confidence) for f in faces])
    boxes = [[2, 2, 12.5, 12, 0.9], [-5, 20, 50, 99, 1]]
    saved = app.save({"i": 1, "boxes": boxes, "accept": False})
    assert saved == {"i": 1, "state": "draft", "confidence": 0.9}
    saved = app.save({"i": 1, "boxes": boxes, "accept": True})
    assert saved == {"i": 1, "state": "accepted", "confidence": 1.0}
    kept = read_labels(label_path(folder / "2.png"), SIZE)
    assert np.allclose(kept, [(2, 2, 12.5, 12), (0, 20, 40, 30)], atol=1e-3)
    (folder / "1.png").write_text("broken")
    picture = app.picture(0)
    assert picture["state"] == "problem" and "1.png" in picture["message"]
    json.dumps(app.picture(0), allow_nan=False)


@pytest.mark.parametrize(
    "change",
    [
        {"i": 3},
        {"i": -1},
        {"i": "1"},
        {"i": True},
        {"accept": 1},
        {"more": 1},
        {"boxes": None},
        {"boxes": [[1, 2, 3, 4]]},
        {"boxes": [[1, 2, 3, "4", 1]]},
        {"boxes": [[1, 2, 3, float("nan"), 1]]},
        {"boxes": [[1, 2, 3, 4, 2]]},
        {"boxes": [[50, 2, 60, 4, 1]]},
        {"boxes": [[1, 2, 3, 10**400, 1]]},
        {"boxes": [[1, 2, 3, 4, 1]] * 1001},
    ],
)
def test_the_review_refuses_what_is_no_box(folder, change):
    app = ReviewApp(Annotations(folder))
    with pytest.raises(ValueError):
        app.save({"i": 0, "boxes": [], "accept": True, **change})
    assert not list(folder.glob("**/*.txt"))


def test_each_rating_is_in_the_table_at_once(folder):
    app = RatingApp(folder)
    table = folder / "ratings.csv"
    for i, score in [(2, 5), (0, 3), (1, 1), (0, 4)]:
        assert app.rate({"i": i, "score": score}) == {"i": i, "score": score}
    assert table.read_text() == "file,score\n1.png,4\n2.png,1\n10.png,5\n"
    app.rate({"i": 1, "score": 0})
    assert read_ratings(table) == [(folder / "1.png", 4), (folder / "10.png", 5)]
    again = RatingApp(folder)
    assert again.queue()["scores"] == [4, 0, 5]
    assert again.picture(2) == {"i": 2, "name": "10.png", "score": 5}
    for wrong in [{"i": 0, "score": 6}, {"i": 9, "score": 1}, {"i": 0}, {}]:
        with pytest.raises(ValueError):
            again.rate(wrong)
    with pytest.raises(ValueError):
        again.rate({"i": 0, "score": True})
    assert RatingApp(folder).queue()["scores"] == [4, 0, 5]


def test_a_failed_write_loses_no_rating(folder, monkeypatch):
    app = RatingApp(folder)
    app.rate({"i": 0, "score": 2})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError):
        app.rate({"i": 1, "score": 3})
    assert app.queue()["scores"] == [2, 0, 0]
    assert (folder / "ratings.csv").read_text() == "file,score\n1.png,2\n"


def test_shuffled_rating_keeps_its_order_and_writes_the_folders(folder):
    orders = [RatingApp(folder, shuffle=True).pictures.paths for _ in range(2)]
    assert orders[0] == orders[1] and sorted(orders[0]) == sorted(
        RatingApp(folder).pictures.paths
    )
    app = RatingApp(folder, shuffle=True, table=folder / "mine.csv")
    for i in range(3):
        app.rate({"i": i, "score": i + 1})
    found = dict(read_ratings(folder / "mine.csv"))
    assert found == {path: i + 1 for i, path in enumerate(orders[0])}
    assert list(found) == [folder / n for n in ("1.png", "2.png", "10.png")]
    (folder / "mine.csv").write_text("file,score\n1.png,six\n")
    with pytest.raises(ValueError, match="mine.csv, line 2: a score is"):
        RatingApp(folder, table=folder / "mine.csv")


def test_the_score_of_a_picture_that_is_gone_is_kept(folder, capsys, monkeypatch):
    name = os.fsdecode("絵.png".encode("cp932"))
    write_ratings(folder / "ratings.csv", [(folder / name, 3), (folder / "1.png", 2)])
    monkeypatch.setattr("facescore.annotation.rate.serve", lambda app, **_: None)
    write_image(folder / "second.png", np.zeros((9, 9, 3), np.uint8))
    (folder / "second.png").rename(folder / name)
    app = RatingApp(folder)
    assert app.gone == [] and 3 in app.queue()["scores"]
    other = os.fsdecode("手.png".encode("cp932"))
    (folder / name).rename(folder / other)
    assert RatingApp(folder).gone == [folder / name]
    write_ratings(folder / "ratings.csv", [(folder / "gone.png", 3)])
    rate(folder)
    assert f"scores are kept:\n{folder / 'gone.png'}" in capsys.readouterr().out
    app = RatingApp(folder)
    app.rate({"i": 0, "score": 5})
    text = (folder / "ratings.csv").read_text()
    assert text == "file,score\n1.png,5\ngone.png,3\n"


def test_it_asks_for_unlike_pictures_first_and_for_broken_ones_never(tmp_path, colours):
    for i, light in enumerate((10, 12, 14, 128, 240)):
        write_image(tmp_path / f"{i}.png", np.full((9, 9, 3), light, np.uint8))
    (tmp_path / "5.png").write_bytes(b"broken")
    app = RatingApp(tmp_path, ask="informative")
    assert app.queue()["asks"] and not RatingApp(tmp_path).queue()["asks"]
    first, second = app.ask(2)["next"]
    assert (first < 3) != (second < 3)  # the three dark ones are alike
    app.rate({"i": first, "score": 5})
    answer = app.ask(9)
    assert answer["next"][0] == second and sorted([first, *answer["next"]]) == [
        *range(5)
    ]
    assert answer["curve"] == [] and not answer["settled"]
    json.dumps(answer, allow_nan=False)
    assert RatingApp(tmp_path).ask(3) == {"next": [], "curve": [], "settled": False}
    again = RatingApp(tmp_path, ask="random", most=2)
    assert len(again.ask(9)["next"]) <= 2 and first not in again.ask(9)["next"]
    with pytest.raises(ValueError, match="`count` must be"):
        app.ask(0)
    with pytest.raises(ValueError, match="`ask` must be one of"):
        RatingApp(tmp_path, ask="clever")


def test_names_that_are_no_text_go_through_both_pages(folder):
    name = os.fsdecode("絵.png".encode("cp932"))
    (folder / "1.png").rename(folder / name)
    for app in (RatingApp(folder), ReviewApp(Annotations(folder))):
        with LocalServer(app) as server:
            cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
            browser = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), cookies
            )
            browser.open(server.url).close()
            address = f"http://127.0.0.1:{server.port}/api/queue"
            with browser.open(address) as answer:
                assert name in json.loads(answer.read())["names"]


def test_the_pages_fetch_nothing_from_elsewhere():
    for path in PAGES.iterdir():
        text = path.read_text("utf-8")
        text = text.replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "//cdn" not in text
    for page in ("review.html", "rate.html"):
        text = (PAGES / page).read_text("utf-8")
        assert "{{token}}" in text and "<style" not in text and " style=" not in text


def test_both_pages_listen_where_they_are_told(folder, monkeypatch):
    heard = []

    def serve(app, **options):
        heard.append((type(app), options["host"]))

    monkeypatch.setattr("facescore.annotation.rate.serve", serve)
    monkeypatch.setattr("illustkit.web.server.serve", serve)
    for page in (rate, review):
        page(folder, host="0.0.0.0")
        page(folder)
    hosts = "0.0.0.0", "127.0.0.1"
    apps = RatingApp, ReviewApp
    assert heard == [(app, host) for app in apps for host in hosts]
