import json

import numpy as np
import pytest

from diffusion.evaluation.inception import WeightsError
from diffusion.experiment import run_experiment
from diffusion.network.model import load_diffuser
from diffusion.sampling.folder import fingerprint
from diffusion.sampling.generate import sample
from diffusion.training import train as training
from illustkit.errors import UserError
from illustkit.images import read_image
from illustkit.training.runs import Run
from tests.diffusion.conftest import TINIEST

OPTIONS = {**TINIEST, "features": "pixels", "n": 4, "sampler": "dpm++", "steps": 2}
OPTIONS |= {"training_steps": 1, "epoch_steps": 1, "sample_every": 0}


@pytest.fixture
def counted(slim, monkeypatch):
    """The list of the trainings, in which an experiment trains the slim network."""
    trainings, original = [], training.fit_run

    def fit_run(*arguments, **options):
        trainings.append(options["epochs"])
        return original(*arguments, **options)

    monkeypatch.setattr(training, "fit_run", fit_run)
    return trainings


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"n": 0}, "`n` must be .*at least 4. Received: 0"),
        ({"n": 3}, "`n` must be .*at least 4. Received: 3"),
        ({"sampler": "euler"}, "`sampler` must be"),
        ({"sampler": "ddim", "steps": 5000}, "Received: steps=5000"),
        ({"steps": 19}, "Received: steps=19"),
        ({"seed": -1}, "`seed` must be"),
        ({"training_steps": 0}, "`training_steps` must be"),
        ({"learning_rate": -1}, "`learning_rate` must be"),
        ({"features": "none.npz"}, "none.npz: no such file"),
    ],
)
def test_everything_is_checked_before_the_training(
    counted, icons, tmp_path, wrong, message
):
    error = WeightsError if "features" in wrong else UserError
    with pytest.raises(error, match=message):
        run_experiment(icons, tmp_path / "run", **{**OPTIONS, **wrong})
    assert not counted and not (tmp_path / "run").exists()


def test_too_few_icons_that_can_be_read_are_told_before_the_training(
    counted, icons, tmp_path
):
    folder = tmp_path / "icons"
    folder.mkdir()
    for i in range(6):
        whole = (icons / f"{i}.png").read_bytes()
        (folder / f"{i}.png").write_bytes(whole if i < 3 else whole[: len(whole) // 2])
    with pytest.raises(UserError, match="need 4 training pictures.*Received: 3 that"):
        run_experiment(folder, tmp_path / "run", **OPTIONS)
    assert not counted and not (tmp_path / "run").exists()


def test_more_training_makes_new_pictures_and_keeps_the_old(
    counted, icons, tmp_path, capsys
):
    run = tmp_path / "run"
    (run / "generated" / "icons").mkdir(parents=True)
    (run / "generated" / "icons" / "mine.png").write_text("a drawing")
    first = run_experiment(icons, run, **OPTIONS)
    assert (run / "generated-1" / "icons" / "mine.png").read_text() == "a drawing"
    assert "kept as generated-1" in capsys.readouterr().out
    assert "| 4 / 7 |" in first and (run / "table2.md").read_text() == first + "\n"
    made = sorted((run / "generated" / "icons").iterdir())
    before = {path: path.stat().st_mtime_ns for path in made}

    # The same call again goes on where everything is done.
    assert run_experiment(icons, run, **OPTIONS) == first
    assert {path: path.stat().st_mtime_ns for path in made} == before

    run_experiment(icons, run, **{**OPTIONS, "training_steps": 2})
    assert counted == [1, 1, 2] and Run(run).epochs_done == 2
    told = capsys.readouterr().out
    assert "holds pictures of other settings: it is kept as generated-2" in told
    model = load_diffuser(run)
    settings = json.loads((run / "generated" / "settings.json").read_text())
    assert settings["model"] == fingerprint(model)
    options = {"sampler": "dpm++", "steps": 2, "progress": False}
    expected = sample(model, 4, **options).astype(int)
    found = np.stack([read_image(path) for path in made]).astype(int)
    assert np.abs(found - expected).max() <= 1
    old = sorted((run / "generated-2" / "icons").iterdir())
    assert len(old) == 4
    pairs = zip(old, made, strict=True)
    assert any((read_image(a) != read_image(b)).any() for a, b in pairs)

    # Of fewer pictures than there are only those are measured.
    run_experiment(icons, run, **{**OPTIONS, "training_steps": 2, "n": 5})
    run_experiment(icons, run, **{**OPTIONS, "training_steps": 2, "n": 4})
    assert json.loads((run / "evaluation.json").read_text())["n_generated"] == 4
    assert "holds more than 4 pictures" in capsys.readouterr().out
