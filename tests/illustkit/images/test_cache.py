import json
import os

import numpy as np
import pytest

from illustkit.images.cache import file_stamps, store_pictures

RNG = np.random.default_rng(0)
EQUAL = RNG.integers(0, 256, (5, 4, 6, 3), np.uint8)
UNLIKE = [RNG.integers(0, 256, (h, 9 - h, 3), np.uint8) for h in (3, 7, 3, 1)]


def filler(pictures, calls=None):
    def fill(writer):
        if calls is not None:
            calls.append(1)
        for i, picture in enumerate(pictures):
            writer.add(picture, name=f"{i}.png", box=(i, 2))
        writer.details["report"] = {"left out": ["x"]}

    return fill


@pytest.mark.parametrize("where", ["folder", None])
def test_what_is_stored_is_read(tmp_path, where):
    folder = tmp_path / "new" if where else None
    for _ in range(2):  # stored, then opened
        stored = store_pictures(folder, {"size": 4}, filler(EQUAL))
        assert len(stored) == 5 and stored.shape == EQUAL.shape and stored.ndim == 4
        assert stored.dtype == np.uint8 and (np.asarray(stored) == EQUAL).all()
        assert (stored[3] == EQUAL[3]).all() and (stored[-1] == EQUAL[-1]).all()
        assert (stored[1:4] == EQUAL[1:4]).all() and stored[:0].shape == (0, 4, 6, 3)
        assert (stored[[4, 0, 4]] == EQUAL[[4, 0, 4]]).all()
        assert stored.rows[2] == {"name": "2.png", "box": [2, 2]}
        assert stored.details == {"report": {"left out": ["x"]}}
        with pytest.raises(IndexError):
            stored[5]


def test_a_selection_loads_nothing(tmp_path):
    stored = store_pictures(tmp_path, 1, filler(EQUAL))
    some = stored.select([3, 1, 0]).select(np.array([True, False, True]))
    assert [row["name"] for row in some.rows] == ["3.png", "0.png"]
    assert some.shape == (2, 4, 6, 3) and (some[:] == EQUAL[[3, 0]]).all()
    assert (some.array == EQUAL[[3, 0]]).all()
    assert stored.select([]).shape == (0, 4, 6, 3)
    assert np.shares_memory(stored.array, some[0])
    assert np.shares_memory(stored.select([1, 2]).array, stored[1])
    with pytest.raises(ValueError, match="read-only"):
        stored.array[0] = 0


@pytest.mark.parametrize("where", ["folder", None])
def test_pictures_of_unlike_shapes(tmp_path, where):
    stored = store_pictures(tmp_path if where else None, 1, filler(UNLIKE))
    for picture, expected in zip(stored[:], UNLIKE, strict=True):
        assert picture.shape == expected.shape and (picture == expected).all()
    assert (stored.select([3])[0] == UNLIKE[3]).all()
    with pytest.raises(ValueError, match="3 different shapes"):
        _ = stored.shape


def test_only_another_key_builds_anew(tmp_path):
    calls = []
    for key, count in (({"a": 1, "b": 2}, 1), ({"b": 2, "a": 1}, 1), ({"a": 1}, 2)):
        store_pictures(tmp_path, key, filler(EQUAL, calls))
        assert len(calls) == count
        assert len(list(tmp_path.iterdir())) == 2  # nothing of the key before


def test_a_reader_keeps_what_it_reads(tmp_path):
    first = store_pictures(tmp_path, 1, filler(EQUAL))
    store_pictures(tmp_path, 2, filler(UNLIKE))
    assert (first[:] == EQUAL).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda index, data: index.write_text(index.read_text()[:100]),
        lambda index, data: index.write_text("[]"),
        lambda index, data: index.write_text('{"stamps": [], "rows": []}'),
        lambda index, data: data.write_bytes(data.read_bytes()[:-1]),
        lambda index, data: data.write_bytes(b"half"),
        lambda index, data: data.unlink(),
        lambda index, data: index.write_text(
            index.read_text().replace('"version": 2', '"version": 1')
        ),
    ],
)
def test_what_is_not_whole_is_built_anew(tmp_path, spoil):
    calls = []
    store_pictures(tmp_path, 1, filler(EQUAL, calls))
    index, data = sorted(tmp_path.iterdir(), key=lambda path: path.suffix)
    spoil(index, data)
    stored = store_pictures(tmp_path, 1, filler(EQUAL, calls))
    assert len(calls) == 2 and (stored[:] == EQUAL).all()


def test_a_failure_leaves_what_was_there(tmp_path):
    def fail(writer):
        writer.add(EQUAL[0])
        raise KeyboardInterrupt

    store_pictures(tmp_path, 1, filler(EQUAL))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        store_pictures(tmp_path, 2, fail)
    assert sorted(tmp_path.iterdir()) == before
    calls = []
    store_pictures(tmp_path, 1, filler(EQUAL, calls))
    assert not calls


def test_files_of_older_versions_go(tmp_path):
    (tmp_path / "crops.json").write_text(json.dumps({"stamps": []}))
    for name in ("crops.bin", "patches-0123456789abcdef.npy", "mine.txt"):
        (tmp_path / name).touch()
    obsolete = ("crops.bin", "patches-*.npy")
    store_pictures(tmp_path, 1, filler(EQUAL), name="crops", obsolete=obsolete)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3 and names[0].startswith("crops-")
    assert names[1:] == ["crops.json", "mine.txt"]


def test_stamps_change_with_the_file(tmp_path):
    path = tmp_path / "a" / "b.png"
    path.parent.mkdir()
    path.write_bytes(b"123")
    os.utime(path, ns=(5, 7))
    assert file_stamps([path]) == [[str(path), 7, 3]]
    assert file_stamps([path], tmp_path) == [["a/b.png", 7, 3]]
