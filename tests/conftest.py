import contextlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.waiting import until

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parents[1]
# Of headless Chromium, in which pages are tested; they are skipped without it.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--disable-dev-shm-usage"),
    # A busy machine is no hung one, and a page nobody looks at still draws its frames.
    *("--disable-gpu-watchdog", "--disable-hang-monitor"),
    *("--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows"),
    "--window-size=1200,900",
)
READY = "return document.readyState === 'complete'"


def pytest_addoption(parser):
    parser.addoption("--run-large", action="store_true", help="run the `large` tests")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--run-large"):
        skip = pytest.mark.skip(reason="large: run with --run-large")
        for item in items:
            if "large" in item.keywords:
                item.add_marker(skip)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # The first weights are random; the same seed for every test makes them repeatable.
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(0)


@contextlib.contextmanager
def running_eagerly():
    """Run TensorFlow eagerly: a few steps of a small network take half the time."""
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture
def eagerly():
    """As `running_eagerly`, for a whole test."""
    with running_eagerly():
        yield


@pytest.fixture(scope="session")
def real_data():
    """Return the folder of real illustrations: ILLUSTKIT_DATA, or ../shared/data."""
    folder = Path(os.environ.get("ILLUSTKIT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("needs real illustrations: set ILLUSTKIT_DATA to their folder")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})

    class Browser(webdriver.Chrome):
        # A busy browser answers while a large page is still being read: the page's
        # script has not run yet, and would undo what a test puts in.
        def get(self, url):
            super().get(url)
            self.loaded()

        def refresh(self):
            super().refresh()
            self.loaded()

        def loaded(self):
            until(lambda: self.execute_script(READY))

    service = webdriver.ChromeService(driver)
    with Browser(options=options, service=service) as browser:
        yield browser
