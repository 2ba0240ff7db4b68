import pytest

from facescore.run_kinds import may_train, open_run
from illustkit.training.runs import Run

DETECTOR = {"widths": [1], "depths": [1], "head": 1}
SCORER = {"network": "small", "objective": "coral", "margin": [0, 0, 0]}


def test_each_kind_opens_as_itself_alone(tmp_path):
    runs = {
        "detector": Run.start(tmp_path / "faces", DETECTOR),
        "scorer": Run.start(tmp_path / "taste", SCORER),
    }
    for kind, other in (("detector", "scorer"), ("scorer", "detector")):
        assert open_run(runs[kind], kind) is runs[kind]
        assert open_run(runs[kind].folder, kind).settings == runs[kind].settings
        may_train(runs[kind].folder, kind)
        with pytest.raises(ValueError, match=f"something else than a {kind}"):
            open_run(runs[other].folder, kind)
        with pytest.raises(ValueError, match=f"something else than a {kind}"):
            may_train(runs[other].folder, kind)
    may_train(tmp_path / "new", "scorer")
    with pytest.raises(ValueError, match="holds no run"):
        open_run(tmp_path / "new", "scorer")
