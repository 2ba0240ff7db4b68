"""Both pages in headless Chromium; skipped where it or selenium is missing."""

import numpy as np
import pytest

from facescore.annotation.rate import RatingApp
from facescore.annotation.review import ReviewApp
from facescore.annotation.store import STATES, Annotations
from facescore.boxes import Face, iou_matrix
from facescore.labels import label_path, read_labels
from illustkit.images import write_image
from illustkit.web.server import LocalServer
from tests.axe import violations
from tests.waiting import until

selenium = pytest.importorskip("selenium", reason="needs selenium")
from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

SIZE = 400, 300


@pytest.fixture
def folder(tmp_path):
    for n in range(5):
        write_image(tmp_path / f"{n}.png", np.full((300, 400, 3), 40 * n, np.uint8))
    return tmp_path


def text(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector).text


def press(browser, *keys):
    ActionChains(browser).send_keys(*keys).perform()


def place(browser, point):
    """Where a point of the fitted picture is, in screen pixels from its middle."""
    canvas = browser.find_element(By.TAG_NAME, "canvas")
    width, height = canvas.size["width"], canvas.size["height"]
    scale = min((width - 36) / SIZE[0], (height - 36) / SIZE[1])
    return np.round((np.asarray(point) - np.divide(SIZE, 2)) * scale).astype(int)


def drag(browser, start, end, key=None):
    """Drag between two points of the picture, in its pixels; `key` is held down."""
    canvas = browser.find_element(By.TAG_NAME, "canvas")
    first, last = place(browser, start), place(browser, end)
    actions = ActionChains(browser, duration=20)
    if key:
        actions.key_down(key)
    actions.move_to_element_with_offset(canvas, *first.tolist())
    actions.click_and_hold().move_by_offset(*(last - first).tolist()).release()
    if key:
        actions.key_up(key)
    actions.perform()


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
        assert "5 most" in text(browser, "#toast")
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


def test_it_asks_and_shows_the_agreement(browser, tmp_path, colours):
    for n in range(24):
        write_image(tmp_path / f"{n:02d}.png", np.full((30, 40, 3), 10 * n, np.uint8))
    table = tmp_path / "ratings.csv"
    with LocalServer(RatingApp(tmp_path, ask="informative")) as server:
        browser.get(server.url)
        asked = []
        for step in range(12):
            until(lambda: ".png" in text(browser, "#caption"))
            name = text(browser, "#caption").split("· ")[1]
            if step == 1:  # skipped: never asked for again
                press(browser, "s")
            else:
                press(browser, str(1 + int(name[:2]) // 5))
            assert until(lambda name=name: name not in text(browser, "#caption"))
            asked.append(name)
        assert len(set(asked)) == 12 and asked[1] not in table.read_text()
        until(lambda: len(table.read_text().splitlines()) == 12)
        assert until(lambda: ", 11 scores" in text(browser, "#taste"))
        assert float(text(browser, "#taste").split()[1].strip(",")) > 0.8
        line = browser.find_element(By.CSS_SELECTOR, "#taste polyline")
        assert len(line.get_attribute("points").split()) == 2
        press(browser, "u")
        until(lambda: "10 scores" in text(browser, "#taste"))
        assert asked[-1] in text(browser, "#caption")
        assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


def boxes_of(annotations, folder, number):
    return [face.box for face in annotations.load(folder / f"{number}.png").faces]


def test_keys_act_on_the_picture_never_on_the_last_clicked_button(browser, folder):
    annotations = Annotations(folder)
    source = annotations.source("cascade-x")
    four = [Face((20 + 90 * k, 50, 90 + 90 * k, 120), 0.5) for k in range(4)]
    annotations.suggest(folder / "1.png", four, source)
    with LocalServer(ReviewApp(annotations)) as server:
        browser.get(server.url)
        until(lambda: text(browser, "#caption").startswith("#2 "))
        press(browser, Keys.ARROW_RIGHT)
        until(lambda: text(browser, "#caption").startswith("#1 "))
        browser.find_element(By.ID, "none").click()
        until(lambda: label_path(folder / "0.png").exists())
        browser.find_element(By.CSS_SELECTOR, "[aria-label='Picture 2']").click()
        until(lambda: text(browser, "#count") == "4")
        browser.find_element(By.ID, "theme").click()
        press(browser, Keys.ENTER)  # accepts the four boxes
        until(lambda: label_path(folder / "1.png").exists())
        assert len(read_labels(label_path(folder / "1.png"), SIZE)) == 4


def test_every_step_of_the_review_can_be_undone_and_done_again(browser, folder):
    annotations = Annotations(folder)
    source = annotations.source("cascade-x")
    annotations.suggest(folder / "1.png", [Face((50, 50, 150, 150), 0.9)], source)
    with LocalServer(ReviewApp(annotations)) as server:
        browser.get(server.url)
        until(lambda: text(browser, "#caption").startswith("#2 "))
        drag(browser, (200, 20), (260, 90))
        press(browser, Keys.ENTER)
        until(lambda: label_path(folder / "1.png").exists())
        until(lambda: text(browser, "#caption").startswith("#1 "))
        press(browser, "0")
        until(lambda: label_path(folder / "0.png").exists())
        until(lambda: text(browser, "#caption").startswith("#3 "))

        def control(*keys):
            actions = ActionChains(browser).key_down(Keys.CONTROL)
            actions.send_keys(*keys).key_up(Keys.CONTROL).perform()

        control("z")  # "no face here"
        until(lambda: not label_path(folder / "0.png").exists())
        until(lambda: text(browser, "#state") == "Not yet looked at")
        control("z")  # accepted
        until(lambda: annotations.load(folder / "1.png").state == "draft")
        assert len(boxes_of(annotations, folder, 1)) == 2
        until(lambda: text(browser, "#count") == "2")
        control("z")  # drawn
        until(lambda: annotations.load(folder / "1.png").state == "suggested")
        (box,) = boxes_of(annotations, folder, 1)
        assert box == pytest.approx((50, 50, 150, 150))
        control("y", "y")
        until(lambda: annotations.load(folder / "1.png").state == "accepted")
        assert len(boxes_of(annotations, folder, 1)) == 2


def test_nothing_is_lost_while_the_server_is_gone(browser, folder):
    annotations = Annotations(folder)
    with LocalServer(ReviewApp(annotations)) as server:
        browser.get(server.url)
        until(lambda: text(browser, "#caption").startswith("#1 "))
        port = server.port
    press(browser, "0")  # nobody answers
    until(lambda: "1 picture is not saved yet" in text(browser, "#unsaved"))
    until(lambda: "The server does not answer" in text(browser, "#notice"))
    assert "0 of 5 accepted" in text(browser, ".progress")
    cell = browser.find_element(By.CSS_SELECTOR, "[aria-label='Picture 1']")
    assert cell.get_attribute("data-state") == "unsaved"
    assert not label_path(folder / "0.png").exists()
    with LocalServer(ReviewApp(annotations), port=port) as server:
        until(lambda: "Open the address" in text(browser, "#unsaved"))
        browser.get(server.url)
        until(lambda: label_path(folder / "0.png").exists())
        until(lambda: "1 of 5 accepted" in text(browser, ".progress"))
        assert not browser.find_element(By.ID, "unsaved").is_displayed()


def test_a_failed_save_is_shown_until_it_succeeds(browser, folder, monkeypatch):
    annotations = Annotations(folder)
    save, full = annotations.save, [True]

    def failing(*arguments, **options):
        if full[0]:
            raise OSError(28, "No space left on device")
        return save(*arguments, **options)

    monkeypatch.setattr(annotations, "save", failing)
    with LocalServer(ReviewApp(annotations)) as server:
        browser.get(server.url)
        until(lambda: text(browser, "#caption").startswith("#1 "))
        press(browser, "0")
        until(lambda: "No space left" in text(browser, "#unsaved"))
        assert "0 of 5 accepted" in text(browser, ".progress")
        full[0] = False
        browser.find_element(By.CSS_SELECTOR, "#unsaved button").click()
        until(lambda: label_path(folder / "0.png").exists())
        until(lambda: "1 of 5 accepted" in text(browser, ".progress"))


def test_a_write_that_is_refused_holds_up_no_other(browser, folder):
    with LocalServer(ReviewApp(Annotations(folder))) as server:
        browser.get(server.url)
        until(lambda: text(browser, "#caption").startswith("#1 "))
        (folder / "0.png").rename(folder / "elsewhere")
        press(browser, "0")
        until(lambda: "1 picture is not saved yet" in text(browser, "#unsaved"))
        until(lambda: text(browser, "#caption").startswith("#2 "))
        press(browser, "0")
        until(lambda: label_path(folder / "1.png").exists())
        assert "1 picture is not saved yet" in text(browser, "#unsaved")
        (folder / "elsewhere").rename(folder / "0.png")
        browser.find_element(By.CSS_SELECTOR, "#unsaved button").click()
        until(lambda: label_path(folder / "0.png").exists())


def test_a_folder_that_nobody_searched_says_how_to(browser, folder):
    with LocalServer(ReviewApp(Annotations(folder))) as server:
        browser.get(server.url)
        until(lambda: "annotate start" in text(browser, "#message"))
        for number in range(1, 6):
            until(lambda n=number: text(browser, "#caption").startswith(f"#{n} "))
            assert (number > 1) == (text(browser, "#message") == "")
            press(browser, "0")
        until(lambda: "annotate train" in text(browser, "#notice"))


def test_a_damaged_picture_says_why_and_is_no_longer_to_review(browser, folder):
    whole = (folder / "0.png").read_bytes()
    (folder / "0.png").write_bytes(whole[: len(whole) // 2])  # its header is whole
    (folder / "1.png").write_bytes(b"no picture")
    app = ReviewApp(Annotations(folder))
    with LocalServer(app) as server:
        browser.get(server.url)
        for number in (1, 2):
            until(lambda n=number: f"{n - 1}.png" in text(browser, "#notice"))
            until(lambda: text(browser, "#state") == "Problem")
            press(browser, Keys.ENTER)
        until(lambda: text(browser, "#caption").startswith("#3 "))
        states = app.queue()["states"]
        assert states == ["problem", "problem", "new", "new", "new"]


def test_the_review_by_keyboard_alone(browser, folder):
    """Tab leaves the picture after its last box; a focused button is pressed."""
    annotations = Annotations(folder)
    source = annotations.source("cascade-x")
    annotations.suggest(folder / "1.png", [Face((50, 50, 150, 150), 0.9)], source)
    with LocalServer(ReviewApp(annotations)) as server:
        browser.get(server.url)
        until(lambda: text(browser, "#caption").startswith("#2 "))
        press(browser, Keys.TAB, Keys.TAB)
        assert browser.switch_to.active_element.get_attribute("id") == "accept"
        press(browser, Keys.TAB)
        assert browser.switch_to.active_element.get_attribute("id") == "none"
        press(browser, Keys.SPACE)
        until(lambda: label_path(folder / "1.png").exists())
        assert len(read_labels(label_path(folder / "1.png"), SIZE)) == 0
        until(lambda: text(browser, "#caption").startswith("#1 "))
        assert browser.switch_to.active_element.tag_name == "canvas"
        live = browser.find_element(By.ID, "live")
        until(lambda: "Picture 1" in live.get_attribute("textContent"))


CONTRAST = """
const [state, theme] = arguments;
document.documentElement.dataset.theme = theme;
const tag = document.querySelector("#state");
tag.dataset.state = state;
const context = document.createElement("canvas").getContext("2d");
const painted = (...layers) => {  // colours laid over each other
    for (const layer of layers) {
        context.fillStyle = layer;
        context.fillRect(0, 0, 1, 1);
    }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const style = getComputedStyle(tag), panel = getComputedStyle(tag.parentElement);
const ground = [panel.backgroundColor, style.backgroundColor];
return [painted(...ground), painted(...ground, style.color)];
"""


def luminance(colour):
    """Return WCAG's relative luminance of an sRGB colour."""
    levels = np.asarray(colour) / 255
    linear = np.where(
        levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4
    )
    return linear @ (0.2126, 0.7152, 0.0722)


def test_every_state_is_read_well_in_both_themes(browser, folder):
    """WCAG AA asks small text for a contrast of 4.5."""
    with LocalServer(ReviewApp(Annotations(folder))) as server:
        browser.get(server.url)
        until(lambda: text(browser, "#caption").startswith("#1 "))
        for theme in ("light", "dark"):
            for state in (*STATES, "unsaved"):
                colours = browser.execute_script(CONTRAST, state, theme)
                low, high = sorted(map(luminance, colours))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (theme, state)


def test_the_help_opens_and_closes_by_its_key_and_fits_a_telephone(browser, folder):
    metrics = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for app in (RatingApp(folder), ReviewApp(Annotations(folder))):
            with LocalServer(app) as server:
                browser.get(server.url)
                until(lambda: text(browser, "#caption").startswith("#1 "))
                dialog = browser.find_element(By.TAG_NAME, "dialog")
                press(browser, "?")
                until(dialog.is_displayed)
                cut = browser.execute_script(
                    """const dialog = document.querySelector("dialog");
                    const right = dialog.getBoundingClientRect().right;
                    return [...dialog.querySelectorAll("dt, dd, kbd")].filter(
                        (e) => e.getBoundingClientRect().right > right,
                    ).map((e) => e.textContent);"""
                )
                assert cut == []
                press(browser, "?")
                until(lambda d=dialog: not d.is_displayed())
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def zoom(browser):
    return int(text(browser, "#caption").split()[-2])


def selected(browser):
    return len(browser.find_elements(By.CSS_SELECTOR, "#boxes li.on"))


@pytest.fixture
def two_boxes(folder):
    annotations = Annotations(folder)
    source = annotations.source("cascade-x")
    two = [Face((50, 50, 100, 100), 0.4), Face((200, 100, 260, 160), 0.8)]
    annotations.suggest(folder / "1.png", two, source)
    with LocalServer(ReviewApp(annotations)) as server:
        yield server


def test_the_mouse_zooms_selects_several_and_shows_a_crosshair(browser, two_boxes):
    browser.get(two_boxes.url)
    until(lambda: text(browser, "#count") == "2")
    fitted = zoom(browser)
    canvas = browser.find_element(By.TAG_NAME, "canvas")
    wheel = ActionChains(browser)
    wheel.scroll_from_origin(ScrollOrigin.from_element(canvas), 0, -200).perform()
    until(lambda: zoom(browser) == pytest.approx(fitted * np.exp(0.3), abs=2))
    press(browser, "f")
    until(lambda: zoom(browser) == fitted)
    drag(browser, (40, 40), (110, 110), key="z")
    until(lambda: zoom(browser) > 3 * fitted)
    press(browser, "f")
    drag(browser, (40, 40), (270, 170), key=Keys.CONTROL)
    until(lambda: selected(browser) == 2)
    press(browser, "c", Keys.ARROW_RIGHT)
    until(lambda: text(browser, "#caption").startswith("#1 "))
    press(browser, "v")
    until(lambda: text(browser, "#count") == "2")
    drag(browser, (225, 130), (225, 130), key=Keys.CONTROL)  # a click: one less
    until(lambda: selected(browser) == 1)
    browser.find_element(By.ID, "delete").click()
    until(lambda: text(browser, "#count") == "1")
    browser.find_element(By.ID, "undo").click()
    until(lambda: text(browser, "#count") == "2")

    # The crosshair's line crosses the picture's left edge, level with the mouse.
    level = canvas.size["height"] // 2 + int(place(browser, (390, 280))[1])
    brightest = "return Math.max(...document.querySelector('canvas').getContext('2d')"
    brightest += (
        f".getImageData(30, {level - 3}, 1, 7).data.filter((_, k) => k % 4 < 3))"
    )
    drag(browser, (390, 280), (390, 280))
    assert browser.execute_script(brightest) > 200  # over a black picture
    press(browser, "i")
    assert browser.execute_script(brightest) == 0
    press(browser, "i")
    assert browser.execute_script(brightest) > 200


def test_fingers_zoom_and_select_on_a_telephone(browser, two_boxes):
    metrics = {"width": 360, "height": 640, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def touch(kind, *points):
        rows = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        event = {"type": f"touch{kind}", "touchPoints": rows}
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", event)

    try:
        browser.get(two_boxes.url)
        until(lambda: text(browser, "#count") == "2")
        fitted = zoom(browser)
        frame = browser.find_element(By.TAG_NAME, "canvas").rect
        x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
        touch("Start", (x - 30, y))
        touch("Move", (x - 40, y))  # the first finger begins a box
        touch("Start", (x - 40, y), (x + 40, y))
        touch("Move", (x - 60, y), (x + 60, y))
        touch("Move", (x - 80, y), (x + 80, y))
        touch("End")
        until(lambda: zoom(browser) == pytest.approx(2 * fitted, abs=2))
        assert text(browser, "#count") == "2"
        for mark in range(2):
            browser.find_elements(By.CSS_SELECTOR, "#boxes li i")[mark].click()
        assert selected(browser) == 2
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_boxes_of_other_classes_are_shown_and_stay(browser, folder):
    """Class 1 is a face; the review draws a hat, and leaves its line alone."""
    label = label_path(folder / "0.png")
    label.write_text("0 .25 .25 .2 .2\n1 .5 .5 .25 .5\n4 .75 .75 .1 .1\n")
    (folder / "classes.txt").write_text("hat\nface\n")
    annotations = Annotations(folder, face_class=1)
    with LocalServer(ReviewApp(annotations)) as server:
        browser.get(server.url)
        browser.find_element(By.CSS_SELECTOR, "#filter [value=all]").click()
        until(lambda: "beside hat, class 4" in text(browser, "#caption"))
        assert text(browser, "#count") == "1"
        press(browser, Keys.ESCAPE)
        drag(browser, (60, 60), (90, 90))  # over the hat: a new box, and no move of it
        until(lambda: text(browser, "#count") == "2")
        hat, other = "0 .25 .25 .2 .2", "4 .75 .75 .1 .1"
        until(lambda: len(label.read_text().splitlines()) == 4)
        lines = label.read_text().splitlines()
        assert lines[2:] == [hat, other] and all(x[0] == "1" for x in lines[:2])


def test_the_strip_is_one_stop_of_tab_and_arrows_go_on_in_it(browser, folder):
    with LocalServer(ReviewApp(Annotations(folder))) as server:
        browser.get(server.url)
        until(lambda: text(browser, "#caption").startswith("#1 "))

        def focused():
            return browser.switch_to.active_element.get_attribute("aria-label") or ""

        last = "document.getElementById('undo').focus()"  # of the buttons beside
        browser.execute_script(last)
        press(browser, Keys.TAB)
        assert focused() == "Picture 1"
        press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        until(lambda: text(browser, "#caption").startswith("#3 "))
        until(lambda: focused() == "Picture 3")
        press(browser, Keys.TAB)  # no second stop
        assert not focused().startswith("Picture ")


def test_pictures_are_taken_out_and_boxes_copied_selected_and_searched_by_keys(
    browser, folder
):
    annotations = Annotations(folder)
    source = annotations.source("cascade-x")
    two = [Face((50, 50, 100, 100), 0.4), Face((200, 100, 260, 160), 0.8)]
    annotations.suggest(folder / "1.png", two, source)
    annotations.suggest(folder / "3.png", two[1:], source)
    browser.get_log("browser")  # what pages before have said

    def shows(number):
        return until(lambda: text(browser, "#caption").startswith(f"#{number} "))

    with LocalServer(ReviewApp(annotations)) as server:
        browser.get(server.url)
        shows(2)
        press(browser, "jjd")  # both selected, and moved to the right together
        until(lambda: annotations.load(folder / "1.png").state == "draft")
        moved = np.subtract(boxes_of(annotations, folder, 1), [f.box for f in two])
        step = moved[0, 0]
        assert step > 0 and np.allclose(moved, [[step, 0, step, 0]] * 2, atol=0.01)
        press(browser, "m")
        shows(4)
        until(lambda: annotations.load(folder / "1.png").state == "unsure")
        press(browser, "k")
        shows(1)
        until(lambda: annotations.load(folder / "3.png").state == "skipped")
        until(lambda: "0 of 4 accepted" in text(browser, ".progress"))
        press(browser, "v")  # the boxes of the picture before
        until(lambda: len(boxes_of(annotations, folder, 0)) == 1)
        press(browser, Keys.ENTER)
        shows(3)
        press(browser, "/", "4.p")
        shows(5)
        press(browser, Keys.ESCAPE)
        until(lambda: browser.switch_to.active_element.tag_name == "canvas")
        search = browser.find_element(By.ID, "search")
        assert search.get_attribute("value") == "4.p"  # what is shown is still that
        put = "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        put += "e.dispatchEvent(new Event(arguments[2]))"
        browser.execute_script(put, "search", "", "input")
        browser.execute_script(put, "filter", "unsure", "change")
        shows(2)
        browser.execute_script(put, "high", "50", "input")  # moved by hand: it is sure
        until(lambda: "No such pictures" in text(browser, "#notice"))
        assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


def test_a_score_button_rates_one_picture(browser, folder):
    with LocalServer(RatingApp(folder)) as server:
        browser.get(server.url)
        until(lambda: "0.png" in text(browser, "#caption"))
        browser.find_element(By.CSS_SELECTOR, "[aria-label='Score 4']").click()
        until(lambda: "1.png" in text(browser, "#caption"))
        press(browser, Keys.ENTER)
        press(browser, "2")
        until(lambda: (folder / "ratings.csv").exists())
        expected = "file,score\n0.png,4\n1.png,2\n"
        until(lambda: (folder / "ratings.csv").read_text() == expected)


def test_a_reload_after_the_command_ended_is_a_page_not_json(browser, folder):
    with LocalServer(RatingApp(folder)) as server:
        browser.get(server.url)
        until(lambda: "0.png" in text(browser, "#caption"))
        port = server.port
    with LocalServer(RatingApp(folder), port=port):
        browser.refresh()
        assert "Open the address that the command printed" in text(browser, "p")
        assert "{" not in text(browser, "body")


def test_rating_goes_on_where_the_server_comes_back(browser, folder):
    """By keys and by mouse, while nobody answers in between."""
    with LocalServer(RatingApp(folder)) as server:
        browser.get(server.url)
        until(lambda: "0.png" in text(browser, "#caption"))
        press(browser, "3")
        until(lambda: (folder / "ratings.csv").exists())
        until(lambda: "1.png" in text(browser, "#caption"))
        port = server.port
    press(browser, "4")
    until(lambda: "not saved yet" in text(browser, "#unsaved"))
    browser.find_element(By.CSS_SELECTOR, "[aria-label='Score 5']").click()
    until(lambda: "1 of 5 rated" in text(browser, ".progress"))
    assert (folder / "ratings.csv").read_text() == "file,score\n0.png,3\n"
    with LocalServer(RatingApp(folder), port=port) as server:
        browser.get(server.url)
        expected = "file,score\n0.png,3\n1.png,4\n2.png,5\n"
        until(lambda: (folder / "ratings.csv").read_text() == expected)
        until(lambda: "3 of 5 rated" in text(browser, ".progress"))
        assert not browser.find_element(By.ID, "unsaved").is_displayed()


@pytest.mark.parametrize("width", [360, 700])
def test_all_of_both_pages_is_on_a_narrow_screen(browser, folder, width):
    metrics = {"width": width, "height": 640, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for app in (RatingApp(folder), ReviewApp(Annotations(folder))):
            with LocalServer(app) as server:
                browser.get(server.url)
                until(lambda: text(browser, "#caption").startswith("#1 "))
                outside = browser.execute_script(
                    """return [...document.querySelectorAll(
                        "header button, header select, header input, .progress span,"
                        + "canvas, #picture, footer button:not(.cell), #accept, #none")]
                    .filter((e) => e.offsetParent).filter((e) => {
                        const box = e.getBoundingClientRect();
                        return box.left < 0 || box.right > innerWidth
                            || box.top < 0 || box.bottom > innerHeight;
                    }).map((e) => e.id || e.textContent);"""
                )
                assert outside == []
                assert violations(browser) == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
