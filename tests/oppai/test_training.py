import csv
import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from illustkit.errors import UserError
from illustkit.images import read_image, write_image
from illustkit.training.runs import Run
from oppai import training
from oppai.data.metadata import Entry, load_metadata, save_metadata
from oppai.evaluation.evaluate import held_out_patches
from oppai.models.discriminators import build_trained
from oppai.models.pretrained import load_restorer
from oppai.models.restorers import Restorer
from oppai.presets import BOOK, PRESETS
from tests.conftest import running_eagerly

TINIEST = {
    "preset": "tiny",
    "image_size": 16,
    "network": {"widths": (4, 8), "strides": (1, 2), "kernels": (3, 3)},
    "batch_size": 4,
    "epochs": 2,
    "blocks": (2, 3),
    "blur_sizes": (1, 1),
    "picture_blur": 1,
    "minimum": 24,
    "strategy": "one",
    "holdout": 0.3,
    "verbose": 0,
}


PIX2PIX = {"adversarial": "pix2pix"}
SMALL_JUDGE = {**PIX2PIX, "discriminator": {"filters": 4, "n_layers": 1}}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve coloured pictures of 40×32 pixels with a box each, and their JSON."""
    folder = tmp_path_factory.mktemp("pictures")
    entries = []
    for i in range(12):
        rng = np.random.default_rng(i)
        coarse = rng.integers(0, 256, (4, 5, 3), "uint8")
        write_image(folder / f"{i}.png", coarse.repeat(8, 0).repeat(8, 1))
        entries.append(Entry(f"{i}.png", f"{i}.png", i, 40, 32, ((8, 6, 30, 26),)))
    save_metadata(entries, folder / "meta.json")
    return folder


def train(pictures, run, **settings):
    return training.train(
        pictures, pictures / "meta.json", run, **{**TINIEST, **settings}
    )


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    with running_eagerly():
        return train(pictures, tmp_path_factory.mktemp("runs") / "run")


def test_the_run_holds_what_restoring_and_evaluating_need(trained, pictures):
    history = trained.history
    terms = {"loss", "valid", "hole", "tv"}
    columns = {"epoch"} | terms | {f"val_{k}" for k in terms | {"psnr", "ssim"}}
    assert set(history) == columns
    with open(trained.folder / "history.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 3
    assert [p.name for p in trained.pictures.iterdir()] == ["epoch-0002.png"]
    restorer = load_restorer(trained)
    assert (restorer.image_size, restorer.blend) == (16, PRESETS["tiny"].blend)
    held_out = held_out_patches(
        trained, pictures, pictures / "meta.json", progress=False
    )
    assert 0 < len(set(held_out.names)) < 12


@pytest.mark.usefixtures("eagerly")
def test_training_again_resumes_to_the_weights_of_an_unbroken_run(
    trained, pictures, tmp_path
):
    with pytest.raises(KeyboardInterrupt):
        train(pictures, tmp_path / "run", callbacks=[StopAfterOne()])
    assert Run(tmp_path / "run").epochs_done == 1
    resumed = train(pictures, tmp_path / "run")
    assert resumed.history == trained.history
    expected = load_restorer(trained).get_weights()
    for a, b in zip(expected, load_restorer(resumed).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class StopAfterOne(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("eagerly")
def test_an_adversarial_training_resumes_and_leaves_the_generator(
    pictures, trained, tmp_path
):
    whole = train(pictures, tmp_path / "whole", **SMALL_JUDGE)
    terms = {"loss", "l1", "adversarial", "discriminator"}
    logged = terms | {f"val_{name}" for name in terms | {"psnr", "ssim"}}
    assert set(whole.history) == logged | {"epoch"}
    settings = whole.settings
    assert (settings["losses"], settings["adversarial_loss"]) == ("pix2pix", "bce")
    assert not {"adversarial", *training.OF_ADVERSARIAL} & set(trained.settings)
    assert (whole.pictures / "epoch-0002.png").exists()
    with pytest.raises(KeyboardInterrupt):
        train(pictures, tmp_path / "run", **SMALL_JUDGE, callbacks=[StopAfterOne()])
    resumed = train(pictures, tmp_path / "run", **SMALL_JUDGE)
    assert resumed.history == whole.history
    restorer = load_restorer(resumed)
    assert type(restorer) is Restorer and restorer.term_weights == {"l1": 100.0}
    expected = load_restorer(whole).get_weights()
    for a, b in zip(expected, restorer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_training_begins_with_the_generator_of_an_adversarial_one(tmp_path):
    settings = dataclasses.asdict(
        training.choose_settings(**{k: TINIEST[k] for k in ("preset", "image_size")})
    )
    settings["network"] = {"image_size": 16, **TINIEST["network"]}
    judged = build_trained(settings | SMALL_JUDGE)
    run = Run.start(tmp_path / "run", settings | SMALL_JUDGE)
    judged.save_weights(run.weights_path)
    restorer = build_trained(settings)
    training._begin_with(restorer, run.folder)
    expected = judged.generator.get_weights()
    for a, b in zip(expected, restorer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    settings["network"] |= {"widths": (4, 12)}
    with pytest.raises(UserError, match="holds another network"):
        training._begin_with(build_trained(settings), run)


@pytest.mark.parametrize(
    "discriminator, message",
    [
        ({}, "`image_size` must be at least 24 .*n_layers=3.*Received: 16"),
        ({"depth": 3}, r"`discriminator` has the settings .*Received: \['depth'\]"),
        ({"n_layers": 0}, "`n_layers` must be at least 1"),
    ],
)
def test_a_discriminator_that_cannot_judge_is_named(
    pictures, tmp_path, discriminator, message
):
    with pytest.raises(UserError, match=message):
        train(pictures, tmp_path / "run", **PIX2PIX, discriminator=discriminator)
    assert not (tmp_path / "run").exists()


def test_an_adversarial_training_has_the_losses_and_optimizer_of_pix2pix():
    chosen = training.choose_settings("book", **PIX2PIX)
    assert (chosen.losses, chosen.optimizer) == ("pix2pix", "adam")
    optimizer = training.make_optimizer(chosen, chosen.learning_rate)
    assert optimizer.beta_1 == 0.5
    assert optimizer.discriminator_rate * chosen.learning_rate == pytest.approx(2e-4)
    named = training.choose_settings("book", **PIX2PIX, losses="book")
    assert named.losses == "book"


def test_the_book_preset_is_the_chapter():
    assert dataclasses.asdict(BOOK) | {"network": {}} == dataclasses.asdict(BOOK)
    assert (BOOK.image_size, BOOK.batch_size, BOOK.epochs) == (256, 32, 150)
    assert (BOOK.optimizer, BOOK.learning_rate, BOOK.blend) == ("rmsprop", 1e-4, 0.5)
    assert (BOOK.losses, BOOK.blocks, BOOK.picture_blur) == ("book", (8, 8), 5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"preset": "huge"}, "'book', 'colab', 'tiny'"),
        ({"colour": 1}, r"Received: \['colour'\]"),
        ({"losses": "mse"}, "Received: 'mse'"),
        ({"epochs": 0}, "Received: 0"),
        ({"optimizer": "sgd9"}, "Received: 'sgd9'"),
        ({"schedule": "step"}, "Received: 'step'"),
        ({"learning_rate": -1}, "`learning_rate` must be over 0. Received: -1"),
        ({"batch_size": -4}, "`batch_size` must be .*Received: -4"),
        ({"image_size": 0}, "`image_size` must be .*Received: 0"),
        ({"precision": "float"}, "`precision` must be one of auto, float32"),
        ({"blocks": (12, 6)}, "`blocks`.*12, 6: exchange them"),
        ({"blur_sizes": (-1, 2)}, "`blur_sizes` must be at least 0"),
        ({"picture_blur": -1}, "`picture_blur` must be at least 0"),
        ({"minimum": 0}, "`minimum` must be .*at least 1"),
        ({"blend": 1.5}, "`blend` must be .*at most 1"),
        ({"adversarial": "cycle"}, "`adversarial` must be one of pix2pix"),
        ({"adversarial_loss": "bce"}, "`adversarial_loss` needs `adversarial`"),
        (PIX2PIX | {"adversarial_loss": "l9"}, "`adversarial_loss` must be .*hinge"),
        (PIX2PIX | {"discriminator_learning_rate": 0}, "must be over 0"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        training.choose_settings(**settings)


@pytest.mark.usefixtures("eagerly")
def test_the_chapter_s_own_network_trains_and_restores(pictures, tmp_path):
    """All five stages with BatchNorm, 8 million weights, RMSprop; 64 px for speed."""
    from oppai.inference.restore import restore

    settings = {**TINIEST, "preset": "book", "image_size": 64, "vgg_weights": None}
    del settings["network"]
    metadata = pictures / "meta.json"
    run = training.train(pictures, metadata, tmp_path / "run", **settings)
    history = run.history
    assert history["loss"][1] < history["loss"][0]
    assert np.isfinite(history["val_psnr"]).all()
    restorer = load_restorer(run)
    assert restorer.network.count_params() == 8_020_244
    moments = [w for w in restorer.weights if "moving_mean" in w.path]
    assert len(moments) == 18 and all(np.any(w.numpy()) for w in moments)
    picture = read_image(pictures / "0.png")
    restored = restore(picture, boxes=[(12, 10, 22, 20)], restorer=restorer, feather=2)
    changed = (restored != picture).any(-1)
    assert changed[10:20, 12:22].mean() > 0.9
    changed[6:24, 8:26] = False
    assert not changed.any()


@pytest.mark.usefixtures("eagerly")
def test_pictures_that_were_held_out_stay_held_out(pictures, tmp_path):
    run = train(pictures, tmp_path / "run", epochs=1)
    before = json.loads((run.folder / "split.json").read_text())
    more = shutil.copytree(pictures, tmp_path / "more")
    entries = load_metadata(more / "meta.json")
    for i in range(12, 20):
        shutil.copy(more / "0.png", more / f"{i}.png")
        entries.append(Entry(f"{i}.png", f"{i}.png", i, 40, 32, ((8, 6, 30, 26),)))
    save_metadata(entries, more / "meta.json")
    train(more, run.folder, epochs=2)
    after = json.loads((run.folder / "split.json").read_text())
    for side in ("train", "held_out"):
        assert set(before[side]) < set(after[side])


def test_nothing_is_stored_before_the_checks(pictures, tmp_path):
    wrong = tmp_path / "no.json"
    with pytest.raises(UserError, match="no such file"):
        training.train(pictures, wrong, tmp_path / "run", **TINIEST)
    with pytest.raises(ValueError, match="divisible"):
        train(pictures, tmp_path / "run", image_size=17, batch_size=4)
    with pytest.raises(UserError, match="neither a run's folder"):
        train(pictures, tmp_path / "run", start_from=tmp_path / "no.h5")
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_folder_is_not_overwritten(trained, pictures):
    with pytest.raises(ValueError, match="holds a run with other settings"):
        train(pictures, trained.folder, blend=0.25)


@pytest.mark.usefixtures("eagerly")
def test_nan_stops_the_training_and_names_the_term(pictures, tmp_path):
    with pytest.raises(FloatingPointError, match="Not finite: .*hole"):
        train(pictures, tmp_path / "run", learning_rate=1e38)


@pytest.fixture
def unfitted(monkeypatch):
    """Trainings of an epoch that takes no time."""

    def fit(model, batches, run, **options):
        (run.folder / "history.csv").write_text("epoch,loss\n0,1\n")
        return run

    monkeypatch.setattr(training, "fit_run", fit)


@pytest.mark.usefixtures("unfitted")
@pytest.mark.parametrize(
    "wrong",
    [{"holdout": 1}, {"batch_size": 100}, {"seed": -1}, {"sheet_every": -1}],
    ids=str,
)
def test_a_refused_option_leaves_nothing_that_refuses_the_mended_one(
    pictures, tmp_path, wrong
):
    with pytest.raises(UserError, match=f"`{next(iter(wrong))}`"):
        train(pictures, tmp_path / "run", **wrong)
    assert train(pictures, tmp_path / "run").settings["batch_size"] == 4


@pytest.mark.usefixtures("unfitted")
def test_changed_data_are_told_and_other_data_refused(pictures, tmp_path, capsys):
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    run = train(folder, tmp_path / "run", verbose=2)
    assert "The data" not in capsys.readouterr().out
    (folder / "3.png").unlink()
    shutil.copy(folder / "4.png", folder / "5.png")
    train(folder, run.folder, verbose=2)
    told = "The data have changed since this run began: 1 picture gone, 1 changed."
    assert told in capsys.readouterr().out
    for i in range(12):
        write_image(
            folder / f"{i}.png", np.full((32, 40, 3), (200, 20 * i, 0), "uint8")
        )
    with pytest.raises(UserError, match="was trained on other data: none of its 11"):
        train(folder, run.folder)


@pytest.mark.usefixtures("eagerly")
def test_the_second_phase_begins_with_the_first_and_freezes_batchnorm(
    trained, pictures, tmp_path, monkeypatch
):
    monkeypatch.chdir(trained.folder.parent)
    options = {"start_from": "run", "freeze_batchnorm": True, "learning_rate": 1e-4}
    second = train(pictures, tmp_path / "run", epochs=1, **options)
    assert second.settings["network"]["encoder_batchnorm_frozen"]
    before, after = load_restorer(trained).network, load_restorer(second).network
    frozen = [layer for layer in after.layers if not layer.trainable and layer.weights]
    assert frozen
    for layer in after.layers:
        if not layer.weights:
            continue
        expected = before.get_layer(layer.name).get_weights()
        same = all(map(np.array_equal, layer.get_weights(), expected))
        assert same == (layer in frozen), layer.name
    with pytest.raises(UserError, match="no.txt: is neither a run's folder nor a file"):
        train(pictures, tmp_path / "third", start_from=tmp_path / "no.txt")
    with pytest.raises(UserError, match="does not hold this run's weights"):
        wider = {"network": {**TINIEST["network"], "widths": (4, 12)}}
        train(pictures, tmp_path / "third", start_from=trained, **wider)
    assert not (tmp_path / "third" / "settings.json").exists()


MOSAIC = {
    "samples": 0,
    "steps": 1,
    "batch_size": 2,
    "image_size": 32,
    "precision": "float32",
    "network": {"widths": (4, 4, 8), "blocks": (0, 0, 1)},
}


@pytest.mark.usefixtures("unfitted")
def test_a_mosaic_run_leaves_out_what_cannot_be_read(pictures, tmp_path, capsys):
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:60])
    (folder / "dead.png").symlink_to(tmp_path / "gone.png")
    run = training.train_mosaic(
        folder, tmp_path / "run", held_out=["0.png", "1.png"], **MOSAIC, verbose=2
    )
    out = capsys.readouterr().out
    assert "3 pictures are left out:" in out
    for name in ("1.png", "3.png", "dead.png"):
        assert sum(line.startswith(str(folder / name)) for line in out.split("\n")) == 1
    split = json.loads((run.folder / "split.json").read_text())
    assert split["held_out"] == ["0.png", "1.png"]
    assert split["train"] == [f"{i}.png" for i in (2, *range(4, 12))]
    # A picture that is gone is not asked for again.
    (folder / "0.png").unlink()
    shutil.copy(pictures / "1.png", folder / "1.png")
    training.train_mosaic(folder, run.folder, held_out=["1.png"], **MOSAIC, verbose=2)
    assert "1 picture gone, 1 changed" in capsys.readouterr().out
    split = json.loads((run.folder / "split.json").read_text())
    assert split["held_out"] == ["1.png", "0.png"]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"epochs": 0}, {"steps": -1}, {"batch_size": 0}, {"learning_rate": -1}),
        *({"image_size": 0}, {"samples": -1}, {"seed": -1}, {"precision": "half"}),
    ],
    ids=str,
)
def test_a_mosaic_training_checks_its_options_first(tmp_path, wrong):
    with pytest.raises(UserError, match=f"`{next(iter(wrong))}` must be"):
        training.train_mosaic(tmp_path, tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def test_the_curve_has_one_row_an_epoch(tmp_path):
    curve = training.PSNRCurve([], tmp_path / "curve.csv")
    (tmp_path / "curve.csv").write_text(
        "epoch,seconds,blocks_6_10,blocks_12_20,white\n"
        "4,10,1.0,2.0,3.0\n8,20,1.0,2.0,3.0\n"
    )
    curve.cases = []
    curve.on_train_begin()
    assert curve.seconds == 20
    curve.on_epoch_begin(7)
    with np.errstate(invalid="ignore"), pytest.warns(RuntimeWarning, match="empty"):
        curve.on_epoch_end(7)  # which an interrupt has kept from being saved
    rows = (tmp_path / "curve.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "4", "8"]


@pytest.mark.usefixtures("unfitted")
def test_a_mosaic_run_keeps_its_held_out_pictures(pictures, tmp_path):
    options = {k: v for k, v in MOSAIC.items() if k != "image_size"}
    names = [f"{i}.png" for i in range(12)]

    def start(held_out, **more):
        return training.train_mosaic(
            pictures, tmp_path / "run", held_out=held_out, **options, **more
        )

    with (
        pytest.MonkeyPatch.context() as patch
    ):  # refused, or stopped in its first epoch
        patch.setattr(training, "fit_run", lambda *arguments, **options: None)
        start(names[4:6], image_size=32)
    run = start(names[:2], image_size=32)
    split = json.loads((run.folder / "split.json").read_text())
    assert split == {"train": names[2:], "held_out": names[:2]}
    with pytest.raises(UserError, match="holds out other pictures"):
        start(names[1:3], image_size=32)
    with pytest.warns(DeprecationWarning, match="use `image_size`"):
        start(names[:2], patch=32)
    # A run of version 0.1 goes on.
    settings = json.loads((run.folder / "settings.json").read_text())
    assert settings.pop("kind") == "mosaic restorer"
    (run.folder / "settings.json").write_text(
        json.dumps(settings | {"model": "mosaic"})
    )
    assert "model" not in start(names[:2], image_size=32).settings
