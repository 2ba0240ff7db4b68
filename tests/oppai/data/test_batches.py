import numpy as np
import pytest

from oppai.data.batches import CensoredCrops, CensoredPatches
from oppai.data.dataset import Patches

N, SIDE = 6, 48


@pytest.fixture
def patches():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 200, (N, SIDE, SIDE, 3), dtype=np.uint8)
    boxes = np.array([[4, 8, 30, 40], [10, 2, 46, 20]] * 3, np.int32)
    return Patches(truth, boxes, [f"{i}.png" for i in range(N)])


def draw(patches, epoch=0, index=0, **kwargs):
    kwargs = {"batch_size": 3, "blur_sizes": (2, 2), "lookahead": 0, **kwargs}
    batches = CensoredPatches(patches, **kwargs)
    batches.epoch = epoch
    (censored, mask), truth = batches[index]
    return censored, mask, truth


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", ["mosaic", "light", "white", "irregular"])
def test_a_batch_is_the_truth_but_for_the_hole(patches, kind):
    censored, mask, truth = draw(patches, kinds=(kind,), blocks=(4, 9))
    assert censored.shape == truth.shape == (3, SIDE, SIDE, 3)
    assert mask.shape == (3, SIDE, SIDE, 1)
    assert {a.dtype for a in (censored, mask, truth)} == {np.dtype(np.uint8)}
    valid = mask[..., 0] == 255
    assert (0.1 < valid.mean(axis=(1, 2))).all()
    assert ((mask[..., 0] < 255).mean(axis=(1, 2)) > 0.05).all()
    np.testing.assert_array_equal(censored[valid], truth[valid])
    assert (censored != truth)[mask[..., 0] < 40].mean() > 0.9
    if kind != "mosaic":
        np.testing.assert_array_equal(censored[mask[..., 0] == 0], 255)


def test_the_mirror_takes_the_box_along(patches):
    n_mirrored = 0
    for epoch in range(8):
        _, mask, truth = draw(
            patches, epoch, shuffle=False, batch_size=N, blur_sizes=(0, 0), coverage=1
        )
        for i in range(N):
            mirrored = not np.array_equal(truth[i], patches.patches[i])
            n_mirrored += mirrored
            seen = truth[i, :, ::-1] if mirrored else truth[i]
            np.testing.assert_array_equal(seen, patches.patches[i])
            left, top, right, bottom = patches.boxes[i]
            expected = np.full((SIDE, SIDE), 255)
            expected[top:bottom, left:right] = 0
            hole = mask[i, :, ::-1, 0] if mirrored else mask[i, :, :, 0]
            np.testing.assert_array_equal(hole, expected)
    assert 12 < n_mirrored < 36
    _, _, truth = draw(patches, shuffle=False, batch_size=N, flip=False)
    np.testing.assert_array_equal(truth, patches.patches)


def test_every_epoch_draws_anew_and_comes_back(patches):
    options = {"kinds": ("mosaic", "irregular"), "blocks": (4, 9)}
    assert same(draw(patches, 1, **options), draw(patches, 1, **options))
    assert not same(draw(patches, 1, **options), draw(patches, 2, **options))
    assert not same(draw(patches, 1, **options), draw(patches, 1, seed=1, **options))


def test_fixed_batches_never_change(patches):
    options = {"kinds": ("mosaic", "irregular"), "blocks": (4, 9), "fixed": True}
    assert same(draw(patches, 0, **options), draw(patches, 7, **options))
    # The batch size makes no difference either.
    both = [draw(patches, index=i, **options) for i in range(2)]
    joined = [np.concatenate(parts) for parts in zip(*both, strict=True)]
    assert same(joined, draw(patches, batch_size=N, **options))
    np.testing.assert_array_equal(joined[2], patches.patches)


def test_blocks_and_grid_stay_in_their_range(patches):
    options = {"blur_sizes": (0, 0), "picture_blur": 0, "flip": False, "coverage": 1}

    def edges(**kwargs):
        """Columns at which a block of the second patch begins, over some epochs."""
        found = []
        for epoch in range(12):
            batch = draw(patches, epoch, shuffle=False, **options, **kwargs)
            inside = batch[0][1, 2:20, 10:46].astype(int)
            steps = np.abs(np.diff(inside, axis=1)).max(axis=(0, 2)) > 0
            found.append(np.flatnonzero(steps) + 11)
        return found

    assert all((e == np.arange(16, 46, 8)).all() for e in edges())
    widths = {int(w) for e in edges(blocks=(4, 6)) for w in np.diff(e)}
    assert widths == {4, 5, 6}
    starts = {int(e[0]) % 8 for e in edges(shift_grid=True)}
    assert len(starts) > 3


def test_views_of_some_pictures_serve_as_well(patches):
    some = patches.select(["1.png", "4.png"])
    _, _, truth = draw(some, batch_size=2, fixed=True)
    np.testing.assert_array_equal(truth, patches.patches[[1, 4]])


@pytest.mark.parametrize(
    "options",
    [
        {"kinds": "mosaic"},
        {"kinds": ("paint",)},
        {"kinds": ()},
        {"blocks": (9, 4)},
        {"blocks": (0, 4)},
        {"blur_sizes": (5, 2)},
    ],
)
def test_wrong_options_are_named(patches, options):
    with pytest.raises(ValueError, match="Received"):
        CensoredPatches(patches, batch_size=2, **options)


def test_crops_of_pictures_of_a_pixel_or_a_line():
    shapes = (1, 1, 3), (1, 5000, 3), (5000, 1, 3), (2, 3, 3)
    pictures = [np.full(shape, 90, np.uint8) for shape in shapes]
    batches = CensoredCrops(pictures, 1, 8, patch=32, seed=1)
    inputs, truth = batches[0]
    assert truth.shape == (8, 32, 32, 3)
    assert all(np.isfinite(array).all() for array in inputs.values())


def test_crops_show_pictures_at_three_scales_and_keep_each_picture_once():
    y, x = np.mgrid[:160, :200].astype(np.uint8)
    picture = np.stack([x, y, np.zeros_like(x)], -1)
    batches = CensoredCrops([picture], 1, 1, patch=32)
    assert [kept is picture for kept in batches.pictures] == [True]
    rng = np.random.default_rng(0)
    # From one pixel of a crop to the next, a shrunk picture has so many of its own.
    steps = [np.ptp(batches._crop((32, 32), rng)[..., :], (0, 1)) for _ in range(300)]
    steps = np.sort(steps, 1)[:, 1:] / 31  # two channels are slopes, one is black
    scales, counts = np.unique(np.rint(10 / steps[:, 0]), return_counts=True)
    np.testing.assert_array_equal(scales, [5, 7, 10])
    np.testing.assert_allclose(counts / 300, [0.2, 0.3, 0.5], atol=0.08)
    np.testing.assert_allclose(steps[:, 0], steps[:, 1], atol=2 / 31)
