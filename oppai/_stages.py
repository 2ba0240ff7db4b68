"""The stages that the restoration network is made of."""

from keras import layers

from oppai.layers import PConv2D
from oppai.transposed import PConv2DTranspose


class Stages:
    """Makes the stages of one network; each takes and gives a flat list of pairs."""

    def __init__(
        self,
        *,
        repeats,
        activation,
        normalization,
        residual,
        momentum,
        synchronized,
        dtype,
    ):
        self.repeats, self.activation, self.residual = repeats, activation, residual
        self.convolution = {
            "normalization": normalization,
            "use_bias": False,
            "dtype": dtype,
        }
        self.batchnorm = {
            "momentum": momentum,
            "synchronized": synchronized,
            "dtype": dtype,
        }
        self.dtype = dtype

    def shrink(self, x, filters, kernel, stride, name):
        """`repeats` P-Convs, the first with the stride, and the shortcut round them."""
        source = x
        for i in range(self.repeats):
            convolution = PConv2D(
                filters,
                kernel,
                stride if i == 0 else 1,
                name=f"{name}_{i}_pconv",
                **self.convolution,
            )
            features, mask = convolution(x)
            batchnorm = layers.BatchNormalization(
                name=f"{name}_{i}_bn", **self.batchnorm
            )
            features = batchnorm(features)
            if self.residual and i == self.repeats - 1:
                # what is a hole in the shortcut adds 0, and is none on the longer way
                shortcut = PConv2D(
                    filters, 1, stride, name=f"{name}_shortcut", **self.convolution
                )
                features = self._add(features, shortcut(source)[0], f"{name}_sum")
            x = [self._activate(features, f"{name}_{i}_act"), mask]
        return x

    def enlarge(self, x, filters, stride, upsampling, name):
        """Features and mask, `stride` times as high and wide."""
        if upsampling == "transposed":
            spread = PConv2DTranspose(
                filters, 2 * stride, stride, dtype=self.dtype, name=f"{name}_up"
            )
            features, mask = spread(x)
            return [self._activate(features, f"{name}_up_act"), mask]
        return [
            layers.UpSampling2D(stride, dtype=self.dtype, name=f"{name}_up_{what}")(y)
            for what, y in zip(("features", "mask"), x, strict=True)
        ]

    def _activate(self, x, name):
        return layers.Activation(self.activation, dtype=self.dtype, name=name)(x)

    def _add(self, a, b, name):
        return layers.Add(dtype=self.dtype, name=name)([a, b])
