"""The detector's losses: CIoU of boxes, distribution focal loss, cross-entropy."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from facescore.detector.grid import BINS, decode, grid_cells
from facescore.detector.network import DetectorNetwork
from illustkit.training.runs import RunKind
from illustkit.training.trainable import Trainable

DETECTOR = RunKind("detector", frozenset({"widths", "depths", "head"}))


def ciou(a: Any, b: Any) -> tuple[Any, Any]:
    """Compute the IoU and the complete IoU of pairs of boxes; shapes broadcast.

    CIoU is IoU, less the squared distance of the centres over the squared diagonal of
    the enclosing box, less a term for the difference of the aspect ratios.

    Args:
        a: xyxy `(..., 4)`.
        b: xyxy `(..., 4)`.

    Returns:
        `(iou, ciou)`, each `(...)`; `ciou` is at most `iou`, and above -2.

    Reference:
        Zheng et al., "Enhancing Geometric Factors in Model Learning and Inference for
        Object Detection and Instance Segmentation" (2020), equations 8 to 10.
    """
    tiny = 1e-7
    a_size, b_size = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    low = ops.maximum(a[..., :2], b[..., :2])
    high = ops.minimum(a[..., 2:], b[..., 2:])
    shared = _area(ops.maximum(high - low, 0.0))
    union = _area(a_size) + _area(b_size) - shared
    iou = shared / (union + tiny)
    hull = ops.maximum(a[..., 2:], b[..., 2:]) - ops.minimum(a[..., :2], b[..., :2])
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = ops.sum(apart**2, axis=-1) / (ops.sum(hull**2, axis=-1) + tiny)
    angle = [ops.arctan2(s[..., 0], s[..., 1] + tiny) for s in (a_size, b_size)]
    aspect = (4 / 3.141592653589793**2) * (angle[0] - angle[1]) ** 2
    weight = ops.stop_gradient(aspect / (1 - iou + aspect + tiny))
    return iou, iou - distance - weight * aspect


def assign(
    scores: Any,
    predicted: Any,
    centres: Any,
    boxes: Any,
    valid: Any,
    *,
    top: int = 10,
    score_power: float = 0.5,
    iou_power: float = 6.0,
) -> tuple[Any, Any]:
    """Choose the cells that learn each face, and their target probabilities.

    This is task-aligned assignment. A cell can learn a face whose box contains the
    cell's centre. The ten best by `score**0.5 * ciou**6` learn it; a cell that two
    faces chose learns the one that its predicted box overlaps more. A cell's target is
    its alignment, scaled so that the best cell of a face has the best overlap that the
    face's cells reach.

    Args:
        scores: Probabilities `(batch, cells)`.
        predicted: Predicted boxes, xyxy in pixels `(batch, cells, 4)`.
        centres: Centres of the cells in pixels `(cells, 2)`.
        boxes: True boxes `(batch, faces, 4)`, padded.
        valid: 1 for a true box, 0 for padding, `(batch, faces)`.
        top: Cells a face. Defaults to 10.
        score_power: Power of the probability in the alignment. Defaults to 0.5.
        iou_power: Power of the overlap in the alignment. Defaults to 6.

    Returns:
        `(target, owner)`: the target probabilities `(batch, cells)`, 0 for background;
        and the number of the face that a cell learns, int32 `(batch, cells)`, without
        meaning if the target is 0.

    Reference:
        Feng et al., "TOOD: Task-aligned One-stage Object Detection" (2021),
        section 3.3.
    """
    faces = boxes[:, :, None, :]  # (batch, faces, 1, 4)
    sides = ops.concatenate([centres - faces[..., :2], faces[..., 2:] - centres], -1)
    candidate = ops.cast(ops.min(sides, axis=-1) > 1e-6, "float32")
    candidate = candidate * ops.cast(valid, "float32")[:, :, None]
    overlap = ops.maximum(ciou(faces, predicted[:, None])[1], 0.0) * candidate
    align = scores[:, None, :] ** score_power * overlap**iou_power
    top = min(top, align.shape[-1])
    least = ops.top_k(align, top)[0][..., -1:]
    chosen = ops.cast((align >= least) & (align > 0), "float32")
    # One face a cell: among those that chose it, the one with the largest overlap.
    owner = ops.argmax(ops.where(chosen > 0, overlap, -1.0), axis=1)
    chosen = chosen * ops.moveaxis(ops.one_hot(owner, boxes.shape[1]), -1, 1)
    align = align * chosen
    best_align = ops.max(align, axis=-1, keepdims=True)
    best_overlap = ops.max(overlap * chosen, axis=-1, keepdims=True)
    target = ops.max(align * best_overlap / (best_align + 1e-9), axis=1)
    return target, ops.cast(owner, "int32")


def _area(size):
    # The gradient of `ops.prod` has cumulative products, and shapes known at run time.
    return size[..., 0] * size[..., 1]


# Weights of the terms in YOLOv8.
TERM_WEIGHTS = {"box": 7.5, "cls": 0.5, "dfl": 1.5}


@keras.saving.register_keras_serializable(package="facescore")
class FaceDetector(Trainable):
    """A detector network that trains on pictures and their boxes.

    `fit` takes uint8 pictures `(batch, height, width, 3)` with targets float32
    `(batch, faces, 5)`: xyxy in pixels and 1, or five zeros for padding. All shapes
    are static.

    The terms are sums over the cells, divided by the sum of the targets over the whole
    batch (over all replicas; at least 1), times the batch size: their mean over the
    batch is YOLOv8's loss on one device and on many. A face in a crowd counts as much
    as a face alone; dividing by each picture's own sum would not give that.

    Example:
    ```python
    detector = FaceDetector(DetectorNetwork())
    detector.compile(keras.optimizers.AdamW(2e-3))
    detector.fit(batches, shuffle=False)
    ```

    Args:
        network: A `DetectorNetwork`.
        term_weights: Weights of "box", "cls" and "dfl"; `compile(loss_weights=...)`
            changes them. Defaults to 7.5, 0.5 and 1.5.
        **kwargs: Passed to `keras.Model`.

    Reference:
        Ultralytics YOLOv8; Zheng et al. (2020) for CIoU; Li et al. (2020) for DFL.
    """

    def __init__(
        self,
        network: keras.Model,
        term_weights: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(term_weights or TERM_WEIGHTS, **kwargs)
        self.network = network
        self.built = True

    def call(self, pictures, training=False):
        return self.network(pictures, training=training)

    def terms(self, x: Any, y: Any, y_pred: Any, training: bool) -> dict[str, Any]:
        centres, strides = grid_cells((x.shape[2], x.shape[1]))
        boxes, valid = y[..., :4], y[..., 4]
        distances, face = ops.cast(y_pred[..., :-1], "float32"), y_pred[..., -1]
        predicted = decode(distances, centres, strides)
        target, owner = assign(
            ops.stop_gradient(ops.sigmoid(face)),
            ops.stop_gradient(predicted),
            centres,
            boxes,
            valid,
        )
        target, owner = ops.stop_gradient(target), ops.stop_gradient(owner)
        true = ops.take_along_axis(boxes, owner[..., None], axis=1)
        # A cell far from its face has weight 0 in the loss, which must stay finite.
        true = ops.where(target[..., None] > 0, true, ops.stop_gradient(predicted))
        sums = {
            "box": target * (1 - ciou(predicted, true)[1]),
            "cls": ops.binary_crossentropy(target, face, from_logits=True),
            "dfl": target * distribution_loss(distances, true, centres, strides),
        }
        # At least 1 over the whole batch, as in YOLOv8: a batch with hardly a face
        # would count a thousand times otherwise.
        least = 1 / (ops.cast(ops.shape(target)[0], "float32") * replicas())
        total = ops.maximum(mean_over_replicas(ops.mean(ops.sum(target, -1))), least)
        return {name: ops.sum(term, axis=-1) / total for name, term in sums.items()}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            network=keras.saving.serialize_keras_object(self.network),
            term_weights=self.term_weights,
        )
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if "part_weights" in config:  # of version 0.1
            config["term_weights"] = config.pop("part_weights")
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        return cls(network, **config)


def distribution_loss(distances: Any, boxes: Any, centres: Any, strides: Any) -> Any:
    """Compute the distribution focal loss of the distances to each cell's box.

    It is the cross-entropy of the two whole numbers of strides around each true
    distance.

    Args:
        distances: Logits `(batch, cells, 64)`.
        boxes: The box that each cell learns, xyxy in pixels `(batch, cells, 4)`.
        centres: Pixels `(cells, 2)`.
        strides: Pixels `(cells,)`.

    Returns:
        `(batch, cells)`, the mean of the four sides.

    Reference:
        Li et al., "Generalized Focal Loss" (2020), equation 6.
    """
    sides = ops.concatenate([centres - boxes[..., :2], boxes[..., 2:] - centres], -1)
    sides = ops.clip(sides / strides[:, None], 0.0, BINS - 1 - 0.01)
    logits = ops.reshape(distances, (*ops.shape(distances)[:-1], 4, BINS))
    # The weight of bin i is max(0, 1 - |side - i|): two bins share each side.
    weights = ops.maximum(
        1 - ops.abs(sides[..., None] - ops.arange(BINS, dtype="float32")), 0.0
    )
    return -ops.mean(ops.sum(weights * ops.log_softmax(logits, axis=-1), -1), axis=-1)


def mean_over_replicas(value: Any) -> Any:
    """Return the mean of a scalar over the replicas of a `tf.distribute` strategy.

    JAX sees the whole batch already; outside of a replica the value stays.

    Args:
        value: A scalar tensor.
    """
    if keras.backend.backend() != "tensorflow":
        return value
    import tensorflow as tf

    if replicas() == 1:
        return value
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)


def replicas() -> int:
    """Return the number of replicas that share the batch of this step.

    1 outside of a replica, and on JAX, which sees the whole batch.
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def build_detector(
    settings: Mapping[str, Any], *, synchronised: bool = False
) -> FaceDetector:
    """Build the detector that a run's settings describe, untrained.

    Args:
        settings: Dict, as `Run.settings`.
        synchronised: See `DetectorNetwork`.

    Returns:
        A `FaceDetector`.
    """
    widths, depths, head = (settings[name] for name in ("widths", "depths", "head"))
    backbone = settings.get("backbone", "plain")  # runs of before have none
    return FaceDetector(
        DetectorNetwork(
            widths, depths, head, backbone=backbone, synchronised=synchronised
        )
    )
