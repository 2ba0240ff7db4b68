import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image

import facescore.detector.results
from facescore.boxes import Face
from facescore.crops import crop_face
from facescore.detector.results import FOUND, Faces, draw_faces
from illustkit.images import read_image, write_image

ONE, TWO = Face((8.0, 8.0, 24.0, 24.0), 0.75), Face((30.0, 4.0, 44.0, 20.0), 0.5, 3.5)


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)


def test_faces_are_a_list():
    faces = Faces([ONE, TWO], "a.png")
    assert faces == [ONE, TWO] and [ONE, TWO] == faces and len(faces) == 2
    assert faces[0] == ONE and faces[-1] is TWO and faces + [] == [ONE, TWO]
    assert faces[:1] == [ONE] and faces[:1].image == "a.png"
    assert repr(faces) == repr([ONE, TWO]) and sorted(faces) == [ONE, TWO]
    again = pickle.loads(pickle.dumps(faces))
    assert again == faces and again.image == "a.png"
    assert Faces([(0, 0, 4, 4)]) == [Face((0, 0, 4, 4))] and Faces() == []


def test_faces_draw_cut_and_tell_themselves(picture, tmp_path):
    path = write_image(tmp_path / "a.png", picture)
    for image in (picture, path):
        faces = Faces([ONE, TWO], image)
        drawn = faces.plot(line_width=1, hide_conf=True)
        expected = picture.copy()
        for left, top, right, bottom in ((8, 8, 24, 24), (30, 4, 44, 20)):
            expected[[top, bottom - 1], left:right] = FOUND
            expected[top:bottom, [left, right - 1]] = FOUND
        np.testing.assert_array_equal(drawn, expected)
        assert (faces.plot(line_width=1) != expected).any()  # the confidences
        saved = faces.save(tmp_path / "out" / "b.png", line_width=1, hide_conf=True)
        np.testing.assert_array_equal(read_image(saved), expected)
        tight = {"margin": (0, 0, 0), "size": None}
        crops = faces.crop(**tight)
        np.testing.assert_array_equal(crops[0], picture[8:24, 8:24])
        np.testing.assert_array_equal(crops[1], crop_face(picture, TWO.box, **tight))
    assert json.loads(faces.to_json()) == [
        {"box": [8, 8, 24, 24], "confidence": 0.75},
        {"box": [30, 4, 44, 20], "confidence": 0.5, "score": 3.5},
    ]
    np.testing.assert_array_equal(read_image(path), picture)  # drawn on a copy


def test_a_notebook_shows_the_drawn_picture_no_larger_than_needed(picture, monkeypatch):
    monkeypatch.setattr(facescore.detector.results, "SHOWN", 24)
    for image, size in ((picture, (24, 16)), (picture[:8, :16], (16, 8))):
        shown = Image.open(io.BytesIO(Faces([ONE], image)._repr_png_()))
        assert shown.format == "PNG" and shown.size == size
    assert Faces([ONE])._repr_png_() is None
    with pytest.raises(ValueError, match="know no picture"):
        Faces([ONE]).plot()


def test_lines_grow_with_the_picture_or_as_told():
    image = np.zeros((2000, 2000, 3), np.uint8)

    def thickness(**options):
        drawn = draw_faces(
            image, [Face((500, 500, 1500, 1500))], side=None, hide_conf=True, **options
        )
        return int((drawn[1000, :1000] == FOUND).all(axis=-1).sum())

    assert thickness() in (6, 7)  # 0.3 % of 2000; OpenCV's even lines are one wider
    assert thickness(line_width=1) == 1
    with pytest.raises(ValueError, match="line_width"):
        draw_faces(image, [], line_width=0)
