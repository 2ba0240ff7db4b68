import numpy as np
import pytest
from PIL import Image, ImageOps

from illustkit.images.opening import stored_size
from illustkit.yolo import (
    LabelError,
    label_path,
    read_classes,
    read_rows,
    to_fractions,
    to_pixels,
    upright_boxes,
    write_rows,
)

SIZE = (200, 100)


def test_by_hand(tmp_path):
    """A box of 20 x 50 pixels around (50, 40) in a picture of 200 x 100."""
    path = tmp_path / "a.txt"
    path.write_text("0 .25 0.4 1e-1 0.5\r\n\n3 0.5 0.5 1 1.0\n0 .25 0.4 1e-1 0.5\n")
    rows = read_rows(path)
    assert rows.tolist() == [[0, 0.25, 0.4, 0.1, 0.5], [3, 0.5, 0.5, 1, 1]]
    boxes = to_pixels(rows[:, 1:5], SIZE)
    assert np.allclose(boxes, [(40, 15, 60, 65), (0, 0, 200, 100)], atol=1e-9)
    assert np.allclose(to_fractions(boxes, SIZE), rows[:, 1:5], atol=1e-12)


@pytest.mark.parametrize("columns, digits", [(5, 8), (6, 8), (5, 10)])
def test_what_is_written_is_read(tmp_path, columns, digits):
    rng = np.random.default_rng(0)
    rows = np.column_stack([np.arange(5), rng.uniform(0.1, 0.9, (5, columns - 1))])
    path = write_rows(tmp_path / "new" / "a.txt", rows, digits=digits)
    assert np.abs(read_rows(path) - rows).max() <= 0.5 * 10.0**-digits
    assert read_rows(path, columns=columns).shape == (5, columns)
    assert len(path.read_text().split()[1]) == digits + 2
    with pytest.raises(ValueError, match="finite"):
        write_rows(path, [[0, np.nan, 0, 0, 0]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_turned_with_their_picture(tmp_path, orientation):
    """Pillow turns a picture with a white box; the box is found in its pixels."""
    stored = np.zeros((40, 64), np.uint8)
    stored[8:16, 24:56] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    seen = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    rows, columns = np.nonzero(seen)
    box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert stored_size(tmp_path / "a.png") == ((64, 40), orientation)
    turned = upright_boxes([(24, 8, 56, 16)], (64, 40), orientation)
    assert turned.tolist() == [list(box)]


def test_a_file_without_lines_says_that_there_is_nothing(tmp_path):
    assert read_rows(tmp_path / "a.txt") is None
    assert read_rows(write_rows(tmp_path / "a.txt", [])).shape == (0, 5)
    assert (tmp_path / "a.txt").read_bytes() == b""
    assert read_rows(tmp_path / "a.txt", columns=6).shape == (0, 6)
    assert to_pixels(np.zeros((0, 4)), SIZE).shape == (0, 4)


@pytest.mark.parametrize(
    "line, problem",
    [
        ("0 0.5 0.5 0.5", "4 columns"),
        ("0 0.5 0.5 0.5 0.5 0.9", "no label; accept it"),
        ("0 0.5 0.5 0.5 0.5 0.9 0.9 0.9", "8 columns"),
        ("0 0,5 0,5 0,5 0,5", "decimals with a point"),
        ("0 0.5 0.5 nan 0.5", "'nan' is no number"),
        ("0 0.5 0.5 1_0 0.5", "'1_0' is no number"),
        ("0 50 0.5 0.5 0.5", "beyond 0..1"),
        ("0 0.5 -0.1 0.5 0.5", "beyond 0..1"),
        ("0 0.5 0.5 0 0.5", "without width"),
        ("0 1.01 0.5 0.01 0.5", "outside the picture"),
        ("0.5 0.5 0.5 0.5 0.5", "class 0.5"),
        ("-1 0.5 0.5 0.5 0.5", "class -1"),
    ],
)
def test_every_problem_is_named(tmp_path, line, problem):
    path = tmp_path / "a.txt"
    path.write_text(f"0 0.5 0.5 1 1\n{line}\nx 0.5 0.5 1 1\n")
    with pytest.raises(LabelError) as caught:
        read_rows(path)
    first, second = caught.value.problems
    assert first.startswith(f"{path}, line 2: ") and problem in first
    assert second.startswith(f"{path}, line 3: ")


def test_confidences_and_classes_have_limits(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1 0.5 0.5 1 1 1.5\n")
    with pytest.raises(LabelError, match="confidence 1.5"):
        read_rows(path)
    path.write_text("1 0.5 0.5 1 1\n")
    with pytest.raises(LabelError, match="the only class is 0, face"):
        read_rows(path, classes=["face"])
    assert read_rows(path, classes=["face", "hand"])[0, 0] == 1
    with pytest.raises(LabelError, match="5 columns where 6"):
        read_rows(path, columns=6)


@pytest.mark.parametrize(
    "text, boxes",
    [
        # A triangle, and a square of four points: the boxes around them.
        ("15 0.1 0.2 0.5 0.3 0.2 0.8", [(15, 0.3, 0.5, 0.4, 0.6)]),
        ("0 0.25 0.5 0.5 0.25 0.75 0.5 0.5 0.75", [(0, 0.5, 0.5, 0.5, 0.5)]),
        ("0,0.5,0.5,0.2,0.4\n1, 0.5, 0.5, 1, 1.0", [(0, 0.5, 0.5, 0.2, 0.4)]),
        ("0 -0.01 0.5 0.5 0.5", [(0, -0.01, 0.5, 0.5, 0.5)]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_ultralytics_and_spreadsheets_write(tmp_path, text, boxes, encoding):
    path = tmp_path / "a.txt"
    path.write_text(text, encoding)
    np.testing.assert_allclose(read_rows(path)[:1], boxes, atol=1e-12)


def test_one_class_of_several(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("3 0.5 0.5 1 1\n15 0.5 0.5 0.5 0.5\n3 0.5 0.5 0 1\n")
    assert read_rows(path, only=15).tolist() == [[15, 0.5, 0.5, 0.5, 0.5]]
    assert read_rows(path, only=15, classes=["face"]).shape == (1, 5)
    assert read_rows(path, only=2).shape == (0, 5)
    with pytest.raises(LabelError, match="class 3: the only class is 0, face"):
        read_rows(path, classes=["face"])


def test_labels_are_in_one_place_however_the_folder_is_named(tmp_path, monkeypatch):
    images = tmp_path / "set" / "images" / "anime"
    images.mkdir(parents=True)
    expected = tmp_path / "set" / "labels" / "anime" / "1.txt"
    (tmp_path / "link").symlink_to(images)
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder, name in (
        (tmp_path, images / "1.png"),
        (tmp_path, "set/images/anime/1.png"),
        (tmp_path, "link/1.png"),
        (tmp_path, "~/set/images/anime/1.png"),
        (images, "1.png"),
        (images, "../anime/1.png"),
        (images.parent, "anime/1.png"),
    ):
        monkeypatch.chdir(folder)
        assert (folder / label_path(name)).resolve() == expected, name


def test_labels_beside_the_pictures_of_an_images_folder_are_found(tmp_path):
    beside = tmp_path / "images" / "1.txt"
    write_rows(beside, [])
    assert label_path(tmp_path / "images/1.png") == beside
    beside.write_text("a girl with long hair")  # a caption
    proper = tmp_path / "labels" / "1.txt"
    assert label_path(tmp_path / "images/1.png") == proper
    write_rows(beside, []), write_rows(proper, [])
    assert label_path(tmp_path / "images/1.png") == proper


@pytest.mark.parametrize("data", [b"\xff\xfe1", b"0 \0", b"0" * 1_000_001])
def test_other_files_are_no_labels(tmp_path, data):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(LabelError, match="a.txt: is no label file"):
        read_rows(tmp_path / "a.txt")


def test_names_of_classes(tmp_path):
    assert read_classes(tmp_path) == []
    (tmp_path / "classes.txt").write_bytes("\ufeffface\r\n手\n".encode())
    assert read_classes(tmp_path) == ["face", "手"]
    assert label_path("set/images/x/b.c.jpg").as_posix() == "set/labels/x/b.c.txt"


def test_empty_boxes_are_read_where_they_are_allowed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0 0.5 0.5 0 0.25\n")
    assert read_rows(path, allow_empty=True).tolist() == [[0, 0.5, 0.5, 0, 0.25]]
    with pytest.raises(LabelError, match="without width or height"):
        read_rows(path)
