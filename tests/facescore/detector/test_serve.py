import csv
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

import facescore
from facescore.boxes import Face
from facescore.cli.main import app as command
from facescore.detector import serve
from facescore.detector.serve import FacesApp
from illustkit.errors import UserError
from illustkit.images import read_image, write_image
from illustkit.samples import draw_character
from illustkit.web.requests import RequestError
from illustkit.web.server import LocalServer
from tests.axe import violations
from tests.commands import commands_of
from tests.waiting import until

SIZE = 200, 260
run, done = commands_of(command)


@pytest.fixture(scope="module")
def drawn():
    return draw_character(3, SIZE)


@pytest.fixture
def path(tmp_path, drawn):
    return write_image(tmp_path / "girl.png", drawn.image)


class Fixed:
    """Finds one face."""

    def detect(self, image):
        return [Face((10, 20, 60, 90), 0.5)]


@pytest.fixture
def app():
    app = FacesApp(Fixed())
    yield app
    app.close()


def test_the_page_finds_what_the_command_finds(path):
    app = FacesApp()
    told = app.find(path.read_bytes(), {"name": "C:\\pictures\\girl.png"})
    faces = facescore.detect_faces(path)
    assert len(faces) == 1
    expected = [[*face.box, face.confidence] for face in faces]
    np.testing.assert_allclose(told["faces"], expected, atol=0.01)
    assert (told["name"], told["width"], told["height"]) == ("girl.png", *SIZE)
    answer = app.drawn(told["key"])
    assert "filename*=UTF-8''girl.png" in answer.headers["Content-Disposition"]
    with Image.open(io.BytesIO(answer.data)) as image:
        np.testing.assert_array_equal(np.asarray(image), faces.plot())
    app.close()


def test_the_archive_holds_frames_crops_and_tables(app, path, drawn, tmp_path):
    twin = write_image(tmp_path / "girl.bmp", drawn.image)
    other = write_image(tmp_path / "b.png", drawn.image[:, ::-1].copy())
    sent = [(path, "girl.png"), (twin, "girl.bmp"), (other, "b.png")]
    keys = [app.find(p.read_bytes(), {"name": name})["key"] for p, name in sent]
    data = app.archive(json.dumps([*keys, keys[0]]).encode(), {}).data
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        names = "girl.png girl_2.png b.png".split()
        crops = [f"crops/{name.replace('.png', '_0.png')}" for name in names]
        assert sorted(file.namelist()) == sorted(
            [*names, *crops, "faces.json", "faces.csv"]
        )
        crop = facescore.crop_face(read_image(other), (10, 20, 60, 90))
        with Image.open(file.open(crops[2])) as image:
            np.testing.assert_array_equal(np.asarray(image), crop)
        entries = json.loads(file.read("faces.json"))
        rows = list(csv.reader(file.read("faces.csv").decode().splitlines()))
    face = {"box": [10, 20, 60, 90], "confidence": 0.5}
    assert entries == [{"file": name, "faces": [face]} for name in names]
    assert rows[0] == ["file", "left", "top", "right", "bottom", "confidence"]
    assert [row[0] for row in rows[1:]] == names
    for wrong in (b"", b"{}", b"[1]", b"[" * 100_000):
        with pytest.raises(UserError, match="keys are due"):
            app.archive(wrong, {})


def test_what_is_no_picture_gives_a_line_and_stays_unknown(app):
    for _ in range(2):
        with pytest.raises(UserError, match=r"^bad\.png: is not a picture"):
            app.find(b"no picture", {"name": "../../bad.png"})
    for ask in (app.shown, app.drawn):
        with pytest.raises(RequestError, match="no longer holds"):
            ask("0" * 32)


def test_the_oldest_pictures_make_room(app, path, drawn, monkeypatch, tmp_path):
    monkeypatch.setattr(serve, "_MOST_STORED", 1)
    first = app.find(path.read_bytes(), {"name": "a.png"})["key"]
    second = app.find(path.read_bytes(), {"name": "b.png"})["key"]
    assert app.shown(second).data[:2] == b"\xff\xd8"
    with pytest.raises(RequestError):
        app.shown(first)


def test_the_command_takes_a_detector_a_port_and_an_address(path, monkeypatch):
    served = []
    monkeypatch.setattr(serve, "as_detector", lambda name, engine: Fixed())
    monkeypatch.setattr(
        serve,
        "serve_app",
        lambda app, **options: served.append(
            (app.find(path.read_bytes(), {}), options)
        ),
    )
    where = "--port", "8123", "--host", "0.0.0.0", "--no-browser"
    done("serve", "--conf", "0.3", *where)
    done("serve", "--conf", "0.6", *where)
    options = {"port": 8123, "host": "0.0.0.0", "open_browser": False}
    assert [(len(found["faces"]), given) for found, given in served] == [
        (1, options),
        (0, options),
    ]
    monkeypatch.undo()
    missing = run("serve", "--detector", "runs/none")
    assert missing.exit_code == 2 and "runs/none" in missing.stderr


class Page:
    def __init__(self, browser, downloads):
        selenium = pytest.importorskip("selenium", reason="needs selenium")
        self.by = selenium.webdriver.common.by.By.CSS_SELECTOR
        self.browser, self.downloads = browser, downloads
        downloads.mkdir()
        options = {"behavior": "allow", "downloadPath": str(downloads)}
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", options)

    def go(self, url):
        self.browser.get_log("browser")
        self.browser.get(url)
        ready = "return 'ready' in document.body.dataset"
        until(lambda: self.browser.execute_script(ready))

    def all(self, selector):
        return self.browser.find_elements(self.by, selector)

    def text(self, selector="#pictures"):
        return self.all(selector)[0].text

    def open(self, *paths):
        self.all("#files")[0].send_keys("\n".join(map(str, paths)))

    def press(self, text):
        [button, *_] = [b for b in self.all("button") if b.text == text]
        button.click()

    def downloaded(self, name):
        path = self.downloads / name
        data = until(lambda: path.exists() and path.read_bytes())
        path.unlink()
        return data


@pytest.fixture
def page(browser, tmp_path):
    page = Page(browser, tmp_path / "downloads")
    yield page
    browser.get("about:blank")


def test_faces_are_framed_where_they_are_and_saved(page, path, app, drawn):
    with LocalServer(app) as server:
        page.go(server.url)
        assert "Drop pictures" in page.text("#notice")
        assert violations(page.browser) == []
        page.open(path)
        until(lambda: "1 face" in page.text())
        [picture], [face] = page.all(".picture img"), page.all(".face")
        until(lambda: picture.rect["width"] > 100)
        scale = picture.rect["width"] / SIZE[0]
        place = [face.rect[k] for k in ("width", "height")]
        np.testing.assert_allclose(place, [50 * scale, 70 * scale], atol=1)
        left = face.rect["x"] - picture.rect["x"], face.rect["y"] - picture.rect["y"]
        np.testing.assert_allclose(left, [10 * scale, 20 * scale], atol=1)
        page.press("Save with frames")
        with Image.open(io.BytesIO(page.downloaded("girl.png"))) as image:
            expected = facescore.draw_faces(
                drawn.image, [Face((10, 20, 60, 90), 0.5)], side=None
            )
            np.testing.assert_array_equal(np.asarray(image), expected)
        assert violations(page.browser) == []
        page.press("日本語")
        assert "1 個の顔" in page.text() and "枠付きで保存" in page.text()
        page.press("English")
        page.press("Remove")
        assert page.all("#notice")[0].is_displayed()
        assert not page.all(".picture")
        log = page.browser.get_log("browser")
        assert [e for e in log if e["level"] == "SEVERE"] == []


def test_nothing_found_is_lost_with_the_server(page, path, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    first = FacesApp(Fixed())
    with LocalServer(first) as server:
        port = server.port
        page.go(server.url)
        page.open(bad, path)
        until(lambda: "1 face" in page.text())
        assert "bad.png: is not a picture" in page.text()
    first.close()
    page.open(path)
    until(lambda: "does not answer" in page.text())
    second = FacesApp(Fixed())
    with LocalServer(second, port=port) as server:
        page.browser.switch_to.new_window("tab")  # its address is opened anew
        page.go(server.url)
        page.browser.close()
        page.browser.switch_to.window(page.browser.window_handles[0])
        page.press("All as ZIP")
        data = page.downloaded("faces.zip")
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            assert "crops/girl_0.png" in file.namelist()
        page.all("#pictures li:last-child button")[0].click()  # try again
        until(lambda: page.text().count("1 face") == 2)
    second.close()


def test_a_search_of_many_is_cancelled(page, path, tmp_path, drawn):
    class Slow(Fixed):
        def detect(self, image):
            until(lambda: (tmp_path / "go").exists())
            return super().detect(image)

    paths = [write_image(tmp_path / f"{i}.png", drawn.image) for i in range(3)]
    app = FacesApp(Slow())
    with LocalServer(app) as server:
        page.go(server.url)
        page.open(*paths)
        until(lambda: "0 of 3 pictures" in page.text("#queue"))
        page.press("Cancel")
        until(lambda: page.text().count("Cancelled.") == 3)
        (tmp_path / "go").touch()
        page.press("Try again")
        until(lambda: "1 face" in page.text())
    app.close()
