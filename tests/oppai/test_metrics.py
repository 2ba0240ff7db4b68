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


def toy_features(pictures):
    """Five maps of two channels, each half as large, of arrays or tensors alike."""
    x = ops.convert_to_tensor(pictures, "float32")
    taps = []
    for gain in (1.0, 0.3, 2.0, 0.7, 1.5):
        first = ops.relu(gain * x[..., 0] + x[..., 1] + 0.2)
        taps.append(ops.stack([first, ops.relu(x[..., 2] - gain * x[..., 0])], -1))
        x = x[:, ::2, ::2][:, : x.shape[1] // 2, : x.shape[2] // 2]
    return taps


def oracle_distance(truth, prediction, hole):
    """Loops over the taps and positions of one picture."""
    maps = [
        [
            ops.convert_to_numpy(tap)[0].astype("float64")
            for tap in toy_features(p[None])
        ]
        for p in (truth, prediction)
    ]
    total = 0.0
    for block, (x, y) in enumerate(zip(*maps, strict=True)):
        side = 2**block
        above = below = 0.0
        for i, j in np.ndindex(x.shape[:2]):
            pixels = hole[side * i : side * (i + 1), side * j : side * (j + 1)]
            a, b = (v[i, j] / (np.linalg.norm(v[i, j]) + 1e-10) for v in (x, y))
            above += pixels.mean() * np.sum((a - b) ** 2)
            below += pixels.mean()
        total += above / below
    return total


@pytest.mark.parametrize("in_hole", [False, True])
def test_vgg_distance_equals_loops(in_hole):
    rng = np.random.default_rng(3)
    truth, prediction = rng.uniform(-1, 1, (2, 3, 35, 22, 3)).astype("float32")
    holes = np.ones((3, 35, 22), bool)
    if in_hole:  # cut by the pooled pixels, and beyond the last that is pooled
        holes = rng.random(holes.shape) < np.array([0.1, 0.5, 0.9])[:, None, None]
    mask = 1.0 - holes[..., None] if in_hole else None
    distance = metrics.vgg_distance(truth, prediction, mask, features=toy_features)
    expected = [oracle_distance(*c) for c in zip(truth, prediction, holes, strict=True)]
    np.testing.assert_allclose(ops.convert_to_numpy(distance), expected, rtol=1e-5)
    one = metrics.vgg_distance(truth[:1], prediction, features=toy_features)
    each = [oracle_distance(truth[0], p, holes[0] | True) for p in prediction]
    np.testing.assert_allclose(ops.convert_to_numpy(one), each, rtol=1e-5)


def test_vgg_distance_counts_the_hole_alone():
    truth = np.zeros((2, 32, 32, 3), "float32")
    truth[..., :2] = 1  # the first channel of each tap; the second is 0
    other = np.zeros_like(truth)
    other[..., 0], other[..., 1:] = -1, 0  # the second alone, at a right angle
    mask = np.ones((2, 32, 32, 1))
    mask[0, :16] = 0
    changed = np.where(mask == 0, other, truth)
    distance = metrics.vgg_distance(truth, changed, mask, features=toy_features)
    # Squared distance of unit vectors at a right angle: 2 at each of five taps.
    assert ops.convert_to_numpy(distance) == pytest.approx([10, 0])
    whole = metrics.vgg_distance(truth[:1], changed[:1], features=toy_features)
    assert float(whole[0]) == pytest.approx(5)


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
