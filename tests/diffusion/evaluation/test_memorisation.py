import numpy as np
import pytest

from diffusion.evaluation.memorisation import (
    find_feature_neighbours,
    find_neighbours,
    fraction_within,
    plot_neighbours,
)
from illustkit.images import list_images, read_image
from illustkit.samples import draw_face_icon


def noisy(pictures, sigma, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, pictures.shape)
    return np.clip(np.rint(pictures + noise), 0, 255).astype("uint8")


@pytest.fixture(scope="module")
def icons():
    return np.stack([draw_face_icon(seed, 32) for seed in range(60)])


@pytest.fixture(scope="module")
def others():
    return np.stack([draw_face_icon(seed, 32) for seed in range(1000, 1060)])


@pytest.mark.parametrize("size", [(4, 6), (3, 5), (40, 24), (1, 1)])
def test_the_nearest_is_that_of_a_loop(size):
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (5, *size, 3), "uint8")
    b = rng.integers(0, 256, (7, *size, 3), "uint8")
    b[3] = a[1][:, ::-1]
    for flip in (True, False):
        found = find_neighbours(a, b, flip=flip)
        for i, picture in enumerate(a):
            candidates = []
            for j, other in enumerate(b):
                for mirrored in (False, True)[: 1 + flip]:
                    other_way = other[:, ::-1] if mirrored else other
                    gap = picture.astype(float) - other_way
                    candidates.append((np.sqrt(np.mean(gap**2)), j, mirrored))
            distance, j, mirrored = min(candidates)
            assert found.index[i] == j and found.flipped[i] == mirrored
            assert found.distance[i] == pytest.approx(distance, abs=1e-9)
    assert find_neighbours(a, b).distance[1] == 0


def test_the_ratio_is_that_of_its_definition(icons, others):
    found = find_neighbours(others[:1], icons)
    flat = np.stack([icons, icons[:, :, ::-1]]).astype(float)
    squares = ((flat - others[0]) ** 2).mean(axis=(2, 3, 4)).min(axis=0)
    x = others[0].astype(float)
    detail = (x[::2, ::2] - x[::2, 1::2] - x[1::2, ::2] + x[1::2, 1::2]) / 2
    noise = np.median(np.abs(detail)) / 0.6745
    distances = np.sort(np.sqrt(squares - noise**2))
    expected = distances[0] / distances[1:51].mean()
    assert found.ratio[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sigma", [0, 5, 20])
@pytest.mark.parametrize("flip", [False, True])
def test_planted_copies_are_found(icons, others, sigma, flip):
    copies = icons[:, :, ::-1] if flip else icons
    copies = noisy(copies, sigma)
    found = find_neighbours(np.concatenate([others, copies]), icons)
    assert found.copied[60:].all() and found.fraction == 0.5
    np.testing.assert_array_equal(found.index[60:], np.arange(60))
    if flip:  # where a mirrored face is another picture
        turned = (icons != icons[:, :, ::-1]).any(axis=(1, 2, 3))
        assert turned.all() and found.flipped[60:].all()
        unseen = find_neighbours(copies, icons, flip=False)
        assert unseen.fraction < 0.5


def test_new_pictures_are_no_copies(icons, others):
    assert find_neighbours(others, icons).fraction == 0
    assert fraction_within(icons) == 0
    doubled = np.concatenate([icons, noisy(icons[:12, :, ::-1], 10)])
    assert fraction_within(doubled) == pytest.approx(24 / 72)


@pytest.mark.parametrize("size", [64, 32])
def test_real_icons(real_data, size):
    from PIL import Image

    def read(name, step):
        paths = list_images(real_data / "noto" / name)[::step]
        images = (Image.fromarray(read_image(path)) for path in paths)
        box = Image.Resampling.BOX
        return np.stack([np.asarray(i.resize((size, size), box)) for i in images])

    early, new = read("faces_early", 3), read("faces_new", 12)
    animals = read("animals", 12)
    assert find_neighbours(np.concatenate([new, animals]), early).fraction == 0
    for sigma in (0, 20):
        found = find_neighbours(noisy(early[::6, :, ::-1], sigma), early)
        assert found.copied.all()
        np.testing.assert_array_equal(found.index, np.arange(len(early))[::6])


def test_noise_of_its_own_makes_no_picture_a_copy(icons):
    grey = np.full((8, 32, 32, 3), 128, "uint8")
    assert find_neighbours(noisy(grey, 60), icons).fraction == 0


def test_features_find_what_moved(icons):
    features = np.random.default_rng(0).normal(size=(60, 16))
    near = features[:5] + 0.01
    found = find_feature_neighbours(near, features)
    assert found.copied.all() and list(found.index) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.distance, 0.01 * 4, rtol=1e-6)
    far = np.random.default_rng(1).normal(size=(5, 16))
    assert not find_feature_neighbours(far, features).copied.any()
    with pytest.raises(ValueError, match=r"\(5, 16\) and \(60, 15\)"):
        find_feature_neighbours(far, features[:, 1:])


def test_grey_and_transparent_icons_and_one_colour():
    rng = np.random.default_rng(0)
    for channels in (1, 4):
        x = rng.integers(0, 256, (6, 8, 8, channels), "uint8")
        assert find_neighbours(x[:2], x).copied.all()
    flat = np.full((3, 8, 8, 3), 7, "uint8")
    assert find_neighbours(flat, flat).fraction == 1


def test_the_figure_shows_the_nearest_pairs_first(icons, others, tmp_path):
    pictures = np.concatenate([others[:3], icons[7:8, :, ::-1]])
    found = find_neighbours(pictures, icons)
    path = tmp_path / "pairs.png"
    figure = plot_neighbours(pictures, icons, found, count=3, path=path)
    titles = [axis.get_title() for axis in figure.axes if axis.images]
    assert titles[0] == "0.00, mirrored, COPY" and len(titles) == 3
    assert "25% of 4 are copies" in figure._suptitle.get_text()
    pair = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(pair[:, :32], pair[:, -32:])
    assert read_image(path).shape[2] == 3


@pytest.mark.parametrize("training", [0, 1])
def test_too_few_training_pictures_are_refused(icons, training):
    with pytest.raises(ValueError, match="Received"):
        find_neighbours(icons, icons[:training])
    with pytest.raises(ValueError, match="Received: 2"):
        fraction_within(icons[:2])
