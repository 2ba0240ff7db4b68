"""What VGG16 sees in a picture: frozen features after pool1, pool2 and pool3.

The perceptual and style terms of `oppai.losses` compare pictures by these. Pictures
come on the signed scale, like everything else in `oppai`, and are converted to the
Caffe scale that VGG16 was trained on at the network's door (`oppai.losses` says why
there are two scales). Nothing after pool3 is built: 1.7 million weights, 7 MB.

Reference:
    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition" (2014); Liu et al. (2018), section 3.3, for the choice of taps.
"""

import keras
from keras import layers

from illustkit.images import signed_to_caffe
from oppai.vgg_weights import CHANNELS, REPEATS, find_vgg_weights, read_vgg_weights


class FrozenFeatures:
    """Calls a feature network without making it part of the model that holds it.

    Keras tracks the layers, variables, lists and dicts that a model has as attributes
    and saves them with it. This is a plain object, so a model that keeps one neither
    trains nor saves the network inside: a restorer's file holds the restorer alone.
    Under a `tf.distribute.Strategy`, and where Keras' JAX distribution is set, make
    it where the model is made (inside `strategy.scope()`, after `set_distribution`).

    Example:
    ```python
    class Restorer(keras.Model):
        def __init__(self, vgg_weights="imagenet", **kwargs):
            super().__init__(**kwargs)
            self.features = load_vgg_features(vgg_weights)
    ```

    Args:
        network: A Keras model from signed pictures `(batch, height, width, 3)` to a
            list of feature maps. It is frozen.
    """

    def __init__(self, network):
        network.trainable = False
        self.network = network

    def __call__(self, pictures):
        return self.network(pictures, training=False)


def load_vgg_features(vgg_weights="imagenet", *, dtype=None):
    """VGG16's features after pool1, pool2 and pool3, ready for `oppai.losses`.

    Example:
    ```python
    features = load_vgg_features("vgg16_notop.h5")
    pool1, pool2, pool3 = features(signed_pictures)
    ```

    Args:
        vgg_weights: "imagenet" takes the weights of `keras.applications.VGG16` from
            Keras' folder of downloads, or downloads them (59 MB). A path takes them
            from a file saved from `keras.applications.VGG16`, with its dense layers
            or without: the published `.h5` files, `.weights.h5`, or `.keras` (no code
            or configuration in it is run). `None` means to do without.
            Defaults to "imagenet".
        dtype: Dtype or policy of the network. Defaults to the global policy.

    Returns:
        A `FrozenFeatures`: from signed pictures `(batch, height, width, 3)` to a list
        of `(batch, height/2, width/2, 64)`, `(…/4, …/4, 128)` and `(…/8, …/8, 256)`.
        With `vgg_weights=None`, `None`: there are no perceptual and style terms then.

    Raises:
        WeightsError: if the weights cannot be downloaded, or if the file is missing,
            broken, or not VGG16's.
    """
    if vgg_weights is None:
        return None
    values = read_vgg_weights(find_vgg_weights(vgg_weights))
    network = build_vgg(dtype=dtype)
    network.set_weights(values)
    return FrozenFeatures(network)


def build_vgg(*, channels=CHANNELS, dtype=None):
    """VGG16 up to pool3 with random weights, not trainable.

    Args:
        channels: Filters of the three blocks; fewer make a light stand-in.
            Defaults to VGG16's (64, 128, 256).
        dtype: Dtype or policy of the convolutions. Defaults to the global policy.

    Returns:
        A `keras.Model` from signed pictures `(batch, height, width, 3)`, 8 px or more
        a side, to the list [pool1, pool2, pool3].
    """
    pictures = keras.Input((None, None, 3), name="signed")
    x = SignedToCaffe(name="caffe")(pictures)
    common = dict(data_format="channels_last", dtype=dtype, trainable=False)
    pools = []
    for block, (filters, repeats) in enumerate(zip(channels, REPEATS, strict=True), 1):
        for i in range(1, repeats + 1):
            x = layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                name=f"block{block}_conv{i}",
                **common,
            )(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool", **common)(x)
        pools.append(x)
    return keras.Model(pictures, pools, name="vgg16_features", trainable=False)


@keras.saving.register_keras_serializable(package="oppai")
class SignedToCaffe(layers.Layer):
    """Takes pictures from the signed scale to the Caffe scale, in float32.

    Example:
    ```python
    caffe = SignedToCaffe()(signed)  # BGR, about -124 to 151
    ```

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        pictures: `(batch, height, width, 3)`, RGB in [-1, 1].

    Returns:
        float32 `(batch, height, width, 3)`, BGR minus (103.939, 116.779, 123.68).
    """

    def __init__(self, **kwargs):
        # In bfloat16 the means would already be rounded to a whole grey level.
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, pictures):
        return signed_to_caffe(pictures)

    def compute_output_shape(self, input_shape):
        return input_shape
