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
    assert to_coco(images, tmp_path / "faces.json") == (3, 4)
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
        "images": [{"id": "a", "file_name": "x/a.b.jpg", "width": 200, "height": 100}],
        "annotations": [
            face,
            {**face, "category_id": 8, "bbox": [0, 0, 9, 9]},
            {**face, "iscrowd": 1, "bbox": [1, 1, 9, 9]},
        ],
        "categories": [{"id": 7, "name": "face"}, {"id": 8, "name": "hand"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(data))
    (path,) = from_coco(tmp_path / "c.json", tmp_path / "out", category="face")
    assert path == tmp_path / "out/x/a.b.txt"
    same(read_labels(path, SIZE), [(10, 20, 40, 60)])


def test_coco_problems_are_all_named_and_nothing_is_written(tmp_path):
    image = {"id": 1, "file_name": "a.png", "width": 200, "height": 100}
    face = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}
    data = {
        "images": [
            image,
            {**image, "id": 2, "file_name": "../b.png"},
            {**image, "id": 3, "file_name": "C:\\b.png"},
            {**image, "id": 4, "file_name": "a.jpg"},
        ],
        "annotations": [
            face,
            {**face, "image_id": 99},
            {**face, "bbox": [300, 2, 3, 4]},
            {**face, "bbox": [1, 2, 3]},
            {**face, "iscrowd": 1, "bbox": []},
        ],
        "categories": [{"id": 7, "name": "face"}, {"id": 8, "name": "hand"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(data))
    with pytest.raises(LabelError, match=r"name one category of \['face', 'hand'\]"):
        from_coco(tmp_path / "c.json", tmp_path / "out")
    with pytest.raises(LabelError) as caught:
        from_coco(tmp_path / "c.json", tmp_path / "out", category="face")
    places = [p.split(": ")[0].split(", ")[1] for p in caught.value.problems]
    assert places == [
        *(f"images[{n}]" for n in (1, 2, 3)),
        *(f"annotations[{n}]" for n in (1, 2, 3)),
    ]
    assert not (tmp_path / "out").exists()
