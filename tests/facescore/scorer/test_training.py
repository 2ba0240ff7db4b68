import json
import math
import random
import shutil

import numpy as np
import pytest

from facescore.scorer.data import held_out_ratings, rated_crops, split_crops
from facescore.scorer.evaluation import evaluate_scorer
from facescore.scorer.model import load_scorer
from facescore.scorer.prediction import score_crops
from facescore.scorer.training import (
    SCORER_PRESETS,
    HeldOutScores,
    choose_scorer_settings,
    train_scorer,
)
from illustkit.errors import UserError
from illustkit.images import list_images, write_image
from illustkit.training.runs import Run
from tests.conftest import running_eagerly

TINIEST = {
    "objective": "coral",
    "image_size": 16,
    "network_options": {"widths": (4, 6), "places": 2},
    "batch_size": 8,
    "epochs": 2,
    "strategy": "one",
    "holdout": 0.25,
    "verbose": 0,
}


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Forty crops whose score is their brightness."""
    folder, rng = tmp_path_factory.mktemp("crops"), np.random.default_rng(0)
    for i in range(40):
        score = 1 + i % 5
        light = rng.integers(40 * score, 40 * score + 30, (16, 16, 3), "uint8")
        write_image(folder / f"{score}/{i}.png", light)
    return folder


@pytest.fixture(scope="module")
def trained(crops, tmp_path_factory):
    with running_eagerly():
        return train_scorer(crops, tmp_path_factory.mktemp("runs") / "run", **TINIEST)


def test_the_run_holds_what_scoring_and_evaluating_need(trained, crops):
    columns = {"epoch", "loss", "coral", "val_mae", "val_spearman"}
    assert set(trained.history) == columns
    split = json.loads((trained.folder / "split.json").read_text("utf-8"))
    names = [path.relative_to(crops).as_posix() for path in list_images(crops)]
    held_out = split["held_out"]
    assert sorted(split["train"] + held_out) == sorted(names)
    known = [int(name.split("/")[-2]) for name in split["train"]]
    assert trained.settings["mean"] == pytest.approx(np.mean(known))
    assert trained.settings["scale"] == pytest.approx(np.std(known))
    scorer = load_scorer(trained)
    assert (scorer.objective, scorer.image_size) == ("coral", (16, 16))
    assert held_out_ratings(trained, crops) == [
        (crops / name, int(name.split("/")[-2])) for name in names if name in held_out
    ]
    # What the history says of the best epoch holds for the weights that were kept.
    found = score_crops([crops / name for name in held_out], scorer)
    best = int(np.argmax(trained.history["val_spearman"]))
    true = [int(name.split("/")[-2]) for name in held_out]
    mae = np.abs(found - true).mean()
    assert trained.history["val_mae"][best] == pytest.approx(mae, abs=1e-4)


@pytest.mark.usefixtures("eagerly")
def test_training_again_resumes_to_the_weights_of_an_unbroken_run(
    trained, crops, tmp_path
):
    import keras

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_scorer(crops, tmp_path / "run", callbacks=[Stop()], **TINIEST)
    assert Run(tmp_path / "run").epochs_done == 1
    resumed = train_scorer(crops, tmp_path / "run", **TINIEST)
    assert resumed.history == trained.history
    expected = load_scorer(trained).get_weights()
    for a, b in zip(expected, load_scorer(resumed).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("eagerly")
def test_rare_scores_count_and_scores_are_spread_as_the_ratings(
    trained, crops, tmp_path
):
    with pytest.raises(UserError, match="needs 20 held-out crops.*there are 10"):
        train_scorer(crops, tmp_path / "run", calibrate=True, **TINIEST)
    ratings = [(path, 1 if i < 30 else 5) for i, path in enumerate(list_images(crops))]
    settings = {
        **{**TINIEST, "epochs": 1, "holdout": 0.5, "objective": "regression"},
        **{"class_weights": "balanced", "ratings": ratings},
    }
    # It begins with the convolutions of the run that `trained` made.
    settings["start_from"] = str(trained.weights_path)
    run = train_scorer(crops, tmp_path / "run", calibrate=True, **settings)
    weights = run.settings["score_weights"]
    assert weights == pytest.approx([2 / 3, 0, 0, 0, 2], rel=0.1)
    assert load_scorer(run).score_weights == tuple(weights)
    paths = [path for path, _ in held_out_ratings(run, crops, ratings)]
    plain = score_crops(paths, load_scorer(run, calibrated=False))
    spread = score_crops(paths, load_scorer(run))
    assert (spread.min(), spread.max()) == pytest.approx((1, 5), abs=1e-5)
    assert np.array_equal(np.argsort(plain), np.argsort(spread))
    # Judged are those that the map was not fitted on; a quarter of the scores is 5.
    judged = evaluate_scorer(run, crops, ratings=ratings, resamples=10)
    assert np.mean(judged.predicted > 3) == pytest.approx(0.25, abs=0.1)
    assert not np.allclose(judged.predicted, spread, atol=1e-3)
    again = train_scorer(crops, tmp_path / "run", **settings)
    np.testing.assert_array_equal(score_crops(paths, load_scorer(again)), plain)


def test_no_order_counts_as_none():
    class Constant:
        def predict_scores(self, pictures):
            return np.full(len(pictures), 2.0, "float32")

    class Held(list):
        scores = np.float32([1, 4])

    callback = HeldOutScores(Held([0, 1]))
    callback._model, logs = Constant(), {}
    callback.on_epoch_end(0, logs)
    assert logs["val_mae"] == 1.5 and math.isnan(logs["val_spearman"])


def test_another_run_in_the_folder_is_not_overwritten(trained, crops):
    with pytest.raises(ValueError, match="other settings .weight_decay"):
        train_scorer(crops, trained.folder, **TINIEST, weight_decay=0.5)


@pytest.mark.usefixtures("eagerly")
def test_a_crop_that_cannot_be_read_is_left_out_and_named(crops, tmp_path, capsys):
    for path in list_images(crops)[:20]:
        copy = tmp_path / "crops" / path.relative_to(crops)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    broken = tmp_path / "crops/1/broken.png"
    broken.write_bytes(b"no picture")
    settings = {**TINIEST, "batch_size": 4, "epochs": 1, "verbose": 2}
    states = random.getstate(), np.random.get_state()[1].tolist()
    train_scorer(tmp_path / "crops", tmp_path / "run", **settings)
    assert states == (random.getstate(), np.random.get_state()[1].tolist())
    output = capsys.readouterr().out
    assert "1 rated crops are left out:" in output and "broken.png: " in output
    broken.unlink()
    with pytest.raises(ValueError, match="trained on every picture"):
        known = held_out_ratings(Run(tmp_path / "run"), tmp_path / "crops")
        for path, _ in known:
            path.unlink()
        held_out_ratings(Run(tmp_path / "run"), tmp_path / "crops")


def test_the_presets_of_the_article():
    whole, face = (SCORER_PRESETS[f"alexnet-{name}"] for name in ("whole", "face"))
    assert (whole.image_size, face.image_size) == ((640, 360), (360, 360))
    assert whole.network == face.network == "alexnet"
    assert whole.epochs == face.epochs == 50 and whole.objective == "regression"
    chosen = choose_scorer_settings(
        "alexnet-face", image_size=90, network_options={"hidden_units": 1024}
    )
    assert chosen.image_size == (90, 90)
    assert chosen.network_options == {"hidden_units": 1024}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"preset": "huge"}, "'alexnet-face', 'alexnet-whole', 'animecnn', 'small'"),
        ({"colour": 1}, r"Received: \['colour'\]"),
        ({"objective": "mse"}, "Received: 'mse'"),
        ({"preset": "transfer", "start_from": "a.npz"}, "for other networks"),
        (
            {"preset": "transfer", "network_options": {"backbone": "ResNet5"}},
            "such as MobileNetV2. Received: 'ResNet5'",
        ),
        ({"class_weights": "even"}, "must be one of balanced. Received: 'even'"),
        ({"network": "vgg"}, "Received: 'vgg'"),
        ({"optimizer": "sgd9"}, "Received: 'sgd9'"),
        ({"epochs": 0}, "Received: 0"),
        ({"learning_rate": -1}, "`learning_rate` must be over 0"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"image_size": (8, 0)}, "`image_size` must be"),
        ({"image_size": 8}, "of 16 pixels or more"),
        ({"network_options": {"colour": 1}}, "`network_options` must be one of"),
        (
            {"network_options": {"hidden_units": 0}, "network": "alexnet"},
            "hidden_units",
        ),
        ({"zoom": (1.2, 0.8)}, "Received: 1.2, 0.8: exchange"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        choose_scorer_settings(**settings)


def test_a_run_of_version_0_1_keeps_its_split(trained, crops, tmp_path):
    """It stored the crops' paths, where now their names in the folder are stored."""
    split = json.loads((trained.folder / "split.json").read_text("utf-8"))
    expected = held_out_ratings(trained, crops)
    old = {k: [str(crops / name) for name in names] for k, names in split.items()}
    run = Run.start(tmp_path / "run", {"network": "small"})
    (run.folder / "split.json").write_text(json.dumps(old))
    (run.folder / "history.csv").write_text("epoch,loss\n0,1.0\n")
    assert held_out_ratings(run, crops) == expected
    rated, sources = rated_crops(crops)
    scores = [score for _, score in rated]
    sides = split_crops(run.folder, crops, sources, scores)
    for side, names in zip(sides, split.values(), strict=True):
        assert [sources[i] for i in side] == [s for s in sources if s in names]


@pytest.mark.usefixtures("eagerly")
def test_a_run_goes_on_when_crops_come_are_sorted_anew_or_named_otherwise(
    trained, crops, tmp_path, monkeypatch, capsys
):
    shutil.copytree(crops, tmp_path / "crops")
    run = Run(shutil.copytree(trained.folder, tmp_path / "run"))
    before = json.loads((run.folder / "split.json").read_text())
    monkeypatch.chdir(tmp_path)
    for name, ratings in (("crops", None), ("crops", tmp_path / "crops")):
        assert len(held_out_ratings(run, name, ratings)) == len(before["held_out"])
    held_out = tmp_path / "crops" / before["held_out"][0]
    moved = held_out.parents[1] / "5" / f"moved-{held_out.name}"
    held_out.rename(moved)
    write_image(tmp_path / "crops/2/new.png", np.full((16, 16, 3), 99, "uint8"))
    run = train_scorer("crops", run, **{**TINIEST, "epochs": 3, "verbose": 2})
    assert "1 picture added, 1 renamed" in capsys.readouterr().out
    after = json.loads((run.folder / "split.json").read_text())
    assert moved.relative_to(tmp_path / "crops").as_posix() in after["held_out"]
    assert set(before["train"]) <= set(after["train"])
    assert run.epochs_done == 3 and run.settings["mean"] == trained.settings["mean"]
