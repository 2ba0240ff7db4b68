"""Train every package's models for a few steps with the package's own `train`."""

import numpy as np
import pytest

COMMON = {"verbose": 0, "epochs": 2}  # of two steps each


def oppai(data, run, **options):
    """Train a partial-convolution network with BatchNorm; `fit` validates it."""
    from oppai.training import train

    return train(
        data / "oppai",
        data / "oppai/meta.json",
        run,
        preset="tiny",
        image_size=16,
        network={"widths": (4, 8), "strides": (1, 2), "kernels": (3, 3)},
        schedule="constant",
        batch_size=4,
        blocks=(2, 3),
        blur_sizes=(1, 1),
        picture_blur=1,
        minimum=24,
        holdout=0.3,
        **COMMON,
        **options,
    )


def mosaic(data, run, **options):
    """Train the network that sees the mosaic: partial convolution, gate, two losses."""
    from oppai.training import train_mosaic

    return train_mosaic(
        data / "oppai",
        run,
        samples=0,
        patch=32,
        network={"widths": (4, 6), "blocks": (0, 1)},
        steps=2,
        batch_size=4,
        learning_rate=1e-2,
        precision="float32",
        **COMMON,
        **options,
    )


def completion(data, run, **options):
    """Train a network that fills holes, a discriminator first alone, then both."""
    from oppai.translation.training import train_translation

    return train_translation(
        "complete",
        data / "oppai",
        run,
        preset="tiny",
        network={"filters": 2},
        adversarial=True,
        alone=0.25,
        image_size=64,
        batch_size=4,
        epochs=2,
        epoch_steps=2,
        holdout=0.5,
        sheet_every=0,
        seed=1,  # with some others rounding grows to a tenth of a step
        verbose=0,
        **{"learning_rate": 3e-3, "precision": "float32", **options},
    )


def detector(data, run, **options):
    """Train the detector: AdamW, clipped gradients, a loss over a batch's faces.

    A network of a few convolutions stands in for its own. Keras computes a synchronised
    variance as E[x²] - E[x]², and sixty BatchNorms in a row amplify the float32 error
    of that formula: on a single device it alone changes the weights after three steps
    by 0.0004. The other networks have BatchNorm.
    """
    from facescore.detector import losses
    from tests.facescore.slim import Slim

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "DetectorNetwork", Slim)
        return _detector(data, run, **options)


def _detector(data, run, **options):
    from facescore.detector.training import train_detector

    return train_detector(
        data / "faces",
        run,
        preset="tiny",
        image_size=64,
        validation_size=32,
        batch_size=8,
        epochs=1,  # of three steps
        epoch_size=24,
        widths=(4, 4, 4, 4, 4),
        depths=(1, 1, 1, 1),
        head=2,
        holdout=0.3,
        close_mosaic=0,
        verbose=0,
        **options,
    )


def smallnet(data, run, **options):
    """Train the small scorer: BatchNorm, thresholds, AdamW."""
    return _scorer(
        data,
        run,
        objective="coral",
        image_size=16,
        network_options={"widths": (4, 6), "places": 2, "dropout": 0.0},
        **options,
    )


def alexnet(data, run, **options):
    """Train the article's scorer by SGD with momentum."""
    return _scorer(
        data,
        run,
        preset="alexnet-face",
        image_size=19,
        network_options={"hidden_units": 8, "dropout": 0.0},
        optimizer="sgd",
        learning_rate=1e-2,
        **options,
    )


def _scorer(data, run, **options):
    from facescore.scorer.training import train_scorer

    return train_scorer(
        data / "crops", run, batch_size=8, holdout=0.2, **COMMON, **options
    )


def diffusion(data, run, **options):
    """Train the U-Net and its average with clipped gradients."""
    from diffusion.training.train import train

    return train(
        data / "icons",
        run,
        preset="tiny",
        image_size=8,
        dim=8,
        dim_mults=(1,),
        version="2",
        timesteps=20,
        batch_size=4,
        clip=0.5,
        warm_up=3,
        steps=4,
        epoch_steps=2,
        n_samples=3,
        sample_steps=1,
        verbose=0,
        **{"precision": "float32", "sample_every": 2, **options},
    )


def dcgan(data, run, **options):
    """Train DCGAN with BatchNorm and pictures augmented by ADA."""
    network = {"filters": 4, "latent": 3, "ada_images": 40}
    return _gan(data, run, model="dcgan", augment="ada", network=network, **options)


def stylegan2(data, run, **options):
    """Train StyleGAN2 with both penalties, mixing, averages and DiffAugment."""
    network = {"base": 16, "latent": 4, "r1_every": 2, "path_every": 2}
    network |= {"group_size": 1, "average_images": 4}
    return _gan(
        data,
        run,
        model="stylegan2",
        augment="diffaugment",
        network=network,
        learning_rate=5e-3,
        **options,
    )


def _gan(data, run, **options):
    from diffusion.training.gan import train_gan

    return train_gan(
        data / "icons",
        run,
        preset="tiny",
        image_size=8,
        batch_size=4,
        steps=4,
        epoch_steps=2,
        n_samples=3,
        verbose=0,
        **{
            "precision": "float32",
            "sample_every": 2,
            "learning_rate": 1e-2,
            **options,
        },
    )


def regularised(data, run, *, strategy, callbacks):
    """Train a model with two weighted loss terms and a regulariser.

    Keras itself scales the regulariser by the number of replicas.
    """
    import keras
    from keras import ops

    from illustkit.runtime import get_strategy, scope
    from illustkit.training.batches import Batches
    from illustkit.training.runs import Run
    from illustkit.training.trainable import Trainable

    class Model(Trainable):
        def __init__(self):
            super().__init__({"l1": 1.0, "l2": 0.5})
            self.dense = keras.layers.Dense(4, kernel_regularizer="l2")
            self.dense.build((None, 4))
            self.built = True

        def call(self, x):
            return self.dense(x)

        def terms(self, x, y, y_pred, training):
            error = ops.abs(y - y_pred)
            return {"l1": ops.mean(error, -1), "l2": ops.mean(error**2, -1)}

    class Noise(Batches):
        def make(self, indices, rng):
            x = rng.normal(size=(len(indices), 4)).astype("float32")
            return x, x[:, ::-1].copy()

    with scope(get_strategy(strategy)):
        model = Model()
        model.compile(keras.optimizers.SGD(0.1))
    run, batches = Run.start(run, {}), Noise(24, batch_size=8)
    callbacks = [batches.follow(), *callbacks, *run.callbacks("loss")]
    model.fit(batches, shuffle=False, verbose=0, callbacks=callbacks)
    return run


def adversarial(data, run, *, strategy, callbacks):
    """Train two small networks against each other.

    The means of the relativistic loss, the clipping and the lazy penalty are of the
    whole batch.
    """
    import keras

    from illustkit.runtime import get_strategy, scope
    from illustkit.training.adversarial import (
        Adversarial,
        AdversarialAdam,
        SpectralConv2D,
    )
    from illustkit.training.batches import Batches
    from illustkit.training.runs import Run

    class Pairs(Batches):
        def make(self, indices, rng):
            return tuple(rng.normal(size=(2, len(indices), 6, 6, 2)).astype("float32"))

    with scope(get_strategy(strategy)):
        layers = [keras.Input((6, 6, 2)), keras.layers.Conv2D(2, 3, padding="same")]
        judge = SpectralConv2D(3, 4, strides=2, use_bias=False)
        model = Adversarial(
            keras.Sequential(layers),
            keras.Sequential([layers[0], judge, keras.layers.LeakyReLU(0.2)]),
            adversarial_loss="relativistic",
            r1=1.0,
            r1_every=2,
        )
        judge.direction.assign([1.0, 0.0, 0.0])
        model.compile(
            AdversarialAdam(1e-2, discriminator_rate=2.0, network_clipnorm=0.1)
        )
    run, batches = Run.start(run, {}), Pairs(24, batch_size=8)
    callbacks = [batches.follow(), *callbacks, *run.callbacks("loss")]
    model.fit(batches, shuffle=False, verbose=0, callbacks=callbacks)
    return run


MODELS = oppai, mosaic, detector, smallnet, alexnet, diffusion, dcgan, stylegan2
MODELS += regularised, adversarial, completion
CASES = {train.__name__: train for train in MODELS}


def make_data(folder):
    """Write the pictures that the cases train on.

    Args:
        folder: `Path` of an empty folder.
    """
    from illustkit.images import write_image
    from oppai.data.metadata import Entry, save_metadata

    rng, entries = np.random.default_rng(0), []
    for i in range(10):
        coarse = rng.integers(0, 256, (4, 5, 3), "uint8")
        write_image(folder / f"oppai/{i}.png", coarse.repeat(8, 0).repeat(8, 1))
        entries.append(Entry(f"{i}.png", f"{i}.png", i, 40, 32, ((8, 6, 30, 26),)))
    save_metadata(entries, folder / "oppai/meta.json")
    for i in range(6):
        image = rng.integers(0, 256, (8, 8, 3), "uint8").repeat(4, 0).repeat(4, 1)
        left, top = rng.integers(0, 16, 2)
        image[top : top + 16, left : left + 16] = 255
        write_image(folder / f"faces/{i}.png", image)
        x, y = (left + 8) / 32, (top + 8) / 32
        (folder / f"faces/{i}.txt").write_text(f"0 {x} {y} 0.5 0.5\n")
    for i in range(20):
        score = 1 + i % 5
        crop = rng.integers(40 * score, 40 * score + 30, (16, 16, 3), "uint8")
        write_image(folder / f"crops/{score}/{i}.png", crop)
    for i in range(6):
        write_image(folder / f"icons/{i}.png", rng.integers(0, 256, (8, 8, 3), "uint8"))
