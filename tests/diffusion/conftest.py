import numpy as np
import pytest

from illustkit.images import write_image

TINIEST = {
    "preset": "tiny",
    "image_size": 16,
    "dim": 8,
    "dim_mults": (1, 2),
    "version": "2",
    "dropout": 0.2,
    "objective": "v",
    "loss": "mse",
    "min_snr_gamma": 5.0,
    "self_condition": 0.5,
    "timesteps": 20,
    "batch_size": 4,
    "warm_up": 6,
    "epoch_steps": 4,
    "steps": 12,
    "strategy": "one",
    "n_samples": 4,
    "sample_steps": 3,
    "verbose": 0,
}
"""Settings of a training of a moment, with all that may be drawn at random."""


@pytest.fixture
def slim(monkeypatch):
    """Diffusion models are built with a network of two convolutions."""
    import diffusion.network.model
    from tests.diffusion.slim import Slim

    monkeypatch.setattr(diffusion.network.model, "UNet", Slim)


@pytest.fixture(scope="session")
def icons(tmp_path_factory):
    """Folder of seven icons of 16×16 pixels: discs of their own colour and place."""
    folder, rng = tmp_path_factory.mktemp("icons"), np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    for i in range(7):
        icon = np.full((16, 16, 3), 255, np.uint8)
        centre = rng.integers(5, 11, 2)
        icon[np.hypot(y - centre[0], x - centre[1]) < 4] = rng.integers(0, 200, 3)
        write_image(folder / f"{i}.png", icon)
    return folder


@pytest.fixture(scope="session")
def trained(icons, tmp_path_factory):
    """A run of three epochs of the slim network, that was never stopped."""
    with pytest.MonkeyPatch.context() as patch:
        return train_slim(patch, icons, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session")
def model(trained):
    """The model of that run."""
    import diffusion.network.model
    from tests.diffusion.slim import Slim

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion.network.model, "UNet", Slim)
        return diffusion.network.model.load_diffuser(trained)


def train_slim(patch, icons, run, **settings):
    """Train with the slim network and an average that moves from the fourth step on."""
    import functools

    import diffusion.network.model
    from diffusion.training import train
    from diffusion.training.callbacks import Averaging
    from tests.diffusion.slim import Slim

    patch.setattr(diffusion.network.model, "UNet", Slim)
    quick = functools.partial(Averaging, every=2, after=1)
    patch.setattr(train, "Averaging", quick)
    return train.train(icons, run, **{**TINIEST, **settings})
