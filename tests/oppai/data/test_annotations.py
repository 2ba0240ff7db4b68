import csv
import json
import unicodedata
import urllib.parse
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from illustkit.errors import UserError
from illustkit.images import read_image, write_image
from oppai.cli.main import app
from oppai.data.annotations import export_coco, export_yolo, import_annotations
from oppai.data.metadata import Entry, MetadataError, find_pictures, load_metadata


@pytest.fixture
def pictures(tmp_path):
    """Three pictures: 40×20, 50×60 in a folder of its own, and 10×10."""
    folder = tmp_path / "pictures"
    for name, (width, height) in {
        "a b.png": (40, 20),
        "deep/b.png": (50, 60),
        "c.png": (10, 10),
    }.items():
        write_image(folder / name, np.zeros((height, width, 3), "uint8"))
    return folder


def vott_json(*assets):
    made = {}
    for number, (name, size, regions, state) in enumerate(assets):
        made[f"id{number}"] = {
            "asset": {
                "format": name.rsplit(".", 1)[-1],
                "id": f"id{number}",
                "name": name,
                "path": f"file:/C:/drawn/{name}",
                "size": {"width": size[0], "height": size[1]} if size else None,
                "state": state,
                "type": 1,
            },
            "regions": [
                {
                    "id": "r",
                    "type": "RECTANGLE",
                    "tags": tags,
                    "boundingBox": {"left": x, "top": y, "width": w, "height": h},
                }
                for tags, (x, y, w, h) in regions
            ],
            "version": "2.2.0",
        }
    return {"name": "mine", "version": "2.2.0", "tags": [], "assets": made}


def save(path, value):
    text = value if isinstance(value, str) else json.dumps(value)
    path.write_text(text, encoding="utf-8")
    return path


def boxes(entries):
    return {entry.filepath: entry.boxes for entry in entries}


def test_vott_csv(pictures, tmp_path):
    lines = [
        '"image","xmin","ymin","xmax","ymax","label"',
        '"a%20b.png",1.5,2,11.5,12,"dress"',
        '"b.png",0,0,50.0000001,60,"dress"',
        '"b.png",3,4,5,6,"dress"',
        '"b.png",3,4,5,6,"bow"',
    ]
    path = save(tmp_path / "mine-export.csv", "\ufeff" + "\r\n".join(lines))
    with pytest.raises(MetadataError, match=r"has the labels \['bow', 'dress'\]"):
        import_annotations(path, pictures)
    entries = import_annotations(path, pictures, labels=["dress", "bow"])
    assert boxes(entries) == {
        "a b.png": ((1.5, 2, 11.5, 12),),
        "deep/b.png": ((0, 0, 50, 60), (3, 4, 5, 6)),  # one box with two tags
    }
    assert [(e.name, e.width, e.height) for e in entries] == [
        ("a b.png", 40, 20),
        ("b.png", 50, 60),
    ]
    assert boxes(import_annotations(path, pictures, labels=["bow"])) == {
        "a b.png": (),
        "deep/b.png": ((3, 4, 5, 6),),
    }


def test_vott_json(pictures, tmp_path):
    polygon = {"tags": ["dress"], "points": [{"x": x, "y": x + 1} for x in (3, 1, 7)]}
    data = vott_json(
        ("a b.png", (40, 20), [(["dress", "dress"], (1, 2, 3, 4))], 2),
        ("c.png", (10, 10), [], 1),  # looked at: there is nothing
        ("b.png", (50, 60), [], 0),  # not looked at
    )
    data["assets"]["id0"]["regions"].append(polygon)
    path = save(tmp_path / "mine-export.json", data)
    expected = {"a b.png": ((1, 2, 4, 6), (1, 2, 7, 8)), "c.png": ()}
    assert boxes(import_annotations(path, pictures)) == expected
    assert boxes(import_annotations(path)) == expected


def test_yolo(pictures, tmp_path):
    labels = tmp_path / "labels"
    (labels / "deep").mkdir(parents=True)
    save(labels / "classes.txt", "dress\nbow\n")
    # 10 px wide, 5 high, about (20, 10); and a bow.
    save(labels / "a b.txt", "0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.1 0.1\n")
    save(labels / "deep" / "b.txt", "")
    entries = import_annotations(labels, pictures, labels=["dress"])
    assert boxes(entries) == {"a b.png": ((15, 7.5, 25, 12.5),), "deep/b.png": ()}


def test_coco_as_pycocotools_reads_it(pictures, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    entries = [
        Entry(
            "a b.png", "a b.png", 7, 40, 20, ((1, 2, 4, 7.5), (0, 0, 40, 20)), "u", "o"
        ),
        Entry("c.png", "c.png", 8, 10, 10, ()),
    ]
    path = tmp_path / "coco.json"
    assert export_coco(entries, path, label="dress") == 2
    api = coco.COCO(str(path))
    (image, _) = api.loadImgs(api.getImgIds())
    assert (image["file_name"], image["width"], image["height"]) == ("a b.png", 40, 20)
    found = api.loadAnns(api.getAnnIds(imgIds=[image["id"]]))
    assert [f["bbox"] for f in found] == [[1, 2, 3, 5.5], [0, 0, 40, 20]]
    assert [f["area"] for f in found] == [16.5, 800]
    assert api.loadCats(api.getCatIds())[0]["name"] == "dress"
    assert import_annotations(path) == entries


def test_coco_of_others(pictures, tmp_path):
    data = {
        "images": [
            {"id": "x", "file_name": "a b.png", "width": 40, "height": 20},
            {"id": 2, "file_name": "deep\\b.png", "width": 50, "height": 60},
        ],
        "annotations": [
            {"image_id": 2, "category_id": 4, "bbox": [1, 2, 3, 4]},
            {"image_id": 2, "category_id": 9, "bbox": [1, 1, 1, 1]},
            {"image_id": "x", "category_id": 4, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
        "categories": [{"id": 4, "name": "dress"}, {"id": 9, "name": "bow"}],
    }
    path = save(tmp_path / "coco.json", data)
    entries = import_annotations(path, pictures, labels=["dress"])
    assert boxes(entries) == {"a b.png": (), "deep/b.png": ((1, 2, 4, 6),)}


def test_yolo_is_written_as_ultralytics_reads_it(tmp_path):
    entry = Entry("a.png", "x/a.png", 1, 40, 20, ((15, 7.5, 25, 12.5), (0, 0, 0, 20)))
    empty = Entry("b.png", "b.png", 2, 10, 10, ())
    assert export_yolo([entry, empty], tmp_path / "labels", label="dress") == 2
    rows = np.loadtxt(tmp_path / "labels" / "a.txt")
    np.testing.assert_allclose(rows[0], [0, 0.5, 0.5, 0.25, 0.25])
    np.testing.assert_allclose(rows[1], [0, 0, 0.5, 0, 1])
    assert (tmp_path / "labels" / "b.txt").read_text() == ""
    assert (tmp_path / "labels" / "classes.txt").read_text() == "dress\n"
    twin = Entry("a.jpg", "a.jpg", 3, 10, 10, ())
    with pytest.raises(MetadataError, match="a.jpg: its labels would be another's"):
        export_yolo([entry, twin], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_all_of_the_chapters_both_ways(real_data, tmp_path):
    """Through COCO, YOLO, VoTT's CSV and VoTT's JSON, and back."""
    source = real_data / "oppai_meta.json"
    entries = load_metadata(source)
    run = CliRunner().invoke

    def same(name, *, tolerance):
        again = load_metadata(tmp_path / name)
        for a, b in zip(again, entries, strict=True):
            assert replace(a, boxes=()) == replace(b, boxes=())
        corners = [
            [c for e in es for b in e.boxes for c in b] for es in (again, entries)
        ]
        np.testing.assert_allclose(*corners, rtol=0, atol=tolerance)
        assert len(corners[0]) == 4 * 4949

    commands = [
        ["export", source, tmp_path / "coco.json"],
        ["import", tmp_path / "coco.json", tmp_path / "from_coco.json"],
        ["export", source, tmp_path / "labels", "--to", "yolo"],
        ["import", tmp_path / "labels", tmp_path / "from_yolo.json", "--like", source],
    ]
    raw = json.loads(source.read_text())
    with open(tmp_path / "vott.csv", "w", newline="") as file:
        rows = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        rows.writerow(["image", "xmin", "ymin", "xmax", "ymax", "label"])
        for item in raw:
            for b in item["bounding_boxes"]:
                right, bottom = b["left"] + b["width"], b["top"] + b["height"]
                rows.writerow([item["name"], b["left"], b["top"], right, bottom, "x"])
    keys = ("left", "top", "width", "height")
    assets = [
        (
            item["name"],
            (item["size"]["width"], item["size"]["height"]),
            [(["x"], [b[key] for key in keys]) for b in item["bounding_boxes"]],
            2,
        )
        for item in raw
    ]
    save(tmp_path / "vott.json", vott_json(*assets))
    for kind in ("csv", "json"):
        target = tmp_path / f"from_{kind}.json"
        commands.append(["import", tmp_path / f"vott.{kind}", target, "--like", source])
    for command in commands:
        done = run(app, ["annotate", *map(str, command)])
        assert done.exit_code == 0, done.output
        assert "4,264 pictures, 4,949 boxes" in done.output
    assert len(list((tmp_path / "labels").iterdir())) == 4265
    same("from_coco.json", tolerance=1e-9)
    same("from_yolo.json", tolerance=1e-6)
    same("from_csv.json", tolerance=1e-9)
    same("from_json.json", tolerance=1e-9)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["coco", "vott", "csv"])
def test_boxes_in_stored_pixels_are_turned_as_exif_turns_the_picture(
    tmp_path, kind, orientation
):
    # 64×40 stored pixels, of which a box is red; a viewer sees them turned.
    stored = np.zeros((40, 64, 3), "uint8")
    left, top, right, bottom = 24, 8, 56, 16
    stored[top:bottom, left:right] = 255, 0, 0
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "pictures").mkdir()
    Image.fromarray(stored).save(tmp_path / "pictures/a.png", exif=exif)
    seen = read_image(tmp_path / "pictures/a.png")[..., 0] > 0
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    expected = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    box = [left, top, right - left, bottom - top]
    if kind == "coco":
        data = {
            "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 40}],
            "annotations": [{"image_id": 1, "category_id": 1, "bbox": box}],
            "categories": [{"id": 1, "name": "x"}],
        }
        path = save(tmp_path / "a.json", data)
    elif kind == "vott":
        path = save(
            tmp_path / "a.json", vott_json(("a.png", (64, 40), [(["x"], box)], 2))
        )
    else:  # which says no size: the box does not fit the picture as it is seen
        header = "image,xmin,ymin,xmax,ymax,label\n"
        path = save(tmp_path / "a.csv", f"{header}a.png,24,8,56,16,x\n")
    notes = []
    (entry,) = import_annotations(path, tmp_path / "pictures", notes=notes)
    assert (entry.height, entry.width) == seen.shape
    if orientation in (1, 5, 6, 7, 8):
        assert entry.boxes == (expected,) and not notes
    else:  # the sizes do not say which is meant
        assert entry.boxes == ((left, top, right, bottom),)
        assert len(notes) == 1 and "EXIF turns it" in notes[0]
        with pytest.warns(UserWarning, match="a.png: EXIF turns it"):
            import_annotations(path, tmp_path / "pictures")


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_file", ["NFC", "NFD"])
@pytest.mark.parametrize("encoded", [False, True])
def test_names_are_found_however_they_are_spelt(tmp_path, on_disk, in_file, encoded):
    name = unicodedata.normalize(on_disk, "が é.png")
    text = unicodedata.normalize(in_file, "が é.png")
    text = urllib.parse.quote(text) if encoded else text
    write_image(tmp_path / "pictures" / name, np.zeros((20, 40, 3), "uint8"))
    path = save(tmp_path / "a.json", vott_json((text, (40, 20), [(["x"], BOX)], 2)))
    (entry,) = import_annotations(path, tmp_path / "pictures")
    assert entry.name == name
    like = [replace(entry, filepath="in/it.png")]
    assert import_annotations(path, like=like)[0].filepath == "in/it.png"
    assert unicodedata.normalize(in_file, import_annotations(path)[0].name) == (
        unicodedata.normalize(in_file, "が é.png")
    )
    other = replace(entry, name=unicodedata.normalize("NFC", name), filepath="a")
    assert list(find_pictures([other], tmp_path)[0].values())[0].name == name
    labels = tmp_path / "labels" / unicodedata.normalize(in_file, "が é.txt")
    labels.parent.mkdir()
    save(labels, "0 0.5 0.5 0.25 0.25\n")
    assert len(import_annotations(labels.parent, tmp_path / "pictures")) == 1


BOX = 1, 2, 3, 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_that_a_spreadsheet_saved(pictures, tmp_path, encoding, delimiter):
    rows = ["image,xmin,ymin,xmax,ymax,label", "a b.png,1.5,2,11.5,12,絵"]
    text = "\r\n".join(rows).replace(",", delimiter)
    if delimiter == ";":  # with the decimal comma of such a country
        text = text.replace("1.5", "1,5")
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))
    assert boxes(import_annotations(path, pictures)) == {
        "a b.png": ((1.5, 2, 11.5, 12),)
    }


def test_an_export_replaces_nothing_unasked(tmp_path):
    entries = [Entry("a.png", "a.png", 1, 40, 20, ((1, 2, 4, 6),))]
    for export, name in ((export_coco, "c.json"), (export_yolo, "labels")):
        target = tmp_path / name
        export(entries, target)
        files = [target] if target.is_file() else list(target.iterdir())
        times = [path.stat().st_mtime_ns for path in files]
        export(entries, target)
        assert [path.stat().st_mtime_ns for path in files] == times
        before = [path.read_bytes() for path in files]
        moved = [replace(entries[0], boxes=((1, 2, 4, 7),))]
        with pytest.raises(UserError, match="another file is here. Give `overwrite`"):
            export(moved, target)
        assert [path.read_bytes() for path in files] == before
        export(moved, target, overwrite=True)
        assert [path.read_bytes() for path in files] != before
