"""Deconvolution against a general solver, and against blurs of other libraries."""

import numpy as np
import pytest

from oppai.censoring.filters import blur_kernel
from oppai.inference.deconvolution import deconvolve


def _objective(x, seen, data, kernel, flatness):
    """Return half the squares plus the total variation, and its gradient."""
    from scipy import ndimage

    def blur(a):
        for axis in (0, 1):
            a = ndimage.convolve1d(a, kernel, axis=axis, mode="wrap")
        return a

    x = x.reshape(seen.shape)
    error = data * (blur(x) - seen)
    right, down = np.roll(x, -1, 1) - x, np.roll(x, -1, 0) - x
    length = np.sqrt(right**2 + down**2 + 1e-4)
    gradient = blur(error)
    for slope, axis in ((right / length, 1), (down / length, 0)):
        gradient += flatness * (np.roll(slope, 1, axis) - slope)
    return (error**2).sum() / 2 + flatness * length.sum(), gradient.ravel()


def test_it_finds_what_a_general_solver_finds():
    from scipy import ndimage, optimize

    n, kernel, flatness = 19, blur_kernel(1.5), 0.5
    truth = np.full((n, n), 60.0)
    truth[4:12, 6:15] = 200
    seen = truth
    for axis in (0, 1):
        seen = ndimage.convolve1d(seen, kernel, axis=axis, mode="nearest")
    seen = np.rint(seen)
    x, _ = deconvolve(
        seen[..., None], np.ones((n, n), bool), kernel, flatness=flatness, steps=1500
    )
    # It works on a circle that is longer by the kernel's reach, where nothing counts.
    size = n + len(kernel) // 2 + 2
    assert size == 27  # a fast length: nothing more is added
    wide = np.pad(seen, (0, size - n), mode="edge")
    data = np.pad(np.ones((n, n)), (0, size - n))
    best = optimize.minimize(
        _objective,
        wide.ravel(),
        (wide, data, kernel, flatness),
        jac=True,
        bounds=[(0, 255)] * size**2,
        options={"maxiter": 3000, "maxfun": 6000},
    )
    found = best.x.reshape(size, size)[:n, :n]
    np.testing.assert_allclose(x[..., 0], found, atol=2)
    assert np.abs(x[..., 0] - truth).mean() < np.abs(seen - truth).mean() / 3


@pytest.mark.parametrize(("sigma", "gain"), [(2.0, 4.0), (4.0, 2.8)])
def test_what_pillow_blurred_becomes_sharp(sigma, gain):
    from PIL import Image, ImageFilter

    from illustkit.samples import draw_character

    truth = draw_character(9, (160, 226)).image[30:150]
    blurred = Image.fromarray(truth).filter(ImageFilter.GaussianBlur(sigma))
    seen = np.asarray(blurred, np.float32)
    data = np.ones(seen.shape[:2], bool)
    x, again = deconvolve(seen, data, blur_kernel(sigma), steps=120)
    inner = np.s_[12:-12, 12:-12]
    before, after = (np.square(a - truth)[inner].mean() for a in (seen, x))
    assert 10 * np.log10(before / after) > gain
    # It explains what is seen, to about a level.
    assert np.abs(again - seen)[inner].mean() < 1


def test_the_blurred_result_is_the_kernels_of_the_result():
    rng = np.random.default_rng(0)
    seen = rng.uniform(0, 255, (24, 30, 2)).astype(np.float32)
    kernel = blur_kernel(1.2)
    x, again = deconvolve(seen, np.ones((24, 30), bool), kernel, steps=400)
    reach = len(kernel) // 2
    wanted = np.zeros((24 - 2 * reach, 30 - 2 * reach, 2))
    for i, down in enumerate(kernel):
        for j, across in enumerate(kernel):
            rows = slice(i, i + len(wanted))
            wanted += down * across * x[rows, j : j + wanted.shape[1]]
    np.testing.assert_allclose(again[reach:-reach, reach:-reach], wanted, atol=1)


def test_a_plain_picture_stays():
    seen = np.full((20, 24, 3), 93, np.float32)
    x, again = deconvolve(seen, np.ones((20, 24), bool), blur_kernel(2.0))
    np.testing.assert_allclose(x, 93, atol=1e-2)
    np.testing.assert_allclose(again, 93, atol=1e-2)


def test_pixels_without_data_do_not_count():
    seen = np.full((24, 24, 1), 50, np.float32)
    data = np.ones((24, 24), bool)
    seen[8:16, 8:16], data[8:16, 8:16] = 250, False
    x, _ = deconvolve(seen, data, blur_kernel(1.5), steps=600)
    assert np.abs(x - 50).max() < 3
