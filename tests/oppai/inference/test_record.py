"""Test that a file knows what was restored in it, so that it is done once."""

import cv2
import numpy as np
import pytest
from PIL import Image

from illustkit.images import read_picture, uint8_to_signed
from illustkit.images.notes import read_note, with_note
from oppai.inference.files import restore_files
from oppai.inference.marks import NothingCensoredError
from oppai.inference.record import KEY, read_record
from oppai.inference.restore import restore
from oppai.models.restorers import BaseRestorer

FIRST, SECOND = (10, 12, 22, 24), (34, 40, 50, 52)


class Constant(BaseRestorer):
    """Fills what is marked with one grey."""

    image_size = 32

    def __init__(self, level):
        super().__init__()
        self.level = level

    def predict(self, picture, hole, grid=None, missing=None):
        return uint8_to_signed(np.full_like(picture, self.level, np.uint8))


def drawn(seed=0):
    coarse = np.random.default_rng(seed).integers(20, 200, (8, 8, 3), np.uint8)
    return cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)


def run(path, target, boxes=(FIRST,), level=100, **options):
    options = {"boxes": list(boxes), "feather": 2, "blend": 1, **options}
    return restore_files(
        path, restorer=Constant(level), output=target, progress=False, **options
    )


@pytest.fixture(params=["png", "jpg"])
def files(request, tmp_path):
    """Return a picture's path, that of its result, and that of a result's result."""
    names = (f"{name}.{request.param}" for name in ("a", "b", "c"))
    first, second, third = (tmp_path / name for name in names)
    Image.fromarray(drawn()).save(first, quality=90)
    assert run(first, second).written == [second]
    return first, second, third


def test_the_record_names_what_changed(files):
    _, second, _ = files
    ((left, top, right, bottom),) = read_record(second, read_picture(second).rgb)
    assert left <= FIRST[0] and top <= FIRST[1]
    assert right >= FIRST[2] and bottom >= FIRST[3]
    assert right - left <= 18


def test_what_was_restored_is_not_restored_again(files):
    _, second, third = files
    report = run(second, third)
    ((path, reason),) = report.unmarked
    assert path == second and not third.exists()
    assert "restored before" in reason and "again" in reason


@pytest.mark.parametrize("option", ["again", "fill"])
def test_it_is_restored_again_if_that_is_asked_for(files, option):
    _, second, third = files
    assert run(second, third, level=200, **{option: True}).written == [third]
    pixel = read_picture(third).rgb[FIRST[1] + 6, FIRST[0] + 6]
    np.testing.assert_allclose(pixel, 200, atol=15)


def test_another_part_is_restored_and_the_first_stays(files):
    _, second, third = files
    assert run(second, third, boxes=[FIRST, SECOND]).written == [third]
    before, after = (read_picture(path).rgb for path in files[1:])
    own, other = (np.s_[b[1] : b[3], b[0] : b[2]] for b in (FIRST, SECOND))
    np.testing.assert_array_equal(after[own], before[own])
    assert (after[other] != before[other]).any()
    assert len(read_record(third, after)) == 2


def test_a_part_that_was_edited_since_counts_no_more(files):
    _, second, third = files
    pixels = read_picture(second).rgb.copy()
    pixels[FIRST[1] + 3, FIRST[0] + 3] = 255 - pixels[FIRST[1] + 3, FIRST[0] + 3]
    assert read_record(second, pixels) == []


@pytest.mark.parametrize("note", ["", "{}", "[1]", '[[1, 2, "a"]]', "[[9e9, 0, 1, 1]]"])
def test_a_record_that_makes_no_sense_is_none(files, note):
    _, second, _ = files
    second.write_bytes(with_note(second.read_bytes(), KEY, note))
    assert read_record(second, read_picture(second).rgb) == []


def test_other_formats_are_written_without_a_record(tmp_path):
    Image.fromarray(drawn()).save(tmp_path / "a.bmp")
    assert run(tmp_path / "a.bmp", tmp_path / "b.bmp").written
    assert read_note((tmp_path / "b.bmp").read_bytes(), KEY) is None


def test_an_array_is_told_what_was_done():
    picture, done = drawn(), np.zeros((64, 64), bool)
    done[8:28, 6:26] = True
    with pytest.raises(NothingCensoredError, match="restored before"):
        restore(picture, restorer=Constant(100), boxes=[FIRST], feather=2, done=done)
