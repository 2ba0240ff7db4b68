import csv
import json
import os

import pytest

from illustkit.errors import UserError
from illustkit.tables import read_json, read_table, write_json, write_table

NAMES = [
    os.fsdecode("絵.png".encode("cp932")),  # bytes that are no UTF-8
    "絵 a.png",
    'a"b,c;d.png',
    "two\nlines\r.png",
    "back\\slash.png",
    "D: x.png",
    "half \ud83d.png",  # of a character; JSON can say it
]


@pytest.mark.parametrize("name", NAMES[:-1])
def test_tables_and_json_give_any_name_back(tmp_path, name):
    write_table(tmp_path / "a.csv", ["file", "score"], [[name, 5], ["b", 1]])
    assert read_table(tmp_path / "a.csv", ["file"]) == [
        (2 + name.count("\n") + name.count("\r"), {"file": name, "score": "5"}),
        (3 + name.count("\n") + name.count("\r"), {"file": "b", "score": "1"}),
    ]
    write_json(tmp_path / "a.json", {"file": name, name: [1, None]})
    assert read_json(tmp_path / "a.json") == {"file": name, name: [1, None]}


def test_the_bytes_of_a_name_are_in_the_file_as_they_are(tmp_path):
    write_table(tmp_path / "a.csv", ["file"], [[NAMES[0]]])
    write_json(tmp_path / "a.json", [NAMES[0]], indent=None)
    raw = "絵.png".encode("cp932")
    assert (tmp_path / "a.csv").read_bytes() == b"file\n" + raw + b"\n"
    assert (tmp_path / "a.json").read_bytes() == b'["' + raw + b'"]'


@pytest.mark.parametrize("name", NAMES)
def test_no_name_ends_the_work(tmp_path, name):
    write_table(tmp_path / "a.csv", ["file"], [[name]])
    write_json(tmp_path / "a.json", [name])
    assert len(read_table(tmp_path / "a.csv", ["file"])) == 1
    assert len(read_json(tmp_path / "a.json")) == 1


@pytest.mark.parametrize(
    "encoding, delimiter, end",
    [
        ("utf-8-sig", ",", "\r\n"),
        ("utf-8-sig", ";", "\r\n"),
        ("utf-8", "\t", "\n"),
        ("utf-16", "\t", "\r\n"),
    ],
)
def test_tables_that_a_spreadsheet_saved(tmp_path, encoding, delimiter, end):
    with open(tmp_path / "a.csv", "w", newline="", encoding=encoding) as file:
        table = csv.writer(file, delimiter=delimiter, lineterminator=end)
        table.writerows([["score", "file"], ["5", "絵, a.png"], [], ["1"]])
    assert read_table(tmp_path / "a.csv", ["file", "score"]) == [
        (2, {"file": "絵, a.png", "score": "5"}),
        (4, {"file": "", "score": "1"}),
    ]


def test_a_table_in_a_code_page_is_named_with_the_fix(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("file,score\na.png,1\n絵.png,5\n".encode("cp932"))
    with pytest.raises(UserError, match=r"a\.csv, line 3: .*CSV UTF-8"):
        read_table(path, ["file"], exists=lambda row: (tmp_path / row["file"]).exists())
    # Names of files in that code page are names.
    with open(os.path.join(os.fsencode(tmp_path), "絵.png".encode("cp932")), "w"):
        pass
    rows = read_table(
        path, ["file"], exists=lambda row: (tmp_path / row["file"]).exists()
    )
    assert len(rows) == 2


@pytest.mark.parametrize(
    "data, problem",
    [
        (None, "no such file"),
        (b"", "line 1: no column file and score"),
        (b"name,score\n", "line 1: no column file. The first line is file,score"),
        (b"file,score\n" + b"a" * 200_000 + b",1\n", "line 2: field larger"),
        (b"\xff\xfea", "is no text"),
    ],
)
def test_faults_of_a_table_are_one_line(tmp_path, data, problem):
    path = tmp_path / "a.csv"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_table(path, ["file", "score"])
    line = str(caught.value)
    assert line.startswith(str(path)) and problem in line and "\n" not in line


@pytest.mark.parametrize(
    "data",
    [None, b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, b'{"a": 1} b', b"\0"],
)
def test_faults_of_a_json_file_are_one_line(tmp_path, data):
    path = tmp_path / "a.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_what_others_wrote_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(["絵"]).encode())
    assert read_json(path) == ["絵"]
