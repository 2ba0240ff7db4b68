import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import add_blur, add_light, add_mosaic, blend, censor
from oppai.censoring.filters import blur_kernel, gaussian_blur, pixelate
from oppai.censoring.masks import box_mask, irregular_mask


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (50, 61, 3), dtype=np.uint8)


@pytest.fixture
def mask():
    return box_mask((61, 50), (12, 9, 50, 41), blur_size=3)


def mosaic_by_hand(picture, block, origin=(0, 0)):
    """Mean of every block, rounded half up, one block at a time."""
    out = np.empty_like(picture)
    height, width = picture.shape[:2]
    x0, y0 = origin
    for top in range(y0 % block - block, height, block):
        for left in range(x0 % block - block, width, block):
            rows = slice(max(top, 0), max(top + block, 0))
            columns = slice(max(left, 0), max(left + block, 0))
            pixels = picture[rows, columns].reshape(-1, 3).astype(int)
            if len(pixels):
                twice = 2 * pixels.sum(axis=0) + len(pixels)
                out[rows, columns] = twice // (2 * len(pixels))
    return out


def pillow_rectangle(size, rectangle, blur):
    mask = Image.new("L", size, 0)
    left, top, right, bottom = rectangle
    ImageDraw.Draw(mask).rectangle((left, top, right - 1, bottom - 1), fill=255)
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)))


@pytest.mark.parametrize("block", [1, 7, 8, 12, 64])
@pytest.mark.parametrize("origin", [(0, 0), (5, 3), (-2, 70)])
def test_mosaic_is_the_mean_of_each_block(picture, mask, block, origin):
    expected = mosaic_by_hand(picture, block, origin)
    np.testing.assert_array_equal(pixelate(picture, block, origin=origin), expected)

    censored = censor(picture, mask, block=block, picture_blur=0, origin=origin)
    a = mask[..., None] / 255
    exact = picture * (1 - a) + expected * a
    np.testing.assert_array_equal(censored, np.floor(exact + 0.5))


@pytest.mark.parametrize("sigma", [1, 2.5, 5])
def test_blur_is_pillows(sigma):
    x, y = np.meshgrid(np.arange(80), np.arange(70))
    waves = [np.sin(x / 5 + c) * np.cos(y / (7 + c)) for c in range(3)]
    picture = (127.5 + 127 * np.stack(waves, axis=-1)).astype(np.uint8)
    blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma))
    ours = gaussian_blur(picture, sigma).astype(int)
    # Away from the edges, which Pillow repeats anew for each of its three boxes.
    inner = np.s_[20:-20, 20:-20]
    assert np.abs(ours - np.asarray(blurred))[inner].max() <= 2


@pytest.mark.parametrize("sigma", [0.4, 3, 7.3, 20])
@pytest.mark.parametrize("boxes", [1, 3])
def test_a_blur_has_the_standard_deviation_that_was_asked_for(sigma, boxes):
    kernel = blur_kernel(sigma, boxes)
    x = np.arange(len(kernel)) - len(kernel) // 2
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-12)
    assert (kernel * x**2).sum() == pytest.approx(sigma**2)


@pytest.mark.parametrize(
    "filter, pillow",
    # A box of 2·5 + 1 pixels has the variance (11² − 1) / 12 = 10.
    [("gaussian", ImageFilter.GaussianBlur(4)), ("box", ImageFilter.BoxBlur(5))],
)
def test_a_box_is_blurred_as_pillow_blurs(filter, pillow):
    y, x = np.mgrid[:90, :100]
    picture = np.stack([127 + 120 * np.sin((x + c * y) / 9) for c in range(3)], -1)
    picture = picture.astype(np.uint8)
    sigma = 4 if filter == "gaussian" else 10**0.5
    censored = add_blur(
        picture, (30, 20, 80, 70), sigma=sigma, filter=filter, blur_size=0, coverage=1
    )
    assert censored.kind == "blur" and censored.sigma == sigma and censored.grid is None
    expected = np.asarray(Image.fromarray(picture).filter(pillow)).astype(int)
    expected[censored.mask == 0] = picture[censored.mask == 0]
    assert np.abs(censored.image - expected).max() <= 2
    assert (censored.mask == 255).sum() == 50 * 50


@pytest.mark.parametrize("block, sigma", [(9, 4), (2, 6)])
def test_mosaic_blurs_first(block, sigma):
    # Smooth, so that Pillow's rounding after each of its boxes changes little.
    y, x = np.mgrid[:50, :61]
    picture = np.stack([120 + 60 * np.sin((x + c * y) / 9) for c in range(3)], -1)
    picture = picture.astype(np.uint8)
    mask = box_mask((61, 50), (25, 20, 36, 33), blur_size=0)
    blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma))
    expected = mosaic_by_hand(np.asarray(blurred), block).astype(int)
    censored = censor(picture, mask, block=block, picture_blur=sigma)
    np.testing.assert_array_equal(censored[mask == 0], picture[mask == 0])
    assert np.abs(censored - expected)[mask == 255].max() <= 2
    plain = mosaic_by_hand(picture, block).astype(int)
    assert np.abs(plain - expected)[mask == 255].max() > 4


def test_rectangle_is_blurred_as_in_the_chapter():
    # 80 % of a box of 160 is 128; Pillow's blur of 10 makes 178 pixels of it a hole.
    mask = box_mask((256, 256), (48, 48, 208, 208))
    expected = pillow_rectangle((256, 256), (64, 64, 192, 192), 10).astype(int)
    assert np.abs(mask - expected).max() <= 1
    assert (mask[128] > 0).sum() == (expected[128] > 0).sum() == 178
    # Not square, off the middle, at the picture's edge.
    mask = box_mask((200, 120), (30, 20, 130, 60), coverage=1, blur_size=5)
    expected = pillow_rectangle((200, 120), (30, 20, 130, 60), 5)
    assert np.abs(mask - expected.astype(int)).max() <= 1


def test_rim_less_rectangle_is_the_middle_of_the_box():
    mask = box_mask((60, 20), (5, 0, 55, 10), blur_size=0)
    hole = np.zeros((20, 60), bool)
    hole[1:9, 10:50] = True
    np.testing.assert_array_equal(mask, np.where(hole, 255, 0))


@pytest.mark.parametrize(
    "box", [(0, 0, 64, 3), (3, 0, 4, 64), (63, 63, 64, 64), (-9, 5, 20, 5.2)]
)
def test_thin_boxes_are_hidden_too(box):
    mask = box_mask((64, 64), box)
    assert mask.max() > 175
    assert mask.min() == 0


@pytest.mark.parametrize("kind", ["mosaic", "light", "white", "blur"])
def test_valid_pixels_stay_and_the_caller_keeps_his_array(picture, mask, kind):
    before = picture.copy()
    picture.setflags(write=False)
    censored = censor(picture, mask, kind=kind, block=5)
    valid = mask == 0
    assert valid.any() and (mask == 255).any()
    np.testing.assert_array_equal(censored[valid], before[valid])
    assert (censored[mask == 255] != before[mask == 255]).mean() > 0.9
    assert not np.shares_memory(censored, picture)
    np.testing.assert_array_equal(censored, censor(picture, mask, kind=kind, block=5))

    nothing = np.zeros(mask.shape, np.uint8)
    untouched = censor(picture, nothing, kind=kind)
    np.testing.assert_array_equal(untouched, before)
    assert not np.shares_memory(untouched, picture)


def test_light_and_white(picture, mask):
    hole = mask[..., None].astype(float)
    light, its_mask = add_light(picture, (12, 9, 50, 41), blur_size=3, strength=0.5)
    np.testing.assert_array_equal(its_mask, mask)
    expected = np.minimum(picture + np.rint(0.5 * hole), 255)
    np.testing.assert_array_equal(light, expected)
    white = censor(picture, mask, kind="white").astype(float)
    assert np.abs(white - (picture * (255 - hole) / 255 + hole)).max() <= 0.5


def test_what_censors_says_what_it_did(picture):
    censored = add_mosaic(picture, (12, 9, 50, 41), block=7)
    image, mask = censored  # as in version 0.1
    assert image is censored.image and mask is censored.mask
    assert censored.grid == Grid((7, 7)) and censored.kind == "mosaic"
    light = add_light(picture, (12, 9, 50, 41))
    assert light.grid is None and light.kind == "light"
    drawn = irregular_mask((61, 50), np.random.default_rng(0))
    assert drawn.image is None and drawn.mask.shape == (50, 61)


@pytest.mark.parametrize("amount", [1.0, 0.5])
def test_blend_equals_a_loop(amount):
    rng = np.random.default_rng(2)
    picture, filling = rng.integers(0, 256, (2, 4, 5, 3), np.uint8)
    mask = rng.integers(0, 256, (4, 5), np.uint8)
    mask[0, :2] = 0, 255
    for dtype in (np.uint8, np.float32):
        mixed = blend(picture, filling.astype(dtype), mask, amount)
        for place in np.ndindex(4, 5, 3):
            weight = amount * int(mask[place[:2]]) / 255
            exact = (1 - weight) * int(picture[place]) + weight * int(filling[place])
            assert abs(int(mixed[place]) - exact) <= 0.5 + 1e-4
        assert mixed.dtype == np.uint8 and (mixed[0, 0] == picture[0, 0]).all()
    both = blend(picture[None], filling[None], mask[None], amount)
    np.testing.assert_array_equal(both[0], blend(picture, filling, mask, amount))


def test_add_mosaic_hides_a_box_of_any_shape():
    # The book's code took the y offset from the width: 9 times as wide raised an error.
    picture = np.random.default_rng(1).integers(0, 256, (64, 200, 3), dtype=np.uint8)
    censored, mask = add_mosaic(picture, (5, 40, 195, 52), blur_size=2, block=6)
    changed = np.flatnonzero((censored != picture).any(axis=(1, 2)))
    assert 36 <= changed[0] <= 41 and 50 <= changed[-1] <= 55
    assert mask[46, 30:170].min() >= 250


@pytest.mark.parametrize("size", [(64, 64), (40, 24), (7, 5), (2, 1), (1, 1)])
def test_irregular_masks_have_the_ratio(size):
    rng = np.random.default_rng(3)
    n = size[0] * size[1]
    ratios = []
    for feather in [0, 0, 0, 4, 4, 4]:
        mask = irregular_mask(size, rng, hole_ratio=(0.2, 0.3), feather=feather).mask
        assert mask.shape == size[::-1] and mask.dtype == np.uint8
        assert feather or set(np.unique(mask)) <= {0, 255}
        ratios.append((mask > 0).mean())
    slack = max(0.005, 1 / n)
    assert 0.2 - slack <= min(ratios) and max(ratios) <= 0.3 + slack or n == 1
    assert min(ratios) > 0


def test_irregular_masks_follow_the_generator_and_feather_inwards():
    hard, again = (
        irregular_mask((64, 48), np.random.default_rng(5)).mask for _ in "ab"
    )
    np.testing.assert_array_equal(hard, again)
    other = irregular_mask((64, 48), np.random.default_rng(6)).mask
    assert (hard != other).mean() > 0.05
    soft = irregular_mask((64, 48), np.random.default_rng(5), feather=3).mask
    np.testing.assert_array_equal(soft > 0, hard > 0)
    assert ((soft > 0) & (soft < 255)).any()
    softest = irregular_mask((64, 48), np.random.default_rng(5), feather=255).mask
    np.testing.assert_array_equal(softest > 0, hard > 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda p, m: censor(p.astype(float), m),
        lambda p, m: censor(p[..., 0], m),
        lambda p, m: censor(p, m[:-1]),
        lambda p, m: censor(p, m > 0),
        lambda p, m: censor(p, m, kind="paint"),
        lambda p, m: censor(p, m, block=0),
        lambda p, m: censor(p, m, block=2.5),
        lambda p, m: censor(p, m, picture_blur=-1),
        lambda p, m: censor(p, m, kind="light", strength=0),
        lambda p, m: censor(p, m, kind="blur", sigma=0),
        lambda p, m: add_blur(p, (0, 0, 9, 9), filter="median"),
        lambda p, m: add_mosaic(p, (70, 0, 80, 9)),
        lambda p, m: add_mosaic(p, (9, 0, 8, 9)),
        lambda p, m: add_mosaic(p, (0, 0, float("nan"), 9)),
        lambda p, m: add_mosaic(p, (0, 0, 9, 9), coverage=0),
        lambda p, m: add_light(p, (0, 0, 9, 9), blur_size=-1),
        lambda p, m: irregular_mask((9, 9), None, hole_ratio=(0.5, 0.2)),
        lambda p, m: irregular_mask((9, 9), None, feather=-1),
    ],
)
def test_wrong_arguments_are_named(picture, mask, call):
    with pytest.raises(ValueError, match="Received"):
        call(picture, mask)
