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
