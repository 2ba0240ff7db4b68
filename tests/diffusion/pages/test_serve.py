"""The page of new icons, as a program and in headless Chromium."""

import base64
import io
import json
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import diffusion.network.model
from diffusion.cli.serve import serve as serve_command
from diffusion.pages import serve
from diffusion.pages.serve import KEPT, WAITING, IconPage, make_icon, most_steps
from diffusion.sampling.engines import open_model
from diffusion.sampling.generate import sample
from illustkit.errors import UserError
from illustkit.web.server import LocalServer
from tests.axe import violations
from tests.diffusion.slim import Slim

TAUGHT = {"hair": ["blue", "red"], "eye_colour": ["green", "grey"]}


def make_model(**settings):
    network = {"image_size": (24, 16), "dim": 8, "dim_mults": (1, 2)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion.network.model, "UNet", Slim)
        return diffusion.network.model.Diffuser(
            network, **{"timesteps": 60, "objective": "v", **settings}
        )


@pytest.fixture(scope="module")
def model():
    return make_model(attributes=TAUGHT)


def asked(seed=5, steps=3, **wishes):
    return json.dumps({"seed": seed, "steps": steps, "attributes": wishes}).encode()


def opened(png):
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def test_an_icon_is_the_sampled_one_and_marked(model):
    plain = opened(make_icon(model, 5, 3, watermark=None))
    expected = sample(model, 1, sampler="dpm++", steps=3, seed=5, progress=False)[0]
    np.testing.assert_array_equal(plain, expected)
    marked = opened(make_icon(model, 5, 3))
    large = np.kron(expected, np.ones((8, 8, 1), np.uint8))
    changed = np.any(np.asarray(marked) != large, axis=-1)
    assert 0.05 < changed.mean() < 0.8
    assert marked.text == {"Description": "AI-generated"}
    assert np.any(opened(make_icon(model, 6, 3, watermark=None)) != expected)


@pytest.mark.parametrize(
    ("seed", "steps"),
    [(1, 0), (1, 101), (-1, 3), (10_000, 3), (1.5, 3), (None, 3), (1, None), ("1", 3)],
)
def test_seed_and_steps_are_bounded(model, seed, steps):
    with pytest.raises(UserError, match="whole number from"):
        make_icon(model, seed, steps)


def test_a_model_of_too_few_timesteps_is_told():
    with pytest.raises(UserError, match="1 timesteps are too few"):
        IconPage(make_model(timesteps=1))


def test_no_more_steps_are_offered_than_the_model_can_take(model):
    assert 1 < most_steps(model) < 60
    png = make_icon(model, 0, most_steps(model), watermark=None)
    assert opened(png).size == (24, 16)


def test_the_page_makes_what_is_wished(model):
    page = IconPage(model, name="hands", watermark=None)
    about = page.about()
    assert about["attributes"] == TAUGHT and about["name"] == "hands"
    assert about["image_size"] == [24, 16] and about["most_steps"] == most_steps(model)
    key = page.make(asked(7, hair="red"), {})["key"]
    answer = page.icon(key)
    options = {"sampler": "dpm++", "steps": 3, "seed": 7, "progress": False}
    (expected,) = sample(model, 1, attributes={"hair": "red"}, **options)
    np.testing.assert_array_equal(opened(answer.data), expected)
    assert (sample(model, 1, **options)[0] != expected).any()
    assert answer.kind == "image/png"


def test_icons_are_made_once_and_the_latest_are_kept(model, monkeypatch):
    made = []

    def make(model, seed, steps, **options):
        made.append(seed)
        return b"%d" % seed

    monkeypatch.setattr(serve, "make_icon", make)
    page = IconPage(model)
    keys = [page.make(asked(seed), {})["key"] for seed in (0, 0, *range(1, KEPT + 1))]
    assert made == [*range(KEPT + 1)] and len(set(keys)) == KEPT + 1
    assert page.icon(keys[-1]).data == b"%d" % KEPT
    with pytest.raises(UserError, match="make it again"):
        page.icon(keys[0])


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"seed": 1}', b"\xff", b"[" * 5000]
)
def test_what_asks_for_no_icon_is_refused(model, data):
    with pytest.raises(UserError, match="No icon was asked for"):
        IconPage(model).make(data, {})


def test_the_queue_is_bounded_and_one_icon_is_made_at_a_time(model, monkeypatch):
    go_on, running, refused = threading.Event(), [], []

    def slow(model, seed, steps, **options):
        running.append(seed)
        go_on.wait(20)
        return b""

    monkeypatch.setattr(serve, "make_icon", slow)
    page = IconPage(model)

    def click(seed):
        try:
            page.make(asked(seed), {})
        except UserError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=click, args=(n,)) for n in range(WAITING + 3)]
    for thread in threads:
        thread.start()
    for thread in threads[WAITING:]:
        thread.join(20) if len(refused) < 3 else None
    at_once = len(running)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert at_once == 1 and len(running) == WAITING and page.waiting == 0
    assert refused == ["Many icons are waited for: try again in a moment."] * 3


def test_a_slip_is_said_in_one_line(model, capfd):
    with LocalServer(IconPage(model)) as server:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor()
        )
        opener.open(server.url, timeout=20).close()
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/upload/make",
            asked(seed=-1),
            {"X-Token": server.token},
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(request, timeout=20)
    said = json.loads(refused.value.read())["error"]
    assert said == "`seed` is a whole number from 0 to 9999. Received: -1"
    assert "Traceback" not in "".join(capfd.readouterr())


def test_the_packaged_model_is_served_without_keras(monkeypatch):
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
    page = IconPage(open_model("default", engine="onnx"), name="default")
    assert page.about()["attributes"]["hair"]
    png = page.icon(page.make(asked(steps=1, hair="red"), {})["key"]).data
    assert opened(png).text["Description"] == "AI-generated"


def test_a_taken_port_is_told(model):
    app = typer.Typer()
    app.command()(serve_command)
    with LocalServer(IconPage(model)) as server:
        command = ["default", "--port", str(server.port), "--no-browser"]
        result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert f"Port {server.port} cannot be used" in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.fixture
def driven(browser):
    """What a person does with the page."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    class Page:
        keys = Keys

        def find(self, selector):
            return browser.find_element(By.CSS_SELECTOR, selector)

        def until(self, condition):
            return WebDriverWait(browser, 120, 0.05).until(lambda _: condition())

        def open(self, url):
            browser.get(url)
            self.ready()

        def ready(self):
            self.until(lambda: self.find("#make").is_enabled())

        def press(self, *keys, holding=()):
            chain = ActionChains(browser)
            for key in holding:
                chain.key_down(key)
            chain.send_keys(*keys)
            for key in holding:
                chain.key_up(key)
            chain.perform()

        def focused(self):
            return browser.switch_to.active_element.get_attribute("id")

        def script(self, text, *values):
            return browser.execute_script(text, *values)

        def saved(self):
            """The bytes that the link saves, and their name."""
            bytes_of = """
                const done = arguments[1];
                fetch(arguments[0]).then((r) => r.blob()).then((blob) => {
                  const reader = new FileReader();
                  reader.onload = () => done(reader.result.split(",")[1]);
                  reader.readAsDataURL(blob);
                });"""
            link = self.find("#save")
            data = browser.execute_async_script(bytes_of, link.get_attribute("href"))
            return base64.b64decode(data), link.get_attribute("download")

        def resize(self, width):
            screen = {"width": width, "height": 800, "deviceScaleFactor": 1}
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride", {**screen, "mobile": False}
            )

        def errors(self):
            return [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]

    page = Page()
    page.browser = browser
    yield page
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_in_a_browser(driven, model):
    with LocalServer(IconPage(model, name="<b>tiny</b>")) as server:
        driven.open(server.url)
        assert "<b>tiny</b>: 24 by 16 pixels" in driven.find("#note").text
        driven.script("document.querySelector('#steps').value = 4")
        driven.find("#make").click()
        driven.until(lambda: driven.find("#caption").text.startswith("Seed"))
        seed = int(driven.find("#seed").get_attribute("value"))
        png, name = driven.saved()
        assert png == make_icon(model, seed, 4) and name == f"icon-{seed}-4.png"
        driven.find("#renew").click()
        driven.script("document.querySelector('#seed').value = 12")
        driven.find("#wish-0").send_keys("red")
        driven.find("#make").click()
        driven.until(lambda: driven.find("#caption").text.startswith("Seed 12,"))
        assert driven.saved()[0] == make_icon(model, 12, 4, attributes={"hair": "red"})
        # The icon before it is brought back, and all of it in the other language.
        driven.find("#recent li:last-child button").click()
        driven.until(lambda: driven.find("#caption").text.startswith(f"Seed {seed},"))
        assert driven.saved()[0] == png
        driven.find("#language").click()
        assert driven.find("#make").text == "アイコンを作る"
        assert driven.find("#caption").text.startswith(f"シード {seed}、")
        driven.find("#language").click()
        assert driven.errors() == []


@pytest.mark.parametrize("width", [360, 1280])
def test_a_server_that_dies_loses_nothing_that_the_page_shows(driven, model, width):
    driven.resize(width)
    with LocalServer(IconPage(model, name=f"run {width}")) as server:
        driven.open(server.url)
        assert driven.script("return document.documentElement.scrollWidth") <= width
        # By keyboard alone.
        driven.script("document.querySelector('#theme').focus()")
        driven.press(driven.keys.TAB)
        assert driven.focused() == "make"
        driven.press(driven.keys.TAB, driven.keys.TAB, driven.keys.TAB)
        assert driven.focused() == "seed"
        driven.press("a", holding=[driven.keys.CONTROL])
        driven.press("12", driven.keys.TAB, driven.keys.SPACE)
        assert not driven.find("#renew").is_selected()
        driven.press(driven.keys.TAB, driven.keys.END, driven.keys.ARROW_LEFT)
        driven.press(driven.keys.ENTER)
        driven.until(lambda: driven.find("#caption").text.startswith("Seed 12,"))
        assert violations(driven.browser) == []
        picture = driven.find("#picture").get_attribute("src")
        port = server.port
    driven.find("#make").click()
    driven.until(lambda: "server does not answer" in driven.find("#toast").text)
    assert driven.find("#picture").get_attribute("src") == picture
    assert driven.find("#caption").text.startswith("Seed 12,")
    with LocalServer(IconPage(model, name=f"run {width}"), port=port) as server:
        driven.open(server.url)  # what was made is asked for once more
        driven.until(lambda: driven.find("#caption").text.startswith("Seed 12,"))
        assert driven.find("#picture").get_attribute("src") == picture
        assert driven.find("#seed").get_attribute("value") == "12"
        assert not driven.find("#renew").is_selected()
    driven.errors()  # the requests that nobody answered
