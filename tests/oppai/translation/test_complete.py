"""Holes are drawn, cut out, completed and blended."""

import numpy as np
import pytest

import oppai
from illustkit.errors import UserError
from illustkit.images import write_image
from oppai.translation.fill import blend_poisson, complete
from oppai.translation.hole_task import cut_squares, draw_hole
from oppai.translation.tasks import make_task
from oppai.translation.translate import TranslationModel


def test_a_hole_fits_and_its_square_is_cut_out():
    for seed in range(20):
        hole = draw_hole(16, np.random.default_rng(seed))
        assert hole.shape == (16, 16) and set(np.unique(hole)) <= {0, 255}
        assert hole.mean() > 255 * 0.02
    pictures = np.random.default_rng(0).normal(size=(3, 12, 12, 2)).astype("float32")
    corners = np.array([[0, 0], [6, 2], [3, 6]], "int32")
    squares = np.asarray(cut_squares(pictures, corners))
    for square, picture, (top, left) in zip(squares, pictures, corners, strict=True):
        expected = picture[top : top + 6, left : left + 6]
        np.testing.assert_allclose(square, expected, rtol=1e-6)


class Constant:
    """A network that sees (0.2, 0.4, 0.6) in every hole."""

    multiple = 4

    def __call__(self, inputs, training):
        assert inputs.shape[1] % 4 == 0 == inputs.shape[2] % 4
        return np.broadcast_to(np.float32([0.2, 0.4, 0.6]), (*inputs.shape[:3], 3))


def test_only_holes_are_completed_whatever_their_size(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (120, 90, 3)).astype("uint8")
    model = TranslationModel(Constant(), make_task("complete"), image_size=32)
    mask = np.zeros((120, 90), np.uint8)
    mask[3:9, 4:30], mask[20:110, 10:80] = 255, 255
    result = complete(picture, model, mask=mask, feather=0)
    np.testing.assert_array_equal(result[mask == 0], picture[mask == 0])
    assert np.abs(result[mask > 0].astype(int) - [51, 102, 153]).max() <= 1
    boxes = [(4, 3, 30, 9), (10, 20, 80, 110)]
    np.testing.assert_array_equal(
        complete(picture, model, boxes=boxes, feather=0), result
    )
    write_image(tmp_path / "m.png", np.dstack([mask] * 3))
    write_image(tmp_path / "p.png", picture)
    np.testing.assert_array_equal(
        complete(tmp_path / "p.png", model, mask=tmp_path / "m.png", feather=0), result
    )
    for wrong in ({}, {"boxes": boxes, "mask": mask}, {"mask": mask * 0}):
        with pytest.raises(UserError):
            complete(picture, model, **wrong)
    with pytest.raises(UserError, match="nothing is left"):
        complete(picture, model, mask=mask * 0 + 255)
    with pytest.raises(UserError, match="hole"):
        oppai.translate(picture, model)


def test_blended_gradients_lose_an_offset_of_the_colours():
    """A smooth picture, and a network that makes it 25 levels too light."""
    y, x = np.mgrid[:60, :70]
    truth = np.dstack([60 + x, 80 + y, 100 + (x + y) // 2]).astype("uint8")
    hole = np.zeros((60, 70), np.uint8)
    hole[20:45, 15:50] = 1
    broken = np.where(hole[..., None] > 0, np.uint8(0), truth)
    result = blend_poisson(broken, truth + np.uint8(25), hole)
    np.testing.assert_array_equal(result[hole == 0], truth[hole == 0])
    assert np.abs(result.astype(int) - truth).max() <= 5

    model = TranslationModel(None, make_task("complete"), image_size=128)
    model.predict = lambda x, size: (truth + 25.0) / 255
    options = {"mask": 255 * hole, "feather": 0}
    errors = [
        complete(broken, model, poisson=poisson, **options) - truth.astype(int)
        for poisson in (False, True)
    ]
    assert errors[0][hole > 0].mean() > 20 and np.abs(errors[1]).max() <= 8
