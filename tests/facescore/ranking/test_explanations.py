import json
import os
import re

import keras
import numpy as np
import pytest

from facescore.boxes import Face
from facescore.ranking.explanations import draw_veil, explain_pictures
from facescore.scorer.explanation import Explainer, Explanation
from facescore.scorer.model import Scorer
from facescore.scorer.networks import SmallNet
from illustkit.errors import UserError
from illustkit.images import read_image, write_image
from tests.axe import violations
from tests.facescore.rankings import find_bright, make_folder, run


@pytest.fixture(scope="module")
def scorer():
    keras.utils.set_random_seed(0)
    return Scorer(SmallNet(16), margin=(0.5, 0.25, 0.0))


def shot(seed):
    return np.random.default_rng(seed).integers(0, 256, (40, 40, 3), "uint8")


def detect(image):
    return [Face((4, 10, 20, 30), 0.9), Face((20, 10, 36, 30), 0.5)]


def test_every_face_gets_a_sheet_and_a_place_on_the_page(tmp_path, scorer):
    folder = tmp_path / "pictures"
    for name in ("a.png", "sub/a.png", "b <i>&.png"):
        write_image(folder / name, shot(len(name)))
    (folder / "broken.png").write_bytes(b"no picture")
    single = tmp_path / "a.png"
    write_image(single, shot(9))
    output = tmp_path / "out"
    options = {"scorer": scorer, "detector": detect, "progress": False}
    report = explain_pictures([folder, single], output, **options)
    names = [path.relative_to(output).as_posix() for path in report.sheets]
    assert names == [
        *("a_0.png", "a_1.png", "b <i>&_0.png", "b <i>&_1.png"),
        *("sub/a_0.png", "sub/a_1.png", "a-2_0.png", "a-2_1.png"),
    ]
    assert [path.name for path, _ in report.left_out] == ["broken.png"]
    page = report.page.read_text("utf-8")
    scores = [float(s) for s in re.findall(r"<b>(-?[\d.]+)</b>", page)]
    assert len(scores) == 8 and scores == sorted(scores, reverse=True)
    assert "b &lt;i&gt;&amp; 1" in page and "<i>&" not in page
    assert "script-src 'none'" in page and "<script" not in page
    assert "aria-label" not in page  # a link's name is what is seen of it (WCAG 2.5.3)
    for source in re.findall(r'(?:src|href)="\./([^"]+)"', page):
        assert os.path.exists(
            output
            / source.replace("%20", " ")
            .replace("%3C", "<")
            .replace("%3E", ">")
            .replace("%26", "&")
        )
    first = Explainer(scorer)
    expected = first(read_image(output / "a_0_face.png"))
    np.testing.assert_array_equal(read_image(output / "a_0.png"), expected.sheet())


def test_the_page_breaks_no_rule_of_wcag(browser, tmp_path, scorer):
    write_image(tmp_path / "a.png", shot(9))
    options = {"scorer": scorer, "detector": detect, "progress": False}
    report = explain_pictures([tmp_path / "a.png"], tmp_path / "out", **options)
    browser.get(report.page.as_uri())
    assert violations(browser) == []


def test_sheets_stay_out_of_the_pictures(tmp_path, scorer):
    write_image(tmp_path / "a.png", shot(0))
    with pytest.raises(UserError, match="outside that of the pictures"):
        explain_pictures([tmp_path], tmp_path / "out", scorer=scorer, detector=detect)
    with pytest.raises(UserError, match="no such file"):
        explain_pictures([tmp_path / "b"], tmp_path / "out", scorer=scorer)


def test_a_veil_is_red_where_the_score_rises_and_blue_where_it_falls():
    maps = np.array([[[0.5, 0.0, 0.0]], [[0.0, 1.0, 0.0]]], "float32")
    crop = np.zeros((1, 3, 3), "uint8")
    veil = draw_veil(Explanation(crop, 3.0, ("lower", "higher"), maps))
    blue, red, nothing = veil[0].tolist()
    assert blue[2] > 200 > 50 > blue[0] and red[0] > 200 > 50 > red[2]
    assert red[3] == 190 and 0 < blue[3] < 100 and nothing[3] == 0


def test_a_gallery_explains_the_best(tmp_path, scorer):
    folder = make_folder(tmp_path)
    ranking = run(folder, scorer=scorer, explain=2)
    data = re.search(
        r'<script type="application/json" id="data">(.*?)</script>',
        (ranking.output / "gallery.html").read_text("utf-8"),
        re.DOTALL,
    )[1]
    entries = {entry["file"]: entry for entry in json.loads(data)["pictures"]}
    for picture in ranking.pictures[:2]:
        why = entries[picture.file]["why"]
        assert len(why) == len(picture.faces)
        for (path, *region), face in zip(why, picture.faces, strict=True):
            assert (ranking.output / path).exists()
            left, top, right, bottom = face.box
            # margin (0.5, 0.25, 0): 8×9 pixels become 12×13.5, then a square of 13.5
            middle = (left + right) / 2
            expected = (middle - 6.75) / 16, -4.5 / 20, (middle + 6.75) / 16, 9 / 20
            np.testing.assert_allclose(region, expected, atol=1e-4)
    assert all(entries[p.file]["why"] is None for p in ranking.pictures[2:])
    before = {p: p.stat().st_mtime_ns for p in (ranking.output / "explained").iterdir()}
    run(folder, scorer=scorer, explain=2)
    assert before == {p: p.stat().st_mtime_ns for p in before}
    with pytest.raises(UserError, match="explained"):
        run(folder, output=tmp_path / "other", explain=2)
    assert find_bright(read_image(folder / "two.png"))
