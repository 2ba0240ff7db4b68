import json

import numpy as np
import pytest

from facescore.boxes import Face
from facescore.detector.folder import detect_folder, numbered_folder
from facescore.detector.results import FOUND
from facescore.labels import read_labels, read_predictions
from illustkit.images import read_image, write_image
from illustkit.tables import read_table

BOX = (16.0, 16.0, 48.0, 48.0)


def bright(image):
    """Finds one face in a picture that is not black."""
    return [Face(BOX, 0.75)] if image.any() else []


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    write_image(folder / "a" / "1.png", np.full((64, 64, 3), 200, np.uint8))
    write_image(folder / "2.bmp", np.zeros((64, 64, 3), np.uint8))
    return folder


def files_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*"))


def test_a_folder_is_written_as_it_was_asked_for(pictures, tmp_path):
    out = tmp_path / "out"
    kinds = {"save": True, "save_txt": True, "save_crop": True}
    results = dict(detect_folder(pictures, bright, out, **kinds))
    assert results == {pictures / "2.bmp": [], pictures / "a/1.png": bright(np.ones(1))}
    assert results[pictures / "a/1.png"].image == pictures / "a/1.png"
    assert files_in(out) == [
        *("2.png", "a/1.png", "crops/a/1-0.png"),
        *("faces.csv", "faces.json", "labels/2.txt", "labels/a/1.txt"),
    ]
    assert tuple(read_image(out / "a/1.png")[16, 30]) == FOUND
    boxes = read_labels(out / "labels/a/1.txt", (64, 64))
    np.testing.assert_allclose(boxes, [BOX], atol=1e-3)
    assert len(read_labels(out / "labels/2.txt", (64, 64))) == 0
    assert json.loads((out / "faces.json").read_text()) == [
        {"file": "2.bmp", "width": 64, "height": 64, "faces": []},
        {
            **{"file": "a/1.png", "width": 64, "height": 64},
            "faces": [{"box": list(BOX), "confidence": 0.75}],
        },
    ]
    ((_, row),) = read_table(out / "faces.csv", ["file", "left", "confidence"])
    assert (row["file"], row["right"], row["confidence"]) == ("a/1.png", "48.0", "0.75")
    list(detect_folder(pictures, bright, tmp_path / "c", save_conf=True))
    _, confidence = read_predictions(tmp_path / "c/labels/a/1.txt", (64, 64))
    assert confidence == pytest.approx(0.75, abs=1e-4)
    with pytest.raises(ValueError, match="output=None"):
        next(detect_folder(pictures, bright, save=True))


def test_what_was_done_is_passed_over_and_stays_in_the_tables(pictures, tmp_path):
    out, skipped = tmp_path / "out", []
    first = next(iter(detect_folder(pictures, bright, out, save=True)))
    assert first[0].name == "2.bmp"  # stopped after one: what was found is kept
    assert len(json.loads((out / "faces.json").read_text())) == 1
    again = dict(detect_folder(pictures, bright, out, save=True, skipped=skipped))
    assert list(again) == [pictures / "a/1.png"] and skipped == [pictures / "2.bmp"]
    assert len(json.loads((out / "faces.json").read_text())) == 2
    assert not dict(detect_folder(pictures, bright, out, skipped=skipped))
    assert len(dict(detect_folder(pictures, bright, out, save_crop=True))) == 1
    assert len(dict(detect_folder(pictures, bright, out, overwrite=True))) == 2
    # A label may have been corrected by hand: nothing replaces it unasked.
    label = out / "labels" / "2.txt"
    label.parent.mkdir()
    label.write_text("0 0.5 0.5 0.1 0.1\n")
    (out / "faces.json").unlink()
    list(detect_folder(pictures, bright, out, save_txt=True, skipped=skipped))
    assert skipped[-1] == pictures / "2.bmp" and "0.1" in label.read_text()
    (out / "faces.json").write_text('{"mine": 1}')
    with pytest.raises(ValueError, match="is not by facescore detect"):
        next(detect_folder(pictures, bright, out))


def test_drawn_pictures_are_not_searched_and_replace_none(pictures):
    out = pictures / "found"
    for folder in (out, pictures / "runs" / "predict", pictures / "runs" / "predict2"):
        found = [path for path, _ in detect_folder(pictures, bright, folder, save=True)]
        if folder == out:
            assert len(found) == 2
        else:
            assert not any("runs" in path.parts for path in found)
    with pytest.raises(ValueError, match="no pictures here but those in"):
        only = write_image(pictures / "b" / "out" / "1.png", read_image(out / "2.png"))
        next(detect_folder(only.parents[1], bright, only.parent))
    before = (pictures / "a" / "1.png").read_bytes()
    with pytest.raises(ValueError, match="would replace the picture itself"):
        next(detect_folder(pictures, bright, pictures, save=True))
    assert (pictures / "a" / "1.png").read_bytes() == before


def test_names_that_would_be_one_file_are_refused(pictures, tmp_path):
    write_image(pictures / "2.png", np.zeros((8, 8, 3), np.uint8))
    out = tmp_path / "out"
    for kind in ("save", "save_txt", "save_crop"):  # 2.bmp is drawn as 2.png
        with pytest.raises(
            ValueError, match="2.bmp and 2.png would be saved under one"
        ):
            next(detect_folder(pictures, bright, out, **{kind: True}))
    assert not out.exists()
    assert len(dict(detect_folder(pictures, bright, out))) == 3  # tables name both


def test_folders_are_numbered(tmp_path):
    names = []
    for _ in range(3):
        folder = numbered_folder(tmp_path / "runs")
        assert not folder.exists()
        folder.mkdir(parents=True)
        names.append(folder.name)
    assert names == ["predict", "predict2", "predict3"]
