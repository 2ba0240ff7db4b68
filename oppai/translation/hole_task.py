"""What the completion learns: holes in pictures, the loss in them and their judge."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from illustkit.errors import UserError
from illustkit.images import uint8_to_unit
from illustkit.samples import HANDS, draw_character
from oppai.censoring.masks import irregular_mask
from oppai.data.mosaic_inputs import fill_smoothly
from oppai.translation.completion import (
    CompletionDiscriminator,
    CompletionNetwork,
    ResidualCompletionNetwork,
)
from oppai.translation.task import Task

FILLED = np.uint8(127)  # the one colour of a hole


class Complete(Task):
    """What a hole hides; folders hold whole pictures.

    A hole fits into a square of half the crop's side, which the discriminator's second
    branch sees. With the argument `residual` the network is one that corrects a
    push–pull filling, as `oppai.MosaicUNet` does.
    """

    name, learns = "complete", "pictures with a hole into whole ones"
    scales = (1.0, 1.5)
    term_weights: Mapping[str, float] = {"squares": 1.0}
    monitors = ("l1",)
    judged, adversarial_weight = True, 4e-4
    other = "residual"

    def build(self):
        kind = ResidualCompletionNetwork if self.is_other else CompletionNetwork
        return kind(**self.arguments)

    def attach(self, network):
        if isinstance(network, ResidualCompletionNetwork):
            # As `MosaicRestorer` learns: the second term's mean is that of the PSNR.
            self.term_weights = {"charbonnier": 2.0, "log_squares": 0.1}
            self.monitors = ("l1", "squares")

    @property
    def best(self):  # type: ignore[override]
        # A mean of squares is that of a few pictures.
        return ("val_log_squares" if self.is_other else "val_squares"), "min"

    @property
    def clip(self):  # type: ignore[override]
        # The logarithm is steep where a hole is nearly right.
        return 1.0 if self.is_other else None

    def fill(self, picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """Return a picture, uint8, whose hole (above 0) holds what the network sees."""
        if self.is_other:
            smooth = fill_smoothly(picture.astype("float32"), hole[..., 0] > 0)
            return np.rint(smooth).astype("uint8")
        return np.where(hole > 0, FILLED, picture)

    def judge(self, image_size):
        filters = self.network.get("filters", 16 if self.is_other else 64)
        return CompletionDiscriminator(image_size, filters=filters, units=16 * filters)

    def draw(self, seed, size):
        return None, draw_character(seed, size, HANDS[seed % len(HANDS)]).image

    def sample(self, given, target, rng):
        side = target.shape[0]
        corner = rng.integers(0, side - side // 2 + 1, 2)
        hole = np.zeros((side, side, 1), np.uint8)
        top, left = corner
        hole[top : top + side // 2, left : left + side // 2, 0] = draw_hole(
            side // 2, rng
        )
        seen = {"picture": self.fill(target, hole), "hole": hole}
        return {**seen, "corner": corner.astype("int32")}, {
            "picture": target,
            "hole": hole,
        }

    def inputs(self, x):
        return ops.concatenate(
            [uint8_to_unit(x["picture"]), uint8_to_unit(x["hole"])], axis=-1
        )

    def terms(self, y, y_pred, training):
        hole = uint8_to_unit(y["hole"])
        error = hole * (y_pred - uint8_to_unit(y["picture"]))
        area = 3 * ops.maximum(ops.sum(hole, (1, 2, 3)), 1)
        squares = ops.sum(error**2, (1, 2, 3)) / area
        terms = {"squares": squares}
        if "charbonnier" in self.term_weights:
            distance = hole * ops.sqrt(error**2 + 1e-6)
            terms["charbonnier"] = ops.sum(distance, (1, 2, 3)) / area
            terms["log_squares"] = ops.log(squares + 1e-5)
        if training:
            return {name: terms[name] for name in self.term_weights}
        return {**terms, "l1": ops.sum(ops.abs(error), (1, 2, 3)) / area}

    def real_and_fake(self, x, y, y_pred):
        truth, hole = uint8_to_unit(y["picture"]), uint8_to_unit(y["hole"])
        return truth, hole * y_pred + (1 - hole) * truth

    def judge_inputs(self, x, samples):
        return [samples, cut_squares(samples, x["corner"])]

    def result(self, x, y_pred):
        filled = np.clip(np.rint(y_pred * 255), 0, 255).astype("uint8")
        return np.where(x["hole"] > 127, filled, x["picture"])

    def given_of(self, picture):
        raise UserError(
            "Completing a picture needs its hole: give `boxes` or `mask` to "
            "`oppai.complete`."
        )


def draw_hole(side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a box, an ellipse or a free form, as a mask.

    Args:
        side: Side of the mask in pixels, of which a hole has a quarter or more.
        rng: NumPy generator.

    Returns:
        uint8 `(side, side)`, 255 in the hole.
    """
    kind = rng.random()
    if kind < 0.2:
        return irregular_mask((side, side), rng, hole_ratio=(0.1, 0.5)).mask
    hole = np.zeros((side, side), np.uint8)
    width, height = rng.integers(max(1, side // 4), side + 1, 2)
    left, top = rng.integers(0, side - width + 1), rng.integers(0, side - height + 1)
    if kind < 0.6:
        hole[top : top + height, left : left + width] = 255
        return hole
    rows, columns = np.indices(hole.shape) + 0.5
    down = (rows - top - height / 2) / (height / 2)
    across = (columns - left - width / 2) / (width / 2)
    hole[down**2 + across**2 <= 1] = 255
    return hole


def cut_squares(pictures: Any, corners: Any) -> Any:
    """Cut a square of half the side out of each picture of a batch.

    The rows and columns are picked by products with ones and zeros, which every
    accelerator can differentiate with places that change from step to step.

    Args:
        pictures: `(batch, side, side, channels)`.
        corners: Whole numbers `(batch, 2)`: the first row and column of each square.

    Returns:
        `(batch, side // 2, side // 2, channels)`.
    """
    side = pictures.shape[1]
    places = ops.arange(side // 2)[None, None] + ops.cast(corners, "int32")[..., None]
    picked = ops.one_hot(places, side, dtype=pictures.dtype)  # (batch, 2, half, side)
    rows = ops.einsum("brh,bhwc->brwc", picked[:, 0], pictures)
    return ops.einsum("bsw,brwc->brsc", picked[:, 1], rows)
