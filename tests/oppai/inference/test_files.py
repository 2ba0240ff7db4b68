import json

import numpy as np
import pytest
from PIL import Image, ImageCms

from illustkit.images import uint8_to_signed
from oppai.inference.files import restore_files
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
    assert again.written == [] and len(again.left_out) == 5
    assert "overwrite=True" in again.left_out[0][1]
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
    report = run(a, output=tmp_path / "x")
    assert report.written == [] and a.read_bytes() == original
    assert run(a, output=tmp_path / "x", overwrite=True).written == [a]
    assert a.read_bytes() != original
    report = run(tmp_path / "missing.png")
    assert report.written == [] and "missing.png" in str(report)


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
    left_out = {p.name: reason for p, reason in report.left_out}
    assert "50x40" in left_out["other.png"] and "40x50" in left_out["other.png"]
    assert "nothing to restore" in left_out["none.png"]
    assert "no entries" in left_out["unknown.png"]


def test_paint_by_its_colour(tmp_path):
    picture = np.full((40, 50, 3), 120, np.uint8)
    picture[inside(picture.shape)] = (0, 255, 0)
    save(tmp_path / "in/a.png", picture)
    save(tmp_path / "in/b.png", noise())
    report = run(tmp_path / "in", boxes=None, mask_colour=(0, 255, 0))
    assert [path.name for path in report.written] == ["a.png"]
    assert "Nothing is painted" in report.left_out[0][1]
    restored = np.asarray(Image.open(report.written[0]))
    assert not (restored == (0, 255, 0)).all(axis=-1).any()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"masks": "masks"}, "boxes and masks"),
        ({"boxes": None, "masks": "no/such"}, "no/such: no such mask"),
        ({"boxes": None, "metadata": "no.json"}, "no.json"),
    ],
)
def test_mistakes_stop_before_the_first_picture(tmp_path, options, words):
    save(tmp_path / "a.png", noise())
    with pytest.raises(ValueError, match=words):
        run(tmp_path, **options)
    assert not (tmp_path / "restored").exists()


def test_nothing_to_do(tmp_path):
    with pytest.raises(ValueError, match="no picture"):
        run(tmp_path)
    with pytest.raises(ValueError, match="No picture"):
        run([])
