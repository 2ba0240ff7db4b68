import subprocess
import sys

import numpy as np
import pytest
from keras import ops
from skimage.metrics import structural_similarity

from oppai import metrics


def a_picture(seed, size=(24, 21)):
    """Something smooth with noise on it, uint8 RGB."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    waves = np.stack([np.sin(x / 3 + k) * np.cos(y / 4 - k) for k in range(3)], -1)
    noisy = 120 + 90 * waves + rng.normal(0, 12, waves.shape)
    return np.clip(noisy, 0, 255).astype("uint8")


def holes():
    """A rectangle, scattered pixels, a hole at the corner, everything."""
    result = np.zeros((4, 24, 21), bool)
    result[0, 5:17, 6:15] = True
    result[1] = np.random.default_rng(5).random((24, 21)) < 0.3
    result[2, :4, :3] = True
    result[3] = True
    return result


def oracle(truth, restored, hole):
    """scikit-image's SSIM map, and plain definitions, inside the hole."""
    _, similarity = structural_similarity(
        truth,
        restored,
        data_range=255,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    values = zip(truth[hole].ravel(), restored[hole].ravel(), strict=True)
    errors = [int(a) - int(b) for a, b in values]
    square = sum(e * e for e in errors) / len(errors)
    return {
        "l1": sum(abs(e) for e in errors) / len(errors) / 255,
        "psnr": 10 * np.log10(255**2 / square),
        "ssim": similarity[hole].mean(),
    }


TRUTH = [a_picture(i) for i in range(4)]
RESTORED = [a_picture(i + 9) // 2 + a_picture(i) // 2 for i in range(4)]


def test_numpy_figures_equal_scikit_image():
    for truth, restored, hole in zip(TRUTH, RESTORED, holes(), strict=True):
        found = metrics.measure_hole(truth, restored, hole)
        assert found == pytest.approx(oracle(truth, restored, hole), rel=1e-9)


@pytest.mark.parametrize("max_value", [1, 255])
def test_graph_figures_equal_scikit_image(max_value):
    mask = 1.0 - holes()[..., None]
    pictures = [np.stack(p) / 255 * max_value for p in (TRUTH, RESTORED)]
    psnr = metrics.psnr_in_hole(*pictures, mask, max_value=max_value)
    ssim = metrics.ssim_in_hole(*pictures, mask, max_value=max_value)
    expected = [oracle(*case) for case in zip(TRUTH, RESTORED, holes(), strict=True)]
    np.testing.assert_allclose(
        ops.convert_to_numpy(psnr), [e["psnr"] for e in expected], rtol=1e-5
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(ssim), [e["ssim"] for e in expected], atol=2e-5
    )


def test_hand_worked_picture():
    truth = np.full((8, 8, 3), 100, "uint8")
    restored, hole = truth.copy(), np.zeros((8, 8), bool)
    hole[2, 3:5] = True
    restored[2, 3] = 151  # off by 51 = 0.2 of the range in one of two pixels
    restored[7, 7] = 0  # outside the hole, far away: counts for nothing
    found = metrics.measure_hole(truth, restored, hole)
    assert found["l1"] == pytest.approx(0.1)
    assert found["psnr"] == pytest.approx(10 * np.log10(1 / 0.02))
    batch = [p[None] for p in (truth, restored, 1 - hole[..., None])]
    psnr = metrics.psnr_in_hole(*batch, max_value=255)
    assert float(psnr[0]) == pytest.approx(found["psnr"], rel=1e-5)


def test_equal_pictures_and_pictures_without_a_hole_stay_finite():
    truth = np.stack(TRUTH[:2]) / 255
    restored = np.stack([TRUTH[0], RESTORED[1]]) / 255
    mask = np.ones((2, 24, 21, 1))
    mask[0] = 0  # equal everywhere, hole everywhere; the second differs, no hole
    psnr = ops.convert_to_numpy(metrics.psnr_in_hole(truth, restored, mask))
    ssim = ops.convert_to_numpy(metrics.ssim_in_hole(truth, restored, mask))
    np.testing.assert_allclose([psnr, ssim], [[100, 100], [1, 1]], rtol=1e-6)
    found = metrics.measure_hole(TRUTH[0], TRUTH[0], np.ones((24, 21), bool))
    assert found == pytest.approx({"l1": 0, "psnr": 100, "ssim": 1})


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t, r, h: (t, r[:-1], h), "one shape"),
        (lambda t, r, h: (t[..., 0], r[..., 0], h), "one shape"),
        (lambda t, r, h: (t / 255, r, h), "must be uint8"),
        (lambda t, r, h: (t, r, h.astype("uint8") * 255), "must be bool"),
        (lambda t, r, h: (t, r, h[:-1]), "must be bool"),
        (lambda t, r, h: (t, r, h & False), "no hole"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        metrics.measure_hole(*change(TRUTH[0], RESTORED[0], holes()[0]))


def test_evaluation_needs_no_keras():
    code = (
        "import sys, numpy as np, oppai.metrics as m;"
        "a = np.zeros((8, 8, 3), 'uint8'); m.measure_hole(a, a, a[..., 0] == 0);"
        "assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
