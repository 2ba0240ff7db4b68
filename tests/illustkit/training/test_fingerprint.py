import hashlib
import json
import os

import pytest

from illustkit.errors import UserError
from illustkit.training.fingerprint import compare_data, fingerprint_file
from illustkit.training.split import relative_names, split_run, write_split


@pytest.fixture
def run(tmp_path):
    """A run that has done an epoch."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "settings.json").write_text("{}")
    (folder / "history.csv").write_text("epoch,loss\n0,1\n")
    return folder


def pictures(folder, **contents):
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{name}.png" for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return relative_names(paths, folder), paths


def test_a_fingerprint_is_of_the_content(tmp_path):
    short, long = tmp_path / "a", tmp_path / "b"
    short.write_bytes(b"abc")
    digest = hashlib.sha256(b"3:abc").hexdigest()
    assert fingerprint_file(short) == digest[:16]
    data = bytes(range(256)) * 1024
    long.write_bytes(data)
    expected = hashlib.sha256(b"262144:" + data[: 1 << 16] + data[-(1 << 16) :])
    assert fingerprint_file(long) == expected.hexdigest()[:16]
    assert fingerprint_file(tmp_path / "none") == ""


def test_what_changed_is_told_and_recorded(tmp_path, run):
    names, paths = pictures(tmp_path / "a", one=b"1", two=b"2", three=b"3", four=b"4")
    first = compare_data(run, names, paths)
    assert first.report == ""
    first.write(run)
    assert compare_data(run, names, paths).report == ""
    moved = pictures(tmp_path / "b", one=b"1", two=b"new", five=b"5", six=b"6", IV=b"4")
    data = compare_data(run, *moved)
    assert data.report == (
        "The data have changed since this run began: 2 pictures added, 1 gone, "
        "1 changed, 1 renamed."
    )
    assert (data.added, data.gone) == (("five.png", "six.png"), ("three.png",))
    assert data.changed == ("two.png",) and data.renamed == {"IV.png": "four.png"}
    data.write(run, after_epoch=3)
    again = compare_data(run, *moved)
    assert again.report == ""
    again.write(run)
    record = json.loads((run / "data.json").read_text())
    assert [change["after_epoch"] for change in record["changes"]] == [3]
    assert record["changes"][0]["gone"] == ["three.png"]
    assert len(record["files"]) == 5 and len(record["fingerprint"]) == 64


def test_other_data_altogether_are_refused(tmp_path, run):
    compare_data(run, *pictures(tmp_path / "a", one=b"1", two=b"2")).write(run)
    other = pictures(tmp_path / "b", one=b"3", two=b"4")
    with pytest.raises(UserError, match="none of its 2 pictures is in pics. Name"):
        compare_data(run, *other, source="pics")
    (run / "history.csv").unlink()  # a run without an epoch binds to nothing
    assert compare_data(run, *other).report == ""


def test_a_renamed_picture_stays_on_its_side(tmp_path, run):
    names, paths = pictures(tmp_path / "a", **{f"p{i}": b"%d" % i for i in range(40)})
    write_split(run, *split_run(run, names))
    compare_data(run, names, paths).write(run)
    held_out = split_run(run, names)[1]
    new = pictures(tmp_path / "b", **{f"q{i}": b"%d" % i for i in range(40)})
    data = compare_data(run, *new)
    split = split_run(run, new[0], stored_as=data.renamed)
    assert split[1] == [f"q{name[1:]}" for name in held_out]


def test_names_of_any_bytes(tmp_path, run):
    paths = [tmp_path / os.fsdecode(name) for name in (b"\x8a\x47.png", b"a\n.png")]
    for path in paths:
        path.write_bytes(b"1")
    names = relative_names(paths, tmp_path)
    compare_data(run, names, paths).write(run)
    write_split(run, names[:1], names[1:])
    assert compare_data(run, names, paths).report == ""
    assert split_run(run, names) == (names[:1], names[1:])


def test_a_damaged_record_is_named(tmp_path, run):
    (run / "data.json").write_text("[]")
    with pytest.raises(UserError, match=r"data\.json is no record"):
        compare_data(run, *pictures(tmp_path / "a", one=b"1"))
