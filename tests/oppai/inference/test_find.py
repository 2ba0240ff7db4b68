"""What is censored is told and shown in masks, and no picture is changed."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from illustkit.errors import UserError
from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Region
from oppai.cli.main import app
from oppai.detection.find_censored import Found
from oppai.inference.find import find_files
from tests.commands import commands_of
from tests.oppai.inference.test_files import BOX, inside, noise, run, save

command, _ = commands_of(app)
SHADES = {1: "mosaic", 2: "blur", 3: "white"}


@pytest.fixture(autouse=True)
def finds_by_shade(monkeypatch):
    """Find what the first pixel of a picture says, without looking at any other."""

    def find(picture):
        kind = SHADES.get(int(picture[0, 0, 0]))
        mask = np.ones((12, 12), bool)
        grid = Grid((6, 4.5)) if kind == "mosaic" else None
        sigma = 2.5 if kind == "blur" else None
        regions = [Region(BOX, mask, kind, grid, sigma=sigma)] if kind else []
        hidden = inside(picture.shape) & bool(kind)
        return Found(tuple(regions), np.where(hidden, 255, 0).astype(np.uint8))

    monkeypatch.setattr("oppai.inference.find.find_censored", find)


def picture(shade):
    picture = noise()
    picture[0, 0] = shade
    return picture


def test_kind_box_and_block_are_told_and_masks_written(tmp_path):
    for name, shade in {"a.png": 1, "sub/b.png": 2, "c.png": 9}.items():
        save(tmp_path / "in" / name, picture(shade))
    (tmp_path / "in/broken.png").write_bytes(b"none")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    masks = tmp_path / "masks"
    report = find_files(tmp_path / "in", save_masks=masks, progress=False)
    a, b = (str(tmp_path / "in" / name) for name in ("a.png", "sub/b.png"))
    none = {"frame": 0, "box": [10, 12, 22, 24]}
    assert report.regions == [
        {
            "picture": a,
            "kind": "mosaic",
            "block": [6, 4.5],
            "sigma": None,
            "opacity": 1,
            **none,
        },
        {
            "picture": b,
            "kind": "blur",
            "block": None,
            "sigma": 2.5,
            "opacity": None,
            **none,
        },
    ]
    assert json.loads(json.dumps(report.regions)) == report.regions
    assert report.clean == [tmp_path / "in/c.png"]
    assert [p.name for p, _ in report.left_out] == ["broken.png"]
    assert report.masks == [masks / name for name in ("a.png", "c.png", "sub/b.png")]
    for path in report.masks:
        wanted = inside((40, 50)) * (255 if path.name != "c.png" else 0)
        np.testing.assert_array_equal(np.asarray(Image.open(path)), wanted)
    assert all(path.read_bytes() == data for path, data in before.items())
    lines = str(report).splitlines()
    assert [line.split()[1:] for line in lines[1:3]] == [
        ["mosaic", "10,12,22,24", "6x4.5", "1.00"],
        ["blur", "10,12,22,24", "2.5"],
    ]
    counts = "2 censored regions in 2 pictures, 1 show nothing censored, 1 left out."
    assert lines[3] == counts and "broken.png" in lines[4]
    # The masks mark the same; where nothing was found there is nothing to restore.
    restored = run(tmp_path / "in", boxes=None, masks=masks)
    assert [path.name for path in restored.written] == ["a.png", "b.png"]
    assert [path.name for path, _ in restored.unmarked] == ["c.png"]


def test_masks_that_were_changed_by_hand_stay(tmp_path):
    path = save(tmp_path / "a.png", picture(3))
    options = {"save_masks": tmp_path / "mask.png", "progress": False}
    assert find_files(path, **options).masks == find_files(path, **options).masks
    save(tmp_path / "mask.png", np.zeros((40, 50), np.uint8))
    before = (tmp_path / "mask.png").read_bytes()
    ((left, reason),) = find_files(path, **options).left_out
    assert left == path and "another mask is here" in reason
    assert (tmp_path / "mask.png").read_bytes() == before
    assert find_files(path, overwrite=True, **options).masks
    assert np.asarray(Image.open(tmp_path / "mask.png")).any()
    (tmp_path / "mask.png").write_bytes(b"none")
    assert "another mask" in find_files(path, **options).left_out[0][1]


def test_frames_and_pages_are_told_apart(tmp_path):
    images = [Image.fromarray(picture(shade)) for shade in (1, 9, 3)]
    path = tmp_path / "a.png"
    images[0].save(path, save_all=True, append_images=images[1:])
    report = find_files(path, save_masks=tmp_path / "masks", progress=False)
    assert [(r["frame"], r["kind"]) for r in report.regions] == [
        (0, "mosaic"),
        (2, "white"),
    ]
    assert report.table.splitlines()[0].split()[:2] == ["picture", "frame"]
    assert np.asarray(Image.open(report.masks[0])).any()
    comic = tmp_path / "comic.cbz"
    save(tmp_path / "page.png", picture(2))
    with zipfile.ZipFile(comic, "w") as file:
        file.write(tmp_path / "page.png", "x/1.png")
        file.writestr("2.png", b"none")
    report = find_files(comic, save_masks=tmp_path / "masks", progress=False)
    assert [r["picture"] for r in report.regions] == [str(comic / "x/1.png")]
    assert report.masks == [tmp_path / "masks/comic.cbz/x/1.png"]
    ((left, reason),) = report.left_out
    assert left == comic / "2.png" and reason.startswith(f"{left}: ")
    assert reason.count(str(left)) == 1
    comic.write_bytes(b"PK")
    assert "no whole ZIP" in find_files(comic, progress=False).left_out[0][1]


def test_the_command_prints_a_table_or_json(tmp_path):
    save(tmp_path / "a.png", picture(1))
    save(tmp_path / "b.png", picture(9))
    done = command("find", tmp_path)
    assert done.exit_code == 0
    head, row = done.stdout.splitlines()
    assert head.split()[:2] == ["picture", "kind"] and "10,12,22,24" in row
    assert "1 censored region in 1 picture, 1 show nothing" in done.stderr
    done = command("find", tmp_path, "--json")
    assert json.loads(done.stdout)[0]["block"] == [6, 4.5]
    assert json.loads(command("find", tmp_path / "b.png", "--json").stdout) == []
    assert command("find", tmp_path / "b.png").stdout == ""
    (tmp_path / "file").touch()
    done = command("find", tmp_path, "--masks", tmp_path / "file")
    assert done.exit_code == 2 and "--masks is a file" in done.stderr
    done = command("find", "nowhere")
    assert done.exit_code == 2 and "no such file or folder" in done.stderr
    (tmp_path / "broken.png").write_bytes(b"none")
    assert command("find", tmp_path).exit_code == 1


def test_places_for_masks_are_checked_before_the_work(tmp_path):
    save(tmp_path / "a.png", picture(1))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: `save_masks` is a file"):
        find_files(tmp_path, save_masks=tmp_path / "file", progress=False)
    with pytest.raises(UserError, match="is a file, not a folder"):
        find_files(tmp_path, save_masks=tmp_path / "file/deep", progress=False)
