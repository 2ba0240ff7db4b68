import keras
import numpy as np
import pytest

from diffusion.gans.runs import load_gan
from diffusion.sampling.folder import sample_folder
from diffusion.sampling.generate import sample
from diffusion.training.gan import PRESETS, choose_gan_settings, train_gan
from illustkit.errors import UserError
from illustkit.figures import sheet
from illustkit.images import list_images, read_image, write_image
from illustkit.tables import read_json
from illustkit.training.runs import Run
from tests.conftest import running_eagerly
from tests.diffusion.training.test_train import Stop

NETWORKS = {
    "dcgan": {"filters": 4, "latent": 3},
    # Its penalties are left out, which take longest to trace.
    "stylegan2": {
        "base": 16,
        "latent": 4,
        "average_images": 4,
        "path_weight": 0,
        "r1": 0,
    },
}


def tiny(icons, run, model, **options):
    return train_gan(
        icons,
        run,
        model=model,
        preset="tiny",
        network=NETWORKS[model],
        strategy="one",
        n_samples=4,
        verbose=0,
        **{
            "image_size": 8,
            "batch_size": 4,
            "epoch_steps": 2,
            "steps": 4,
            "precision": "float32",
            **options,
        },
    )


@pytest.fixture(scope="module", params=NETWORKS)
def both(request, icons, tmp_path_factory):
    """A model's name, a run that was stopped and resumed, and one that was not."""
    folder = tmp_path_factory.mktemp("gans")
    with running_eagerly():
        whole = tiny(icons, folder / "whole", request.param)
        with pytest.raises(KeyboardInterrupt):
            tiny(icons, folder / "resumed", request.param, callbacks=[Stop(3)])
        assert Run(folder / "resumed").epochs_done == 1
        return request.param, tiny(icons, folder / "resumed", request.param), whole


def test_a_stopped_training_goes_on_as_if_it_never_stopped(both):
    _, resumed, whole = both
    assert resumed.settings == whole.settings
    assert resumed.history == whole.history
    assert resumed.history["epoch"] == [0, 1]
    assert {"discriminator", "adversarial", "copies"} <= set(resumed.history)
    mine, other = (load_gan(run).generator.get_weights() for run in (resumed, whole))
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_its_grids_are_pictures_of_its_weights(both):
    _, run, _ = both
    grids = list_images(run.pictures)
    assert [path.name for path in grids] == ["step-0000002.png", "step-0000004.png"]
    made = sample(run, 4, progress=False)
    np.testing.assert_array_equal(read_image(grids[-1]), sheet(list(made)))


def test_a_folder_of_its_icons_is_completed(both, tmp_path):
    name, run, _ = both
    options = {"seed": 5, "watermark": None, "progress": False}
    sample_folder(run, 2, tmp_path, **options)
    paths = sample_folder(run, 3, tmp_path, **options)
    made = sample(load_gan(run), 3, seed=5, batch_size=2, progress=False)
    for path, picture in zip(paths, made, strict=True):
        np.testing.assert_array_equal(read_image(path), picture)
    settings = read_json(tmp_path / "settings.json")
    assert set(settings) == {"sampler", "seed", "watermark", "opacity", "model"}
    if name == "stylegan2":
        with pytest.raises(UserError, match="other settings"):
            sample_folder(run, 3, tmp_path, truncation=0.5, **options)
        apart, near = (
            np.ptp(sample(run, 8, truncation=t, progress=False).astype(int), axis=0)
            for t in (1.0, 0.0)
        )
        assert near.mean() < apart.mean()


def test_what_a_gan_does_not_take_is_said(both):
    name, run, _ = both
    model = load_gan(run)
    for option, value in {"steps": 3, "sampler": "dpm++", "eta": 0.5}.items():
        with pytest.raises(UserError, match=f"`{option}` is for diffusion models"):
            sample(model, 1, **{option: value})
    with pytest.raises(UserError, match="without attributes"):
        sample_folder(
            model, 1, run.folder / "new", watermark=None, attributes={"hair": "red"}
        )
    with pytest.raises(UserError, match="8x8 pixels"):
        sample(model, 1, image_size=(16, 16))
    if name == "dcgan":
        with pytest.raises(UserError, match="this is a DCGAN"):
            sample(model, 1, truncation=0.5)


def test_a_run_takes_no_other_model_and_no_wrong_network(both, icons, tmp_path):
    name, run, _ = both
    other = {"dcgan": "stylegan2", "stylegan2": "dcgan"}[name]
    with pytest.raises(UserError, match="holds a run with other settings"):
        tiny(icons, run.folder, other)
    with pytest.raises(UserError, match="`network` holds what dcgan does not take"):
        train_gan(icons, tmp_path / "run", model="dcgan", network={"width": 3})
    assert not (tmp_path / "run").exists()


def test_presets_are_valid_and_fields_are_checked():
    for model, presets in PRESETS.items():
        for name in presets:
            assert choose_gan_settings(model, name) == presets[name]
    with pytest.raises(UserError, match="power of two"):
        choose_gan_settings("dcgan", image_size=48)
    with pytest.raises(UserError, match="beta_1"):
        choose_gan_settings("dcgan", beta_1=1.0)
    assert keras.config.floatx() == "float32"


def test_icons_of_a_sub_folder_are_learnt_and_asked_for_by_its_name(icons, tmp_path):
    paths = list_images(icons)
    for i, path in enumerate(paths):
        write_image(tmp_path / "icons" / "ab"[i % 2] / path.name, read_image(path))
    labels = []

    class Seen(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            labels.append(self.model.attributes)

    options = {"attributes": "folders", "callbacks": [Seen()]}
    run = tiny(tmp_path / "icons", tmp_path / "run", "dcgan", **options)
    assert labels == [{"folder": ["a", "b"]}] and run.history["epoch"] == [0, 1]
    model = load_gan(run)
    pictures = sample(run, 3, attributes={"folder": "b"}, progress=False)
    expected = model.generate(model.latents(3, label=1))
    np.testing.assert_array_equal(pictures, expected)
    assert np.any(pictures != sample(run, 3, attributes={"folder": "a"}))
    with pytest.raises(UserError, match="takes one of: a, b"):
        sample(run, 1, attributes={"folder": "c"})
    with pytest.raises(UserError, match="`attributes` are for a DCGAN"):
        tiny(tmp_path / "icons", tmp_path / "other", "stylegan2", **options)
    assert not (tmp_path / "other").exists()
