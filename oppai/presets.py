"""Named settings of `oppai.train`: hardware, time and what to expect."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import keras

from illustkit.errors import UserError
from illustkit.options import check_choice, check_number, check_options, check_range
from illustkit.training.adversarial import LOSSES, AdversarialAdam
from illustkit.training.presets import choose_preset
from oppai.models.restorers import WEIGHT_SETS

OPTIMIZERS = {"rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}
OF_ADVERSARIAL = ("adversarial_loss", "discriminator", "discriminator_learning_rate")


@dataclass(frozen=True)
class Preset:
    """Hold the settings of `oppai.train`; each is also an argument of it.

    Args:
        image_size: Side of a patch in pixels.
        network: Keyword arguments of `oppai.PConvUNet`, without the size.
        losses: "book" (the chapter's equation 2), "paper" (equation 1), or "pix2pix"
            (L1 alone, with a weight of 100).
        vgg_weights: "package" (VGG16's blocks 1 to 3, which come with the package),
            "imagenet" (Keras' download), a file, or `None` for no perceptual and style
            terms.
        optimizer: "rmsprop" or "adam".
        learning_rate: Learning rate of the optimizer.
        schedule: "constant", or "cosine" down to zero over all epochs.
        batch_size: Patches in a step, over all devices.
        epochs: Passes over the training patches.
        kinds: Censors to draw from; see `oppai.censoring.censor`.
        blocks: Smallest and largest block of a mosaic, pixels of the patch.
        blur_sizes: Smallest and largest blur of a censor's rim, pixels of the patch.
        picture_blur: Blur of the picture before its mosaic, pixels of the patch.
        shift_grid: Whether a mosaic's grid may begin anywhere.
        minimum: Smallest side of a square cut from a picture, in pixels.
        blend: Fraction of the prediction in a restored picture.
        precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16".
        adversarial: "pix2pix" for a `oppai.models.discriminators.PatchGAN` beside the
            losses, or `None`. With it `losses` defaults to "pix2pix" and `optimizer` to
            "adam", whose first moment then decays by 0.5.
        adversarial_loss: Name in `illustkit.training.adversarial.LOSSES`.
        discriminator: Keyword arguments of the PatchGAN, without the channels.
        discriminator_learning_rate: Learning rate of the discriminator, which falls as
            the network's does; of "adam" only.
    """

    image_size: int = 256
    network: dict[str, Any] = field(default_factory=dict)
    losses: str = "book"
    vgg_weights: str | None = "package"
    optimizer: str = "rmsprop"
    learning_rate: float = 1e-4
    schedule: str = "constant"
    batch_size: int = 32
    epochs: int = 150
    kinds: tuple[str, ...] = ("mosaic",)
    blocks: tuple[int, int] = (8, 8)
    blur_sizes: tuple[float, float] = (10, 10)
    picture_blur: float = 5
    shift_grid: bool = False
    minimum: int = 256
    blend: float = 0.5
    precision: str = "float32"
    adversarial: str | None = None
    adversarial_loss: str = "bce"
    discriminator: dict[str, Any] = field(default_factory=dict)
    discriminator_learning_rate: float = 2e-4


ADVERSARIAL = {"pix2pix": {"losses": "pix2pix", "optimizer": "adam"}}
"""Settings that a way of adversarial training changes, unless they are named."""

BOOK = Preset()
"""The chapter's settings: a network of 256×256, RMSprop 1e-4, batches of 32, 150 epochs
of 3,973 pictures, 3 to 4 minutes per epoch on a TPU.

The whole training has not been measured. Trials at 128×128 and 256×256 with 8 base
filters and real VGG16 features began from 492 steps without VGG16. In the next 150
steps the style terms were 98 % of this loss. The colours shifted (ΔE 9.1 at 128×128 and
8.2 at 256×256 outside the hole; 7.7 at both where VGG16 was left out). The PSNR in the
hole was 8.4 and 8.7 dB (10.8 and 9.4 dB without VGG16), with the paper's weights .15
and .2 dB lower. `benchmarks/README.md` has the table. `vgg_weights=None` leaves these
terms out."""

_FEWER_EPOCHS = replace(
    BOOK,
    network={"see_censored": True},
    optimizer="adam",
    schedule="cosine",
    blend=1.0,
)

COLAB = replace(
    _FEWER_EPOCHS,
    learning_rate=5e-4,
    batch_size=16,
    epochs=20,
    blocks=(6, 12),
    blur_sizes=(2, 10),
    shift_grid=True,
    precision="auto",
)
"""The chapter's network, which also sees the mosaic, in fewer epochs: for one GPU or a
TPU of Colab. Its own epochs have not been measured. The losses are those of `BOOK`,
with the same shift of the colours at first."""

TINY = replace(
    _FEWER_EPOCHS,
    image_size=128,
    network={
        **_FEWER_EPOCHS.network,
        "widths": (16, 32, 64, 96),
        "strides": (1, 2, 2, 2),
        "kernels": (3, 3, 3, 3),
        "batchnorm_momentum": 0.9,
    },
    vgg_weights=None,
    learning_rate=1e-3,
    batch_size=4,
    epochs=14,
    blocks=(4, 6),
    blur_sizes=(3, 3),
    picture_blur=2.5,
    minimum=128,
)
"""Three minutes on two CPU cores with 275 pictures, without VGG16. On drawn samples it
reached 23.6 dB inside unseen holes, where the mosaic has 22.1 and bicubic 20.6."""

PRESETS = {"book": BOOK, "colab": COLAB, "tiny": TINY}


def choose_settings(preset: str = "tiny", **settings: Any) -> Preset:
    """Return the settings of a preset, with those replaced that the caller names.

    Example:
    ```python
    choose_settings("tiny", epochs=20).epochs  # 20
    ```

    Args:
        preset: Name in `oppai.presets.PRESETS`.
        **settings: Fields of `Preset`; `network` is merged with the preset's.

    Returns:
        A `Preset`.

    Raises:
        UserError: If the preset, a field, a loss, an optimizer or a schedule is
            unknown, or a value cannot work.
    """
    if preset in PRESETS:
        network = {**PRESETS[preset].network, **settings.get("network", {})}
        settings["network"] = network
    adversarial = settings.get("adversarial")
    check_choice("adversarial", adversarial, tuple(ADVERSARIAL))
    if adversarial is not None:
        settings = {**ADVERSARIAL[adversarial], **settings}
    elif unused := sorted(set(OF_ADVERSARIAL) & set(settings)):
        raise UserError(f"`{unused[0]}` needs `adversarial` to be set.")
    chosen = choose_preset(PRESETS, preset, settings)
    choices: dict[str, Collection[str]] = {
        "losses": WEIGHT_SETS,
        "optimizer": OPTIMIZERS,
        "schedule": ("constant", "cosine"),
        "adversarial_loss": LOSSES,
    }
    for name, allowed in choices.items():
        check_choice(name, getattr(chosen, name), sorted(allowed))
    check_options(**asdict(chosen))
    check_range("blocks", chosen.blocks, whole=True, least=1)
    check_range("blur_sizes", chosen.blur_sizes, least=0)
    check_number("picture_blur", chosen.picture_blur, least=0)
    check_number("minimum", chosen.minimum, whole=True, least=1)
    check_number("blend", chosen.blend, least=0, most=1)
    check_number(
        "discriminator_learning_rate", chosen.discriminator_learning_rate, above=0
    )
    return chosen


def censor_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Select the arguments of `CensoredPatches` from a run's settings.

    Example:
    ```python
    batches = CensoredPatches(patches, **censor_settings(run.settings))
    ```

    Args:
        settings: Dict, as `Run.settings`.

    Returns:
        Dict of keyword arguments.
    """
    names = ("kinds", "blocks", "blur_sizes", "picture_blur", "shift_grid")
    return {name: settings[name] for name in names}


def make_optimizer(chosen: Preset, rate: Any) -> keras.optimizers.Optimizer:
    """Make the optimizer of a training.

    Args:
        chosen: What `choose_settings` returned.
        rate: Its learning rate, or a schedule from it.

    Returns:
        A `keras.optimizers.Optimizer`; "adam" gives the discriminator of an adversarial
        training its own rate, and both networks pix2pix's first moment.
    """
    if chosen.adversarial is None or chosen.optimizer != "adam":
        return OPTIMIZERS[chosen.optimizer](rate)
    ratio = chosen.discriminator_learning_rate / chosen.learning_rate
    return AdversarialAdam(rate, discriminator_rate=ratio)
