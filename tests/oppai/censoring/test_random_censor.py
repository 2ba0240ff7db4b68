import numpy as np

from illustkit.samples import draw_face_icon
from oppai.censoring.block_grid import block_means
from oppai.censoring.random_censor import draw_censor, draw_grid


def test_what_is_valid_stays_and_every_kind_comes():
    picture = draw_face_icon(1, 96)
    kinds, rims, grids = set(), set(), []
    for seed in range(120):
        case = draw_censor(picture, np.random.default_rng(seed), jpeg=0)
        valid = case.mask == 0
        assert 0.02 < np.mean(~valid) < 1
        np.testing.assert_array_equal(case.image[valid], picture[valid])
        kinds.add(case.kind)
        rims.add(bool(np.isin(case.mask, (0, 255)).all()))
        assert (case.grid is None) == (case.kind != "mosaic")
        grids.append(case.grid)
    assert kinds == {"mosaic", "light", "white", "black"}
    assert rims == {True, False}
    blocks = [g.block for g in grids if g]
    assert any(x != y for x, y in blocks)
    assert min(min(b) for b in blocks) >= 4
    assert max(max(b) for b in blocks) <= 32


def test_most_mosaics_keep_the_means_of_the_picture():
    picture = draw_face_icon(2, 96)
    errors = []
    for seed in range(60):
        case = draw_censor(picture, np.random.default_rng(seed), mosaics=1, jpeg=0)
        truth, seen = (block_means(p, case.grid) for p in (picture, case.image))
        hole = block_means((case.mask == 255)[..., None], case.grid)[..., 0] > 0.999
        if hole.any():
            errors.append(np.abs(truth - seen)[hole].max())
    # averaged and not blurred before: 72 in 100
    assert 0.55 < np.mean(np.array(errors) < 1) < 0.9


def test_a_jpeg_changes_little():
    picture = draw_face_icon(3, 96)
    case = draw_censor(picture, np.random.default_rng(4), jpeg=1)
    valid = case.mask == 0
    change = np.abs(case.image[valid].astype(int) - picture[valid])
    assert 0 < change.mean() < 8


def test_small_blocks_come_as_often_as_large_ones():
    rng = np.random.default_rng(0)
    blocks = np.array([draw_grid(rng).block[0] for _ in range(2000)])
    # log-uniform from 4 to 32: one octave in three
    assert 0.28 < np.mean(blocks <= 8) < 0.42
