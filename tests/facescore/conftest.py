"""Headless Chromium for the tests of pages; they are skipped without it."""

import shutil

import numpy as np
import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--disable-dev-shm-usage"),
    "--window-size=1200,900",
)


@pytest.fixture
def colours(monkeypatch):
    """Let pictures' features be how near they are to each of some greys."""

    def features_of(pictures):
        greys = np.arange(0, 256, 10)
        means = np.array([np.mean(picture) for picture in pictures])
        return np.exp(-(((means[:, None] - greys) / 60) ** 2))

    monkeypatch.setattr("facescore.scorer.transfer.features_of", features_of)


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
    service = webdriver.ChromeService(driver)
    with webdriver.Chrome(options=options, service=service) as browser:
        yield browser
