"""Task-aligned assignment: which cells learn which face. All shapes are static."""

from keras import ops


def ciou(a, b):
    """Complete IoU of boxes that stand side by side; shapes broadcast.

    IoU, less the squared distance of the centres over the squared diagonal of the
    enclosing box, less a term for the difference of the aspect ratios.

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
    scores, predicted, centres, boxes, valid, *, top=10, score_power=0.5, iou_power=6.0
):
    """Choose the cells that learn each face, and how certain they ought to be.

    A cell can learn a face whose box its centre lies in. The ten best by
    `score**0.5 * ciou**6` do; where two faces want one cell, the one that the cell's
    box overlaps more has it. A cell's target is that alignment, scaled so that the best
    cell of a face is asked for the best overlap that its cells reach.

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
        `(target, owner)`: the wanted probabilities `(batch, cells)`, 0 for background;
        and the number of the face that a cell learns, int32 `(batch, cells)`,
        meaningless where the target is 0.

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
    # The gradient of `ops.prod` has cumulative products, and shapes found at run time.
    return size[..., 0] * size[..., 1]
