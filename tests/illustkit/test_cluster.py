"""Work spread over processes of Ray; skipped where it is not installed."""

import os
import signal
from pathlib import Path

import pytest

from illustkit.cluster import map_to_shards, read_shards, remove_shards, whole_path


class Squares:
    """Squares numbers; the first process to see `fatal` is killed."""

    def __init__(self, folder, fatal=None):
        self.marker, self.fatal = Path(folder, "killed"), fatal

    def __call__(self, items):
        if self.fatal in items and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [{"n": item, "square": int(item) ** 2} for item in items]


@pytest.fixture
def _ray(monkeypatch):
    pytest.importorskip("ray.data", reason="needs Ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.usefixtures("_ray")
def test_a_process_that_dies_loses_nothing(tmp_path):
    items, shards = [str(n) for n in range(150)], tmp_path / "shards"
    map_to_shards(items, Squares, [str(tmp_path), "77"], shards, workers=2, progress=0)
    assert (tmp_path / "killed").exists()
    found = sorted((int(r["n"]), r["square"]) for r in read_shards(shards))
    assert found == [(n, n * n) for n in range(150)]
    # A file that was cut short is left out, the others are read.
    path = next(shards.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    assert 0 < len(list(read_shards(shards))) < 150
    remove_shards(shards)
    assert list(read_shards(shards)) == []


def test_a_path_is_whole_and_a_known_name_stays_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default").mkdir()
    assert whole_path("default", ("default",)) == "default"
    assert whole_path("default") == str(tmp_path / "default")
    assert whole_path("elsewhere") == "elsewhere" and whole_path(None) is None


def test_without_ray_a_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'ray\[data\]'"):
        map_to_shards(["1"], Squares, [str(tmp_path)], tmp_path)
    assert list(read_shards(tmp_path)) == []
