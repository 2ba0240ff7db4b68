"""Check every public layer, and compute gradients on any backend."""

import importlib
import inspect
import pkgutil

import keras
import numpy as np
import pytest
from keras import ops


def check_layer(layer_class, init_kwargs, input_shapes, *, make_inputs=None, folder):
    """Run every check that a layer must pass; see the functions below.

    Args:
        layer_class: Subclass of `keras.layers.Layer`.
        init_kwargs: Arguments of its constructor.
        input_shapes: One shape with the batch size, or a list of shapes for a layer
            that takes a list.
        make_inputs: Function from a shape (or list of shapes) to arrays. Defaults to
            uniform random numbers; mask-like inputs need their own.
        folder: Folder in which a model is saved.
    """
    inputs = (make_inputs or _random)(input_shapes)
    layer = layer_class(**init_kwargs)
    check_config(layer)
    check_shapes(layer, inputs)
    check_fit_and_xla(layer_class, init_kwargs, inputs)
    check_mixed_precision(layer_class, init_kwargs, inputs)
    check_save(layer_class, init_kwargs, inputs, folder / "layer.keras")


def check_config(layer):
    """The config holds every constructor argument, and rebuilds the same layer."""
    config = layer.get_config()
    for name, parameter in inspect.signature(type(layer).__init__).parameters.items():
        if name != "self" and parameter.kind not in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        ):
            assert name in config, f"get_config lacks {name}"
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert type(again) is type(layer) and again.get_config() == config


def check_shapes(layer, inputs):
    """Symbolic, computed and eager shapes and dtypes agree; the batch may vary."""
    eager = layer(inputs)
    shapes = _map(lambda x: (None, *x.shape[1:]), inputs)
    symbolic = layer(_symbolic(inputs))
    computed = layer.compute_output_spec(_symbolic(inputs))
    assert keras.tree.flatten(layer.compute_output_shape(shapes)) == (
        keras.tree.flatten(_map(lambda x: tuple(x.shape), symbolic))
    )
    for s, c, e in zip(_flat(symbolic), _flat(computed), _flat(eager), strict=True):
        assert tuple(s.shape[1:]) == tuple(c.shape[1:]) == tuple(e.shape[1:])
        assert s.dtype == c.dtype == keras.backend.standardize_dtype(e.dtype)


def check_fit_and_xla(layer_class, init_kwargs, inputs):
    """One step of `fit` changes the weights, alike with and without XLA."""
    after = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        model = _model(layer_class, init_kwargs, inputs)
        before = model.get_weights()
        outputs = model(inputs)
        targets = _map(lambda y: np.zeros(y.shape, "float32"), outputs)
        model.compile("sgd", _map(lambda y: "mse", outputs), jit_compile=jit_compile)
        model.fit(inputs, targets, batch_size=len(_flat(inputs)[0]), verbose=0)
        after.append(model.get_weights())
        if model.trainable_weights:
            same = map(np.array_equal, before, after[-1])
            assert not all(same), "a step of fit changed no weight"
    for plain, compiled in zip(*after, strict=True):
        np.testing.assert_allclose(plain, compiled, atol=1e-5)


def check_mixed_precision(layer_class, init_kwargs, inputs):
    """Outputs in bfloat16 and float16 are close to float32; weights stay float32."""
    keras.utils.set_random_seed(0)
    reference = _flat(layer_class(**init_kwargs)(inputs))
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.utils.set_random_seed(0)
        layer = layer_class(**init_kwargs, dtype=policy)
        outputs = _flat(layer(inputs))
        specs = _flat(layer.compute_output_spec(_symbolic(inputs)))
        for output, spec, exact in zip(outputs, specs, reference, strict=True):
            assert keras.backend.standardize_dtype(output.dtype) == spec.dtype
            output = ops.convert_to_numpy(ops.cast(output, "float32"))
            exact = ops.convert_to_numpy(exact)
            scale = max(1.0, np.abs(exact).max())
            np.testing.assert_allclose(output / scale, exact / scale, atol=0.05)
        assert all(w.dtype == "float32" for w in layer.trainable_weights)


def check_save(layer_class, init_kwargs, inputs, path):
    """A saved and reloaded model gives the same numbers, in Keras' safe mode."""
    model = _model(layer_class, init_kwargs, inputs)
    model.save(path)
    again = keras.saving.load_model(path, safe_mode=True)
    for a, b in zip(_flat(model(inputs)), _flat(again(inputs)), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


def gradients(function, arrays):
    """Return the derivatives of a scalar function of tensors, on TensorFlow or JAX."""
    tensors = [ops.convert_to_tensor(array) for array in arrays]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        results = tape.gradient(value, tensors)
    else:
        import jax

        results = jax.grad(function, argnums=tuple(range(len(tensors))))(*tensors)
    return [None if g is None else ops.convert_to_numpy(g) for g in results]


def _model(layer_class, init_kwargs, inputs):
    symbolic = _symbolic(inputs)
    return keras.Model(symbolic, layer_class(**init_kwargs)(symbolic))


def _symbolic(inputs):
    return _map(lambda x: keras.Input(x.shape[1:], dtype=str(x.dtype)), inputs)


def _random(shapes):
    rng = np.random.default_rng(0)
    if isinstance(shapes[0], int):
        return rng.uniform(-1, 1, shapes).astype("float32")
    return [rng.uniform(-1, 1, shape).astype("float32") for shape in shapes]


def _map(function, values):
    return keras.tree.map_structure(function, values)


def _flat(values):
    return keras.tree.flatten(values)


def public_layers(*packages):
    """Give the qualified name and class of every public layer; models are left out."""
    for package in packages:
        home = importlib.import_module(package)
        for info in pkgutil.walk_packages(home.__path__, f"{package}."):
            if any(part.startswith("_") for part in info.name.split(".")):
                continue
            module = importlib.import_module(info.name)
            for name, value in vars(module).items():
                if (
                    isinstance(value, type)
                    and issubclass(value, keras.layers.Layer)
                    and not issubclass(value, keras.Model)
                    and value.__module__ == info.name
                    and not name.startswith("_")
                ):
                    yield f"{info.name}.{name}", value


def check_cases(cases, *packages):
    """Check that every public layer has a case and is registered under its package."""
    layers = dict(public_layers(*packages))
    assert set(layers) == {name for name, *_ in cases}
    for name, layer_class in layers.items():
        registered = keras.saving.get_registered_name(layer_class)
        assert registered == f"{name.split('.')[0]}>{layer_class.__name__}"


def conformance(cases, make_inputs):
    """Return a test that checks each case `(name, arguments, shapes)` of a layer."""
    ids = [f"{name}-{i}" for i, (name, *_) in enumerate(cases)]

    @pytest.mark.parametrize("name,arguments,shapes", cases, ids=ids)
    def test_layer_conforms(name, arguments, shapes, tmp_path):
        module, _, name = name.rpartition(".")
        layer_class = getattr(importlib.import_module(module), name)
        check_layer(
            layer_class, arguments, shapes, make_inputs=make_inputs, folder=tmp_path
        )

    return test_layer_conforms
