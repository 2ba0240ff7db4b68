import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from oppai.data.dataset import build_patches
from oppai.data.metadata import Entry


def noise(seed, size=(40, 30)):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def entry(name, boxes=((10, 5, 30, 25),), size=(40, 30), **kwargs):
    filepath = kwargs.pop("filepath", f"images/{name}")
    return Entry(name, filepath, 1, *size, tuple(boxes))


@pytest.fixture
def folder(tmp_path):
    """Three good pictures, and one of each kind that cannot be used."""
    root = tmp_path / "pictures"
    (root / "images").mkdir(parents=True)
    for seed, name in enumerate(["a.png", "b.png", "c.png"]):
        Image.fromarray(noise(seed)).save(root / "images" / name)
    grey = np.repeat(noise(9)[..., :1], 3, axis=2)
    Image.fromarray(grey).save(root / "images" / "grey.png")
    (root / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot much more")
    Image.fromarray(noise(5, (30, 40))).save(root / "images" / "turned.png")
    Image.fromarray(noise(6, (80, 60))).save(root / "images" / "double.png")
    return root


ENTRIES = [
    entry("a.png", [(10, 5, 30, 25), (0, 0, 8, 4)]),
    entry("gone.png"),
    entry("b.png", [(10, 5, 10, 25), (3.2, 4.6, 20.1, 15)]),
    entry("grey.png"),
    entry("broken.png"),
    entry("turned.png"),
    entry("double.png"),
    entry("c.png", []),
]


def build(root, cache, entries=ENTRIES, **kwargs):
    kwargs = {"size": 16, "minimum": 8, "progress": False, **kwargs}
    return build_patches(entries, root, cache=cache, **kwargs)


def test_patches_hold_the_pictures_and_the_report_what_was_left_out(folder, tmp_path):
    patches = build(folder, tmp_path / "cache")
    assert patches.names == ["a.png", "a.png", "b.png", "double.png"]
    assert isinstance(patches.patches.array, np.memmap) and len(patches) == 4
    assert patches.patches.shape == (4, 16, 16, 3)
    assert patches.boxes.dtype == np.int32
    report = patches.report
    assert (report.pictures, report.used, report.patches) == (8, 3, 4)
    assert {reason: list(names) for reason, names in report.left_out.items()} == {
        "missing": ["gone.png"],
        "empty box": ["b.png"],
        "grey": ["grey.png"],
        "broken": ["broken.png"],
        "other size": ["turned.png"],
        "no box": ["c.png"],
    }
    assert report.left_out["empty box"]["b.png"] == "1 of 2"
    text = str(report)
    assert "4 patches from 3 of 8 pictures" in text and "missing: 1 (gone.png)" in text
    broken = folder / "images" / "broken.png"
    assert f"Left out, broken: 1\n  broken.png: {broken}" in text
    # 1.5·20 = 30 round (20, 15) is the middle of the picture, brought to 16.
    a = noise(0)[:, 5:35].astype(float).mean(axis=(0, 1))
    np.testing.assert_allclose(patches.patches[0].mean(axis=(0, 1)), a, atol=1)
    assert patches.boxes[0].tolist() == [3, 3, 13, 13]
    # 1.5·8 = 12 in the corner; twice the size has twice the box.
    assert patches.boxes[1].tolist() == [0, 0, 11, 5]
    assert patches.boxes[3].tolist() == [3, 3, 13, 13]
    double = noise(6, (80, 60))[:, 10:70].astype(float).mean(axis=(0, 1))
    np.testing.assert_allclose(patches.patches[3].mean(axis=(0, 1)), double, atol=0.5)


def test_a_cache_that_fits_is_opened_again(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = build(folder, cache)
    before = np.array(first.patches)
    with monkeypatch.context() as patch:
        patch.setattr("oppai.data.dataset.cut_patch", None)  # nothing may be cut
        again = build(folder, cache)
    np.testing.assert_array_equal(again.patches, before)
    np.testing.assert_array_equal(again.boxes, first.boxes)
    assert (again.names, again.report) == (first.names, first.report)


def change_picture(folder, cache):
    path = folder / "images" / "a.png"
    Image.fromarray(255 - noise(0)).save(path)
    os.utime(path, (1, 1))


def add_picture(folder, cache):
    Image.fromarray(noise(8)).save(folder / "images" / "gone.png")


def cut_data(folder, cache):
    (data,) = cache.glob("*.npy")
    os.truncate(data, data.stat().st_size - 1)


def other_data(folder, cache):
    (data,) = cache.glob("*.npy")
    np.save(data, np.zeros((3, 16, 16, 3), np.uint8))


def drop_data(folder, cache):
    for data in cache.glob("*.npy"):
        data.unlink()


def cut_index(folder, cache):
    text = (cache / "patches.json").read_text()
    (cache / "patches.json").write_text(text[: len(text) // 2])


def empty_index(folder, cache):
    (cache / "patches.json").write_text("[]")


@pytest.mark.parametrize(
    "spoil",
    [
        change_picture,
        add_picture,
        cut_data,
        other_data,
        drop_data,
        cut_index,
        empty_index,
    ],
)
def test_a_cache_that_does_not_fit_is_built_anew(folder, tmp_path, spoil):
    build(folder, tmp_path / "cache")
    spoil(folder, tmp_path / "cache")
    patches = build(folder, tmp_path / "cache")
    fresh = build(folder, tmp_path / "fresh")
    np.testing.assert_array_equal(patches.patches, fresh.patches)
    assert patches.names == fresh.names and patches.report == fresh.report
    names = [path.name for path in (tmp_path / "cache").iterdir()]
    assert sorted(names)[1] == "patches.json" and len(names) == 2


def test_other_options_and_boxes_make_other_patches(folder, tmp_path):
    cache = tmp_path / "cache"
    assert build(folder, cache).patches.shape[1] == 16
    assert build(folder, cache, size=24).patches.shape[1] == 24
    before = build(folder, cache, size=24).boxes
    assert (build(folder, cache, size=24, scale=3).boxes != before).any()
    assert "grey.png" in build(folder, cache, grey=1.1).names
    moved = [entry("a.png", [(0, 0, 30, 20)])]
    assert build(folder, cache, moved).names == ["a.png"]


def test_a_build_that_breaks_leaves_nothing_that_looks_whole(
    folder, tmp_path, monkeypatch
):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("oppai.data.dataset.cut_patch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build(folder, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    assert len(build(folder, tmp_path / "cache")) == 4


def test_no_patch_at_all_is_an_error_that_says_why(folder, tmp_path):
    with pytest.raises(ValueError, match="no patch could be cut.*\n.*gone.png"):
        build(folder, tmp_path / "cache", [entry("gone.png")])
    with pytest.raises(ValueError, match="no such folder"):
        build(folder / "none", tmp_path / "cache")


def test_select_is_a_view(folder, tmp_path):
    patches = build(folder, tmp_path / "cache")
    whole = np.array(patches.patches)
    some = patches.select(["double.png", "a.png", "gone.png"])
    assert some.names == ["a.png", "a.png", "double.png"]
    np.testing.assert_array_equal(some.boxes, patches.boxes[[0, 1, 3]])
    np.testing.assert_array_equal(np.asarray(some.patches), whole[[0, 1, 3]])
    np.testing.assert_array_equal(some.patches[1:], whole[[1, 3]])
    np.testing.assert_array_equal(some.patches[2], whole[3])
    np.testing.assert_array_equal(some.select(["double.png"]).patches[0], whole[3])
    assert some.patches.shape == (3, 16, 16, 3) and some.patches.ndim == 4
    assert np.shares_memory(some.patches[0], patches.patches[0])
    with pytest.raises(ValueError, match="None of these"):
        patches.select(["gone.png"])


def test_metadata_and_patches_need_no_keras():
    code = (
        "import sys, oppai.data.dataset, oppai.censoring.censor, oppai.data.crops;"
        "heavy = {'keras', 'tensorflow', 'cv2', 'PIL', 'matplotlib', 'tqdm'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
