"""Test that a file knows what was restored in it, so that it is done once."""

import cv2
import numpy as np
import pytest
from PIL import Image

from illustkit.images import read_picture, uint8_to_signed
from illustkit.images.animation import read_animation, write_animation
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


def boxes_of(path, rgb=None):
    """Return the boxes that a file's record names and its pixels confirm."""
    return read_record(path).boxes_in(read_picture(path).rgb if rgb is None else rgb)


@pytest.fixture(params=["png", "jpg", "webp", "lossless webp", "gif"])
def files(request, tmp_path):
    """Return a picture's path, that of its result, and that of a result's result."""
    kind, _, suffix = request.param.rpartition(" ")
    first, second, third = (tmp_path / f"{name}.{suffix}" for name in ("a", "b", "c"))
    options = {} if suffix == "gif" else {"quality": 90}
    options |= {"lossless": True} if kind == "lossless" else {}
    Image.fromarray(drawn()).save(first, **options)
    assert run(first, second).written == [second]
    return first, second, third


def test_the_record_names_what_changed(files):
    _, second, _ = files
    ((left, top, right, bottom),) = boxes_of(second)
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
    # Few of a GIF's 256 colours are free.
    np.testing.assert_allclose(pixel, 200, atol=60 if third.suffix == ".gif" else 15)


def test_another_part_is_restored_and_the_first_stays(files):
    _, second, third = files
    assert run(second, third, boxes=[FIRST, SECOND]).written == [third]
    before, after = (read_picture(path).rgb for path in files[1:])
    own, other = (np.s_[b[1] : b[3], b[0] : b[2]] for b in (FIRST, SECOND))
    # A WebP with losses is compressed anew as a whole.
    lossy = third.suffix == ".webp" and b"VP8L" not in third.read_bytes()
    np.testing.assert_allclose(
        after[own].astype(int), before[own], atol=12 if lossy else 0
    )
    assert (after[other] != before[other]).any()
    assert len(boxes_of(third)) == 2


def test_a_part_that_was_edited_since_counts_no_more(files):
    _, second, third = files
    pixels = read_picture(second).rgb.copy()
    pixels[FIRST[1] + 3, FIRST[0] + 3] = 255 - pixels[FIRST[1] + 3, FIRST[0] + 3]
    assert boxes_of(second, pixels) == []


@pytest.fixture(params=["gif", "png", "webp"])
def animation(request, tmp_path):
    """Return an animation's path, that of its result, and that of a result's result."""
    paths = [tmp_path / f"{name}.{request.param}" for name in ("a", "b", "c")]
    frames = [Image.fromarray(drawn(seed)) for seed in range(3)]
    frames = [frame.quantize(200).convert("RGB") for frame in frames]
    options = {"save_all": True, "append_images": frames[1:], "duration": [40, 60, 80]}
    options |= {"lossless": True} if request.param == "webp" else {}
    frames[0].save(paths[0], **options)
    assert run(paths[0], paths[1]).written == [paths[1]]
    return paths


def test_an_animation_is_restored_once(animation):
    first, second, third = animation
    before, after = (read_animation(path) for path in (first, second))
    assert after.durations == before.durations and after.loop == before.loop
    for frame in after.frames:
        assert len(boxes_of(second, frame[..., :3])) == 1
    report = run(second, third)
    assert [path for path, _ in report.unmarked] == [second] and not third.exists()
    assert run(second, third, again=True, level=200).written == [third]


def test_a_frame_of_an_animation_that_was_edited_is_restored_again(animation):
    _, second, third = animation
    frames = [frame.copy() for frame in read_animation(second).frames]
    note = read_note(second.read_bytes(), KEY)
    frames[1][FIRST[1] : FIRST[3], FIRST[0] : FIRST[2], :3] = (0, 0, 0)
    write_animation(second, frames, like=read_animation(second))
    second.write_bytes(with_note(second.read_bytes(), KEY, note))
    assert run(second, third, level=150).written == [third]
    before, after = (read_animation(path).frames for path in (second, third))
    changed = [(a != b).any() for a, b in zip(after, before, strict=True)]
    assert changed == [False, True, False]


@pytest.mark.parametrize("note", ["", "{}", "[1]", '[[1, 2, "a"]]', "[[9e9, 0, 1, 1]]"])
def test_a_record_that_makes_no_sense_is_none(files, note):
    _, second, _ = files
    second.write_bytes(with_note(second.read_bytes(), KEY, note))
    assert boxes_of(second) == []


def test_other_formats_are_written_without_a_record(tmp_path):
    Image.fromarray(drawn()).save(tmp_path / "a.bmp")
    assert run(tmp_path / "a.bmp", tmp_path / "b.bmp").written
    assert read_note((tmp_path / "b.bmp").read_bytes(), KEY) is None


def test_an_array_is_told_what_was_done():
    picture, done = drawn(), np.zeros((64, 64), bool)
    done[8:28, 6:26] = True
    with pytest.raises(NothingCensoredError, match="restored before"):
        restore(picture, restorer=Constant(100), boxes=[FIRST], feather=2, done=done)
