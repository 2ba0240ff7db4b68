"""Training steps have fixed shapes and use no operation that TPUs lack."""

import re

import keras
import pytest

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="walks TensorFlow's graph"
)

LACKING = re.compile("Where|Unique|Mask|NonMaxSuppression|String|Decode|PyFunc|Print")
# Its output, the axes of a sum, has no known length; XLA replaces it by a constant.
AXES = "BroadcastGradientArgs"


def problems(graph):
    """Yield what a TPU does not support in a graph and its functions."""
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
    """Trace a function; return its graph and the program that XLA makes, as text."""
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
        "detector-small",
        "diffusion-2",
        *(
            pytest.param(name, marks=pytest.mark.large)
            for name in ("detector-full", "alexnet", "diffusion-0.25.3")
        ),
    ],
)
def test_every_shape_of_a_training_step_is_known(name):
    from benchmarks.steps import build_step

    model, make_batch = build_step(name, slim=True)
    graph, program = compiled(lambda *data: model.train_step(data), make_batch(2))
    assert list(problems(graph)) == []
    written = [op for op in graph.get_operations() if op.type.startswith("Assign")]
    assert len(written) > len(model.trainable_variables)  # includes the update
    assert "<=" not in program  # how XLA marks a size known only at run time
    assert "custom-call" not in program


def test_operations_that_a_tpu_lacks_are_reported():
    import tensorflow as tf

    def chosen(x):
        return tf.boolean_mask(x, x > 0)

    graph, program = compiled(chosen, (tf.ones(3),))
    reported = " ".join(problems(graph))
    assert "Where" in reported and "(None,)" in reported and "<=" in program
    grouped = tf.keras.layers.Conv2D(4, 1, groups=2)
    graph, _ = compiled(grouped, (tf.ones((1, 2, 2, 4)),))
    assert any("grouped" in problem for problem in problems(graph))
