import json

import numpy as np
import pytest
from PIL import Image

from facescore.boxes import convert_boxes
from facescore.labels import (
    LabelError,
    check_labels,
    from_coco,
    label_kind,
    label_path,
    read_labels,
    read_predictions,
    to_coco,
    write_labels,
)

SIZE = 200, 100


def same(found, boxes):
    np.testing.assert_allclose(found, np.asarray(boxes, float), atol=1e-3, strict=True)


def test_a_line_by_hand(tmp_path):
    path = write_labels(tmp_path / "a.txt", [(10, 20, 50, 60)], SIZE)
    words = path.read_text().split()
    assert words[0] == "0" and path.read_text().endswith("\n")
    assert [float(w) for w in words[1:]] == [0.15, 0.4, 0.2, 0.4]
    path.write_text("\ufeff0 .15 0.40 2e-1 0.4\r\n\r\n0 0.15 0.4 0.2 0.4\r\n", "utf-8")
    same(read_labels(path, SIZE), [(10, 20, 50, 60)])


def test_unlabelled_no_face_labels_and_predictions_differ(tmp_path):
    path = tmp_path / "a.txt"
    assert label_kind(path) == "unlabelled"
    assert read_labels(path, SIZE) is None and read_predictions(path, SIZE) is None
    write_labels(path, [], SIZE)
    assert path.read_bytes() == b"" and label_kind(path) == "no face"
    assert read_labels(path, SIZE).shape == (0, 4)
    assert [len(part) for part in read_predictions(path, SIZE)] == [0, 0]
    write_labels(path, [(0, 0, 9, 9)], SIZE)
    assert label_kind(path) == "labels"
    with pytest.raises(LabelError, match="a.txt, line 1: 5 columns where 6"):
        read_predictions(path, SIZE)
    write_labels(path, [(0, 0, 9, 9), (5, 5, 20, 20)], SIZE, [0.75, 0.5])
    assert label_kind(path) == "predictions"
    with pytest.raises(LabelError, match="line 2: 6 columns where 5.*accept it"):
        read_labels(path, SIZE)
    boxes, confidence = read_predictions(path, SIZE)
    same(boxes, [(0, 0, 9, 9), (5, 5, 20, 20)])
    assert confidence.tolist() == [0.75, 0.5]


def test_random_boxes_come_back(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(20):
        size = tuple(rng.integers(1, 9000, 2).tolist())
        corners = np.sort(rng.uniform(0, 1, (7, 2, 2)), axis=1) * size
        boxes = corners.reshape(7, 4)
        write_labels(tmp_path / "a.txt", boxes, size)
        assert np.abs(read_labels(tmp_path / "a.txt", size) - boxes).max() < 1e-3


def test_every_problem_is_named_by_file_and_line(tmp_path):
    path = tmp_path / "a.txt"
    lines = {
        "0 0.5 0.5 0.1": "4 columns",
        "0 0.5 0.5 0.1 0.1 0.1 0.1 0.1": "8 columns",
        "0 0.5 0.5 0.1 nan": "'nan' is no number",
        "0 0.5 0.5 0.1 1_0": "'1_0' is no number",
        "2 0.5 0.5 0.1 0.1": "class 2",
        "0 50 50 10 10": "a fraction beyond",
        "0 -0.1 0.5 0.1 0.1": "a fraction beyond",
        "0 0.5 0.5 0 0.1": "without width",
        "0 1.01 0.5 0.001 0.1": "outside the picture",
        "0 0.5 0.5 0.1 0.1": None,
        "0 0.5 0.5 1.01 1": None,
    }
    path.write_text("\n".join(lines))
    with pytest.raises(LabelError) as caught:
        read_labels(path, SIZE)
    wanted = [(n, text) for n, text in enumerate(lines.values(), 1) if text]
    assert len(caught.value.problems) == len(wanted)
    for problem, (number, text) in zip(caught.value.problems, wanted, strict=True):
        assert problem.startswith(f"{path}, line {number}: ") and text in problem
    path.write_bytes(b"0 \x00")
    with pytest.raises(LabelError, match="a.txt: is no label file"):
        read_labels(path, SIZE)
    path.write_text("0 .5 .5 .1 .1 1.2")
    with pytest.raises(LabelError, match="confidence 1.2"):
        read_predictions(path, SIZE)
    assert check_labels([tmp_path / "a.png", tmp_path / "a.jpg"])[1].startswith(
        f"{path}: belongs to both a.png and a.jpg"
    )


def test_boxes_are_clipped_and_empty_ones_refused(tmp_path):
    path = write_labels(tmp_path / "a.txt", [(-10, -10, 20, 300)], SIZE)
    same(read_labels(path, SIZE), [(0, 0, 20, 100)])
    path.write_text("0 0.0 0.5 0.2 1.0\n")  # half of it lies left of the picture
    same(read_labels(path, SIZE), [(0, 0, 20, 100)])
    for bad in [(5, 5, 5, 9), (300, 5, 400, 9)]:
        with pytest.raises(ValueError, match="a.txt: every box needs an area"):
            write_labels(path, [(0, 0, 9, 9), bad], SIZE)
    with pytest.raises(ValueError, match="confidence"):
        write_labels(path, [(0, 0, 9, 9)], SIZE, [1.5])
    same(read_labels(path, SIZE), [(0, 0, 20, 100)])


@pytest.mark.parametrize(
    "image, text",
    [
        ("a/b.png", "a/b.txt"),
        ("set/images/b.c.jpg", "set/labels/b.c.txt"),
        ("/x/images/images/y/b.png", "/x/images/labels/y/b.txt"),
        ("a/images.png", "a/images.txt"),
        ("myimages/b.png", "myimages/b.txt"),
    ],
)
def test_label_path(image, text):
    assert label_path(image).as_posix() == text


def test_coco_round_trip(tmp_path):
    images, truths = [], {}
    rng = np.random.default_rng(1)
    for i, boxes in enumerate([3, 0, None, 1]):
        images.append(tmp_path / "in" / f"{i % 2}" / f"{i}.png")
        images[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE).save(images[-1])
        if boxes is not None:
            corners = np.sort(rng.uniform(0, 1, (boxes, 2, 2)), axis=1) * SIZE
            truths[i] = corners.reshape(boxes, 4)
            write_labels(label_path(images[-1]), truths[i], SIZE)
    images.append(tmp_path / "in" / "damaged.png")
    images[-1].write_bytes(b"no picture")
    (tmp_path / "in" / "unlabelled.png").symlink_to("gone.png")
    images.insert(0, tmp_path / "in" / "unlabelled.png")
    write_labels(label_path(images[-1]), [], SIZE)
    with pytest.raises(LabelError, match="damaged.png"):
        to_coco(images, tmp_path / "faces.json")
    assert not (tmp_path / "faces.json").exists()
    left_out = []
    assert to_coco(images, tmp_path / "faces.json", left_out=left_out) == (3, 4)
    assert len(left_out) == 1 and "damaged.png" in left_out[0]
    images.pop()
    assert to_coco(images, tmp_path / "faces.json") == (3, 4)  # the same again
    with pytest.raises(ValueError, match="faces.json: another file is here"):
        to_coco(images[:2], tmp_path / "faces.json", root=tmp_path / "in")
    data = json.loads((tmp_path / "faces.json").read_text())
    assert [i["file_name"] for i in data["images"]] == ["0/0.png", "1/1.png", "1/3.png"]
    first = data["annotations"][0]
    assert np.allclose(first["bbox"], convert_boxes(truths[0], "xyxy", "xywh")[0], 0.01)
    assert first["area"] == pytest.approx(np.prod(first["bbox"][2:]), abs=0.01)
    written = from_coco(tmp_path / "faces.json", tmp_path / "out")
    assert sorted(written) == sorted(tmp_path.glob("out/*/*.txt")) and len(written) == 3
    for path in written:
        same(read_labels(path, SIZE), truths[int(path.stem)])


def test_coco_of_several_categories(tmp_path):
    face = {"image_id": "a", "category_id": 7, "bbox": [10, 20, 30, 40]}
    data = {
        "images": [
            {"id": "a", "file_name": "x/a.b.jpg", "width": 200, "height": 100},
            {"id": "b", "file_name": "x/hand.jpg", "width": 200, "height": 100},
        ],
        "annotations": [
            face,
            {**face, "category_id": 8, "bbox": [0, 0, 9, 9]},
            {**face, "category_id": 8, "image_id": "b"},
            {**face, "iscrowd": 1, "bbox": [1, 1, 9, 9]},
        ],
        "categories": [{"id": 7, "name": "face"}, {"id": 8, "name": "hand"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(data))
    path, other = from_coco(tmp_path / "c.json", tmp_path / "out", category="face")
    assert path == tmp_path / "out/x/a.b.txt" and other.read_text() == ""
    same(read_labels(path, SIZE), [(10, 20, 40, 60)])


@pytest.mark.parametrize(
    "category_ids, ids", [((7,), ("7", 7.0)), (("7",), (7, 7)), ((7, "8"), ("7", 8))]
)
def test_coco_ids_as_texts_and_two_ids_of_one_name(tmp_path, category_ids, ids):
    image = {"id": 1, "file_name": "a.png", "width": 200, "height": 100}
    data = {
        "images": [image],
        "annotations": [
            {"image_id": "1", "category_id": ids[0], "bbox": [1, 2, 3, 4]},
            {"image_id": 1.0, "category_id": ids[1], "bbox": ["9", "9", "3", "4"]},
        ],
        "categories": [{"id": i, "name": "face"} for i in category_ids],
    }
    (tmp_path / "c.json").write_text(json.dumps(data))
    (path,) = from_coco(tmp_path / "c.json", tmp_path / "images")
    assert path == tmp_path / "labels" / "a.txt"  # where every reader looks
    same(read_labels(path, SIZE), [(1, 2, 4, 6), (9, 9, 12, 13)])


def test_coco_overwrites_no_labels_unasked(tmp_path):
    image = {"id": 1, "file_name": "a.png", "width": 200, "height": 100}
    data = {"images": [image], "annotations": [], "categories": []}
    data["categories"] = [{"id": 1, "name": "face"}]
    (tmp_path / "c.json").write_text(json.dumps(data))
    path = write_labels(tmp_path / "a.txt", [(1, 2, 3, 4)], SIZE)
    notes = []
    assert from_coco(tmp_path / "c.json", tmp_path, notes=notes) == []
    assert len(read_labels(path, SIZE)) == 1 and "exist and stay: 1." in notes[0]
    assert from_coco(tmp_path / "c.json", tmp_path, overwrite=True) == [path]
    assert len(read_labels(path, SIZE)) == 0


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (400, 200)])
def test_coco_boxes_of_a_turned_picture(tmp_path, size):
    """The picture is stored 200x100 and seen 100x200, turned clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 100)).save(tmp_path / "a.jpg", exif=exif)
    scale = size[0] / 200 if size[0] > size[1] else 1
    stored, seen = (20, 10, 60, 30), (70, 20, 90, 60)
    box = np.asarray(stored if size[0] > size[1] else seen) * scale
    x, y, right, bottom = box.tolist()
    data = {
        "images": [dict(id=1, file_name="a.jpg", width=size[0], height=size[1])],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [x, y, right - x, bottom - y]}
        ],
        "categories": [{"id": 1, "name": "face"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(data))
    (path,) = from_coco(tmp_path / "c.json", tmp_path)
    same(read_labels(path, (100, 200)), [seen])
    data["images"][0].update(width=150, height=150)
    (tmp_path / "c.json").write_text(json.dumps(data))
    with pytest.raises(LabelError, match="is 100x200, not 150x150"):
        from_coco(tmp_path / "c.json", tmp_path, overwrite=True)


def test_one_class_of_several_is_the_face(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("15 0.5 0.5 0.5 0.5\n3 0.5 0.5 0.1 0.1\n")
    assert "class 15: " in check_labels([tmp_path / "a.png"])[0]
    assert "`face_class` takes another." in check_labels([tmp_path / "a.png"])[1]
    assert check_labels([tmp_path / "a.png"], face_class=15) == []
    same(read_labels(path, SIZE, face_class=15), [(50, 25, 150, 75)])
    assert label_kind(path, face_class=2) == "no face"


def test_coco_problems_are_all_named_and_good_boxes_written(tmp_path):
    image = {"id": 1, "file_name": "a.png", "width": 200, "height": 100}
    face = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}
    data = {
        "images": [
            image,
            {**image, "id": 2, "file_name": "../b.png"},
            {**image, "id": 3, "file_name": "C:\\b.png"},
            {**image, "id": 4, "file_name": "a.jpg"},
            {**image, "id": 5, "file_name": "zero.png"},
        ],
        "annotations": [
            face,
            {**face, "image_id": 99},
            {**face, "bbox": [300, 2, 3, 4]},
            {**face, "bbox": [1, 2, 3]},
            {**face, "iscrowd": 1, "bbox": []},
            {**face, "image_id": 5, "bbox": [1, 2, 0, 4]},
            {**face, "image_id": 5, "category_id": 99},
        ],
        "categories": [{"id": 7, "name": "face"}, {"id": 8, "name": "hand"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(data))
    with pytest.raises(LabelError, match=r"name one `category` of \['face', 'hand'\]"):
        from_coco(tmp_path / "c.json", tmp_path / "out")
    with pytest.raises(LabelError) as caught:
        from_coco(tmp_path / "c.json", tmp_path / "out", category="face")
    places = [p.split(": ")[0].split(", ")[1] for p in caught.value.problems]
    assert places == [
        *(f"images[{n}]" for n in (1, 2, 3)),
        *(f"annotations[{n}]" for n in (1, 2, 3, 5, 6)),
    ]
    # The one without a valid box has no file, which would say "no face".
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.txt"]
    same(read_labels(tmp_path / "out" / "a.txt", SIZE), [(1, 2, 4, 6)])
