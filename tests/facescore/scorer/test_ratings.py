import os

import pytest
from PIL import Image

from facescore.scorer.ratings import (
    RatingError,
    ratings_from_csv,
    ratings_from_folders,
    read_ratings,
    write_ratings,
)
from illustkit.files import write_whole


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)
    return path


def test_folders_of_scores(tmp_path):
    names = ["1/a.png", "5/b.png", "5/deep/c.png", "6/d.png", "e.png"]
    paths = [picture(tmp_path / name) for name in names]
    assert read_ratings(tmp_path) == [(paths[0], 1), (paths[1], 5), (paths[2], 5)]
    picture(tmp_path / "2/b.png")
    with pytest.raises(RatingError, match="5/b.png: is in .*/2 too"):
        ratings_from_folders(tmp_path)
    with pytest.raises(RatingError, match="no folders 1/ to 5/"):
        read_ratings(tmp_path / "6")


def test_a_table_comes_back(tmp_path):
    names = ["a.png", "x,y/ü.png", "b.png"]
    paths = [picture(tmp_path / name) for name in names]
    ratings = list(zip(paths, (4, 1, 5), strict=True))
    table = write_ratings(tmp_path / "ratings.csv", ratings)
    assert table.read_text("utf-8").splitlines() == [
        "file,score",
        "a.png,4",
        '"x,y/ü.png",1',
        "b.png,5",
    ]
    assert read_ratings(tmp_path) == read_ratings(table) == ratings
    # As a spreadsheet writes it: BOM, CRLF, other columns, 4.0.
    text = "\ufeffscore,note,file\r\n4.0,nice,a.png\r\n"
    table.write_bytes(text.encode("utf-8"))
    assert read_ratings(table) == [(paths[0], 4)]
    elsewhere = tmp_path / "elsewhere" / "r.csv"
    write_ratings(elsewhere, ratings, tmp_path)
    assert ratings_from_csv(elsewhere, tmp_path) == ratings
    (tmp_path / "1").mkdir()
    with pytest.raises(RatingError, match="both folders of scores and ratings.csv"):
        read_ratings(tmp_path)


def test_ratings_of_files_of_any_name_come_back(tmp_path):
    names = ["D: x.png", "two\nlines.png", "back\\slash.png", 'a"b;c.png']
    names.append(os.fsdecode("絵.png".encode("cp932")))
    ratings = [(picture(tmp_path / name), 1 + i) for i, name in enumerate(names)]
    table = write_ratings(tmp_path / "ratings.csv", ratings)
    assert read_ratings(tmp_path) == ratings
    # A picture that is gone does not take the others with it.
    ratings.pop(0)[0].unlink()
    with pytest.raises(RatingError):
        read_ratings(table)
    ratings.pop(0)[0].unlink()
    text = table.read_text("utf-8", errors="surrogateescape").replace("D: x", "gone")
    write_whole(table, text)
    gone = []
    assert read_ratings(table, gone=gone) == ratings
    assert gone == [(tmp_path / "gone.png", 1), (tmp_path / "two\nlines.png", 2)]


def test_tables_that_spreadsheets_save(tmp_path):
    path = picture(tmp_path / "絵.png")
    table = tmp_path / "r.csv"
    for data in (
        "\ufefffile;score\r\n絵.png;4\r\n".encode(),
        "file\tscore\n絵.png\t4\n".encode("utf-16"),
    ):
        table.write_bytes(data)
        assert read_ratings(table) == [(path, 4)]
    table.write_bytes("file,score\n絵.png,4\n".encode("cp932"))
    with pytest.raises(RatingError, match='line 2: .* Save it as "CSV UTF-8"'):
        read_ratings(table)


def test_every_problem_is_named_by_file_and_line(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path.parent / "outside.png")
    table = tmp_path / "r.csv"
    lines = [
        ("a.png,3", None),
        ("a.png,6", "Received: '6'"),
        ("a.png,2.5", "Received: '2.5'"),
        ("a.png,", "Received: ''"),
        ("a.png", "Received: ''"),
        ("gone.png,3", "there is no picture"),
        ("../outside.png,3", "within its folder"),
        ("a.png,4", "is in line 2 too"),
    ]
    table.write_text("file,score\n" + "\n".join(line for line, _ in lines))
    with pytest.raises(RatingError) as caught:
        read_ratings(table)
    wanted = [(n, text) for n, (_, text) in enumerate(lines, 2) if text]
    for problem, (number, text) in zip(caught.value.problems, wanted, strict=True):
        assert problem.startswith(f"{table}, line {number}: ") and text in problem
    table.write_text("picture,score\na.png,3\n")
    with pytest.raises(RatingError, match="r.csv, line 1: no column file"):
        read_ratings(table)
    with pytest.raises(RatingError, match="gone.csv: no such file"):
        read_ratings(tmp_path / "gone.csv")
    with pytest.raises(ValueError, match="a score is 1, 2, 3, 4 or 5"):
        write_ratings(table, [(tmp_path / "a.png", 0)])
