"""The denoising network as an ONNX graph, and the shipped one, without Keras."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.engines import OnnxGraph

DEFAULT, QUICK = "default", "quick"
"""Names of the models that come with the package: "quick" is the other's student."""
SHIPPED = {
    name: Path(__file__).parents[1] / "weights" / f"{name}.npz"
    for name in (DEFAULT, QUICK)
}
SHIPPED_SAMPLING = "dpm++", 12
"""Sampler and steps of "default"; a student has its own."""
HEADS, DIM_HEAD, GROUPS = 4, 32, 8
HIDDEN = HEADS * DIM_HEAD


def shipped_name(model: Any) -> str | None:
    """Return the name if one of the package's own models is named, else `None`.

    Args:
        model: A name, a path, a run, or a model.
    """
    if not isinstance(model, (str, os.PathLike)):
        return None
    name = os.fspath(model)
    return name if name in SHIPPED else None


class UNetNodes:
    """Appends a `diffusion.UNet`, layer by layer, to an ONNX graph.

    The layers are those of `diffusion.network.unet`, channels first.

    Example:
    ```python
    graph = OnnxGraph()
    nodes = UNetNodes(graph, settings, arrays)
    output = nodes("x_t", "t", wish="attributes")
    ```

    Args:
        graph: What the operations are appended to.
        settings: Dict with `dim`, `dim_mults`, `channels`, `version`, `image_size` and
            `self_condition`, and with `patch` and `attributes` where they are used; as
            the settings of a run.
        arrays: The network's weights by their paths.
    """

    def __init__(
        self,
        graph: OnnxGraph,
        settings: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
    ):
        self.graph, self.settings, self.arrays = graph, settings, arrays
        self.old = settings["version"] != "2"
        self.shapes: dict[str, tuple[int, int, int]] = {}

    def __call__(
        self, x: str, t: str, *, own: str | None = None, wish: str | None = None
    ) -> str:
        """Append the network.

        Args:
            x: Name of the noisy pictures, `(n, channels, height, width)`.
            t: Name of the timesteps, float32 `(n,)`.
            own: Name of the last estimate, for a self-conditioned network.
            wish: Name of the encoded wishes `(n, width)`.

        Returns:
            Name of the output, of the shape of `x`.
        """
        of = self.settings
        width, height = of["image_size"]
        dim, patch = of["dim"], of.get("patch") or 1
        self.shapes[x] = of["channels"], height, width
        if own is not None:
            self.shapes[own] = self.shapes[x]
            x = self._joined(own, x)
        self._time(t, dim, wish)
        x = first = self._conv(x, dim, 7, "init_conv", strides=patch)
        dims = [dim, *(dim * m for m in of["dim_mults"])]
        pairs = list(zip(dims, dims[1:], strict=False))
        last, skips = len(pairs) - 1, []
        for i, (a, b) in enumerate(pairs):
            x = self._block(x, a, f"downs.{i}.0")
            skips.append(x)
            x = self._block(x, a, f"downs.{i}.1")
            x = self._attention(x, f"downs.{i}.2", full=i == last and not self.old)
            skips.append(x)
            if i == last:
                x = self._conv(x, b, 3, f"downs.{i}.3")
            elif self.old:
                x = self._conv(x, b, 4, f"downs.{i}.3", strides=2)
            else:
                x = self._conv(x, b, 2, f"downs.{i}.3.1", strides=2)
        x = self._block(x, dims[-1], "mid_block1")
        x = self._attention(x, "mid_attn", full=True)
        x = self._block(x, dims[-1], "mid_block2")
        for j, (a, b) in enumerate(reversed(pairs)):
            for k in range(2):
                x = self._block(self._joined(x, skips.pop()), b, f"ups.{j}.{k}")
            x = self._attention(x, f"ups.{j}.2", full=j == 0 and not self.old)
            if j == last:
                x = self._conv(x, a, 3, f"ups.{j}.3")
            else:
                x = self._doubled(x, a, f"ups.{j}.3.1")
        x = self._block(self._joined(x, first), dim, "final_res_block")
        x = self._conv(x, of["channels"] * patch**2, 1, "final_conv")
        if patch > 1:
            x = self.graph.node("DepthToSpace", [x], blocksize=patch, mode="DCR")
        return x

    def _weights(self, path, *shape):
        array = np.asarray(self.arrays[path], "float32")
        return array.reshape(shape) if shape else array

    def _constant(self, array):
        return self.graph.constant(np.ascontiguousarray(array, "float32"))

    def _sizes(self, *sizes):
        return self.graph.constant(np.array(sizes, "int64"))

    def _two(self, kind, a, b):
        return self.graph.node(kind, [a, b])

    def _scaled(self, x, factor):
        return self._two("Mul", x, self._constant(np.full((1,), factor)))

    def _kept(self, x, name, channels=None):
        """Record the shape of a tensor that lies as another does."""
        shape = self.shapes[x]
        self.shapes[name] = (channels or shape[0], *shape[1:])
        return name

    def _joined(self, *tensors):
        name = self.graph.node("Concat", tensors, axis=1)
        return self._kept(tensors[0], name, sum(self.shapes[x][0] for x in tensors))

    def _silu(self, x):
        return self._two("Mul", x, self.graph.node("Sigmoid", [x]))

    def _dense(self, x, name):
        x = self._two("MatMul", x, self._constant(self._weights(f"{name}/kernel")))
        return self._two("Add", x, self._constant(self._weights(f"{name}/bias")))

    def _conv(self, x, filters, kernel, name, strides=1):
        weights = self._weights(f"{name}/kernel").transpose(3, 2, 0, 1)
        given = [self._constant(weights), self._constant(self._weights(f"{name}/bias"))]
        _, *sides = self.shapes[x]
        sides = [-(-side // strides) for side in sides]
        # Keras pads an odd number of pixels on the far side.
        pads = [
            max((after - 1) * strides + kernel - before, 0)
            for before, after in zip(self.shapes[x][1:], sides, strict=True)
        ]
        pads = [pad // 2 for pad in pads] + [pad - pad // 2 for pad in pads]
        out = self.graph.node(
            "Conv",
            [x, *given],
            kernel_shape=[kernel] * 2,
            strides=[strides] * 2,
            pads=pads,
        )
        self.shapes[out] = (filters, *sides)
        return out

    def _doubled(self, x, filters, name):
        """Append `UpsampledConv`: a transposed convolution of 4×4 taps is the same."""
        kernel = self._weights(f"{name}/kernel")
        for axis in (0, 1):
            a, b, c = np.split(kernel, 3, axis=axis)
            kernel = np.concatenate([c, b + c, a + b, a], axis=axis)
        given = [
            self._constant(kernel.transpose(2, 3, 0, 1)),
            self._constant(self._weights(f"{name}/bias")),
        ]
        out = self.graph.node(
            "ConvTranspose",
            [x, *given],
            kernel_shape=[4, 4],
            strides=[2, 2],
            pads=[1] * 4,
        )
        _, height, width = self.shapes[x]
        self.shapes[out] = filters, 2 * height, 2 * width
        return out

    def _time(self, t, dim, wish):
        node, half = self.graph.node, dim // 2
        frequencies = [math.exp(-i * math.log(10000) / (half - 1)) for i in range(half)]
        angles = node("Reshape", [t, self._sizes(-1, 1)])
        angles = self._two("Mul", angles, self._constant([frequencies]))
        x = node("Concat", [node("Sin", [angles]), node("Cos", [angles])], axis=1)
        x = self._dense(x, "time_mlp.1")
        erf = node("Erf", [self._scaled(x, 0.5**0.5)])
        erf = self._two("Add", erf, self._constant([1]))
        x = self._dense(self._two("Mul", self._scaled(x, 0.5), erf), "time_mlp.3")
        if wish is not None:
            said = self._constant(self._weights("attributes_embedding/kernel"))
            x = self._two("Add", x, self._two("MatMul", wish, said))
        self.embedding = self._silu(x)

    def _norm(self, x, name, film=None):
        """Append `RMSNorm`, or `GroupNorm` for the old version, with FiLM."""
        channels, height, width = self.shapes[x]
        if self.old:
            groups = self._sizes(0, GROUPS, -1)
            flat = self.graph.node("Reshape", [x, groups])
            given = [self._constant(np.ones(GROUPS)), self._constant(np.zeros(GROUPS))]
            flat = self.graph.node(
                "InstanceNormalization", [flat, *given], epsilon=1e-5
            )
            sides = self._sizes(0, channels, height, width)
            out = self.graph.node("Reshape", [flat, sides])
            bias = self._weights(f"{name}/bias", 1, channels, 1, 1)
            out = self._two("Mul", out, self._spread(f"{name}/weight"))
            out = self._two("Add", out, self._constant(bias))
        else:
            length = self.graph.node("ReduceL2", [x], axes=[1], keepdims=1)
            length = self._two("Max", length, self._constant([1e-12]))
            out = self._two("Div", x, length)
            out = self._two("Mul", out, self._spread(f"{name}/g", channels**0.5))
        if film is not None:
            out = self._two("Add", self._two("Mul", out, film[0]), film[1])
        return self._kept(x, out)

    def _spread(self, path, factor=1.0):
        return self._constant(factor * self._weights(path, 1, -1, 1, 1))

    def _block(self, x, filters, name):
        film = self._dense(self.embedding, f"{name}.mlp.1")
        film = self.graph.node("Reshape", [film, self._sizes(0, 2, filters, 1, 1)])
        scale, shift = (
            self.graph.node(
                "Gather", [film, self.graph.constant(np.array(i, "int64"))], axis=1
            )
            for i in range(2)
        )
        scale = self._two("Add", scale, self._constant([1]))
        y = self._conv(x, filters, 3, f"{name}.block1.proj")
        y = self._norm(y, f"{name}.block1.norm", (scale, shift))
        y = self._kept(y, self._silu(y))
        y = self._conv(y, filters, 3, f"{name}.block2.proj")
        y = self._norm(y, f"{name}.block2.norm")
        y = self._kept(y, self._silu(y))
        if self.shapes[x][0] != filters:
            x = self._conv(x, filters, 1, f"{name}.res_conv")
        return self._kept(y, self._two("Add", y, x))

    def _pixel_norm(self, x, name):
        """Append `ChannelNorm` for the old version, else `RMSNorm`."""
        if not self.old:
            return self._norm(x, name)
        mean = self.graph.node("ReduceMean", [x], axes=[1], keepdims=1)
        values = self._two("Sub", x, mean)
        squares = self._two("Mul", values, values)
        variance = self.graph.node("ReduceMean", [squares], axes=[1], keepdims=1)
        variance = self._two("Add", variance, self._constant([1e-5]))
        out = self._two("Div", values, self.graph.node("Sqrt", [variance]))
        out = self._two("Mul", out, self._spread(f"{name}/g"))
        return self._kept(x, self._two("Add", out, self._spread(f"{name}/b")))

    def _attention(self, x, name, full):
        inner, outer = (f"{name}.fn.fn", f"{name}.fn") if self.old else (name, name)
        _, height, width = self.shapes[x]
        y = self._pixel_norm(x, f"{outer}.norm")
        kernel = self._weights(f"{inner}/to_qkv.kernel")
        options = {"kernel_shape": [1, 1]}
        given = [y, self._constant(kernel.transpose(3, 2, 0, 1))]
        qkv = self.graph.node("Conv", given, **options)
        heads = self._sizes(0, 3, HEADS, DIM_HEAD, height * width)
        qkv = self.graph.node("Reshape", [qkv, heads])
        # Three of (n, heads, channels of a head, pixels).
        q, k, v = (
            self.graph.node(
                "Gather", [qkv, self.graph.constant(np.array(i, "int64"))], axis=1
            )
            for i in range(3)
        )
        memory = None if self.old else self._weights(f"{inner}/mem_kv")
        y = self._full(q, k, v, memory) if full else self._linear(q, k, v, memory)
        y = self.graph.node("Reshape", [y, self._sizes(0, HIDDEN, height, width)])
        to_out = f"{inner}/to_out" + ("" if full else ".0")
        kernel = self._weights(f"{to_out}.kernel").transpose(3, 2, 0, 1)
        bias = self._constant(self._weights(f"{to_out}.bias"))
        y = self.graph.node("Conv", [y, self._constant(kernel), bias], **options)
        self._kept(x, y)
        if not full:
            y = self._pixel_norm(y, f"{inner}.to_out.1")
        return self._kept(x, self._two("Add", y, x))

    def _turned(self, x):
        return self.graph.node("Transpose", [x], perm=[0, 1, 3, 2])

    def _linear(self, q, k, v, memory):
        node = self.graph.node
        q = self._scaled(node("Softmax", [q], axis=2), DIM_HEAD**-0.5)
        largest = node("ReduceMax", [k], axes=[3], keepdims=1)
        if memory is not None:
            memory_k, memory_v = memory[:, None]  # (1, heads, channels, tokens)
            most = self._constant(memory_k.max(axis=3, keepdims=True))
            largest = self._two("Max", largest, most)
        weights = node("Exp", [self._two("Sub", k, largest)])
        axis = self._sizes(3)
        total = node("ReduceSum", [weights, axis], keepdims=1)
        context = self._two("MatMul", weights, self._turned(v))
        if memory is not None:
            others = self._two("Sub", self._constant(memory_k), largest)
            others = node("Exp", [others])
            more = node("ReduceSum", [others, axis], keepdims=1)
            total = self._two("Add", total, more)
            turned = self._constant(memory_v.transpose(0, 1, 3, 2))
            context = self._two("Add", context, self._two("MatMul", others, turned))
        context = self._two("Div", context, total)
        return self._two("MatMul", self._turned(context), q)

    def _full(self, q, k, v, memory):
        node = self.graph.node
        q = self._scaled(self._turned(q), DIM_HEAD**-0.5)
        scores = self._two("MatMul", q, k)
        if memory is not None:
            memory_k, memory_v = memory[:, None]  # (1, heads, tokens, channels)
            turned = self._constant(memory_k.transpose(0, 1, 3, 2))
            scores = node("Concat", [self._two("MatMul", q, turned), scores], axis=3)
        weights = node("Softmax", [scores], axis=3)
        if memory is None:
            return self._two("MatMul", v, self._turned(weights))
        tokens = memory.shape[2]
        start, axis = self._sizes(0), self._sizes(3)
        middle, end = self._sizes(tokens), self._sizes(2**31 - 1)
        of_memory = node("Slice", [weights, start, middle, axis])
        of_pixels = node("Slice", [weights, middle, end, axis])
        out = self._two("MatMul", of_memory, self._constant(memory_v))
        out = self._two("Add", out, self._two("MatMul", of_pixels, self._turned(v)))
        return self._turned(out)


def unet_graph(settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return one evaluation of a denoising network as an ONNX file.

    Args:
        settings: See `UNetNodes`.
        arrays: See `UNetNodes`.

    Returns:
        The file's bytes. Inputs, float32: `x_t` `(n, height, width, channels)`, `t`
        `(n,)`, and where the network takes them `own`, as `x_t`, and `attributes`
        `(n, width)`. Output `output`, as `x_t`.
    """
    graph = OnnxGraph()
    width, height = settings["image_size"]
    shape = ("n", height, width, settings["channels"])
    inputs: dict[str, Sequence[int | str]] = {"x_t": shape, "t": ("n",)}
    given = {"x": _channels(graph, "x_t", first=True), "t": "t"}
    if settings["self_condition"]:
        inputs["own"] = shape
        given["own"] = _channels(graph, "own", first=True)
    if settings.get("attributes"):
        inputs["attributes"] = ("n", sum(map(len, settings["attributes"].values())))
        given["wish"] = "attributes"
    output = UNetNodes(graph, settings, arrays)(**given)
    _channels(graph, output, first=False, output="output")
    return graph.file(inputs, {"output": shape})


def _channels(graph, x, *, first, output=None):
    perm = [0, 3, 1, 2] if first else [0, 2, 3, 1]
    return graph.node("Transpose", [x], output=output, perm=perm)
