import numpy as np
import pytest

from diffusion.attributes import (
    encode,
    forget,
    groups,
    parse_attributes,
    read_attributes,
    width,
)
from illustkit.errors import UserError
from illustkit.tables import write_table

SCHEMA = {"hair": ["red", "blue"], "glasses": ["no", "yes"], "mark": ["x"]}


def test_wishes_are_encoded_by_hand():
    wishes = [{"hair": "blue"}, {"glasses": True, "hair": "red"}, {}, {"mark": "x"}]
    expected = [[0, 1, 0, 0, 0], [1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    assert encode(SCHEMA, wishes).tolist() == expected
    assert width(SCHEMA) == 5 and groups(SCHEMA)[1] == slice(2, 4)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"hair": "green"}, "one of: red, blue. Received: green"),
        ({"hare": "red"}, "'hare'. It has: hair, glasses, mark"),
    ],
)
def test_a_wish_that_cannot_be_is_named(wish, said):
    with pytest.raises(UserError, match=said):
        encode(SCHEMA, [wish])


def test_whole_attributes_are_forgotten_from_none_to_all():
    vectors = encode(SCHEMA, [{"hair": "red", "glasses": "no", "mark": "x"}] * 8000)
    kept = forget(vectors, SCHEMA, np.random.default_rng(0))
    assert ((kept == vectors) | (kept == 0)).all()
    n_kept = kept.sum(axis=1)
    # A uniform share of each of three: every number is as likely, 1 in 4.
    counts = np.bincount(n_kept.astype(int), minlength=4) / len(vectors)
    np.testing.assert_allclose(counts, 0.25, atol=0.02)


def test_attributes_come_from_folders():
    schema, wishes = read_attributes("folders", ["b/1.png", "a/c/2.png", "3.png"])
    assert schema == {"folder": ["a/c", "b"]}
    assert wishes == [{"folder": "b"}, {"folder": "a/c"}, {}]


def test_attributes_come_from_a_table(tmp_path):
    rows = [["1.png", "red", ""], ["other.png", "x", "x"], ["2.png", "blue", "yes"]]
    write_table(tmp_path / "table.csv", ["file", "hair", "glasses"], rows)
    names = ["2.png", "1.png", "3.png"]
    schema, wishes = read_attributes(tmp_path / "table.csv", names)
    assert schema == {"glasses": ["yes"], "hair": ["blue", "red"]}
    assert wishes == [{"hair": "blue", "glasses": "yes"}, {"hair": "red"}, {}]


def test_what_steers_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="no attribute has two values"):
        read_attributes("folders", ["1.png", "2.png"])
    write_table(tmp_path / "table.csv", ["file", "hair"], [["x.png", "red"]])
    with pytest.raises(UserError, match="names no picture of the folder"):
        read_attributes(tmp_path / "table.csv", ["1.png"])


def test_the_command_lines_text_is_parsed():
    parsed = parse_attributes("hair=red, hairstyle = twin tails")
    assert parsed == {"hair": "red", "hairstyle": "twin tails"}
    assert parse_attributes(None) is None
    for text in ("red", "hair=", "=red", ""):
        with pytest.raises(UserError, match="hair=red,glasses=yes"):
            parse_attributes(text)
