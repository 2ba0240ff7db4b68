import keras
import numpy as np
import pytest
from keras import ops

from oppai import losses

WEIGHTS = {"valid": 2, "hole": 3, "perceptual": 5, "style_out": 7, "style_comp": 11}
WEIGHTS["tv"] = 13


def gradient(function, x, *others):
    """Gradient of the scalar `function(x, *others)` by `x`, on either backend."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(function))(x, *others), "float32")
    import tensorflow as tf

    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x, *others)
    none = tf.UnconnectedGradients.ZERO
    return tape.gradient(value, x, unconnected_gradients=none).numpy()


def some(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


def a_batch(size=(2, 4, 5)):
    mask = (np.random.default_rng(2).random((*size, 1)) < 0.6).astype("float32")
    return some(0, *size, 3), some(1, *size, 3), mask


def toy_features(x):
    """Two smooth feature maps, of arrays or tensors alike."""
    first = x[:, :2, :4] ** 2 + 0.5 * x[:, 2:4, 1:5]
    return [first, first[:, :, ::2] * x[:, 1:3, 1:3] - 0.3]


# The oracle: loops over one picture in float64, written from the paper's formulas.


def oracle_gram(f):
    height, width, channels = f.shape
    gram = np.zeros((channels, channels))
    for a in range(channels):
        for b in range(channels):
            for i in range(height):
                for j in range(width):
                    gram[a, b] += f[i, j, a] * f[i, j, b]
    return gram / (channels * height * width)


def oracle_tv(picture, mask):
    height, width, channels = picture.shape
    region = np.zeros((height, width), bool)
    for i in range(height):
        for j in range(width):
            window = mask[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
            region[i, j] = (window < 1).any()
    total = 0.0
    for i in range(height):
        for j in range(width):
            for k, m in ((i + 1, j), (i, j + 1)):
                if k < height and m < width and region[i, j] and region[k, m]:
                    total += np.abs(picture[k, m] - picture[i, j]).sum()
    return total / (height * width * channels)


def oracle(truth, prediction, mask):
    truth, prediction = truth.astype("float64"), prediction.astype("float64")
    completed = truth.copy()
    terms = {"valid": 0.0, "hole": 0.0}
    for i, j in np.ndindex(mask.shape[:2]):
        part = "valid" if mask[i, j, 0] == 1 else "hole"
        terms[part] += np.abs(prediction[i, j] - truth[i, j]).sum() / truth.size
        if part == "hole":
            completed[i, j] = prediction[i, j]
    taps = [toy_features(x[None]) for x in (truth, prediction, completed)]
    terms.update(perceptual=0.0, style_out=0.0, style_comp=0.0)
    for t, p, c in zip(*taps, strict=True):
        terms["perceptual"] += np.mean(np.abs(p - t)) + np.mean(np.abs(c - t))
        for name, other in (("style_out", p), ("style_comp", c)):
            difference = oracle_gram(other[0]) - oracle_gram(t[0])
            terms[name] += np.mean(np.abs(difference))
    terms["tv"] = oracle_tv(completed, mask)
    return terms


def weighted(terms):
    return sum(WEIGHTS[name] * term for name, term in terms.items())


def test_every_term_equals_loops():
    batch = a_batch()
    terms = losses.loss_terms(*batch, features=toy_features)
    assert set(terms) == set(losses.BOOK_WEIGHTS) == set(losses.PAPER_WEIGHTS)
    expected = [oracle(*picture) for picture in zip(*batch, strict=True)]
    for name, term in terms.items():
        assert keras.backend.standardize_dtype(term.dtype) == "float32"
        np.testing.assert_allclose(
            ops.convert_to_numpy(term), [e[name] for e in expected], rtol=2e-6
        )


def test_gradient_equals_finite_differences():
    truth, prediction, mask = a_batch((1, 4, 5))

    def loss(x):
        terms = losses.loss_terms(truth, x, mask, features=toy_features)
        return ops.sum(weighted(terms))

    expected, step = np.zeros(prediction.shape), 1e-6
    for index in np.ndindex(prediction.shape):
        moved = []
        for sign in (1, -1):
            x = prediction.astype("float64")
            x[index] += sign * step
            moved.append(weighted(oracle(truth[0], x[0], mask[0])))
        expected[index] = (moved[0] - moved[1]) / (2 * step)
    np.testing.assert_allclose(gradient(loss, prediction), expected, atol=2e-6)


def test_the_truth_carries_no_gradient():
    truth, prediction, mask = a_batch()

    def loss(x):
        terms = losses.loss_terms(x, prediction, mask, features=toy_features)
        direct = losses.style_loss([x], [prediction]) + losses.perceptual_loss(
            [x], [prediction], [prediction]
        )
        return ops.sum(weighted(terms)) + ops.sum(direct)

    assert not gradient(loss, truth).any()


def test_composite_is_the_truth_bit_for_bit_outside_the_hole():
    truth, prediction, mask = a_batch()
    prediction[np.broadcast_to(mask == 1, truth.shape)] = np.nan
    completed = ops.convert_to_numpy(losses.composite(truth, prediction, mask))
    np.testing.assert_array_equal(completed, np.where(mask == 1, truth, prediction))


def test_hand_worked_picture():
    # A 3×4 picture of zeros with one hole at (1, 0), predicted as 1 everywhere.
    truth, prediction = np.zeros((1, 3, 4, 1)), np.ones((1, 3, 4, 1))
    mask = np.ones((1, 3, 4, 1))
    mask[0, 1, 0] = 0.5  # under 1 is hole
    terms = losses.loss_terms(truth, prediction, mask)
    assert set(terms) == {"valid", "hole", "tv"}  # no features: no VGG terms
    found = {name: float(term[0]) for name, term in terms.items()}
    # The composite is 1 at the hole alone: three neighbours within the dilated hole.
    assert found == pytest.approx({"valid": 11 / 12, "hole": 1 / 12, "tv": 3 / 12})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_gram_matrix_adds_up_in_float32(dtype):
    # 65,536 squares of 480: over float16's range one by one, and a sum in bfloat16
    # would stop growing after some hundreds of them.
    features = ops.full((1, 256, 256, 2), 480.0, dtype=dtype)
    gram = ops.convert_to_numpy(losses.gram_matrix(features))
    np.testing.assert_allclose(gram, np.full((1, 2, 2), 480.0**2 / 2), rtol=1e-5)


def test_weights_are_those_of_the_two_equations():
    names = ("valid", "hole", "perceptual", "style_out", "style_comp", "tv")
    paper, book = losses.PAPER_WEIGHTS, losses.BOOK_WEIGHTS
    assert [paper[n] for n in names] == [1, 6, 0.05, 120, 120, 0.1]
    assert [book[n] for n in names] == [10, 60, 0.005, 1, 1, 0.1]
    assert list(paper) == list(book)
