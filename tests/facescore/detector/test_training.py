import json

import keras
import numpy as np
import pytest

import facescore.detector.losses
from facescore.detector.network import DetectorNetwork
from facescore.detector.prediction import detect_faces, load_network
from facescore.detector.pretrained import read_shipped
from facescore.detector.training import (
    _split_as_before,
    begin_with,
    choose_detector_settings,
    train_detector,
)
from illustkit.images import write_image
from illustkit.training.runs import Run
from illustkit.training.split import split_names, write_split
from tests.facescore.slim import Slim

SETTINGS = {
    "preset": "tiny",
    "image_size": 32,
    "validation_size": 32,
    "batch_size": 2,
    "epoch_size": 4,
    "epochs": 2,
    "widths": (2, 2, 4, 4, 4),
    "depths": (1, 1, 1, 1),
    "head": 2,
    "close_mosaic": 1,
    "sheet_every": 1,
    "verbose": 0,
}


class StopAfter(keras.callbacks.Callback):
    """Ends the training after its first epoch, as a kill does."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of labelled pictures, and a network that is quick to train."""
    monkeypatch.setattr(facescore.detector.losses, "DetectorNetwork", Slim)
    rng = np.random.default_rng(0)
    for i in range(6):
        image = rng.integers(0, 99, (32, 32, 3), dtype=np.uint8)
        image[8:24, 8:24] = 255
        write_image(tmp_path / "set" / f"{i}.png", image)
        (tmp_path / "set" / f"{i}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    return tmp_path


def weights(run):
    return np.concatenate([w.ravel() for w in load_network(run).get_weights()])


@pytest.mark.usefixtures("eagerly")
def test_a_stopped_training_goes_on_as_if_it_had_not_been(folder):
    images = folder / "set"
    stopped = {"holdout": 0.34, **SETTINGS, "ema": 0.6}
    whole = train_detector(images, folder / "whole", **stopped)
    train_detector(images, folder / "parts", callbacks=[StopAfter()], **stopped)
    assert Run(folder / "parts").epochs_done == 1
    parts = train_detector(images, folder / "parts", **stopped)
    assert parts.epochs_done == whole.epochs_done == 2
    for name, values in whole.history.items():
        np.testing.assert_allclose(parts.history[name], values, rtol=1e-4)
    np.testing.assert_allclose(weights(parts), weights(whole), atol=1e-5)
    assert {"box", "cls", "dfl", "val_ap", "val_ap50"} < set(whole.history)
    split = json.loads((whole.folder / "split.json").read_text())
    assert (len(split["train"]), len(split["held_out"])) == (4, 2)
    names = [path.name for path in sorted(whole.pictures.iterdir())]
    assert names == ["epoch-0001.png", "epoch-0002.png"]

    assert isinstance(detect_faces(images / "0.png", whole, imgsz=32), list)
    network = Slim(SETTINGS["widths"], SETTINGS["depths"], SETTINGS["head"])
    begin_with(network, whole)
    found = np.concatenate([w.ravel() for w in network.get_weights()])
    np.testing.assert_array_equal(found, weights(whole))
    with pytest.raises(ValueError, match="same widths"):
        begin_with(Slim((2, 2, 2, 2, 2), (1, 1, 1, 1), 2), whole)


def test_a_training_may_begin_with_the_packages_detector():
    small = choose_detector_settings("small")
    network = DetectorNetwork(small.widths, small.depths, small.head)
    begin_with(network, "default")
    _, stored = read_shipped()
    for weight in network.weights:
        np.testing.assert_array_equal(weight, stored[weight.path].astype("float32"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "huge"}, "Received: 'huge'"),
        ({"epoch": 3}, r"Received: \['epoch'\]"),
        ({"image_size": 100}, "multiple of 32"),
        ({"image_size": -32}, "`image_size` must be .* at least 1"),
        ({"epochs": 0}, "at least 1"),
        ({"optimizer": "lion"}, "Received: 'lion'"),
        ({"learning_rate": -1}, "`learning_rate` must be over 0"),
        ({"batch_size": 0}, "`batch_size` must be .* at least 1"),
        ({"batch_size": 1000}, "`batch_size` must be at most `epoch_size`"),
        ({"scale": (1.5, 0.5)}, "`scale` is the smallest and then the largest"),
    ],
)
def test_wrong_settings_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        choose_detector_settings(**settings)


@pytest.mark.usefixtures("eagerly")
def test_a_run_keeps_its_split_when_data_come_or_move(folder):
    settings = {**SETTINGS, "sheet_every": 0, "holdout": 0.34}
    run = train_detector(folder / "set", folder / "run", **{**settings, "epochs": 1})
    before = json.loads((run.folder / "split.json").read_text())
    assert sorted(before["train"] + before["held_out"]) == [
        f"{i}.png" for i in range(6)
    ]
    # Version 0.1 stored paths.
    old = {k: [str(folder / "set" / n) for n in names] for k, names in before.items()}
    (run.folder / "split.json").write_text(json.dumps(old))
    write_image(folder / "set" / "new.png", np.zeros((32, 32, 3), np.uint8))
    (folder / "set" / "new.txt").write_text("")
    train_detector(folder / "set", run, **settings)
    (folder / "set").rename(folder / "moved")
    longer = {**settings, "epochs": 3, "epoch_size": 6}  # more pictures, longer epochs
    run = train_detector(folder / "moved", run, **longer)
    changed = [change["setting"] for change in run.changes]
    assert changed[-2:] == ["epoch_size", "epochs"]
    after = json.loads((run.folder / "split.json").read_text())
    for side in before:
        assert [name for name in after[side] if name in before[side]] == before[side]
    names = [name for side in after.values() for name in side if "/" not in name]
    assert len(names) == len(set(names)) == 7  # and the paths of version 0.1


@pytest.mark.usefixtures("eagerly")
def test_a_damaged_picture_is_left_out_and_named(folder, capsys):
    (folder / "set" / "bad.png").write_bytes(b"no picture")
    (folder / "set" / "bad.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (folder / "set" / "dead.png").symlink_to(folder / "gone.png")
    (folder / "set" / "dead.txt").write_text("")
    settings = {**SETTINGS, "sheet_every": 0, "holdout": 0.34, "epochs": 1}
    settings["verbose"] = 2
    for _ in range(2):  # the second time from the cache
        run = train_detector(folder / "set", folder / "run", **settings)
        output = capsys.readouterr().out
        assert "2 pictures cannot be read and are left out" in output
        assert "bad.png: " in output and "dead.png: " in output
    split = json.loads((run.folder / "split.json").read_text())
    assert len(split["train"] + split["held_out"]) == 6


@pytest.mark.usefixtures("eagerly")
def test_held_out_pictures_without_a_face_are_told_as_undefined(folder):
    for path in (folder / "set").glob("*.txt"):
        path.write_text("")
    settings = {**SETTINGS, "sheet_every": 0, "holdout": 0.34, "epochs": 1}
    with pytest.warns(UserWarning, match="val_ap was undefined after every epoch"):
        run = train_detector(folder / "set", folder / "run", **settings)
    assert np.isnan(run.best("val_ap"))


def test_what_a_round_trained_on_the_next_does_not_hold_out(tmp_path):
    names = [f"{i}.png" for i in range(40)]
    training, held_out = split_names(names, holdout=0.25)
    swapped = held_out[0], training[0]
    before = [n for n in training if n != swapped[1]] + [swapped[0]]
    unseen = [n for n in held_out if n != swapped[0]] + [swapped[1]]
    write_split(tmp_path, before, unseen)
    new = [f"new-{i}.png" for i in range(40)]
    sides = _split_as_before([*names, *new], tmp_path, 0.25, 0)
    assert set(before) <= set(sides[0]) and swapped[1] in sides[1]
    expected = split_names([*names, *new], holdout=0.25)
    for side, other in zip(sides, expected, strict=True):
        assert {n for n in side if n in new} == {n for n in other if n in new}
