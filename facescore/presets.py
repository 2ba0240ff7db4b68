"""Settings of the detector's trainings."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DetectorPreset:
    """Settings of a detector's training; `train_detector` takes each as an option."""

    image_size: int  # side of a training picture, pixels
    batch_size: int  # pictures a step, over all devices
    epochs: int
    epoch_size: int  # pictures an epoch, however many there are
    learning_rate: float  # the greatest; it falls to a hundredth along a cosine
    widths: tuple  # channels of the stem and at strides 4, 8, 16, 32
    depths: tuple  # bottlenecks at strides 4, 8, 16, 32
    head: int  # channels in the head
    optimizer: str = "adamw"  # or "sgd", with Nesterov momentum 0.937
    weight_decay: float = 5e-4
    warm_up: float = 1.0  # epochs
    scale: tuple = (0.4, 1.6)  # of a picture that fits, least and greatest
    translate: float = 0.1  # share of the picture
    flip: float = 0.5  # probability
    mosaic: float = 0.5  # probability
    close_mosaic: int = 3  # last epochs without
    hue: float = 0.015
    saturation: float = 0.7
    value: float = 0.4
    max_faces: int = 48  # in a training picture; more than that are left out
    validation_size: int = 640  # side of a picture that is validated, pixels
    precision: str = "float32"  # or "mixed_bfloat16", "mixed_float16"


# The small and the tiny are trained on smaller pictures than they search, scaled so
# that faces have the sizes they will have then. What never fits whole is never found:
# trained at 320, the small one missed faces over 220 of 640 pixels.
DETECTOR_PRESETS = {
    # 0.28 M parameters, for trying things out and the demo.
    "tiny": DetectorPreset(
        image_size=224,
        batch_size=8,
        epochs=10,
        epoch_size=480,
        learning_rate=4e-3,
        widths=(8, 16, 32, 48, 64),
        depths=(1, 1, 1, 1),
        head=16,
        validation_size=320,
    ),
    # 1.27 M parameters; 23 pictures a second at 640 pixels on two CPU cores.
    "small": DetectorPreset(
        image_size=480,
        batch_size=8,
        epochs=30,
        epoch_size=800,
        learning_rate=3e-3,
        widths=(16, 24, 48, 96, 160),
        depths=(1, 2, 2, 1),
        head=32,
    ),
    # 2.9 M parameters, as Ultralytics trains its smallest; for a GPU.
    "full": DetectorPreset(
        image_size=640,
        batch_size=64,
        epochs=100,
        epoch_size=6400,
        learning_rate=1e-2,
        widths=(16, 32, 64, 128, 256),
        depths=(1, 2, 2, 1),
        head=64,
        optimizer="sgd",
        warm_up=3.0,
        scale=(0.5, 1.5),
        mosaic=1.0,
        close_mosaic=10,
    ),
}
