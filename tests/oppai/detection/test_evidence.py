import numpy as np
import pytest

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import Censored, region_at
from oppai.detection import segmenter, training
from oppai.detection.evidence import (
    NAMES,
    changes_at_lines,
    explained_by_blocks,
    finest_grid,
    gather_evidence,
    grid_scores,
    is_grid,
    plain_part,
    weigh,
)
from oppai.detection.segmenter import SAMPLES
from oppai.detection.training import fit_logistic, train_evidence


def test_steps_on_the_lattice_score_one_and_others_less():
    cells = np.random.default_rng(0).integers(0, 256, (9, 8), np.uint8)
    grey = np.zeros((100, 100), np.uint8)
    grey[20:83, 30:78] = cells.repeat(7, 0).repeat(6, 1)

    def score(grid):
        mask = np.ones((61, 46), bool)
        return grid_scores(grey, region_at((31, 21), mask, grid=grid))

    on = score(Grid((6, 7), (0, 6)))
    assert on == pytest.approx([1, 1])
    beside = score(Grid((6, 7), (1, 6)))
    assert beside[0] < 0 and beside[1] == pytest.approx(1)


def test_a_rim_is_few_pixels_and_much_of_the_variance():
    # Three rows of blocks of 10 pixels, and two rows of noise beyond them.
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (60, 140), np.uint8)
    grey[10:40, 20:120] = rng.integers(90, 166, (3, 10)).repeat(10, 0).repeat(10, 1)
    grid = Grid((10, 10), (0, 0))
    region = region_at((20, 10), np.ones((32, 100), bool), grid=grid)
    # Inner pixels: 8 of 10 along either side; of the rim's rows one is beside a line.
    plain = 3 * 8 / (3 * 8 + 1)
    assert plain_part(grey, region) == pytest.approx(plain, abs=0.01)
    assert explained_by_blocks(grey, region) < 0.75
    beside = region_at((20, 10), np.ones((32, 100), bool), grid=grid.moved(5, 0))
    assert plain_part(grey, beside) < 0.4


@pytest.mark.parametrize(
    "side, expected", [((7, 7), (7, 7)), ((14, 7), (7, 7)), ((14, 14), (7, 7))]
)
def test_blocks_that_are_two_are_halved(side, expected):
    cells = np.random.default_rng(0).integers(0, 256, (10, 12), np.uint8)
    grey = cells.repeat(7, 0).repeat(7, 1)
    region = region_at((0, 0), np.ones((70, 84), bool), grid=Grid(side))
    assert finest_grid(grey, region).block == expected


def test_blocks_whose_halves_explain_no_more_stay():
    grey = np.random.default_rng(0).integers(0, 256, (80, 80), np.uint8)
    region = region_at((0, 0), np.ones((80, 80), bool), grid=Grid((16, 16)))
    assert explained_by_blocks(grey, region) < 0.1
    assert finest_grid(grey, region).block == (16, 16)


def test_plain_pixels_are_of_their_own_block():
    # Two levels more at each pixel.
    grey = np.tile(np.arange(100, dtype=np.uint8) * 2, (40, 1))
    region = region_at((0, 0), np.ones((40, 100), bool), grid=Grid((10, 10)))
    # Of inner pixels 1 to 8 of a block the mean is 4.5, and 2 to 7 are within 3.
    assert plain_part(grey, region) == pytest.approx(6 / 8)


def test_blocks_of_shading_change_at_their_lines_and_shading_does_not():
    # A level more at each pixel along x, two at each along y: 5 and 12 to a block.
    grey = np.add.outer(2 * np.arange(60), np.arange(50)).astype(np.uint8)
    region = region_at((3, 1), np.ones((58, 45), bool), grid=Grid((5, 6), (1, 3)))
    mosaic = grey[6::6, 3::5].repeat(6, 0)[:58].repeat(5, 1)
    blocks = np.zeros_like(grey)
    blocks[3:57, 1:46] = mosaic[:54, :45]
    # 9 columns from the second one on, 9 rows; changes of 12 levels are not slight.
    assert changes_at_lines(grey, region)[0] == 0
    n_steps, n_changes = changes_at_lines(blocks, region)
    assert n_steps == n_changes > 50


@pytest.fixture
def case():
    """6x5 cells of which 4x4 are inside, every second side a step of 4 levels."""
    rng = np.random.default_rng(1)
    on = np.zeros((6 * SAMPLES, 5 * SAMPLES, 2), np.float32)
    whole = rng.random((6, 5, 2)) < 0.5
    for row, column, axis in zip(*np.nonzero(whole), strict=True):
        part = np.s_[row * SAMPLES : (row + 1) * SAMPLES]
        other = np.s_[column * SAMPLES : (column + 1) * SAMPLES]
        if axis == 0:
            on[part, column * SAMPLES, 0] = np.log1p(4) / 3
        else:
            on[row * SAMPLES, other, 1] = np.log1p(4) / 3
    on[SAMPLES, 2 * SAMPLES + 1, 1] = np.log1p(9) / 3  # a part of a side
    inside = np.zeros((6, 5), bool)
    inside[1:5, 1:] = True
    part = inside.repeat(SAMPLES, 0).repeat(SAMPLES, 1)
    middles = rng.integers(0, 256, (6, 5))
    share = np.where(part, 0.9, 0.1).astype(np.float32)
    return on, whole, inside, part, middles, share


def test_evidence_counts_sides_between_cells_inside(case):
    on, whole, inside, part, middles, share = case
    seen = gather_evidence(on, middles, share, part, Grid((8, 16), (0, 8)), (0.5, 0.9))
    sides, lines = 0, (set(), set())
    for row in range(6):
        for column in range(5):
            for axis, before in ((0, (row, column - 1)), (1, (row - 1, column))):
                if min(before) >= 0 and inside[row, column] and inside[before]:
                    if whole[row, column, axis]:
                        sides += 1
                        lines[axis].add((column, row)[axis])
    named = dict(zip(NAMES, seen, strict=True))
    assert named["sides, 2 levels"] == pytest.approx(np.log1p(sides))
    assert named["sides, 6 levels"] == 0
    assert named["lines"] == pytest.approx(np.log1p(min(map(len, lines))))
    assert named["colours"] == pytest.approx(np.log1p(len(set(middles[inside] // 6))))
    assert named["sureness"] == pytest.approx(np.log(9) / 4, abs=1e-5)
    assert named["least of the grid's scores"] == pytest.approx(0.5)
    assert named["mean of the grid's scores"] == pytest.approx(0.7)
    assert named["grid of a JPEG"] == 1
    assert named["size of a block"] == pytest.approx(np.log2(128) / 2 - 3)
    assert named["cells"] == pytest.approx(np.log1p(16))


def test_a_grid_needs_two_lines_each_way_and_four_colours(case):
    on, _, _, part, middles, share = case
    rest = Grid((8, 8), (1, 1)), (1, 1)
    assert is_grid(gather_evidence(on, middles, share, part, *rest))
    assert not is_grid(gather_evidence(on, middles * 0, share, part, *rest))
    on = on.copy()
    on[:, SAMPLES * 3 :, 0] = 0
    on[:, : SAMPLES * 2 + 1, 0] = 0
    assert not is_grid(gather_evidence(on, middles, share, part, *rest))


def test_a_larger_part_of_the_same_kind_says_the_same():
    rng = np.random.default_rng(2)
    middles = rng.integers(0, 256, (40, 40))
    on = np.zeros((160, 160, 2), np.float32)
    on[:, ::SAMPLES, 0] = on[::SAMPLES, :, 1] = np.log1p(4) / 3
    share = np.full((160, 160), 0.9, np.float32)
    rest = Grid((6, 6)), (0.8, 0.9)
    small = gather_evidence(on, middles, share, share > 0.5, *rest)
    on, share = np.tile(on, (4, 4, 1)), np.tile(share, (4, 4))
    large = gather_evidence(on, np.tile(middles, (4, 4)), share, share > 0.5, *rest)
    np.testing.assert_allclose(large, small, atol=0.03)
    sizes = [weigh(seen, whole=True) for seen in (small, large)]
    assert sizes[1] == pytest.approx(sizes[0], abs=0.3)


def test_the_regression_is_where_the_loss_is_least():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, len(NAMES)))
    truth = x[:, 0] - 2 * x[:, 3] + 0.5 + rng.logistic(size=400) > 0
    weights, bias = fit_logistic(x, truth, decay=4)

    def loss(w):
        z = x @ w[:-1] + w[-1]
        return np.logaddexp(0, np.where(truth, -z, z)).sum() + 2 * (w[:-1] ** 2).sum()

    best = np.r_[weights, bias]
    for step in np.eye(len(best)) * 1e-3:
        assert loss(best) < loss(best + step) and loss(best) < loss(best - step)
    assert weights[0] == pytest.approx(1, abs=0.35)
    assert weights[3] == pytest.approx(-2, abs=0.5)


@pytest.mark.parametrize(
    "whole, name, n", [(True, "evidence", 14), (False, "any_evidence", 16)]
)
def test_training_adds_weights_that_weigh_reads(whole, name, n, tmp_path, monkeypatch):
    path = tmp_path / "weights.npz"
    path.write_bytes(segmenter.WEIGHTS.read_bytes())
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(60, len(NAMES))).astype(np.float32)
    region = region_at((0, 0), np.ones((9, 9), bool), grid=Grid((8, 8)))
    found = ([(region, e) for e in rows] for rows in np.split(seen, 6))
    monkeypatch.setattr(training, "find_candidates", lambda *_, **__: next(found))
    monkeypatch.setattr(training, "draw_grid", lambda *_, **__: Grid((8, 8)))
    mask = np.full((80, 80), 255, np.uint8)
    monkeypatch.setattr(
        training,
        "draw_censor",
        lambda picture, *_, grid, **__: Censored(picture, mask, grid, "mosaic"),
    )
    pictures = [rng.integers(0, 256, (80, 80, 3), np.uint8) for _ in range(3)]
    evidence, truth = train_evidence(pictures, path, whole=whole)
    # Ten of each clean picture, and of each mosaic that kept its grid.
    assert len(evidence) >= 40 and not truth[:10].any() and truth.any()
    monkeypatch.setattr(segmenter, "WEIGHTS", path)
    segmenter.load_weights.cache_clear()
    weights = segmenter.load_weights()
    odds = weigh(seen[0], whole=whole)
    segmenter.load_weights.cache_clear()
    mean, scale = evidence.mean(0), evidence.std(0) + 1e-3
    x = [(v - m) / s for v, m, s in zip(seen[0], mean, scale, strict=True)][:n]
    x += [x[i] * x[j] for i in range(n) for j in range(i, n)]
    expected = sum(a * b for a, b in zip(x, weights[f"{name}.w"], strict=True))
    expected += weights[f"{name}.b"]
    assert odds == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert weights["share.w"].any()
