"""What a training says of its own grids: copies, the warning, and KID."""

from types import SimpleNamespace

import numpy as np
import pytest

from diffusion.evaluation.metrics import kid
from diffusion.training import callbacks
from diffusion.training.callbacks import SampleGrids
from illustkit.images import read_image
from illustkit.samples import draw_face_icon


@pytest.fixture(scope="module")
def icons():
    return np.stack([draw_face_icon(seed, 32) for seed in range(24)])


def look(tmp_path, monkeypatch, icons, pictures, **options):
    """A callback whose model would make `pictures`, and a function of an epoch."""
    monkeypatch.setattr(callbacks, "sample", lambda *args, **kwargs: pictures)
    run = SimpleNamespace(pictures=tmp_path)
    grids = SampleGrids(run, icons, n=len(pictures), **options)
    optimizer = SimpleNamespace(iterations=7)
    model = SimpleNamespace(optimizer=optimizer, jax_state_sync=lambda: None)
    grids.set_model(model)

    def epoch(number):
        logs = {}
        grids.on_epoch_end(number, logs)
        return logs

    return epoch


def test_copies_are_counted_and_warned_of_once(tmp_path, monkeypatch, icons, capsys):
    new = np.stack([draw_face_icon(seed, 32) for seed in range(100, 104)])
    pictures = np.concatenate([icons[:6, :, ::-1], new])
    epoch = look(tmp_path, monkeypatch, icons, pictures)
    assert epoch(0) == {"copies": 0.6}
    said = "".join(capsys.readouterr())
    assert "After 7 steps 60% of the grid are copies" in said
    assert epoch(1) == {"copies": 0.6}
    assert "copies" not in "".join(capsys.readouterr())
    assert read_image(tmp_path / "step-0000007.png").shape[2] == 3


def test_new_pictures_give_no_warning(tmp_path, monkeypatch, icons, capsys):
    new = np.stack([draw_face_icon(seed, 32) for seed in range(100, 110)])
    epoch = look(tmp_path, monkeypatch, icons, new)
    assert epoch(0) == {"copies": 0.0}
    assert "copies" not in "".join(capsys.readouterr())


def test_variants_of_one_motif_are_no_reason_to_warn(tmp_path, monkeypatch, capsys):
    # Every training picture has a twin: a grid may be as near to one as they are.
    twins = np.repeat([draw_face_icon(seed, 32) for seed in range(30)], 2, axis=0)
    twins[1::2] = np.clip(twins[1::2].astype(int) + 3, 0, 255)
    epoch = look(tmp_path, monkeypatch, twins, twins[::2].copy())
    assert epoch(0)["copies"] == 1.0
    assert "copies" not in "".join(capsys.readouterr())


def test_kid_of_named_features_is_logged_in_the_epochs_looked_at(
    tmp_path, monkeypatch, icons
):
    new = np.stack([draw_face_icon(seed, 32) for seed in range(100, 112)])

    def features(pictures):
        return pictures.reshape(len(pictures), -1)[:, ::97].astype("float32") / 255

    epoch = look(tmp_path, monkeypatch, icons, new, every=2, metrics=features)
    skipped, logs = epoch(0), epoch(1)
    assert set(skipped) == set(logs) == {"copies", "kid"}
    assert all(np.isnan(list(skipped.values())))
    assert logs["kid"] == pytest.approx(kid(features(new), features(icons)).value)
