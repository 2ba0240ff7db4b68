"""The blocks of InceptionV3, with the names that torchvision gives their parts."""

from keras import layers

EPSILON = 1e-3  # of the batch normalisation


def conv(x, name, filters, size, *, strides=1, padding="same"):
    """Convolution without bias, batch normalisation, ReLU."""
    x = layers.Conv2D(
        filters,
        size,
        strides,
        padding=padding,
        use_bias=False,
        dtype="float32",
        name=f"{name}.conv",
    )(x)
    x = layers.BatchNormalization(epsilon=EPSILON, dtype="float32", name=f"{name}.bn")(
        x
    )
    return layers.ReLU(dtype="float32", name=f"{name}.relu")(x)


def max_pool(x, strides=1, padding="same"):
    return layers.MaxPooling2D(3, strides, padding=padding, dtype="float32")(x)


def mean_pool(x):
    """Mean over 3×3; at the border over what lies inside alone."""
    return layers.AveragePooling2D(3, 1, padding="same", dtype="float32")(x)


def chain(x, name, *parts):
    """Convolutions one after the other; a part is (its name, filters, size)."""
    for part, filters, size in parts:
        x = conv(x, f"{name}.{part}", filters, size)
    return x


def join(*branches):
    return layers.Concatenate(dtype="float32")(branches)


def block_a(x, name, pooled):
    """35×35: three branches of convolutions and one of pooling."""
    return join(
        chain(x, name, ("branch1x1", 64, 1)),
        chain(x, name, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        chain(
            x,
            name,
            ("branch3x3dbl_1", 64, 1),
            ("branch3x3dbl_2", 96, 3),
            ("branch3x3dbl_3", 96, 3),
        ),
        chain(mean_pool(x), name, ("branch_pool", pooled, 1)),
    )


def block_b(x, name):
    """From 35×35 to 17×17."""
    double = chain(x, name, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3))
    return join(
        conv(x, f"{name}.branch3x3", 384, 3, strides=2, padding="valid"),
        conv(double, f"{name}.branch3x3dbl_3", 96, 3, strides=2, padding="valid"),
        max_pool(x, strides=2, padding="valid"),
    )


def block_c(x, name, width):
    """17×17: squares of seven as rows and columns."""
    row, column = (1, 7), (7, 1)
    return join(
        chain(x, name, ("branch1x1", 192, 1)),
        chain(
            x,
            name,
            ("branch7x7_1", width, 1),
            ("branch7x7_2", width, row),
            ("branch7x7_3", 192, column),
        ),
        chain(
            x,
            name,
            ("branch7x7dbl_1", width, 1),
            ("branch7x7dbl_2", width, column),
            ("branch7x7dbl_3", width, row),
            ("branch7x7dbl_4", width, column),
            ("branch7x7dbl_5", 192, row),
        ),
        chain(mean_pool(x), name, ("branch_pool", 192, 1)),
    )


def block_d(x, name):
    """From 17×17 to 8×8."""
    small = chain(x, name, ("branch3x3_1", 192, 1))
    large = chain(
        x,
        name,
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
    )
    return join(
        conv(small, f"{name}.branch3x3_2", 320, 3, strides=2, padding="valid"),
        conv(large, f"{name}.branch7x7x3_4", 192, 3, strides=2, padding="valid"),
        max_pool(x, strides=2, padding="valid"),
    )


def block_e(x, name, pool):
    """8×8: rows and columns of three side by side."""
    small = chain(x, name, ("branch3x3_1", 384, 1))
    double = chain(x, name, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
    return join(
        chain(x, name, ("branch1x1", 320, 1)),
        chain(small, name, ("branch3x3_2a", 384, (1, 3))),
        chain(small, name, ("branch3x3_2b", 384, (3, 1))),
        chain(double, name, ("branch3x3dbl_3a", 384, (1, 3))),
        chain(double, name, ("branch3x3dbl_3b", 384, (3, 1))),
        chain(pool(x), name, ("branch_pool", 192, 1)),
    )
