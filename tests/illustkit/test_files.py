import hashlib
import http.server
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from illustkit.errors import UserError
from illustkit.files import (
    cache_folder,
    check_file,
    check_writable,
    fetch_pinned,
    inside,
    leads_outside,
    name_within,
    named_file,
    read_text,
    remove_leftovers,
    replacing,
    unsafe_name,
    write_whole,
)

DATA = os.urandom(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


def test_an_error_names_each_problem():
    assert UserError("a: wrong.").problems == ["a: wrong."]
    error = UserError(["a: wrong.", "b: wrong."])
    assert str(error) == "a: wrong.\nb: wrong." and isinstance(error, ValueError)


def test_a_name_as_long_as_a_file_system_takes(tmp_path):
    for name in ("a" * 251 + ".png", "あ" * 83 + ".png"):
        assert len(os.fsencode(name)) >= 253
        assert write_whole(tmp_path / "new" / name, b"x").read_bytes() == b"x"
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_a_files_name_within_a_folder_and_back(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    (folder / "other.png").symlink_to(tmp_path / "elsewhere.png")
    monkeypatch.chdir(tmp_path)
    for base in ("pictures", folder, "link", "pictures/../link/"):
        for path in (folder / "other.png", "pictures/other.png", "link/other.png"):
            assert name_within(base, path) == "other.png"
    with pytest.raises(UserError, match="elsewhere.png: is outside of pictures"):
        name_within("pictures", "elsewhere.png")
    for name in ("D: x.png", "back\\slash.png", "two\nlines.png", "a/b.png"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        assert named_file(folder, name_within("pictures", path)) == path
    for name in ("../pictures/D: x.png", str(folder / "D: x.png"), "", "E: gone.png"):
        with pytest.raises(UserError, match="must stay within its folder"):
            named_file(folder, name)


def test_names_that_are_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff\xfe.txt")
    assert write_whole(path, "ü").read_bytes() == "ü".encode()


def test_what_is_rejected_after_writing_leaves_the_old_file(tmp_path):
    path = write_whole(tmp_path / "a", "old")
    with pytest.raises(UserError), replacing(path) as part:
        part.write_text("new")
        assert part.parent == tmp_path
        raise UserError("no")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    write_whole(tmp_path / "a", "old")

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]


def test_leftovers_of_these_files_alone_go(tmp_path):
    class Kill(BaseException):
        pass

    names = ("a.png", "b.png")
    for name in names:
        with replacing(tmp_path / name) as part:
            part.write_text("x")
            left = tmp_path / part.name
        left.write_text("half")  # what a killed process would have left
    (tmp_path / ".mine.part").touch()
    remove_leftovers([tmp_path / "a.png"], older_than=60)
    assert len(list(tmp_path.iterdir())) == 5
    remove_leftovers([tmp_path / "a.png"])
    assert len(list(tmp_path.iterdir())) == 4
    remove_leftovers(tmp_path / name for name in names)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".mine.part", *names]


@pytest.mark.parametrize(
    "name, here, everywhere",
    [
        ("a/1.png", True, True),
        ("é/あ.png", True, True),
        ("a\\1.png", True, False),
        ("10:30.png", True, False),
        (" a.png", True, False),
        ("a./b", True, True),
        ("con.png", True, False),
        ("x" * 256, False, False),
        ("あ" * 86, False, False),
        ("half \ud83d.png", False, False),
        ("a/../b", False, False),
        ("../b", False, False),
        ("/b", False, False),
        ("\\\\host\\b", False, False),
        ("C:b", False, False),
        ("a\nb", False, False),
        ("a\0", False, False),
        ("", False, False),
        ("\udcff.png", True, False),
        ("a//b", True, False),
        ("./b", True, False),
    ],
)
def test_names_within_a_folder(name, here, everywhere):
    for portable, safe in ((False, here), (True, everywhere)):
        assert (unsafe_name(name, portable=portable) is None) == safe
        if safe:
            assert inside("x", name, portable=portable).parts[0] == "x"
        else:
            with pytest.raises(UserError, match="within its folder"):
                inside("x", name, portable=portable)


def test_links_that_lead_out(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in" / "loop")
    (tmp_path / "in" / "fine").symlink_to(tmp_path / "in")
    assert not leads_outside(tmp_path / "in", tmp_path / "in" / "fine" / "new.png")
    for name in ("link", "link/new.png", "../out"):
        assert leads_outside(tmp_path / "in", tmp_path / "in" / name)


class Server(http.server.BaseHTTPRequestHandler):
    """Sends at most `self.server.most` bytes, whatever length it has announced."""

    def do_GET(self):  # noqa: N802
        start = 0
        ranges = self.headers.get("Range")
        self.server.asked.append(ranges)
        if ranges and self.server.resumes:
            start = int(ranges.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.server.data):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.server.data) - start))
        self.end_headers()
        self.wfile.write(self.server.data[start:][: self.server.most])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.data, server.most, server.resumes, server.asked = DATA, 1 << 30, True, []
    threading.Thread(target=server.serve_forever, args=(0.02,)).start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}/file"
    yield server
    server.shutdown()
    server.server_close()


def fetch(server, path):
    return fetch_pinned(server.url, SHA256, path, max_bytes=len(DATA))


def test_a_broken_transfer_goes_on(server, tmp_path):
    server.most = 1_300_000
    path = fetch(server, tmp_path / "file")
    assert path.read_bytes() == DATA
    assert server.asked == [None, "bytes=1300000-", "bytes=2600000-"]
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    fetch(server, path)
    assert len(server.asked) == 3


def test_the_next_call_goes_on_where_the_last_was_killed(server, tmp_path):
    (tmp_path / f".{SHA256[:16]}.part").write_bytes(DATA[:100])
    assert fetch(server, tmp_path / "file").read_bytes() == DATA
    assert server.asked == ["bytes=100-"]
    (tmp_path / "file").rename(tmp_path / f".{SHA256[:16]}.part")  # all, no rename yet
    assert fetch(server, tmp_path / "file").read_bytes() == DATA


def test_a_server_that_cannot_resume_sends_all_again(server, tmp_path):
    server.resumes = False
    (tmp_path / f".{SHA256[:16]}.part").write_bytes(b"x" * 100)
    assert fetch(server, tmp_path / "file").read_bytes() == DATA
    server.most = 1000
    with pytest.raises(UserError, match="could not be fetched .*broke off"):
        fetch(server, tmp_path / "other")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("data", [b"other", DATA + b"more", DATA[:-1] + b"x"])
def test_no_other_file_is_kept(server, tmp_path, data):
    server.data = data
    with pytest.raises(UserError, match="another file than the one known.*SHA"):
        fetch(server, tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_two_at_once(server, tmp_path):
    with ThreadPoolExecutor(3) as pool:
        paths = [pool.submit(fetch, server, tmp_path / "file") for _ in range(3)]
    assert {path.result() for path in paths} == {tmp_path / "file"}
    assert (tmp_path / "file").read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_cache_is_where_the_system_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "illustkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "illustkit"


def test_names_that_are_no_text_come_back_from_a_table(tmp_path):
    name = os.fsdecode(b"\x8aG.png")
    path = write_whole(tmp_path / "table.csv", f"file,score\n{name},3\n")
    assert path.read_bytes() == b"file,score\n\x8aG.png,3\n"
    assert read_text(path).splitlines()[1] == f"{name},3"


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path):
    path = write_whole(tmp_path / "table.csv", b"\xef\xbb\xbffile,score\n")
    assert read_text(path) == "file,score\n"


def test_places_that_cannot_be_written_are_told_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert check_file(tmp_path / "new" / "deep" / "a.csv").name == "a.csv"
    assert check_file(tmp_path / "file") == tmp_path / "file"
    with pytest.raises(UserError, match="is a folder. Name a file in it"):
        check_file(tmp_path)
    with pytest.raises(UserError, match="file: is a file, not a folder"):
        check_file(tmp_path / "file" / "a.csv")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_file("~/a.csv") == tmp_path / "a.csv"
    # A test may run as root, whom no permission stops.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match="new: cannot be written to"):
        check_writable(tmp_path / "new")
    assert not (tmp_path / "new").exists()
