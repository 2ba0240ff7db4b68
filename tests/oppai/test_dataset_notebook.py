"""The notebook that keeps the pictures in Drive, run against the server here."""

import getpass
import json
import shutil
import sys
import types
from pathlib import Path

import pixivpy3
import pytest

from tests.conftest import ROOT
from tests.oppai.pixiv_client import lead_to
from tests.oppai.pixiv_server import TOKEN, PixivServer

NOTEBOOK = ROOT / "notebooks" / "oppai_dataset.ipynb"


def code_cells():
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def test_the_notebook_holds_no_outputs():
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    assert not any(c.get("outputs") or c.get("execution_count") for c in cells)


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """A Colab whose Drive is a folder, and a user who types the token."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIXIV_REFRESH_TOKEN", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    module = types.ModuleType("google.colab")
    module.drive = types.SimpleNamespace(
        mount=lambda path: Path(path, "MyDrive").mkdir(parents=True, exist_ok=True)
    )
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", module)
    prompts = []
    monkeypatch.setattr(getpass, "getpass", lambda p="": prompts.append(p) or TOKEN)
    return prompts


def test_a_second_session_takes_the_pictures_from_drive(colab, monkeypatch, capsys):
    with PixivServer() as server:
        monkeypatch.setattr(pixivpy3, "AppPixivAPI", lead_to(server.port))
        metadata = [server.add(n) for n in range(1, 5)]
        cached = Path("cache/illustkit/oppai_meta.json")
        cached.parent.mkdir(parents=True)
        cached.write_text(json.dumps(metadata), encoding="utf-8")
        monkeypatch.setattr(
            "oppai.fetching.fetch_metadata", lambda *a, **k: put_metadata(cached)
        )
        requests = []
        for _ in range(2):
            space = {}
            for source in code_cells()[1:]:  # the first installs the package
                exec(compile(source, NOTEBOOK.name, "exec"), space)  # noqa: S102
            requests.append(len(server.log))
            assert len(list(Path("oppai_dataset").rglob("*.jpg"))) == 4
            shutil.rmtree("oppai_dataset")  # the instance is reset, Drive stays
    report = space["report"]
    assert len(report.names("already there")) == 4 and not report.names("fetched")
    assert requests[0] == requests[1] and len(colab) == 1
    assert TOKEN not in "".join(capsys.readouterr())


def put_metadata(cached):
    target = Path("oppai_dataset/oppai_meta.json")
    target.parent.mkdir(exist_ok=True)
    shutil.copy(cached, target)
    return target
