import sys

import numpy as np
import pytest

import diffusion
from diffusion.sampling.engines import EngineDiffuser, open_model
from diffusion.sampling.exporting import network_of
from diffusion.sampling.folder import fingerprint, sample_settings
from illustkit import engines
from illustkit.errors import UserError
from tests.diffusion.sampling.test_exporting import model_of

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("self_condition", [False, True])
def test_an_engine_makes_the_icons_of_keras(self_condition):
    model = model_of(self_condition=self_condition)
    engine = EngineDiffuser(*network_of(model))
    options = {"sampler": "dpm++", "steps": 3, "progress": False, "guidance": 2.0}
    options |= {"attributes": {"hair": "red"}}
    found, expected = (diffusion.sample(each, 2, **options) for each in (engine, model))
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert sample_settings(engine, **options) == sample_settings(model, **options)


def test_the_package_s_model_opens_without_keras(monkeypatch):
    monkeypatch.setattr(engines, "_has_gpu", lambda: False)
    model = open_model("default")
    assert isinstance(model, EngineDiffuser) and model.sampling == ("dpm++", 12)
    assert fingerprint(model) == fingerprint(diffusion.load_diffuser("default"))
    with pytest.raises(UserError, match="computes in float32"):
        open_model("default", engine="onnx", precision="mixed_bfloat16")
    with pytest.raises(UserError, match="`engine`"):
        open_model("default", engine="opencv")
    assert isinstance(open_model("default", precision="auto"), EngineDiffuser)


def test_the_package_s_student_makes_icons_in_its_own_four_steps(monkeypatch):
    monkeypatch.setattr(engines, "_has_gpu", lambda: False)
    student = open_model("quick")
    assert isinstance(student, EngineDiffuser) and len(student.distilled) == 2
    keras_s = diffusion.load_diffuser("quick")
    assert fingerprint(student) == fingerprint(keras_s)
    assert fingerprint(student) != fingerprint(open_model("default"))
    counted, run = [], student._run
    student._run = lambda **given: counted.append(1) or run(**given)
    options = {"attributes": {"hair": "red"}, "progress": False}
    found, expected = (
        diffusion.sample(each, 1, **options) for each in (student, keras_s)
    )
    assert len(counted) == 4 and np.abs(found.astype(int) - expected).max() <= 1
    red, green, blue = found[0, 16:48, 16:48].mean((0, 1))
    assert red > green + 20 and red > blue + 20
    with pytest.raises(UserError, match="guidance"):
        diffusion.sample(student, 1, guidance=2.0, **options)


def test_without_an_engine_a_line_says_what_the_package_s_model_needs(monkeypatch):
    monkeypatch.setattr("diffusion.sampling.engines.choose_engine", lambda *a, **k: "")
    monkeypatch.setitem(sys.modules, "diffusion.gans.runs", None)  # as without Keras
    with pytest.raises(ModuleNotFoundError):
        open_model("default")
    advice = "diffusion.sampling.engines.missing_backend"
    monkeypatch.setattr(advice, lambda error: "install Keras' backend")
    with pytest.raises(UserError, match="pip install onnxruntime. Without it: install"):
        open_model("default")
    with pytest.raises(ModuleNotFoundError):
        open_model("runs/own")
