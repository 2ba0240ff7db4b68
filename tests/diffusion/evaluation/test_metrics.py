import numpy as np
import pytest

from diffusion.evaluation.metrics import (
    absolute_errors,
    fid,
    kid,
    kid_of_subsets,
    mae,
    new_work_index,
)


def gaussians(n, m, d, seed=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * 2, rng.normal(size=(m, d)) + 0.5


def test_fid_of_one_dimension_is_its_formula():
    a, b = np.array([[1.0], [3.0], [8.0]]), np.array([[0.0], [2.0]])
    # means 4 and 1; deviations √13 and √2 (over n − 1)
    expected = 9 + (np.sqrt(13) - np.sqrt(2)) ** 2
    assert fid(a, b) == pytest.approx(expected, rel=1e-12)


def test_fid_is_that_of_pytorch_fid():
    # pytorch_fid.fid_score.calculate_frechet_distance of the same features
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(20, 64)) * 2, rng.normal(size=(33, 64)) + 0.5
    assert fid(a, b) == pytest.approx(218.2177784187325, rel=1e-4)
    a = rng.normal(size=(300, 16)) * np.arange(1, 17)
    b = rng.normal(size=(200, 16)) + 0.5
    assert fid(a, b) == pytest.approx(1244.4698867367151, rel=1e-9)


@pytest.mark.parametrize("n, m", [(8, 5), (8, 40), (40, 8), (40, 60), (2, 2)])
def test_fid_is_the_formula_with_roots_of_matrices(n, m):
    a, b = gaussians(n, m, 12)
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(one)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # tr (Σ₁Σ₂)^½ = tr (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric
    inner = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ two @ root), 0)).sum()
    gap = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    expected = gap + np.trace(one) + np.trace(two) - 2 * inner
    assert fid(a, b) == pytest.approx(expected, rel=1e-6)
    assert fid(b, a) == pytest.approx(fid(a, b), rel=1e-12)


def test_fid_of_a_set_with_itself_is_nought_and_turns_do_not_matter():
    a, b = gaussians(30, 20, 50)
    assert fid(a, a) == pytest.approx(0, abs=1e-9) and fid(a, a) >= 0
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(50, 50)))[0]
    assert fid(a @ turn, b @ turn) == pytest.approx(fid(a, b), rel=1e-10)
    assert fid(3 * a + 1, 3 * b + 1) == pytest.approx(9 * fid(a, b), rel=1e-10)


def kernel_distance(a, b, degree=3, gamma=None, coef=1.0):
    """The unbiased estimate, pair by pair."""
    gamma = gamma or 1 / a.shape[1]

    def mean(x, y, same):
        values = [
            (gamma * float(p @ q) + coef) ** degree
            for i, p in enumerate(x)
            for j, q in enumerate(y)
            if not (same and i == j)
        ]
        return np.mean(values)

    return mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)


@pytest.mark.parametrize(
    "options", [{}, {"degree": 2, "gamma": 0.3, "coef": 0.0}, {"degree": 1}]
)
def test_kid_is_the_unbiased_estimate_over_all_pairs(options):
    a, b = gaussians(7, 9, 5)
    value = kid(a, b, **options).value
    assert value == pytest.approx(kernel_distance(a, b, **options), rel=1e-12)


def test_kid_in_blocks_is_the_same(monkeypatch):
    a, b = gaussians(23, 17, 5)
    whole = kid(a, b)
    monkeypatch.setattr("diffusion.evaluation.metrics._BLOCK", 4)
    np.testing.assert_allclose(kid(a, b), whole, rtol=1e-10)


def expected_kernel(mean_x, mean_y):
    """E (x·y/d + 1)³ of independent x ~ N(mean_x, I), y ~ N(mean_y, I), by moments."""
    n, one = len(mean_x), np.eye(len(mean_x))

    def moments(m):
        third = np.einsum("i,j,k->ijk", m, m, m)
        for axes in ("i,jk->ijk", "j,ik->ijk", "k,ij->ijk"):
            third = third + np.einsum(axes, m, one)
        return 1.0, m, np.outer(m, m) + one, third

    pairs = zip((1, 3, 3, 1), moments(mean_x), moments(mean_y), strict=True)
    return sum(c * np.sum(a * b) / n**k for k, (c, a, b) in enumerate(pairs))


def test_the_interval_of_kid_covers_the_truth_nineteen_times_in_twenty():
    trials = 400
    for shift in (0.0, 1.0):
        zero, moved = np.zeros(4), np.full(4, shift)
        truth = expected_kernel(zero, zero) + expected_kernel(moved, moved)
        truth -= 2 * expected_kernel(zero, moved)
        rng, rows = np.random.default_rng(0), []
        for _ in range(trials):
            a, b = rng.normal(size=(60, 4)), rng.normal(size=(50, 4)) + shift
            rows.append(kid(a, b))
        value, low, high = np.transpose(rows)
        assert (low < value).all() and (value < high).all()
        # No bias: the mean of the estimates is the truth, within its standard error.
        assert abs(value.mean() - truth) < 3 * value.std() / np.sqrt(trials)
        covered = np.mean((low <= truth) & (truth <= high))
        # Of a normal estimate the interval is 3.92 standard errors wide.
        width = np.sqrt(np.mean((high - low) ** 2)) / (3.92 * value.std())
        if shift:
            assert 0.9 < covered < 0.98 and 0.9 < width < 1.1
        else:  # of like sets halves spread more than by √2: the interval is too wide
            assert covered > 0.98 and 1.2 < width < 2.2


def test_kid_is_the_same_for_the_same_seed():
    a, b = gaussians(20, 30, 6)
    assert kid(a, b) == kid(a, b)
    assert kid(a, b, seed=1).value == kid(a, b).value
    assert kid(a, b, seed=1) != kid(a, b)


@pytest.mark.parametrize("measure", [fid, kid])
@pytest.mark.parametrize(
    "a, b",
    [
        (np.zeros((1, 3)), np.zeros((4, 3))),
        (np.zeros((4, 3)), np.zeros((4, 2))),
        (np.zeros(4), np.zeros(4)),
        (np.full((4, 3), np.nan), np.zeros((4, 3))),
    ],
)
def test_what_are_no_features_is_refused(measure, a, b):
    with pytest.raises(ValueError, match="Received"):
        measure(a, b)


def test_a_subset_cannot_be_larger_than_a_set():
    with pytest.raises(ValueError, match="9 and 7 pictures, subset_size=8"):
        kid(*gaussians(9, 7, 3), subset_size=8)


def test_kid_of_subsets_is_that_of_torch_fidelity():
    # torch_fidelity 0.4.0, metric_kid.kid_features_to_metric of the same features
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(30, 6)) * 2, rng.normal(size=(40, 6)) + 0.5
    mean, std = kid_of_subsets(a, b, subsets=20, subset_size=15)
    assert mean == pytest.approx(4.543888527410122, rel=1e-12)
    assert std == pytest.approx(2.878108170222567, rel=1e-12)
    # All pictures in each subset: every subset is the whole.
    whole = kid_of_subsets(a, b[:30], subsets=3, subset_size=30)
    assert whole.mean == pytest.approx(kid(a, b[:30]).value, rel=1e-12)
    assert whole.std == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="30 and 40 pictures, subset_size=1000"):
        kid_of_subsets(a, b)


@pytest.fixture
def pictures():
    rng = np.random.default_rng(2)
    return rng.integers(0, 256, (3, 4, 5, 3), "uint8"), rng.integers(
        0, 256, (6, 4, 5, 3), "uint8"
    )


def test_mae_is_the_loop_over_pictures_and_channels(pictures):
    generated, training = pictures
    far = [[np.abs(g.astype(int) - t).mean() for t in training] for g in generated]
    np.testing.assert_allclose(absolute_errors(generated, training), far, rtol=1e-12)
    nearest = np.mean([min(row) for row in far])
    assert mae(generated, training) == pytest.approx(3 * nearest)
    assert mae(generated, training, channels="mean") == pytest.approx(nearest)
    found = mae(generated, training, definition="all", channels="mean")
    assert found == pytest.approx(np.mean(far))
    means = np.abs(generated.mean(axis=0) - training.mean(axis=0)).mean()
    found = mae(generated, training, definition="mean picture")
    assert found == pytest.approx(3 * means)


def test_mae_does_not_wrap_around_and_copies_have_none():
    black, white = (np.full((2, 2, 2, 3), v, "uint8") for v in (0, 255))
    assert mae(black, white) == mae(white, black) == 765
    assert mae(white, np.concatenate([black, white])) == 0
    grey = np.full((1, 2, 2, 1), 100, "uint8")
    assert mae(grey, grey + 7) == 7


def test_nwi_of_the_preprints_tables():
    # Table 1, first row, and the diffusion model of table 2
    assert new_work_index(61.31, 57.4) == pytest.approx(3.91)
    assert new_work_index(24.29, 14.3) == pytest.approx(9.99)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"definition": "median"}, "`definition` must be .*'median'"),
        ({"channels": "max"}, "`channels` must be .*'max'"),
        ({"training": np.zeros((2, 4, 6, 3), "uint8")}, r"\(4, 5, 3\) and \(4, 6, 3\)"),
        ({"training": np.zeros((2, 4, 5, 3))}, "float64"),
        ({"generated": np.zeros((0, 4, 5, 3), "uint8")}, "no generated picture"),
        ({"generated": [1, 2]}, "list"),
    ],
)
def test_wrong_arguments_of_mae_are_named(pictures, change, message):
    options = {"generated": pictures[0], "training": pictures[1], **change}
    with pytest.raises(ValueError, match=message):
        mae(**options)
