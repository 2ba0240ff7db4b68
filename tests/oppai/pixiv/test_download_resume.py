import json
import os
import signal
import subprocess
import sys

import pixivpy3
import pytest

from illustkit.files import replacing
from illustkit.images import read_image
from oppai.data.metadata import load_metadata
from oppai.pixiv import client
from oppai.pixiv.download import download_all, read_outcomes
from tests.conftest import ROOT

from .loopback_client import lead_to
from .loopback_server import API, IMAGES, TOKEN, PixivServer

# A background job's SIGINT is ignored; in a terminal it is not.
MAIN = """
import signal, sys, pixivpy3
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.oppai.pixiv.loopback_client import lead_to
pixivpy3.AppPixivAPI = lead_to(int(sys.argv.pop(1)))
from oppai.cli.main import main
main()
"""


@pytest.fixture
def server(monkeypatch):
    with PixivServer() as server:
        monkeypatch.setattr(pixivpy3, "AppPixivAPI", lead_to(server.port))
        monkeypatch.setenv(client.VARIABLE, TOKEN)
        yield server


def command(server, folder):
    """The command line as a process of its own."""
    arguments = ["download", str(folder / "meta.json"), "--folder", str(folder)]
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, str(server.port), *arguments],
        cwd=ROOT,
        env={**os.environ, client.VARIABLE: TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def made(folder, entries):
    (folder / "meta.json").write_text(json.dumps(entries))
    return folder / "meta.json"


def pictures(folder):
    return sorted((folder / "oppai_dataset" / "images").iterdir())


def test_killed_stopped_and_finished(server, tmp_path):
    entries = [server.add(n) for n in range(1, 41)]
    del server.works[3]
    server.works[4]["x_restrict"] = 1
    made(tmp_path, entries)
    paths = {e["id"]: e["image_url"].partition(IMAGES)[2] for e in entries}
    signals = [(33, signal.SIGKILL), (36, signal.SIGINT)]
    for number, kind in signals:
        server.mishaps[paths[number]] = ["stall"]
        server.stalled.clear()
        process = command(server, tmp_path)
        for _ in range(2400):  # two minutes, however busy the machine is
            if server.stalled.wait(0.05):
                break
            assert process.poll() is None, process.communicate()[0]
        process.send_signal(kind)
        output = process.communicate(timeout=120)[0]
        # What has a name is whole, and there is nothing else.
        paths_now = [p for p in pictures(tmp_path) if not p.name.startswith(".")]
        assert len(paths_now) == number - 3
        assert {p.suffix for p in paths_now} == {".jpg"}
        assert all(read_image(p).shape == (40, 30, 3) for p in paths_now)
        assert TOKEN not in output
    assert process.returncode == 130 and "Traceback" not in output
    stopped = "oppai: stopped. The same command goes on from here."
    assert output.splitlines()[-1] == stopped
    written = json.loads((tmp_path / "download_report.json").read_text())
    assert not written["finished"] and written["counts"]["not asked yet"] == 5

    process = command(server, tmp_path)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    counts = json.loads((tmp_path / "download_report.json").read_text())["counts"]
    expected = {"fetched": 5, "already there": 33, "gone": 1, "refused": 1, "failed": 0}
    assert counts == expected | {"not asked yet": 0}
    for status, n in expected.items():
        assert f"{status:<14}{n:>7}" in output
    asked = server.asked(IMAGES)
    # Each once, but for the two that a signal cut; what was refused never.
    assert len(asked) == 38 + 2 and len(set(asked)) == 38
    works = server.asked(API)
    assert len(works) == 40 + 2 and len(set(works)) == 40


def test_what_is_there_needs_no_session(server, tmp_path, monkeypatch):
    path = made(tmp_path, [server.add(1), server.add(2, x_restrict=1)])
    quiet = {"progress": False}
    download_all(client.login, path, tmp_path, **quiet)
    before = len(server.log)
    monkeypatch.delenv(client.VARIABLE)
    report = download_all(client.login, path, tmp_path, **quiet)
    assert (report.count("already there"), report.count("refused")) == (1, 1)
    assert len(server.log) == before
    server.works[2]["x_restrict"] = 0
    monkeypatch.setenv(client.VARIABLE, TOKEN)
    assert download_all(client.login, path, tmp_path, **quiet).count("refused") == 1
    report = download_all(client.login, path, tmp_path, again=True, **quiet)
    assert report.count("fetched") == 1


def test_a_report_of_another_work_settles_nothing(server, tmp_path):
    entry = server.add(5, x_restrict=1)
    download_all(client.login, made(tmp_path, [entry]), tmp_path, progress=False)
    other = server.add(6)
    other["name"], other["filepath"] = entry["name"], entry["filepath"]
    report = download_all(client.login, made(tmp_path, [other]), tmp_path)
    assert report.count("fetched") == 1


def test_another_file_is_told_and_left_as_it_is(server, tmp_path):
    entries = [server.add(1), server.add(2), server.add(3)]
    folder = tmp_path / "oppai_dataset" / "images"
    folder.mkdir(parents=True)
    (folder / entries[0]["name"]).write_text("mine")
    (folder / entries[1]["name"]).mkdir()
    report = download_all(client.login, made(tmp_path, entries), tmp_path)
    assert report.count("failed") == 2 and report.count("fetched") == 1
    assert "another file" in report.outcomes[entries[0]["name"]]["reason"]
    assert (folder / entries[0]["name"]).read_text() == "mine"


def test_what_a_killed_run_left_is_cleared_and_nothing_else(server, tmp_path):
    entry = server.add(1)
    folder = tmp_path / "oppai_dataset" / "images"
    folder.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), replacing(folder / entry["name"]) as ours:
        raise KeyboardInterrupt
    others = [folder / ".01234567-89abcdef.part", folder / f"{entry['name']}.part"]
    for path in [ours, *others]:
        path.write_text("half")
    download_all(client.login, made(tmp_path, [entry]), tmp_path)
    assert pictures(tmp_path) == sorted([*others, folder / entry["name"]])


@pytest.mark.parametrize(
    "text", ["", "[]", '{"pictures": 1}', '{"pictures": {"a": 1}}']
)
def test_a_broken_report_is_named(server, tmp_path, text):
    path = made(tmp_path, [server.add(1)])
    (tmp_path / "download_report.json").write_text(text)
    with pytest.raises(ValueError, match="download_report.json: is no report"):
        download_all(client.login, path, tmp_path)
    assert server.log == []


def test_the_chapters_metadata_are_all_pixivs(real_data, tmp_path):
    from oppai.pixiv.download import plan_downloads

    targets = plan_downloads(real_data / "oppai_meta.json", tmp_path)
    assert len(targets) == 4264 and {t.format for t in targets} == {"JPEG"}
    assert {t.page for t in targets} == {0}
    assert len({t.path for t in targets}) == 4264
    assert targets[0].path.parent == tmp_path / "oppai_dataset" / "images"
    assert read_outcomes(tmp_path / "none.json") == {}
    assert len(load_metadata(real_data / "oppai_meta.json")) == 4264
