import keras
from keras import layers

from facescore.detector.network import STRIDES


@keras.saving.register_keras_serializable(package="facescore_tests")
class Slim(keras.Model):
    """Stands in for the network, which takes long to trace: a convolution a stride."""

    def __init__(
        self,
        widths,
        depths,
        head,
        *,
        backbone="plain",
        normalise=True,
        synchronised=False,
        dtype=None,
    ):
        picture = keras.Input((None, None, 3), dtype="uint8")
        unit, rows = layers.Rescaling(1 / 255)(picture), []
        for stride in STRIDES:
            x = layers.Conv2D(8, 1, activation="relu", name=f"in{stride}")(unit)
            x = layers.AveragePooling2D(stride)(x)
            x = layers.Conv2D(65, 1, name=f"out{stride}")(x)
            rows.append(layers.Reshape((-1, 65))(x))
        super().__init__(picture, layers.Concatenate(axis=1)(rows))
        self.widths, self.depths, self.head = tuple(widths), tuple(depths), head
        self.backbone = backbone

    def get_config(self):
        return {"widths": self.widths, "depths": self.depths, "head": self.head}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
