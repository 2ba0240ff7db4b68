"""Features of VGG16, which come with the package, for KID without InceptionV3."""

from __future__ import annotations

import numpy as np

from diffusion.evaluation.features import Extractor
from illustkit.images.scales import signed_to_caffe, uint8_to_signed
from illustkit.training.shipped import VGG16_BLOCKS

POOLS = "block1_pool", "block2_pool", "block3_pool"


def vgg16_extractor() -> Extractor:
    """Return the extractor of VGG16's features, their means after blocks 1 to 3.

    Those of each block are divided by the root of their mean square, since they grow
    from block to block, and KID takes their third power. They tell textures and small
    shapes from one another, not what a picture shows: a KID of them is compared with a
    KID of them alone.

    Example:
    ```python
    extractor = vgg16_extractor()
    extractor.name                       # "vgg16"
    extractor.function(pictures).shape   # (n, 448)
    ```

    Returns:
        `Extractor` from uint8 RGB `(n, height, width, 3)`, both sides 8 or more, to
        float32 `(n, 448)`.

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
        Recognition" (2015), configuration D.
    """
    import keras

    whole = keras.applications.VGG16(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    network = keras.Model(whole.input, [whole.get_layer(n).output for n in POOLS])
    with np.load(VGG16_BLOCKS) as file:
        for layer in network.layers:
            if layer.weights:
                layer.set_weights(
                    [file[f"{layer.name}/{name}"] for name in ("kernel", "bias")]
                )

    def features(pictures: np.ndarray) -> np.ndarray:
        x = signed_to_caffe(uint8_to_signed(pictures))
        maps = network.predict_on_batch(x)
        means = [np.mean(m, axis=(1, 2)) for m in maps]
        scaled = [
            m / np.sqrt(np.mean(m**2, axis=1, keepdims=True) + 1e-12) for m in means
        ]
        return np.concatenate(scaled, axis=1)

    return Extractor("vgg16", features)
