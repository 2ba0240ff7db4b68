"""Networks without Keras: an ONNX graph in memory, for ONNX Runtime or OpenCV.

Keras and TensorFlow take seconds to start. Where a network is plain convolutions, its
stored weights become a graph in a tenth of a second, and no exporter is needed.
"""

import importlib.util
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError

ENGINES = "auto", "keras", "onnx", "opencv"
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}
"""Numbers of ONNX' types."""


def choose_engine(engine: str, *, shipped: bool, fastest: str = "onnx") -> str:
    """Return the engine that "auto" means here; refuse one that is missing.

    Args:
        engine: One of `ENGINES`.
        shipped: Whether the network is one that comes with the package.
        fastest: "onnx" or "opencv", the faster one for this network. Defaults to
            "onnx".

    Returns:
        "keras", "onnx" or "opencv". "auto" is Keras for networks of one's own and
        where there is a GPU; else the faster one of those that are installed.

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
    return "onnx" if installed and fastest == "onnx" else "opencv"


def _has_gpu():
    # Keras would take seconds to say so.
    return any(Path("/dev").glob("nvidia[0-9]*"))


def open_graph(graph: bytes, engine: str) -> Callable[..., np.ndarray]:
    """Return a function that runs an ONNX graph of one output on the CPU.

    Example:
    ```python
    graph = OnnxGraph()
    graph.node("Relu", ["x"], output="y")
    shape = (1, 2, 4, 4)
    run = open_graph(graph.file({"x": shape}, {"y": shape}), "opencv")
    run(x=np.zeros(shape, "float32")).shape  # (1, 2, 4, 4)
    ```

    Args:
        graph: The bytes of an ONNX file.
        engine: "onnx" or "opencv".

    Returns:
        Function from the inputs by name, float32, to the output.
    """
    if engine == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(
            graph, providers=["CPUExecutionProvider"]
        )
        return lambda **inputs: session.run(None, inputs)[0]
    import cv2

    network = cv2.dnn.readNetFromONNX(np.frombuffer(graph, np.uint8))

    def run(**inputs):
        for name, blob in inputs.items():
            network.setInput(np.ascontiguousarray(blob), name)
        return network.forward()

    return run


class OnnxGraph:
    """Collects the operations of an ONNX graph, and writes its file.

    The `onnx` package does this too; it is not among the requirements, and the few
    messages that are needed here fit in these lines. Numbers of fields are those of
    `onnx.proto3`.

    Example:
    ```python
    graph = OnnxGraph()
    kernel = graph.constant(np.ones((8, 3, 3, 3), "float32"))
    graph.node("Conv", ["x", kernel], output="y", pads=[1, 1, 1, 1])
    shape = ("n", 3, "height", "width")
    data = graph.file({"x": shape}, {"y": ("n", 8, "height", "width")})
    ```

    Args:
        prefix: Begins the names of tensors; those of a loop's body differ from those
            around it. Defaults to none.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._n = 0

    def constant(self, array: np.ndarray) -> str:
        """Store an array, float32, int64, int32, int8 or uint8; return its name."""
        name = f"{self._prefix}constant{len(self._constants)}"
        kind = TYPES[array.dtype.name]
        dims = b"".join(_number(1, n) for n in array.shape)
        data = _bytes(9, np.ascontiguousarray(array).tobytes())
        self._constants.append(dims + _number(2, kind) + _bytes(8, name) + data)
        return name

    def node(
        self,
        kind: str,
        inputs: Sequence[str],
        *,
        output: str | Sequence[str] | None = None,
        **options: Any,
    ) -> str:
        """Append an operation.

        Args:
            kind: Its name in ONNX.
            inputs: Names of its inputs; "" where an optional one is left out.
            output: Name of its output, or of each of several. Defaults to a new one.
            **options: Its attributes: integers, floats, texts, lists of integers, or
                the bytes of a `body`.

        Returns:
            The name of its first output.
        """
        self._n += 1
        outputs = [output] if isinstance(output, str) else output
        outputs = outputs or [f"{self._prefix}tensor{self._n}"]
        output = outputs[0]
        names = b"".join(_bytes(1, name) for name in inputs)
        names += b"".join(_bytes(2, name) for name in outputs)
        names += _bytes(3, output) + _bytes(4, kind)
        attributes = (_attribute(*item) for item in options.items())
        self._nodes.append(names + b"".join(_bytes(5, a) for a in attributes))
        return output

    def file(
        self,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
        *,
        types: Mapping[str, str] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the ONNX file.

        Args:
            inputs: Shapes of the inputs by name; a text is a side of any length.
            outputs: Shapes of the outputs by name.
            types: See `body`.
            about: What the file says of itself, which JSON has to hold. Defaults to
                nothing.
        """
        said = b"".join(
            _bytes(14, _bytes(1, key) + _bytes(2, _text(value)))
            for key, value in (about or {}).items()
        )
        opset = _bytes(8, _number(2, 13))
        graph = self.body(inputs, outputs, types=types)
        return _number(1, 8) + _bytes(7, graph) + opset + said

    def body(
        self,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
        *,
        types: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the graph alone, as the body of a loop.

        Args:
            inputs: See `file`.
            outputs: See `file`.
            types: Names of inputs and outputs that are not "float32", with "uint8",
                "int64" or "bool". Defaults to none.
        """
        types = types or {}
        graph = b"".join(_bytes(1, node) for node in self._nodes)
        graph += _bytes(2, f"{self._prefix}network")
        graph += b"".join(_bytes(5, constant) for constant in self._constants)
        for field, tensors in ((11, inputs), (12, outputs)):
            for name, shape in tensors.items():
                sides = b"".join(
                    _bytes(1, _bytes(2, n) if isinstance(n, str) else _number(1, n))
                    for n in shape
                )
                kind = TYPES[types.get(name, "float32")]
                tensor = _number(1, kind) + _bytes(2, sides)
                graph += _bytes(field, _bytes(1, name) + _bytes(2, _bytes(1, tensor)))
        return graph


def _text(value):
    return value if isinstance(value, str) else json.dumps(value)


def _attribute(name, value):
    if isinstance(value, bytes):
        return _bytes(1, name) + _bytes(6, value) + _number(20, 5)
    if isinstance(value, str):
        return _bytes(1, name) + _bytes(4, value) + _number(20, 3)
    if isinstance(value, int):
        return _bytes(1, name) + _number(3, value) + _number(20, 2)
    if isinstance(value, float):
        data = _varint(2 << 3 | 5) + struct.pack("<f", value)
        return _bytes(1, name) + data + _number(20, 1)
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
