import numpy as np
import pytest

from illustkit import engines
from illustkit.engines import OnnxGraph, choose_engine, open_graph
from illustkit.errors import UserError


def test_auto_starts_fast_unless_there_is_a_gpu(monkeypatch):
    installed = {"onnxruntime": True}
    monkeypatch.setattr(
        engines.importlib.util, "find_spec", lambda name: installed.get(name) or None
    )
    monkeypatch.setattr(engines, "_has_gpu", lambda: False)
    assert choose_engine("auto", shipped=True) == "onnx"
    assert choose_engine("auto", shipped=True, fastest="opencv") == "opencv"
    assert choose_engine("auto", shipped=False) == "keras"
    installed.clear()
    assert choose_engine("auto", shipped=True) == "opencv"
    with pytest.raises(UserError, match="pip install onnxruntime"):
        choose_engine("onnx", shipped=True)
    monkeypatch.setattr(engines, "_has_gpu", lambda: True)
    assert choose_engine("auto", shipped=True) == "keras"
    assert choose_engine("opencv", shipped=True) == "opencv"
    with pytest.raises(UserError, match="Received: 'tensorrt'"):
        choose_engine("tensorrt", shipped=True)


@pytest.mark.parametrize("engine", ["onnx", "opencv"])
def test_a_graph_of_two_inputs_computes_by_hand(engine):
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
    graph = OnnxGraph()
    total = graph.node("Add", ["a", "b"])
    graph.node("LeakyRelu", [total], output="y", alpha=0.25)
    shape = 1, 1, 2, 2
    data = graph.file({"a": shape, "b": shape}, {"y": shape})
    a, b = np.arange(4, dtype="float32").reshape(shape), np.full(shape, -2, "float32")
    run = open_graph(data, engine)
    np.testing.assert_allclose(run(a=a, b=b).ravel(), [-0.5, -0.25, 0, 1])
    np.testing.assert_allclose(run(a=-a, b=-b).ravel(), [2, 1, 0, -0.25])
