"""Features that processes of Ray extract; those tests are skipped without it."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from diffusion.evaluation import spread
from diffusion.evaluation.features import Extractor, extract_features, load_extractor
from diffusion.evaluation.metrics import fid
from diffusion.evaluation.report import evaluate_pictures
from diffusion.evaluation.statistics import read_statistics
from illustkit.cluster import RAY, map_to_shards
from illustkit.errors import UserError
from illustkit.images import write_image
from illustkit.samples import draw_face_icon
from tests.conftest import ROOT

N = 23


class Mortal(spread._Worker):
    """The first process to see a certain picture is killed."""

    def __call__(self, names):
        marker = self.folder.parent / "killed"
        if "7.png" in names and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(names)


@pytest.fixture
def icons(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for seed in range(N):
        side = 48 if seed < 20 else 64
        write_image(tmp_path / "icons" / f"{seed}.png", draw_face_icon(seed, side))
    return tmp_path / "icons"


@pytest.fixture
def _ray(monkeypatch):
    pytest.importorskip("ray.data", reason="needs Ray")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def of(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.large  # Ray alone takes 25 s of processor time to start and end
@pytest.mark.usefixtures("_ray")
def test_ray_gives_the_features_of_one_process_though_one_is_killed(icons, monkeypatch):
    monkeypatch.setattr(spread, "_Worker", Mortal)
    extractor = load_extractor("pixels")
    options = {"batch_size": 4, "workers": 2, "progress": False}
    rows = {
        name: row
        for names, values in spread.spread_features(
            icons, of(icons), extractor, **options
        )
        for name, row in zip(names, values, strict=True)
    }
    assert (icons.parent / "killed").exists()
    expected = extract_features(
        [icons / n for n in of(icons)], "pixels", progress=False
    )
    assert (np.stack([rows[name] for name in of(icons)]) == expected).all()


@pytest.mark.large  # Ray alone takes 25 s of processor time to start and end
@pytest.mark.usefixtures("_ray")
def test_statistics_and_evaluations_by_ray_are_those_of_one_process(icons, monkeypatch):
    extractor = load_extractor("pixels")
    other = icons.parent / "other"
    for seed in range(100, 106):
        write_image(other / f"{seed}.png", draw_face_icon(seed, 48))
    options = {"batch_size": 4, "progress": False}
    alone = read_statistics(icons, extractor, **options)
    by_ray = read_statistics(icons, extractor, engine=RAY, workers=2, **options)
    np.testing.assert_allclose(by_ray.mean, alone.mean, rtol=1e-9)
    np.testing.assert_allclose(by_ray.covariance, alone.covariance, atol=1e-12)
    assert fid(by_ray, alone) == pytest.approx(0, abs=1e-6)
    # What is stored is taken again: nothing starts.
    monkeypatch.setattr(spread, "map_to_shards", None)
    again = read_statistics(icons, extractor, engine=RAY, **options)
    assert (again.mean == by_ray.mean).all()
    monkeypatch.undo()
    figures = [
        evaluate_pictures(icons, other, features="pixels", **options, **more)
        for more in ({}, {"engine": RAY, "workers": 2})
    ]
    assert figures[0] == figures[1]  # the same features, to the last bit


@pytest.fixture
def here(monkeypatch):
    """In place of Ray's processes this one works; the names that it was given."""
    pytest.importorskip("pyarrow", reason="needs Parquet")
    import json

    import pyarrow
    import pyarrow.parquet

    given = []

    def work(items, worker, arguments, folder, *, batch_size, **_):
        given.append(list(items))
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(0, len(items), batch_size):
            records = worker(*arguments)(items[i : i + batch_size])
            table = pyarrow.table({"record": [json.dumps(r) for r in records]})
            name = f"{len(given)}-{i}.parquet"
            pyarrow.parquet.write_table(table, folder / name)

    monkeypatch.setattr(spread, "map_to_shards", work)
    return given


def test_a_broken_picture_is_named_and_the_others_are_not_looked_at_again(icons, here):
    extractor = load_extractor("pixels")
    names = of(icons)
    good = (icons / "5.png").read_bytes()
    (icons / "5.png").write_bytes(b"none")

    def gather():
        some = spread.spread_features(icons, names, extractor, batch_size=4)
        return sum(len(values) for _, values in some)

    with pytest.raises(UserError, match=r"5\.png"):
        gather()
    (icons / "5.png").write_bytes(good)
    os.utime(icons / "9.png", (1, 1))  # changed since
    assert gather() == N
    assert here == [names, ["5.png", "9.png"]]
    assert gather() == N and here[-1] == names  # all was handed over: nothing is kept


def test_what_no_process_can_open_is_refused(icons):
    function = Extractor("mine", lambda pictures: pictures.mean((1, 2)))
    with pytest.raises(UserError, match="a name or a file"):
        list(spread.spread_features(icons, of(icons), function))
    with pytest.raises(UserError, match="reads files"):
        read_statistics(np.zeros((4, 8, 8, 3), np.uint8), function, engine=RAY)
    with pytest.raises(UserError, match="reads files"):
        evaluate_pictures(
            np.zeros((4, 8, 8, 3), np.uint8), icons, features="pixels", engine=RAY
        )
    with pytest.raises(UserError, match="engine"):
        read_statistics(icons, function, engine="cluster")
    assert map_to_shards([], spread._Worker, [], Path("none")) is None
