import numpy as np

from oppai.data.mosaic_frames import fill_smoothly


def test_valid_pixels_stay_and_the_rest_nears_the_harmonic_surface():
    rng = np.random.default_rng(0)
    picture = rng.uniform(0, 1, (24, 24, 3)).astype(np.float32)
    missing = np.zeros((24, 24), bool)
    missing[6:18, 5:15] = True
    filled = fill_smoothly(np.where(missing[..., None], np.nan, picture), missing)
    np.testing.assert_array_equal(filled[~missing], picture[~missing])
    exact = np.where(missing[..., None], 0.5, picture)
    for _ in range(3000):  # Jacobi's iteration for the average of eight neighbours
        around = sum(
            np.roll(exact, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)
        )
        exact = np.where(missing[..., None], (around - exact) / 8, picture)
    np.testing.assert_allclose(filled, exact, atol=2e-3)


def test_a_slope_is_continued():
    slope = np.broadcast_to(np.arange(64.0)[None, :, None], (64, 64, 1))
    missing = np.zeros((64, 64), bool)
    missing[16:48, 16:48] = True
    filled = fill_smoothly(np.where(missing[..., None], 0, slope), missing)
    assert np.abs(filled - slope).max() < 0.5


def test_nothing_and_everything_missing():
    picture = np.ones((5, 4, 3), np.float32)
    np.testing.assert_array_equal(fill_smoothly(picture, np.zeros((5, 4), bool)), 1)
    np.testing.assert_array_equal(fill_smoothly(picture, np.ones((5, 4), bool)), 0)
