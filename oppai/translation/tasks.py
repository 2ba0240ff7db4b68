"""The translations by name, and what those learn that are given pairs."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from keras import ops

from illustkit.errors import UserError
from illustkit.images import (
    lab_to_uint8,
    signed_to_caffe,
    uint8_to_lab,
    uint8_to_signed,
    uint8_to_unit,
)
from illustkit.samples import HANDS, PARTS, draw_character, draw_lines, draw_parts
from oppai.models.discriminators import PatchGAN
from oppai.translation.colorization import ColorizationNetwork, enlarge_by_guide
from oppai.translation.hole_task import Complete
from oppai.translation.pix2pix import Pix2PixUNet
from oppai.translation.segmentation import FCN8s, UNet
from oppai.translation.sketch import (
    SketchDiscriminator,
    SketchNetwork,
    blacken,
    line_weights,
    roughen,
)
from oppai.translation.style_task import Stylize
from oppai.translation.task import Task, as_rgb, grey_of

AB_RANGE = 110.0  # a* and b* of sRGB lie between -108 and 99
# Squares teach a network to draw in grey where it is unsure of a line. What is darker
# than this level is of one more often than not.
LINE_LEVEL, LINE_STEEPNESS = 0.65, 2.0
# Weight of what a mirrored picture's colours differ by, against the colours; chosen by
# the ΔE00 of 7 characters, 7 clip arts and 7 pages of which no figure is reported.
DOUBT = 4.0


class CleanLines(Task):
    """Clean lines from rough sketches; folders hold clean lines."""

    name, learns = "clean", "rough sketches into clean lines"
    channels = (1, 1)
    scales, sees = (1.0, 2.4), 3.0  # a line is one pixel thick here, three there
    # An eye of few pixels becomes a spot. Chosen of 1.5, 2 and 3 on eight roughs.
    least = 1.5
    term_weights = {"squares": 1.0}
    monitors = ("l1",)
    best = ("val_squares", "min")
    judged, adversarial_weight = True, 8e-5

    def build(self):
        return SketchNetwork(**self.network)

    def judge(self, image_size):
        return SketchDiscriminator(image_size)

    def real_and_fake(self, x, y, y_pred):
        return uint8_to_unit(y["lines"]), y_pred

    def draw(self, seed, size):
        return None, draw_lines(seed, size, HANDS[seed % len(HANDS)])[..., None]

    def sample(self, given, target, rng):
        target = blacken(target)
        if given is None:
            # A crop is a part of a picture that is larger by as much as crops vary.
            side = rng.uniform(*self.scales) * min(target.shape[:2])
            given = roughen(target[..., 0], rng, side)[..., None]
        weights = line_weights(target[..., 0] / np.float32(255))
        return {"grey": given}, {"lines": target, "weights": weights[..., None]}

    def inputs(self, x):
        return uint8_to_unit(x["grey"])

    def terms(self, y, y_pred, training):
        error = y_pred - uint8_to_unit(y["lines"])
        terms = {"squares": ops.mean(y["weights"] * error**2, (1, 2, 3))}
        if not training:
            terms["l1"] = ops.mean(ops.abs(error), (1, 2, 3))
        return terms

    def result(self, x, y_pred):
        clear = 0.5 + LINE_STEEPNESS * (y_pred - LINE_LEVEL)
        return np.clip(np.rint(clear * 255), 0, 255).astype("uint8")

    def given_of(self, picture):
        return {"grey": grey_of(picture)}

    def resized(self, x, size):
        larger = size[0] > x["grey"].shape[1]
        how = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
        return {"grey": cv2.resize(x["grey"], size, interpolation=how)[..., None]}

    def at_size_of(self, y_pred, seen, x):
        height, width = x["grey"].shape[:2]
        if y_pred.shape[:2] == (height, width):
            return y_pred
        if y_pred.shape[0] > height:
            small = cv2.resize(y_pred, (width, height), interpolation=cv2.INTER_AREA)
            return small[..., None]
        large = cv2.resize(y_pred, (width, height), interpolation=cv2.INTER_CUBIC)
        # An edge is as steep as before: it rose within a pixel and is many wide now.
        steep = LINE_LEVEL + (large - LINE_LEVEL) * width / y_pred.shape[1]
        return np.clip(steep, 0, 1)[..., None]


class Colorize(Task):
    """Colours for grey pictures, and for a user's hints; folders hold coloured ones."""

    name, learns = "colorize", "grey pictures into coloured ones"
    channels = (1, 3)
    scales, sees = (1.0, 2.0), 1.2
    mirrors = True
    term_weights = {"squares": 1.0}
    monitors = ("l1",)
    best = ("val_squares", "min")
    most_hints = 30

    def build(self):
        return ColorizationNetwork(**{"hints": True, **self.network})

    def draw(self, seed, size):
        hands = [hand for hand in HANDS if hand != "manga"]  # which has no colours
        return None, draw_character(seed, size, hands[seed % len(hands)]).image

    def sample(self, given, target, rng):
        lab = uint8_to_lab(target)
        hints = np.zeros((*target.shape[:2], 3), "float32")
        # None in every other picture: most users give none.
        for _ in range(rng.integers(0, self.most_hints + 1) * (rng.random() < 0.5)):
            row, column = (int(rng.integers(n)) for n in target.shape[:2])
            place = np.s_[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            hints[place] = [*lab[place][..., 1:].mean((0, 1)) / AB_RANGE, 1]
        grey = np.rint(lab[..., :1] * 2.55).astype("uint8")
        return self._seen(grey, hints), {"ab": lab[..., 1:]}

    def _seen(self, grey, hints):
        side = self.network.get("global_size", 224)
        small = cv2.resize(grey[..., 0], (side, side), interpolation=cv2.INTER_AREA)
        return {"grey": grey, "hints": hints, "small": small[..., None]}

    def inputs(self, x):
        picture = ops.concatenate([uint8_to_unit(x["grey"]), x["hints"]], axis=-1)
        return [picture, uint8_to_unit(x["small"])]

    def terms(self, y, y_pred, training):
        error = (2 * y_pred - 1) - y["ab"] / AB_RANGE
        terms = {"squares": ops.mean(error**2, (1, 2, 3))}
        if not training:
            terms["l1"] = ops.mean(ops.abs(error), (1, 2, 3)) * AB_RANGE
        return terms

    def shown(self, x, y, y_pred):
        truth = lab_to_uint8(np.dstack([x["grey"] / 2.55, y["ab"]]))
        return [as_rgb(x["grey"]), self.result(x, y_pred), truth]

    def result(self, x, y_pred):
        lightness = x["grey"] / 2.55
        return lab_to_uint8(np.dstack([lightness, (2 * y_pred - 1) * AB_RANGE]))

    def given_of(self, picture):
        grey = np.rint(uint8_to_lab(picture)[..., :1] * 2.55).astype("uint8")
        return self._seen(grey, np.zeros((*grey.shape[:2], 3), "float32"))

    def resized(self, x, size):
        grey = cv2.resize(x["grey"], size, interpolation=cv2.INTER_AREA)
        mixed = cv2.resize(x["hints"], size, interpolation=cv2.INTER_AREA)
        hints = np.zeros_like(mixed)
        for row, column in np.argwhere(mixed[..., 2] > 0):
            *ab, share = mixed[row, column]
            place = np.s_[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            hints[place] = [*(a / share for a in ab), 1]
        return {**x, "grey": grey[..., None], "hints": hints}

    def agreed(self, y_pred, mirrored):
        """Return the mean, greyer the less both are of one colour."""
        mean, half = y_pred + mirrored - 1, y_pred - mirrored
        colour, doubt = (
            np.linalg.norm(x, axis=-1, keepdims=True) for x in (mean, half)
        )
        sure = colour / np.maximum(colour + DOUBT * doubt, 1e-6)
        return (1 + sure * mean) / 2

    def at_size_of(self, y_pred, seen, x):
        return enlarge_by_guide(y_pred, seen["grey"], x["grey"])


class Segment(Task):
    """The part that each pixel shows; folders hold pairs.

    With the argument `fcn` the network is `FCN8s`, whose stages each begin from the run
    before: `stride` 32, then 16, then 8.
    """

    name, learns = "segment", "pictures into hair, skin, clothes and background"
    paired, channels, classes = True, (3, 1), True
    scales, sees = (1.0, 1.6), 1.6
    mirrors = True
    term_weights = {"cross_entropy": 1.0}
    monitors = ("accuracy",)
    best = ("val_accuracy", "max")
    other = "fcn"
    colours = ((255, 255, 255), (200, 60, 60), (250, 220, 180), (60, 90, 220))  # RGB

    def build(self):
        if self.is_other:
            return FCN8s(len(PARTS), **self.arguments)
        return UNet(3, len(PARTS), **{"norm": True, **self.arguments})

    def draw(self, seed, size):
        hand = HANDS[seed % len(HANDS)]
        parts = draw_parts(seed, size, hand)
        return draw_character(seed, size, hand).image, parts[..., None]

    def sample(self, given, target, rng):
        return {"picture": given}, {"parts": target}

    def attach(self, network):
        if isinstance(network, FCN8s):
            self.network["fcn"] = True

    def inputs(self, x):
        signed = uint8_to_signed(x["picture"])
        return signed_to_caffe(signed) if self.is_other else signed

    def terms(self, y, y_pred, training):
        parts = ops.cast(y["parts"][..., 0], "int32")
        right = ops.one_hot(parts, len(PARTS))
        loss = ops.logsumexp(y_pred, -1) - ops.sum(right * y_pred, -1)
        terms = {"cross_entropy": ops.mean(loss, (1, 2))}
        if not training:
            found = ops.equal(ops.argmax(y_pred, -1), parts)
            terms["accuracy"] = ops.mean(ops.cast(found, "float32"), (1, 2))
        return terms

    def coloured(self, result):
        return np.array(self.colours, np.uint8)[result]

    def shown(self, x, y, y_pred):
        parts = self.result(x, y_pred), y["parts"]
        return [x["picture"], *(self.coloured(p[..., 0]) for p in parts)]

    def result(self, x, y_pred):
        return y_pred.argmax(axis=-1).astype("uint8")[..., None]

    def given_of(self, picture):
        return {"picture": picture}

    def resized(self, x, size):
        small = cv2.resize(x["picture"], size, interpolation=cv2.INTER_AREA)
        return {"picture": small}

    def agreed(self, y_pred, mirrored):
        return (y_pred + mirrored) / 2

    def at_size_of(self, y_pred, seen, x):
        return cv2.resize(y_pred, x["picture"].shape[1::-1])


class Paint(Task):
    """Pictures from lines, or any pictures from any others; folders hold pairs."""

    name, learns = "pix2pix", "lines into pictures, or what the pairs show"
    paired = True
    term_weights = {"l1": 100.0}
    best = ("val_l1", "min")
    judged = True

    def build(self):
        return Pix2PixUNet(**self.network)

    def judge(self, image_size):
        return PatchGAN(filters=self.network.get("filters", 64))  # as the U-Net has

    def real_and_fake(self, x, y, y_pred):
        return uint8_to_signed(y["picture"]), y_pred

    def judge_inputs(self, x, samples):
        seen = ops.cast(uint8_to_signed(x["picture"]), samples.dtype)
        return ops.concatenate([seen, samples], axis=-1)

    def draw(self, seed, size):
        lines = draw_lines(seed, size)
        return np.dstack([lines] * 3), draw_character(seed, size).image

    def sample(self, given, target, rng):
        return {"picture": given}, {"picture": target}

    def inputs(self, x):
        return uint8_to_signed(x["picture"])

    def terms(self, y, y_pred, training):
        error = ops.abs(y_pred - uint8_to_signed(y["picture"]))
        return {"l1": ops.mean(error, (1, 2, 3))}

    def result(self, x, y_pred):
        return np.clip(np.rint((y_pred + 1) * 127.5), 0, 255).astype("uint8")

    def given_of(self, picture):
        return {"picture": picture}


_ALL = CleanLines, Colorize, Complete, Stylize, Segment, Paint
TASKS = {task.name: task for task in _ALL}
"""The classes of the translations by name."""


def make_task(name: str, network: Mapping[str, Any] | None = None) -> Task:
    """Return a translation.

    Args:
        name: One of `TASKS`.
        network: Arguments of its network that differ from the defaults.

    Raises:
        UserError: If there is none of that name.
    """
    if name not in TASKS:
        raise UserError(f"`task` is one of {', '.join(TASKS)}. Received: {name!r}")
    return TASKS[name](network or {})
