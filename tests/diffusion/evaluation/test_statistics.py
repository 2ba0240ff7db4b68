import numpy as np
import pytest

from diffusion.evaluation.features import Extractor, load_extractor
from diffusion.evaluation.metrics import fid
from diffusion.evaluation.statistics import FeatureStatistics, read_statistics
from illustkit.errors import UserError
from illustkit.images import write_image
from illustkit.samples import draw_face_icon


def gathered(*batches):
    statistics = FeatureStatistics()
    for batch in batches:
        statistics.add(batch)
    return statistics


@pytest.mark.parametrize("cuts", [[], [1, 2], [7, 30]])
def test_batches_give_the_mean_and_the_covariance_of_the_whole(cuts):
    x = np.random.default_rng(0).normal(size=(40, 5)) * [1, 2, 3, 4, 1e3] + 1e4
    statistics = gathered(*np.split(x, cuts))
    assert statistics.n == 40
    np.testing.assert_allclose(statistics.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        statistics.covariance, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("cuts", [[], [1, 2], [7, 30]])
def test_parts_merge_to_the_whole(cuts, tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 5)) * [1, 2, 3, 4, 1e3] + 1e4
    whole = FeatureStatistics()
    for i, part in enumerate(np.split(x, cuts)):
        own = gathered(part)
        if len(part) > 1:  # as another process stores them
            own = FeatureStatistics.load(own.save(tmp_path / f"{i}.npz"))
        whole.merge(own)
    whole.merge(FeatureStatistics())
    assert whole.n == 40
    np.testing.assert_allclose(
        whole.covariance, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-9
    )
    with pytest.raises(UserError, match="Received: 5 and 3"):
        whole.merge(gathered(np.ones((2, 3))))


@pytest.mark.parametrize("n, m", [(40, 60), (6, 30), (4, 5)])
def test_the_distance_of_statistics_is_that_of_the_features(n, m):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(n, 12)) * 2, rng.normal(size=(m, 12)) + 0.5
    expected = fid(a, b)
    for pair in ((gathered(a), gathered(b)), (gathered(a), b), (a, gathered(b))):
        assert fid(*pair) == pytest.approx(expected, rel=1e-6)
    assert fid(gathered(a), gathered(a)) == pytest.approx(0, abs=1e-6)


def test_statistics_are_stored_as_pytorch_fid_does(tmp_path):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(9, 4)), rng.normal(size=(8, 4))
    path = gathered(a).save(tmp_path / "new" / "a.npz")
    with np.load(path) as stored:
        np.testing.assert_allclose(stored["sigma"], np.cov(a, rowvar=False))
    theirs = tmp_path / "b.npz"
    np.savez(theirs, mu=b.mean(axis=0), sigma=np.cov(b, rowvar=False))
    assert fid(path, str(theirs)) == pytest.approx(fid(a, b), rel=1e-6)
    again = FeatureStatistics.load(path)
    again.add(b)  # goes on where it was stored
    both = np.cov(np.concatenate([a, b]), rowvar=False)
    np.testing.assert_allclose(again.covariance, both)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for i in range(6):
        write_image(tmp_path / "icons" / f"{i}.png", draw_face_icon(i, 24))
    return tmp_path / "icons"


def test_a_folder_is_looked_at_once_until_it_changes(folder):
    looked = []

    def colours(pictures):
        looked.append(len(pictures))
        return pictures.mean(axis=(1, 2))

    extractor = Extractor("colours", colours, key="colours 1")
    first = read_statistics(folder, extractor, batch_size=4, progress=False)
    assert looked == [4, 2]
    second = read_statistics(folder, extractor, progress=False)
    assert looked == [4, 2]
    np.testing.assert_array_equal(first.covariance, second.covariance)
    (folder / "0.png").rename(folder / "z.png")  # the same pictures
    read_statistics(folder, extractor, progress=False)
    assert len(looked) == 2
    write_image(folder / "z.png", draw_face_icon(9, 24))
    read_statistics(folder, extractor, progress=False)
    read_statistics(folder, extractor._replace(key="colours 2"), progress=False)
    assert looked == [4, 2, 6, 6]
    for _ in range(2):  # a function has no name that tells it from others
        read_statistics(folder, extractor._replace(key=None), progress=False)
    assert len(looked) == 6


def test_the_distance_of_folders_is_that_of_their_features(folder, tmp_path):
    pictures = np.stack([draw_face_icon(i, 24) for i in range(20, 28)])
    function = load_extractor("pixels").function
    own = function(np.stack([draw_face_icon(i, 24) for i in range(6)]))
    expected = fid(own, function(pictures))
    for _ in range(2):
        found = fid(folder, pictures, features="pixels", progress=False)
        assert found == pytest.approx(expected, rel=1e-5)


def test_what_holds_no_statistics_is_named(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "b.npz", mu=np.zeros(3), sigma=np.zeros((2, 2)))
    np.savez(tmp_path / "c.npz", mean=np.zeros(3))
    for name in ("a.npz", "b.npz", "c.npz", "none.npz"):
        with pytest.raises(UserError, match=name):
            fid(tmp_path / name, np.zeros((4, 3)))
    with pytest.raises(UserError, match="two pictures or more"):
        fid(gathered(np.zeros((1, 3))), np.zeros((4, 3)))
    with pytest.raises(UserError, match="2 and 3 dimensions"):
        fid(gathered(np.zeros((3, 2))), np.zeros((4, 3)))
    with pytest.raises(UserError, match=r"Features are \(n, 2\)"):
        gathered(np.zeros((3, 2)), np.zeros((3, 3)))
    with pytest.raises(UserError, match="nan or infinite"):
        gathered(np.full((3, 2), np.nan))
