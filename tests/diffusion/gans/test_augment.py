import numpy as np
import pytest
from keras import ops

from diffusion.gans.augment import ADA, augment, draw_augmentation
from illustkit.training.adversarial import gradient_of

START = dict(zip(ADA, np.cumsum([len(ADA), *ADA.values()])[:-1], strict=True))


def pictures(n=6, side=8, channels=3):
    rng = np.random.default_rng(1)
    return rng.uniform(-1, 1, (n, side, side, channels)).astype("float32")


def augmented(kind, x, drawn, p=1.0):
    return ops.convert_to_numpy(augment(kind, x, np.asarray(drawn, "float32"), p))


def only(x, **numbers):
    """ADA with p = 1/2, whose gates leave all out but what is named."""
    drawn = np.full((len(x), sum(ADA.values()) + len(ADA)), 0.75)
    for name, values in numbers.items():
        drawn[:, list(ADA).index(name)] = 0.25
        drawn[:, START[name] : START[name] + ADA[name]] = values
    return augmented("ada", x, drawn, 0.5)


def test_diffaugment_equals_loops_over_pictures_and_pixels():
    x, rng = pictures(), np.random.default_rng(2)
    drawn = draw_augmentation("diffaugment", rng, len(x), 8)
    drawn[:2, 3:] = [[1, -1, 0, 8], [0, 1, 3, 4]]
    expected = []
    for picture, (add, saturation, contrast, *places) in zip(x, drawn, strict=True):
        dy, dx, cy, cx = map(int, places)
        picture = picture + add
        grey = picture.mean(axis=2, keepdims=True)
        picture = (picture - grey) * saturation + grey
        picture = (picture - picture.mean()) * contrast + picture.mean()
        made = np.zeros_like(picture)
        for row in range(8):
            for column in range(8):
                cut = cy - 2 <= row < cy + 2 and cx - 2 <= column < cx + 2
                r, c = row - dy, column - dx
                if 0 <= r < 8 and 0 <= c < 8 and not cut:
                    made[row, column] = picture[r, c]
        expected.append(made)
    result = augmented("diffaugment", x, drawn)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_the_parameters_have_the_papers_ranges():
    drawn = draw_augmentation("diffaugment", np.random.default_rng(0), 4000, 64)
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    np.testing.assert_allclose(low, [-0.5, 0, 0.5, -8, -8, 0, 0], atol=0.01)
    np.testing.assert_allclose(high, [0.5, 2, 1.5, 8, 8, 64, 64], atol=0.01)
    drawn = draw_augmentation("ada", np.random.default_rng(0), 4000, 64)
    assert set(drawn[:, START["turn"]]) == {0, 1, 2, 3}
    assert np.ptp(drawn[:, START["shift"]]) == 16
    scale = np.log2(drawn[:, START["scale"]])
    assert scale.std() == pytest.approx(0.2, rel=0.05)
    assert np.log2(drawn[:, START["saturation"]]).std() == pytest.approx(1, rel=0.05)


def test_ada_moves_mirrors_and_turns_whole_pixels():
    x = pictures(3)
    np.testing.assert_allclose(only(x), x, atol=1e-6)
    np.testing.assert_allclose(only(x, flip=1), x[:, :, ::-1], atol=1e-6)
    for turns in range(4):
        expected = np.rot90(x, turns, axes=(1, 2))
        np.testing.assert_allclose(only(x, turn=turns), expected, atol=1e-6)
    # Down by two and to the left by one; beyond the border as in a mirror.
    mirrored = np.pad(x, [(0, 0), (2, 1), (2, 1), (0, 0)], mode="reflect")
    expected = mirrored[:, :8, 3:11]
    np.testing.assert_allclose(only(x, shift=[2, -1]), expected, atol=1e-5)
    between = only(x, move=[0.25, 0])[:, 1:]
    np.testing.assert_allclose(between, 0.75 * x[:, 1:] + 0.25 * x[:, :-1], atol=1e-5)


def test_ada_scales_about_the_centre():
    ramp = np.broadcast_to(np.arange(9.0)[:, None, None], (1, 9, 9, 1))
    ramp = ramp.astype("float32") - 4
    np.testing.assert_allclose(only(ramp, scale=2), ramp / 2, atol=1e-5)
    # Stretched by 2: rows are halved, and go on as in a mirror beyond the border.
    stretched = only(ramp, stretch=2)[0, :, 0, 0]
    rows = [0, -2, -4, -2, 0, 2, 4, 2, 0]
    np.testing.assert_allclose(stretched, rows, atol=1e-5)


def test_adas_colours_equal_its_matrices():
    x, axis = pictures(4), np.ones(3) / np.sqrt(3)
    cross = np.cross(np.eye(3), axis)  # rows: e × v = -(v × e)
    for angle in (0.7, -2.0):
        spin = (
            np.cos(angle) * np.eye(3)
            - np.sin(angle) * cross.T
            + (1 - np.cos(angle)) * np.outer(axis, axis)
        )
        turned = x @ spin.T
        either = only(x, hue=angle), only(x, hue=-angle)
        assert min(np.abs(e - turned).max() for e in either) < 1e-5
    mirror = np.eye(3) - 2 * np.outer(axis, axis)
    np.testing.assert_allclose(only(x, luma=1), x @ mirror, atol=1e-5)
    dull = np.outer(axis, axis) + 0.3 * (np.eye(3) - np.outer(axis, axis))
    np.testing.assert_allclose(only(x, saturation=0.3), x @ dull, atol=1e-5)
    both = only(x, brightness=0.2, contrast=1.5)
    np.testing.assert_allclose(both, (x + 0.2) * 1.5, atol=1e-5)


@pytest.mark.parametrize("kind", ["diffaugment", "ada"])
def test_gradients_are_those_of_differences_and_opacity_keeps_its_values(kind):
    x = pictures(2, channels=4)
    drawn = draw_augmentation(kind, np.random.default_rng(3), 2, 8)
    weights = np.random.default_rng(4).normal(size=x.shape).astype("float32")

    def loss(x):
        return ops.sum(augment(kind, x, drawn, 0.8) * weights)

    direction = np.random.default_rng(5).normal(size=x.shape).astype("float32")
    gradient = ops.convert_to_numpy(gradient_of(loss, ops.convert_to_tensor(x)))
    rise = (float(loss(x + direction)) - float(loss(x - direction))) / 2
    assert (gradient * direction).sum() == pytest.approx(rise, rel=1e-3, abs=1e-3)
    opaque = np.ones_like(x)
    result = augmented(kind, opaque, drawn, 0.8)[..., 3]
    assert set(np.round(np.unique(result), 5)) <= {0, 1}
