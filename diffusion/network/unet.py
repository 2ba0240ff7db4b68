"""The denoising network: a U-Net of residual blocks with attention at each level."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import keras
from keras import layers

from diffusion.network.attention import FullAttention, LinearAttention
from diffusion.network.layers import (
    ChannelNorm,
    DepthToSpace,
    GroupNorm,
    RMSNorm,
    SinusoidalEmbedding,
    UpsampledConv,
    torch_uniform,
)
from diffusion.process import check_version
from illustkit.errors import UserError
from illustkit.training.dropout import Dropout


@keras.saving.register_keras_serializable(package="diffusion")
class UNet(keras.Model):
    """Predicts the noise (or x0, or v) of a noisy picture, given its timestep.

    Two versions of the same plan, layer for layer those of the PyTorch package
    `denoising-diffusion-pytorch`, so that its checkpoints can be loaded
    (`diffusion.load_state_dict`):

    - "0.25.3", of July 2022: GroupNorm, linear attention at all levels, 4×4
      convolutions with stride 2.
    - "2", today's: RMSNorm, full attention at the deepest level, four learnt memory
      tokens in every attention, 2×2 pixels joined to shrink.

    Each level has two residual blocks and an attention on the way down, and again on
    the way up, where each block also takes the result of a block on the way down.
    Weights are initialised as PyTorch's. The time embedding and the output are float32
    under any precision policy.

    Example:
    ```python
    network = diffusion.UNet(32, dim=32, dim_mults=(1, 2, 4))
    x_t = np.random.uniform(-1, 1, (2, 32, 32, 3))
    network([x_t, np.array([999, 10])]).shape   # (2, 32, 32, 3)
    ```

    Args:
        image_size: Side of the pictures, a pair (width, height), or `None` for any
            size; divisible by 2 for each level but the last, times `patch`. Defaults
            to `None`.
        dim: Channels of the first level. Defaults to 64.
        dim_mults: Channels of each level's result in multiples of `dim`. Defaults to
            `(1, 2, 4, 8)`.
        channels: Channels of the pictures: 1 grey, 3 RGB, 4 RGBA. Defaults to 3.
        version: "0.25.3" or "2". Defaults to "0.25.3".
        self_condition: Take an earlier estimate of the clean picture (or zeros) as a
            third input. Defaults to `False`.
        dropout: Fraction dropped in the first half of each block in training; version
            "2" alone has it. Defaults to 0.
        groups: Groups of GroupNorm. Defaults to 8.
        out_channels: Channels of the output. Defaults to `None`, as the pictures.
        attributes: Length of a vector that says what the picture shows, the last
            input; 0 for a network without it. It is added to the embedding of the
            timestep by a layer without a bias, so that zeros say nothing. Defaults to
            0.
        patch: Side of the squares of pixels that are one to the network: with 2 it
            works at half the size, in a quarter of the time. Defaults to 1.
        dtype: Dtype policy of all layers; the config holds its name. Defaults to
            `None`, the global policy.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: `[x_t, t]`, then `x_self_cond` and the attributes where the network
            takes them: noisy pictures on the signed scale
            `(batch, height, width, channels)`, timesteps `(batch,)` int32, pictures as
            the first, and float32 `(batch, attributes)`.

    Returns:
        float32 `(batch, height, width, out_channels)`.

    Raises:
        ValueError: If arguments do not fit together, or a picture's size is not
            divisible as said.

    Reference:
        Ho et al., "Denoising Diffusion Probabilistic Models" (2020), appendix B;
        github.com/lucidrains/denoising-diffusion-pytorch; Chen et al., "Analog Bits"
        (2022), section 3.2, for self-conditioning.
    """

    def __init__(
        self,
        image_size: int | Sequence[int] | None = None,
        dim: int = 64,
        dim_mults: Sequence[int] = (1, 2, 4, 8),
        channels: int = 3,
        version: str = "0.25.3",
        self_condition: bool = False,
        dropout: float = 0.0,
        groups: int = 8,
        *,
        out_channels: int | None = None,
        attributes: int = 0,
        patch: int = 1,
        dtype: Any = None,
        **kwargs: Any,
    ):
        dim_mults = tuple(dim_mults)
        width, height = _pair(image_size)
        _check(version, dropout, dim, dim_mults, groups)
        step = patch * 2 ** (len(dim_mults) - 1)
        _check_size(height, width, step)
        build = _Builder(version, dropout, groups, dtype)

        x_t = keras.Input((height, width, channels), name="x_t")
        t = keras.Input((), dtype="int32", name="t")
        inputs, x = [x_t, t], x_t
        if self_condition:
            estimate = keras.Input((height, width, channels), name="x_self_cond")
            inputs.append(estimate)
            x = build.joined(estimate, x_t)
        wish = None
        if attributes:
            wish = keras.Input((attributes,), dtype="float32", name="attributes")
            inputs.append(wish)
        build.time(t, dim, wish)

        x = first = build.conv(x, dim, 7, "init_conv", strides=patch)
        dims = [dim, *(dim * m for m in dim_mults)]
        pairs, last = list(zip(dims, dims[1:], strict=False)), len(dim_mults) - 1
        skips = []
        for i, (a, b) in enumerate(pairs):
            x = build.residual_block(x, a, f"downs.{i}.0")
            skips.append(x)
            x = build.residual_block(x, a, f"downs.{i}.1")
            x = build.attention(x, f"downs.{i}.2", full=i == last and version == "2")
            skips.append(x)
            x = build.shrink(x, b, f"downs.{i}.3", same_size=i == last)
        x = build.residual_block(x, dims[-1], "mid_block1")
        x = build.attention(x, "mid_attn", full=True)
        x = build.residual_block(x, dims[-1], "mid_block2")
        for j, (a, b) in enumerate(reversed(pairs)):
            for k in range(2):
                x = build.joined(x, skips.pop())
                x = build.residual_block(x, b, f"ups.{j}.{k}")
            x = build.attention(x, f"ups.{j}.2", full=j == 0 and version == "2")
            x = build.enlarge(x, a, f"ups.{j}.3", same_size=j == last)
        x = build.residual_block(build.joined(x, first), dim, "final_res_block")
        out_channels = out_channels or channels
        n = out_channels * patch**2
        out = build.conv(x, n, 1, "final_conv", dtype="float32")
        if patch > 1:
            out = DepthToSpace(patch, dtype="float32", name="pixels")(out)

        super().__init__(inputs=inputs, outputs=out, **kwargs)
        self.dtype_policy = keras.dtype_policies.get(
            dtype or keras.config.dtype_policy()
        )
        self.image_size = None if image_size is None else (width, height)
        self.dim, self.dim_mults = dim, dim_mults
        self.channels, self.out_channels = channels, out_channels
        self.version, self.self_condition = version, self_condition
        self.dropout, self.groups = dropout, groups
        self.attributes, self.patch = attributes, patch
        self._step = step

    def call(self, inputs, training=None, mask=None):
        _check_size(*inputs[0].shape[1:3], self._step)
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        names = "dim", "dim_mults", "channels", "version", "self_condition"
        names += "dropout", "groups", "out_channels", "attributes", "patch"
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype_policy.name,
            "image_size": self.image_size,
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def _pair(image_size):
    if image_size is None or isinstance(image_size, Integral):
        return image_size, image_size
    width, height = image_size
    return width, height


def _check(version, dropout, dim, dim_mults, groups):
    check_version(version)
    if not dim_mults or any(m != int(m) or m < 1 for m in dim_mults):
        raise UserError(
            "`dim_mults` are whole numbers, at least one. "
            f"Received: dim_mults={dim_mults}"
        )
    if dropout and version == "0.25.3":
        raise UserError(f'Only version "2" has dropout. Received: dropout={dropout}')
    if version == "0.25.3" and dim % groups:
        raise UserError(f"`groups` divides `dim`. Received: groups={groups}, dim={dim}")


def _check_size(height, width, step):
    if (height or 0) % step or (width or 0) % step:
        raise UserError(
            f"This UNet takes pictures whose height and width are divisible by {step}, "
            "`patch` times 2 for each level but the last: resize or pad them. "
            f"Received: height={height}, width={width}"
        )


class _Builder:
    """Adds named layers to the graph; the names are those of the checkpoints."""

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

    def joined(self, *tensors):
        return layers.Concatenate(dtype=self.dtype)(tensors)

    def silu(self, x, name, dtype=None):
        return layers.Activation("silu", dtype=dtype or self.dtype, name=name)(x)

    def time(self, t, dim, wish=None):
        x = SinusoidalEmbedding(dim, name="time_mlp.0")(t)
        x = self.dense(x, 4 * dim, "time_mlp.1")
        # "gelu" is the exact one, as keras.activations.gelu; keras.ops.gelu is not.
        x = layers.Activation("gelu", dtype="float32", name="time_mlp.2")(x)
        x = self.dense(x, 4 * dim, "time_mlp.3")
        if wish is not None:
            # As large as PyTorch's embeddings of classes: one value alone is seen.
            said = layers.Dense(
                4 * dim,
                use_bias=False,
                kernel_initializer=keras.initializers.RandomNormal(stddev=1.0),
                dtype="float32",
                name="attributes_embedding",
            )(wish)
            x = layers.Add(dtype="float32", name="time_and_attributes")([x, said])
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
            y = Dropout(self.dropout, dtype=self.dtype)(y)
        y = self.conv(y, filters, 3, f"{name}.block2.proj")
        y = self.norm(y, f"{name}.block2.norm")
        y = self.silu(y, f"{name}.block2.act")
        if x.shape[-1] != filters:
            x = self.conv(x, filters, 1, f"{name}.res_conv")
        return layers.Add(dtype=self.dtype, name=f"{name}.sum")([y, x])

    def attention(self, x, name, full):
        # Version "0.25.3" wraps the attention twice: residual, normalisation.
        inner, outer = (f"{name}.fn.fn", f"{name}.fn") if self.old else (name, name)
        norm = ChannelNorm if self.old else RMSNorm
        kind = FullAttention if full else LinearAttention
        y = norm(dtype=self.dtype, name=f"{outer}.norm")(x)
        tokens = 0 if self.old else 4
        y = kind(memory_tokens=tokens, dtype=self.dtype, name=inner)(y)
        if not full:
            y = norm(dtype=self.dtype, name=f"{inner}.to_out.1")(y)
        return layers.Add(dtype=self.dtype, name=f"{name}.sum")([y, x])

    def shrink(self, x, filters, name, same_size):
        if same_size:
            return self.conv(x, filters, 3, name)
        if self.old:
            return self.conv(x, filters, 4, name, strides=2)
        # 2×2 pixels joined, then a 1×1 convolution: a 2×2 convolution with stride 2.
        return self.conv(x, filters, 2, f"{name}.1", strides=2)

    def enlarge(self, x, filters, name, same_size):
        if same_size:
            return self.conv(x, filters, 3, name)
        return UpsampledConv(filters, dtype=self.dtype, name=f"{name}.1")(x)
