"""Write a detector or a scorer as an ONNX or TFLite file, which runs without Keras."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from facescore.detector.grid import BINS, STRIDES
from facescore.detector.network import fold_normalisation
from facescore.detector.prediction import DEFAULT, as_detector, load_network
from facescore.exported import BOXES, CONFIDENCES, DETECTOR, SCORE, SCORER
from facescore.scorer.prediction import as_scorer
from illustkit.errors import UserError
from illustkit.exported import check_export, export_network
from illustkit.images import uint8_to_signed
from illustkit.options import check_number
from illustkit.runtime import precision

IMAGE_SIZE = 640  # of a TFLite file


def export_detector(
    detector: Any,
    path: str | os.PathLike[str],
    *,
    image_size: int | Sequence[int] | None = None,
) -> Path:
    """Export a detector's network, for ONNX Runtime or LiteRT.

    The file computes in float32 and needs neither Keras nor this package;
    `facescore.detect_faces(picture, "faces.onnx")` starts in a second.

    | | name | shape | |
    |-|-|-|-|
    | input | `picture` | (n, height, width, 3) | uint8 RGB, sides multiples of 32 |
    | output | `boxes` | (n, cells, 4) | left, top, right, bottom, pixels of the input |
    | output | `confidences` | (n, cells) | 0 to 1 |

    A box stands for each cell of the three grids: keep the confident ones, then
    suppress those that overlap (`facescore.boxes.nms`).

    Example:
    ```python
    facescore.export_detector("default", "faces.onnx")
    faces = facescore.detect_faces("picture.png", "faces.onnx")
    ```

    Args:
        detector: "default", a run folder, a `Run`, or what `load_detector` returned.
        path: The file to write, `.onnx` or `.tflite`; an existing file is replaced
            once the new one is whole. The folder must exist.
        image_size: Side of the pictures in pixels, or (width, height), multiples of
            32, for a file of one size. Defaults to any number and size of pictures for
            ONNX, and to one picture of 640 for TFLite.

    Returns:
        The path.

    Raises:
        UserError: If the detector has no network, the size is no multiple of 32, the
            suffix is another, the folder or a package is missing, or Keras runs on
            another backend than TensorFlow, which no exporter supports.
    """
    path = check_export(path)
    if image_size is None and path.suffix.lower() == ".tflite":
        image_size = IMAGE_SIZE
    size = None if image_size is None else _checked(image_size)
    about = {
        "network": DETECTOR,
        "image_size": size,
        "colours": "RGB, 0 to 255",
        "outputs": [BOXES, CONFIDENCES],
    }
    return export_network(_with_boxes(_network_of(detector), size), path, about)


def _checked(size):
    sides = [size, size] if isinstance(size, int) else list(size)
    for side in sides:
        check_number("image_size", side, whole=True, least=32)
        if side % 32:
            raise UserError(f"`image_size` is a multiple of 32. Received: {side}")
    if len(sides) != 2:
        raise UserError(f"`image_size` is a side or (width, height). Received: {sides}")
    return sides


def _network_of(detector):
    if isinstance(detector, str) and detector == DEFAULT:
        return fold_normalisation(load_network(detector))
    # The cascade would be fetched before it could be refused.
    opened = None if detector == "cascade" else as_detector(detector)
    network = getattr(opened, "network", None)
    if not hasattr(network, "normalise"):
        raise UserError(
            "Only a trained detector is exported: name default, or the folder of a run."
        )
    return fold_normalisation(network) if network.normalise else network


def _with_boxes(network, size):
    """Return a float32 model from pictures to the boxes of all cells."""
    width, height = size or (None, None)
    shape = (None if size is None else 1, height, width, 3)
    with precision("float32"):
        picture = keras.Input(batch_shape=shape, dtype="uint8", name="picture")
        heads = keras.Model(
            network.inputs,
            [
                network.get_layer(f"head{stride}_{part}").output
                for stride in STRIDES
                for part in ("box", "face")
            ],
        )(picture)
        boxes, confidences = [], []
        for stride, box, face in zip(STRIDES, heads[::2], heads[1::2], strict=True):
            # Sums of ones are the numbers of the columns and rows, at any size.
            ones = ops.ones_like(face)
            x, y = (ops.cumsum(ones, axis) - 0.5 for axis in (2, 1))
            centres = layers.Reshape((-1, 4))(ops.concatenate([x, y, x, y], -1))
            bins = ops.softmax(layers.Reshape((-1, 4, BINS))(box), axis=-1)
            sides = ops.sum(bins * np.arange(BINS, dtype="float32"), axis=-1)
            outwards = np.array([-1, -1, 1, 1], "float32")
            boxes.append((centres + sides * outwards) * float(stride))
            confidences.append(layers.Reshape((-1,))(ops.sigmoid(face)))
        outputs = {
            BOXES: ops.concatenate(boxes, axis=1),
            CONFIDENCES: ops.concatenate(confidences, axis=1),
        }
        return keras.Model({"picture": picture}, outputs)


def export_scorer(scorer: Any, path: str | os.PathLike[str]) -> Path:
    """Export a scorer, for ONNX Runtime or LiteRT.

    The file computes in float32 and needs neither Keras nor this package.
    `facescore.score(picture, scorer="taste.onnx", detector="faces.onnx")` scores with
    it: the file knows how a face is cut out.

    | | name | shape | |
    |-|-|-|-|
    | input | `picture` | (n, height, width, 3) | uint8 RGB crops of its size |
    | output | `score` | (n,) | 1 to 5; a regression may go a little beyond |

    A TFLite file takes one picture at a time.

    Example:
    ```python
    facescore.export_scorer("runs/taste", "taste.onnx")
    faces = facescore.score("picture.png", scorer="taste.onnx", detector=detector)
    ```

    Args:
        scorer: A run folder, a `Run`, or what `load_scorer` returned.
        path: As in `facescore.export_detector`.

    Returns:
        The path.

    Raises:
        UserError: If the scorer cannot be read, the suffix is another, the folder or a
            package is missing, or Keras runs on another backend than TensorFlow.
    """
    path = check_export(path)
    scorer = as_scorer(scorer)
    if not hasattr(scorer, "objective"):
        raise UserError("Only a trained scorer is exported: name the folder of a run.")
    about = {
        "network": SCORER,
        "image_size": list(scorer.image_size),
        "margin": list(scorer.margin),
        "square": scorer.square,
        "colours": "RGB, 0 to 255",
        "outputs": [SCORE],
    }
    alone = path.suffix.lower() == ".tflite"
    return export_network(_with_scores(scorer, 1 if alone else None), path, about)


def _with_scores(scorer, batch):
    """Return a float32 model from crops to scores of 1 to 5."""
    width, height = scorer.image_size
    trained = scorer.network
    with precision("float32"):
        config = {**trained.get_config(), "dtype": "float32"}
        network = type(trained).from_config(config)
        network.set_weights(trained.get_weights())
        shape = (batch, height, width, 3)
        picture = keras.Input(batch_shape=shape, dtype="uint8", name="picture")
        value = network(uint8_to_signed(picture))
        if scorer.thresholds is None:
            score = value[:, 0] * scorer.scale + scorer.mean
        else:  # the expected score, as in `coral_scores`
            offsets = np.asarray(scorer.thresholds.offsets, "float32")
            score = 1 + ops.sum(ops.sigmoid(value + offsets), axis=-1)
        if scorer.calibration is not None:
            score = _calibrated(score, scorer.calibration)
        return keras.Model({"picture": picture}, {SCORE: score})


def _calibrated(score, knots):
    """Return `calibrate`'s map as a sum of hinges: a knot changes the slope."""
    x, y = np.transpose(knots)
    slopes = np.concatenate([[1.0], np.diff(y) / np.diff(x), [1.0]])
    hinges = ops.relu(score[:, None] - x.astype("float32"))
    bends = ops.sum(hinges * np.diff(slopes).astype("float32"), axis=-1)
    return score + float(y[0] - x[0]) + bends
