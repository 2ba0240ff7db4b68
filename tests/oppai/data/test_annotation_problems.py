import copy
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from illustkit.images import write_image
from oppai.cli.main import app
from oppai.data.annotations import import_annotations
from oppai.data.metadata import (
    Entry,
    MetadataError,
    check_metadata,
    load_metadata,
    save_metadata,
)

from .test_annotations import save, vott_json

HEADER = "image,xmin,ymin,xmax,ymax,label\n"
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 20}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    "categories": [{"id": 1, "name": "x"}],
}


def coco(**changes):
    data = copy.deepcopy(COCO)
    for key, value in changes.items():
        data[key] = value
    return data


def image(**changes):
    return {**COCO["images"][0], **changes}


def box(**changes):
    return {**COCO["annotations"][0], **changes}


def asset(name="a.png", size=(40, 20), region=(1, 2, 3, 4), tags=("x",)):
    return vott_json((name, size, [(list(tags), region)], 2))


CSV = {
    "header": ("a,b\n", "The first line is image,xmin"),
    "empty": ("", "The first line is image,xmin"),
    "no rows": (HEADER, "no annotated picture"),
    "columns": (HEADER + "a.png,1,2,3,x\n", "line 2: "),
    "text": (HEADER + "a.png,1,2,3,four,x\n", "line 2: "),
    "nan": (HEADER + "a.png,1,2,3,nan,x\n", "line 2: 'nan' is no number"),
    "outside": (HEADER + "a.png,1,2,99,4,x\n", "('a.png') has a box 0 outside"),
    "negative": (HEADER + "a.png,9,2,3,4,x\n", "box 0 of negative size"),
    "unknown": (HEADER + "z.png,1,2,3,4,x\n", "no picture 'z.png'"),
    "climbing": (HEADER + "../z.png,1,2,3,4,x\n", "no picture '../z.png'"),
    "two of a name": (HEADER + "twin.png,1,2,3,4,x\n", "several pictures are called"),
    "bytes": ("\udcff", "line 1: no column image"),
    "code page": (
        HEADER + "\udc8a\udc8e.png,1,2,3,4,x\n",
        "line 2: the table is no UTF-8",
    ),
}
JSON = {
    "no json": ("{", "is no whole JSON file"),
    "deep": ("[" * 100_000, "is no whole JSON file"),
    "other": ({"a": 1}, "neither VoTT's JSON export nor COCO"),
    "vott without a name": ({"assets": {"q": {"asset": {}}}}, "asset q: no 'name'"),
    "vott size": (asset(size=(41, 20)), "was annotated at"),
    "vott nan": (asset(region=(float("nan"), 0, 1, 1)), "no number of pixels"),
    "vott outside": (asset(region=(30, 0, 20, 1)), "box 0 outside"),
    "vott labels": (asset(tags=("x", "y")), "has the labels ['x', 'y']"),
    "coco id twice": (coco(images=[image(), image()]), "images[1]: the id 1 comes"),
    "coco no size": (coco(images=[{"id": 1, "file_name": "a.png"}]), "no 'width'"),
    "coco other size": (coco(images=[image(width=50)]), "was annotated at"),
    "coco no such image": (coco(annotations=[box(image_id=9)]), "annotations[0]: no 9"),
    "coco bbox": (coco(annotations=[box(bbox=[1, 2, 3])]), "annotations[0]: "),
    "coco text": (coco(annotations=[box(bbox=[1, 2, 3, "q"])]), "annotations[0]: "),
    "coco nan": (coco(annotations=[box(bbox=[1, 2, 3, float("nan")])]), "no number"),
    "coco category": (coco(annotations=[box(category_id=7)]), "annotations[0]: no 7"),
    "coco list": (coco(images=[1]), "images[0]: "),
    "coco name": (coco(images=[image(file_name=7)]), "7 is no text"),
    "coco outside": (coco(annotations=[box(bbox=[0, 0, 99, 1])]), "box 0 outside"),
}
YOLO = {
    "columns": ("0 0.5 0.5 0.5", "line 1: 4 columns"),
    "confidence": ("0 0.5 0.5 0.5 0.5 0.9", "line 1: 6 columns"),
    "pixels": ("0 20 10 5 5", "line 1: a fraction beyond 0..1"),
    "nan": ("0 nan 0.5 0.5 0.5", "line 1: 'nan' is no number"),
    "text": ("0 a 0.5 0.5 0.5", "line 1: "),
    "class": ("-1 0.5 0.5 0.5 0.5", "class -1: a class is a number"),
    "outside": ("0 0.9 0.5 0.5 0.5", "box 0 outside"),
    "binary": ("\0", "is no label file"),
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("a.png", "x/twin.png", "y/twin.png"):
        write_image(folder / name, np.zeros((20, 40, 3), "uint8"))
    return folder


def check(source, pictures, message):
    with pytest.raises(MetadataError) as caught:
        import_annotations(source, pictures)
    assert any(message in problem for problem in caught.value.problems)
    assert all(str(source) in problem for problem in caught.value.problems)
    assert all(len(problem) < 400 for problem in caught.value.problems)


@pytest.mark.parametrize("case", CSV)
def test_problems_of_vott_csv(pictures, tmp_path, case):
    text, message = CSV[case]
    path = tmp_path / "v.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    check(path, pictures, message)


@pytest.mark.parametrize("case", JSON)
def test_problems_of_json(pictures, tmp_path, case):
    data, message = JSON[case]
    check(save(tmp_path / "v.json", data), pictures, message)


@pytest.mark.parametrize("case", YOLO)
def test_problems_of_yolo(pictures, tmp_path, case):
    text, message = YOLO[case]
    save(tmp_path / "a.txt", text)
    check(tmp_path, pictures, message)


def test_each_problem_has_its_line(pictures, tmp_path):
    path = save(tmp_path / "v.csv", HEADER + "a.png,1,2,3,q,x\nz.png,1,2,3,4,x\n")
    target = tmp_path / "meta.json"
    options = ["annotate", "import", path, target, "--pictures", pictures]
    done = CliRunner().invoke(app, list(map(str, options)))
    assert done.exit_code == 2 and done.output.count("\n") == 2
    assert "line 2" in done.output and "line 3" in done.output
    assert not target.exists()


def test_good_boxes_come_in_and_bad_ones_are_named(pictures, tmp_path):
    data = coco(
        images=[image(), image(id=2, file_name="x/twin.png"), image(id=3)],
        annotations=[box(), box(bbox=[1, 2, 3, "q"]), box(image_id=2, bbox=None)],
    )
    path, target = save(tmp_path / "c.json", data), tmp_path / "meta.json"
    options = ["annotate", "import", path, target, "--pictures", pictures]
    done = CliRunner().invoke(app, list(map(str, options)))
    assert done.exit_code == 1
    (entry,) = load_metadata(target)  # twin.png does not pass for one without boxes
    assert (entry.name, entry.boxes) == ("a.png", ((1, 2, 4, 6),))
    for text in ("annotations[1]", "annotations[2]", "entry 1 ('a.png')"):
        assert done.output.count(text) == 1
    # Once more: nothing is replaced, and what is the same is not written again.
    again = CliRunner().invoke(app, list(map(str, options)))
    assert again.exit_code == 1 and "is there already" in again.output
    save(path, coco())
    other = CliRunner().invoke(app, list(map(str, options)))
    assert other.exit_code == 0 and "is there already" in other.output
    save(path, coco(annotations=[]))
    other = CliRunner().invoke(app, list(map(str, options)))
    assert other.exit_code == 2 and "Give --overwrite" in other.output


def test_names_that_lead_out_are_refused(tmp_path):
    for name in ("../a.png", "/a.png", "C:\\a.png", "a/../../b.png"):
        path = save(tmp_path / "c.json", coco(images=[image(file_name=name)]))
        with pytest.raises(MetadataError, match="unsafe 'filepath'"):
            import_annotations(path)


def test_without_pictures_there_must_be_sizes(tmp_path):
    path = save(tmp_path / "v.csv", HEADER + "a.png,1,2,3,4,x\n")
    with pytest.raises(MetadataError, match="no size is known"):
        import_annotations(path)
    like = [Entry("a.png", "in/a.png", 7, 40, 20, (), "u", "o")]
    (entry,) = import_annotations(path, like=like)
    assert entry == Entry("a.png", "in/a.png", 7, 40, 20, ((1, 2, 3, 4),), "u", "o")
    (labels := tmp_path / "labels").mkdir()
    save(labels / "stranger.txt", "")
    with pytest.raises(MetadataError, match="stranger.txt: there is no picture"):
        import_annotations(labels, like=like)


def test_check_names_every_problem(pictures, tmp_path):
    entries = [
        Entry("a.png", "a.png", 1, 40, 20, ((1, 1, 5, 5),)),
        Entry("b.png", "A.PNG", 2, 40, 20, ((1, 1, 1, 5),)),
        Entry("twin.png", "x/twin.png", 3, 30, 20, ()),
    ]
    path = tmp_path / "meta.json"
    save_metadata(entries, path)
    data = json.loads(path.read_text())
    data += [{**data[0], "id": "x", "name": "bad.png"}, 7]
    path.write_text(json.dumps(data))
    found = check_metadata(path, pictures, progress=False)
    expected = ["entry 3 ('bad.png') has a wrong 'id'", "entry 4 is no object"]
    expected += ["'b.png' has the filepath of 'a.png'", "b.png: is missing"]
    expected += ["twin.png: is 40×20, the metadata says 30×20"]
    assert len(found.problems) == 5
    for problem, text in zip(found.problems, expected, strict=True):
        assert text in problem
    assert [n.split(": ")[1] for n in found.notes] == [
        "'b.png' has 1 empty boxes.",
        "'twin.png' has no box.",
    ]
    done = CliRunner().invoke(app, ["check", str(path), str(pictures)])
    assert done.exit_code == 2 and done.output.count("oppai: ") == 5


def test_check_of_what_is_right(real_data, tmp_path):
    path = str(real_data / "oppai_meta.json")
    done = CliRunner().invoke(app, ["check", path])
    assert done.exit_code == 0
    assert "4,264 pictures, 4,949 boxes, 0 problems, 1 notes" in done.output
    save_metadata(
        load_metadata(real_data / "clipart" / "meta.json")[:20], tmp_path / "m"
    )
    found = check_metadata(tmp_path / "m", real_data, progress=False)
    assert len(found.entries) == 20 and found.problems == []
