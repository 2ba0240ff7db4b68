"""The page of new icons, as a program and in headless Chromium.

Skipped where Gradio, Chromium or selenium is missing.
"""

import base64
import io
import json
import os
import shutil
import socket
import sys
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
from diffusion.pages import page
from diffusion.pages.page import WAITING, build_page, make_icon, most_steps
from diffusion.pages.serve import launch
from diffusion.sampling.generate import sample
from illustkit.errors import UserError
from tests.diffusion.slim import Slim

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--disable-dev-shm-usage"),
    "--window-size=1000,1000",
)


@pytest.fixture(scope="module")
def model():
    network = {"image_size": (24, 16), "dim": 8, "dim_mults": (1, 2)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion.network.model, "UNet", Slim)
        return diffusion.network.model.Diffuser(network, timesteps=60, objective="v")


@pytest.fixture(scope="module")
def address(model):
    pytest.importorskip("gradio", minversion="6", reason="needs Gradio 6")
    page = build_page(model, name="<b>tiny</b>")
    yield launch(page)
    page.close(verbose=False)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    pytest.importorskip("selenium", reason="needs selenium")
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    service = webdriver.ChromeService(driver)
    with webdriver.Chrome(options=options, service=service) as browser:
        yield browser


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


def test_a_model_of_too_few_timesteps_is_told(monkeypatch):
    pytest.importorskip("gradio", minversion="6", reason="needs Gradio 6")
    monkeypatch.setattr(diffusion.network.model, "UNet", Slim)
    network = {"image_size": (16, 16), "dim": 8, "dim_mults": (1, 2)}
    model = diffusion.network.model.Diffuser(network, timesteps=1)
    with pytest.raises(UserError, match="1 timesteps are too few"):
        build_page(model)


def test_no_more_steps_are_offered_than_the_model_can_take(model):
    assert 1 < most_steps(model) < 60
    png = make_icon(model, 0, most_steps(model), watermark=None)
    assert opened(png).size == (24, 16)


def test_the_page_offers_what_the_model_was_taught(monkeypatch):
    pytest.importorskip("gradio", minversion="6", reason="needs Gradio 6")
    monkeypatch.setattr(diffusion.network.model, "UNet", Slim)
    taught = {"hair": ["blue", "red"], "eye_colour": ["green", "grey"]}
    model = diffusion.network.model.Diffuser(
        {"image_size": (24, 16), "dim": 8}, timesteps=60, attributes=taught
    )
    components = build_page(model).config["components"]
    offered = {
        each["props"]["label"]: [value for value, _ in each["props"]["choices"]]
        for each in components
        if each["type"] == "dropdown"
    }
    assert offered == {
        "Hair": ["any", "blue", "red"],
        "Eye colour": ["any", "green", "grey"],
    }
    wish = {"hair": "red"}
    png = make_icon(model, 7, 3, attributes=wish, watermark=None)
    options = {"sampler": "dpm++", "steps": 3, "seed": 7, "progress": False}
    (expected,) = sample(model, 1, attributes=wish, **options)
    np.testing.assert_array_equal(np.asarray(opened(png)), expected)
    assert (sample(model, 1, **options)[0] != expected).any()


def test_without_gradio_the_command_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    app = typer.Typer()
    app.command()(serve_command)
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert result.exit_code == 2
    assert "pip install 'gradio>=6'" in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_taken_port_is_told(model, address):
    port = int(address.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(ValueError, match=f"Port {port} cannot be used"):
        launch(build_page(model), port=port)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_no_proxy_stands_between_the_page_and_this_machine(model, monkeypatch, proxy):
    pytest.importorskip("gradio", minversion="6", reason="needs Gradio 6")
    names = "http_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"
    for name in names:
        monkeypatch.setenv(name, proxy)
    page = build_page(model)
    try:
        address = launch(page)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert opener.open(address, timeout=20).status == 200
    finally:
        page.close(verbose=False)
    assert {os.environ[name] for name in names} == {proxy}


def test_it_listens_on_loopback_alone(address):
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    assert host == "127.0.0.1"
    # A server on all interfaces would answer on this one too.
    with socket.socket() as other, pytest.raises(OSError):
        other.settimeout(1)
        other.connect(("127.0.0.2", int(port)))


def test_nothing_can_be_uploaded(address):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n\r\n'
        + b"0" * 5000
        + b"\r\n--x--\r\n"
    )
    request = urllib.request.Request(
        f"{address}gradio_api/upload",
        body,
        {"Content-Type": "multipart/form-data; boundary=x"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    assert refused.value.code == 413


@pytest.mark.parametrize("seed", [None, "", -1, 1.5, 99_999])
def test_a_slip_is_said_on_the_page_and_not_in_the_terminal(address, capfd, seed):
    session = f"slip-{seed}"
    data = {"data": [seed, 2, False], "fn_index": 0, "session_hash": session}
    request = urllib.request.Request(
        f"{address}gradio_api/queue/join",
        json.dumps(data).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=5).close()
    events = f"{address}gradio_api/queue/data?session_hash={session}"
    with urllib.request.urlopen(events, timeout=20) as stream:
        (line,) = (line for line in stream if b"process_completed" in line)
    said = json.loads(line.removeprefix(b"data: "))
    received = "nothing" if seed is None else seed
    expected = f"seed is a whole number from 0 to 9999. Received: {received}"
    assert said["output"]["error"] == expected and not said["success"]
    assert "Traceback" not in "".join(capfd.readouterr())


def test_the_queue_is_bounded_and_one_icon_is_made_at_a_time(address, monkeypatch):
    go_on, running = threading.Event(), []

    def slow(model, seed, steps, **options):
        running.append(seed)
        go_on.wait(20)
        return b""

    def click():
        data = {"data": [1, 2, False], "fn_index": 0, "session_hash": "a"}
        request = urllib.request.Request(
            f"{address}gradio_api/queue/join",
            json.dumps(data).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            return urllib.request.urlopen(request, timeout=5).status
        except urllib.error.HTTPError as error:
            return error.code

    monkeypatch.setattr(page, "make_icon", slow)
    answers = [click() for _ in range(WAITING + 12)]
    at_once = len(running)
    go_on.set()
    # One or two have left the queue to be made by the time that it is full.
    assert at_once <= 1 and WAITING <= answers.count(200) <= WAITING + 2
    assert set(answers) == {200, 503}


def test_the_page_in_a_browser(browser, address, model, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def find(selector):
        return browser.find_elements(By.CSS_SELECTOR, selector)

    def until(condition):
        # It ends as soon as the condition holds: a busy machine may take long.
        return WebDriverWait(browser, 120, 0.05).until(lambda _: condition())

    def caption():
        texts = [element.text for element in find("#icon figcaption")]
        return texts[0] if texts else ""

    def click():
        before = caption()
        find("#make")[0].click()
        until(lambda: find("#icon img") and caption() != before)
        source = find("#icon img")[0].get_attribute("src")
        assert find("#icon a[download]")[0].get_attribute("href") == source
        words = caption().replace(",", "").split()
        return base64.b64decode(source.split(",")[1]), int(words[1]), int(words[2])

    def set_number(name, value):
        field = find(f"#{name} input[type=number]")[0]
        browser.execute_script(
            "arguments[0].value = arguments[1];"
            "for (const kind of ['input', 'change', 'blur'])"
            " arguments[0].dispatchEvent(new Event(kind, {bubbles: true}));",
            field,
            str(value),
        )
        until(
            lambda: (
                find(f"#{name} input[type=range]")[0].get_attribute("value")
                == str(value)
            )
        )

    browser.get(address)
    until(lambda: find("#make"))
    assert "“<b>tiny</b>”, 24 by 16 pixels" in find("#sheet .note")[0].text
    assert len(find("#seed input[type=range], #steps input[type=range]")) == 2
    set_number("steps", 4)
    png, seed, steps = click()
    assert steps == 4 and png == make_icon(model, seed, 4)
    assert opened(png).text["Description"] == "AI-generated"
    shown = find("#seed input[type=number]")[0]
    until(lambda: shown.get_attribute("value") == str(seed))
    drawn = {seed, click()[1], click()[1]}
    assert len(drawn) > 1  # three equal seeds of 10,000 are no chance

    find("#renew input")[0].click()
    set_number("seed", 12)
    png, seed, _ = click()
    assert seed == 12 and png == make_icon(model, 12, 4)
    shape = find("#icon img")[0].size
    assert shape["width"] / shape["height"] == pytest.approx(24 / 16, abs=0.02)
    assert browser.save_screenshot(str(tmp_path / "page.png"))

    asked = set()
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.add(message["params"]["request"]["url"])
    over_the_net = {url for url in asked if url.startswith(("http", "ws"))}
    assert len(over_the_net) > 5
    assert [url for url in over_the_net if not url.startswith(address)] == []
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_a_server_that_dies_loses_nothing_that_the_page_shows(browser, model, width):
    pytest.importorskip("gradio", minversion="6", reason="needs Gradio 6")
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.expected_conditions import staleness_of
    from selenium.webdriver.support.ui import WebDriverWait

    def find(selector):
        return browser.find_elements(By.CSS_SELECTOR, selector)

    def until(condition):
        return WebDriverWait(browser, 120, 0.05).until(lambda _: condition())

    def text(selector):
        return " ".join(element.text for element in find(selector))

    def press(*keys, holding=()):
        chain = ActionChains(browser)
        for key in holding:
            chain.key_down(key)
        chain.send_keys(*keys)
        for key in holding:
            chain.key_up(key)
        chain.perform()

    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    page = build_page(model, name=f"run {width}")
    address = launch(page)
    try:
        browser.get(address)
        until(lambda: find("#make") and find("#icon [aria-live=polite] figure"))
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
        # By keyboard alone: the button, and then each control in the order it is seen.
        press(Keys.TAB)
        assert browser.switch_to.active_element.get_attribute("id") == "make"
        outline = browser.switch_to.active_element.value_of_css_property("outline")
        assert "solid 2px" in outline
        press(*[Keys.TAB] * 5, Keys.SPACE)  # no new seed each time
        assert not find("#renew input")[0].is_selected()
        press(Keys.TAB, Keys.TAB, holding=[Keys.SHIFT])  # over the slider to the box
        press("a", holding=[Keys.CONTROL])
        press("12")
        press(*[Keys.TAB] * 3, holding=[Keys.SHIFT])
        assert browser.switch_to.active_element.get_attribute("id") == "make"
        press(Keys.ENTER)
        until(lambda: "Seed 12," in text("#icon figcaption"))
        picture = find("#icon img")[0].get_attribute("src")

        page.close(verbose=False)
        find("#make")[0].click()
        until(lambda: "Connection to the server was lost" in text(".toast-body"))
        assert find("#icon img")[0].get_attribute("src") == picture
        old = find("#make")[0]
        page = build_page(model, name=f"run {width}")
        port = int(address.rstrip("/").rsplit(":", 1)[1])
        assert launch(page, port=port) == address
        until(lambda: staleness_of(old)(browser))  # the page loads itself again
        until(lambda: "Seed 12," in text("#icon figcaption"))
        assert find("#icon img")[0].get_attribute("src") == picture
        assert find("#seed input[type=number]")[0].get_attribute("value") == "12"
        assert not find("#renew input")[0].is_selected()
        find("#renew input")[0].click()
        find("#make")[0].click()
        until(lambda: find("#icon img")[0].get_attribute("src") != picture)
    finally:
        page.close(verbose=False)
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
