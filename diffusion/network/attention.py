"""Attention of the denoising U-Net: to all pixels, linear in their number or in full.

`benchmarks/handmade_layers.py` compares both with stock layers.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from diffusion.network.layers import torch_uniform


class _Attention(layers.Layer):
    """Maps a picture to queries, keys and values, and the heads' results back.

    Queries, keys and values have `heads * dim_head` channels. Softmax runs in float32.
    The weights have the names of the checkpoints.
    """

    OUT = "to_out"

    def __init__(
        self,
        heads: int = 4,
        dim_head: int = 32,
        memory_tokens: int = 0,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        self.heads, self.dim_head = heads, dim_head
        self.memory_tokens = memory_tokens

    def memory_shape(self):
        raise NotImplementedError

    def build(self, input_shape):
        channels, hidden = input_shape[-1], self.heads * self.dim_head
        if self.memory_tokens:
            self.mem_kv = self.add_weight(
                shape=self.memory_shape(),
                initializer=keras.initializers.RandomNormal(stddev=1.0),
                name="mem_kv",
                autocast=False,
            )
        self.to_qkv = self._uniform("to_qkv.kernel", channels, channels, 3 * hidden)
        self.to_out = self._uniform(f"{self.OUT}.kernel", hidden, hidden, channels)
        self.out_bias = self._uniform(f"{self.OUT}.bias", hidden, channels)

    def _uniform(self, name, fan_in, *shape):
        """Add a weight that begins as PyTorch's; kernels are of 1×1 convolutions."""
        return self.add_weight(
            shape=(1, 1, *shape) if len(shape) == 2 else shape,
            initializer=torch_uniform(fan_in),
            name=name,
            autocast=False,
        )

    def _matrix(self, kernel):
        return ops.squeeze(kernel, (0, 1))

    def _queries_keys_values(self, x):
        """Return three of `(batch, pixels, heads * dim_head)` in the compute dtype."""
        _, height, width, _ = ops.shape(x)
        x = ops.cast(x, self.compute_dtype)
        x = ops.reshape(x, (-1, height * width, x.shape[-1]))
        # The kernel is split, not the three times larger result.
        kernels = ops.split(
            ops.cast(self._matrix(self.to_qkv), self.compute_dtype), 3, axis=-1
        )
        return [ops.matmul(x, kernel) for kernel in kernels]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "heads": self.heads,
            "dim_head": self.dim_head,
            "memory_tokens": self.memory_tokens,
        }


@keras.saving.register_keras_serializable(package="diffusion")
class LinearAttention(_Attention):
    """Attends to all pixels in time and memory proportional to their number.

    In each head, with softmax σ_c over channels and σ_n over pixels,

        out = σ_c(q) · dim_head^-½ · (σ_n(k)ᵀ v)

    The products are reassociated, which takes about half the time of
    computing them head by head. Keras has no such layer.

    Example:
    ```python
    x = np.random.rand(1, 16, 16, 64)
    LinearAttention()(x).shape   # (1, 16, 16, 64)
    ```

    Args:
        heads: Defaults to 4.
        dim_head: Channels of a head. Defaults to 32.
        memory_tokens: Number of learnt keys and values beside the picture's. Defaults
            to 0.
        **kwargs: `name`, `dtype`.

    Call arguments:
        x: `(batch, height, width, channels)`.

    Returns:
        The same shape.

    Reference:
        Shen et al., "Efficient Attention: Attention with Linear Complexities" (2018).
    """

    OUT = "to_out.0"  # the network's normalisation after it is to_out.1

    def memory_shape(self):
        return 2, self.heads, self.dim_head, self.memory_tokens

    def call(self, x):
        heads, dim = self.heads, self.dim_head
        hidden = heads * dim
        _, height, width, channels = ops.shape(x)
        q, k, v = self._queries_keys_values(x)
        q = ops.reshape(ops.cast(q, "float32"), (-1, height * width, heads, dim))
        q = ops.reshape(ops.softmax(q, axis=-1), (-1, height * width, hidden))
        k = ops.cast(k, "float32")

        # Softmax over pixels in two parts: its denominator divides the small product.
        largest = ops.max(k, axis=1, keepdims=True)
        if self.memory_tokens:
            # (2, heads, dim, tokens) -> two of (1, tokens, hidden)
            memory = ops.reshape(self.mem_kv, (2, hidden, self.memory_tokens))
            memory_k, memory_v = ops.split(ops.transpose(memory, (0, 2, 1)), 2)
            largest = ops.maximum(largest, ops.max(memory_k, axis=1, keepdims=True))
        largest = ops.stop_gradient(largest)
        weights = ops.exp(k - largest)
        total = ops.sum(weights, axis=1)
        # All heads with all heads, of which the diagonal blocks are kept: one matrix
        # product without a transposition of the pixels. Its sums overflow float16.
        dtype = self.compute_dtype if self.compute_dtype != "float16" else "float32"
        weights, v = ops.cast(weights, dtype), ops.cast(v, dtype)
        context = ops.cast(ops.einsum("bnd,bne->bde", weights, v), "float32")
        if self.memory_tokens:
            weights = ops.exp(memory_k - largest)
            total = total + ops.sum(weights, axis=1)
            context = context + ops.matmul(ops.transpose(weights, (0, 2, 1)), memory_v)
        same_head = np.kron(np.eye(heads), np.ones((dim, dim))).astype("float32")
        context = context * (same_head * dim**-0.5) / ops.expand_dims(total, -1)
        # (q context) W = q (context W), and the second product is small.
        context = ops.matmul(context, self._matrix(self.to_out))
        q, context = (ops.cast(a, self.compute_dtype) for a in (q, context))
        out = ops.matmul(q, context)
        out = out + ops.cast(self.out_bias, out.dtype)
        return ops.reshape(out, (-1, height, width, channels))


@keras.saving.register_keras_serializable(package="diffusion")
class FullAttention(_Attention):
    """Attends from every pixel to every pixel: softmax(q kᵀ dim_head^-½) v per head.

    `keras.layers.MultiHeadAttention` takes as long, but has no learnt keys and values,
    and no softmax in float32 under a float16 policy.

    Example:
    ```python
    x = np.random.rand(1, 16, 16, 64)
    FullAttention()(x).shape   # (1, 16, 16, 64)
    ```

    Args:
        **kwargs: See `LinearAttention`.

    Call arguments:
        x: `(batch, height, width, channels)`.

    Returns:
        The same shape.

    Reference:
        Vaswani et al., "Attention Is All You Need" (2017), section 3.2.
    """

    def memory_shape(self):
        return 2, self.heads, self.memory_tokens, self.dim_head

    def call(self, x):
        batch, height, width, channels = ops.shape(x)
        heads, dim, dtype = self.heads, self.dim_head, self.compute_dtype
        q, k, v = (
            ops.transpose(
                ops.reshape(a, (-1, height * width, heads, dim)), (0, 2, 1, 3)
            )
            for a in self._queries_keys_values(x)
        )
        if self.memory_tokens:
            shape = (2, batch, heads, self.memory_tokens, dim)
            memory = ops.broadcast_to(
                ops.expand_dims(ops.cast(self.mem_kv, dtype), 1), shape
            )
            memory_k, memory_v = ops.unstack(memory, 2)
            k = ops.concatenate([memory_k, k], axis=2)
            v = ops.concatenate([memory_v, v], axis=2)
        scores = ops.matmul(q * dim**-0.5, ops.transpose(k, (0, 1, 3, 2)))
        weights = ops.softmax(ops.cast(scores, "float32"), axis=-1)
        out = ops.transpose(ops.matmul(ops.cast(weights, dtype), v), (0, 2, 1, 3))
        out = ops.reshape(out, (-1, height * width, heads * dim))
        out = ops.matmul(out, ops.cast(self._matrix(self.to_out), dtype))
        out = out + ops.cast(self.out_bias, dtype)
        return ops.reshape(out, (-1, height, width, channels))
