"""A trained detector's network as an ONNX graph, for ONNX Runtime or OpenCV.

Keras and TensorFlow take seconds to start. The network is plain convolutions, so the
stored weights become an ONNX graph in memory, without Keras, in a tenth of a second.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facescore.detector.grid import BINS, STRIDES
from illustkit.errors import UserError

ENGINES = "auto", "keras", "onnx", "opencv"
EPSILON = 1e-3  # of the network's batch normalisation


class EngineNetwork:
    """A detector's network that ONNX Runtime or OpenCV runs, float32, on the CPU.

    Its raw predictions are those of the Keras network within 1e-4.

    Example:
    ```python
    from facescore.detector.pretrained import read_shipped

    network = EngineNetwork(*read_shipped(), engine="opencv")
    raw = network.predict_on_batch(pictures)  # (n, cells, 65)
    ```

    Args:
        settings: `widths`, `depths`, `head` and `backbone` of a `DetectorNetwork`.
        arrays: Its weights by their paths.
        engine: "onnx" or "opencv".

    Raises:
        UserError: If the backbone is not "plain", or ONNX Runtime is not installed.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        engine: str,
    ) -> None:
        self.settings, self.engine = dict(settings), engine
        if engine == "onnx":
            self._run = _onnx_runtime(network_graph(settings, arrays))
        else:  # OpenCV reads a size, and then takes every size
            self._run = _opencv(network_graph(settings, arrays, (64, 64)))

    def predict_on_batch(self, pictures: np.ndarray) -> np.ndarray:
        """Return the raw predictions of pictures.

        Args:
            pictures: uint8 RGB `(n, height, width, 3)`, sides multiples of 32.

        Returns:
            float32 `(n, cells, 65)`; see `DetectorNetwork`.
        """
        import cv2

        # (n, 3, height, width), 0 to 1
        blob = cv2.dnn.blobFromImages(list(pictures), 1 / 255)
        return self._run(blob).swapaxes(1, 2)


def choose_engine(engine: str, *, shipped: bool) -> str:
    """Return the engine that "auto" means here; refuse one that is missing.

    Args:
        engine: One of `ENGINES`.
        shipped: Whether the detector is the one that comes with the package.

    Returns:
        "keras", "onnx" or "opencv". "auto" is Keras for detectors of one's own and
        where there is a GPU; else ONNX Runtime if it is installed, or OpenCV.

    Raises:
        UserError: If there is no such engine, or it is not installed.
    """
    if engine not in ENGINES:
        raise UserError(
            f"`engine` is one of {', '.join(ENGINES)}. Received: {engine!r}"
        )
    installed = importlib.util.find_spec("onnxruntime") is not None
    if engine == "onnx" and not installed:
        raise UserError(
            "`engine` onnx needs ONNX Runtime: pip install onnxruntime, or choose "
            "opencv, which needs nothing more."
        )
    if engine != "auto":
        return engine
    if not shipped or _has_gpu():
        return "keras"
    return "onnx" if installed else "opencv"


def _has_gpu():
    # Keras would take seconds to say so.
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _onnx_runtime(graph):
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return lambda blob: session.run(None, {"picture": blob})[0]


def _opencv(graph):
    import cv2

    network = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))

    def run(blob):
        network.setInput(blob)
        return network.forward()

    return run


def network_graph(
    settings: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    size: tuple[int, int] | None = None,
) -> bytes:
    """Return a detector's network as an ONNX file, arranged as `DetectorNetwork`.

    Batch normalisation is folded into the convolutions.

    Args:
        settings: See `EngineNetwork`.
        arrays: See `EngineNetwork`.
        size: (width, height) in the file. Defaults to any.

    Returns:
        The file's bytes. Input `picture` float32 `(n, 3, height, width)`, 0 to 1;
        output `raw` float32 `(n, 65, cells)`.

    Raises:
        UserError: If the backbone is not "plain".
    """
    if (backbone := settings.get("backbone", "plain")) != "plain":
        raise UserError(
            f"Only Keras runs a network with the backbone {backbone}: choose `engine` "
            "keras."
        )
    widths, depths = settings["widths"], settings["depths"]
    graph = _Graph()

    def conv(x, kernel, strides=1, *, name):
        weights, bias = _folded(arrays, name)
        # Keras pads an even side on the far side alone where it strides.
        before = kernel // 2 if strides == 1 else 0
        pads = [before, before, kernel // 2, kernel // 2]
        inputs = [x, graph.constant(weights), graph.constant(bias)]
        options = {"kernel_shape": [kernel] * 2, "strides": [strides] * 2, "pads": pads}
        return graph.node("Conv", inputs, **options)

    def active(x, kernel, strides=1, *, name):
        return graph.node("Relu", [conv(x, kernel, strides, name=name)])

    def concatenate(*tensors, axis=1):
        return graph.node("Concat", list(tensors), axis=axis)

    def block(x, depth, name, shortcut=True):
        branches = [active(x, 1, name=f"{name}_{part}") for part in ("keep", "in")]
        for i in range(depth):
            y = active(branches[-1], 3, name=f"{name}_{i}a")
            y = active(y, 3, name=f"{name}_{i}b")
            branches.append(graph.node("Add", [branches[-1], y]) if shortcut else y)
        return active(concatenate(*branches), 1, name=f"{name}_out")

    def pyramid_pool(x):
        levels = [active(x, 1, name="pool_in")]
        for _ in range(3):
            options = {"kernel_shape": [5, 5], "strides": [1, 1], "pads": [2] * 4}
            levels.append(graph.node("MaxPool", levels[-1:], **options))
        return active(concatenate(*levels), 1, name="pool_out")

    def join(x, y, name):
        return block(concatenate(x, y), 1, name, shortcut=False)

    twice = graph.constant(np.array([1, 1, 2, 2], "float32"))

    def double(x):
        options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
        return graph.node("Resize", [x, "", twice], nearest_mode="floor", **options)

    x = active("picture", 3, 2, name="stem")
    features = []
    for i, depth in enumerate(depths[: len(widths) - 1]):
        x = active(x, 3, 2, name=f"down{i}")
        x = block(x, depth, f"stage{i}")
        features.append(x)
    p3, p4, p5 = *features[-3:-1], pyramid_pool(features[-1])
    n4 = join(double(p5), p4, "up4")
    n3 = join(double(n4), p3, "up3")
    n4 = join(active(n3, 3, 2, name="path4"), n4, "path4")
    n5 = join(active(n4, 3, 2, name="path5"), p5, "path5")

    flat = graph.constant(np.array([0, 4 * BINS + 1, -1], "int64"))
    raw = []
    for stride, x in zip(STRIDES, (n3, n4, n5), strict=True):
        name = f"head{stride}"
        box = active(active(x, 3, name=f"{name}_box0"), 3, name=f"{name}_box1")
        face = active(x, 3, name=f"{name}_face0")
        both = concatenate(
            conv(box, 1, name=f"{name}_box"), conv(face, 1, name=f"{name}_face")
        )
        raw.append(graph.node("Reshape", [both, flat]))
    graph.node("Concat", raw, axis=2, output="raw")
    return graph.file((1, 3, *size[::-1]) if size else ("n", 3, "height", "width"))


def _folded(arrays, name):
    """Return the kernel (filters, channels, y, x) and bias, normalisation included."""
    get: Callable[[str], np.ndarray] = lambda path: arrays[path].astype("float32")  # noqa: E731
    if f"{name}/kernel" in arrays:  # the last of a head
        kernel, bias = get(f"{name}/kernel"), get(f"{name}/bias")
    elif f"{name}_conv/bias" in arrays:
        kernel, bias = get(f"{name}_conv/kernel"), get(f"{name}_conv/bias")
    else:
        variance = get(f"{name}_norm/moving_variance")
        scale = get(f"{name}_norm/gamma") / np.sqrt(variance + np.float32(EPSILON))
        kernel = get(f"{name}_conv/kernel") * scale
        bias = get(f"{name}_norm/beta") - get(f"{name}_norm/moving_mean") * scale
    return kernel.transpose(3, 2, 0, 1), bias


class _Graph:
    """Collects the nodes of an ONNX graph, and writes its file.

    The `onnx` package does this too; it is not among the requirements, and the few
    messages that are needed here fit in these lines. Numbers of fields are those of
    `onnx.proto3`.
    """

    def __init__(self):
        self._nodes, self._constants, self._n = [], [], 0

    def constant(self, array):
        name = f"constant{len(self._constants)}"
        kind = {"float32": 1, "int64": 7}[array.dtype.name]
        dims = b"".join(_number(1, n) for n in array.shape)
        data = _bytes(9, np.ascontiguousarray(array).tobytes())
        self._constants.append(dims + _number(2, kind) + _bytes(8, name) + data)
        return name

    def node(self, kind, inputs, *, output=None, **options):
        self._n += 1
        output = output or f"tensor{self._n}"
        names = b"".join(_bytes(1, name) for name in inputs) + _bytes(2, output)
        names += _bytes(3, output) + _bytes(4, kind)
        attributes = (_attribute(*item) for item in options.items())
        self._nodes.append(names + b"".join(_bytes(5, a) for a in attributes))
        return output

    def file(self, shape):
        ends = ("picture", 11, shape), ("raw", 12, ("n", 4 * BINS + 1, "cells"))
        graph = b"".join(_bytes(1, node) for node in self._nodes)
        graph += _bytes(2, "detector")
        graph += b"".join(_bytes(5, constant) for constant in self._constants)
        for name, field, shape in ends:
            sides = b"".join(
                _bytes(1, _bytes(2, n) if isinstance(n, str) else _number(1, n))
                for n in shape
            )
            tensor = _number(1, 1) + _bytes(2, sides)
            graph += _bytes(field, _bytes(1, name) + _bytes(2, _bytes(1, tensor)))
        opset = _bytes(8, _number(2, 13))
        return _number(1, 8) + _bytes(7, graph) + opset


def _attribute(name, value):
    if isinstance(value, str):
        return _bytes(1, name) + _bytes(4, value) + _number(20, 3)
    if isinstance(value, int):
        return _bytes(1, name) + _number(3, value) + _number(20, 2)
    numbers = b"".join(_number(8, n) for n in value)
    return _bytes(1, name) + numbers + _number(20, 7)


def _varint(n):
    n &= (1 << 64) - 1  # negative numbers are two's complements of 64 bits
    data = bytearray()
    while n > 127:
        data.append(n & 127 | 128)
        n >>= 7
    return bytes([*data, n])


def _number(field, value):
    return _varint(field << 3) + _varint(value)


def _bytes(field, data: str | bytes | Sequence[int]):
    data = data.encode() if isinstance(data, str) else bytes(data)
    return _varint(field << 3 | 2) + _varint(len(data)) + data
