import io
import json
import threading
import time

import cv2
import numpy as np
import pytest
from PIL import Image

import oppai
from illustkit import progress
from illustkit.errors import UserError
from illustkit.images import read_image, write_image
from illustkit.samples import draw_character
from illustkit.web.requests import RequestError
from oppai.inference.recompose import Prediction
from oppai.pages.opened import OpenedPicture, encode_png
from oppai.pages.serve import RestoreApp
from tests.oracles import hard_mosaic

BOX = 56, 48, 112, 104


@pytest.fixture(scope="module")
def censored():
    return hard_mosaic(draw_character(7, (160, 200)).image, BOX, 8)


@pytest.fixture
def app(tmp_path):
    (tmp_path / "pictures").mkdir()
    write_image(tmp_path / "pictures" / "a.png", np.zeros((20, 30, 3), np.uint8))
    app = RestoreApp(tmp_path / "pictures")
    yield app
    app.close()


def decode(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def as_file(picture, format="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format, **options)
    return stream.getvalue()


def found_mask(app, key):
    labels = decode(app.found(key).data)
    return encode_png(np.where(labels > 0, 255, 0).astype(np.uint8))


def test_a_picture_is_found_predicted_and_written_as_it_came(app, censored):
    exif = Image.Exif()
    exif[0x010E] = "mine"
    profile = b"\0\0\0\x80" + b"\0" * 12 + b"RGB " + b"\0" * 108
    data = as_file(censored, "JPEG", quality=97, exif=exif, icc_profile=profile)
    told = app.take(data, {"name": "C:\\pictures\\é?.jpg"})
    key = told["id"]
    assert (told["name"], told["view"], told["format"]) == (
        "é_.jpg",
        [160, 200],
        "JPEG",
    )
    shown = np.asarray(Image.open(io.BytesIO(data)))
    assert np.abs(decode(app.view(key).data)[..., ::-1].astype(int) - shown).max() <= 1
    (region,) = app.find(b"", {"id": key})["regions"]
    assert region["kind"] == "mosaic" and region["block"] == 8
    mask = found_mask(app, key)
    answer = app.predict(mask, {"id": key})
    left, top, right, bottom = json.loads(answer.headers["X-Answer"])["box"]
    assert decode(answer.data).shape == (2 * (bottom - top), right - left, 3)
    written = app.result(mask, {"id": key, "blend": "0.5"})
    assert written.kind == "image/jpeg" and b"mine" in written.data
    assert written.headers["Content-Disposition"].endswith("''%C3%A9__restored.jpg")
    picture = Image.open(io.BytesIO(written.data))
    assert picture.info["icc_profile"] == profile
    expected = oppai.restore(shown, blend=0.5).astype(int)
    assert np.abs(np.asarray(picture) - expected).mean() < 1
    # What was restored is not found again.
    again = app.take(written.data, {"name": "again.jpg"})["id"]
    told = app.find(b"", {"id": again})
    assert told["regions"] == [] and told["restored"] == 1


def test_alpha_stays_and_another_format_can_be_asked_for(app, censored):
    alpha = np.full(censored.shape[:2], 255, np.uint8)
    alpha[:20] = 0
    key = app.take(as_file(np.dstack([censored, alpha])), {"name": "a.png"})["id"]
    assert (decode(app.view(key).data)[:20] == 255).all()  # over white
    mask = found_mask(app, key)
    written = decode(app.result(mask, {"id": key}).data)
    assert (written[..., 3] == alpha).all()
    assert (written[:20, :, 2::-1] == censored[:20]).all()
    webp = app.result(mask, {"id": key, "format": ".webp"})
    assert (
        webp.kind == "image/webp" and Image.open(io.BytesIO(webp.data)).mode == "RGBA"
    )
    with pytest.raises(UserError, match="transparency"):
        app.result(mask, {"id": key, "format": ".jpg"})


class Model:
    """A translation that turns a picture into its negative."""

    class task:  # noqa: N801
        coloured = staticmethod(lambda result: 255 - result)


@pytest.fixture
def translations(tmp_path, monkeypatch):
    """The folder of the package's networks, empty, and what the tasks are given."""
    seen = []

    def task(name):
        def do(picture, *given, **options):
            seen.append((name, given[:-1], options))
            return picture

        return do

    for name, function in [
        *(("clean", "clean_sketch"), ("colorize", "colorize")),
        *(("complete", "complete"), ("stylize", "stylize"), ("other", "translate")),
    ]:
        monkeypatch.setattr(oppai, function, task(name))
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr("oppai.pages.tabs.WEIGHTS", folder)
    monkeypatch.setattr("oppai.pages.tabs.Translations._model", lambda *_: Model)
    return folder, seen


def test_a_translation_takes_the_whole_picture(app, censored, translations):
    folder, seen = translations
    censored = censored // 3  # no paper of a sketch
    key = app.take(as_file(censored), {"name": "a.png"})["id"]
    assert app.start()["tabs"] == ["restore"]
    with pytest.raises(UserError, match="task"):
        app.result(b"", {"id": key, "task": "clean"})
    (folder / "clean.npz").write_bytes(b"")
    assert app.start()["tabs"] == ["restore", "clean"]
    texts = {"id": key, "task": "clean"}
    answer = json.loads(app.predict(b"", texts).headers["X-Answer"])
    assert answer["box"] == [0, 0, 160, 200]
    (note,) = answer["notes"]
    assert "only a sketch" in note
    answer = app.result(b"", texts)
    assert (decode(answer.data)[..., ::-1] == 255 - censored).all()
    assert answer.headers["Content-Disposition"].endswith("''a_clean.png")
    assert len(seen) == 1  # the prediction was kept
    again = app.take(answer.data, {"name": "b.png"})["id"]
    assert app.find(b"", {"id": again})["restored"] == 0  # nothing was uncovered
    assert app.result(b"", {**texts, "save": "0"}) == {"path": "restored/a_clean.png"}


def test_hints_and_styles_reach_their_tasks(app, censored, translations, monkeypatch):
    folder, seen = translations
    for name in ("colorize", "stylize", "complete"):
        (folder / f"{name}.npz").write_bytes(b"")
    monkeypatch.setattr("oppai.pages.opened._MOST_PIXELS", 8_000)  # half the sides
    key = app.take(as_file(censored), {"name": "a.png"})["id"]
    texts = {"id": key, "task": "colorize"}
    app.predict(b'[[10.5, 20, "#ff8800"]]', texts)
    assert seen[-1][2] == {"hints": {(21, 40): "#ff8800"}}
    for bad in (b"{}", b"[1]", b'[["x", 1, "#123456"]]', b"[[NaN, 1, 2]]", b"\xff"):
        with pytest.raises(UserError, match="Hints are a list"):
            app.predict(bad, texts)
    texts = {"id": key, "task": "stylize"}
    with pytest.raises(UserError, match="picture of the style"):
        app.predict(b"", texts)
    style = app.take(as_file(censored[:50]), {"name": "s.png"})["id"]
    app.predict(b"", {**texts, "style": style, "strength": "0.5"})
    (shown,), options = seen[-1][1:]
    assert shown.shape == (50, 160, 3)
    assert options == {"strength": 0.5, "keep_colours": False}
    with pytest.raises(UserError, match="strength"):
        app.predict(b"", {**texts, "style": style, "strength": "2"})
    texts = {"id": key, "task": "complete"}
    mask = np.zeros((100, 80), np.uint8)
    assert "Nothing is marked" in app.predict(encode_png(mask), texts)["nothing"]
    mask[10:20, 30:40] = 255
    app.predict(encode_png(mask), texts)
    assert (seen[-1][2]["mask"][20:40, 60:80] == 255).all()


def test_runs_are_tabs_of_their_own_task(tmp_path):
    for name, task in [("a", "stylize"), ("b", "pix2pix"), ("c", "stylize")]:
        (tmp_path / name).mkdir()
        settings = {"kind": "translation", "task": task, "network": {}}
        (tmp_path / name / "settings.json").write_text(json.dumps(settings))
    offered = RestoreApp(runs=[tmp_path / "a", tmp_path / "b"]).start()["tabs"]
    assert offered[-2:] == ["stylize", "pix2pix"]
    with pytest.raises(UserError, match="both of the task 'stylize'"):
        RestoreApp(runs=[tmp_path / "a", tmp_path / "c"])
    with pytest.raises(UserError, match="no run|No run|holds no"):
        RestoreApp(runs=[tmp_path])


def test_every_frame_of_an_animation_is_restored(app, censored):
    frames = [Image.fromarray(censored), Image.fromarray(255 - censored)]
    data = io.BytesIO()
    frames[0].save(data, "PNG", save_all=True, append_images=frames[1:])
    told = app.take(data.getvalue(), {"name": "a.png"})
    assert told["frames"] == 2
    written = app.result(found_mask(app, told["id"]), {"id": told["id"]}).data
    restored = Image.open(io.BytesIO(written))
    for number, frame in enumerate(frames):
        restored.seek(number)
        expected = oppai.restore(np.asarray(frame))
        assert (
            np.abs(np.asarray(restored.convert("RGB")) - expected.astype(int)).max()
            <= 1
        )


@pytest.mark.parametrize(
    ("data", "name", "line"),
    [
        (b"", "a.png", "a.png"),
        (b"no picture", "b.jpg", "b.jpg"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "../../c.png", "c.png"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "\0/.png", "png"),
    ],
)
def test_a_hostile_file_gives_one_line_that_names_it(app, data, name, line):
    with pytest.raises(UserError, match=line) as caught:
        app.take(data, {"name": name})
    (text,) = str(caught.value).splitlines()
    assert "oppai-serve" not in text  # the work folder is none of the user's names


def test_names_stay_in_the_work_folder(app, tmp_path, censored):
    for name in ("../../../evil.png", "/etc/evil.png", "..", "\0", "a" * 300 + ".png"):
        key = app.take(as_file(censored), {"name": name})["id"]
        assert app._stored[key].resolve().is_relative_to(app._work.name)
    assert not list(tmp_path.glob("**/evil*"))


def test_a_wrong_mask_setting_or_number_is_refused(app, censored):
    key = app.take(as_file(censored), {"name": "a.png"})["id"]
    small, good = encode_png(np.zeros((3, 3), np.uint8)), found_mask(app, key)
    for mask in (b"", b"none", small):
        with pytest.raises(UserError, match="view's size, 160x200"):
            app.predict(mask, {"id": key})
    for texts in (
        {"blend": "2"},
        {"blend": "nan"},
        {"feather": "-1"},
        {"format": ".exe"},
    ):
        with pytest.raises(UserError, match=next(iter(texts))):
            app.result(good, {"id": key, **texts})
    with pytest.raises(UserError, match="restorer"):
        app.predict(good, {"id": key, "restorer": "../run"})
    for unknown in ("", "0" * 32, "../etc"):
        with pytest.raises(RequestError) as caught:
            app.view(unknown)
        assert caught.value.status == 410
    nothing = app.predict(encode_png(np.zeros((200, 160), np.uint8)), {"id": key})
    assert "Nothing is marked" in nothing["nothing"]


def test_a_result_is_stored_beside_those_that_are_there(app, tmp_path, censored):
    key = app.take(as_file(censored), {"name": "a.png"})["id"]
    mask, folder = found_mask(app, key), tmp_path / "pictures"
    before = (folder / "a.png").read_bytes()
    for expected in ("restored/a.png", "restored/a_2.png"):
        assert app.result(mask, {"id": key, "save": "0"}) == {"path": expected}
        assert read_image(folder / expected).shape == censored.shape
    assert (folder / "a.png").read_bytes() == before == app.original("0").data
    for number in ("1", "ab", "-1"):
        with pytest.raises(RequestError):
            app.result(mask, {"id": key, "save": number})
    assert RestoreApp(folder).start()["names"] == ["a.png"]


def test_a_step_tells_how_far_it_is_and_ends_when_it_is_cancelled(
    app, censored, monkeypatch
):
    key = app.take(as_file(censored), {"name": "a.png"})["id"]
    heard = []

    def slow(_):
        progress.begin("restoring tiles", 100)
        for _ in range(100):
            time.sleep(0.02)
            progress.advance()

    monkeypatch.setattr(OpenedPicture, "find", slow)

    def work(job):
        try:
            app.find(b"", {"id": key, "job": job})
        except RequestError as error:
            heard.append(error.status)

    # The second one waits for its turn.
    threads = [threading.Thread(target=work, args=(job,)) for job in ("7", "8")]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 20
    while not any(app.progress(n)["total"] == 100 for n in (7, 8)):
        assert time.monotonic() < end
        time.sleep(0.005)
    while any(thread.is_alive() for thread in threads):
        assert time.monotonic() < end
        app.cancel({"job": 7})
        app.cancel({"job": 8})
        time.sleep(0.01)
    assert heard == [409, 409]
    assert app.progress(7) == {"stage": None, "done": None, "total": None}
    assert app.cancel({"job": 7}) == {"cancelled": False}


def test_a_large_picture_has_a_smaller_view_and_an_exact_mask(
    tmp_path, censored, monkeypatch
):
    monkeypatch.setattr("oppai.pages.opened._MOST_PIXELS", 8_000)
    write_image(tmp_path / "a.png", censored)
    opened = OpenedPicture(tmp_path / "a.png")
    assert opened.size == (80, 100) and opened.view.shape == (100, 80, 3)
    labels = opened.labels()
    mask = np.where(labels > 0, 255, 0).astype(np.uint8)
    assert opened.edited_mask(encode_png(mask)) is None  # exactly what was found
    mask[:5, :5] = 255
    edited = opened.edited_mask(encode_png(mask))
    assert (edited[:10, :10] == 255).all() and edited.shape == (200, 160)
    distance = np.zeros((20, 10), np.float32)
    distance[:, 5:] = 2
    box, stack = opened.stacked(
        Prediction((4, 6, 14, 26), np.full((20, 10, 3), 7, np.uint8), distance)
    )
    assert box == (2, 3, 7, 13) and stack.shape == (20, 5, 3)
    assert (stack[:10] == 7).all() and set(np.unique(stack[10:])) == {0, 30}


def test_the_oldest_files_make_room(app, censored, monkeypatch):
    monkeypatch.setattr("oppai.pages.serve._MOST_STORED", 1)
    first = app.take(as_file(censored), {"name": "a.png"})["id"]
    second = app.take(as_file(censored[::-1]), {"name": "b.png"})["id"]
    assert list(app._stored) == [second] != [first]
    assert len(list(app._stored[second].parents[1].glob("*/*"))) == 1
