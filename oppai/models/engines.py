"""Restorers without Keras: an ONNX graph in memory, and NumPy around it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from illustkit.engines import OnnxGraph, open_graph
from oppai.models.base_restorer import PredictsMosaics
from oppai.models.hints import averaging, hints_of

Ranges = Mapping[str, Sequence[float]]
KERNEL = 5  # of the stem's partial convolution


class EngineRestorer(PredictsMosaics):
    """A restorer whose `MosaicUNet` runs on ONNX Runtime or OpenCV, in float32.

    Its predictions are those of Keras within 1e-4 on the signed scale: each engine adds
    in another order. Rounded to levels they differ by one at most, where a prediction
    lies within .013 of the half between two: in 4 to 7 of 139,452 restored values of a
    sample.

    Example:
    ```python
    from illustkit.training.shipped import read_network
    from oppai.models.pretrained import SHIPPED

    restorer = EngineRestorer(*read_network(SHIPPED["default"]), engine="opencv")
    restored = oppai.restore("a.png", restorer=restorer)
    ```

    Args:
        settings: `widths`, `blocks`, `slope` and `consistency` of a `MosaicUNet`.
        arrays: Its weights by their paths.
        engine: "onnx" or "opencv".
        passes: As in `MosaicRestorer`. Defaults to 2.
        ranges: As in `network_graph`; with them ONNX Runtime computes in int8, half as
            long, and the predictions are off by a level or two. Defaults to `None`.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        engine: str,
        *,
        passes: int = 2,
        ranges: Ranges | None = None,
    ) -> None:
        self.engine, self.passes = engine, passes
        self.divisor = 2 ** (len(settings["widths"]) - 1)
        self.consistency = settings["consistency"]
        # OpenCV reads a size, and then takes every size.
        size = (4 * self.divisor,) * 2 if engine == "opencv" else None
        self._run = open_graph(network_graph(settings, arrays, size, ranges), engine)

    def predict_inputs(self, inputs):
        hole, missing, grid = (inputs[name] for name in ("hole", "missing", "grid"))
        has_grid = (grid[:, None, None, :1] > 0).astype(np.float32)
        censored, base = inputs["censored"], inputs["base"]
        hints = hints_of(hole, missing, grid, has_grid, np)
        valid = 1 - missing
        count = np.stack([_window_sums(picture[..., 0]) for picture in valid])
        last = self._run(
            seen=_channels_first(np.concatenate([base, censored, hints], -1)),
            picture=_channels_first(np.where(valid == 1, censored, 0)),
            ratio=(KERNEL**2 / np.maximum(count, 1) * (count > 0))[:, None],
            valid=(count > 0).astype(np.float32)[:, None],
        ).transpose(0, 2, 3, 1)
        result = base + last[..., :3]
        if self.consistency == "never":
            return result
        # As `oppai.models.mosaic_unet.Completion`, which tells what this is.
        matrices = averaging(*hole.shape[1:3], grid, np)
        lack = np.concatenate([censored - result, hole - missing], -1)
        lack = has_grid * np.stack(
            [_blockwise(*one) for one in zip(lack, *matrices, strict=True)]
        )
        gate = (lack[..., 3:] > 0.999).astype(np.float32)
        if self.consistency == "gate":
            # the logistic function, which overflows in no direction
            gate *= (np.tanh((last[..., 3:] + 2) / 2) + 1) / 2
        return result + gate * lack[..., :3]


def network_graph(
    settings: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    size: tuple[int, int] | None = None,
    ranges: Ranges | None = None,
) -> bytes:
    """Return the convolutions of a `MosaicUNet` as an ONNX file.

    Args:
        settings: See `EngineRestorer`.
        arrays: See `EngineRestorer`.
        size: (width, height) in the file. Defaults to any.
        ranges: The least and the largest value that goes into a convolution, and those
            that come out, by its name. These convolutions compute in int8, with uint8
            for what goes in and out and a scale for each filter. Defaults to none.

    Returns:
        The file's bytes. Inputs, float32, channels first: `seen` (14 channels: base,
        censored, hints), `picture` (3, 0 where content is missing), `ratio` and `valid`
        (1 each: the factor and the mask that the partial convolution gives). Output
        `last` (4): the change of the base, and the gate.
    """
    widths, blocks = settings["widths"], settings["blocks"]
    graph = OnnxGraph()

    def weights(path):
        return arrays[path].astype(np.float32)

    def conv(x, name, strides=1):
        kernel = weights(f"{name}/kernel").transpose(3, 2, 0, 1)
        # Keras pads an even side on the far side alone where it strides.
        pads = [1 if strides == 1 else 0] * 2 + [1] * 2
        options = {"kernel_shape": [3, 3], "strides": [strides] * 2, "pads": pads}
        if ranges and name in ranges:
            bias = weights(f"{name}/bias")
            return _int8_conv(graph, x, kernel, bias, ranges[name], options)
        inputs = [x, graph.constant(kernel), graph.constant(weights(f"{name}/bias"))]
        return graph.node("Conv", inputs, output=name, **options)

    def over_channels(x, factors):
        """Multiply one channel by several factors."""
        kernel = graph.constant(factors.reshape(-1, 1, 1, 1))
        return graph.node("Conv", [x, kernel], kernel_shape=[1, 1])

    def active(x):
        return graph.node("LeakyRelu", [x], alpha=float(settings["slope"]))

    def residual(x, name):
        y = conv(active(conv(x, f"{name}_a")), f"{name}_b")
        return graph.node("Add", [x, y])

    kernel = weights("stem_partial/kernel").transpose(3, 2, 0, 1)
    given, pads = ["picture", graph.constant(kernel)], [KERNEL // 2] * 4
    partial = graph.node("Conv", given, kernel_shape=[KERNEL] * 2, pads=pads)
    ratio = over_channels("ratio", np.ones(widths[0], np.float32))
    partial = graph.node("Mul", [partial, ratio])
    bias = over_channels("valid", weights("stem_partial/bias"))
    partial = graph.node("Add", [partial, bias])
    x = active(graph.node("Add", [conv("seen", "stem"), partial]))
    skips = []
    for i, n in enumerate(blocks):
        if i:
            x = active(conv(x, f"down_{i}", 2))
        for k in range(n):
            x = residual(x, f"encoder_{i}_{k}")
        skips.append(x)
    twice = graph.constant(np.array([1, 1, 2, 2], "float32"))
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    for i in reversed(range(len(widths) - 1)):
        x = conv(x, f"up_{i}")
        x = graph.node("Resize", [x, "", twice], nearest_mode="floor", **nearest)
        x = active(graph.node("Add", [x, skips[i]]))
        for k in range(blocks[i]):
            x = residual(x, f"decoder_{i}_{k}")
    conv(x, "last")

    def shape(channels):
        sides = size[::-1] if size else ("height", "width")
        return (1 if size else "n", channels, *sides)

    channels = {"seen": 14, "picture": 3, "ratio": 1, "valid": 1}
    inputs = {name: shape(n) for name, n in channels.items()}
    return graph.file(inputs, {"last": shape(4)})


def _int8_conv(graph, x, kernel, bias, ranges, options):
    """Append a convolution of numbers of 8 bits; sums and the bias have 32."""
    within, without = _scale_and_zero(ranges[:2]), _scale_and_zero(ranges[2:])
    scales = np.maximum(np.abs(kernel).max((1, 2, 3)), 1e-8) / np.float32(127)
    rounded = np.rint(kernel / scales[:, None, None, None]).astype(np.int8)
    added = np.rint(bias / (within[0] * scales)).astype(np.int32)
    before, after = (list(map(graph.constant, pair)) for pair in (within, without))
    filters = [rounded, scales, np.zeros(len(scales), np.int8)]
    x = graph.node("QuantizeLinear", [x, *before])
    inputs = [x, *before, *map(graph.constant, filters), *after, graph.constant(added)]
    return graph.node(
        "DequantizeLinear", [graph.node("QLinearConv", inputs, **options), *after]
    )


def _scale_and_zero(ends):
    """Return the step between levels of 8 bits, and the level that stands for 0."""
    least, most = min(ends[0], 0.0), max(ends[1], 0.0)
    scale = np.float32(max(most - least, 1e-6) / 255)
    return scale, np.array(round(-least / scale), np.uint8)


def _channels_first(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)


def _window_sums(valid):
    import cv2

    size = KERNEL, KERNEL
    return cv2.boxFilter(
        valid, cv2.CV_32F, size, normalize=False, borderType=cv2.BORDER_CONSTANT
    ).round()


def _blockwise(x, rows, columns):
    """Give every pixel of `(height, width, channels)` the mean of its block."""
    height, width, channels = x.shape
    x = rows @ x.reshape(height, width * channels)
    return columns @ x.reshape(height, width, channels)
