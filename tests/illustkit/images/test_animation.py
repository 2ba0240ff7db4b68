"""Animations made by Pillow come in with all frames, and go out as they were."""

import weakref

import numpy as np
import pytest
from PIL import Image, ImageSequence

from illustkit.images import ImageError
from illustkit.images.animation import count_frames, read_animation, write_animation

DURATIONS = [100, 40, 250]
OPTIONS = {"gif": {}, "png": {}, "webp": {"lossless": True, "exact": True}}


def frames_of(n=3, height=24, width=32, clear=False):
    """Frames of 40 colours with a moving square; alpha 0 in a corner where asked."""
    colours = np.random.default_rng(0).integers(0, 256, (40, 3), np.uint8)
    frames = []
    for i in range(n):
        index = np.random.default_rng(7).integers(0, 40, (height, width))
        index[4:10, 5 * i : 5 * i + 6] = 39 - i
        alpha = np.full((height, width), 255, np.uint8)
        if clear:
            alpha[12:, : 6 + i] = 0
        frames.append(np.dstack([colours[index], alpha]))
    return frames


def save(path, frames, **options):
    images = [Image.fromarray(frame) for frame in frames]
    options = {**OPTIONS[path.suffix[1:]], "duration": DURATIONS, "loop": 2, **options}
    if path.suffix == ".gif":
        options["disposal"] = 2
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    return path


def seen(path):
    """The frames as Pillow shows them, black where they are transparent."""
    with Image.open(path) as image:
        frames = [np.array(f.convert("RGBA")) for f in ImageSequence.Iterator(image)]
        timing = []
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            timing.append(image.info["duration"])
        return frames, timing, image.info.get("loop")


def shown(frames):
    return [np.where(f[..., 3:] > 0, f, 0) for f in frames]


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("kind", OPTIONS)
def test_frames_timing_and_loop_come_back(tmp_path, kind, clear):
    frames = frames_of(clear=clear)
    path = save(tmp_path / f"a.{kind}", frames)
    assert count_frames(path) == (3, kind.upper())
    animation = read_animation(path)
    np.testing.assert_array_equal(shown(animation.frames), shown(frames))
    written = write_animation(tmp_path / f"b.{kind}", animation.frames, like=animation)
    again, timing, loop = seen(written)
    np.testing.assert_array_equal(shown(again), shown(frames))
    assert timing == DURATIONS and loop == 2


def test_a_full_palette_keeps_the_colours_of_unchanged_pixels(tmp_path):
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 256, (256, 3), np.uint8)
    index = np.concatenate([np.arange(256), rng.integers(0, 256, 512)])
    images = [Image.fromarray(np.roll(index, i).astype(np.uint8).reshape(24, 32))
              for i in range(3)]  # fmt: skip
    for image in images:
        image.putpalette(colours.tobytes())
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:])
    frames = [np.array(image.convert("RGBA")) for image in images]
    animation = read_animation(tmp_path / "a.gif")
    np.testing.assert_array_equal(animation.frames, frames)
    changed = [frame.copy() for frame in frames]
    for frame in changed:
        frame[8:14, 8:20, :3] = rng.integers(0, 256, (6, 12, 3))
    again, _, _ = seen(write_animation(tmp_path / "b.gif", changed, like=animation))
    kept = np.ones((24, 32), bool)
    kept[8:14, 8:20] = False
    for frame, before, wish in zip(again, frames, changed, strict=True):
        np.testing.assert_array_equal(frame[kept], before[kept])
        error = np.abs(frame.astype(int) - wish)[~kept].max(-1)
        assert 0 < error.mean() < 40  # the nearest of 256 colours


def test_a_still_picture_before_the_animation_stays_so(tmp_path):
    path = save(tmp_path / "a.png", frames_of(4), default_image=True)
    animation = read_animation(path)
    assert animation.default_image and len(animation.frames) == 4
    written = write_animation(tmp_path / "b.png", animation.frames, like=animation)
    with Image.open(written) as image:
        assert image.default_image and image.n_frames == 4


def test_frames_are_turned_as_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.webp", frames_of(), exif=exif)
    animation = read_animation(path)
    assert animation.frames[0].shape == (32, 24, 4)
    np.testing.assert_array_equal(animation.frames[1], np.rot90(frames_of()[1], -1))
    written = write_animation(tmp_path / "b.webp", animation.frames, like=animation)
    np.testing.assert_array_equal(seen(written)[0], frames_of())
    with Image.open(written) as image:
        assert image.getexif()[0x0112] == 6


def test_what_cannot_be_is_told(tmp_path):
    path = save(tmp_path / "a.gif", frames_of())
    animation = read_animation(path)
    with pytest.raises(
        ImageError, match=r"b.jpg: JPEG holds one frame, and .*a.gif has"
    ):
        write_animation(tmp_path / "b.jpg", animation.frames, like=animation)
    with pytest.raises(ImageError, match="3 frames of 32 x 24; the limit is 0.001"):
        read_animation(path, max_pixels=1000)
    Image.new("RGB", (8, 8)).save(tmp_path / "still.png")
    with pytest.raises(ImageError, match="is no animation"):
        read_animation(tmp_path / "still.png")
    assert count_frames(tmp_path / "still.png") == (1, "PNG")
    assert count_frames(tmp_path / "no.png") == (1, "")
    cut = tmp_path / "cut.webp"
    data = save(tmp_path / "whole.webp", frames_of()).read_bytes()
    cut.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ImageError, match="cut.webp: "):
        read_animation(cut)


@pytest.mark.parametrize("kind", OPTIONS)
def test_frames_are_decoded_when_asked_for_in_any_order_and_forgotten(tmp_path, kind):
    path = save(tmp_path / f"a.{kind}", frames_of(clear=True))
    frames = read_animation(path).frames
    wanted, _, _ = seen(path)
    for i in (2, 0, -2, 1, 2):
        np.testing.assert_array_equal(shown([frames[i]]), shown([wanted[i]]))
    assert len(frames) == len(frames[:]) == 3
    np.testing.assert_array_equal(frames[::-1][0], frames[2])
    with pytest.raises(IndexError):
        frames[3]
    first = weakref.ref(frames[0])
    assert first() is frames[0]
    assert frames[1] is not None and first() is None
