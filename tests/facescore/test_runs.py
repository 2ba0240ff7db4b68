"""Runs say what they train; those of version 0.1 are told apart by their settings."""

import numpy as np
import pytest

from facescore.detector.losses import DETECTOR
from facescore.detector.prediction import load_detector
from facescore.detector.training import train_detector
from facescore.scorer.model import SCORER, load_scorer
from facescore.scorer.training import train_scorer
from illustkit.images import write_image
from illustkit.training.runs import Run

OLD = {
    "detector": {"widths": [1], "depths": [1], "head": 1},
    "scorer": {"network": "small", "objective": "coral", "margin": [0, 0, 0]},
}
KINDS = {"detector": DETECTOR, "scorer": SCORER}


@pytest.mark.parametrize(
    "name, other", [("detector", "scorer"), ("scorer", "detector")]
)
def test_each_kind_opens_as_itself_alone(name, other, tmp_path):
    kind = KINDS[name]
    old = Run.start(tmp_path / "old", OLD[name])
    new = Run.start(tmp_path / "new", {"seed": 1}, kind=kind)
    assert new.settings["kind"] == name and "kind" not in old.settings
    for run in (old, new):
        assert kind.open(run) is run
        assert kind.open(run.folder).settings == run.settings
        with pytest.raises(ValueError, match=f"something else than a {other}"):
            KINDS[other].open(run.folder)
    with pytest.raises(ValueError, match="holds no run"):
        kind.open(tmp_path / "none")


def test_a_training_or_loading_refuses_the_other_kind(tmp_path):
    for name in OLD:
        Run.start(tmp_path / name, OLD[name])
    write_image(tmp_path / "set" / "1" / "a.png", np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "set" / "1" / "a.txt").write_text("")
    with pytest.raises(ValueError, match="something else than a detector"):
        train_detector(tmp_path / "set", tmp_path / "scorer")
    with pytest.raises(ValueError, match="something else than a scorer"):
        train_scorer(tmp_path / "set", tmp_path / "detector")
    with pytest.raises(ValueError, match="something else than a detector"):
        load_detector(tmp_path / "scorer")
    with pytest.raises(ValueError, match="something else than a scorer"):
        load_scorer(tmp_path / "detector")
