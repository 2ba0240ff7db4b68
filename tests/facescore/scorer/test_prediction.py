import io
import json

import numpy as np
import pytest
from PIL import Image

from facescore.boxes import Face
from facescore.crops import crop_face
from facescore.detector.results import draw_faces
from facescore.scorer.model import Scorer
from facescore.scorer.prediction import score, score_crops
from illustkit.images import read_image, write_image
from tests.facescore.scorer.test_model import Red


class Detector:
    """Finds what it was told."""

    def __init__(self, *faces):
        self.faces = list(faces)

    def detect(self, image):
        return self.faces


@pytest.fixture
def scorer():
    return Scorer(Red(), mean=0.0, scale=1.0, margin=(0.5, 0.25, 0.0), square=False)


@pytest.fixture
def image():
    """Redder from left to right."""
    image = np.zeros((20, 40, 3), "uint8")
    image[..., 0] = np.arange(40) * 6
    return image


def red(crop):
    return crop[0, 0, 0] / 127.5 - 1


def test_each_face_is_scored_with_the_margin_of_the_training(scorer, image):
    faces = [Face((20, 8, 30, 18), 0.9), Face((4, 8, 12, 16), 0.4)]
    found = score(image, scorer=scorer, detector=Detector(*faces))
    assert [(f.box, f.confidence) for f in found] == [
        (f.box, f.confidence) for f in faces
    ]
    for face in found:
        like_training = {"margin": (0.5, 0.25, 0.0), "square": False, "size": (2, 2)}
        crop = crop_face(image, face.box, **like_training)
        assert face.score == pytest.approx(red(crop), abs=1e-6)
    tight = score(
        image, scorer=scorer, detector=Detector(*faces), margin=(0, 0, 0), square=True
    )
    assert tight[0].score == pytest.approx(
        red(crop_face(image, faces[0].box, margin=(0, 0, 0), size=(2, 2))), abs=1e-6
    )
    assert tight[0].score != found[0].score


def test_no_face_no_score_and_whole_pictures_without_a_detector(scorer, image):
    assert score(image, scorer=scorer, detector=Detector()) == []
    (whole,) = score(image, scorer=scorer, detector=None)
    assert whole.box == (0, 0, 40, 20) and whole.confidence == 1
    assert whole.score == score_crops([image], scorer)[0]


def test_scored_faces_know_their_picture_and_show_themselves(scorer, image, tmp_path):
    path = write_image(tmp_path / "a.png", image)
    found = score(path, scorer=scorer, detector=Detector(Face((20, 8, 30, 18), 0.9)))
    (entry,) = json.loads(found.to_json())
    assert entry["score"] == pytest.approx(found[0].score)
    drawn = read_image(found.save(tmp_path / "drawn.png", line_width=1))
    changed = (drawn != image).any(axis=2)
    assert changed[8:18, 20].all() and not changed[:, :4].any()
    unscored = draw_faces(image, [found[0]._replace(score=None)], side=None)
    assert (found.plot() != unscored).any()  # the number beside it is the score
    shown = np.asarray(Image.open(io.BytesIO(found._repr_png_())))
    assert shown.shape == image.shape


def test_crops_of_any_size_come_from_arrays_and_files(scorer, tmp_path):
    flat = [np.full((h, 7, 3), v, "uint8") for h, v in [(2, 0), (9, 255), (5, 51)]]
    path = write_image(tmp_path / "a.png", flat[1])
    found = score_crops([flat[0], path, flat[2]], scorer, batch_size=2)
    np.testing.assert_allclose(found, [-1, 1, -0.6], atol=1e-6)
    assert score_crops([], scorer).shape == (0,)
