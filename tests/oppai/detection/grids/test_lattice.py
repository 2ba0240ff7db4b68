import numpy as np
import pytest

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import region_at
from oppai.detection.grids.lattice import coarsest_grid


@pytest.mark.parametrize(
    "block, n, halved, expected",
    [
        (40, 4, 2, 40),
        (64, 5, 4, 64),
        (57, 6, 3, 57),
        (16, 6, 2, 16),
        (16, 6, 1, 16),  # true blocks have no multiple
        (40, 3, 2, 20),  # three blocks say too little
        (80, 5, 2, 40),  # larger blocks are not looked for
    ],
)
def test_blocks_are_put_together_up_to_64_pixels(block, n, halved, expected):
    levels = np.random.default_rng(block).permutation(n * n) * (200 // (n * n))
    grey = levels.reshape(n, n).repeat(block, 0).repeat(block, 1).astype(np.uint8)
    side = block / halved
    region = region_at(
        (0, 0), np.ones_like(grey, bool), kind="mosaic", grid=Grid((side, side))
    )
    assert coarsest_grid(grey, region) == Grid((expected, expected))
