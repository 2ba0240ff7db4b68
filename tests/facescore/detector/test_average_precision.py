import contextlib
import io

import numpy as np
import pytest

from facescore.detector.evaluation import average_precision


def random_set(rng):
    """Truths, and predictions near some of them, with ties and empty pictures."""
    predictions, truths = [], []
    for _ in range(rng.integers(1, 6)):
        n = int(rng.integers(0, 6))
        corner, size = rng.uniform(0, 200, (n, 2)), rng.uniform(4, 90, (n, 2))
        true = np.concatenate([corner, corner + size], axis=1)
        near = true[rng.random(n) < 0.8]
        near = np.repeat(near, 2, axis=0) if rng.random() < 0.3 else near
        near = near + rng.normal(0, rng.choice([0.3, 3, 12]), near.shape)
        stray = rng.uniform(0, 100, (rng.integers(0, 4), 4))
        stray[:, 2:] += 100
        found = np.concatenate([near, stray])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        if rng.random() < 0.2:
            true = np.repeat(true, 2, axis=0)  # equal truths tie in every overlap
        scores = rng.random(len(found))
        if rng.random() < 0.5:
            scores = np.round(scores, 1)
        if rng.random() < 0.1:
            found, scores = np.tile(found, (40, 1)), np.tile(scores, 40)  # over 100
        predictions.append((found, scores))
        truths.append(true)
    return predictions, truths


def by_pycocotools(predictions, truths):
    coco_module = pytest.importorskip(
        "pycocotools.coco", reason="pycocotools is not installed: it is the oracle"
    )
    from pycocotools.cocoeval import COCOeval

    def xywh(box):
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    annotations = [
        {"image_id": i + 1, "category_id": 1, "bbox": xywh(b), "iscrowd": 0}
        for i, boxes in enumerate(truths)
        for b in boxes.tolist()
    ]
    for number, annotation in enumerate(annotations):
        annotation["id"] = number + 1
        annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
    results = [
        {"image_id": i + 1, "category_id": 1, "bbox": xywh(b), "score": s}
        for i, (boxes, scores) in enumerate(predictions)
        for b, s in zip(boxes.tolist(), scores.tolist(), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_module.COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i + 1} for i in range(len(truths))],
            "annotations": annotations,
            "categories": [{"id": 1}],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, 0, 0, 2]


def test_equal_to_pycocotools_on_200_random_sets():
    rng = np.random.default_rng(0)
    done = 0
    while done < 200:
        predictions, truths = random_set(rng)
        if not sum(map(len, truths)) or not sum(len(s) for _, s in predictions):
            continue  # pycocotools gives -1, or cannot load the results
        ours = average_precision(predictions, truths)
        theirs = by_pycocotools(predictions, truths)
        np.testing.assert_allclose(ours.precision, theirs, atol=1e-6)
        assert abs(ours.ap50 - theirs[0].mean()) < 1e-6
        assert abs(ours.ap50_95 - theirs.mean()) < 1e-6
        done += 1


def test_by_hand():
    # IoU 0.81: found at 0.5 to 0.8, seven of the ten thresholds.
    result = average_precision([([(0, 0, 9, 9)], [0.8])], [[(0, 0, 10, 10)]])
    assert result.ap50 == pytest.approx(1.0)
    assert result.ap50_95 == pytest.approx(0.7)
    # A surer miss halves the precision at all recalls up to 1/2; the second is unfound.
    predictions = [([(50, 50, 60, 60), (0, 0, 10, 10)], [0.9, 0.8])]
    truths = [[(0, 0, 10, 10), (20, 20, 30, 30)]]
    result = average_precision(predictions, truths, 0.5)
    assert result.ap50 == pytest.approx(0.5 * 51 / 101)
    assert result.n_faces == 2


def test_nothing_found_and_nothing_to_find():
    nothing = ([], [])
    assert average_precision([nothing], [[(0, 0, 1, 1)]]).ap50 == 0.0
    assert np.isnan(average_precision([nothing], [[]]).ap50)
    with pytest.raises(ValueError, match="Received: 1 predictions, 2 truths"):
        average_precision([nothing], [[], []])
