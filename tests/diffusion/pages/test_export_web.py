import base64
import gzip
import io
import json

import numpy as np
import pytest
from PIL import Image

from diffusion.pages.export_web import (
    GLUE,
    SCRIPT,
    VERSION,
    WASM,
    export_web,
    runtime_files,
)
from diffusion.sampling.exporting import (
    describe_file,
    network_of,
    sampler_graph,
    sampling_table,
)
from diffusion.watermark import add_watermark, enlarged, read_note
from illustkit.errors import UserError
from illustkit.exported import ExportedNetwork
from illustkit.files import cache_folder

STEPS = 2


@pytest.fixture
def runtime(tmp_path):
    """A folder that looks like npm's package."""
    folder = tmp_path / "onnxruntime-web" / "dist"
    folder.mkdir(parents=True)
    for name in (SCRIPT, GLUE, WASM):
        (folder / name).write_bytes(name.encode())
    return folder.parent


def unpacked(script, name):
    text = json.loads(script.read_text().split("=", 1)[1].strip().rstrip(";"))[name]
    return gzip.decompress(base64.b64decode(text))


def test_a_page_holds_model_runtime_and_licences(runtime, tmp_path):
    page = export_web("default", tmp_path / "site", steps=STEPS, runtime=runtime)
    site = page.parent
    assert unpacked(site / "runtime.js", "wasm") == WASM.encode()
    assert "MIT License" in (site / "LICENCES.txt").read_text()
    settings, arrays = network_of("default")
    table = sampling_table(settings, STEPS)
    about = json.loads((site / "model.js").read_text().split("=", 1)[1].rstrip(" ;\n"))
    assert about["about"]["attributes"] == settings["attributes"]
    graph = sampler_graph(settings, arrays, table, about["about"])
    assert unpacked(site / "model.js", "graph") == graph
    assert describe_file(settings, STEPS).items() <= about["about"].items()
    with pytest.raises(UserError, match="index.html: exists already"):
        export_web("default", site, runtime=runtime)
    (runtime / "dist" / WASM).unlink()
    with pytest.raises(UserError, match=f"{WASM} is missing"):
        export_web("default", tmp_path / "other", runtime=runtime)
    assert not (tmp_path / "other").exists()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page of the package's model, with the runtime of an earlier download."""
    if not (cache_folder() / f"onnxruntime-web-{VERSION}.tgz").is_file():
        pytest.skip("needs onnxruntime-web, which `export-web` fetches once")
    runtime_files()
    return export_web("default", tmp_path_factory.mktemp("site"), steps=STEPS)


@pytest.mark.large
def test_the_browser_s_icon_is_python_s(browser, site, tmp_path):  # noqa: F811
    pytest.importorskip("onnxruntime")
    browser.set_script_timeout(240)
    browser.get(site.as_uri())
    ready = "document.getElementById('make').disabled === false"
    browser.execute_async_script(
        f"const end = arguments[0]; const look = () => {ready} ? end() : "
        "setTimeout(look, 50); look()"
    )
    settings, arrays = network_of("default")
    table = sampling_table(settings, STEPS)
    path = tmp_path / "icon.onnx"
    path.write_bytes(
        sampler_graph(settings, arrays, table, describe_file(settings, STEPS))
    )
    noise = np.random.default_rng(1).standard_normal((1, 64, 64, 3), "float32")
    wishes = np.zeros((1, sum(map(len, settings["attributes"].values()))), "float32")
    wishes[0, 3] = 1  # hair is the first attribute
    name, values = next(iter(settings["attributes"].items()))
    guidance = np.full(1, 3, "float32")
    icons = ExportedNetwork(path)(noise=noise, attributes=wishes, guidance=guidance)
    expected = add_watermark(enlarged(icons["icons"][0]))
    pixels = browser.execute_async_script(
        "const end = arguments[2];"
        "const noise = new Float32Array(Uint8Array.from(atob(arguments[0]),"
        " (l) => l.charCodeAt(0)).buffer);"
        "makePixels(noise, arguments[1]).then((rgb) => end(Array.from(rgb)))",
        base64.b64encode(noise.tobytes()).decode(),
        {name: values[3]},
    )
    found = np.array(pixels).reshape(expected.shape)
    assert np.abs(found - expected.astype(int)).max() <= 2


@pytest.mark.large
def test_the_page_is_used_by_keyboard_and_saves_a_marked_icon(browser, site, tmp_path):  # noqa: F811
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.set_script_timeout(240)
    browser.get(site.as_uri())
    wait = (
        "const end = arguments[1]; const look = () => document.getElementById("
        "'caption').textContent.match(arguments[0]) ? end() : setTimeout(look, 50);"
        "look()"
    )
    browser.execute_async_script(wait, "Ready")
    labels = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "label")]
    assert "Hair" in labels and "Expression" in labels
    browser.find_element(By.ID, "renew").click()
    button = browser.find_element(By.ID, "make")
    button.send_keys(Keys.ENTER)
    browser.execute_async_script(wait, r"^Seed 3407, \d")
    saved = browser.execute_async_script(
        "const end = arguments[0];"
        "const read = new FileReader(); read.onload = () => end(read.result);"
        "show(enlarged(new Uint8Array(64 * 64 * 3)))"
        ".then((blob) => read.readAsDataURL(blob))"
    )
    png = base64.b64decode(saved.split(",", 1)[1])
    path = tmp_path / "icon.png"
    path.write_bytes(png)
    assert read_note(path) == "AI-generated"
    assert Image.open(io.BytesIO(png)).size == (128, 128)
    assert browser.switch_to.active_element.get_attribute("id") == "make"
    browser.set_window_size(360, 800)
    assert browser.execute_script("return document.body.scrollWidth") <= 360
    browser.set_window_size(1200, 900)
    errors = [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert not errors
