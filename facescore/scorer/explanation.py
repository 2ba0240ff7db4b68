"""Explain a score: which parts of a face raise it and which lower it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keras import layers, ops

from facescore.boxes import Face, as_face
from facescore.crops import fit_crop
from facescore.scorer.prediction import FaceScorer, as_scorer, score_cut
from facescore.scorer.saliency import (
    ProbedNetwork,
    distinct_maps,
    feature_places,
    grad_cam,
    level_derivatives,
)
from illustkit.errors import UserError
from illustkit.images import read_image, uint8_to_signed, write_image
from illustkit.images.write import save_bytes

METHODS = "dcsm", "grad-cam"
LOWER, HIGHER = "lower", "higher"
FINEST = 12  # steps of features along a side, from which DCSM looks at them
_CONVOLUTIONS = layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D
# What ends the part of a network whose features have a place in the picture.
_ENDS = layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D


@dataclass(frozen=True)
class Explanation:
    """What raises and what lowers the score of one face.

    In a notebook it shows itself: the face, what lowers its score, what raises it.

    Attributes:
        crop: uint8 RGB `(height, width, 3)`, what the scorer saw.
        score: The scorer's score of it.
        targets: Names of the maps: ("lower", "higher"), or of the levels ("1" to "5")
            for a scorer with thresholds, or of the classes.
        maps: float32 `(targets, height, width)`, 0 to 1.
        face: The face in its picture, or `None` for a crop.
    """

    crop: np.ndarray
    score: float
    targets: tuple[str, ...]
    maps: np.ndarray
    face: Face | None = None

    def map(self, target: str) -> np.ndarray:
        """Return one target's map.

        Args:
            target: One of `targets`; "higher" and "lower" are the last and the first.

        Returns:
            float32 `(height, width)`, 0 to 1.

        Raises:
            UserError: If there is no such target.
        """
        ends = {LOWER: 0, HIGHER: len(self.targets) - 1}
        if target in self.targets:
            return self.maps[self.targets.index(target)]
        if target in ends:
            return self.maps[ends[target]]
        raise UserError(
            f"The maps are of {', '.join(self.targets)}. Received: {target!r}"
        )

    def overlay(self, target: str = HIGHER) -> np.ndarray:
        """Draw one target's map over the crop: red raises, blue lowers.

        Args:
            target: See `map`. Defaults to "higher".

        Returns:
            uint8 RGB `(height, width, 3)`.
        """
        share = self.map(target)[..., None]
        share = share / max(float(share.max()), 1e-30)
        colour = (40, 90, 230) if target == LOWER else (230, 40, 40)
        grey = self.crop.mean(axis=-1, keepdims=True) * 0.6 + 100
        tinted = grey * 0.35 + np.array(colour) * 0.65
        return (
            (grey * (1 - share) + tinted * share).round().clip(0, 255).astype("uint8")
        )

    def sheet(self) -> np.ndarray:
        """Return the crop, what lowers its score and what raises it, side by side."""
        return np.hstack([self.crop, self.overlay(LOWER), self.overlay(HIGHER)])

    def save(self, path: str | os.PathLike) -> Path:
        """Write `sheet` as a picture.

        Args:
            path: File to write; its ending names the format.

        Returns:
            The path.
        """
        return Path(write_image(path, self.sheet()))

    def _repr_png_(self) -> bytes:
        from PIL import Image

        return save_bytes("explanation.png", Image.fromarray(self.sheet()), "PNG")


class Explainer:
    """Maps of what a scorer looks at; made once for many faces.

    "dcsm" are distinct class-specific saliency maps: guided back-propagation of each
    target to the inputs of the convolutions, the greatest absolute value over the
    channels, minus the other targets' maps, tanh, the mean over layers and scales.
    "grad-cam" weights the last features that have a place by their mean gradients.

    A regression has two targets: a higher and a lower score. CORAL has one for each
    level `k`, log P(score = k): its thresholds share one number, so that their own maps
    differ by a factor alone, and a difference of two would show nothing; the levels
    below the prediction want it lower, those above want it higher. A network with
    several outputs has one for each.

    The maps are computed in float32 whatever the precision of the training.

    Example:
    ```python
    explainer = Explainer("runs/taste")
    explanation = explainer(crop)
    explanation.map("higher")   # (height, width), 0 to 1
    ```

    Args:
        scorer: A run folder, or what `load_scorer` returned.
        method: "dcsm" or "grad-cam". Defaults to "dcsm".
        scales: Sizes of the face in the picture, relative to the crop; a map is the
            mean of theirs. Defaults to (1,). The paper's networks take pictures of any
            size; here the picture is scaled about its middle within its frame.
        layers: Names of the convolutions before which DCSM looks. Defaults to those
            that see features, not the picture itself, at a step of up to a twelfth of
            its side: coarser ones blur the maps (`benchmarks/explanations.py`).

    Raises:
        UserError: If the method, a layer or a scale is unknown, or the scorer's network
            cannot be taken apart.

    Reference:
        Shimoda and Yanai (2016); Selvaraju et al., "Grad-CAM" (2017), equations 1
        and 2.
    """

    def __init__(
        self,
        scorer: Any,
        method: str = "dcsm",
        *,
        scales: Sequence[float] = (1.0,),
        layers: Sequence[str] | None = None,
    ) -> None:
        if method not in METHODS:
            raise UserError(f"`method` must be one of {METHODS}. Received: {method!r}")
        if not scales or any(not 0.25 <= s <= 4 for s in scales):
            raise UserError(f"`scales` are between 0.25 and 4. Received: {scales}")
        self.scorer = as_scorer(scorer)
        network: Any = getattr(self.scorer, "network", None)
        if not hasattr(network, "inputs"):
            raise UserError(
                "Only a scorer of `facescore.train_scorer` can be explained. "
                f"Received: {type(self.scorer).__name__}"
            )
        self.method, self.scales = method, tuple(float(s) for s in scales)
        outputs = int(network.outputs[0].shape[-1])
        if self.scorer.objective == "coral":
            self.targets = tuple(str(k + 1) for k in range(len(self.scorer.biases) + 1))
        elif outputs == 1:
            self.targets = LOWER, HIGHER
        else:
            self.targets = tuple(str(k + 1) for k in range(outputs))
        places = feature_places(network)
        chosen = _layers_before(network, method, layers, places)
        self._places = [
            places[id(layer.input)] for layer in network.layers if layer.name in chosen
        ]
        self._network = ProbedNetwork(
            network,
            len(self.targets),
            guided=method == "dcsm",
            before=lambda layer: layer.name in chosen,
        )

    def __call__(self, crop: Any, face: Face | None = None) -> Explanation:
        """Explain the score of one crop.

        Args:
            crop: uint8 RGB of any size, or a path; it is scaled to the network's.
            face: Where it was cut from. Defaults to `None`.

        Returns:
            An `Explanation`.
        """
        crop = fit_crop(read_image(crop), self.scorer.image_size)
        score = float(score_cut([crop], self.scorer)[0])
        shape = len(self.targets), *crop.shape[:2]
        maps, weights = np.zeros(shape, "float32"), np.zeros(shape[1:], "float32")
        for scale in self.scales:
            there, seen = _scaled(crop, scale)
            found = self._maps(there)
            back, _ = _scaled(np.moveaxis(found, 0, -1), 1 / scale)
            maps += np.moveaxis(back, -1, 0) * seen
            weights += seen
        maps /= np.maximum(weights, 1e-9)
        return Explanation(crop, score, self.targets, maps, face)

    def _maps(self, crop):
        """Return float32 `(targets, height, width)` of a crop at one scale."""
        picture = ops.convert_to_numpy(uint8_to_signed(crop.astype("float32")))
        gradients, values = self._network.gradients(picture, self._seeds(crop))
        height, width = crop.shape[:2]
        if self.method == "grad-cam":
            return grad_cam(
                values[-1], gradients[-1], (width, height), self._places[-1]
            )
        saliency = [np.abs(gradient).max(axis=-1) for gradient in gradients]
        return distinct_maps(saliency, (width, height), self._places)

    def _seeds(self, crop):
        """Return the derivatives of the targets with respect to the outputs."""
        if self.scorer.objective == "coral":
            logits = ops.convert_to_numpy(self.scorer(crop[None], training=False))[0]
            return level_derivatives(logits.astype("float64"))[:, None].astype(
                "float32"
            )
        if self.targets == (LOWER, HIGHER):
            return np.array([[-1.0], [1.0]], "float32")
        return np.eye(len(self.targets), dtype="float32")


def _layers_before(network, method, names, places):
    """Return the names of the layers before which tensors are probed."""
    if method == "grad-cam":
        ends = [layer.name for layer in network.layers if isinstance(layer, _ENDS)]
        if not ends or names is not None:
            raise UserError(
                "Grad-CAM looks before the layer that flattens the features, and takes "
                f"no `layers`. Received: layers={names}, {len(ends)} such layers"
            )
        return set(ends[-1:])
    pictures = {id(tensor) for tensor in network.inputs}
    found = {
        layer.name: max(step for step, _ in places[id(layer.input)])
        for layer in network.layers
        if isinstance(layer, _CONVOLUTIONS) and id(layer.input) not in pictures
    }
    unknown = sorted(set(names or ()) - set(found))
    if unknown or not found:
        raise UserError(
            f"The convolutions of this network are {', '.join(found) or 'none'}. "
            f"Received: {', '.join(unknown)}"
        )
    if names is not None:
        return set(names)
    most = max(min(network.inputs[0].shape[1:3]) / FINEST, min(found.values()))
    return {name for name, step in found.items() if step <= most}


def _scaled(image, scale):
    """Scale about the middle within the frame, the rim's values beyond it.

    Returns the picture and `(height, width)` of 1 where the *original* stays in sight.
    """
    import cv2

    height, width = image.shape[:2]
    if scale == 1:
        return image, np.ones((height, width), "float32")
    middle = (width - 1) / 2, (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(middle, 0, scale)
    scaled = cv2.warpAffine(
        image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    scaled = scaled.reshape(image.shape)
    y, x = np.ogrid[:height, :width]
    reach = max(scale, 1)
    inside = (np.abs(x - middle[0]) <= middle[0] / reach + 1e-6) & (
        np.abs(y - middle[1]) <= middle[1] / reach + 1e-6
    )
    return scaled, inside.astype("float32")


def explain(
    image: Any,
    scorer: Any,
    *,
    detector: Any = "default",
    method: str = "dcsm",
    scales: Sequence[float] = (1.0,),
    margin: Sequence[float] | None = None,
    square: bool | None = None,
    **options: Any,
) -> list[Explanation]:
    """Find the faces of a picture and explain the score of each.

    Example:
    ```python
    for explanation in facescore.explain("picture.png", "runs/taste"):
        print(explanation.score, explanation.face.box)
        explanation.save("why.png")
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`, or a path.
        scorer: A run folder, what `load_scorer` returned, or an `Explainer`, which
            keeps its own method and scales.
        detector: As in `facescore.score`; `None` takes the whole picture.
        method: "dcsm" or "grad-cam"; see `Explainer`. Defaults to "dcsm".
        scales: See `Explainer`. Defaults to (1,).
        margin: (top, sides, bottom) of the crops. Defaults to that of the training.
        square: Whether crops are square. Defaults to that of the training.
        **options: `confidence`, `iou`, `image_size` and `tile` of `detect_faces`.

    Returns:
        List of `Explanation`, in the order of the detector: best first.

    Raises:
        UserError: If the picture, the scorer or the detector cannot be read, or the
            method is unknown.

    Reference:
        Shimoda and Yanai (2016); seed 002, section 2.3.
    """
    explainer = (
        scorer
        if isinstance(scorer, Explainer)
        else Explainer(scorer, method, scales=scales)
    )
    finder = FaceScorer(
        explainer.scorer, detector, margin=margin, square=square, **options
    )
    picture = read_image(image)
    (faces,) = finder.find([picture])
    explained = []
    for face, crop in zip(faces, finder.crop(picture, faces), strict=True):
        done = explainer(crop)
        face = as_face(face)._replace(score=done.score)
        explained.append(
            Explanation(done.crop, done.score, done.targets, done.maps, face)
        )
    return explained
