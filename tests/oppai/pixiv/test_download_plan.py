import copy
import json

import pytest
from typer.testing import CliRunner

from oppai.cli.main import app
from oppai.data.metadata import MetadataError
from oppai.pixiv.download import plan_downloads

PLACE = "/c/600x1200_90/img-master/img/2019/01/23/23/28/26/7_p0_master1200.jpg"
GOOD = {
    "name": "7_p0_master1200.jpg",
    "filepath": "oppai_dataset/images/7_p0_master1200.jpg",
    "id": 7,
    "size": {"width": 60, "height": 80},
    "image_url": f"https://i.pximg.net{PLACE}",
    "original_url": "",
    "bounding_boxes": [{"left": 5, "top": 7, "width": 20, "height": 30}],
    "n_bounding_boxes": 1,
}
BOX = GOOD["bounding_boxes"][0]
FIRST = {
    **copy.deepcopy(GOOD),
    "name": "8.jpg",
    "filepath": "8.jpg",
    "id": 8,
    "image_url": GOOD["image_url"].replace("7_p0", "8_p0"),
}


def write(folder, entries):
    path = folder / "meta.json"
    path.write_text(json.dumps(entries))
    return path


HOSTILE = {
    "name ..": ({"name": ".."}, "unsafe 'name'"),
    "name ../": ({"name": "../7.jpg"}, "unsafe 'name'"),
    "filepath ../": ({"filepath": "images/../../7.jpg"}, "unsafe 'filepath'"),
    "absolute name": ({"name": "/etc/7.jpg"}, "unsafe 'name'"),
    "absolute path": ({"filepath": "/etc/7.jpg"}, "unsafe 'filepath'"),
    "drive letter": ({"filepath": "C:/7.jpg"}, "unsafe 'filepath'"),
    "drive and backslash": ({"filepath": "C:\\7.jpg"}, "unsafe 'filepath'"),
    "share": ({"filepath": "\\\\host\\7.jpg"}, "unsafe 'filepath'"),
    "device": ({"filepath": "images/NUL.jpg"}, "unsafe 'filepath'"),
    "hidden": ({"filepath": ".config/7.jpg"}, "unsafe 'filepath'"),
    "another ending": ({"filepath": "images/7.py"}, "does not end in .jpg"),
    "10⁶ boxes": (
        {"bounding_boxes": [{}] * 10**6, "n_bounding_boxes": 10**6},
        "1000000 boxes",
    ),
    "NaN width": ({"size": {"width": float("nan"), "height": 80}}, "'width': nan"),
    "NaN height": ({"size": {"width": 60, "height": float("nan")}}, "'height': nan"),
    "NaN box": ({"bounding_boxes": [{**BOX, "left": float("nan")}]}, "NaN"),
    "infinite box": ({"bounding_boxes": [{**BOX, "width": float("inf")}]}, "Inf"),
    "duplicate name": ({"name": "8.jpg"}, "has the name of entry 0"),
    "duplicate path": ({"filepath": "8.JPG"}, "has the filepath of entry 0"),
    "another id": ({"id": 9}, "has the id 9, but an image_url of work 7"),
    **{
        f"address {url[:60]}": ({"image_url": url}, "no picture at https://i.pximg.net")
        for url in (
            "",
            f"http://i.pximg.net{PLACE}",
            f"ftp://i.pximg.net{PLACE}",
            f"file://{PLACE}",
            "file:///etc/passwd",
            f"https://example.org{PLACE}",
            f"https://i.pximg.net.example.org{PLACE}",
            f"https://i.pximg.net@example.org{PLACE}",
            f"https://i.pximg.net:8443{PLACE}",
            f"https://i.pximg.net\\@example.org{PLACE}",
            f"https://169.254.169.254{PLACE}",
            f"//i.pximg.net{PLACE}",
            f"https://i.pximg.net{PLACE}?x=1",
            f"https://i.pximg.net{PLACE}#x",
            f"https://i.pximg.net{PLACE}\n",
            f"https://i.pximg.net/../x{PLACE}",
            f"https://i.pximg.net{PLACE}".replace("7_p0", "٧_p0"),
            "https://i.pximg.net/img-zip-ugoira/img/2019/01/23/23/28/26/7.zip",
            f"https://I.PXIMG.NET{PLACE}",
            "javascript:alert(1)",
            "data:image/png;base64,AAAA",
        )
    },
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_metadata_are_refused_and_the_entry_named(tmp_path, case):
    changes, message = HOSTILE[case]
    entry = {**GOOD, **changes}
    path = write(tmp_path, [FIRST, entry])
    with pytest.raises(MetadataError) as caught:
        plan_downloads(path, tmp_path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: entry 1 ({entry['name']!r})")
    assert message in problem and len(problem) < 500 and "\n" not in problem


def test_nothing_is_asked_and_nothing_written(tmp_path, monkeypatch):
    # Neither a token nor a network: an attempt at either would be another error.
    monkeypatch.delenv("PIXIV_REFRESH_TOKEN", raising=False)
    entries = [FIRST, {**GOOD, "image_url": f"https://example.org{PLACE}"}]
    entries.append({**GOOD, "name": "x.jpg", "id": 5})
    path = write(tmp_path, entries)
    options = ["download", str(path), "--folder", str(tmp_path)]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 2
    first, second = done.output.splitlines()
    assert "entry 1" in first and "example.org" in first
    assert "entry 2 ('x.jpg')" in second and "work 7" in second
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name, page, kind",
    [
        ("7_p0_master1200.jpg", 0, "JPEG"),
        ("7_p3_master1200.jpg", 3, "JPEG"),
        ("7_master1200.jpg", 0, "JPEG"),
        ("7_p12.png", 12, "PNG"),
    ],
)
def test_page_and_format_come_from_the_address(tmp_path, name, page, kind):
    place = PLACE.replace("7_p0_master1200.jpg", name)
    entry = {**GOOD, "filepath": f"a/{name}"}
    entry["image_url"] = f"https://i.pximg.net{place}"
    (target,) = plan_downloads(write(tmp_path, [entry]), tmp_path)
    assert (target.page, target.format) == (page, kind)
    assert target.path == tmp_path / "a" / name
