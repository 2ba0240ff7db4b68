import cv2
import numpy as np
import pytest

from facescore import boxes as B


def random_boxes(rng, n, integers=False):
    corner, size = rng.uniform(0, 60, (n, 2)), rng.uniform(1, 40, (n, 2))
    found = np.concatenate([corner, corner + size], axis=1)
    return np.rint(found) if integers else found


def iou_of_pixels(a, b):
    """IoU of two integer boxes by counting pixels."""
    sheets = np.zeros((2, 120, 120), bool)
    for sheet, (left, top, right, bottom) in zip(sheets, (a, b), strict=True):
        sheet[int(top) : int(bottom), int(left) : int(right)] = True
    return (sheets[0] & sheets[1]).sum() / max(1, (sheets[0] | sheets[1]).sum())


def nms_by_loop(boxes, scores, iou):
    left, kept = list(range(len(boxes))), []
    while left:
        best = max(left, key=lambda i: scores[i])
        kept.append(best)
        left = [
            i for i in left if i != best and iou_of_pixels(boxes[best], boxes[i]) <= iou
        ]
    return kept


def test_formats_by_hand():
    xyxy = [(10, 20, 30, 60)]
    for name, expected in {
        "xywh": (10, 20, 20, 40),
        "coco": (10, 20, 20, 40),
        "cxcywh": (20, 40, 20, 40),
        "yolo": (0.2, 0.2, 0.2, 0.2),
    }.items():
        size = (100, 200)
        there = B.convert_boxes(xyxy, "xyxy", name, size)
        np.testing.assert_allclose(there, [expected])
        np.testing.assert_allclose(B.convert_boxes(there, name, "xyxy", size), xyxy)
    assert B.convert_boxes([], "xyxy", "xywh").shape == (0, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([(1, 2, 3, 4)], "xyxy", "yolo"), "image_size"),
        (([(1, 2, 3, 4)], "xyxy", "voc"), "Received: 'voc'"),
        (([(1, 2, 3)], "xyxy", "xywh"), "four finite numbers"),
        (([(1, 2, 3, np.nan)], "xyxy", "xywh"), "four finite numbers"),
    ],
)
def test_wrong_boxes_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        B.convert_boxes(*arguments)


def test_iou_counts_pixels():
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 12, integers=True), random_boxes(rng, 9, integers=True)
    b[0] = a[0]
    expected = [[iou_of_pixels(x, y) for y in b] for x in a]
    np.testing.assert_allclose(B.iou_matrix(a, b), expected)
    assert B.iou_matrix([(5, 5, 5, 9)], [(5, 5, 5, 9)]) == 0  # empty, not NaN


@pytest.mark.parametrize("iou", [0.0, 0.3, 0.5, 0.9])
def test_nms_agrees_with_a_loop_and_with_opencv(iou):
    rng = np.random.default_rng(int(10 * iou))
    boxes, scores = random_boxes(rng, 60, True), (rng.permutation(60) + 1) / 60
    kept = B.nms(boxes, scores, iou).tolist()
    assert kept == nms_by_loop(boxes, scores, iou)
    if iou:
        xywh = B.convert_boxes(boxes, "xyxy", "xywh")
        theirs = cv2.dnn.NMSBoxes(xywh.tolist(), scores.tolist(), 0.0, iou)
        assert kept == np.ravel(theirs).tolist()
    assert B.nms(boxes, scores, iou, top=3).tolist() == kept[:3]


def test_nms_of_equal_scores_keeps_the_first():
    same = [(0, 0, 9, 9)] * 3
    assert B.nms(same, [0.5] * 3).tolist() == [0]
    assert B.nms([], []).tolist() == []


def test_shrink_and_clip():
    np.testing.assert_allclose(B.shrink([(0, 0, 20, 40)], 0.5), [(5, 10, 15, 30)])
    clipped = B.clip_boxes([(-5, -5, 5, 5), (90, 0, 120, 9)], (100, 50))
    np.testing.assert_allclose(clipped, [(0, 0, 5, 5), (90, 0, 100, 9)])
    with pytest.raises(ValueError, match="factor"):
        B.shrink([(0, 0, 1, 1)], 0)


def test_a_face_has_defaults():
    assert B.Face((1, 2, 3, 4)) == ((1, 2, 3, 4), 1.0, None)
