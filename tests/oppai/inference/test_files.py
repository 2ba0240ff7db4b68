import json
import os
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageSequence

from illustkit.errors import UserError
from illustkit.images import uint8_to_signed
from illustkit.progress import listening
from oppai.censoring.regions import Region
from oppai.detection.find_censored import Found, find_censored
from oppai.inference.files import restore_files
from oppai.inference.marks import mask_alpha
from oppai.inference.restore import restore
from oppai.models.pretrained import load_restorer
from oppai.models.restorers import BaseRestorer

BOX = (10, 12, 22, 24)


class Constant(BaseRestorer):
    image_size = 32

    def predict(self, picture, hole, grid=None, missing=None):
        return uint8_to_signed(np.full_like(picture, (200, 30, 90)))


def noise(height=40, width=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def save(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


def run(paths, **options):
    options = {"boxes": [BOX], **options}
    return restore_files(
        paths, restorer=Constant(), feather=0, progress=False, **options
    )


def inside(shape):
    marked = np.zeros(shape[:2], bool)
    marked[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    return marked


def test_a_folder_goes_on_past_broken_files(tmp_path):
    for name in ("b.png", "sub/a.png"):
        save(tmp_path / name, noise())
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (tmp_path / "empty.jpg").touch()
    save(tmp_path / "small.png", noise(6, 6))  # the box lies outside
    (tmp_path / "notes.txt").write_text("no picture")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    report = run(tmp_path)
    folder = tmp_path / "restored"
    assert report.written == [folder / "b.png", folder / "sub/a.png"]
    left_out = {path.name: reason for path, reason in report.left_out}
    assert sorted(left_out) == ["broken.png", "empty.jpg", "small.png"]
    assert "wholly outside" in left_out["small.png"]
    lines = str(report).splitlines()
    assert lines[0] == "2 restored, 3 left out." and len(lines) == 4
    assert all(line.count(".png") + line.count(".jpg") >= 1 for line in lines[1:])
    for path, content in before.items():
        assert path.read_bytes() == content
    given, restored = noise(), np.asarray(Image.open(folder / "sub/a.png"))
    assert (restored[~inside(given.shape)] == given[~inside(given.shape)]).all()
    assert (restored[inside(given.shape)] == (200, 30, 90)).all()
    assert len(run(tmp_path / "sub", output=tmp_path / "up").written) == 1
    assert len(run(tmp_path / "sub", output=tmp_path).written) == 1
    (tmp_path / "a.png").unlink()
    (tmp_path / "up/a.png").unlink()
    # What was written is no input of the next run, nor replaced without a word.
    again = run(tmp_path)
    assert again.written == [] and again.skipped == report.written
    assert again.left_out == report.left_out
    assert str(again).startswith("0 restored, 2 exist already, 3 left out.")
    assert run(tmp_path, overwrite=True).written == report.written


def test_files_go_beside_or_where_told(tmp_path):
    a, b = save(tmp_path / "x/a.png", noise()), save(tmp_path / "y/a.png", noise())
    assert run(a).written == [tmp_path / "x/a_restored.png"]
    assert run(a, output=tmp_path / "out.webp").written == [tmp_path / "out.webp"]
    report = run([a, b], output=tmp_path / "both")
    assert report.written == [tmp_path / "both/a.png"]
    assert report.left_out[0][0] == b and "another picture" in report.left_out[0][1]
    # Over the picture itself only when told so.
    original = a.read_bytes()
    with pytest.raises(UserError, match="a.png: is the picture itself"):
        run([b, a], output=tmp_path / "x")
    assert a.read_bytes() == original
    assert run(a, output=tmp_path / "x", overwrite=True).written == [a]
    assert a.read_bytes() != original
    again = run([a, b], output=tmp_path / "both")
    assert again.skipped == report.written and again.left_out == report.left_out
    # A result beside its picture is no picture of the folder.
    report = run(tmp_path / "x", output=tmp_path / "folder", again=True)
    assert [path.name for path in report.written] == ["a.png"]


def test_alpha_and_colours_under_it_stay(tmp_path):
    alpha = np.full((40, 50), 255, np.uint8)
    alpha[:, 16:] = 128
    alpha[20:, :] = 0
    path = save(tmp_path / "a.png", np.dstack([noise(), alpha]))
    run(path)
    restored = Image.open(tmp_path / "a_restored.png")
    assert restored.mode == "RGBA"
    restored, given = np.asarray(restored), np.dstack([noise(), alpha])
    assert (restored[..., 3] == alpha).all()
    marked = inside(given.shape)
    assert (restored[~marked] == given[~marked]).all()
    assert (restored[marked & (alpha == 255), :3] == (200, 30, 90)).all()
    # Half transparent over white: as near to the colour as that can come.
    half = restored[marked & (alpha == 128), :3].astype(float)
    over_white = 255 - (255 - half) * 128 / 255
    assert np.abs(over_white - (200, 128, 128)).max() < 2


def test_rotation_exif_and_profile_stay(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a drawing"  # to be turned clockwise by 90°
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = np.full((50, 40, 3), 90, np.uint8)
    path = save(tmp_path / "a.jpg", picture, quality=95, exif=exif, icc_profile=profile)
    run(path)
    restored = Image.open(tmp_path / "a_restored.jpg")
    assert restored.size == (40, 50)
    assert restored.getexif()[0x0112] == 6
    assert restored.getexif()[0x010E] == "a drawing"
    assert restored.info["icc_profile"] == profile
    # The box counts in the upright picture, 50 wide and 40 high.
    upright = np.asarray(restored.transpose(Image.Transpose.ROTATE_270))
    red = upright[..., 0].astype(int)
    assert red[14:22, 12:20].min() > 170
    red[4:32, 2:30] = 90
    assert np.abs(red - 90).max() < 12


def test_masks_are_found_by_stem(tmp_path):
    mask = inside((40, 50)).astype(np.uint8) * 255
    for name in ("a.png", "b.png", "c.png", "sub/c.png", "d.png", "e.png"):
        save(tmp_path / "in" / name, noise())
    save(tmp_path / "in/masks/a.jpg", mask, quality=90)
    save(tmp_path / "in/masks/b.png", mask[:-1])
    save(tmp_path / "in/masks/c.png", 255 - mask)
    save(tmp_path / "in/masks/sub/c.png", mask)
    save(tmp_path / "in/masks/d.png", mask)
    save(tmp_path / "in/masks/d.bmp", mask)
    options = {"boxes": None, "masks": tmp_path / "in/masks"}
    report = run(tmp_path / "in", **options)
    names = [p.relative_to(tmp_path / "in/restored").as_posix() for p in report.written]
    assert names == ["a.png", "c.png", "sub/c.png"]
    left_out = {p.name: reason for p, reason in report.left_out}
    assert "50x39" in left_out["b.png"]
    assert "2 masks" in left_out["d.png"] and "no masks" in left_out["e.png"]
    for path in report.written:
        changed = (np.asarray(Image.open(path)) != noise()).any(axis=-1)
        wanted = inside((40, 50)) != (path == tmp_path / "in/restored/c.png")
        assert changed[wanted].mean() > 0.9 and changed[~wanted].mean() < 0.05
    one = run(tmp_path / "in/e.png", boxes=None, masks=tmp_path / "in/masks/sub/c.png")
    assert len(one.written) == 1
    folder = tmp_path / "in"
    same = run(folder / "e.png", boxes=None, masks=folder, output=tmp_path)
    assert "the picture itself" in same.left_out[0][1]


def test_boxes_come_from_the_metadata_by_name(tmp_path):
    def entry(name, width, height, boxes):
        keys = ("left", "top", "width", "height")
        return {
            "name": name,
            "filepath": f"elsewhere/{name}",
            "id": 1,
            "size": {"width": width, "height": height},
            "image_url": "",
            "original_url": "",
            "bounding_boxes": [dict(zip(keys, box, strict=True)) for box in boxes],
            "n_bounding_boxes": len(boxes),
        }

    metadata = tmp_path / "meta.json"
    entries = [
        entry("a.png", 50, 40, [(10, 12, 12, 12), (5, 5, 0, 9)]),
        entry("half.png", 100, 80, [(20, 24, 24, 24)]),
        entry("other.png", 40, 50, [(0, 0, 9, 9)]),
        entry("none.png", 50, 40, []),
    ]
    metadata.write_text(json.dumps(entries))
    for name in ("a", "half", "other", "none", "unknown"):
        save(tmp_path / f"in/{name}.png", noise())
    report = run(tmp_path / "in", boxes=None, metadata=metadata)
    assert [path.name for path in report.written] == ["a.png", "half.png"]
    for path in report.written:
        restored = np.asarray(Image.open(path))
        changed = (restored == (200, 30, 90)).all(axis=-1)
        assert (changed == inside(changed.shape)).all()
    none = tmp_path / "in/none.png"
    left_out = {p.name: reason for p, reason in report.left_out}
    assert "50x40" in left_out["other.png"] and "40x50" in left_out["other.png"]
    assert report.unmarked == [(none, "the metadata has no box for it")]
    assert "no entries" in left_out["unknown.png"]


def test_paint_by_its_colour(tmp_path):
    picture = np.full((40, 50, 3), 120, np.uint8)
    picture[inside(picture.shape)] = (0, 255, 0)
    save(tmp_path / "in/a.png", picture)
    save(tmp_path / "in/b.png", noise())
    report = run(tmp_path / "in", boxes=None, mask_colour=(0, 255, 0))
    assert [path.name for path in report.written] == ["a.png"]
    assert "Nothing is painted" in report.unmarked[0][1]
    restored = np.asarray(Image.open(report.written[0]))
    assert not (restored == (0, 255, 0)).all(axis=-1).any()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"masks": "masks"}, "boxes and masks"),
        ({"boxes": None, "masks": "no/such"}, "no/such: no such mask"),
        ({"boxes": None, "metadata": "no.json"}, "no.json"),
        ({"boxes": [(0.2, 0.4, 0.5, 0.6)]}, "fractions of the picture"),
        ({"boxes": [BOX, (9, 9, 3, 12)]}, "left < right"),
        ({"blend": 1.5}, "`blend` must be at least 0 and at most 1"),
        ({"blend": float("nan")}, "`blend` must be"),
        ({"feather": -1}, "`feather` must be"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"tolerance": 30}, "`mask_colour`: give both"),
        ({"boxes": None, "grow": 3}, "`grow` widens what is marked"),
        ({"grow": 1.5}, "`grow` must be"),
        ({"invert": True}, "`invert` turns a mask round"),
        ({"boxes": None, "masks": "alpha", "blend": 0.5}, "`blend` is 1"),
        ({"format": "gif"}, "`format` must be one of keep, png, jpg, webp"),
        ({"quality": 0}, "`quality` must be"),
        ({"quality": 80, "format": "png"}, "`quality` is for JPEG, WebP and AVIF"),
        ({"boxes": None, "mask_colour": (0, 300, 0)}, "0..255"),
        ({"boxes": None, "mask_colour": (0, 255, 0), "tolerance": 256}, "`tolerance`"),
        ({"boxes": None, "mask_colour": (0, 255, 0), "blend": 0.5}, "`blend` is 1"),
        ({"output": "out.png"}, "out.png: `output` is the name of one picture"),
        ({"output": "a.txt"}, "a.txt: `output` is a file"),
        ({"output": "a.txt/out"}, "a.txt: is a file, not a folder"),
    ],
)
def test_mistakes_stop_before_the_first_picture(tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "in/a.png", noise())
    (tmp_path / "a.txt").touch()
    options = {"feather": 0, "boxes": [BOX], **options}
    with pytest.raises(UserError, match=words):
        restore_files("in", restorer="no/run", progress=False, **options)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.png", "a.txt", "in"]


@pytest.mark.parametrize(
    "name, words",
    [
        ("out.xyz", "out.xyz: unknown picture extension"),
        ("out.jpg", "JPEG does not hold transparency"),
        ("out.gif", "GIF does not hold transparency"),
        ("out.bmp", "BMP does not hold transparency"),
    ],
)
def test_a_kind_of_file_that_cannot_be_is_refused_before_the_work(
    tmp_path, name, words
):
    path = save(tmp_path / "a.png", np.dstack([noise(), noise()[..., 0]]))

    class Never(BaseRestorer):
        def predict(self, *args):
            raise AssertionError("the work has begun")

    options = {"boxes": [BOX], "restorer": Never(), "progress": False}
    try:
        problem = str(restore_files(path, output=tmp_path / name, **options))
    except UserError as error:
        problem = str(error)
    assert words in problem and not (tmp_path / name).exists()


def test_several_pictures_do_not_go_into_one_file(tmp_path, monkeypatch):
    a, b = save(tmp_path / "a.png", noise()), save(tmp_path / "b.png", noise())
    with pytest.raises(UserError, match="x.png: `output` is .* one picture, and 2"):
        run([a, b], output=tmp_path / "x.png")
    with pytest.raises(UserError, match="c.png: no such file") as error:
        run([a, tmp_path / "c.png", tmp_path / "d.png"])
    assert len(error.value.problems) == 2
    with monkeypatch.context() as patched, pytest.raises(UserError) as error:
        patched.setattr(os, "access", lambda path, mode: path != tmp_path)
        run(a, output=tmp_path / "out/deep")
    assert "out/deep: cannot be written to" in str(error.value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("~/a.png", output="~/home").written == [tmp_path / "home/a.png"]


def test_pictures_that_show_nothing_are_not_copied(tmp_path, monkeypatch):
    marked = np.zeros((40, 50), bool)
    marked[12:24, 10:22] = True

    def find(picture):
        # "plain.png" is black.
        regions = [Region((10, 12, 22, 24), np.ones((12, 12), bool), "white")]
        return Found(regions if picture.any() else [], marked * np.uint8(255))

    monkeypatch.setattr("oppai.inference.one_file.find_censored", find)
    save(tmp_path / "a.png", noise())
    save(tmp_path / "plain.png", noise() * 0)
    report = run(tmp_path, boxes=None)
    assert report.written == [tmp_path / "restored/a.png"]
    assert [path.name for path, _ in report.unmarked] == ["plain.png"]
    assert not report.left_out
    assert str(report).startswith("1 restored, 1 show nothing censored.\n")
    assert "plain.png: nothing censored was found" in str(report)
    (tmp_path / "a.png").unlink()
    # Nothing to write: not even a folder is made, and no restorer loaded.
    options = {"output": tmp_path / "none", "progress": False}
    report = restore_files(tmp_path / "plain.png", restorer="no/run", **options)
    assert len(report.unmarked) == 1 and not (tmp_path / "none").exists()


def test_clean_pictures_are_copied_when_asked(tmp_path, monkeypatch):
    nothing = Found((), np.zeros((40, 50), np.uint8))
    monkeypatch.setattr("oppai.inference.one_file.find_censored", lambda _: nothing)
    for name in ("a.png", "sub/b.jpg", "c.gif"):
        save(tmp_path / "in" / name, noise()[..., 0])
    (tmp_path / "in/broken.png").write_bytes(b"none")
    options = {"boxes": None, "copy_clean": True}
    report = run(tmp_path / "in", output=tmp_path / "out", **options)
    assert [path.name for path in report.copied] == ["a.png", "c.gif", "b.jpg"]
    assert str(report).startswith("0 restored, 3 copied as they are, 1 left out.")
    for path in report.copied:
        source = tmp_path / "in" / path.relative_to(tmp_path / "out")
        assert path.read_bytes() == source.read_bytes()
    again = run(tmp_path / "in", output=tmp_path / "out", **options)
    assert again.skipped == report.copied and not again.copied
    # In another format it is the same picture.
    options |= {"format": "webp", "output": tmp_path / "webp"}
    report = run(tmp_path / "in/a.png", **options)
    shown = Image.open(report.copied[0])
    assert shown.format == "WEBP"
    np.testing.assert_array_equal(np.asarray(shown)[..., 0], noise()[..., 0])
    # A copy onto itself would be none.
    before = (tmp_path / "in/a.png").read_bytes()
    place = {"output": tmp_path / "in", "overwrite": True, "format": "keep"}
    run(tmp_path / "in/a.png", **{**options, **place})
    assert (tmp_path / "in/a.png").read_bytes() == before


def test_a_quality_compresses_the_whole_picture(tmp_path):
    y, x = np.mgrid[:64, :64]
    smooth = np.stack([x * 4, y * 4, 128 + 0 * x], -1).astype(np.uint8)
    path = save(tmp_path / "a.jpg", smooth, quality=95)
    (kept,) = run(path, output=tmp_path / "keep").written
    sizes = {}
    for format in ("keep", "webp"):
        for quality in (90, 20):
            folder = tmp_path / f"{format}{quality}"
            options = {"format": format, "quality": quality, "output": folder}
            (written,) = run(path, **options).written
            sizes[format, quality] = written.stat().st_size
    assert sizes["keep", 20] < sizes["keep", 90] < 2 * kept.stat().st_size
    assert sizes["webp", 20] < sizes["webp", 90]
    with Image.open(tmp_path / "keep20/a.jpg") as image:
        told = image.quantization
    save(tmp_path / "wanted.jpg", smooth, quality=20)
    with Image.open(tmp_path / "wanted.jpg") as image:
        assert told == image.quantization
    # Of a PNG nothing is lost at any quality.
    path = save(tmp_path / "b.png", noise())
    (written,) = run(path, quality=20).written
    outside = ~inside((40, 50))
    np.testing.assert_array_equal(
        np.asarray(Image.open(written))[outside], noise()[outside]
    )


def test_the_mask_of_what_is_restored_is_saved_and_marks_the_same_again(tmp_path):
    path = save(tmp_path / "in/a.png", noise())
    masks = tmp_path / "masks"
    run(path, save_masks=masks, output=tmp_path / "one")
    mask = np.asarray(Image.open(masks / "a.png"))
    np.testing.assert_array_equal(mask, inside((40, 50)) * 255)
    options = {"boxes": None, "masks": masks, "output": tmp_path / "two"}
    run(tmp_path / "in", **options)
    one, two = (tmp_path / name / "a.png" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    # The same mask may be there, another one only when it may be replaced.
    (one.unlink(), run(path, save_masks=masks, output=tmp_path / "one"))
    assert one.exists()
    save(masks / "a.png", mask[::-1])
    report = run(path, save_masks=masks, output=tmp_path / "three")
    assert "another mask is here" in report.left_out[0][1]
    assert not (tmp_path / "three").exists()
    options = {"save_masks": masks / "b.png", "output": tmp_path / "c.png"}
    assert run(path, **options).written and (masks / "b.png").exists()


def test_what_was_erased_is_restored_and_opaque(tmp_path):
    alpha = np.where(inside((40, 50)), 0, 255).astype(np.uint8)
    save(tmp_path / "in/a.png", np.dstack([noise(), alpha]))
    save(tmp_path / "in/b.png", noise())
    report = run(tmp_path / "in", boxes=None, masks="alpha")
    (written,) = report.written
    restored = Image.open(written)
    assert restored.mode == "RGB"
    wanted = np.where(inside((40, 50))[..., None], (200, 30, 90), noise())
    np.testing.assert_array_equal(np.asarray(restored), wanted)
    ((left, reason),) = report.unmarked
    assert left.name == "b.png" and "no transparent part" in reason
    # So it can be written as a format without transparency.
    assert run(tmp_path / "in/a.png", boxes=None, masks="alpha", format="jpg").written


def test_a_run_that_was_stopped_goes_on(tmp_path):
    names = ["a.png", "b.png", "c.png"]
    for name in names:
        save(tmp_path / name, noise())

    class Stopped(Constant):
        calls = 0

        def predict(self, *args):
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().predict(*args)

    options = {"boxes": [BOX], "feather": 0, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        restore_files(tmp_path, restorer=Stopped(), **options)
    folder = tmp_path / "restored"
    assert [path.name for path in folder.iterdir()] == ["a.png"]
    # A process that was killed while it wrote leaves a part, which is no result.
    (folder / ".0123abcd-0123abcd.part").write_bytes(b"half")
    report = restore_files(tmp_path, restorer=Constant(), **options)
    assert [path.name for path in report.skipped] == names[:1]
    assert [path.name for path in report.written] == names[1:]


def test_a_run_that_cannot_be_loaded_is_told_once(tmp_path):
    save(tmp_path / "a.png", noise())
    save(tmp_path / "b.png", noise())
    with pytest.raises(UserError, match="no/where holds no run"):
        restore_files(tmp_path, boxes=[BOX], restorer="no/where", progress=False)


def test_a_bug_is_no_damaged_picture(tmp_path):
    class Broken(Constant):
        def predict(self, *args):
            raise ZeroDivisionError

    save(tmp_path / "a.png", noise())
    with pytest.raises(ZeroDivisionError):
        restore_files(tmp_path, boxes=[BOX], restorer=Broken(), progress=False)


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_every_frame_of_an_animation_is_restored(tmp_path, kind, monkeypatch):
    frames = [np.full((40, 50, 3), (9, 60 + 50 * i, 7), np.uint8) for i in range(3)]
    for i, frame in enumerate(frames):
        frame[2:8, 5 * i : 5 * i + 6] = 250
    images = [Image.fromarray(frame) for frame in frames]
    path = tmp_path / f"a.{kind}"
    lossless = {"lossless": True} if kind == "webp" else {}
    timing = {"duration": [80, 120, 40], "loop": 3}
    images[0].save(path, save_all=True, append_images=images[1:], **timing, **lossless)
    heard = []
    with listening(lambda stage, done, total: heard.append((stage, done, total))):
        (written,) = run(path, save_masks=tmp_path / "mask.png").written
    assert heard == [("frames", done, 3) for done in range(4)]
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    np.testing.assert_array_equal(mask, inside((40, 50)) * 255)
    assert written == tmp_path / f"a_restored.{kind}"
    marked = inside((40, 50))
    with Image.open(written) as image:
        again = [np.array(f.convert("RGB")) for f in ImageSequence.Iterator(image)]
        assert image.info["loop"] == 3
    for restored, frame in zip(again, frames, strict=True):
        np.testing.assert_array_equal(restored[~marked], frame[~marked])
        assert (restored[marked] == (200, 30, 90)).all()

    # What is found is found per frame; the others stay.
    def find(picture):
        return Found([1] if picture[20, 30, 1] == 110 else [], marked * np.uint8(255))

    monkeypatch.setattr("oppai.inference.one_file.find_censored", find)
    monkeypatch.setattr(
        "oppai.inference.restore._hidden",
        lambda picture, found, feather: (
            mask_alpha(found.mask, (40, 50), feather=0),
            [],
        ),
    )
    (written,) = run(path, boxes=None, overwrite=True).written
    with Image.open(written) as image:
        again = [np.array(f.convert("RGB")) for f in ImageSequence.Iterator(image)]
    changed = [(a != b).any() for a, b in zip(again, frames, strict=True)]
    assert changed == [False, True, False]
    other = run(path, boxes=None, format="webp", quality=50, output=tmp_path / "x")
    with Image.open(other.written[0]) as image:
        assert (image.format, image.n_frames) == ("WEBP", 3)
    report = run(path, boxes=None, masks="alpha", overwrite=True)
    assert "does not tell what was erased" in report.left_out[0][1]
    still = run(path, output=tmp_path / "still.jpg")
    assert "JPEG holds one frame" in str(still) and not still.written


def test_a_warning_names_each_picture(tmp_path, monkeypatch, caplog):
    def warn(shown, **options):
        warnings.warn("a part is left as it is", stacklevel=2)
        return shown

    monkeypatch.setattr("oppai.inference.one_file.restore", warn)
    for name in ("a.png", "b.png"):
        save(tmp_path / name, noise())
    assert len(run(tmp_path).written) == 2
    for name in ("a.png", "b.png"):
        assert f"{name}: a part is left as it is" in caplog.text


def test_pages_that_are_not_restored_are_told(tmp_path, caplog):
    images = [Image.fromarray(noise(seed=i)) for i in range(3)]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    assert run(tmp_path / "a.tif").written
    assert "of its 3 pictures, the first is restored" in caplog.text


def test_nothing_to_do(tmp_path):
    with pytest.raises(ValueError, match="no picture"):
        run(tmp_path)
    with pytest.raises(ValueError, match="No picture"):
        run([])


def test_progress_inside_a_picture_is_told():
    heard = set()
    with listening(lambda stage, done, total: heard.add((stage, done == total))):
        find_censored(noise(96, 96))
        restore(noise(), boxes=[BOX], restorer=load_restorer("default"), fill=True)
    for stage in ("looking for grids", "restoring tiles"):
        assert (stage, True) in heard, heard
