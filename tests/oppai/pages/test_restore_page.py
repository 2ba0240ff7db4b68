"""The page of `oppai serve` in headless Chromium; skipped where it is missing."""

import io
import re
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

import oppai
from illustkit.images import read_image, write_image
from illustkit.samples import draw_character
from illustkit.web.server import LocalServer
from oppai.inference.recompose import Prediction
from oppai.pages.opened import OpenedPicture
from oppai.pages.serve import RestoreApp
from oppai.pages.tabs import RESTORE, TRANSLATIONS, Translations
from tests.axe import violations
from tests.conftest import ROOT
from tests.oracles import hard_mosaic
from tests.waiting import until

selenium = pytest.importorskip("selenium", reason="needs selenium")
from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

BOX, SIZE = (56, 48, 112, 104), (160, 200)
SHOWN = "#pictures li"


@pytest.fixture(scope="module")
def censored():
    return hard_mosaic(draw_character(7, SIZE).image, BOX, 8)


@pytest.fixture(scope="module")
def clean():
    return draw_character(7, SIZE).image


class Page:
    """What a person sees and does, and the files that come out."""

    def __init__(self, browser, folder):
        self.browser, self.folder = browser, folder
        folder.mkdir()
        options = {"behavior": "allow", "downloadPath": str(folder)}
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", options)

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.find(selector).text

    def click(self, selector):
        until(lambda: self.find(selector).is_enabled())
        self.browser.execute_script(
            "arguments[0].scrollIntoView({block: 'center'})", self.find(selector)
        )
        self.find(selector).click()

    def press(self, *keys):
        ActionChains(self.browser).send_keys(*keys).perform()

    def open(self, *paths):
        field = self.find("#files")
        field.send_keys("\n".join(map(str, paths)))
        until(lambda: self.find("#restore").is_enabled() or self.text("#notice"))

    def set(self, selector, value):
        self.browser.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent("
            "new Event(arguments[0].matches('select') ? 'change' : 'input'))",
            self.find(selector),
            value,
        )

    @property
    def scale(self):
        """Pixels of the screen for one of the fitted picture."""
        sides = self.find("#stage canvas").size
        sides = sides["width"], sides["height"]
        return min((n - 36) / m for n, m in zip(sides, SIZE, strict=True))

    def drag(self, start, end, *, key=None):
        """Drag between two points of the picture, in its pixels."""
        canvas = self.find("#stage canvas")
        first, last = (
            np.round((np.asarray(p) - np.divide(SIZE, 2)) * self.scale).astype(int)
            for p in (start, end)
        )
        actions = ActionChains(self.browser, duration=20)
        actions.move_to_element_with_offset(canvas, *first.tolist())
        actions.click_and_hold().move_by_offset(*(last - first).tolist()).release()
        actions.perform()

    def restore(self):
        self.click("#restore")
        until(lambda: self.find("#compare").is_displayed())

    def downloaded(self, name):
        path = self.folder / name
        data = until(lambda: path.exists() and path.read_bytes())
        path.unlink()
        return data

    def mask(self, name="a"):
        self.click("#save-mask")
        data = self.downloaded(f"{name}_mask.png")
        return np.asarray(Image.open(io.BytesIO(data)).convert("L"))

    def quiet(self):
        log = self.browser.get_log("browser")
        return [e for e in log if e["level"] == "SEVERE"] == []


@pytest.fixture
def page(browser, tmp_path):
    page = Page(browser, tmp_path / "downloads")
    app = RestoreApp()
    with LocalServer(app) as server:
        page.app, page.server = app, server
        browser.get_log("browser")
        browser.get(server.url)
        yield page
        browser.get("about:blank")
    app.close()


@pytest.fixture
def path(tmp_path, censored):
    return write_image(tmp_path / "a.png", censored)


def test_a_picture_is_found_restored_compared_and_downloaded(page, tmp_path, censored):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x010E] = "mine"
    Image.fromarray(censored).save(path, quality=97, exif=exif)
    page.open(path)
    until(lambda: "blocks 8 px" in page.text("#regions"))
    page.restore()
    page.set("#blend", 50)
    page.click("#download")
    data = page.downloaded("a_restored.jpg")
    assert b"mine" in data
    result = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    given = read_image(path)
    changed = np.abs(result - oppai.restore(given, blend=0.5)).max()
    assert changed <= 24 < np.abs(result - given).max()  # what a JPEG loses
    page.set("#format", ".png")
    page.click("#download")
    result = np.asarray(Image.open(io.BytesIO(page.downloaded("a_restored.png"))))
    exact = np.abs(result.astype(int) - oppai.restore(given, blend=0.5)).max()
    assert exact <= 1
    assert page.quiet()


def test_the_tools_mark_what_they_are_drawn_over(page, path, censored):
    page.open(path)
    until(lambda: page.text("#regions"))
    found = np.asarray(oppai.find_censored(censored).mask)
    assert (page.mask() == found).all()
    page.click("#clear")
    page.press("b")
    page.set("#size", 20)
    page.drag((30, 150), (90, 150))
    y, x = np.mgrid[:200, :160] + 0.5
    away = np.hypot(x - np.clip(x, 30, 90), y - 150)
    mask = page.mask()
    assert (mask[away < 9] == 255).all() and not mask[away > 11].any()
    page.press("e")
    page.drag((60, 120), (60, 180))
    assert not page.mask()[140:160, 52:68].any()
    page.press("r")
    page.drag((100, 20), (140, 40))
    expected = np.zeros((200, 160), bool)
    expected[20:40, 100:140] = True
    box = page.mask()[:100] > 0
    assert (box != expected[:100]).sum() <= 120  # the mouse stops at whole pixels
    page.press("z", "z")
    mask = page.mask()
    assert mask[150, 60] == 255 and not mask[30, 120]
    page.press("y", "y")
    assert page.mask()[30, 120] == 255
    page.click("#clear")
    page.press("c")
    page.set("#tolerance", 0)
    page.drag((3.5, 3.5), (3.5, 3.5))
    assert (page.mask()[3, 3], page.quiet()) == (255, True)
    marked = page.mask() > 0
    assert (censored[marked] == censored[3, 3]).all() and marked.sum() > 20
    assert not marked[~(censored == censored[3, 3]).all(-1)].any()


def test_one_can_paint_before_the_search_has_ended(page, path, monkeypatch):
    find, go_on = OpenedPicture.find, threading.Event()

    def slow(opened):
        assert go_on.wait(60)
        return find(opened)

    monkeypatch.setattr(OpenedPicture, "find", slow)
    page.find("#files").send_keys(str(path))
    until(lambda: "Looking for" in page.text("#state"))
    page.press("r")
    page.drag((100, 150), (140, 180))
    go_on.set()
    until(lambda: page.text("#regions"))
    assert page.mask()[165, 120] == page.mask()[76, 80] == 255
    page.press("z")  # what was found is a step, since there was paint before
    assert (page.mask()[165, 120], page.mask()[76, 80]) == (255, 0)


def test_a_mask_is_loaded_and_a_region_is_left_out(page, path, tmp_path):
    page.open(path)
    until(lambda: page.text("#regions"))
    page.click("#regions input")
    assert not page.mask().any()
    page.click("#regions input")
    assert page.mask()[60:90, 70:100].all()
    mask = np.zeros((200, 160), np.uint8)
    mask[10:30, 20:50] = 255
    page.find("#mask-file").send_keys(str(write_image(tmp_path / "m.png", mask)))
    until(lambda: (page.mask() == mask).all())
    small = write_image(tmp_path / "s.png", mask[:20, :20])
    page.find("#mask-file").send_keys(str(small))
    until(lambda: "another size" in page.text("#toast"))
    page.click("#restore")
    until(lambda: "shows no mosaic" in page.text("#notes"))
    page.click("#fill")
    page.restore()
    assert page.quiet()


def test_keys_alone_mark_restore_and_download(page, path):
    page.open(path)
    until(lambda: page.text("#regions"))
    page.find("#stage canvas").click()  # a stroke of one point, which is undone
    page.press("z", "r")
    far = ActionChains(page.browser).key_down(Keys.SHIFT)
    far.send_keys(*[Keys.ARROW_DOWN] * 2, " ", *[Keys.ARROW_DOWN] * 3)
    far.send_keys(*[Keys.ARROW_LEFT] * 4, " ").key_up(Keys.SHIFT).perform()
    changed = (page.mask() > 0) & (oppai.find_censored(path).mask == 0)
    y, x = np.nonzero(changed)
    # From two steps below the middle to three further down and four to the left.
    step = 40 / page.scale
    edges = x.min(), y.min(), x.max(), y.max()
    expected = 80 - 4 * step, 100 + 2 * step, 79, 99 + 5 * step
    assert np.allclose(edges, expected, atol=1.5)
    page.find("#stage canvas").send_keys("z")
    page.press(Keys.ENTER)
    until(lambda: page.find("#compare").is_displayed())
    page.press("s")
    data = page.downloaded("a_restored.png")
    assert (np.asarray(Image.open(io.BytesIO(data))) == oppai.restore(path)).all()
    page.press("x")
    assert not page.find("#compare").is_displayed()
    page.press("t", "?")
    until(lambda: page.find("dialog").is_displayed())
    assert violations(page.browser) == []  # in the dark, with a result
    page.press(Keys.ESCAPE)
    assert page.quiet()


def test_nothing_is_lost_while_the_server_is_gone(browser, tmp_path, path):
    page = Page(browser, tmp_path / "downloads")
    with LocalServer(RestoreApp()) as server:
        browser.get(server.url)
        page.open(path)
        until(lambda: page.text("#regions"))
        page.press("b")
        page.drag((30, 180), (60, 180))
        before = page.mask()
        page.restore()
        port = server.port
    page.set("#restorer", "sharp")  # nobody answers
    until(lambda: "does not answer" in page.text("#lost"))
    with LocalServer(RestoreApp(), port=port) as server:
        until(lambda: "open the address" in page.text("#lost"))
        first = browser.current_window_handle
        browser.switch_to.new_window("tab")
        browser.get(server.url)  # as the command does
        until(
            lambda: "Drop pictures" in page.text("#notice")
        )  # another page's stay its
        browser.close()
        browser.switch_to.window(first)
        until(lambda: not page.find("#lost").is_displayed())
        until(lambda: page.find("#compare").is_displayed())
        assert (page.mask() == before).all()
        browser.refresh()
        until(lambda: page.find("#restore").is_enabled() and page.text("#regions"))
        assert (page.mask() == before).all()
        assert page.find("#restorer").get_attribute("value") == "sharp"
    browser.get("about:blank")


def test_a_hostile_file_gives_a_line_and_the_next_picture_opens(page, path, tmp_path):
    (tmp_path / "bad.png").write_text("<script>alert(1)</script>")
    name = tmp_path / "<img src=x onerror=alert(1)>.png"
    name.write_bytes(path.read_bytes()[:300])
    for bad, line in [(tmp_path / "bad.png", "bad.png"), (name, "img src=x")]:
        page.open(bad)
        until(lambda line=line: line in page.text("#notice strong"))
        assert not page.find("#restore").is_enabled()
    page.open(path)
    until(lambda: page.find("#restore").is_enabled())
    assert len(page.browser.find_elements(By.CSS_SELECTOR, SHOWN)) == 3
    assert page.browser.find_elements(By.CSS_SELECTOR, "#pictures img") == []


def test_many_pictures_are_restored_into_one_zip(page, path, tmp_path, clean, censored):
    other = write_image(tmp_path / "clean.png", clean)
    third = write_image(tmp_path / "c.png", censored)
    (tmp_path / "bad.png").write_text("none")
    page.open(path, other, tmp_path / "bad.png", third)
    page.click("#restore-all")
    done = "2 restored, 1 show nothing censored, 1 failed."
    until(lambda: done in page.text("#toast"))
    page.click("#zip")
    with zipfile.ZipFile(io.BytesIO(page.downloaded("restored.zip"))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a_restored.png", "c_restored.png"]
        picture = Image.open(io.BytesIO(archive.read("c_restored.png")))
    assert (np.asarray(picture) == oppai.restore(censored)).all()


def drop(page, *paths):
    """Drop files and folders of this machine onto the picture, as a hand does."""
    place = page.find("#stage canvas").rect
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    data = {"items": [], "files": [str(p) for p in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.browser.execute_cdp_cmd(
            "Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data}
        )


# How many pictures of the strip have nothing drawn on them.
_BLANK = """
return [...document.querySelectorAll("#pictures canvas")].filter((canvas) => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  return !data.some((value) => value);
}).length;
"""


def test_an_empty_stage_asks_for_pictures_and_a_full_one_does_not(page, path):
    page.browser.execute_script(
        "window.asked = 0; document.querySelector('#files').addEventListener("
        "'click', (event) => { event.preventDefault(); window.asked += 1; })"
    )
    page.click("#stage canvas")
    assert page.browser.execute_script("return window.asked") == 1
    page.open(path)
    until(lambda: "blocks 8 px" in page.text("#regions"))
    page.click("#stage canvas")
    assert page.browser.execute_script("return window.asked") == 1


def test_a_folder_is_dropped_with_all_that_is_in_it(page, tmp_path, clean, censored):
    folder = tmp_path / "dropped"
    (folder / "b" / "deep").mkdir(parents=True)
    write_image(folder / "2.png", censored)
    write_image(folder / "10.png", clean)
    write_image(folder / "b" / "deep" / "1.png", censored)
    (folder / "b" / "words.txt").write_text("none")
    for number in range(3, 6):
        write_image(folder / "b" / f"{number}.webp", clean)
    drop(page, folder)
    until(lambda: len(page.browser.find_elements(By.CSS_SELECTOR, SHOWN)) == 6)
    names = page.text("#pictures").split()
    assert names == ["2.png", "10.png", "3.webp", "4.webp", "5.webp", "1.png"]
    until(lambda: "blocks 8 px" in page.text("#regions"))  # of the first
    until(lambda: page.browser.execute_script(_BLANK) == 0)  # those not yet opened, too
    drop(page, folder / "10.png")  # a file alone
    until(lambda: len(page.browser.find_elements(By.CSS_SELECTOR, SHOWN)) == 7)
    assert page.quiet()


def selected(page):
    tabs = page.browser.find_elements(By.CSS_SELECTOR, "[role=tab]")
    on = [
        t.get_attribute("data-task") for t in tabs if t.get_attribute("tabindex") == "0"
    ]
    assert on == [
        t.get_attribute("data-task")
        for t in tabs
        if t.get_attribute("aria-selected") == "true"
    ]
    return on[0] if on else None  # a page that is loading has no tabs


def test_tabs_are_chosen_by_keys_and_keep_what_was_drawn_and_made(
    page, path, monkeypatch
):
    made = []

    def clean_sketch(picture, model):
        made.append("clean")
        return 255 - picture

    monkeypatch.setattr(oppai, "clean_sketch", clean_sketch)
    page.open(path)
    until(lambda: page.text("#regions"))
    page.press("b")
    page.drag((30, 180), (60, 180))
    mask = page.mask()
    page.restore()
    names = page.app.start()["tabs"]
    assert names == "restore colorize clean complete segment stylize".split()
    page.click("#tab-restore")
    for key, expected in [
        (Keys.ARROW_LEFT, "stylize"),
        (Keys.ARROW_RIGHT, "restore"),
        (Keys.END, "stylize"),
        (Keys.HOME, "restore"),
        (Keys.ARROW_RIGHT, "colorize"),
        ("3", "clean"),
    ]:
        page.press(key)
        assert selected(page) == expected
        focused = page.browser.switch_to.active_element
        assert focused.get_attribute("data-task") == expected
        labelled = page.find("#panel").get_attribute("aria-labelledby")
        assert labelled == f"tab-{expected}"
    for name in names:
        page.click(f"#tab-{name}")
        assert violations(page.browser) == []
    page.click("#tab-clean")
    assert not page.find("#tools").is_displayed()
    page.drag((30, 20), (60, 20))  # moves the picture: nothing is drawn upon here
    page.press("f")
    page.restore()
    page.click("#download")
    data = page.downloaded("a_clean.png")
    expected = 255 - read_image(path)
    assert (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) == expected).all()
    page.click("#tab-complete")
    until(lambda: page.text("#regions"))
    assert (page.mask() == mask).all()
    assert not page.find("#compare").is_displayed()
    page.click("#tab-clean")
    until(lambda: page.find("#compare").is_displayed())  # it was made before
    assert made == ["clean"]
    page.browser.refresh()
    until(lambda: selected(page) == "clean")
    assert page.quiet()


def test_colours_are_brushed_onto_a_grey_picture(page, path, monkeypatch):
    seen = []

    def colorize(picture, model, *, hints):
        seen.append(hints)
        return picture

    monkeypatch.setattr(oppai, "colorize", colorize)
    page.open(path)
    page.click("#tab-colorize")
    until(lambda: not page.find("[data-tool=box]").is_displayed())
    page.set("#size", 20)
    page.set("#hint-colour", "#ff8800")
    page.drag((40, 40), (40, 40))
    page.set("#hint-colour", "#0044ff")
    page.drag((30, 150), (118, 150))  # a point each 20 pixels, or one more
    page.restore()
    (x, y), *more = seen[-1]
    assert abs(x - 40) <= 1 and abs(y - 40) <= 1
    assert seen[-1][x, y] == "#ff8800" and len(more) == 5
    places = [(n, 150) for n in (30, 50.5, 71, 91.5, 112)]
    assert np.allclose(more, places, atol=3)
    assert {seen[-1][place] for place in more} == {"#0044ff"}
    page.press("e")
    page.drag((30, 150), (72, 150))
    page.restore()
    assert len(seen[-1]) == 3
    page.press("z")
    page.set("#hint-colour", "#00aa00")
    page.drag((40, 40), (40, 40))  # another colour for the same point
    page.restore()
    assert len(seen[-1]) == 6 and seen[-1][x, y] == "#00aa00"
    page.browser.refresh()
    until(lambda: page.find("#restore").is_enabled())
    page.restore()
    assert len(seen) == 3  # nothing is lost: the server has made this before
    page.click("#clear")
    page.restore()
    assert seen[-1] == {}
    assert "has colours" in page.text("#notes")
    assert page.quiet()


def test_a_style_is_chosen_and_given_again_to_a_server_that_forgot_it(
    browser, tmp_path, path, clean, monkeypatch
):
    page = Page(browser, tmp_path / "downloads")
    seen = []

    def stylize(picture, style, model, **options):
        seen.append((style.shape, options))
        return np.full_like(picture, 90)

    class Model:
        class task:  # noqa: N801
            coloured = staticmethod(lambda result: result)

    monkeypatch.setattr(oppai, "stylize", stylize)
    monkeypatch.setattr(Translations, "_model", lambda *_: Model)
    app = RestoreApp()
    app.translations._runs["stylize"] = "runs/style"
    painting = write_image(tmp_path / "painting.png", clean[:100])
    (tmp_path / "bad.png").write_text("none")
    with LocalServer(app) as server:
        browser.get(server.url)
        page.open(path)
        page.click("#tab-stylize")
        page.click("#restore")
        until(lambda: "Choose a picture" in page.text("#state"))
        page.find("#style-file").send_keys(str(tmp_path / "bad.png"))
        until(lambda: "bad.png" in page.text("#toast"))
        page.find("#style-file").send_keys(str(painting))
        until(lambda: "painting.png" in page.text("#style-name"))
        page.restore()
        assert seen == [((100, 160, 3), {"strength": 1.0, "keep_colours": False})]
        for stored in app._stored.values():
            stored.unlink()
        app._opened.clear()
        page.click("#keep-colours")
        until(lambda: len(seen) == 2 and page.find("#compare").is_displayed())
        assert seen[1] == ((100, 160, 3), {"strength": 1.0, "keep_colours": True})
        browser.refresh()
        until(lambda: "painting.png" in page.text("#style-name"))
        page.click("#restore-all")
        until(lambda: "1 made" in page.text("#toast"))
        page.click("#zip")
        with zipfile.ZipFile(io.BytesIO(page.downloaded("stylize.zip"))) as archive:
            assert archive.namelist() == ["a_stylize.png"]
        browser.get("about:blank")
    app.close()


def test_the_page_composes_as_python_does(page):
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (12, 16, 3), np.uint8)
    distance = random.uniform(0, 18, (6, 9)).astype(np.float32)
    distance[0], distance[1] = 0, np.inf
    pixels = random.integers(0, 256, (6, 9, 3), np.uint8)
    prediction = Prediction((3, 2, 12, 8), pixels, distance)
    opened = OpenedPicture.__new__(OpenedPicture)
    opened.scale, opened.width, opened.height = 1.0, 16, 12
    box, stack = opened.stacked(prediction)

    def rgba(image):
        return np.dstack([image, np.full(image.shape[:2], 255)]).ravel().tolist()

    script = """
        const [stack, base, box, blend, feather, done] = arguments;
        import("/static/compose.js").then(({ Prediction }) => {
          const bytes = (data) => new Uint8ClampedArray(data);
          const image = ([data, width]) => new ImageData(bytes(data), width);
          const prediction = new Prediction(image(stack), image(base), box);
          prediction.compose(blend, feather);
          done([...prediction.image.data]);
        });"""
    for blend, feather in ((1, 8), (0.5, 0), (0.3, 16)):
        answer = page.browser.execute_async_script(
            script, [rgba(stack), 9], [rgba(picture), 16], list(box), blend, feather
        )
        composed = np.reshape(answer, (6, 9, 4))[..., :3]
        expected = prediction.compose(picture, blend=blend, feather=feather)
        assert np.abs(composed - expected[2:8, 3:12].astype(int)).max() <= 2


def test_japanese_is_chosen_and_every_word_has_both_languages(page, path):
    page.open(path)
    page.set("#language", "ja")
    assert page.text("#restore").startswith("復元する")
    until(lambda: "モザイク" in page.text("#regions"))
    assert page.find("html").get_attribute("lang") == "ja"
    page.set("#language", "en")
    pages = ROOT / "oppai" / "pages"
    table = (pages / "strings.js").read_text("utf-8")
    known = set(re.findall(r"^  (\w+): \[", table, re.M))
    used = set(re.findall(r'data-[tl]="(\w+)"', (pages / "restore.html").read_text()))
    for script in pages.glob("*.js"):
        used |= set(re.findall(r'\bt\("(\w+)"', script.read_text("utf-8")))
    used |= set(re.findall(r'", "(key\w+)"\]', table))
    for name in (RESTORE, *TRANSLATIONS):
        used |= {f"{name}Tab", f"{name}About", f"{name}Do"}
    used |= {
        *("colorizeNote", "cleanNote", "restoreAll", "doAll", "hints"),
        *("animation", "animationFirst", "restoring", "allDone", "allMade"),
        *("noStyle", "nothingMarked"),
        "wheel",
        "drag",
        "mosaic",
        "blur",
        "light",
        "white",
        "black",
        "missing",
    }
    assert used <= known and known - used == set()
    for text in pages.glob("*.*"):
        if text.suffix in (".js", ".css", ".html"):
            assert "http:" not in text.read_text("utf-8")
