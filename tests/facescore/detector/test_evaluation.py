import numpy as np
import pytest

from facescore.boxes import Face
from facescore.detector.evaluation import (
    evaluate_detector,
    measure,
    plot_precision_recall,
)
from facescore.detector.results import FOUND, TRUTH, draw_faces
from illustkit.images import read_image, write_image

BOX = (10.0, 10.0, 30.0, 30.0)
FAR = (40.0, 40.0, 60.0, 60.0)


class Told:
    """Finds what it was told, by the grey of the picture."""

    def __init__(self, faces):
        self.faces = faces

    def detect(self, image):
        return self.faces[int(image[0, 0, 0])]


def sample(number, boxes):
    return np.full((64, 64, 3), number, np.uint8), np.reshape(boxes, (-1, 4))


def test_precision_and_recall_by_hand():
    detector = Told([[Face(BOX, 0.9), Face(FAR, 0.3)], [Face(FAR, 0.2)], []])
    samples = [sample(0, [BOX]), sample(1, [FAR]), sample(2, [BOX, FAR])]
    scores, found = measure(samples, detector, conf=0.25)
    assert scores.precision == pytest.approx(1 / 2)  # the third is under `conf`
    assert scores.recall == pytest.approx(1 / 4)
    assert (scores.n_pictures, scores.n_faces) == (3, 4)
    # By confidence: hit, miss, hit, of four faces: precision 1 to recall 1/4, then
    # 2/3 to 1/2. Recalls 0 to 0.25 are 26 of 101, those to 0.5 are 25 more.
    assert scores.ap50 == pytest.approx((26 + 25 * 2 / 3) / 101)
    assert [len(faces) for faces in found] == [2, 1, 0]


def test_boxes_may_be_shrunk_about_their_centres():
    grown = (7.5, 7.5, 32.5, 32.5)  # 1.25 times as large
    samples = [sample(0, [BOX])]
    scores, _ = measure(samples, Told([[Face(grown, 0.9)]]))
    assert scores.ap50_95 == pytest.approx(0.3)  # IoU 0.64
    scores, _ = measure(samples, Told([[Face(grown, 0.9)]]), shrunk=0.8)
    assert scores.ap50_95 == pytest.approx(1.0)


def test_a_folder_is_measured_and_drawn(tmp_path):
    for number, boxes in enumerate(([BOX], [])):
        write_image(tmp_path / "set" / f"{number}.png", sample(number, boxes)[0])
    (tmp_path / "set/0.txt").write_text("0 0.3125 0.3125 0.3125 0.3125\n")
    (tmp_path / "set/1.txt").write_text("")
    detector = Told([[Face(BOX, 0.9)], []])
    path = tmp_path / "s.png"
    scores = evaluate_detector(tmp_path / "set", detector, sheet_path=path)
    assert (scores.ap50, scores.ap50_95) == pytest.approx((1.0, 1.0))
    assert (scores.n_faces, scores.n_pictures) == (1, 2)
    assert read_image(path).shape[1] > 2 * 320
    path = plot_precision_recall({"told": scores, "again": scores}, tmp_path / "pr.png")
    assert read_image(path).std() > 5


def test_boxes_are_drawn_where_they_are():
    image = np.full((64, 64, 3), 128, np.uint8)
    drawn = draw_faces(image, [Face(FAR, 0.5)], [BOX], side=128)
    assert drawn.shape == (128, 128, 3) and (image == 128).all()
    assert tuple(drawn[20, 40]) == TRUTH and tuple(drawn[59, 59]) == TRUTH
    assert tuple(drawn[80, 100]) == FOUND and tuple(drawn[119, 119]) == FOUND
    assert tuple(drawn[40, 40]) == (128, 128, 128)
