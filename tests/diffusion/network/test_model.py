import json

import keras
import numpy as np
import pytest
from keras import ops

import diffusion.network.model
from diffusion.network.model import Diffuser, load_diffuser
from diffusion.training.noised_icons import NoisedIcons
from illustkit.errors import UserError

SLIM = {"image_size": (6, 4), "dim": 4}


def batch_of(channels=3, n=4, size=(4, 6), timesteps=20, see_own=0.5):
    rng = np.random.default_rng(0)
    return {
        "pictures": rng.integers(0, 256, (n, *size, channels), "uint8"),
        "t": np.linspace(0, timesteps - 1, n).astype("int32"),
        "noise": rng.standard_normal((n, *size, channels), dtype="float32"),
        "see_own": (np.arange(n) < n * see_own).astype("float32"),
    }


def by_hand(x, timesteps=20):
    """√ᾱ and √(1 - ᾱ) of a batch by the formula of the cosine schedule, and x0."""
    steps = np.arange(timesteps + 1) / timesteps
    bar = np.cos((steps + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.minimum(1 - bar[1:] / bar[:-1], 0.999)
    alphas = np.cumprod(1 - betas)[x["t"]].reshape(-1, 1, 1, 1)
    x0 = x["pictures"] / 127.5 - 1
    return np.sqrt(alphas), np.sqrt(1 - alphas), x0


@pytest.mark.parametrize("version", ["0.25.3", "2"])
@pytest.mark.parametrize("min_snr_gamma", [None, 5.0])
@pytest.mark.parametrize("objective", ["noise", "x0", "v"])
def test_the_loss_is_the_papers(slim, objective, min_snr_gamma, version):
    x = batch_of()
    signal, scale, x0 = by_hand(x)
    wanted = {"noise": x["noise"], "x0": x0, "v": signal * x["noise"] - scale * x0}
    snr = (signal**2 / scale**2)[:, 0, 0, 0]
    held = np.minimum(snr, min_snr_gamma or np.inf)
    weight = {"noise": held / snr, "x0": held, "v": held / (snr + 1)}[objective]
    if version == "0.25.3" and min_snr_gamma is None:
        weight = np.ones_like(snr)
    for loss, power in (("l1", 1), ("mse", 2)):
        diffuser = Diffuser(
            {**SLIM, "version": version},
            timesteps=20,
            objective=objective,
            loss=loss,
            min_snr_gamma=min_snr_gamma,
        )
        found = diffuser(x)
        x_t = (signal * x0 + scale * x["noise"]).astype("float32")
        output = ops.convert_to_numpy(diffuser.unet([x_t, x["t"]]))
        np.testing.assert_allclose(ops.convert_to_numpy(found), output, atol=2e-5)
        parts = diffuser.terms(x, None, found, True)
        error = np.abs(output - wanted[objective]) ** power
        expected = weight * error.mean(axis=(1, 2, 3))
        np.testing.assert_allclose(
            ops.convert_to_numpy(parts.pop(loss)), expected, rtol=2e-4, atol=1e-5
        )
        assert parts == {}


def test_errors_in_the_focus_count_as_often_as_is_said(slim):
    x = batch_of()
    settings = {"timesteps": 20, "loss": "mse"}
    plain = Diffuser(SLIM, **settings)
    error = np.random.default_rng(1).normal(size=x["pictures"].shape)
    found = (x["noise"] + error).astype("float32")
    inside = error[:, 3:9, 2:14] ** 2  # rows 3 to 8, columns 2 to 13
    counted = 5 * inside.sum((1, 2, 3)) + (error**2).sum((1, 2, 3))
    area = error[0, ..., 0].size + 5 * inside[0, ..., 0].size
    focused = Diffuser(SLIM, **settings, focus=(2, 3, 14, 9), focus_weight=6.0)
    (loss,) = focused.terms(x, None, found, True).values()
    expected = counted / area / error.shape[-1]
    np.testing.assert_allclose(ops.convert_to_numpy(loss), expected, rtol=1e-4)
    (loss,) = plain.terms(x, None, found, True).values()
    expected = (error**2).mean((1, 2, 3))
    np.testing.assert_allclose(ops.convert_to_numpy(loss), expected, rtol=1e-4)


def test_edm_sees_scaled_pictures_in_training_and_sampling(slim):
    x = batch_of()
    signal, scale, x0 = by_hand(x)
    diffuser = Diffuser(SLIM, timesteps=20, objective="edm", loss="mse")
    x_t = (signal * x0 + scale * x["noise"]).astype("float32")
    sigma = scale / signal
    seen = (x_t / signal / np.sqrt(sigma**2 + 0.25)).astype("float32")
    output = ops.convert_to_numpy(diffuser.unet([seen, x["t"]]))
    found = diffuser(x)
    np.testing.assert_allclose(ops.convert_to_numpy(found), output, atol=2e-5)
    np.testing.assert_allclose(diffuser.denoiser()(x_t, x["t"]), output, atol=2e-5)
    # The loss is EDM's: λ (D - x0)².
    whole = sigma**2 + 0.25
    guess = 0.25 / whole * x_t / signal + sigma * 0.5 / np.sqrt(whole) * output
    weight = whole / (sigma * 0.5) ** 2
    expected = (weight * (guess - x0) ** 2).mean(axis=(1, 2, 3))
    (loss,) = diffuser.terms(x, None, found, True).values()
    np.testing.assert_allclose(ops.convert_to_numpy(loss), expected, rtol=1e-3)


def estimate_of(diffuser, x):
    """x_t, and the first estimate of the clean pictures, by hand."""
    signal, scale, x0 = by_hand(x)
    x_t = (signal * x0 + scale * x["noise"]).astype("float32")
    noise = ops.convert_to_numpy(diffuser.unet([x_t, x["t"], 0 * x_t]))
    return x_t, np.clip((x_t - scale * noise) / signal, -1, 1).astype("float32")


def test_the_own_estimate_is_seen_where_it_should_be(slim):
    x = batch_of(see_own=0.5)
    diffuser = Diffuser({**SLIM, "self_condition": True}, timesteps=20)
    x_t, own = estimate_of(diffuser, x)
    assert np.abs(own).max() == 1 and np.abs(own).min() < 0.9
    own[2:] = 0
    expected = ops.convert_to_numpy(diffuser.unet([x_t, x["t"], own]))
    found = ops.convert_to_numpy(diffuser(x))
    # 1/√ᾱ is over 100 at the last timestep: rounding of float32 grows with it.
    np.testing.assert_allclose(found, expected, atol=1e-3)
    unseen = ops.convert_to_numpy(diffuser.unet([x_t, x["t"], 0 * x_t]))
    assert np.abs(found - unseen)[:2].max(axis=(1, 2, 3)).min() > 0.01
    np.testing.assert_allclose(found[2:], unseen[2:], atol=1e-5)


def test_no_gradient_passes_the_own_estimate(slim, monkeypatch):
    x = batch_of(see_own=1.0)
    x["t"] = np.int32([2, 4, 6, 8])

    def step(diffuser, weights):
        diffuser.unet.set_weights(weights)
        diffuser.compile(keras.optimizers.SGD(1.0))
        diffuser.train_on_batch(x)
        return np.concatenate([w.ravel() for w in diffuser.unet.get_weights()])

    network = {**SLIM, "self_condition": True}
    first = Diffuser(network, timesteps=20)
    weights = first.unet.get_weights()
    _, own = estimate_of(first, x)
    found = step(first, weights)
    with monkeypatch.context() as patch:
        constant = ops.convert_to_tensor(own)
        patch.setattr(diffusion.network.model, "predict_x0", lambda *a: constant)
        expected = step(Diffuser(network, timesteps=20), weights)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    with monkeypatch.context() as patch:
        patch.setattr(diffusion.network.model.ops, "stop_gradient", lambda value: value)
        leaking = step(Diffuser(network, timesteps=20), weights)
    assert np.abs(leaking - expected).max() > 1e-3


def test_the_noise_to_learn_stays_exact_in_bfloat16(slim, monkeypatch):
    from illustkit.runtime import precision

    seen = []
    original = diffusion.network.model.q_sample

    def q_sample(schedule, x0, t, noise):
        seen.append(keras.backend.standardize_dtype(noise.dtype))
        return original(schedule, x0, t, noise)

    monkeypatch.setattr(diffusion.network.model, "q_sample", q_sample)
    with precision("mixed_bfloat16"):
        diffuser = Diffuser(SLIM, timesteps=20)
    output = diffuser(batch_of())
    assert seen == ["float32"]
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    inner = [layer.compute_dtype for layer in diffuser.unet.layers]
    assert "bfloat16" in inner
    assert {w.dtype for w in diffuser.weights} <= {"float32", "int32", "uint32"}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_learns_compiled_or_not(slim, jit_compile):
    # Two colours: each picture is of one, and the noise can be told.
    pictures = np.zeros((8, 4, 6, 3), np.uint8)
    pictures[::2] = 255
    batches = NoisedIcons(pictures, steps=30, batch_size=8, timesteps=20)
    diffuser = Diffuser(SLIM, timesteps=20, loss="mse")
    diffuser.compile(keras.optimizers.Adam(0.01), jit_compile=jit_compile)
    fit = diffuser.fit(
        batches, epochs=3, shuffle=False, verbose=0, callbacks=[batches.follow()]
    )
    losses = fit.history["loss"]
    assert losses[-1] < 0.6 * losses[0] and losses == fit.history["mse"]
    if jit_compile:
        assert diffuser.jit_compile


def test_the_denoiser_takes_the_average_or_the_weights(slim):
    diffuser = Diffuser({**SLIM, "self_condition": True}, timesteps=20)
    diffuser.unet.set_weights([w + 0.1 for w in diffuser.unet.get_weights()])
    x_t = np.random.default_rng(0).normal(size=(3, 4, 6, 3))
    t, own = np.int64([1, 1, 1]), np.full((3, 4, 6, 3), 0.5)
    for average in (True, False):
        network = diffuser.average if average else diffuser.unet
        model = diffuser.denoiser(average=average)
        for given, seen in ((own, own), (None, 0 * own)):
            found = model(x_t, t, given)
            assert type(found) is np.ndarray and found.dtype == np.float32
            inputs = [v.astype("float32") for v in (x_t, seen)]
            expected = network([inputs[0], t.astype("int32"), inputs[1]])
            np.testing.assert_allclose(found, ops.convert_to_numpy(expected), atol=1e-5)
    assert not diffuser.average.trainable_weights


def test_unknown_options_are_named(slim):
    with pytest.raises(
        ValueError, match="`objective` must be one of .*Received: 'eps'"
    ):
        Diffuser(SLIM, objective="eps")
    with pytest.raises(ValueError, match="`loss` must be one of .*Received: 'l2'"):
        Diffuser(SLIM, loss="l2")


def test_what_is_no_trained_model_is_told_in_one_line(slim, trained, tmp_path):
    def message(folder):
        with pytest.raises(ValueError) as error:
            load_diffuser(folder)
        assert "\n" not in str(error.value) and str(folder) in str(error.value)
        return str(error.value)

    assert "holds no run" in message(tmp_path)
    (tmp_path / "settings.json").write_text(json.dumps({"objective": "coral"}))
    assert "something else than a diffusion model" in message(tmp_path)
    (tmp_path / "settings.json").write_text(json.dumps(trained.settings))
    assert "wait for the training's first epoch" in message(tmp_path)
    (tmp_path / "average.weights.h5").write_bytes(b"no weights")
    assert "does not hold this run's weights" in message(tmp_path)
    wider = {**trained.settings, "dim": 16}
    (tmp_path / "settings.json").write_text(json.dumps(wider))
    whole = (trained.folder / "average.weights.h5").read_bytes()
    (tmp_path / "average.weights.h5").write_bytes(whole)
    assert "does not hold this run's weights" in message(tmp_path)


def test_both_networks_of_a_loaded_model_are_the_average(slim, trained):
    loaded = load_diffuser(trained)
    pairs = zip(loaded.unet.weights, loaded.average.weights, strict=True)
    for own, average in pairs:
        np.testing.assert_array_equal(
            ops.convert_to_numpy(own), ops.convert_to_numpy(average)
        )
    assert (loaded.image_size, loaded.channels) == ((16, 16), 3)


@pytest.mark.parametrize(
    "change",
    [
        *({"dim": value} for value in ("x", -8, 2, 7, None, 8.5)),
        *({"dim_mults": value} for value in (3, [], ["a"], [0], None)),
        *({"image_size": value} for value in (None, 16, [16], ["a", "b"], [0, 16])),
        *({"timesteps": value} for value in (-1, 1e9, 2.5, "x", None)),
        *({"self_condition": value} for value in ("a", 2, -1)),
        *({"channels": 7}, {"version": "9"}, {"schedule": "x"}, {"objective": []}),
        *({"loss": "q"}, {"min_snr_gamma": "w"}, {"dropout": {}}),
    ],
    ids=str,
)
def test_settings_that_describe_no_model_are_one_line(trained, tmp_path, change):
    settings = {**trained.settings, **change}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match="settings.json describes no model") as error:
        load_diffuser(tmp_path)
    said = str(error.value)
    assert str(tmp_path) in said and not set("\n`") & set(said)


def test_settings_that_lack_one_are_one_line(trained, tmp_path):
    for name in ("dim", "loss", "image_size", "self_condition"):
        settings = {k: v for k, v in trained.settings.items() if k != name}
        (tmp_path / "settings.json").write_text(json.dumps(settings))
        with pytest.raises(UserError, match=f"settings.json lacks '{name}'"):
            load_diffuser(tmp_path)
