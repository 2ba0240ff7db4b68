import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from facescore.boxes import Face
from facescore.ranking.output import write_gallery
from facescore.ranking.rank import RankedPicture
from illustkit.images import write_image
from tests.axe import violations
from tests.waiting import until

ATTACK = "<img src=x onerror=document.title='hit'>.png"
NAMES = [
    ATTACK,
    "</script><script>document.title='hit'<!--.png",
    "\"q' & {{data}}#?%41",
]


def ranked(n=40):
    """n pictures with a face, one without, one broken; the second looks like the first.

    The score of picture i is 5 - i / 10.
    """
    shown = {"width": 200, "height": 100, "thumbnail": "thumbnails/a.jpg"}
    names = [*NAMES, *(f"picture {i}.png" for i in range(len(NAMES), n))]
    pictures = []
    for i, name in enumerate(names[:n]):
        faces = [
            Face((20, 10, 60, 50), 0.9, 5 - i / 10),
            Face((100, 0, 200, 100), 1, 1),
        ]
        pictures.append(RankedPicture(name, faces, 5 - i / 10, i + 1, **shown))
    pictures[0].alike = pictures[1].alike = 2
    pictures[1].duplicate_of = pictures[0].file
    pictures.append(RankedPicture("none.png", **shown))
    pictures.append(RankedPicture("broken.png", error="is <b>empty</b>"))
    return pictures


class Page(HTMLParser):
    """Collects elements and the text of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        tag, attributes = (self.elements or [(None, {})])[-1]
        if tag in ("script", "style") and data.strip():
            self.texts.setdefault((tag, attributes.get("type")), []).append(data)


def test_names_are_data_and_nothing_comes_from_elsewhere(tmp_path):
    pictures = ranked()
    pictures.append(RankedPicture(os.fsdecode(b"caf\xe9.png"), error="odd"))
    path = write_gallery(tmp_path / "out", pictures, tmp_path / "my pictures")
    page = Page(path.read_text("utf-8"))
    (data,) = page.texts["script", "application/json"]
    entries = json.loads(data)["pictures"]
    assert [e["file"] for e in entries] == [p.file for p in pictures]
    for entry, picture in zip(entries, pictures, strict=True):
        wanted = "./../my pictures/" + picture.file
        assert unquote(entry["link"], errors="surrogateescape") == wanted
        assert not set(entry["link"]) & set("<>\"'#?& {")
    assert entries[0]["faces"][0] == [0.1, 0.1, 0.3, 0.5, 0.9, 5.0]
    assert entries[1]["group"] == entries[0]["group"] == 0 and entries[1]["duplicate"]

    # Two scripts, the data and the page's own, which alone may run, by its digest.
    (script,) = page.texts["script", None]
    (style,) = page.texts["style", None]
    assert [tag for tag, _ in page.elements].count("script") == 2
    (policy,) = (e["content"] for _, e in page.elements if e.get("http-equiv"))
    for kind, text in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert not any(name.startswith("on") for _, e in page.elements for name in e)
    assert not re.search(
        r"https?://|innerHTML|insertAdjacentHTML|eval\(", script + style
    )


@pytest.fixture
def gallery(browser, tmp_path):
    """Opens a page of n pictures."""

    def open_page(n):
        output, image = tmp_path / "out", np.full((100, 200, 3), 120, np.uint8)
        write_image(output / "thumbnails" / "a.jpg", image)
        for name in NAMES:
            image = np.full((100, 200, 3), 50, np.uint8)
            if "/" not in name:
                data = write_image(tmp_path / "one.png", image).read_bytes()
                (tmp_path / "pictures").mkdir(exist_ok=True)
                (tmp_path / "pictures" / name).write_bytes(data)
        page = write_gallery(output, ranked(n), tmp_path / "pictures")
        browser.get(page.as_uri())
        return browser

    return open_page


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def put(browser, name, value):
    browser.execute_script(
        "const e = document.getElementById(arguments[0]);"
        "e[e.type === 'checkbox' ? 'checked' : 'value'] = arguments[1];"
        "e.dispatchEvent(new Event('input'));",
        name,
        value,
    )


def count_is(browser, text):
    until(lambda: find(browser, "#count")[0].text.startswith(text))


def test_the_page_at_work(gallery):
    browser = gallery(40)
    count_is(browser, "40 pictures")
    cards = find(browser, ".card")
    assert cards[0].text.splitlines() == ["5.00", "2 alike", "#1" + ATTACK]
    box, image = find(browser, ".card .box")[0].rect, find(browser, ".card img")[0].rect
    assert (box["x"] - image["x"]) / image["width"] == pytest.approx(0.1, abs=0.01)
    assert box["height"] / image["height"] == pytest.approx(0.4, abs=0.02)

    put(browser, "least", "4.45")
    count_is(browser, "6 pictures")  # 5.0 to 4.5
    assert len(find(browser, ".card")) == 6
    put(browser, "single", True)
    count_is(browser, "5 pictures")
    put(browser, "least", "0")
    put(browser, "search", "PICTURE 1")
    count_is(browser, "10 pictures")  # 10 to 19
    put(browser, "search", "")
    put(browser, "view", "no face")
    count_is(browser, "1 picture")
    put(browser, "view", "broken")
    until(lambda: find(browser, ".why"))
    assert find(browser, ".why")[0].text == "is <b>empty</b>"
    put(browser, "single", False)
    put(browser, "view", "all")
    count_is(browser, "42 pictures")
    assert violations(browser) == []

    # Enlarged: the picture itself; the second is missing, and its thumbnail serves.
    find(browser, ".card")[0].click()
    shown = "return document.querySelector('#large img').naturalWidth"
    until(lambda: browser.execute_script(shown) == 200)
    assert find(browser, "#about h2")[0].text.startswith("5.00")
    assert [b.text for b in find(browser, "#large .box b")] == ["5.00", "1.00"]
    assert not find(browser, "#about p.soft")
    assert violations(browser) == []
    find(browser, "#next")[0].click()
    until(lambda: "thumbnail" in find(browser, "#about")[0].text)
    assert find(browser, "#about h2")[0].text.startswith("4.90")
    find(browser, "#about h3 ~ p button")[0].click()
    count_is(browser, "2 pictures")

    assert browser.title == "facescore – gallery"
    errors = [line["message"] for line in browser.get_log("browser")]
    assert all("ERR_FILE_NOT_FOUND" in message for message in errors), errors


def test_a_selection_between_two_thresholds_is_sorted_picked_and_saved(
    gallery, tmp_path
):
    browser = gallery(40)
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    place = {"behavior": "allow", "downloadPath": str(tmp_path / "saved")}
    browser.execute_cdp_cmd("Page.setDownloadBehavior", place)
    put(browser, "least", "2.05")
    put(browser, "most", "2.35")
    count_is(browser, "3 pictures, from 2.05 to 2.35")  # 2.3, 2.2, 2.1
    put(browser, "sort", "worst")
    ranks = "return [...document.querySelectorAll('.name b')].map((b) => b.textContent)"
    until(lambda: browser.execute_script(ranks) == ["#30", "#29", "#28"])
    find(browser, ".pick")[0].click()
    find(browser, ".card")[1].send_keys("p")  # by keyboard
    find(browser, "#table")[0].click()
    find(browser, "#names")[0].click()
    saved = {"picked.txt": "picture 28.png\npicture 29.png\n"}
    lines = "rank,file,score", "29,picture 28.png,2.2", "30,picture 29.png,2.1", ""
    saved["picked.csv"] = "\n".join(lines)
    for name, text in saved.items():
        path = tmp_path / "saved" / name
        until(lambda path=path: path.exists())
        until(lambda path=path, text=text: path.read_text() == text)

    # What was picked is still so. The browser writes its store when it has time, and a
    # page that reads it too early stays without: it is loaded anew.
    def kept():
        browser.refresh()
        return find(browser, "#view option:last-child")[0].text == "Picked (2)"

    until(kept)


def test_ten_thousand(gallery):
    browser = gallery(10_000)
    put(browser, "view", "all")
    count_is(browser, "10,002 pictures")
    assert 5 < len(find(browser, ".card")) < 100
    browser.execute_script("document.getElementById('scroll').scrollTop = 1e9")
    last = "return document.querySelector('.cell:last-child .name').textContent"
    until(lambda: browser.execute_script(last) == "broken.png")
    assert 5 < len(find(browser, ".card")) < 100
