import hashlib
import json
import os
import stat
import zipfile

import pytest
from typer.testing import CliRunner

from illustkit.errors import UserError
from oppai.cli.main import app
from oppai.data.archive import MANIFEST, ArchiveError, pack, unpack

QUIET = {"progress": False}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "oppai_dataset"
    (folder / "images" / "deep").mkdir(parents=True)
    (folder / "images" / "a.jpg").write_bytes(os.urandom(3000))
    (folder / "images" / "deep" / "é 絵.png").write_bytes(os.urandom(10))
    (folder / "oppai_meta.json").write_text("[]" * 500)
    (folder / "images" / "empty.txt").write_text("")
    return folder


def contents(folder):
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def zip_of(path, *members):
    """A ZIP of `(ZipInfo or name, bytes)`."""
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members:
            file.writestr(name, data)
    return path


def test_there_and_back(folder, tmp_path):
    (folder / ".secret").write_text("hidden")
    (folder / "link.jpg").symlink_to(tmp_path / "elsewhere")
    before = contents(folder)
    del before[".secret"]
    archive = tmp_path / "drive" / "oppai.zip"
    run = CliRunner().invoke
    done = run(app, ["pack", str(folder), str(archive)])
    assert done.exit_code == 0, done.output
    assert [p.name for p in archive.parent.iterdir()] == ["oppai.zip"]
    done = run(app, ["unpack", str(archive), str(tmp_path / "back")])
    assert done.exit_code == 0 and "4 files" in done.output
    assert contents(tmp_path / "back" / "oppai_dataset") == before
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        known = json.loads(file.read(MANIFEST))["files"]
        for name, data in before.items():
            digest = hashlib.sha256(data).hexdigest()
            assert known[f"oppai_dataset/{name}"] == {
                "size": len(data),
                "sha256": digest,
            }
        # What is compressed already is stored, the rest deflated.
        assert file.getinfo("oppai_dataset/images/a.jpg").compress_type == 0
        assert file.getinfo("oppai_dataset/oppai_meta.json").compress_size < 100
    assert done.output.count("\n") <= 3 and not list(tmp_path.rglob("*.part"))


def test_an_unchanged_folder_gives_the_same_zip(folder, tmp_path):
    first = pack(folder, **QUIET)
    assert first == tmp_path / "oppai_dataset.zip"
    os.utime(folder / "images" / "a.jpg", (1, 1))
    second = pack(folder, tmp_path / "two.zip", **QUIET)
    assert first.read_bytes() == second.read_bytes()
    before = first.stat().st_mtime_ns
    done = CliRunner().invoke(app, ["pack", str(folder)])
    assert done.exit_code == 0 and "is there already, with these files" in done.output
    assert first.stat().st_mtime_ns == before
    (folder / "images" / "b.jpg").write_bytes(b"b")
    done = CliRunner().invoke(app, ["pack", str(folder)])
    assert done.exit_code == 2 and "Give --overwrite" in done.output
    pack(folder, overwrite=True, **QUIET)
    assert first.read_bytes() != second.read_bytes()


def test_a_zip_inside_its_folder_does_not_hold_itself(folder):
    archive = pack(folder, folder / "all.zip", **QUIET)
    pack(folder, archive, overwrite=True, **QUIET)
    assert "oppai_dataset/all.zip" not in zipfile.ZipFile(archive).namelist()


def test_nothing_to_pack(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "none"):
        with pytest.raises(ValueError, match="nothing in it"):
            pack(tmp_path / name, **QUIET)
    assert [p.name for p in tmp_path.iterdir()] == ["empty"]


def test_what_is_there_is_kept(folder, tmp_path):
    archive, back = pack(folder, **QUIET), tmp_path / "back"
    (path, *_) = unpack(archive, back, **QUIET)
    before = path.stat().st_mtime_ns
    unpack(archive, back, **QUIET)
    assert path.stat().st_mtime_ns == before
    path.write_bytes(b"mine")
    with pytest.raises(ArchiveError, match="another file is here"):
        unpack(archive, back, **QUIET)
    assert path.read_bytes() == b"mine" and not list(back.rglob("*.part"))


def test_the_chapters_zip_without_checksums(tmp_path):
    archive = zip_of(
        tmp_path / "z.zip", ("oppai_dataset/", b""), ("oppai_dataset/a", b"1")
    )
    unpack(archive, tmp_path / "back", **QUIET)
    assert contents(tmp_path / "back") == {"oppai_dataset/a": b"1"}


def info(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


HOSTILE = {
    "..": ("../out.txt", "leaves its folder"),
    "deep ..": ("a/../../out.txt", "leaves its folder"),
    "reserved": ("con.txt", "path elsewhere"),
    "absolute": ("/out.txt", "leaves its folder"),
    "dot": ("./out.txt", "leaves its folder"),
    "only ..": ("..", "leaves its folder"),
    "folder ..": ("../out/", "leaves its folder"),
    "drive": ("C:/out.txt", "leaves its folder"),
    "backslash": ("..\\out.txt", "path elsewhere"),
    "share": ("\\\\host\\out.txt", "leaves its folder"),
    "nul": ("out.txt\0.jpg", "control character"),
    "newline": ("out\n.txt", "control character"),
    "link": (info("out", stat.S_IFLNK | 0o777), "link or a device"),
    "device": (info("out", stat.S_IFCHR | 0o666), "link or a device"),
    "fifo": (info("out", stat.S_IFIFO | 0o666), "link or a device"),
    "twice": ("GOOD.txt", "comes twice"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_member_is_named_and_nothing_written(tmp_path, case):
    member, message = HOSTILE[case]
    name = member if isinstance(member, str) else member.filename
    placeholder = "@" * len(name)
    member = placeholder if isinstance(member, str) else member
    archive = zip_of(tmp_path / "z.zip", ("good.txt", b"1"), (member, b"/etc/passwd"))
    # zipfile would write some of these names another way.
    data = archive.read_bytes().replace(placeholder.encode(), name.encode())
    archive.write_bytes(data)
    target = tmp_path / "deep" / "target"
    with pytest.raises(ArchiveError, match=message) as caught:
        unpack(archive, target, **QUIET)
    assert repr(name) in str(caught.value) and "good.txt" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["z.zip"]


def test_an_encrypted_member_is_named(tmp_path):
    archive = zip_of(tmp_path / "z.zip", ("a.txt", b"1"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="'a.txt' is encrypted"):
        unpack(archive, tmp_path / "back", **QUIET)


def test_limits(folder, tmp_path, monkeypatch):
    archive = pack(folder, **QUIET)
    with pytest.raises(ArchiveError, match="would take 0.0 GB; the limit is"):
        unpack(archive, tmp_path / "back", max_bytes=3000, **QUIET)
    monkeypatch.setattr("oppai.data.archive.MAX_FILES", 3)
    with pytest.raises(ArchiveError, match="has 5 files; the limit is 3"):
        unpack(archive, tmp_path / "back", **QUIET)
    assert not (tmp_path / "back").exists()
    done = CliRunner().invoke(app, ["unpack", str(archive), "--max-gigabytes", "1e-6"])
    assert done.exit_code == 2 and done.output.count("\n") == 1


def test_a_member_that_says_it_is_small(tmp_path):
    """A bomb: 10 MB that call themselves 10 bytes."""
    archive = tmp_path / "z.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.txt", bytes(10**7))
    data = archive.read_bytes().replace((10**7).to_bytes(4, "little"), b"\x0a\0\0\0")
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="'a.txt' is broken"):
        unpack(archive, tmp_path / "back", **QUIET)
    assert contents(tmp_path / "back") == {}


def test_checksums_count(folder, tmp_path):
    archive = pack(folder, **QUIET)
    with zipfile.ZipFile(archive) as file:
        members = [(i.filename, file.read(i)) for i in file.infolist()]
    name, data = members[0]
    changed = zip_of(tmp_path / "c.zip", (name, data[:-1] + b"?"), *members[1:])
    with pytest.raises(ArchiveError, match="differs from its checksum"):
        unpack(changed, tmp_path / "c", **QUIET)
    fewer = zip_of(tmp_path / "f.zip", *members[1:])
    more = zip_of(tmp_path / "m.zip", ("more.txt", b""), *members)
    for path in (fewer, more):
        with pytest.raises(ArchiveError, match="is in only one of the ZIP and its"):
            unpack(path, tmp_path / "d", **QUIET)
    wrong = zip_of(tmp_path / "w.zip", *members[:-1], (MANIFEST, b'{"files": [1]}'))
    with pytest.raises(ArchiveError, match="checksums.json is broken"):
        unpack(wrong, tmp_path / "d", **QUIET)
    assert contents(tmp_path / "c") == {} and not (tmp_path / "d").exists()


@pytest.mark.parametrize("cut", [0, 10, 2000, -30])
def test_a_zip_cut_short_is_named(folder, tmp_path, cut):
    data = pack(folder, **QUIET).read_bytes()
    archive = tmp_path / "cut.zip"
    archive.write_bytes(data[:cut])
    with pytest.raises(ArchiveError, match="cut.zip: is no whole ZIP"):
        unpack(archive, tmp_path / "back", **QUIET)
    with pytest.raises(ArchiveError, match="no such ZIP"):
        unpack(tmp_path / "none.zip", **QUIET)


def test_a_link_in_the_target_leads_nowhere(folder, tmp_path):
    archive, back = pack(folder, **QUIET), tmp_path / "back"
    (back / "oppai_dataset").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (back / "oppai_dataset" / "images").symlink_to(tmp_path / "outside")
    with pytest.raises(ArchiveError, match="a link leads out"):
        unpack(archive, back, **QUIET)
    assert list((tmp_path / "outside").iterdir()) == []


def test_links_are_told_and_names_that_could_not_be_unpacked_refused(folder, tmp_path):
    (folder / "linked").symlink_to(tmp_path)
    (folder / "link.jpg").symlink_to(tmp_path / "gone")
    notes = []
    pack(folder, notes=notes, **QUIET)
    assert notes == [
        f"{folder / name}: is a link, and left out." for name in ("link.jpg", "linked")
    ]
    odd = [b"\x8a\x47.png", b"10:30.png", b"con.txt"]
    for name in odd:
        (folder / os.fsdecode(name)).write_bytes(b"1")
    with pytest.raises(UserError, match="Rename it") as caught:
        pack(folder, tmp_path / "new.zip", **QUIET)
    assert len(caught.value.problems) == 3 and not (tmp_path / "new.zip").exists()


def old_zip(path, raw):
    """A ZIP that does not say the encoding of its name."""
    placeholder = "@" * len(raw)
    data = zip_of(path, (placeholder, b"1")).read_bytes()
    path.write_bytes(data.replace(placeholder.encode(), raw))
    return path


def test_names_of_old_zips(tmp_path):
    archive = old_zip(tmp_path / "u.zip", "絵.png".encode())
    assert unpack(archive, tmp_path / "u", **QUIET) == [tmp_path / "u" / "絵.png"]
    archive = old_zip(tmp_path / "j.zip", "絵.png".encode("cp932"))
    target = tmp_path / "j"
    done = CliRunner().invoke(app, ["unpack", str(archive), str(target)])
    assert done.exit_code == 2 and "Give --encoding, such as cp932" in done.output
    assert not target.exists()
    done = CliRunner().invoke(
        app, ["unpack", str(archive), str(target), "--encoding", "cp932"]
    )
    assert done.exit_code == 0 and contents(target) == {"絵.png": b"1"}
    with pytest.raises(ArchiveError, match="`encoding` is one that Python knows"):
        unpack(archive, target, encoding="cp9", **QUIET)
    archive = old_zip(tmp_path / "h.zip", "../絵.png".encode("cp932"))
    with pytest.raises(ArchiveError, match="leaves its folder"):
        unpack(archive, target, encoding="cp932", **QUIET)
