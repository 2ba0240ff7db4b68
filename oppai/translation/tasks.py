"""What each translation learns: its pairs, its network, its loss and its result."""

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
from oppai.censoring.masks import irregular_mask
from oppai.data.mosaic_inputs import fill_smoothly
from oppai.models.discriminators import PatchGAN
from oppai.translation.colorization import ColorizationNetwork, enlarge_by_guide
from oppai.translation.completion import (
    CompletionDiscriminator,
    CompletionNetwork,
    ResidualCompletionNetwork,
)
from oppai.translation.fast_style import TwoEncoderStyleTransfer
from oppai.translation.pix2pix import Pix2PixUNet
from oppai.translation.segmentation import FCN8s, UNet
from oppai.translation.sketch import (
    SketchDiscriminator,
    SketchNetwork,
    blacken,
    line_weights,
    roughen,
)
from oppai.translation.style import StyleTransfer, adapt, moments

AB_RANGE = 110.0  # a* and b* of sRGB lie between -108 and 99
# Squares teach a network to draw in grey where it is unsure of a line. What is darker
# than this level is of one more often than not.
LINE_LEVEL, LINE_STEEPNESS = 0.65, 2.0
# Weight of what a mirrored picture's colours differ by, against the colours; chosen by
# the ΔE00 of 7 characters, 7 clip arts and 7 pages of which no figure is reported.
DOUBT = 4.0
FILLED = np.uint8(127)  # the one colour of a hole


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

    def shrunk(
        self, x: Mapping[str, np.ndarray], size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        """Return a large picture's arrays for a size (width, height) to see it at."""
        raise TypeError(f"{type(self).__name__} has no `shrunk(x, size)`")

    def agreed(self, y_pred: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
        """Return one prediction of those for a picture and, turned back, its mirror."""
        raise TypeError(f"{type(self).__name__} has no `agreed(y_pred, mirrored)`")

    def enlarged(
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


class CleanLines(Task):
    """Clean lines from rough sketches; folders hold clean lines."""

    name, learns = "clean", "rough sketches into clean lines"
    channels = (1, 1)
    scales, sees = (1.0, 2.4), 3.0  # a line is one pixel thick here, three there
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

    def shrunk(self, x, size):
        small = cv2.resize(x["grey"], size, interpolation=cv2.INTER_AREA)
        return {"grey": small[..., None]}

    def enlarged(self, y_pred, seen, x):
        height, width = x["grey"].shape[:2]
        if y_pred.shape[:2] == (height, width):
            return y_pred
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

    def shrunk(self, x, size):
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

    def enlarged(self, y_pred, seen, x):
        return enlarge_by_guide(y_pred, seen["grey"], x["grey"])


class Segment(Task):
    """The part that each pixel shows; folders hold pairs.

    With the argument `fcn` the network is `FCN8s`, whose stages each begin from the run
    before: `stride` 32, then 16, then 8.
    """

    name, learns = "segment", "pictures into hair, skin, clothes and background"
    paired, channels, classes = True, (3, 1), True
    scales, sees = (1.0, 1.6), 1.6
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

    def shrunk(self, x, size):
        small = cv2.resize(x["picture"], size, interpolation=cv2.INTER_AREA)
        return {"picture": small}

    def enlarged(self, y_pred, seen, x):
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
        return PatchGAN()

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


class Stylize(Task):
    """The content of one picture in the style of another; folders hold both.

    With the argument `two_encoders` the network sees a style by an encoder of its own.
    """

    name, learns = "stylize", "one picture into the style of another"
    mixes = True
    scales = (1.0, 4.0)  # strokes are seen near and far
    term_weights = {"content": 1.0, "style": 10.0}
    best = ("val_style", "min")
    other = "two_encoders"
    features: Any

    def build(self):
        kind = TwoEncoderStyleTransfer if self.is_other else StyleTransfer
        return kind(**self.arguments)

    def attach(self, network):
        self.features = network.features

    def draw(self, seed, size):
        return None, draw_character(seed, size, HANDS[seed % len(HANDS)]).image

    def sample(self, given, target, rng):
        pictures = {"picture": target, "style": given}
        return pictures, pictures

    def inputs(self, x):
        return [uint8_to_signed(x["picture"]), uint8_to_signed(x["style"])]

    def terms(self, y, y_pred, training):
        content = self.features(uint8_to_signed(y["picture"]))[-1]
        styles = self.features(uint8_to_signed(y["style"]))
        found = self.features(y_pred)
        wanted = adapt(content, styles[-1])
        style = 0
        for own, other in zip(found, styles, strict=True):
            for a, b in zip(moments(own), moments(other), strict=True):
                style = style + ops.mean((a - b) ** 2, (1, 2, 3))
        error = ops.mean((found[-1] - wanted) ** 2, (1, 2, 3))
        return {"content": error, "style": style}

    def shown(self, x, y, y_pred):
        return [x["picture"], x["style"], self.result(x, y_pred)]

    def result(self, x, y_pred):
        return np.clip(np.rint((y_pred + 1) * 127.5), 0, 255).astype("uint8")

    def given_of(self, picture):
        raise UserError("A style is that of a picture: give one to `oppai.stylize`.")


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


def grey_of(picture: np.ndarray) -> np.ndarray:
    """Return the luma of an RGB picture, uint8 `(height, width, 1)`."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]


def as_rgb(picture: np.ndarray) -> np.ndarray:
    """Return a grey or RGB picture as RGB."""
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


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
