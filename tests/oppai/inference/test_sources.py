"""Where pictures, masks and results lie."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from illustkit.errors import UserError
from oppai.inference.sources import Marks, plan_jobs
from tests.oppai.inference.test_files import inside, noise, run, save

MASK = inside((40, 50)).astype(np.uint8) * 255


def test_masks_are_found_beside_the_pictures_by_their_pattern(tmp_path):
    for name in ("a.png", "sub/b.png", "c.png"):
        save(tmp_path / name, noise())
    save(tmp_path / "a_mask.png", MASK)
    save(tmp_path / "sub/b_mask.png", MASK)
    report = run(tmp_path, boxes=None, mask_pattern="{stem}_mask.png")
    names = [path.relative_to(tmp_path / "restored") for path in report.written]
    assert names == [Path("a.png"), Path("sub/b.png")]  # the masks are no pictures
    for path in report.written:
        changed = (np.asarray(Image.open(path)) != noise()).any(axis=-1)
        np.testing.assert_array_equal(changed, MASK > 0)
    ((left, reason),) = report.left_out
    assert left.name == "c.png" and f"no mask {tmp_path / 'c_mask.png'}" in reason
    save(tmp_path / "masks/c.png", MASK)
    marks = Marks(mask_pattern="masks/{name}")
    assert marks.find(tmp_path / "c.png", (40, 50)) == {
        "mask": tmp_path / "masks/c.png"
    }


@pytest.mark.parametrize(
    "pattern", ["mask.png", "{}_mask.png", "{stem", "{stem}_{date}.png", "{stem.x}"]
)
def test_a_pattern_that_names_no_mask_is_refused(pattern):
    with pytest.raises(UserError, match="`mask_pattern` is a file's name with"):
        Marks(mask_pattern=pattern)


def test_a_pattern_does_not_leave_the_pictures_folder(tmp_path):
    marks = Marks(mask_pattern="../{stem}.png")
    with pytest.raises(UserError, match="leaves its folder"):
        marks.find(tmp_path / "a.png", (40, 50))


def test_results_have_the_format_that_is_asked_for(tmp_path):
    for name in ("a.PNG", "b.jpeg", "sub/c.gif", "d.tar.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noise()[..., 0]).save(path)
    for format, names in {
        "keep": ["a.PNG", "b.jpeg", "d.tar.png", "sub/c.gif"],
        "png": ["a.PNG", "b.png", "d.tar.png", "sub/c.png"],
        "jpg": ["a.jpg", "b.jpeg", "d.tar.jpg", "sub/c.jpg"],
        "webp": ["a.webp", "b.webp", "d.tar.webp", "sub/c.webp"],
    }.items():
        jobs = plan_jobs(tmp_path, format=format, save_masks=tmp_path / "m.2")
        folder = tmp_path / "restored"
        assert [job.target.relative_to(folder).as_posix() for job in jobs] == names
        assert jobs[1].mask == tmp_path / "m.2/b.png"
    (job,) = plan_jobs(tmp_path / "b.jpeg", format="webp")
    assert job.target == tmp_path / "b_restored.webp"
    # It is a result, and no picture, though its ending is another.
    save(job.target, noise())
    assert job.target not in [job.source for job in plan_jobs(tmp_path)]
    with pytest.raises(UserError, match="x.png: its ending names the format"):
        plan_jobs(tmp_path / "a.PNG", output=tmp_path / "x.png", format="webp")
    with pytest.raises(UserError, match="x.png: `save_masks` is the name of one"):
        plan_jobs(tmp_path, save_masks=tmp_path / "x.png")


def test_a_mask_takes_the_place_of_no_picture_and_of_no_result(tmp_path):
    a, b = save(tmp_path / "a.png", noise()), save(tmp_path / "b.jpg", noise())
    for paths, masks, name in (
        (a, a, "a.png"),
        (tmp_path, tmp_path, "a.png"),
        ([b, a], tmp_path, "a.png"),
        (b, tmp_path / "b_restored.jpg", "b_restored.jpg"),
    ):
        with pytest.raises(UserError, match=f"{name}: is a picture. Name another"):
            plan_jobs(paths, save_masks=masks)
    assert plan_jobs(b, save_masks=tmp_path)[0].mask == tmp_path / "b.png"
