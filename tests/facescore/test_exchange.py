"""Labels in Pascal VOC's files and through a `data.yaml`."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from facescore.exchange import from_data_yaml, from_voc, to_data_yaml, to_voc
from facescore.labels import LabelError, label_path, read_labels, write_labels
from illustkit.errors import UserError

SIZE = 40, 30


@pytest.fixture
def images(tmp_path):
    """Two faces, none, not labelled, in two folders."""
    paths = [tmp_path / "in" / name for name in ("a.png", "b/a.png", "b/c.png")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE).save(path)
    write_labels(label_path(paths[0]), [(1, 2, 11, 22), (5.5, 0, 40, 7.2)], SIZE)
    write_labels(label_path(paths[1]), [], SIZE)
    return paths


def test_voc_goes_out_and_comes_back(images, tmp_path):
    root, out = tmp_path / "in", tmp_path / "voc"
    assert to_voc(images, out, root=root) == (2, 2)
    top = ElementTree.parse(out / "a.xml").getroot()
    assert top.findtext("filename") == "a.png"
    assert [e.text for e in top.find("size")] == ["40", "30", "3"]
    corners = [[e.text for e in box] for box in top.iter("bndbox")]
    assert corners == [["1", "2", "11", "22"], ["6", "0", "40", "7"]]
    assert {e.text for e in top.iter("name")} == {"anime_face"}
    with pytest.raises(UserError, match=r"a\.xml: another file is here"):
        write_labels(label_path(images[0]), [(1, 2, 3, 4)], SIZE)
        to_voc(images, out, root=root)
    notes = []
    assert from_voc(out, root, notes=notes) == [] and "stay: 2" in notes[0]
    assert len(from_voc(out, root, overwrite=True)) == 2
    found = read_labels(label_path(images[0]), SIZE)
    np.testing.assert_allclose(found, [(1, 2, 11, 22), (6, 0, 40, 7)], atol=1e-5)
    assert label_path(images[1]).read_text() == ""
    assert not label_path(images[2]).exists()


def test_voc_of_several_names_and_what_is_wrong_with_a_file(tmp_path):
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>{}</xmax><ymax>9</ymax></bndbox>"
    size = "<size><width>40</width><height>30</height></size>"
    text = "<annotation><filename>{}</filename>" + size + "{}</annotation>"
    faces = "".join(
        f"<object><name>{name}</name>{box.format(right)}</object>"
        for name, right in (("face", 8), ("hand", 12))
    )
    (tmp_path / "a.xml").write_text(text.format("a.png", faces))
    (tmp_path / "b.xml").write_text(text.format("../b.png", ""))
    (tmp_path / "c.xml").write_text("<annotation>")
    wrong = f"<object><name>face</name>{box.format(1)}</object>"
    (tmp_path / "d.xml").write_text(text.format("d.png", wrong))
    with pytest.raises(LabelError, match=r"name one `category` of \['face', 'hand'\]"):
        from_voc(tmp_path, tmp_path)
    left_out = []
    (path,) = from_voc(tmp_path, tmp_path, category="hand", left_out=left_out)
    np.testing.assert_allclose(read_labels(path, SIZE), [(1, 2, 12, 9)], atol=1e-5)
    for name in ("b.xml", "c.xml", "d.xml"):
        assert sum(name in line for line in left_out) == 1


def test_a_data_yaml_lists_what_is_labelled_and_is_read_again(images, tmp_path):
    path = tmp_path / "in" / "data.yaml"
    assert to_data_yaml(images, path) == (1, 1)
    assert path.read_text() == (
        "names:\n  0: anime_face\ntrain: data-train.txt\nval: data-val.txt\n"
    )
    lists = [(tmp_path / "in" / f"data-{s}.txt").read_text() for s in ("train", "val")]
    assert sorted(lists) == ["./a.png\n", "./b/a.png\n"]
    written = from_data_yaml(path, tmp_path / "out")
    assert {p.relative_to(tmp_path / "out").as_posix() for p in written} == {
        *("a.txt", "b/a.txt")
    }
    found = read_labels(tmp_path / "out" / "a.txt", SIZE)
    np.testing.assert_allclose(
        found, read_labels(label_path(images[0]), SIZE), atol=1e-5
    )
    elsewhere = tmp_path / "lists" / "data.yaml"  # names pictures by their whole path
    to_data_yaml(images, elsewhere)
    again = from_data_yaml(elsewhere, tmp_path / "again")
    texts = {p.relative_to(tmp_path / "again"): p.read_text() for p in again}
    assert texts == {p.relative_to(tmp_path / "out"): p.read_text() for p in written}
    with pytest.raises(UserError, match="two labelled pictures are due"):
        to_data_yaml(images[1:], tmp_path / "other.yaml")


@pytest.mark.parametrize(
    "names",
    [
        "names: [hand, 'a face']",
        "names:\n- hand\n- a face",
        "names: {0: hand, 1: a face}",
    ],
)
def test_one_class_of_several_in_a_data_yaml_of_others(tmp_path, names):
    picture = tmp_path / "set" / "train" / "images" / "1.png"
    picture.parent.mkdir(parents=True)
    Image.new("RGB", SIZE).save(picture)
    label = tmp_path / "set" / "train" / "labels" / "1.txt"
    label.parent.mkdir()
    label.write_text("0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.5 0.5\n")
    text = f"train: ../train/images  # as Roboflow writes it\nnc: 2\n{names}\n"
    text += "download: |\n  import os\n  print(os)\n"
    (tmp_path / "set" / "data.yaml").write_text(text)
    (path,) = from_data_yaml(
        tmp_path / "set" / "data.yaml", tmp_path / "out", category="a face"
    )
    np.testing.assert_allclose(read_labels(path, SIZE), [(10, 7.5, 30, 22.5)])
    assert path == tmp_path / "out" / "train" / "labels" / "1.txt"
    (tmp_path / "set" / "data.yaml").write_text("names: [a]\ntrain: nowhere\n")
    with pytest.raises(LabelError, match="nowhere, which is not there"):
        from_data_yaml(tmp_path / "set" / "data.yaml", tmp_path / "out")


def test_lines_of_other_classes_stay_where_faces_are_written(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0 0.5 0.5 0.1 0.1\n2 0.5 0.5 0.5 0.5\n1 .1 .1 .2 .1 .2 .2\n")
    write_labels(path, [(0, 0, 20, 15)], SIZE, face_class=2)
    first, *others = path.read_text().splitlines()
    assert first.split()[0] == "2"
    assert others == ["0 0.5 0.5 0.1 0.1", "1 .1 .1 .2 .1 .2 .2"]
    np.testing.assert_allclose(
        read_labels(path, SIZE, face_class=2), [(0, 0, 20, 15)], atol=1e-5
    )
