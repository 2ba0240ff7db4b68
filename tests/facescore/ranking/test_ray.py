"""A ranking by processes of Ray is that of one process; skipped without Ray."""

from pathlib import Path

import numpy as np
import pytest

from facescore.ranking.rank import rank_folder
from facescore.scorer.model import NETWORKS, Scorer
from illustkit.images import write_image
from illustkit.samples import draw_face_icon


def test_what_is_opened_cannot_be_spread(tmp_path):
    write_image(tmp_path / "in" / "a.png", draw_face_icon(0, 24))
    scorer = Scorer(NETWORKS["small"]((24, 24)))
    with pytest.raises(ValueError, match="name their runs or files"):
        rank_folder(tmp_path / "in", scorer=scorer, output=tmp_path / "o", engine="ray")


@pytest.mark.large  # Ray alone takes 25 s of processor time to start and end
def test_the_same_bytes_as_one_process(tmp_path, monkeypatch):
    pytest.importorskip("ray.data", reason="needs Ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for n in range(20):
        write_image(tmp_path / "in" / f"{n}.png", draw_face_icon(n, 48))
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    scorer = Scorer(NETWORKS["small"]((24, 24)))
    for variable in scorer.weights:
        shape = variable.shape
        variable.assign(np.random.default_rng(len(shape)).uniform(0.1, 0.4, shape))
    scorer.save(tmp_path / "scorer.keras")
    options = {"scorer": tmp_path / "scorer.keras", "detector": None, "progress": False}
    rank_folder(tmp_path / "in", output=tmp_path / "one", **options)
    spread = rank_folder(
        tmp_path / "in", output=tmp_path / "many", engine="ray", workers=2, **options
    )
    assert spread.done == 21 and not (tmp_path / "many" / "shards").exists()
    for name in ("ranking.csv", "ranking.json", "gallery.html"):
        one, many = (tmp_path / f / name for f in ("one", "many"))
        assert one.read_bytes() == many.read_bytes(), name
    again = rank_folder(tmp_path / "in", output=tmp_path / "many", **options)
    assert again.done == 1  # the broken one alone
