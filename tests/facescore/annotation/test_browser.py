"""Both pages in headless Chromium; skipped where it or selenium is missing."""

import shutil
import time

import numpy as np
import pytest

from facescore.annotation.rate import RatingApp
from facescore.annotation.review import ReviewApp
from facescore.annotation.store import Annotations
from facescore.boxes import Face, iou_matrix
from facescore.labels import label_path, read_labels
from illustkit.images import write_image
from illustkit.web.server import LocalServer

selenium = pytest.importorskip("selenium", reason="needs selenium")
from selenium import webdriver  # noqa: E402
from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--disable-dev-shm-usage"),
    "--window-size=1200,900",
)
SIZE = 400, 300


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(driver)
    with webdriver.Chrome(options=options, service=service) as browser:
        yield browser


@pytest.fixture
def folder(tmp_path):
    for n in range(5):
        write_image(tmp_path / f"{n}.png", np.full((300, 400, 3), 40 * n, np.uint8))
    return tmp_path


def until(condition, seconds=5):
    """What the condition gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come about")


def text(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector).text


def press(browser, *keys):
    ActionChains(browser).send_keys(*keys).perform()


def drag(browser, start, end):
    """Drag between two points of the picture, in its pixels."""
    canvas = browser.find_element(By.TAG_NAME, "canvas")
    width, height = canvas.size["width"], canvas.size["height"]
    scale = min((width - 36) / SIZE[0], (height - 36) / SIZE[1])
    first, last = ((np.asarray(p) - np.divide(SIZE, 2)) * scale for p in (start, end))
    step = np.round(last) - np.round(first)
    actions = ActionChains(browser, duration=20)
    actions.move_to_element_with_offset(canvas, *np.round(first).astype(int).tolist())
    actions.click_and_hold().move_by_offset(*step.astype(int).tolist())
    actions.release().perform()


def test_review_with_mouse_and_keys(browser, folder):
    annotations = Annotations(folder)
    source = annotations.source("cascade-x")
    sure, unsure = Face((50, 50, 150, 150), 0.9), Face((200, 100, 300, 200), 0.3)
    annotations.suggest(folder / "1.png", [sure], source)
    annotations.suggest(folder / "3.png", [sure, unsure], source)

    def shows(number):
        return until(lambda: text(browser, "#caption").startswith(f"#{number} "))

    def kept(number, *boxes):
        path = label_path(folder / f"{number}.png")
        found = until(lambda: path.exists() and (read_labels(path, SIZE),))[0]
        assert len(found) == len(boxes)
        # The mouse stops at whole pixels of the screen.
        assert (iou_matrix(boxes, found).diagonal() > 0.93).all(), found
        return True

    with LocalServer(ReviewApp(annotations)) as server:
        browser.get(server.url)
        shows(4)  # least sure first; the pictures without a suggestion come last
        press(browser, Keys.TAB, Keys.TAB, "x", Keys.ENTER)
        assert kept(3, sure.box)
        shows(2)
        drag(browser, (200, 20), (260, 90))  # draw
        drag(browser, (100, 100), (120, 140))  # move the suggestion
        drag(browser, (170, 190), (180, 240))  # resize it by its corner
        until(lambda: annotations.load(folder / "1.png").state == "draft")
        assert not label_path(folder / "1.png").exists()
        press(browser, Keys.ENTER)
        assert kept(1, (70, 90, 180, 240), (200, 20, 260, 90))
        shows(1)
        press(browser, "0")
        assert kept(0)
        shows(3)
        drag(browser, (100, 100), (200, 200))
        press(browser, "u", Keys.ARROW_LEFT)  # undone: nothing stays
        shows(1)
        assert text(browser, "#state") == "Accepted"
        press(browser, "o")
        until(lambda: not label_path(folder / "0.png").exists())
        assert until(lambda: "2 of 5 accepted" in text(browser, ".progress"))
        assert annotations.load(folder / "2.png").faces == []
        assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


def test_rating_with_keys(browser, folder):
    table = folder / "ratings.csv"

    def written(*lines):
        wanted = "\n".join(("file,score", *lines)) + "\n"
        return until(lambda: table.exists() and table.read_text() == wanted)

    with LocalServer(RatingApp(folder)) as server:
        browser.get(server.url)
        until(lambda: "0.png" in text(browser, "#caption"))
        press(browser, "5", "s", "2", "4")  # as fast as one can
        assert written("0.png,5", "2.png,2", "3.png,4")
        press(browser, "u")
        assert written("0.png,5", "2.png,2")
        until(lambda: "3.png" in text(browser, "#caption"))
        press(browser, "1", "3")
        assert written("0.png,5", "2.png,2", "3.png,1", "4.png,3")
        until(lambda: "1 skipped" in text(browser, "#notice"))
    with LocalServer(RatingApp(folder)) as server:
        browser.get(server.url)
        until(lambda: "1.png" in text(browser, "#caption"))
        assert "4 of 5 rated" in text(browser, ".progress")
        assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []
