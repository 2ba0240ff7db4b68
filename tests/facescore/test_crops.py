import csv

import numpy as np
import pytest

from facescore.boxes import Face
from facescore.crops import (
    crop_face,
    crop_faces,
    crop_folder,
    crop_region,
    read_each,
)
from facescore.labels import label_path, write_labels
from illustkit.errors import UserError
from illustkit.images import read_image, write_image


def numbered(height, width):
    """A picture whose pixels tell their place: red = column, green = row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, columns * 0], axis=-1).astype(np.uint8)


def test_the_region_by_hand():
    box = 100, 100, 140, 200  # 40 wide, 100 high
    margin = 0.3, 0.15, 0.1
    assert crop_region(box, margin=margin, square=False) == (94, 70, 146, 210)
    # 140 high, so 140 wide round x = 120.
    assert crop_region(box, margin=margin) == (50, 70, 190, 210)
    assert crop_region(box, margin=(0, 0, 0), square=False) == box
    assert crop_region(box, margin=(-0.1, 0, -0.1), square=False) == (
        *(100, 110),
        *(140, 190),
    )


def test_pixels_are_the_pictures_own():
    image = numbered(60, 80)
    crop = crop_face(image, (10, 20, 30, 40), margin=(0, 0, 0), size=None)
    assert np.array_equal(crop, image[20:40, 10:30])
    # Twice as large: the mean of every 2x2 of the middle is near the pixel itself.
    crop = crop_face(image, (10, 20, 30, 40), margin=(0, 0, 0), size=40)
    means = crop.reshape(20, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(means - image[20:40, 10:30]).max() <= 1.0
    # Half a pixel to the right shows halves: the region is not rounded.
    steep = (8 * numbered(30, 31)).astype(np.uint8)
    crop = crop_face(steep, (3.5, 2, 23.5, 22), margin=(0, 0, 0), size=20)
    assert np.abs(crop[5, 2:-2, 0] - (28.0 + 8 * np.arange(2, 18))).max() <= 1
    assert crop_face(image, (10, 20, 30, 40)).shape == (360, 360, 3)
    assert crop_face(image, (10, 20, 30, 40), size=(96, 144)).shape == (144, 96, 3)


@pytest.mark.parametrize("outside", ["edge", "white"])
def test_beyond_the_picture(outside):
    image = numbered(30, 40)
    crop = crop_face(
        image, (-5, -3, 10, 12), margin=(0, 0, 0), size=None, outside=outside
    )
    rows, columns = np.mgrid[-3:12, -5:10]
    wanted = image[rows.clip(0, 29), columns.clip(0, 39)]
    if outside == "white":
        wanted[(rows < 0) | (columns < 0)] = 255
    assert np.array_equal(crop, wanted)
    for box in [(50, 5, 60, 9), (-9, 5, -2, 9)]:
        with pytest.raises(ValueError, match="outside the picture of 40 x 30"):
            crop_face(image, box, margin=(0, 0, 0))


@pytest.mark.parametrize(
    "options, text",
    [
        ({"margin": 0.3}, "`margin`"),
        ({"margin": (0, 0, 11)}, "`margin`"),
        ({"margin": (-0.6, 0, -0.6)}, "leaves nothing"),
        ({"outside": "black"}, "`outside`"),
        ({"size": 0}, "`size`"),
        ({"size": (3, 4, 5)}, "`size`"),
    ],
)
def test_options_that_are_none(options, text):
    with pytest.raises(ValueError, match=text):
        crop_face(numbered(30, 30), (5, 5, 15, 15), **options)


def test_faces_of_one_picture(tmp_path):
    image = numbered(30, 40)
    path = write_image(tmp_path / "a.png", image)
    options = {"margin": (0, 0, 0), "size": None}
    with pytest.raises(ValueError, match="a.png: is unlabelled"):
        crop_faces(path)
    write_labels(label_path(path), [(1, 2, 11, 12), (20, 2, 28, 10)], (40, 30))
    crops = crop_faces(path, **options)
    assert [c.shape for c in crops] == [(10, 10, 3), (8, 8, 3)]
    assert np.array_equal(crops[0], image[2:12, 1:11])
    given = crop_faces(image, [Face((1, 2, 11, 12))], **options)
    assert np.array_equal(given[0], crops[0])
    with pytest.raises(ValueError, match="faces=None"):
        crop_faces(image)


def test_a_folder_and_its_table(tmp_path):
    folder = tmp_path / "in"
    image = numbered(30, 40)
    labels = {
        "3/a.png": [(1, 2, 11, 12), (20, 2, 28, 10)],
        "5/b.png": [],
        "c.png": None,
    }
    for name, boxes in labels.items():
        path = write_image(folder / name, image)
        if boxes is not None:
            write_labels(label_path(path), boxes, (40, 30))
    (folder / "broken.png").write_text("no picture")
    options = {"margin": (0.1, 0, 0), "size": None, "progress": False}
    report = crop_folder(folder, tmp_path / "out", **options)
    assert [p.relative_to(tmp_path / "out").as_posix() for p in report.crops] == [
        "3/a_0.png",
        "3/a_1.png",
    ]
    assert report.without_face == [folder / "5/b.png"]
    assert [p.name for p, _ in report.left_out] == ["broken.png", "c.png"]
    assert str(report).startswith("2 faces cut out, 1 pictures without a face, 2 left")
    with open(report.table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["picture"] for r in rows] == ["3/a.png"] * 2
    for row in rows:  # the table is enough to find the crop in the picture again
        region = [float(row[f"region_{side}"]) for side in ("left", "top")]
        crop = read_image(tmp_path / "out" / row["crop"])
        left, top = (int(np.floor(v + 0.5)) for v in region)
        part = image[top : top + len(crop), left : left + len(crop)]
        assert np.array_equal(crop, part)
    moved = tmp_path / "out" / "1" / "a_1.png"  # sorted by a person
    moved.parent.mkdir()
    (tmp_path / "out/3/a_1.png").rename(moved)
    again = crop_folder(folder, tmp_path / "out", **options)
    assert again.already == again.crops == [report.crops[0], moved]
    assert "2 faces cut out (2 before)" in str(again)
    with open(report.table, newline="") as file:
        assert list(csv.DictReader(file)) == rows
    write_labels(label_path(folder / "3/a.png"), [(1, 2, 11, 13)], (40, 30))
    other = crop_folder(folder, tmp_path / "out", **options)
    assert other.crops == [report.crops[0]] and not other.already
    assert read_image(other.crops[0]).shape == (12, 12, 3)
    (folder / "3/a.jpg").write_bytes((folder / "3/a.png").read_bytes())
    report = crop_folder(
        folder, tmp_path / "two", detect=lambda image: [(0, 0, 8, 8)], **options
    )
    names = [p.relative_to(tmp_path / "two").as_posix() for p in report.crops]
    assert sorted(names) == ["3/a.jpg_0.png", "3/a.png_0.png", "5/b_0.png", "c_0.png"]
    with pytest.raises(ValueError, match="outside that of the pictures"):
        crop_folder(folder, folder / "crops")


def test_pictures_are_read_without_the_damaged_ones(tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    write_image(paths[0], numbered(3, 4))
    paths[1].write_text("no picture")
    write_image(paths[2], numbered(5, 2))
    left_out, numbers = [], []
    read = list(read_each(paths, left_out, numbers.append))
    assert [path for path, _ in read] == [paths[0], paths[2]]
    np.testing.assert_array_equal(read[1][1], numbered(5, 2))
    assert [path for path, _ in left_out] == [paths[1]] and numbers == [1, 2, 3]
    assert left_out[0][1].startswith(f"{paths[1]}: is not a picture")
    with pytest.raises(UserError, match="b.png"):
        list(read_each(paths))


def test_a_bug_in_reading_condemns_no_picture(monkeypatch):
    monkeypatch.setattr("facescore.crops.read_image", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(read_each(["a.png"], []))
