import numpy as np
import pytest

from diffusion.training.noised_icons import NoisedIcons


def numbered(n, height=2, width=4, channels=3):
    """Pictures that tell their number, and whether they were mirrored."""
    pictures = np.zeros((n, height, width, channels), np.uint8)
    pictures[...] = np.arange(n)[:, None, None, None]
    pictures[:, :, 0] += 100
    return pictures


def batches_of(pictures, *, steps, batch_size, epoch=0, **options):
    options = {"timesteps": 10, **options}
    made = NoisedIcons(pictures, steps=steps, batch_size=batch_size, **options)
    made.epoch = epoch
    return made


def numbers_of(x):
    return x["pictures"].max(axis=(1, 2, 3)).astype(int) - 100


def test_every_pass_deals_every_icon_once():
    n, dealt = 7, []
    for epoch in range(7):
        made = batches_of(numbered(n), steps=3, batch_size=4, epoch=epoch)
        dealt += [numbers_of(made[i][0]) for i in range(3)]
    passes = np.concatenate(dealt).reshape(-1, n)  # 84 icons, 12 passes
    assert len(passes) == 12
    np.testing.assert_array_equal(np.sort(passes), np.tile(np.arange(n), (12, 1)))
    assert len({tuple(p) for p in passes}) >= 11
    other = batches_of(numbered(n), steps=3, batch_size=4, seed=1)
    first = np.concatenate([numbers_of(other[i][0]) for i in range(3)])
    assert first.tolist() != np.concatenate(dealt[:3]).tolist()


def test_a_batch_larger_than_the_set_repeats_it():
    x = batches_of(numbered(3), steps=1, batch_size=8)[0][0]
    assert np.bincount(numbers_of(x), minlength=3).tolist() in (
        [3, 3, 2],
        [3, 2, 3],
        [2, 3, 3],
    )


def test_a_batch_is_the_same_whatever_was_made_before():
    options = {"steps": 4, "batch_size": 3, "self_condition": 0.5, "seed": 5}
    walked = batches_of(numbered(5), **options)
    seen = {}
    for epoch in range(3):
        walked.epoch = epoch
        seen |= {(epoch, i): walked[i][0] for i in range(4)}
    for epoch, i in [(2, 3), (0, 1), (2, 0), (1, 2)]:
        alone = batches_of(numbered(5), epoch=epoch, **options)[i][0]
        assert alone.keys() == {"pictures", "t", "noise", "see_own"}
        for name, value in alone.items():
            np.testing.assert_array_equal(value, seen[epoch, i][name])
    assert not np.array_equal(seen[0, 0]["noise"], seen[1, 0]["noise"])
    assert not np.array_equal(seen[0, 0]["noise"], seen[0, 1]["noise"])


def test_timesteps_noise_and_chances_are_as_they_should_be():
    made = batches_of(
        numbered(6), steps=100, batch_size=40, flip=0.3, self_condition=0.8
    )
    parts = [made[i][0] for i in range(100)]
    joined = {k: np.concatenate([x[k] for x in parts]) for k in parts[0]}
    counts = np.bincount(joined["t"], minlength=10)
    assert len(counts) == 10
    # Binomial (4000, 1/10): five standard deviations are 95.
    assert np.abs(counts - 400).max() < 95
    # The mirrored ones have their first column last.
    mirrored = joined["pictures"][:, 0, 0, 0] < 100
    assert abs(mirrored.mean() - 0.3) < 0.04
    whole = np.where(
        mirrored[:, None, None, None],
        joined["pictures"][:, :, ::-1],
        joined["pictures"],
    )
    np.testing.assert_array_equal(whole, numbered(6)[numbers_of(joined)])
    assert set(joined["see_own"].tolist()) == {0.0, 1.0}
    assert abs(joined["see_own"].mean() - 0.8) < 0.04
    assert abs(np.corrcoef(mirrored, joined["see_own"])[0, 1]) < 0.08
    noise = joined["noise"].reshape(4000, -1)
    assert abs(noise.mean()) < 0.02 and abs(noise.var() - 1) < 0.03
    assert abs((noise**4).mean() - 3) < 0.2
    # No two samples of a batch share their noise.
    close = np.corrcoef(noise[:40])
    assert np.abs(close - np.eye(40)).max() < 0.95


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shapes_types_and_the_extremes_of_chance(channels):
    pictures = numbered(5, 4, 6, channels)
    x = batches_of(pictures, steps=1, batch_size=5, flip=1.0)[0][0]
    assert {k: (v.shape, v.dtype.name) for k, v in x.items()} == {
        "pictures": ((5, 4, 6, channels), "uint8"),
        "t": ((5,), "int32"),
        "noise": ((5, 4, 6, channels), "float32"),
        "see_own": ((5,), "float32"),
    }
    assert not x["see_own"].any() and (x["pictures"][:, 0, -1] >= 100).all()
    x = batches_of(pictures, steps=1, batch_size=5, flip=0.0)[0][0]
    assert (x["pictures"][:, 0, 0] >= 100).all()
    assert pictures[:, :, 0].min() == 100  # the set itself is not turned


def test_a_set_on_disk_stays_there():
    """Only the icons of the batch are read, one after the other."""

    class OnDisk:
        shape, read = (4096, 4, 4, 3), []

        def __len__(self):
            return 4096

        def __getitem__(self, index):
            self.read.append(int(index))
            return np.full((4, 4, 3), index % 256, np.uint8)

    x = batches_of(OnDisk(), steps=2, batch_size=8)._batch(0, 0)[0]
    assert type(x["pictures"]) is np.ndarray
    assert len(OnDisk.read) == 8
    expected = [index % 256 for index in OnDisk.read]
    np.testing.assert_array_equal(x["pictures"][:, 0, 0, 0], expected)
