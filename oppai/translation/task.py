"""What a translation says of itself to the one trainer of them all."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np


class Task:
    """One translation: how its pairs are made, what is built and what is lost.

    Pictures are uint8: grey `(height, width, 1)` or RGB `(height, width, 3)`. A pair is
    an input and a target of one size.

    Attributes:
        name: As in `TASKS`.
        learns: What it turns into what, for a line of text.
        paired: Whether a folder must hold pairs; else its pictures are targets, whose
            inputs are made from them.
        channels: Channels of input and target in a pair.
        classes: Whether the target holds numbers of classes.
        mixes: Whether the input is another picture of the folder.
        scales: The least and the most sides of a crop in a picture's shorter side.
        sees: The most sides of a crop in the shorter side of what is translated; a
            larger picture is shrunk for the network. `None` for any size.
        least: The least; a smaller picture is enlarged for the network.
        judged: Whether a discriminator can take part in the training.
        adversarial_weight: Weight of the discriminator's judgement in the loss.
        network: Arguments of the network that differ from its defaults.
        term_weights: The loss; see `illustkit.training.trainable.Trainable`.
        monitors: What is logged in validation as well.
        best: Monitor by which weights are best, and "max" or "min".
        clip: Norm that a step's gradients are clipped to, or `None`.
        mirrors: Whether a user's picture is translated mirrored as well.
        other: Argument, true or false, that asks for the task's second network; empty
            where there is none.
    """

    name: str
    learns: str
    paired = False
    channels = (3, 3)
    classes = False
    mixes = False
    scales = (1.0, 1.2)
    sees: float | None = None
    least = 0.0
    judged = False
    adversarial_weight = 1.0
    term_weights: Mapping[str, float]
    monitors: tuple[str, ...] = ()
    best: tuple[str, str]
    clip: float | None = None
    mirrors = False
    other = ""

    def __init__(self, network: Mapping[str, Any]) -> None:
        self.network = dict(network)

    @property
    def is_other(self) -> bool:
        """Whether the task's second network is asked for."""
        return bool(self.network.get(self.other))

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the network itself."""
        return {k: v for k, v in self.network.items() if k != self.other}

    def build(self) -> Any:
        """Build the untrained network, a `TranslationNetwork`."""
        raise TypeError(f"{type(self).__name__} has no `build()`")

    def draw(self, seed: int, size: tuple[int, int]) -> tuple[Any, np.ndarray]:
        """Draw a pair of the illustrator's.

        Args:
            seed: Decides the character and the hand.
            size: (width, height) in pixels.

        Returns:
            The input, or `None` where `sample` makes it, and the target.
        """
        raise TypeError(f"{type(self).__name__} has no `draw(seed, size)`")

    def sample(
        self, given: Any, target: np.ndarray, rng: np.random.Generator
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Make what the network is given, and what it is compared with.

        Args:
            given: Input of the pair, or `None`.
            target: Target of the pair.
            rng: NumPy generator.

        Returns:
            Two dicts of arrays without the batch's axis.
        """
        raise TypeError(f"{type(self).__name__} has no `sample(given, target, rng)`")

    def attach(self, network: Any) -> None:
        """Take what the loss needs of the network."""

    def judge(self, image_size: int) -> Any:
        """Build the untrained discriminator, for crops of a side in pixels."""
        raise TypeError(f"{type(self).__name__} has no `judge(image_size)`")

    def real_and_fake(self, x: Any, y: Any, y_pred: Any) -> tuple[Any, Any]:
        """Return the real and the generated samples, as `Adversarial.samples`."""
        raise TypeError(f"{type(self).__name__} has no `real_and_fake(x, y, y_pred)`")

    def judge_inputs(self, x: Any, samples: Any) -> Any:
        """Return what the discriminator sees of samples."""
        return samples

    def inputs(self, x: Mapping[str, Any]) -> Any:
        """Return the network's inputs from the batch's arrays, on its scale."""
        raise TypeError(f"{type(self).__name__} has no `inputs(x)`")

    def terms(
        self, y: Mapping[str, Any], y_pred: Any, training: bool
    ) -> dict[str, Any]:
        """Return the loss's terms and monitors, one number per sample."""
        raise TypeError(f"{type(self).__name__} has no `terms(y, y_pred, training)`")

    def result(self, x: Mapping[str, np.ndarray], y_pred: np.ndarray) -> np.ndarray:
        """Return the picture of one prediction, uint8 `(height, width, 1 or 3)`."""
        raise TypeError(f"{type(self).__name__} has no `result(x, y_pred)`")

    def given_of(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """Return the batch's arrays of a user's RGB picture, without the axis."""
        raise TypeError(f"{type(self).__name__} has no `given_of(picture)`")

    def resized(
        self, x: Mapping[str, np.ndarray], size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        """Return a picture's arrays for another size (width, height) to see it at."""
        raise TypeError(f"{type(self).__name__} has no `resized(x, size)`")

    def agreed(self, y_pred: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
        """Return one prediction of those for a picture and, turned back, its mirror."""
        raise TypeError(f"{type(self).__name__} has no `agreed(y_pred, mirrored)`")

    def at_size_of(
        self,
        y_pred: np.ndarray,
        seen: Mapping[str, np.ndarray],
        x: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Return the prediction for what was seen at the size of the picture."""
        return y_pred

    def coloured(self, result: np.ndarray) -> np.ndarray:
        """Return what `translate` returned as a picture to look at."""
        return result

    def shown(
        self, x: Mapping[str, Any], y: Mapping[str, Any], y_pred: np.ndarray
    ) -> list[np.ndarray]:
        """Return RGB pictures of an input, its translation and the target."""
        given = x["grey" if "grey" in x else "picture"]
        target = next(iter(y.values()))
        return [as_rgb(p) for p in (given, self.result(x, y_pred), target)]


def grey_of(picture: np.ndarray) -> np.ndarray:
    """Return the luma of an RGB picture, uint8 `(height, width, 1)`."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]


def as_rgb(picture: np.ndarray) -> np.ndarray:
    """Return a grey or RGB picture as RGB."""
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture
