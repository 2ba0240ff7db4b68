"""Parts of the denoising network's graph, named as in the PyTorch package."""

from keras import layers

from diffusion.attention import FullAttention, LinearAttention
from diffusion.layers import SinusoidalEmbedding, UpsampledConv, torch_uniform
from diffusion.norms import ChannelNorm, GroupNorm, RMSNorm
from illustkit.dropout import Dropout


class Builder:
    """Adds named parts to the graph; the names are those of the checkpoints."""

    def __init__(self, version, dropout, groups, dtype):
        self.old = version == "0.25.3"
        self.dropout, self.groups, self.dtype = dropout, groups, dtype

    def conv(self, x, filters, kernel, name, strides=1, dtype=None):
        fan_in = x.shape[-1] * kernel**2
        return layers.Conv2D(
            filters,
            kernel,
            strides,
            padding="same",
            kernel_initializer=torch_uniform(fan_in),
            bias_initializer=torch_uniform(fan_in),
            dtype=dtype or self.dtype,
            name=name,
        )(x)

    def dense(self, x, units, name):
        return layers.Dense(
            units,
            kernel_initializer=torch_uniform(x.shape[-1]),
            bias_initializer=torch_uniform(x.shape[-1]),
            dtype="float32",
            name=name,
        )(x)

    def joined(self, *parts):
        return layers.Concatenate(dtype=self.dtype)(parts)

    def silu(self, x, name, dtype=None):
        return layers.Activation("silu", dtype=dtype or self.dtype, name=name)(x)

    def time(self, t, dim):
        x = SinusoidalEmbedding(dim, name="time_mlp.0")(t)
        x = self.dense(x, 4 * dim, "time_mlp.1")
        # "gelu" is the exact one, as keras.activations.gelu; keras.ops.gelu is not.
        x = layers.Activation("gelu", dtype="float32", name="time_mlp.2")(x)
        x = self.dense(x, 4 * dim, "time_mlp.3")
        self.embedding = self.silu(x, "time_silu", dtype="float32")

    def norm(self, x, name):
        norm = GroupNorm(self.groups, dtype=self.dtype, name=name)
        return (norm if self.old else RMSNorm(dtype=self.dtype, name=name))(x)

    def residual_block(self, x, filters, name):
        film = self.dense(self.embedding, 2 * filters, f"{name}.mlp.1")
        y = self.conv(x, filters, 3, f"{name}.block1.proj")
        y = self.norm([y, film], f"{name}.block1.norm")
        y = self.silu(y, f"{name}.block1.act")
        if self.dropout:
            dropout = Dropout(self.dropout, dtype=self.dtype)
            y = dropout(y)
        y = self.conv(y, filters, 3, f"{name}.block2.proj")
        y = self.norm(y, f"{name}.block2.norm")
        y = self.silu(y, f"{name}.block2.act")
        if x.shape[-1] != filters:
            x = self.conv(x, filters, 1, f"{name}.res_conv")
        return layers.Add(dtype=self.dtype, name=f"{name}.sum")([y, x])

    def attention(self, x, name, full):
        # The older version wraps the attention twice: residual, normalisation.
        inner, outer = (f"{name}.fn.fn", f"{name}.fn") if self.old else (name, name)
        norm = ChannelNorm if self.old else RMSNorm
        kind = FullAttention if full else LinearAttention
        y = norm(dtype=self.dtype, name=f"{outer}.norm")(x)
        tokens = 0 if self.old else 4
        y = kind(memory_tokens=tokens, dtype=self.dtype, name=inner)(y)
        if not full:
            y = norm(dtype=self.dtype, name=f"{inner}.to_out.1")(y)
        return layers.Add(dtype=self.dtype, name=f"{name}.sum")([y, x])

    def shrink(self, x, filters, name, stay):
        if stay:
            return self.conv(x, filters, 3, name)
        if self.old:
            return self.conv(x, filters, 4, name, strides=2)
        # 2×2 pixels joined, then a 1×1 convolution: a 2×2 convolution with stride 2.
        return self.conv(x, filters, 2, f"{name}.1", strides=2)

    def enlarge(self, x, filters, name, stay):
        if stay:
            return self.conv(x, filters, 3, name)
        return UpsampledConv(filters, dtype=self.dtype, name=f"{name}.1")(x)
