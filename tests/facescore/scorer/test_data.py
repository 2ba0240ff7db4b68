import numpy as np
import pytest

from facescore.scorer.data import (
    CropBatches,
    fit_crop,
    rated_crops,
    split_by_source,
    store_crops,
    vary,
)
from facescore.scorer.ratings import Rating, write_ratings
from facescore.scorer.training import ScorerPreset
from illustkit.images import read_image, write_image

STILL = ScorerPreset(
    flip=0, shift=0, zoom=(1, 1), turn=0, brightness=0, blur=0, batch_size=4
)


def picture(seed, size=(12, 12)):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (size[1], size[0], 3), "uint8")


@pytest.fixture
def crops(tmp_path):
    """Crops of the pictures 4/a (two faces) and 2/b, and where they came from."""
    for i, name in enumerate(("4/a_0", "4/a_1", "2/b_0")):
        write_image(tmp_path / f"crops/{name}.png", picture(i))
    rows = ["4/a_0.png,4/a.png", "4/a_1.png,4/a.png", "2/b_0.png,2/b.png"]
    table = tmp_path / "crops/crops.csv"
    table.write_text("crop,picture\n" + "\n".join(rows) + "\n")
    return tmp_path / "crops"


def names(found, base):
    return [(path.relative_to(base).as_posix(), score) for path, score in found]


def test_crops_in_folders_of_scores_know_their_picture(crops):
    found, sources = rated_crops(crops)
    assert names(found, crops) == [
        ("2/b_0.png", 2),
        ("4/a_0.png", 4),
        ("4/a_1.png", 4),
    ]
    assert sources == ["2/b.png", "4/a.png", "4/a.png"]
    (crops / "crops.csv").unlink()
    assert len(set(rated_crops(crops)[1])) == 3


def test_crops_that_are_sorted_later_know_their_picture(crops):
    """As when all crops are cut into one folder, and a person sorts them."""
    rows = ["a_0.png,a.png", "a_1.png,a.png", "x/b_0.png,x/b.png", "y/b_0.png,y/b.png"]
    table = crops / "crops.csv"
    table.write_text("\ufeffcrop;picture\r\n" + "\r\n".join(rows).replace(",", ";"))
    assert rated_crops(crops)[1] == ["x/b.png", "a.png", "a.png"]
    # The name is that of two pictures, and it occurs twice: they count as one.
    write_image(crops / "3/deep/b_0.png", picture(3))
    assert rated_crops(crops)[1] == ["x/b.png", "x/b.png", "a.png", "a.png"]


def test_crops_have_one_name_however_they_are_written(crops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(crops)
    (crops / "crops.csv").unlink()
    expected = ["2/b_0.png", "4/a_0.png", "4/a_1.png"]
    for name in ("crops", crops, "link", "crops/../link"):
        for ratings in (None, "crops", crops, "link"):
            assert rated_crops(name, ratings)[1] == expected


def test_ratings_of_pictures_go_over_to_their_crops(crops, tmp_path):
    for name in ("4/a.png", "2/b.png"):
        write_image(tmp_path / "pictures" / name, picture(9))
    table = tmp_path / "pictures/ratings.csv"
    write_ratings(table, [(tmp_path / "pictures/4/a.png", 5)])
    found, sources = rated_crops(crops, table)
    assert names(found, crops) == [("4/a_0.png", 5), ("4/a_1.png", 5)]
    assert sources == ["4/a.png"] * 2
    table.unlink()
    by_folder, _ = rated_crops(crops, tmp_path / "pictures")
    assert sorted(names(by_folder, crops)) == sorted(
        names(rated_crops(crops)[0], crops)
    )


def test_a_table_elsewhere_may_name_the_crops(crops, tmp_path):
    table = write_ratings(tmp_path / "r.csv", [(crops / "4/a_1.png", 1)], tmp_path)
    assert names(rated_crops(crops, table)[0], crops) == [("4/a_1.png", 1)]
    listed = [Rating(crops / "2/b_0.png", 3)]
    assert rated_crops(crops, listed) == (listed, ["2/b.png"])


def test_no_rating_is_an_error(crops, tmp_path):
    write_image(tmp_path / "x.png", picture(0))
    table = write_ratings(tmp_path / "r.csv", [(tmp_path / "x.png", 1)])
    with pytest.raises(ValueError, match="crops: no crop here has a rating"):
        rated_crops(crops, table)
    (crops / "crops.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="crops.csv, line 1: no column crop"):
        rated_crops(crops)


def test_a_damaged_crop_is_left_out_and_named(crops, tmp_path):
    (crops / "2/b_0.png").write_bytes(b"no picture")
    found, _ = rated_crops(crops)
    with pytest.raises(ValueError, match="b_0.png"):
        store_crops(found, (8, 6), tmp_path / "cache")
    for _ in range(2):  # the second time from the cache
        damaged = {}
        stored = store_crops(found, (8, 6), tmp_path / "cache", damaged=damaged)
        assert list(damaged) == [0] and "b_0.png" in damaged[0]
        np.testing.assert_array_equal(stored.scores, [4, 4])
        expected = fit_crop(read_image(found[1].path), (8, 6))
        np.testing.assert_array_equal(stored[0], expected)


def test_crops_are_stored_once_and_again_when_they_change(crops, tmp_path):
    found, _ = rated_crops(crops)
    calls = []
    first = store_crops(found, (8, 6), tmp_path / "cache", calls.append)
    assert first.pictures.shape == (3, 6, 8, 3) and calls == [1, 2, 3]
    np.testing.assert_array_equal(first.scores, [2, 4, 4])
    expected = fit_crop(read_image(found[1].path), (8, 6))
    np.testing.assert_array_equal(first[1], expected)
    np.testing.assert_array_equal(first.select([2, 1])[[0, 1]], first[[2, 1]])
    store_crops(found, (8, 6), tmp_path / "cache", calls.append)
    assert len(calls) == 3
    write_image(found[0].path, picture(5, (30, 20)))
    again = store_crops(found, (8, 6), tmp_path / "cache", calls.append)
    assert len(calls) == 6 and not np.array_equal(again[0], expected)
    same = picture(1, (8, 6))
    assert fit_crop(same, (8, 6)) is same


@pytest.mark.parametrize("holdout", [0.1, 0.3])
def test_a_picture_is_on_one_side_and_each_score_on_both(holdout):
    rng = np.random.default_rng(0)
    sources = [f"p{i}" for i in range(150) for _ in range(rng.integers(1, 4))]
    score = {name: 1 + (i % 15 > 2) + (i % 15 > 8) for i, name in enumerate(sources)}
    scores = np.array([score[name] for name in sources])
    training, held_out = split_by_source(sources, scores, holdout=holdout, seed=3)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([training, held_out])), np.arange(len(sources))
    )
    sides = [{sources[i] for i in part} for part in (training, held_out)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == pytest.approx(150 * holdout, abs=1)
    for value in (1, 2, 3):
        of_value = {name for name, s in score.items() if s == value}
        assert len(of_value & sides[1]) == pytest.approx(
            len(of_value) * holdout, abs=1.01
        )
    again = split_by_source(sources, scores, holdout=holdout, seed=3)[1]
    other = split_by_source(sources, scores, holdout=holdout, seed=4)[1]
    assert np.array_equal(again, held_out) and not np.array_equal(other, held_out)


def test_a_split_has_something_on_either_side():
    for holdout in (0.01, 0.99):
        parts = split_by_source(["a", "b"], [1, 5], holdout=holdout)
        assert [len(part) for part in parts] == [1, 1]
    with pytest.raises(ValueError, match="Received: 1 pictures"):
        split_by_source(["a", "a"], [1, 1])


def test_variations_are_what_they_are_called():
    rng, original = np.random.default_rng(0), picture(0, (16, 12))
    smooth = np.full((12, 16, 3), 100, "uint8")
    smooth[4:8, 6:10] = 200

    def varied(picture, **changes):
        return vary(picture, rng, ScorerPreset(**{**vars(STILL), **changes}))

    np.testing.assert_array_equal(varied(original), original)
    np.testing.assert_array_equal(varied(original, flip=1), original[:, ::-1])
    larger = varied(smooth, zoom=(1.49999, 1.50001))
    assert (larger > 150).sum() == pytest.approx(2.25 * (smooth > 150).sum(), rel=0.2)
    assert 5 < varied(original, blur=1).std() < original.std() - 5
    np.testing.assert_allclose(varied(smooth, shift=0.2).max(), 200, atol=1)
    light = [varied(smooth, brightness=0.2) for _ in range(40)]
    assert min(p[0, 0, 0] for p in light) < 95 and max(p[0, 0, 0] for p in light) > 105
    for picture_ in light:  # a change of light keeps what is alike alike
        assert len(np.unique(picture_)) == 2


def test_batches_do_not_depend_on_how_often_they_are_asked_for(crops, tmp_path):
    found, _ = rated_crops(crops)
    stored = store_crops(found * 4, (8, 8), tmp_path / "cache")
    preset = ScorerPreset(batch_size=4)
    once, again = (CropBatches(stored, preset, seed=2) for _ in range(2))
    for batches in (once, again):
        batches.epoch = 3
    _ = once[0]
    x, y = once[2]
    assert x.shape == (4, 8, 8, 3) and x.dtype == np.uint8
    np.testing.assert_array_equal(x, again[2][0])
    np.testing.assert_array_equal(y, again[2][1])
    once.epoch = 4
    assert not np.array_equal(once[2][0], x)
