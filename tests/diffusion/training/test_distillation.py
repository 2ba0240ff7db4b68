import json

import keras
import numpy as np
import pytest
from keras import ops

import diffusion
from diffusion.network.model import Diffuser, load_diffuser, load_shipped, save_shipped
from diffusion.sampling.generate import choose_sampler, sampling_of
from diffusion.sampling.samplers import dpm_solver_pp, draw_noise, picture_generators
from diffusion.training import distillation
from diffusion.training.distillation import (
    Jumps,
    Paths,
    Student,
    distill,
    random_wishes,
    walk_paths,
)
from illustkit.errors import UserError

SCHEMA = {"hair": ["blue", "red"], "glasses": ["no", "yes"]}
NETWORK = {"image_size": (16, 16), "dim": 8, "dim_mults": (1, 2), "version": "2"}
TINY = {"steps": 2, "teacher_steps": 4, "paths": 6, "batch_size": 4, "verbose": 0}
TINY |= {"precision": "float32", "warm_up": 2}


@pytest.fixture(autouse=True)
def _slim(slim, monkeypatch):
    from tests.diffusion.slim import Slim

    monkeypatch.setattr(distillation, "UNet", Slim)


@pytest.fixture
def teacher():
    keras.utils.set_random_seed(3)
    options = {"objective": "v", "timesteps": 50, "attributes": SCHEMA}
    return Diffuser(NETWORK, **options)


def noise(n):
    return draw_noise(picture_generators(5, n), (16, 16, 3))


def test_jumps_lead_along_the_teacher_s_path(teacher):
    wishes = random_wishes(teacher, 3, seed=1)
    options = {"steps": 2, "teacher_steps": 6, "guidance": 2.0}
    paths = walk_paths(teacher, noise(3), wishes, **options)
    first, second = paths.timesteps
    assert first > second > 0
    bars = teacher.schedule.alphas_cumprod
    x, x0 = (a.astype("float64") for a in (paths.x_t[:, 0], paths.x0[:, 0]))
    eps = (x - bars[first] ** 0.5 * x0) / (1 - bars[first]) ** 0.5
    jumped = bars[second] ** 0.5 * x0 + (1 - bars[second]) ** 0.5 * eps
    np.testing.assert_allclose(jumped, paths.x_t[:, 1], atol=2e-2)
    end = dpm_solver_pp(
        teacher.denoiser(wishes=wishes, guidance=2.0),
        noise(3),
        teacher.schedule,
        objective="v",
        steps=6,
        spacing="logsnr",
    )
    np.testing.assert_allclose(paths.x0[:, 1], end, atol=1e-3)


def test_the_loss_is_the_weighted_error_of_x0():
    rng = np.random.default_rng(0)
    student = Student(NETWORK, objective="v", timesteps=50)
    x = {name: rng.standard_normal((2, 16, 16, 3)) for name in ("x_t", "x0")}
    x = {name: value.astype("float32") for name, value in x.items()}
    x["t"] = np.array([49, 3], "int32")
    v = ops.convert_to_numpy(student.unet([x["x_t"], x["t"]]))
    bars = student.schedule.alphas_cumprod[x["t"]]
    found = ops.convert_to_numpy(student.terms(x, None, student(x), True)["mse"])
    for i, bar in enumerate(bars):
        x0 = bar**0.5 * x["x_t"][i] - (1 - bar) ** 0.5 * v[i]
        weight = min(max(bar / (1 - bar), 1), 5)
        expected = weight * np.mean((x0 - x["x0"][i]) ** 2)
        np.testing.assert_allclose(found[i], expected, rtol=1e-4)
    again = Student.from_config(json.loads(json.dumps(student.get_config())))
    assert (again.network["dim"], again.objective) == (8, "v")
    assert again.schedule.config == student.schedule.config


def test_each_jump_is_dealt_once_an_epoch_with_its_own_wish():
    x = np.arange(6, dtype="float16").reshape(3, 2, 1, 1, 1)
    paths = Paths(x, -x, (40, 10), np.arange(3, dtype="float32")[:, None])
    batches = Jumps(paths, batch_size=2)
    dealt = [batches[i][0] for i in range(len(batches))]
    x_t, x0, t, wishes = (
        np.concatenate([each[name].ravel() for each in dealt])
        for name in ("x_t", "x0", "t", "attributes")
    )
    assert sorted(x_t) == list(range(6))
    np.testing.assert_array_equal(x0, -x_t)
    np.testing.assert_array_equal(t, np.where(x_t % 2, 10, 40))
    np.testing.assert_array_equal(wishes, x_t // 2)


def test_a_student_s_run_samples_in_its_own_steps(teacher, tmp_path):
    run = distill(teacher, tmp_path / "run", epochs=1, **TINY)
    again = distill(teacher, run.folder, epochs=2, **TINY)
    assert again.epochs_done == 2 and len(again.history["mse"]) == 2
    student = load_diffuser(run)
    assert len(student.distilled["timesteps"]) == 2
    made = diffusion.sample(run, 2, attributes={"hair": "red"}, progress=False)
    # DDIM by hand: x' = √ᾱ' x0 + √(1 - ᾱ') ε, with one evaluation and no guidance.
    x, bars = draw_noise(picture_generators(3407, 2), (16, 16, 3)), [1.0]
    bars += list(student.schedule.alphas_cumprod)
    times = [*student.distilled["timesteps"], -1]
    wish = np.array([[0, 1, 0, 0]] * 2, "float32")
    for t, after in zip(times, times[1:], strict=False):
        v = ops.convert_to_numpy(student.average([x, np.full(2, t), wish]))
        bar, later = bars[t + 1], bars[after + 1]
        x0 = bar**0.5 * x - (1 - bar) ** 0.5 * v
        eps = (1 - bar) ** 0.5 * x + bar**0.5 * v
        x = (later**0.5 * x0 + (1 - later) ** 0.5 * eps).astype("float32")
    by_hand = np.clip((x + 1) * 127.5, 0, 255)
    assert np.abs(made - by_hand).max() <= 0.51
    folder = tmp_path / "new"
    diffusion.sample_folder(run, 2, folder, watermark=None, progress=False)
    settings = json.loads((folder / "settings.json").read_text())
    assert (settings["sampler"], settings["steps"]) == ("distilled", 2)
    kept = load_shipped(save_shipped(run, tmp_path / "student.npz"))
    assert kept.distilled == student.distilled and kept.sampling == ("ddim", None)


@pytest.fixture
def student():
    keras.utils.set_random_seed(4)
    known = {"timesteps": [40, 10], "guidance": 3.0}
    options = {"objective": "v", "timesteps": 50, "attributes": SCHEMA}
    return Diffuser(NETWORK, distilled=known, **options)


def test_a_student_teaches_one_of_fewer_steps(student, tmp_path):
    wishes = random_wishes(student, 2, seed=1)
    options = {"steps": 1, "teacher_steps": 2, "guidance": 3.0}
    paths = walk_paths(student, noise(2), wishes, **options)
    assert paths.timesteps == (40,)
    x = choose_sampler(student, *sampling_of(student))(noise(2), None, wishes=wishes)
    np.testing.assert_allclose(paths.x0[:, 0], x, atol=2e-3)
    with pytest.raises(UserError, match="guidance 3 built in"):
        distill(student, tmp_path / "run", guidance=2.0, **{**TINY, "steps": 1})


def test_a_student_is_asked_for_nothing_that_it_did_not_learn(student):
    for options in ({"steps": 12}, {"sampler": "ddim"}):
        with pytest.raises(UserError, match="distilled to 2 steps"):
            diffusion.sample(student, 1, **options)
    with pytest.raises(UserError, match="guidance of 3: leave"):
        diffusion.sample(student, 1, guidance=2.0)
    icon = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(UserError, match="with its teacher"):
        diffusion.interpolate_pictures(student, icon, icon)


def test_what_cannot_be_distilled_is_named(teacher, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(UserError, match="divides the teacher's 4 steps"):
        distill(teacher, run, **{**TINY, "steps": 3})
    with pytest.raises(UserError, match='`objective="v"`'):
        distill(Diffuser(NETWORK, timesteps=50), run, **TINY)
    with pytest.raises(UserError, match="no setting stepps"):
        distill(teacher, run, stepps=1)
    assert not run.exists()
