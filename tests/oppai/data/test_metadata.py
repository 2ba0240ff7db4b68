import copy
import hashlib
import http.server
import json
import threading

import pytest
from typer.testing import CliRunner

from oppai.cli.main import app
from oppai.data import metadata
from oppai.data.metadata import (
    Entry,
    MetadataError,
    find_pictures,
    load_metadata,
    save_metadata,
)

GOOD = {
    "name": "a.png",
    "filepath": "images/a.png",
    "id": 1,
    "size": {"width": 60, "height": 80},
    "image_url": "https://example.org/a.png",
    "original_url": "",
    "bounding_boxes": [
        {"left": 5.5, "top": 7, "width": 20.25, "height": 30},
        {"left": 0, "top": 0, "width": 60, "height": 80},
    ],
    "n_bounding_boxes": 2,
}


def write(folder, data):
    path = folder / "meta.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_an_entry_by_hand(tmp_path):
    assert load_metadata(write(tmp_path, [GOOD])) == [
        Entry(
            name="a.png",
            filepath="images/a.png",
            id=1,
            width=60,
            height=80,
            boxes=((5.5, 7.0, 25.75, 37.0), (0.0, 0.0, 60.0, 80.0)),
            image_url="https://example.org/a.png",
            original_url="",
        )
    ]


@pytest.mark.parametrize(
    "name, pictures, boxes", [("oppai_meta.json", 4264, 4949), ("clipart", 500, 571)]
)
def test_real_metadata_load_and_come_back(real_data, tmp_path, name, pictures, boxes):
    path = real_data / name
    path = path / "meta.json" if path.is_dir() else path
    entries = load_metadata(path)
    assert len(entries) == pictures
    assert sum(len(entry.boxes) for entry in entries) == boxes
    for entry, raw in zip(entries, json.loads(path.read_text()), strict=True):
        assert (entry.name, entry.id) == (raw["name"], raw["id"])
        for box, had in zip(entry.boxes, raw["bounding_boxes"], strict=True):
            assert 0 <= box[0] <= box[2] <= raw["size"]["width"]
            assert 0 <= box[1] <= box[3] <= raw["size"]["height"]
            had = [had[key] for key in ("left", "top", "width", "height")]
            ours = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            assert ours == pytest.approx(had, abs=1e-9)
    save_metadata(entries, tmp_path / "again.json")
    assert load_metadata(tmp_path / "again.json") == entries


def test_boxes_a_little_outside_are_cut(tmp_path):
    entry = copy.deepcopy(GOOD)
    box = {"left": -0.75, "top": 60, "width": 61.5, "height": 20.9}
    entry.update(bounding_boxes=[box], n_bounding_boxes=1)
    (loaded,) = load_metadata(write(tmp_path, [entry]))
    assert loaded.boxes == ((0.0, 60.0, 60.0, 80.0),)


def without(key):
    return {k: v for k, v in GOOD.items() if k != key}


def with_box(**changes):
    box = {**GOOD["bounding_boxes"][0], **changes}
    box = {k: v for k, v in box.items() if v is not None}
    return {**GOOD, "bounding_boxes": [GOOD["bounding_boxes"][1], box]}


WRONG = {
    **{f"no {key}": (without(key), f"has no '{key}'") for key in GOOD},
    "object": ("a.png", "is no object"),
    "name": ({**GOOD, "name": 7}, "'name'"),
    "id": ({**GOOD, "id": "1"}, "'id'"),
    "bool": ({**GOOD, "id": True}, "'id'"),
    "url": ({**GOOD, "image_url": None}, "'image_url'"),
    "size": ({**GOOD, "size": [60, 80]}, "'size'"),
    "width": ({**GOOD, "size": {"width": 60.5, "height": 80}}, "'width'"),
    "no height": ({**GOOD, "size": {"width": 60}}, "'height'"),
    "zero": ({**GOOD, "size": {"width": 0, "height": 80}}, "width of 0"),
    "huge": ({**GOOD, "size": {"width": 10**9, "height": 80}}, "width of 1000000000"),
    "boxes": ({**GOOD, "bounding_boxes": {}}, "'bounding_boxes'"),
    "count": ({**GOOD, "n_bounding_boxes": 3}, "n_bounding_boxes is 3"),
    "many": (
        {**GOOD, "bounding_boxes": [{}] * 10_001, "n_bounding_boxes": 10_001},
        "10001 boxes",
    ),
    "box": ({**GOOD, "bounding_boxes": [[1, 2, 3, 4]] * 2}, "box 0"),
    "no left": (with_box(left=None), "box 1 .*'left'"),
    "text": (with_box(top="7"), "box 1 .*'top'"),
    "nan": (with_box(left=float("nan")), "box 1 .*NaN"),
    "inf": (with_box(width=float("inf")), "box 1 .*NaN or Inf"),
    "giant": (with_box(width=10**400), "box 1 with too large"),
    "negative": (with_box(height=-1), "box 1 of negative size"),
    "left of it": (with_box(left=-1.5), "box 1 outside"),
    "below it": (with_box(top=51.5), "box 1 outside"),
    "beyond it": (with_box(left=1000), "box 1 outside"),
    **{
        f"name {name!r}": ({**GOOD, "name": name}, "unsafe 'name'")
        for name in ("", "..", "../a.png", "/a.png", "x/a.png", "x\\a.png", "C:a.png")
    },
    **{
        f"path {path!r}": ({**GOOD, "filepath": path}, "unsafe 'filepath'")
        for path in (
            *("", "../a.png", "images/../../a.png", "/etc/a.png", "C:/a.png", "a//b"),
            *("..\\a.png", "\\\\host\\a.png", "./a.png", "a.png\x00", " ", "a/\ud800"),
        )
    },
    "long": ({**GOOD, "name": "é" * 200}, "unsafe 'name'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_entry_is_named(tmp_path, case):
    entry, message = WRONG[case]
    first = {**GOOD, "name": "first.png"}
    path = write(tmp_path, [first, entry])
    with pytest.raises(MetadataError, match=f"meta.json: entry 1 .*{message}") as error:
        load_metadata(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    if isinstance(entry, dict) and entry.get("name") == "a.png":
        assert "('a.png')" in str(error.value)


def test_a_name_twice(tmp_path):
    with pytest.raises(
        MetadataError, match="entry 2 .'a.png'. has the name of entry 0"
    ):
        load_metadata(write(tmp_path, [GOOD, {**GOOD, "name": "b.png"}, GOOD]))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no whole JSON"),
        (json.dumps([GOOD])[:-9], "no whole JSON"),
        ("<html>", "no whole JSON"),
        ("[" * 100_000, "no whole JSON"),
        ("[1" + "0" * 5000 + "]", "no whole JSON"),
        (json.dumps(GOOD), "is a list"),
        ("[]", "is a list"),
        ("null", "is a list"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, message):
    with pytest.raises(MetadataError, match=f"meta.json.*{message}"):
        load_metadata(write(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(MetadataError, match="none.json: no such file"):
        load_metadata(tmp_path / "none.json")
    with pytest.raises(MetadataError, match="is a folder. Name a file"):
        load_metadata(tmp_path)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe[]")
    with pytest.raises(MetadataError, match="bytes.json: is no whole JSON"):
        load_metadata(tmp_path / "bytes.json")


def test_nothing_is_saved_that_could_not_be_loaded(tmp_path):
    path = tmp_path / "meta.json"
    good = load_metadata(write(tmp_path, [GOOD]))[0]
    before = path.read_text()
    outside = Entry("b.png", "b.png", 1, 10, 10, ((0, 0, 30, 5),))
    for entries in ([good, good], [good, outside]):
        with pytest.raises(ValueError, match="The entry"):
            save_metadata(entries, path)
    assert path.read_text() == before and len(list(tmp_path.iterdir())) == 1


def entry_of(name, filepath=None):
    return Entry(name, filepath or f"images/{name}", 1, 40, 30, ())


def test_pictures_are_found_in_any_layout_but_never_outside(tmp_path):
    root = tmp_path / "root"
    places = {
        "a.png": "images/a.png",
        "b.png": "b.png",
        "c.png": "set/images/c.png",
        "d.png": "x/y/d.png",
    }
    for place in [*places.values(), "x/y/z/d.png", "other/a.png"]:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "secret.png").write_bytes(b"")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "inner.png").symlink_to(root / "b.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    entries = [entry_of(name, filepath=f"set/images/{name}") for name in places]
    entries += [entry_of("inner.png"), entry_of("link.png"), entry_of("loop.png")]
    entries += [
        entry_of("secret.png", filepath="../secret.png"),
        entry_of("../secret.png", filepath=str(tmp_path / "secret.png")),
        entry_of("folder.png", filepath="x"),
        entry_of("l" * 5000),
    ]
    paths, missing = find_pictures(entries, root)
    assert paths == {n: root / p for n, p in places.items()} | {
        "inner.png": root / "inner.png"
    }
    expected = ["link.png", "loop.png", "secret.png", "../secret.png", "folder.png"]
    assert missing == [*expected, "l" * 5000]


DATA = b'[{"name": "not the true one"}]' * 3


@pytest.fixture
def served(monkeypatch, tmp_path):
    """What a server gives, and how often it was asked."""
    served = {"data": DATA, "status": 200, "asked": 0}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            served["asked"] += 1
            self.send_response(served["status"])
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(served["data"])

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,)).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/oppai_meta.json"
    monkeypatch.setattr(metadata, "URL", url)
    monkeypatch.setattr(metadata, "SHA256", hashlib.sha256(DATA).hexdigest())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    yield served
    server.shutdown()
    server.server_close()


def test_it_is_fetched_once_and_its_licence_printed(served, tmp_path):
    target = tmp_path / "oppai_dataset" / "oppai_meta.json"
    for _ in range(2):
        done = CliRunner().invoke(app, ["fetch-metadata", str(target)])
        assert done.exit_code == 0, done.output
        assert "AGPL-3.0" in done.output and str(target) in done.output
    other = tmp_path / "elsewhere.json"
    metadata.fetch_metadata(other)
    assert target.read_bytes() == other.read_bytes() == DATA
    assert served["asked"] == 1
    (tmp_path / "cache" / "illustkit" / "oppai_meta.json").write_text("spoilt")
    metadata.fetch_metadata(tmp_path / "third.json")
    assert served["asked"] == 2


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data": DATA[:-1] + b"x"}, "another file than the one known"),
        ({"data": DATA[:-9]}, "could not be fetched|another file"),
        ({"status": 404}, "could not be fetched .*404"),
    ],
)
def test_nothing_else_is_kept(served, tmp_path, changes, message):
    served.update(changes)
    target = tmp_path / "meta.json"
    with pytest.raises(ValueError, match=message):
        metadata.fetch_metadata(target)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_another_file_is_not_replaced(served, tmp_path):
    target = tmp_path / "meta.json"
    target.write_text("mine")
    with pytest.raises(ValueError, match="another file is here"):
        metadata.fetch_metadata(target)
    assert target.read_text() == "mine" and served["asked"] == 0
    metadata.fetch_metadata(target, overwrite=True)
    assert target.read_bytes() == DATA


def test_the_pin_is_of_the_chapters_file(real_data):
    data = (real_data / "oppai_meta.json").read_bytes()
    assert hashlib.sha256(data).hexdigest() == metadata.SHA256
    assert metadata.URL.startswith("https://") and len(data) < metadata._MAX_BYTES
