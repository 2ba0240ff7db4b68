import io
import json

import pixivpy3
import pytest
from PIL import Image
from typer.testing import CliRunner

from illustkit.images import read_image
from oppai.cli.main import app
from oppai.pixiv import client
from oppai.pixiv.client import LoginError, PixivError, login
from oppai.pixiv.download import download_all

from .loopback_client import lead_to
from .loopback_server import API, AUTH, IMAGES, TOKEN, PixivServer


@pytest.fixture
def server(monkeypatch):
    with PixivServer() as server:
        monkeypatch.setattr(pixivpy3, "AppPixivAPI", lead_to(server.port))
        monkeypatch.setenv(client.VARIABLE, TOKEN)
        yield server


def write(folder, entries):
    path = folder / "oppai_meta.json"
    path.write_text(json.dumps(entries))
    return path


def run(folder, entries, waits=None, session=login, **options):
    waits = [] if waits is None else waits
    path = write(folder, entries)
    options = {"progress": False, "sleep": waits.append} | options
    return download_all(session, path, folder, **options)


def statuses(report):
    return {o["id"]: o["status"] for o in report.outcomes.values()}


def files(folder):
    found = (folder / "oppai_dataset").rglob("*")
    return sorted(p.name for p in found if p.is_file())


def path_of(entry):
    return entry["image_url"].partition(IMAGES)[2]


def test_the_chapters_two_lines(server, tmp_path, monkeypatch):
    entries = [server.add(n) for n in (11, 12)]
    monkeypatch.chdir(tmp_path)
    session = login()
    report = download_all(session, write(tmp_path, entries), progress=False)
    assert statuses(report) == {11: "fetched", 12: "fetched"}
    for entry in entries:
        path = tmp_path / "oppai_dataset" / "images" / entry["name"]
        assert path.read_bytes() == server.pictures[path_of(entry)]
    written = json.loads((tmp_path / "download_report.json").read_text())
    assert written["finished"] and written["counts"]["fetched"] == 2
    hosts = [host for _, host, _, _ in server.log]
    assert hosts == [AUTH, API, IMAGES, API, IMAGES]


def test_a_picture_is_asked_for_only_if_its_work_is_marked_all_ages(server, tmp_path):
    stand_in = {"visible": False, "user": {"id": 0}, "x_restrict": 0}
    entries = [
        server.add(1),
        server.add(2, x_restrict=1),
        server.add(3, x_restrict=2),
        server.add(4, x_restrict=None),
        server.add(5, x_restrict="0"),
        server.add(6, x_restrict=False),
        server.add(7, **stand_in),
        server.add(8, page_count=1, page=3),
        server.add(9),
        server.add(10, sanity_level=6),
        server.add(14),
        server.add(15),
        server.add(16),
    ]
    del server.works[9]
    server.works[14]["id"] = 1  # an answer about another work
    del server.works[15]["visible"]
    del server.works[16]["x_restrict"]
    report = run(tmp_path, entries)
    assert statuses(report) == {
        1: "fetched",
        **dict.fromkeys((2, 3, 4, 5, 6, 16), "refused"),
        **dict.fromkeys((7, 8, 9, 15), "gone"),
        10: "fetched",
        14: "failed",
    }
    assert server.asked(IMAGES) == [path_of(entries[0]), path_of(entries[9])]
    assert files(tmp_path) == sorted([entries[0]["name"], entries[9]["name"]])


def test_pages_of_one_work_are_looked_up_once(server, tmp_path):
    first, third = server.add(5), server.add(5, page=2)
    assert "_p2_" in third["name"]
    assert set(statuses(run(tmp_path, [first, third])).values()) == {"fetched"}
    assert len(server.asked(API)) == 1 and len(server.asked(IMAGES)) == 2


MISHAPS = {
    "429 at the work": ("work", [429], [30]),
    "429 that names a time": ("work", [(429, {"Retry-After": "77"})], [77]),
    "rate limit in words": ("work", ["rate", "rate"], [30, 60]),
    "503 at the work": ("work", [503, 500, 502], [2, 4, 8]),
    "half an answer": ("work", ["json"], [2]),
    "no answer": ("work", ["reset"], [2]),
    "429 at the picture": ("picture", [429, 429], [30, 60]),
    "504 at the picture": ("picture", [504], [2]),
    "a cut transfer": ("picture", ["truncated", "truncated"], [2, 4]),
    "half a picture": ("picture", ["broken"], [2]),
    "silence": ("picture", ["slow"], [2]),
    "a trickle": ("picture", ["trickle"], [2]),
    "no answer for a picture": ("picture", ["reset"], [2]),
    "503 at the login": ("token", [503], [2]),
}


@pytest.mark.parametrize("case", MISHAPS)
def test_what_passes_is_waited_for(server, tmp_path, monkeypatch, case):
    where, mishaps, expected = MISHAPS[case]
    monkeypatch.setattr(client, "TIMEOUT", (5, 0.7 if "slow" in mishaps else 5))
    if "trickle" in mishaps:
        monkeypatch.setattr(client, "MAX_SECONDS", 0.7)
    entry, waits = server.add(7), []
    key = {"work": 7, "picture": path_of(entry), "token": "token"}[where]
    server.mishaps[key] = list(mishaps)
    session = login(sleep=waits.append)
    report = run(tmp_path, [entry], waits, session=session)
    assert statuses(report) == {7: "fetched"} and waits == expected
    path = tmp_path / entry["filepath"]
    assert path.read_bytes() == server.pictures[path_of(entry)]
    assert read_image(path).shape == (40, 30, 3)
    assert files(tmp_path) == [entry["name"]]


FAILURES = {
    "403": ([403], "failed", "HTTP 403"),
    "404": ([404], "gone", "HTTP 404"),
    "wrong type": (["html"], "failed", "no picture came, but text/html"),
    "a redirect": (["redirect"], "failed", "HTTP 302"),
    "never whole": (["truncated"] * 5, "failed", "broken transfer"),
    "always busy": ([503] * 5, "failed", "HTTP 503"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_what_does_not_pass_is_told_and_leaves_no_file(server, tmp_path, case):
    mishaps, status, reason = FAILURES[case]
    bad, good = server.add(7), server.add(8)
    server.elsewhere = server.add(9)["image_url"]  # where a redirect leads
    server.mishaps[path_of(bad)] = list(mishaps)
    report = run(tmp_path, [bad, good])
    assert server.elsewhere.partition(IMAGES)[2] not in server.asked(IMAGES)
    assert statuses(report) == {7: status, 8: "fetched"}
    assert reason in report.outcomes[bad["name"]]["reason"]
    assert files(tmp_path) == [good["name"]]
    if status == "failed":
        assert statuses(run(tmp_path, [bad, good])) == {
            7: "fetched",
            8: "already there",
        }


def test_a_picture_of_another_size_or_kind_gets_no_name(server, tmp_path, monkeypatch):
    other, png, huge = server.add(1, (30, 40)), server.add(2), server.add(3, (90, 90))
    other["size"]["width"] = 31
    file = io.BytesIO()
    Image.new("RGB", (30, 40)).save(file, "PNG")
    server.pictures[path_of(png)] = file.getvalue()
    monkeypatch.setattr(client, "MAX_BYTES", 4000)
    assert len(server.pictures[path_of(huge)]) > 4000
    report = run(tmp_path, [other, png, huge])
    reasons = [o["reason"] for o in report.outcomes.values()]
    assert report.count("failed") == 3 and files(tmp_path) == []
    assert "30×40 came instead of 31×40" in reasons[0]
    assert "PNG came instead of JPEG" in reasons[1] and "more than" in reasons[2]


def test_an_expired_session_is_renewed_once(server, tmp_path):
    server.lasts = 3
    entries = [server.add(n) for n in range(1, 6)]
    assert set(statuses(run(tmp_path, entries)).values()) == {"fetched"}
    assert len(server.asked(AUTH)) == 2
    said = [status for _, host, _, status in server.log if host == API]
    assert said == [200, 200, 200, 400, 200, 200]


def test_a_renewed_session_that_is_refused_ends_it(server, tmp_path):
    session = login()
    server.lasts, server.good_for = 0, 0
    with pytest.raises(LoginError, match="did not accept a renewed session"):
        run(tmp_path, [server.add(1)], session=session)
    assert len(server.asked(AUTH)) == 2 and len(server.asked(API)) == 2


def test_a_pause_after_every_thirty_pictures(server, tmp_path):
    entries, waits = [server.add(n) for n in range(1, 62)], []
    del server.works[7]
    run(tmp_path, entries, waits, pause=2.5)
    assert waits == [2.5, 2.5]
    run(tmp_path, entries, waits := [])
    assert waits == []
    with pytest.raises(ValueError, match="`pause` must be at least 1"):
        run(tmp_path, entries, pause=0.5)


def test_it_stops_where_all_fails(server, tmp_path):
    entries = [server.add(n) for n in range(1, 10)]
    server.mishaps = {n: [500] * 5 for n in range(1, 10)}
    with pytest.raises(PixivError, match="in a row .*HTTP 500.*goes on from here"):
        run(tmp_path, entries)
    assert len(server.asked(API)) == 5 * client.TRIES
    server.mishaps = {n: [(429, {"Retry-After": "4000"})] for n in range(1, 10)}
    with pytest.raises(LoginError, match="asks to wait 4000 s"):
        run(tmp_path, entries)
    server.mishaps = {}
    assert run(tmp_path, entries).count("fetched") == 9


def test_works_closed_to_this_account_are_asked_again(server, tmp_path):
    entries = [server.add(n) for n in range(1, 4)]
    server.mishaps = {n: ["closed"] for n in (1, 2)}
    assert list(statuses(run(tmp_path, entries)).values()) == ["gone"] * 2 + ["fetched"]
    assert run(tmp_path, entries).count("fetched") == 2


def test_the_command_prints_the_table_and_says_what_failed(server, tmp_path):
    entries = [server.add(n) for n in range(1, 6)]
    del server.works[2]
    server.works[3]["x_restrict"] = 1
    server.mishaps[path_of(entries[3])] = [403]
    options = ["--folder", str(tmp_path), "--report", str(tmp_path / "r.json")]
    done = CliRunner().invoke(
        app, ["download", str(write(tmp_path, entries)), *options]
    )
    assert done.exit_code == 1  # the others are there
    table = dict(line.split()[:2] for line in done.stdout.splitlines()[:6])
    expected = {"fetched": "2", "already": "there", "gone": "1", "refused": "1"}
    assert table == expected | {"failed": "1", "together": "5"}
    assert "oppai: 4_p0_master1200.jpg: the image host" in done.output
    assert json.loads((tmp_path / "r.json").read_text())["counts"]["failed"] == 1
