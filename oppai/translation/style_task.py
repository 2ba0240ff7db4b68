"""What the transfer of styles learns: the content of one picture, another's style."""

from typing import Any

import numpy as np
from keras import ops

from illustkit.errors import UserError
from illustkit.images import uint8_to_signed
from illustkit.samples import HANDS, draw_character
from oppai.translation.fast_style import TwoEncoderStyleTransfer
from oppai.translation.style import StyleTransfer, adapt, moments
from oppai.translation.task import Task


class Stylize(Task):
    """The content of one picture in the style of another; folders hold both.

    With the argument `two_encoders` the network sees a style by an encoder of its own.
    """

    name, learns = "stylize", "one picture into the style of another"
    mixes = True
    scales = (1.0, 4.0)  # strokes are seen near and far
    term_weights = {"content": 1.0, "style": 10.0}
    best = ("val_style", "min")
    clip = 5.0  # where a channel hardly varies, its gradient is large
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
