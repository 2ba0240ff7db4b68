"""Begin a scorer with learnt features: a head in closed form, or given convolutions."""

import itertools
import os
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from facescore.efficientnet_lite import give_weights, shipped_features
from facescore.scorer.networks import TransferNet
from facescore.scorer.networks.backbones import IMAGENET, LITE0, begin_with_application
from facescore.scorer.ridge import ridge
from illustkit.errors import UserError, reading
from illustkit.files import expand_user
from illustkit.images import uint8_to_signed
from illustkit.tensors import read_tensors

MOST = 2000  # crops that the head is solved for; its matrix has twice as many rows
BATCH = 32
# From a standardised score to the logit of a threshold: of the logistic distribution
# whose deviation is 1.
LOGIT = np.pi / 3**0.5
# Of the head. Of fifty ratings a stronger one seemed best by chance now and then, and
# ordered other faces worse (Spearman .38, not .42: eight draws of 50 drawn characters).
STRENGTHS = 10.0 ** np.arange(-4, 0.1, 0.5)


def features_of(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Compute ImageNet's features of pictures, those that `transfer` begins with.

    Example:
    ```python
    features_of([np.zeros((160, 160, 3), np.uint8)]).shape   # (1, 9600)
    ```

    Args:
        pictures: Iterable of uint8 `(160, 160, 3)`; 32 are held at a time.

    Returns:
        float32 `(n, 9600)`.
    """
    network = TransferNet()
    give_weights(network, shipped_features())
    seen = keras.Model(network.inputs[0], network.get_layer("features").output)
    found: list[np.ndarray] = []
    remaining = iter(pictures)
    while part := list(itertools.islice(remaining, BATCH)):
        filled = np.stack(part + part[-1:] * (BATCH - len(part)))  # one shape
        values = seen.predict_on_batch(uint8_to_signed(filled.astype("float32")))
        found.append(np.asarray(values, "float32")[: len(part)])
    width = seen.output_shape[-1]
    return np.concatenate([np.zeros((0, width), "float32"), *found])


def begin_with_features(
    scorer: Any,
    pictures: Any,
    scores: np.ndarray,
    start_from: str | os.PathLike | None = None,
) -> float:
    """Give a scorer learnt features, and the head that fits its crops best.

    Every crop counts twice, as it is and mirrored.

    Args:
        scorer: A `Scorer` whose network is a `TransferNet`.
        pictures: uint8 crops `(n, height, width, 3)` of the network's size; may be
            stored ones.
        scores: Their scores, 1 to 5.
        start_from: See `begin_with_application`, for another backbone than that of the
            package. Defaults to ImageNet's weights.

    Returns:
        The strength of the ridge regression.
    """
    network = scorer.network
    if network.backbone == LITE0:
        give_weights(network, shipped_features())
    else:
        begin_with_application(network, start_from or IMAGENET)
    seen = keras.Model(network.inputs[0], network.get_layer("features").output)
    chosen = np.arange(len(scores))
    if len(chosen) > MOST:
        chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:MOST])
    features = []
    for start in range(0, len(chosen), 32):
        part = [pictures[int(i)] for i in chosen[start : start + 32]]
        filled = np.stack(part + part[-1:] * (32 - len(part)))  # one shape
        for view in (filled, filled[:, :, ::-1]):
            found = seen.predict_on_batch(uint8_to_signed(view.astype("float32")))
            features.append(np.asarray(found, "float32")[: len(part)])
    # The rows of a part, then those of its mirrored crops.
    parts = [np.arange(len(chosen))[i : i + 32] for i in range(0, len(chosen), 32)]
    order = np.concatenate([np.tile(part, 2) for part in parts])
    pairs = np.argsort(order, kind="stable").reshape(-1, 2)
    chosen = chosen[order]
    targets = (np.asarray(scores, float)[chosen] - scorer.mean) / scorer.scale
    if scorer.objective == "coral":
        targets = targets * LOGIT
    weights = None
    if scorer.score_weights is not None:
        levels = np.asarray(scores, int)[chosen] - 1
        weights = np.asarray(scorer.score_weights)[levels]
    kernel, bias, strength = ridge(
        np.concatenate(features),
        targets,
        STRENGTHS,
        weights,
        blocks=network.feature_blocks,
        places=network.place_covariance,
        groups=pairs,
    )
    network.get_layer("score").set_weights([kernel[:, None], np.array([bias])])
    return strength


def read_layers(path: str | os.PathLike) -> dict[str, list[np.ndarray]]:
    """Read the weights of layers by the layers' names.

    Args:
        path: A `.weights.h5` that Keras wrote, or an `.npz` whose arrays are named
            `conv1/kernel` and `conv1/bias`, or `conv1/W` and `conv1/b` as Chainer names
            and orders them: `(out, in, y, x)`.

    Returns:
        Dict from a layer's name to [kernel `(y, x, in, out)`, bias].

    Raises:
        UserError: If the file is missing, cannot be read or is of another kind.
    """
    path = expand_user(path)
    found: dict[str, dict[int, np.ndarray]] = {}
    if path.suffix == ".npz":
        for key, value in read_tensors(path).items():
            name, _, part = key.rpartition("/")
            if part == "W" and value.ndim == 4:
                value = value.transpose(2, 3, 1, 0)
            number = {"kernel": 0, "W": 0, "bias": 1, "b": 1}.get(part)
            if number is not None:
                found.setdefault(name.rpartition("/")[2], {})[number] = value
    elif path.suffix == ".h5":
        import h5py

        def visit(name, item):
            if name.endswith("/vars") and len(item):
                stored = {int(number): np.asarray(item[number]) for number in item}
                found[str(item.attrs["name"])] = stored

        with reading(path, "Give a .weights.h5 that Keras wrote."):
            with h5py.File(path) as file:
                file.visititems(visit)
    else:
        raise UserError(f"{path}: is neither an .npz nor a .weights.h5.")
    return {name: [parts[i] for i in sorted(parts)] for name, parts in found.items()}


def begin_with_convolutions(
    network: keras.Model,
    weights: Mapping[str, list[np.ndarray]],
    source: str | os.PathLike,
) -> None:
    """Give the convolutions of a network the weights of the layers of their names.

    Args:
        network: A network with layers `conv1`, ..., such as `AlexNet`.
        weights: What `read_layers` returned; other layers in it are left out.
        source: The file, for the messages.

    Raises:
        UserError: If a convolution is missing there, or has another shape.
    """
    own = [layer for layer in network.layers if isinstance(layer, layers.Conv2D)]
    for layer in own:  # all are checked before one is changed
        if layer.name not in weights:
            raise UserError(
                f"{source}: has no layer {layer.name}. The network's are "
                f"{', '.join(layer.name for layer in own)}."
            )
        given = [tuple(value.shape) for value in weights[layer.name]]
        needed = [tuple(weight.shape) for weight in layer.weights]
        if given != needed:
            raise UserError(
                f"{source}: the weights of {layer.name} have the shapes {given}, and "
                f"the network needs {needed}. Give weights of this network."
            )
    for layer in own:
        layer.set_weights(weights[layer.name])
