"""Networks in ONNX and TFLite files: Keras writes them, and none is needed to run them.

A file knows what it holds: the ONNX metadata, or the TFLite description, is a dict.
"""

import importlib.util
import json
import os
import struct
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError, as_user_error
from illustkit.files import check_writable, expand_user, write_whole

SUFFIXES = ".onnx", ".tflite"


def is_exported(path: Any) -> bool:
    """Return whether a path ends as an exported network does.

    Args:
        path: Anything; what is no path is no exported network.
    """
    named = isinstance(path, (str, os.PathLike))
    return named and Path(path).suffix.lower() in SUFFIXES


def check_export(path: str | os.PathLike[str]) -> Path:
    """Raise what prevents an export, before anything is loaded.

    Args:
        path: The file to write.

    Returns:
        The path as a `Path`, "~" expanded.

    Raises:
        UserError: If the suffix is another, the folder or a package is missing, or
            Keras runs on another backend than TensorFlow, which no exporter supports.
    """
    path = expand_user(path)
    if not is_exported(path):
        raise UserError(f"{path}: a network is exported as .onnx or .tflite.")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}: make it first.")
    check_writable(path.parent)
    import keras

    if (backend := keras.backend.backend()) != "tensorflow":
        raise UserError(
            f"{path}: exporting needs Keras on TensorFlow, not on {backend}: set "
            "KERAS_BACKEND=tensorflow for this command. What was trained on another "
            "backend loads there."
        )
    for package in ("tf2onnx", "onnx") if path.suffix.lower() == ".onnx" else ():
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f'{path}: ONNX needs {package}: pip install "illustkit[export]", '
                "or export to .tflite, which needs nothing more."
            )
    return path


def export_network(
    model: Any,
    path: str | os.PathLike[str],
    about: dict[str, Any],
    *,
    int8: bool = False,
) -> Path:
    """Write a model as ONNX or TFLite, the whole file or none.

    Args:
        model: A functional model with a dict of inputs and a dict of outputs, float32
            inside; TFLite takes fixed shapes alone.
        path: The file, `.onnx` or `.tflite`.
        about: What the file says of itself: a dict of what JSON can hold.
        int8: Whether a TFLite file stores its weights in 8 bits (dynamic range: the
            inputs of each product are rounded, too). Defaults to `False`.

    Returns:
        The path.
    """
    import keras

    path = check_export(path)
    specs = {
        name: keras.InputSpec(shape=x.shape, dtype=x.dtype, name=name)
        for name, x in model.input.items()
    }
    # Keras exports only models that were called: on symbols, which take no memory.
    model(model.input)
    if path.suffix.lower() == ".onnx":
        return write_whole(path, _to_onnx(model, [specs], about))
    return write_whole(path, _to_tflite(model, [specs], about, int8))


def _to_onnx(model, signature, about):
    import onnx

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # of Keras' own fix of tf2onnx for NumPy 2
        warnings.simplefilter("ignore", FutureWarning)
        file = Path(folder, "network.onnx")
        model.export(file, format="onnx", verbose=False, input_signature=signature)
        exported = onnx.load(file)
    exported.doc_string = str(about.get("network", ""))
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in about.items()}
    onnx.helper.set_model_props(exported, texts)
    onnx.checker.check_model(exported, full_check=True)
    return exported.SerializeToString()


def _to_tflite(model, signature, about, int8):
    import tensorflow as tf
    from tensorflow.lite.tools import flatbuffer_utils

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False, input_signature=signature)
        # Only TFLite's own operations: no runtime of TensorFlow is needed.
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        data = converter.convert()
    exported = flatbuffer_utils.convert_bytearray_to_object(bytearray(data))
    exported.description = json.dumps(about).encode()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(exported))


class ExportedNetwork:
    """A network in an ONNX or TFLite file, run by ONNX Runtime or LiteRT.

    Args:
        path: The file, `.onnx` or `.tflite`.

    Raises:
        UserError: If the file is missing or no network, or the runtime is missing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = expand_user(path)
        load = _load_onnx if self.path.suffix.lower() == ".onnx" else _load_tflite
        self.about: dict[str, Any]
        self.about, self._run = load(self.path)

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs, by name.

        Args:
            **inputs: The inputs by name, in the shapes and dtypes that the file has.
        """
        return self._run(inputs)


def _load_onnx(path):
    if importlib.util.find_spec("onnxruntime") is None:
        raise UserError(f"{path}: needs ONNX Runtime: pip install onnxruntime")
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), providers=["CPUExecutionProvider"]
        )
    except OSError as error:
        raise as_user_error(error, path) or error from None
    except Exception as error:  # its classes share no base but this one
        raise _no_network(path, error) from None
    about = {}
    for key, text in session.get_modelmeta().custom_metadata_map.items():
        try:
            about[key] = json.loads(text)
        except ValueError:
            about[key] = text
    names = [output.name for output in session.get_outputs()]
    return about, lambda x: dict(zip(names, session.run(names, x), strict=True))


def _load_tflite(path):
    interpreter_of = _litert(path)
    try:
        data = path.read_bytes()
        about = json.loads(_description(data))
        interpreter = interpreter_of(model_content=data, num_threads=os.cpu_count())
        run = interpreter.get_signature_runner()
    except OSError as error:
        raise as_user_error(error, path) or error from None
    except (ValueError, RuntimeError, struct.error, IndexError) as error:
        raise _no_network(path, error) from None
    return about, lambda x: run(**x)


def _litert(path):
    """Return LiteRT's interpreter: its own package's, or TensorFlow's, the same one."""
    if importlib.util.find_spec("ai_edge_litert") is not None:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(f"{path}: needs LiteRT: pip install ai-edge-litert")
    import tensorflow as tf

    def interpreter(**options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that its package is newer
            return tf.lite.Interpreter(**options)

    return interpreter


def _description(data):
    """Return the description, the fourth field of the flat buffer's root table."""
    if data[4:8] != b"TFL3":
        raise ValueError("no TFLite file")
    (root,) = struct.unpack_from("<I", data, 0)
    (back,) = struct.unpack_from("<i", data, root)
    (field,) = struct.unpack_from("<H", data, root - back + 4 + 2 * 3)
    if not field:
        return b"{}"
    (offset,) = struct.unpack_from("<I", data, root + field)
    text = root + field + offset
    (length,) = struct.unpack_from("<I", data, text)
    return data[text + 4 : text + 4 + length]


def _no_network(path, error):
    reason = " ".join(str(error).split())[:200]
    return UserError(f"{path}: is no whole {path.suffix} file ({reason}). Export anew.")
