"""What a TPU compiles: training steps of fixed shapes, without what TPUs lack."""

import re

import keras
import pytest

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="walks TensorFlow's graph"
)

LACKING = re.compile("Where|Unique|Mask|NonMaxSuppression|String|Decode|PyFunc|Print")
# Axes of a sum as a list of unknown length, a constant by the time XLA sees it.
AXES = "BroadcastGradientArgs"


def problems(graph):
    """What of a graph and its functions' a TPU does not take."""
    called = graph._functions.values()
    graphs = [graph, *(f.graph for f in called if hasattr(f, "graph"))]
    for op in (op for each in graphs for op in each.get_operations()):
        if LACKING.search(op.type):
            yield f"{op.name}: {op.type}"
        for tensor in op.outputs:
            if tensor.dtype == "string":
                yield f"{op.name}: text"
            if op.type != AXES and tensor.dtype not in ("resource", "variant"):
                if not tensor.shape.is_fully_defined():
                    yield f"{op.name}: {tensor.shape}"
        if op.type == "Conv2D" and op.inputs[0].shape[-1] != op.inputs[1].shape[2]:
            yield f"{op.name}: a grouped convolution"


def compiled(function, arrays):
    """Traced for arrays and lowered by XLA: the graph, and XLA's program as text."""
    import tensorflow as tf

    function = tf.function(function, jit_compile=True)
    tensors = tf.nest.map_structure(tf.constant, arrays)
    graph = function.get_concrete_function(*tensors).graph
    return graph, function.experimental_get_compiler_ir(*tensors)(stage="hlo")


@pytest.mark.parametrize(
    "name",
    [
        "oppai",
        "mosaic",
        "detector-full",
        "alexnet",
        "diffusion-2",
        *(
            pytest.param(name, marks=pytest.mark.large)
            for name in ("detector-small", "diffusion-0.25.3")
        ),
    ],
)
def test_every_shape_of_a_training_step_is_known(name):
    from benchmarks.steps import build_step

    model, make_batch = build_step(name, slim=True)
    graph, program = compiled(lambda *data: model.train_step(data), make_batch(2))
    assert list(problems(graph)) == []
    written = [op for op in graph.get_operations() if op.type.startswith("Assign")]
    assert len(written) > len(model.trainable_variables)  # the update is in it
    assert "<=" not in program  # XLA's mark of a size that is known at run time alone
    assert "custom-call" not in program


def test_what_a_tpu_lacks_is_seen():
    import tensorflow as tf

    def chosen(x):
        return tf.boolean_mask(x, x > 0)

    graph, program = compiled(chosen, (tf.ones(3),))
    found = " ".join(problems(graph))
    assert "Where" in found and "(None,)" in found and "<=" in program
    grouped = tf.keras.layers.Conv2D(4, 1, groups=2)
    graph, _ = compiled(grouped, (tf.ones((1, 2, 2, 4)),))
    assert any("grouped" in problem for problem in problems(graph))
