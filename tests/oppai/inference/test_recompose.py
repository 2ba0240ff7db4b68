import numpy as np
import pytest

import oppai
from illustkit.samples import draw_character
from oppai.inference.marks import NothingCensoredError, mask_alpha
from oppai.inference.recompose import REACH, Prediction, predict_marked
from tests.oracles import hard_mosaic

BOX = 56, 48, 112, 104


@pytest.fixture(scope="module")
def picture():
    return draw_character(7, (160, 200)).image


@pytest.fixture(scope="module")
def censored(picture):
    return hard_mosaic(picture, BOX, 8)


@pytest.fixture(scope="module")
def found(censored):
    return oppai.find_censored(censored)


def test_what_was_found_is_restored_as_by_restore(censored, found):
    prediction = predict_marked(censored, found.mask, found)
    for blend in (1, 0.5):
        expected = oppai.restore(censored, found=found, blend=blend)
        composed = prediction.compose(censored, blend=blend, feather=3)
        assert np.abs(composed.astype(int) - expected).max() <= (blend < 1)
    assert (prediction.compose(censored, blend=0) == censored).all()


def test_paint_fades_over_the_feather_from_one_prediction(picture):
    mask = np.zeros(picture.shape[:2], np.uint8)
    mask[50:80, 60:90] = 255
    prediction = predict_marked(picture, mask, fill=True, restorer="default")
    pixels = picture.copy()
    left, top, right, bottom = prediction.box
    pixels[top:bottom, left:right] = prediction.pixels
    for feather in (0, 5, REACH):
        alpha = mask_alpha(mask, picture.shape, feather=feather)[..., None] / 255.0
        expected = np.rint(picture + alpha * (pixels.astype(float) - picture))
        composed = prediction.compose(picture, feather=feather)
        assert np.abs(composed - expected).max() <= 1
        assert (composed[alpha[..., 0] == 0] == picture[alpha[..., 0] == 0]).all()


def test_what_was_erased_of_a_found_region_stays(censored, found):
    mask = found.mask.copy()
    mask[:74] = 0
    composed = predict_marked(censored, mask, found).compose(censored)
    changed = (composed != censored).any(-1)
    assert changed[74:].any() and not changed[:74].any()


def test_paint_beyond_a_region_is_restored_with_it(censored, found):
    mask = found.mask.copy()
    mask[BOX[1] - 8 : BOX[3] + 8, BOX[0] - 8 : BOX[2] + 8] = 255
    prediction = predict_marked(censored, mask, found)
    expected = oppai.restore(censored, mask=mask)
    inside = np.s_[BOX[1] : BOX[3], BOX[0] : BOX[2]]
    composed = prediction.compose(censored)
    difference = np.abs(composed.astype(float) - expected)[inside]
    assert difference.mean() < 3  # the widest rim is hidden, not one of 8 pixels


def test_nothing_marked_or_hidden_is_told(picture):
    mask = np.zeros(picture.shape[:2], np.uint8)
    with pytest.raises(NothingCensoredError, match="Nothing is marked"):
        predict_marked(picture, mask)
    mask[20:60, 20:60] = 255
    with pytest.raises(NothingCensoredError, match="shows no mosaic"):
        predict_marked(picture, mask)


def test_the_distance_is_the_only_thing_that_a_feather_needs():
    distance = np.array([[0, 1, 2, 4, np.inf]], np.float32)
    prediction = Prediction((1, 0, 6, 1), np.full((1, 5, 3), 200, np.uint8), distance)
    composed = prediction.compose(np.zeros((1, 6, 3), np.uint8), feather=3)
    assert composed[0, :, 0].tolist() == [0, 200, 150, 100, 0, 0]
