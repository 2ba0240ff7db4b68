import hashlib
import json

import pytest

from illustkit.errors import UserError
from illustkit.training.split import (
    read_split,
    relative_names,
    split_names,
    split_run,
    write_split,
)

NAMES = [f"{i}.png" for i in range(400)]


def side(name, seed, holdout):
    """Worked out anew: the first 8 bytes of SHA-256 as a fraction."""
    number = int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:16], 16)
    return number / 16**16 < holdout


@pytest.mark.parametrize("seed, holdout", [(0, 0.1), (7, 0.5)])
def test_a_hash_of_the_name_decides(seed, holdout):
    training, held_out = split_names(NAMES, holdout=holdout, seed=seed)
    assert held_out == [name for name in NAMES if side(name, seed, holdout)]
    assert training == [name for name in NAMES if not side(name, seed, holdout)]
    fewer = split_names(NAMES[::3], holdout=holdout, seed=seed)
    assert set(fewer[1]) <= set(held_out) and set(fewer[0]) <= set(training)


def test_both_sides_have_a_name_where_there_are_two():
    for names in (["a", "b"], ["a", "b", "a", "c"]):
        for holdout in (1e-9, 1 - 1e-9):
            training, held_out = split_names(names, holdout=holdout)
            assert training and held_out
            assert sorted(training + held_out) == sorted(set(names))
    assert split_names(["a"]) == (["a"], []) and split_names([]) == ([], [])
    for holdout in (0, 1, -0.1):
        with pytest.raises(UserError, match="holdout"):
            split_names(NAMES, holdout=holdout)


def test_names_are_relative_to_the_data(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    paths = [first / "x/1.png", first / "1.png", second / "x/1.png", tmp_path / "c.png"]
    assert relative_names(paths[:2], first) == ["x/1.png", "1.png"]
    names = relative_names(paths, [first, second])
    assert names == ["x/1.png", "1.png", "b/x/1.png", str(tmp_path / "c.png")]
    same = relative_names([first / "b/1.png", second / "1.png"], [first, second])
    assert same == ["b/1.png", str(second / "1.png")]


def test_a_run_without_a_split_chooses(tmp_path):
    assert split_run(tmp_path, NAMES) == split_names(NAMES)
    chosen = split_run(tmp_path, NAMES, choose=lambda names: (names[5:], names[4::-1]))
    assert chosen == (NAMES[5:], NAMES[4::-1])
    assert not list(tmp_path.iterdir())


def test_a_run_with_a_split_keeps_it(tmp_path):
    write_split(tmp_path, ["c", "gone", "a"], ["d", "b", "lost"])
    assert read_split(tmp_path) == (["c", "gone", "a"], ["d", "b", "lost"])
    names = ["a", "b", "c", "d", *NAMES]
    training, held_out = split_run(tmp_path, names, choose=lambda names: (names, []))
    assert training[:2] == ["c", "a"] and held_out[:2] == ["d", "b"]
    assert held_out[2:] == [name for name in NAMES if side(name, 0, 0.1)]
    assert sorted(training + held_out) == sorted(names)


def test_a_run_of_an_older_version_stored_paths(tmp_path):
    old = {"train": ["/data/set/a.png"], "held_out": ["/data/set/b.png"]}
    (tmp_path / "split.json").write_text(json.dumps(old))
    stored_as = {name: f"/data/set/{name}" for name in ("a.png", "b.png", "c.png")}
    names = ["c.png", "b.png", "a.png"]
    sides = split_run(tmp_path, names, stored_as=stored_as, holdout=1e-9)
    assert sides == (["a.png", "c.png"], ["b.png"])


@pytest.mark.parametrize("text", [None, "{", "[]", '{"train": 1}', '{"train": [1]}'])
def test_a_file_that_is_no_split_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "split.json").write_text(text)
    with pytest.raises(UserError, match="split.json does not say which pictures"):
        read_split(tmp_path)
    (tmp_path / "default_split.json").write_text('{"train": ["a"]}')
    assert read_split(tmp_path / "default_split.json") == (["a"], [])


def test_a_split_is_fixed_for_all_time():
    # A held-out set that moved would end up in a training set.
    assert split_names(NAMES[:9], holdout=0.3)[1] == ["1.png", "4.png"]


@pytest.mark.parametrize("holdout", [0.001, 0.5, 0.999])
def test_the_name_nearest_to_an_empty_side_changes_over(holdout):
    names = [f"{i}" for i in range(30)]
    for seed in range(20):
        assert all(split_names(["a", "b", "a"], holdout=holdout, seed=seed))
        held_out = set(split_names(names, holdout=holdout, seed=seed)[1])
        half = set(split_names(names, holdout=0.5, seed=seed)[1])
        assert held_out <= half or half <= held_out


@pytest.mark.parametrize("holdout", [1.5, float("nan")])
def test_holdout_is_a_fraction(holdout):
    with pytest.raises(UserError, match="Received"):
        split_names(["a", "b"], holdout=holdout)


def test_a_run_that_never_trained_is_split_anew(tmp_path):
    names = [f"{i}.png" for i in range(40)]
    few = split_names(names, holdout=0.1)
    many = split_names(names, holdout=0.5)
    assert few != many
    write_split(tmp_path, *few)
    (tmp_path / "settings.json").write_text("{}")
    assert split_run(tmp_path, names, holdout=0.5) == many
    (tmp_path / "history.csv").write_text("")  # the first epoch never ended
    assert split_run(tmp_path, names, holdout=0.5) == many
    (tmp_path / "history.csv").write_text("epoch,loss\n0,1.0\n")
    assert split_run(tmp_path, names, holdout=0.5) == few


def test_names_that_are_gone_stay_on_their_side(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,loss\n0,1\n")
    write_split(tmp_path, NAMES[:50], NAMES[50:60])
    fewer = [*NAMES[10:50], *NAMES[55:60]]
    write_split(tmp_path, *split_run(tmp_path, fewer))
    training, held_out = read_split(tmp_path)
    assert set(training) == set(NAMES[:50]) and set(held_out) == set(NAMES[50:60])
    assert set(split_run(tmp_path, NAMES[:60])[1]) == set(NAMES[50:60])
