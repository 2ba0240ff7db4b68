"""ZIP and CBZ: the pictures in them are restored, and all else stays."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from illustkit.errors import UserError
from oppai.detection.find_censored import Found
from oppai.inference.archives import unpacked
from tests.oppai.inference.test_files import inside, noise, run, save


def png(picture):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def archive_of(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


MEMBERS = {
    "10.png": png(noise(seed=10)),
    "chapter/": b"",
    "chapter/2.png": png(noise(seed=2)),
    "ComicInfo.xml": b"<ComicInfo/>" * 99,
    "small.png": png(noise(6, 6)),  # the box lies outside
    "__MACOSX/._10.png": b"no picture",
    "a.txt": b"text",
}


def test_pictures_of_an_archive_are_restored_and_all_else_stays(tmp_path):
    path = archive_of(tmp_path / "comic.cbz", MEMBERS)
    with zipfile.ZipFile(path, "a") as file:
        info = zipfile.ZipInfo("late.txt", (2001, 2, 3, 4, 6, 8))
        info.compress_type, info.comment = zipfile.ZIP_DEFLATED, b"a note"
        info.external_attr = 0o640 << 16
        file.writestr(info, b"late" * 99)
        file.comment = b"of the whole"
    before = path.read_bytes()
    report = run(path)
    assert report.written == [tmp_path / "comic_restored.cbz"]
    assert path.read_bytes() == before
    ((left, reason),) = report.left_out
    assert left == path / "small.png" and "wholly outside" in reason
    assert "2 of its 3 pictures are restored" in str(report)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(report.written[0]) as new:
        assert new.testzip() is None and new.comment == old.comment
        assert new.namelist() == old.namelist()
        for one, other in zip(old.infolist(), new.infolist(), strict=True):
            for name in ("date_time", "compress_type", "comment", "external_attr"):
                assert getattr(one, name) == getattr(other, name), one.filename
            if one.filename not in ("10.png", "chapter/2.png"):
                assert old.read(one) == new.read(other)
        for name, seed in {"10.png": 10, "chapter/2.png": 2}.items():
            picture = np.asarray(Image.open(io.BytesIO(new.read(name))))
            colour = (200, 30, 90)
            wanted = np.where(inside((40, 50))[..., None], colour, noise(seed=seed))
            np.testing.assert_array_equal(picture, wanted)
    # What is there stays; a second time nothing is written.
    assert run(path).skipped == report.written
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "comic.cbz",
        "comic_restored.cbz",
    ]


def test_archives_in_a_folder_are_restored_beside_its_pictures(tmp_path):
    folder = tmp_path / "comics"
    (folder / "b").mkdir(parents=True)
    archive_of(folder / "b" / "1.cbz", MEMBERS)
    archive_of(folder / "words.zip", {"a.txt": b"text"})
    (folder / "broken.cbz").write_bytes(b"no archive")
    (folder / "2.png").write_bytes(MEMBERS["10.png"])
    report = run(folder)
    done = [path.relative_to(folder).as_posix() for path in report.written]
    assert done == ["restored/2.png", "restored/b/1.cbz"]
    assert {path.name for path, _ in report.left_out} == {"broken.cbz", "small.png"}
    with zipfile.ZipFile(folder / "restored" / "b" / "1.cbz") as packed:
        assert packed.namelist() == [*MEMBERS]
        restored = packed.read("10.png")
    assert restored == (folder / "restored" / "2.png").read_bytes()
    # Neither the pictures' results nor the archives' are restored again.
    assert run(folder).skipped == report.written
    only = tmp_path / "only"
    only.mkdir()
    archive_of(only / "a.zip", {"10.png": MEMBERS["10.png"]})
    assert [p.name for p in run(only).written] == ["a.zip"]


def test_masks_of_an_archive_go_out_and_in_again(tmp_path):
    path = archive_of(tmp_path / "comic.zip", MEMBERS)
    run(path, save_masks=tmp_path / "masks", output=tmp_path / "one.zip")
    masks = sorted((tmp_path / "masks").rglob("*.png"))
    names = [mask.relative_to(tmp_path / "masks/comic.zip") for mask in masks]
    assert [name.as_posix() for name in names] == ["10.png", "chapter/2.png"]
    other = {"boxes": None, "masks": tmp_path / "masks"}
    run(path, output=tmp_path / "two.cbz", **other)
    one, two = (zipfile.ZipFile(tmp_path / name) for name in ("one.zip", "two.cbz"))
    with one, two:
        assert all(one.read(name) == two.read(name) for name in one.namelist())
    beside = {**MEMBERS, "10_mask.png": png(inside((40, 50)).astype(np.uint8) * 255)}
    path = archive_of(tmp_path / "beside.zip", beside)
    report = run(path, boxes=None, mask_pattern="{stem}_mask.png")
    assert "1 of its 3 pictures are restored" in str(report)


def test_clean_archives_are_left_or_copied_and_pages_get_a_format(
    tmp_path, monkeypatch
):
    nothing = Found((), np.zeros((40, 50), np.uint8))
    monkeypatch.setattr("oppai.inference.one_file.find_censored", lambda _: nothing)
    path = archive_of(tmp_path / "comic.cbz", MEMBERS)
    report = run(path, boxes=None)
    assert "in its 3 pictures nothing censored" in report.unmarked[0][1]
    assert [p.name for p in tmp_path.iterdir()] == ["comic.cbz"]
    report = run(path, boxes=None, copy_clean=True, format="webp")
    with zipfile.ZipFile(report.copied[0]) as file:
        assert file.namelist()[:3] == ["10.webp", "chapter/", "chapter/2.webp"]
        assert Image.open(io.BytesIO(file.read("10.webp"))).format == "WEBP"
    save(tmp_path / "10.webp", noise())
    members = {**MEMBERS, "10.webp": (tmp_path / "10.webp").read_bytes()}
    path = archive_of(tmp_path / "twice.cbz", members)
    report = run(path, format="webp", output=tmp_path / "out")
    assert "10.webp would come twice" in str(report) and not report.written


def encrypted(path):
    archive_of(path, {"a.png": b"x"})
    data = bytearray(path.read_bytes())
    for start, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(start) + flags] |= 1
    path.write_bytes(data)


def broken(path):
    archive_of(path, {"a.png": b"abcdefgh" * 9})
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"abcdefgx", 1))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda p: archive_of(p, {"../a.png": b""}), "'../a.png' leaves its folder"),
        (lambda p: archive_of(p, {"/a.png": b""}), "leaves its folder"),
        (lambda p: archive_of(p, {"a.png": b"", "A.png": b""}), "comes twice"),
        (lambda p: archive_of(p, {"a.txt": b""}), "holds no pictures"),
        (lambda p: archive_of(p, {"checksums.json": b"", "a.png": b""}), "checksums"),
        (encrypted, "is encrypted"),
        (broken, "'a.png' is broken"),
        (lambda p: p.write_bytes(b"PK"), "is no whole ZIP"),
    ],
)
def test_archives_that_cannot_be_trusted_are_left_out(tmp_path, make, words):
    path = tmp_path / "in/a.cbz"
    path.parent.mkdir()
    make(path)
    ((left, reason),) = run(path, output=tmp_path / "out").left_out
    assert left == path and words in reason and "\n" not in reason
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_an_archive_made_to_fill_the_disk_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr("oppai.inference.archives._SMALL", 1 << 16)
    options = {"compression": zipfile.ZIP_DEFLATED}
    path = archive_of(tmp_path / "a.zip", {"a.bmp": bytes(1 << 20)}, **options)

    def never(*args):
        raise AssertionError("it is unpacked")

    monkeypatch.setattr("oppai.inference.archives.extract_member", never)
    assert "times its own size" in str(run(path))


def test_names_of_a_japanese_windows_are_read(tmp_path):
    path = archive_of(tmp_path / "a.zip", {"PAGEPAGE.png": png(noise())})
    name = "表紙八頁".encode("cp932")
    path.write_bytes(path.read_bytes().replace(b"PAGEPAGE", name))
    with unpacked(path) as pages:
        assert pages.names == ["表紙八頁.png"]
    with zipfile.ZipFile(run(path).written[0]) as file:
        assert file.namelist() == ["表紙八頁.png"]


def test_results_of_an_archive_have_the_name_of_one(tmp_path):
    path = archive_of(tmp_path / "a.cbz", MEMBERS)
    with pytest.raises(UserError, match="x.png: what becomes of .* is an archive, too"):
        run(path, output=tmp_path / "x.png")
    with pytest.raises(UserError, match="`save_masks` is the name of one picture"):
        run(path, save_masks=tmp_path / "x.png")
    assert run(path, output=tmp_path / "out").written == [tmp_path / "out/a.cbz"]
