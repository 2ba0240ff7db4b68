import numpy as np
import pytest
from PIL import Image

from oppai.censoring.block_grid import (
    Grid,
    block_means,
    cubic,
    spreading,
    upsample_means,
)
from oppai.censoring.censor import pixelate


def blocks_of(length, block, origin):
    """Pixels of every block along one side, by a loop."""
    blocks = {}
    for pixel in range(length):
        blocks.setdefault((pixel - origin) // block, []).append(pixel)
    return list(blocks.values())


@pytest.mark.parametrize("block, origin", [((5, 3), (2, 1)), ((4, 4), (0, 0))])
def test_block_means_equal_a_loop(block, origin):
    picture = np.random.default_rng(0).integers(0, 256, (17, 23, 3))
    means = block_means(picture, Grid(block, origin))
    rows = blocks_of(17, block[1], origin[1])
    columns = blocks_of(23, block[0], origin[0])
    expected = [[picture[np.ix_(r, c)].mean((0, 1)) for c in columns] for r in rows]
    np.testing.assert_allclose(means, expected, atol=1e-3)


def test_blocks_of_parts_of_pixels_by_hand():
    # blocks of 1.5 pixels: [0, 1.5), [1.5, 3)
    means = block_means(np.array([[[0.0], [3.0], [9.0]]]), Grid((1.5, 1)))
    np.testing.assert_allclose(means[0, :, 0], [1.0, 7.0], atol=1e-6)
    np.testing.assert_allclose(spreading(3, 1.5, 0), [[1, 0], [0.5, 0.5], [0, 1]])


def test_a_mosaic_has_the_means_of_its_picture():
    picture = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    mosaic = pixelate(picture, 7, origin=(3, 5))
    grid = Grid((7, 7), (3, 5))
    error = np.abs(block_means(mosaic, grid) - block_means(picture, grid))
    assert error.max() <= 0.5 + 1e-3  # the mosaic is rounded to levels


def test_upsampling_equals_pillows_and_keeps_a_slope():
    means = np.random.default_rng(2).uniform(0, 255, (8, 8, 3)).astype(np.float32)
    ours = upsample_means(means, (48, 48), Grid((6, 6)))
    bands = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(means[..., c])).resize(
                (48, 48), Image.Resampling.BICUBIC
            )
        )
        for c in range(3)
    ]
    # Pillow drops weights beyond the edge where ours repeats the edge's block.
    np.testing.assert_allclose(
        ours[12:-12, 12:-12], np.stack(bands, -1)[12:-12, 12:-12], atol=1e-2
    )
    slope = np.repeat(np.arange(8.0)[None, :, None], 8, 0)
    line = upsample_means(slope, (48, 48), Grid((6, 6)))[20, 12:36, 0]
    np.testing.assert_allclose(np.diff(line), 1 / 6, atol=1e-5)


def test_bicubic_weights_add_up():
    np.testing.assert_allclose(cubic(37, 5.3, 2.1).sum(1), 1, atol=1e-5)


def test_moving_scaling_and_mirroring_a_grid():
    grid = Grid((8, 6), (3, 5))
    assert grid.moved(-5, 0) == Grid((8, 6), (6, 5))
    assert grid.scaled(0.5) == Grid((4, 3), (1.5, 2.5))
    assert grid.mirrored(20) == Grid((8, 6), (1, 5))
    with pytest.raises(ValueError, match="a pixel or more"):
        Grid((0.5, 4))


def test_a_soft_grid_stays_soft():
    grid = Grid((8, 6), (3, 5), soft=True)
    assert grid != Grid((8, 6), (3, 5))
    assert grid.moved(2, 1) == Grid((8, 6), (5, 0), soft=True)
    assert grid.scaled(0.5) == Grid((4, 3), (1.5, 2.5), soft=True)
    assert grid.mirrored(20) == Grid((8, 6), (1, 5), soft=True)
