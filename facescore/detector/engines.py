"""A trained detector's network as an ONNX graph, for ONNX Runtime or OpenCV.

Keras and TensorFlow take seconds to start. The network is plain convolutions, so the
stored weights become an ONNX graph in memory, without Keras, in a tenth of a second.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from facescore.detector.grid import BINS, STRIDES
from illustkit.engines import OnnxGraph, open_graph
from illustkit.errors import UserError

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
        self._arrays = dict(arrays)
        # OpenCV reads a size, and then takes every size.
        size = (64, 64) if engine == "opencv" else None
        self._run = open_graph(network_graph(settings, arrays, size), engine)

    def get_weights(self) -> list[np.ndarray]:
        """Return the weights in the order of their paths."""
        return [self._arrays[path] for path in sorted(self._arrays)]

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
        return self._run(picture=blob).swapaxes(1, 2)


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
    graph = OnnxGraph()

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
    shape = (1, 3, *size[::-1]) if size else ("n", 3, "height", "width")
    return graph.file({"picture": shape}, {"raw": ("n", 4 * BINS + 1, "cells")})


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
