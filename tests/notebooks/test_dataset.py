"""The notebook that keeps the pictures in Drive, run against the server here."""

import getpass
import json
import shutil
from pathlib import Path

import pixivpy3
import pytest

import oppai
from tests.notebooks.reading import FOLDER, code_cells, execute
from tests.oppai.pixiv.loopback_client import lead_to
from tests.oppai.pixiv.loopback_server import TOKEN, PixivServer

NOTEBOOK = FOLDER / "oppai_dataset.ipynb"


@pytest.fixture
def prompts(colab, tmp_path, monkeypatch):
    """What a user who types the token was asked."""
    monkeypatch.delenv("PIXIV_REFRESH_TOKEN", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked = []
    monkeypatch.setattr(getpass, "getpass", lambda p="": asked.append(p) or TOKEN)
    return asked


def test_a_second_session_takes_the_pictures_from_drive(prompts, monkeypatch, capsys):
    with PixivServer() as server:
        monkeypatch.setattr(pixivpy3, "AppPixivAPI", lead_to(server.port))
        metadata = [server.add(n) for n in range(1, 5)]
        cached = Path("cache/illustkit/oppai_meta.json")
        cached.parent.mkdir(parents=True)
        cached.write_text(json.dumps(metadata), encoding="utf-8")
        monkeypatch.setattr(oppai, "fetch_metadata", lambda: put_metadata(cached))
        requests = []
        for _ in range(2):
            space = {}
            for cell in code_cells(NOTEBOOK)[1:]:  # the first installs the package
                execute(cell.source, space)
            requests.append(len(server.log))
            assert len(list(Path("oppai_dataset").rglob("*.jpg"))) == 4
            shutil.rmtree("oppai_dataset")  # the instance is reset, Drive stays
    report = space["report"]
    assert len(report.names("already there")) == 4 and not report.names("fetched")
    assert requests[0] == requests[1] and len(prompts) == 1
    assert TOKEN not in "".join(capsys.readouterr())


def put_metadata(cached):
    target = Path("oppai_dataset/oppai_meta.json")
    target.parent.mkdir(exist_ok=True)
    shutil.copy(cached, target)
    return target
