"""Build the training steps that the benchmarks and tests of accelerators measure.

Each step has the network, the losses and the optimizer of its package's own training.
VGG16 has random weights, which need as much time and memory as trained ones. Importing
this file does not import Keras; building a step does.
"""

import dataclasses

import numpy as np

TITLES = {
    "oppai": "oppai 256×256 with VGG16 losses",
    "mosaic": "oppai, the network that sees mosaics, 128×128",
    "detector-small": "facescore detector `small`, 640×640",
    "detector-full": "facescore detector `full`, 640×640",
    "alexnet": "facescore AlexNet 360×360",
    "diffusion-0.25.3": 'diffusion 128×128, version "0.25.3"',
    "diffusion-2": 'diffusion 128×128, version "2"',
}


def build_step(name, *, policy="float32", slim=False):
    """Build a model that is ready to train.

    Example:
    ```python
    model, make_batch = build_step("oppai", slim=True)
    model.train_on_batch(*make_batch(2))
    ```

    Args:
        name: A key of `TITLES`.
        policy: "float32" or "mixed_bfloat16". Defaults to "float32".
        slim: Whether to use pictures of 64×64 and few channels. The layers and losses
            are the same. Defaults to `False`.

    Returns:
        `(model, make_batch)`: a compiled model whose optimizer has its variables, and a
        function that takes the number of pictures and returns a tuple `(x, y)` or
        `(x,)` of NumPy arrays.
    """
    kind, _, variant = name.partition("-")
    build = {
        "oppai": _oppai,
        "mosaic": _mosaic,
        "detector": _detector,
        "alexnet": _alexnet,
        "diffusion": _diffusion,
    }[kind]
    from illustkit.runtime import precision

    with precision(policy):
        model, make_batch = build(*[variant] * bool(variant), slim=slim)
        model.optimizer.build(model.trainable_variables)
    return model, make_batch


def _pictures(rng, n, side, channels=3):
    return rng.integers(256, size=(n, side, side, channels), dtype=np.uint8)


def _oppai(slim):
    import keras

    from oppai.losses import BOOK_WEIGHTS
    from oppai.models.pconv_unet import PConvUNet
    from oppai.models.restorers import Restorer
    from oppai.models.vgg import FrozenFeatures, build_vgg
    from oppai.presets import BOOK

    side, network = BOOK.image_size, {}
    if slim:
        side, network = 64, {"widths": (4, 8), "strides": (1, 4), "kernels": (3, 5)}
        features = FrozenFeatures(build_vgg(widths=(4, 4, 4)))
    else:
        features = FrozenFeatures(build_vgg())
    model = Restorer(PConvUNet(side, **network), BOOK_WEIGHTS, features=features)
    model.compile(keras.optimizers.RMSprop(BOOK.learning_rate))

    def make_batch(n):
        rng = np.random.default_rng(0)
        mask = np.full((n, side, side, 1), 255, np.uint8)
        mask[:, side // 4 : -side // 4, side // 4 : -side // 4] = 0
        return (_pictures(rng, n, side), mask), _pictures(rng, n, side)

    return model, make_batch


def _mosaic(slim):
    from illustkit.training.optimizers import ClippedAdam, WarmupStableDecay
    from oppai.censoring.block_grid import Grid
    from oppai.data.mosaic_inputs import mosaic_inputs, stack_inputs
    from oppai.models.mosaic_unet import MosaicUNet
    from oppai.models.restorers import MosaicRestorer

    side = 64 if slim else 128
    network = {"widths": (4, 4), "blocks": (1, 1)} if slim else {}
    model = MosaicRestorer(MosaicUNet(**network))
    rate = WarmupStableDecay(4e-4, 500, 14000)
    model.compile(ClippedAdam(rate, epsilon=1e-5, global_clipnorm=0.6))

    def make_batch(n):
        pictures = _pictures(np.random.default_rng(0), n, side)
        mask = np.zeros((side, side), np.uint8)
        mask[side // 4 : -side // 4, side // 4 : -side // 4] = 255
        inputs = [mosaic_inputs(picture, mask, Grid((8, 8))) for picture in pictures]
        return stack_inputs(inputs), pictures

    return model, make_batch


def _facescore_optimizer(preset, **options):
    from illustkit.training.optimizers import make_optimizer

    return make_optimizer(
        preset.optimizer,
        preset.learning_rate,
        weight_decay=preset.weight_decay,
        steps=1000,
        warm_up=100,
        **options,
    )


def _detector(variant, slim):
    from facescore.detector.losses import FaceDetector
    from facescore.detector.network import DetectorNetwork
    from facescore.detector.training import DETECTOR_PRESETS

    chosen = DETECTOR_PRESETS["tiny" if slim else variant]
    side = 64 if slim else 640
    network = {"widths": chosen.widths, "depths": chosen.depths, "head": chosen.head}
    if slim:
        network = {"widths": (4,) * 5, "depths": (1,) * 4, "head": 4}
    model = FaceDetector(DetectorNetwork(**network))
    options = {"first": 0.01, "last": 0.01, "momentum": 0.937, "nesterov": True}
    model.compile(_facescore_optimizer(DETECTOR_PRESETS[variant], **options))

    def make_batch(n):
        rng = np.random.default_rng(0)
        faces = np.zeros((n, chosen.max_faces, 5), np.float32)
        corner = rng.uniform(0, side * 0.6, (n, 4, 2))
        corner = [corner, corner + rng.uniform(side / 16, side * 0.4, (n, 4, 2))]
        faces[:, :4, :4] = np.concatenate(corner, axis=-1)
        faces[:, :4, 4] = 1
        return _pictures(rng, n, side), faces

    return model, make_batch


def _alexnet(slim):
    from facescore.scorer.model import Scorer
    from facescore.scorer.networks import AlexNet
    from facescore.scorer.training import ALEXNET_FACE

    side, units = (64, 16) if slim else (ALEXNET_FACE.image_size[0], 4096)
    model = Scorer(AlexNet(side, units))
    options = {"first": 0.05, "last": 0.0, "momentum": 0.9, "nesterov": False}
    model.compile(_facescore_optimizer(ALEXNET_FACE, **options))

    def make_batch(n):
        rng = np.random.default_rng(0)
        return _pictures(rng, n, side), rng.integers(1, 6, n).astype("float32")

    return model, make_batch


def _diffusion(version, slim):
    from diffusion.network.model import build_diffuser
    from diffusion.training.noised_icons import NoisedIcons
    from diffusion.training.presets import PREPRINT
    from diffusion.training.train import make_optimizer

    changes = {"version": version}
    if slim:
        changes |= {"image_size": (64, 64), "dim": 8, "dim_mults": (1, 2)}
    chosen = dataclasses.replace(PREPRINT, **changes)
    model = build_diffuser(dataclasses.asdict(chosen))
    model.compile(make_optimizer(chosen))

    def make_batch(n):
        pictures = _pictures(np.random.default_rng(0), n, chosen.image_size[0])
        batches = NoisedIcons(
            pictures, steps=1, batch_size=n, timesteps=chosen.timesteps
        )
        return batches[0]

    return model, make_batch
