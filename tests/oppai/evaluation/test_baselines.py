import numpy as np
import pytest
from skimage.filters import gaussian
from skimage.restoration import inpaint_biharmonic

from oppai.censoring.censor import add_mosaic
from oppai.evaluation import baselines


def test_baselines_against_the_plain_definitions():
    y, x = np.mgrid[:45, :45] / 45
    waves = [np.sin(5 * x + c) + np.cos(4 * y - c) for c in range(3)]
    truth = np.uint8(127 + 60 * np.stack(waves, axis=-1))
    box = (8, 8, 40, 40)
    censored, mask = add_mosaic(truth, box, block=6, blur_size=0, picture_blur=0)
    assert baselines.keep_censored(censored, mask) is censored

    blurred = baselines.blur_censored(censored, mask, block=6)
    oracle = gaussian(censored, 2, mode="mirror", preserve_range=True, channel_axis=-1)
    assert np.abs(blurred - oracle).max() < 1.5

    means = np.zeros((8, 8, 3), np.float32)  # 45 = 7·6 + 3: the last block is cut
    for i in range(8):
        for j in range(8):
            part = censored[6 * i : 6 * i + 6, 6 * j : 6 * j + 6]
            means[i, j] = part.mean(axis=(0, 1))
    upsampled = baselines.upsample_blocks(censored, mask, block=6)
    assert upsampled.shape == censored.shape
    for point in ((14, 14), (15, 20), (30, 33)):
        assert np.abs(upsampled[point] - bicubic(means, point, 6)).max() <= 1.5
    # On smooth pictures it has to beat the blocks.
    hole = mask > 0
    error = [np.abs(p.astype(int) - truth)[hole].mean() for p in (upsampled, censored)]
    assert error[0] < 0.6 * error[1]


def smooth_case():
    """A smooth picture, whose hole is filled with noise."""
    y, x = np.mgrid[:40, :40] / 40
    waves = [np.sin(3 * x + c) + np.cos(2 * y - c) for c in range(3)]
    truth = np.uint8(127 + 60 * np.stack(waves, axis=-1))
    mask = np.zeros((40, 40), np.uint8)
    mask[14:24, 12:26] = 255
    noise = np.random.default_rng(0).integers(0, 256, truth.shape, np.uint8)
    return truth, np.where(mask[..., None] > 0, noise, truth), mask


@pytest.mark.parametrize(
    "inpaint", [baselines.inpaint_telea, baselines.inpaint_navier_stokes]
)
def test_inpainting_is_near_another_library_s(inpaint):
    truth, censored, mask = smooth_case()
    hole = mask > 0
    filled = inpaint(censored, mask)
    assert (filled[~hole] == censored[~hole]).all()
    biharmonic = 255 * inpaint_biharmonic(truth / 255, hole, channel_axis=-1)
    error = np.abs(filled - biharmonic)[hole].mean()
    assert error < 6  # levels; the noise is 86 away
    # What was in the hole has no influence.
    other = np.where(hole[..., None], 7, censored).astype(np.uint8)
    assert (inpaint(other, mask[..., None]) == filled).all()


def test_each_inpainting_crosses_an_edge_in_its_way():
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, 16:] = 200
    mask = np.zeros((32, 32), np.uint8)
    mask[12:20, 10:22] = 255
    rows = [
        inpaint(picture, mask)[16, 8:24, 0].astype(int)
        for inpaint in (baselines.inpaint_telea, baselines.inpaint_navier_stokes)
    ]
    for row in rows:  # dark on the left, light on the right, rising in between
        assert row[2] < 10 and row[-3] > 180 and (np.diff(row) > -4).all()
    assert np.abs(rows[0] - rows[1]).max() > 20


def bicubic(means, point, block):
    """Keys' kernel with a = −0.75 at one pixel, by hand."""

    def weight(t, a=-0.75):
        t = abs(t)
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0

    y, x = ((p + 0.5) / block - 0.5 for p in point)
    total = 0
    for i in range(int(y) - 1, int(y) + 3):
        for j in range(int(x) - 1, int(x) + 3):
            k, m = np.clip([i, j], 0, 7)
            total = total + weight(y - i) * weight(x - j) * means[k, m]
    return total
