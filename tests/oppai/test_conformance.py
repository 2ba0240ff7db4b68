import inspect

import keras
import numpy as np
import pytest

from oppai.layers import PConv2D, PConv2DTranspose
from oppai.models.discriminators import PatchGAN
from oppai.models.mosaic_unet import Completion, MosaicUNet
from oppai.models.pconv_unet import PConvUNet
from oppai.models.restorers import MosaicRestorer, Restorer
from oppai.translation.colorization import ColorizationNetwork
from oppai.translation.completion import (
    CompletionDiscriminator,
    CompletionNetwork,
    ResidualCompletionNetwork,
)
from oppai.translation.fast_style import (
    FastStyleNetwork,
    StyleEncoder,
    TwoEncoderStyleTransfer,
)
from oppai.translation.pix2pix import Pix2PixUNet
from oppai.translation.segmentation import FCN8s, UNet
from oppai.translation.sketch import SketchDiscriminator, SketchNetwork
from oppai.translation.style import StyleDecoder, StyleTransfer
from tests.layer_checks import check_cases, conformance


def picture_and_mask(shapes):
    """Features and, for each shape with one channel, a mask with holes."""
    rng = np.random.default_rng(0)
    if isinstance(shapes, tuple):
        return rng.uniform(-1, 1, shapes).astype("float32")
    arrays = []
    for shape in shapes:
        array = rng.uniform(-1, 1, shape).astype("float32")
        if shape[-1] == 1:
            array = (array > -0.3).astype("float32")
        arrays.append(array)
    return arrays


PAIR = [(2, 8, 8, 3), (2, 8, 8, 1)]
FULL = {
    "filters": 4,
    "kernel_size": (3, 5),
    "activation": "relu",
    "kernel_initializer": "he_normal",
    "bias_initializer": keras.initializers.Constant(0.1),
    "kernel_regularizer": keras.regularizers.L2(0.01),
    "bias_regularizer": "l1",
    "kernel_constraint": keras.constraints.MaxNorm(2.0),
    "bias_constraint": "non_neg",
}

# qualified name of a layer, arguments, shapes; one layer may have several cases
PLACES = [(2, 8, 8, 1), (2, 8, 8, 1), (2, 4)]
COMPLETED = [(2, 8, 8, n) for n in (4, 3, 3)] + PLACES
CASES = [
    ("illustkit.training.dropout.Dropout", {"rate": 0.5, "seed": 1}, (2, 8, 8, 3)),
    (
        "illustkit.training.adversarial.SpectralConv2D",
        {"filters": 3, "kernel_size": 4, "strides": 2},
        (2, 8, 8, 3),
    ),
    ("oppai.models.vgg.SignedToCaffe", {}, (2, 8, 8, 3)),
    ("oppai.models.mosaic_unet.Hints", {}, PLACES),
    ("oppai.models.mosaic_unet.Completion", {"consistency": "gate"}, COMPLETED),
    ("oppai.translation.style.MirrorPadding", {"pixels": 2}, (2, 8, 8, 3)),
    ("oppai.translation.segmentation.BilinearUpsampling", {"factor": 2}, (2, 4, 4, 3)),
    ("oppai.translation.colorization.AppendVector", {}, [(2, 8, 8, 3), (2, 5)]),
    ("oppai.layers.PConv2D", {"filters": 2, "kernel_size": 3}, PAIR),
    ("oppai.layers.PConv2D", {**FULL, "strides": 2, "dilation_rate": (1, 2)}, PAIR),
    (
        "oppai.layers.PConv2D",
        {"filters": 2, "kernel_size": 5, "strides": 4, "normalization": "book"},
        PAIR + [(2, 8, 8, 2), (2, 8, 8, 1)],
    ),
    (
        "oppai.layers.PConv2D",
        {"filters": 2, "kernel_size": 4, "padding": "valid", "use_bias": False},
        PAIR,
    ),
    ("oppai.layers.PConv2DTranspose", {**FULL, "strides": 2}, PAIR),
    (
        "oppai.layers.PConv2DTranspose",
        {"filters": 2, "kernel_size": 4, "strides": 2},
        PAIR + [(2, 8, 8, 2), (2, 8, 8, 1)],
    ),
]


test_layer_conforms = conformance(CASES, picture_and_mask)


def test_every_public_layer_has_a_case_and_is_registered():
    check_cases(CASES, "illustkit", "oppai")


SMALL = {"widths": (4, 6), "strides": (1, 2), "kernels": (3, 3)}


def objects_of_oppai():
    unet = MosaicUNet(widths=(4, 6), blocks=(0, 1), dtype="mixed_bfloat16")
    chapter = PConvUNet(16, **SMALL, dtype="mixed_bfloat16")
    yield PConv2D(2, 3, dtype="mixed_bfloat16")
    yield PConv2DTranspose(2, 4, 2, dtype="mixed_bfloat16")
    yield Completion(dtype="mixed_bfloat16")
    yield chapter
    yield unet
    yield PatchGAN(3, filters=2, n_layers=1, dtype="mixed_bfloat16")
    yield Pix2PixUNet(filters=2, depth=4, dtype="mixed_bfloat16")
    yield CompletionNetwork(4, dtype="mixed_bfloat16")
    yield ResidualCompletionNetwork((4, 8), (0, 1), dtype="mixed_bfloat16")
    yield CompletionDiscriminator(64, filters=2, units=4, dtype="mixed_bfloat16")
    yield ColorizationNetwork(2, scale=1 / 64, global_size=32, dtype="mixed_bfloat16")
    yield SketchNetwork(1 / 48, dtype="mixed_bfloat16")
    yield SketchDiscriminator(64, filters=2, dtype="mixed_bfloat16")
    yield StyleDecoder(8, blocks=((4, 1),), dtype="mixed_bfloat16")
    yield StyleTransfer("relu2_1", dtype="mixed_bfloat16")
    yield StyleTransfer("relu2_1", coarse_to_fine=True, dtype="mixed_bfloat16")
    yield StyleEncoder(4, scale=1 / 16, dtype="mixed_bfloat16")
    yield FastStyleNetwork(4, scale=1 / 16, dtype="mixed_bfloat16")
    yield TwoEncoderStyleTransfer(
        4, scale=1 / 16, tap="relu2_1", dtype="mixed_bfloat16"
    )
    yield FCN8s(3, scale=1 / 64, stride=16, dtype="mixed_bfloat16")
    yield UNet(filters=2, dtype="mixed_bfloat16")
    yield Restorer(chapter, {"valid": 1.0})
    yield MosaicRestorer(unet)


@pytest.mark.parametrize("thing", objects_of_oppai(), ids=lambda x: type(x).__name__)
def test_every_argument_is_an_attribute_and_in_the_config(thing):
    names = {
        name
        for parent in type(thing).__mro__
        if parent.__module__.startswith("oppai.") and "__init__" in vars(parent)
        for name, parameter in inspect.signature(parent.__init__).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    } - {"self", "features"}  # VGG16 is not stored with a restorer
    assert names
    config = thing.get_config()
    for name in names:
        assert hasattr(thing, name), name
        assert name in config, name
    again = type(thing).from_config(config)
    assert again.dtype_policy.name == thing.dtype_policy.name
    if not isinstance(thing, Restorer | MosaicRestorer):
        assert again.get_config() == config
        assert again.dtype_policy.name == "mixed_bfloat16"
