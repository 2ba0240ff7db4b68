"""Record the pages in use: `images/page_*.webp`, animated, for the README.

python docs/recordings.py [oppai] [faces] [facescore] [diffusion]

Needs selenium, Chromium and its driver. Takes a minute of a CPU core.
"""

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By

from illustkit.images import write_image
from illustkit.samples import draw_character
from illustkit.web.server import App, LocalServer
from oppai.censoring.block_grid import Grid, block_means

IMAGES = Path(__file__).with_name("images")
COMIC = Path(__file__).parents[1] / "examples" / "comic_page.jpg"
HINTS = (  # colours, and where they are brushed: pixels from the picture's middle
    ("#8a5236", (-96, -88), (-60, -160), (0, -178), (60, -160), (88, -102)),
    ("#f9dfc9", (-40, -20), (30, -20)),
    ("#f5c242", (-70, 89), (85, 89)),
    ("#6db6f5", (-140, -210), (-140, -110)),
)
SIZE, SHOWN = (1080, 720), (720, 480)  # of the window, and of the recording
FLAGS = "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"


class Recorder:
    """A browser, and the frames that were taken of it."""

    def __init__(self, browser: Any, app: App):
        self.browser, self.app = browser, app
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []

    def find(self, selector: str) -> Any:
        """Return the first element of a selector."""
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def until(self, condition: Callable[[], Any], seconds: float = 120) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit("The page does not do what it should.")
            time.sleep(0.05)

    def press(self, *keys: str) -> None:
        """Press keys."""
        ActionChains(self.browser).send_keys(*keys).perform()

    def choose(self, selector: str, value: Any, event: str = "input") -> None:
        """Set a field, as a person's hand does."""
        script = (
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event(arguments[2], {bubbles: true}))"
        )
        self.browser.execute_script(script, self.find(selector), value, event)

    def drag(self, *points: tuple[int, int]) -> None:
        """Drag over the canvas, between points in pixels from its middle."""
        canvas = self.find("canvas")
        actions = ActionChains(self.browser, duration=60)
        actions.move_to_element_with_offset(canvas, *points[0]).click_and_hold()
        for point in points[1:]:
            actions.move_to_element_with_offset(canvas, *point)
        actions.release().perform()

    def take(self, seconds: float) -> None:
        """Take a frame that is shown for some seconds."""
        time.sleep(0.3)
        png = Image.open(io.BytesIO(self.browser.get_screenshot_as_png()))
        self.frames.append(png.convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS))
        self.durations.append(round(1000 * seconds))

    def save(self, path: Path) -> None:
        """Write the frames as an animated WebP."""
        self.frames[0].save(
            path,
            save_all=True,
            append_images=self.frames[1:],
            duration=self.durations,
            loop=0,
            quality=70,
            method=6,
        )
        print(f"{path}: {len(self.frames)} frames, {path.stat().st_size / 1e3:.0f} kB")


def record_oppai(folder: Path) -> tuple[App, Callable[[Recorder], None]]:
    """Restore a censored character, compare, and colour a grey one with hints."""
    from oppai.pages.serve import RestoreApp

    picture = draw_character(1203, (480, 678)).image
    face = picture[216:384, 160:328]
    means = block_means(face, Grid((8, 8)))
    face[:] = np.rint(means).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    path = write_image(folder / "character.png", picture)
    other = draw_character(1205, (480, 678)).image
    grey = np.rint(other.mean(-1, keepdims=True)).astype(np.uint8).repeat(3, -1)
    second = write_image(folder / "grey.png", grey)

    def use(page: Recorder) -> None:
        page.take(2)
        page.find("#files").send_keys(f"{path}\n{second}")
        page.until(lambda: page.find("#regions").text)
        page.take(3)
        page.find("#restore").click()
        page.until(lambda: page.find("#compare").is_displayed())
        page.take(2)
        for at in (70, 90, 70, 50, 30, 10, 30, 50):
            page.choose("#split", at)
            page.take(0.5)
        page.choose("#split", 0)
        page.take(3)
        page.find("#pictures li:last-child button").click()
        page.find("#tab-colorize").click()
        page.until(lambda: page.find("#restore").is_enabled())
        page.take(2)
        for colour, *points in HINTS:
            page.choose("#hint-colour", colour)
            page.drag(*points)
            page.take(1)
        page.find("#restore").click()
        page.until(lambda: page.find("#compare").is_displayed())
        for at in (50, 20, 0):
            page.choose("#split", at)
            page.take(1)
        page.take(3)

    return RestoreApp(None), use


def record_faces(folder: Path) -> tuple[App, Callable[[Recorder], None]]:
    """Find the faces of a comic page, and of characters beside it."""
    from facescore.detector.serve import FacesApp

    shutil.copyfile(COMIC, folder / "page.jpg")
    for number in (3, 12, 17, 22, 28):
        drawn = draw_character(number, (600, 848)).image
        write_image(folder / f"{number}.png", drawn)

    def use(page: Recorder) -> None:
        page.until(lambda: "Drop" in page.find("#notice").text)
        page.take(3)
        page.find("#files").send_keys(str(folder / "page.jpg"))
        page.until(lambda: "7 faces" in page.find("#pictures").text)
        page.take(4)
        others = [str(path) for path in sorted(folder.glob("*.png"))]
        page.find("#files").send_keys("\n".join(others))
        for _ in range(len(others)):
            page.take(0.8)
        page.until(lambda: page.find("#pictures").text.count("1 face") == len(others))
        page.take(4)

    return FacesApp(), use


def record_facescore(folder: Path) -> tuple[App, Callable[[Recorder], None]]:
    """Look at the faces that were found, take one out, accept the page, rate faces."""
    from facescore.annotation.loop import start
    from facescore.annotation.review import ReviewApp
    from facescore.annotation.store import Annotations

    shutil.copyfile(COMIC, folder / "page.jpg")
    start(folder, progress=False)

    def use(page: Recorder) -> None:
        page.until(lambda: page.find("#caption").text)
        page.take(4)
        for _ in range(3):
            page.press(Keys.TAB)
            page.take(1.2)
        page.press(Keys.ENTER)
        page.until(lambda: "1 of 1 accepted" in page.find(".progress").text)
        page.take(3)

    return ReviewApp(Annotations(folder)), use


def record_diffusion(folder: Path) -> tuple[App, Callable[[Recorder], None]]:
    """Make icons, of which some have wishes."""
    from diffusion.pages.serve import IconPage
    from diffusion.sampling.engines import open_model

    def use(page: Recorder) -> None:
        page.until(lambda: page.find("#make").is_enabled())
        page.take(2)
        page.find("#renew").click()
        for seed, wish in (
            (3, {}),
            (5, {"hair": "red"}),
            (8, {"hair": "red", "glasses": "yes"}),
            (13, {"hair": "blue", "glasses": "yes"}),
            (21, {"hair": "blue", "glasses": "no", "expression": "smile"}),
        ):
            for name, value in wish.items():
                page.choose(f"select[name={name}]", value)
            page.choose("#seed", seed)
            page.find("#make").click()
            page.until(lambda seed=seed: f"Seed {seed}," in page.find("#caption").text)
            page.take(2.5)

    return IconPage(open_model("default"), name="default"), use


PAGES = {
    "oppai": record_oppai,
    "faces": record_faces,
    "facescore": record_facescore,
    "diffusion": record_diffusion,
}


def main() -> None:
    """Record the pages that are named, or all."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--window-size={SIZE[0]},{SIZE[1]}", "--lang=en"):
        options.add_argument(flag)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as browser:
        screen = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1}
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {**screen, "mobile": False}
        )
        for name in sys.argv[1:] or PAGES:
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder) / "pictures"
                place.mkdir()
                app, use = PAGES[name](place)
                with LocalServer(app) as server:
                    browser.get(server.url)
                    page = Recorder(browser, app)
                    use(page)
                    page.save(IMAGES / f"page_{name}.webp")


if __name__ == "__main__":
    main()
