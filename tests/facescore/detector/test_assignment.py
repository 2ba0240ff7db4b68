import math

import numpy as np

from facescore.detector.losses import assign, ciou


def ciou_of_one(a, b):
    """The paper's formula for one pair, in plain Python."""
    w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    iou = w * h / (sum(areas) - w * h)
    middles = [((x[0] + x[2]) / 2, (x[1] + x[3]) / 2) for x in (a, b)]
    hull = (
        max(a[2], b[2]) - min(a[0], b[0]),
        max(a[3], b[3]) - min(a[1], b[1]),
    )
    rho = math.dist(*middles) ** 2 / (hull[0] ** 2 + hull[1] ** 2)
    angles = [math.atan((x[2] - x[0]) / (x[3] - x[1])) for x in (a, b)]
    v = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    alpha = v / (1 - iou + v) if v else 0.0
    return iou, iou - rho - alpha * v


def random_boxes(rng, n):
    corner = rng.uniform(0, 40, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(6, 30, (n, 2))], axis=1)


def assign_by_loop(scores, predicted, centres, boxes, valid, top):
    """One picture, cell by cell and face by face."""
    align, overlap = {}, {}
    for f, box in enumerate(boxes):
        for c, (x, y) in enumerate(centres):
            if valid[f] and box[0] < x < box[2] and box[1] < y < box[3]:
                overlap[f, c] = max(0.0, ciou_of_one(box, predicted[c])[1])
                align[f, c] = scores[c] ** 0.5 * overlap[f, c] ** 6
    chosen = set()
    for f in range(len(boxes)):
        mine = [pair for pair in align if pair[0] == f and align[pair] > 0]
        chosen |= set(sorted(mine, key=align.get, reverse=True)[:top])
    owners = {}
    for f, c in chosen:
        if c not in owners or overlap[f, c] > overlap[owners[c], c]:
            owners[c] = f
    target = np.zeros(len(centres))
    for c, f in owners.items():
        mine = [(f, k) for k in owners if owners[k] == f]
        best = max(align[pair] for pair in mine)
        target[c] = align[f, c] / best * max(overlap[pair] for pair in mine)
    return target, owners


def test_ciou_is_the_papers():
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 30), random_boxes(rng, 30)
    b[0], b[1] = a[0], a[1] + 100  # equal, and far apart
    ours = ciou(a.astype("float32"), b.astype("float32"))
    expected = np.transpose([ciou_of_one(*pair) for pair in zip(a, b, strict=True)])
    np.testing.assert_allclose(np.asarray(ours[0]), expected[0], atol=1e-5)
    np.testing.assert_allclose(np.asarray(ours[1]), expected[1], atol=1e-5)


def test_assignment_agrees_with_a_loop():
    rng = np.random.default_rng(1)
    x, y = np.meshgrid(np.arange(4, 64, 8), np.arange(4, 64, 8))
    centres = np.stack([x.ravel(), y.ravel()], axis=1).astype("float32")
    pictures, n_owned, contested = 6, 0, 0
    boxes = np.stack([random_boxes(rng, 5) for _ in range(pictures)]).astype("float32")
    boxes[0, 1] = boxes[0, 0] + 3  # overlapping faces want the same cells
    valid = (np.arange(5) < rng.integers(1, 5, (pictures, 1))).astype("float32")
    valid[0] = 1
    nearest = boxes[:, rng.integers(5, size=len(centres))]
    predicted = (nearest + rng.normal(0, 3, nearest.shape)).astype("float32")
    scores = rng.uniform(0.01, 0.99, (pictures, len(centres))).astype("float32")
    target, owner = assign(scores, predicted, centres, boxes, valid, top=4)
    target, owner = np.asarray(target), np.asarray(owner)
    for i in range(pictures):
        expected, owners = assign_by_loop(
            scores[i], predicted[i], centres, boxes[i], valid[i], 4
        )
        np.testing.assert_allclose(target[i], expected, atol=1e-4)
        for c, f in owners.items():
            assert owner[i, c] == f
        n_owned += len(owners)
        contested += int(valid[i].sum()) * 4 - len(owners)
    assert n_owned > 20 and contested > 0


def test_padding_and_no_faces_change_nothing():
    centres = np.float32([(4, 4), (12, 4)])
    predicted = np.float32([[(0, 0, 8, 8), (8, 0, 16, 8)]])
    boxes, valid = np.float32([[(0, 0, 8, 8), (0, 0, 0, 0)]]), np.float32([[1, 0]])
    scores = np.float32([[0.5, 0.5]])
    target, _ = assign(scores, predicted, centres, boxes, valid)
    np.testing.assert_allclose(np.asarray(target), [[1, 0]], atol=1e-5)
    target, _ = assign(scores, predicted, centres, boxes, 0 * valid)
    np.testing.assert_array_equal(np.asarray(target), [[0, 0]])
