import json
import shutil

import numpy as np
import pytest
from PIL import Image

from diffusion.network.model import Diffuser
from diffusion.sampling import folder as samples
from diffusion.sampling.folder import sample_folder
from diffusion.sampling.generate import sample
from diffusion.watermark import add_watermark, read_note
from illustkit.images import read_image

OPTIONS = {"sampler": "dpm++", "steps": 3, "progress": False, "batch_size": 2}


def pixels(paths):
    return np.stack([np.asarray(Image.open(path)) for path in paths])


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """A folder of seven icons, and their paths."""
    folder = tmp_path_factory.mktemp("new")
    return folder, sample_folder(model, 7, folder, grid=4, **OPTIONS)


def test_the_folder_holds_what_sample_makes_with_a_mark(model, whole):
    folder, paths = whole
    assert [p.name for p in paths] == [f"icon-{i:05d}.png" for i in range(7)]
    expected = sample(model, 7, **OPTIONS)
    marked = np.stack(
        [add_watermark(p, "AI-generated", opacity=0.35) for p in expected]
    )
    found = pixels(paths)
    assert np.abs(found.astype(int) - marked.astype(int)).max() <= 1
    assert np.abs(found.astype(int) - expected.astype(int)).max() > 20
    assert {read_note(path) for path in paths} == {"AI-generated"}
    grid = folder / "grid.png"
    assert read_note(grid) == "AI-generated"
    # Two rows of two, with two pixels about each.
    shown = read_image(grid)
    assert shown.shape == (38, 38, 3)
    np.testing.assert_array_equal(shown[2:18, 20:36], found[1])
    np.testing.assert_array_equal(shown[20:36, 2:18], found[2])


def test_without_a_mark_the_pictures_are_as_they_were_made(model, tmp_path):
    paths = sample_folder(model, 3, tmp_path, watermark=None, **OPTIONS)
    found = pixels(paths).astype(int)
    assert np.abs(found - sample(model, 3, **OPTIONS).astype(int)).max() <= 1
    assert {read_note(p) for p in [*paths, tmp_path / "grid.png"]} == {None}


def test_an_interrupted_folder_ends_as_an_uninterrupted_one(
    model, whole, tmp_path, monkeypatch
):
    original = samples.sample

    def interrupted(*arguments, **options):
        if options["first"] == 4:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(samples, "sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample_folder(model, 7, tmp_path, grid=4, **OPTIONS)
    monkeypatch.setattr(samples, "sample", original)
    made = sorted(tmp_path.rglob("icon-*.png"))
    assert len(made) == 4
    made[1].unlink()  # a hole as well
    kept = made[0].stat().st_mtime_ns
    # How they are batched does not matter.
    paths = sample_folder(
        model, 7, tmp_path, grid=4, **{**OPTIONS, "batch_size": 3, "seed": 3407}
    )
    assert made[0].stat().st_mtime_ns == kept
    difference = pixels(paths).astype(int) - pixels(whole[1]).astype(int)
    assert np.abs(difference).max() <= 1
    names = [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*.*"))]
    assert names == sorted(
        p.relative_to(whole[0]).as_posix() for p in whole[0].rglob("*.*")
    )


def test_more_pictures_can_follow(model, whole, tmp_path):
    folder = tmp_path / "new"
    shutil.copytree(whole[0], folder)
    paths = sample_folder(model, 9, folder, grid=0, **OPTIONS)
    assert len(paths) == 9 and all(path.exists() for path in paths)
    alone = sample_folder(model, 2, tmp_path / "last", first=7, **OPTIONS)
    assert [path.name for path in alone] == ["icon-00007.png", "icon-00008.png"]
    difference = pixels(alone).astype(int) - pixels(paths[7:]).astype(int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"steps": 4}, {"watermark": None}, {"opacity": 0.5}, {"eta": 0.5}],
)
def test_other_settings_are_refused(model, whole, other):
    before = {p: p.stat().st_mtime_ns for p in whole[0].rglob("*.png")}
    with pytest.raises(ValueError, match="pictures of other settings") as error:
        sample_folder(model, 7, whole[0], grid=4, **{**OPTIONS, **other})
    assert str(whole[0]) in str(error.value)
    assert {p: p.stat().st_mtime_ns for p in whole[0].rglob("*.png")} == before


def test_another_model_is_refused(slim, model, whole):
    network = {"image_size": (16, 16), "dim": 8, "self_condition": True}
    other = Diffuser({**network, "version": "2"}, timesteps=20, objective="v")
    with pytest.raises(ValueError, match="pictures of other settings"):
        sample_folder(other, 7, whole[0], **OPTIONS)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"sampler": "euler"}, "Received: 'euler'"),
        ({"steps": 20}, "Received: steps=20"),
        ({"n": 0}, "Received: 0"),
        ({"seed": -1}, "`seed` must be .*Received: -1"),
        ({"batch_size": -1}, "`batch_size` must be .*Received: -1"),
        ({"first": -1}, "`first` must be .*Received: -1"),
        ({"grid": -1}, "`grid` must be .*Received: -1"),
        ({"font": "none.ttf"}, "none.ttf"),
        ({"opacity": 2}, "opacity"),
        ({"watermark": " "}, "text"),
        ({"image_size": (8, 8)}, "pixels. Received"),
    ],
)
def test_mistakes_leave_the_folder_free(model, tmp_path, wrong, message):
    folder = tmp_path / "new"
    with pytest.raises(ValueError, match=message):
        sample_folder(model, **{"n": 1, "folder": folder, **OPTIONS, **wrong})
    assert not folder.exists()


def test_a_folder_of_something_else_is_left_alone(model, trained, tmp_path):
    before = (trained.folder / "settings.json").read_text()
    with pytest.raises(ValueError, match="holds another settings.json"):
        sample_folder(model, 1, trained.folder, **OPTIONS)
    assert (trained.folder / "settings.json").read_text() == before
    assert json.loads(before)["timesteps"] == 20
    for name, text in (
        ("settings.json", "{"),
        ("grid.png", "a drawing"),
        ("icons/mine.png", "another"),
    ):
        folder = tmp_path / name.replace("/", "-")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
        with pytest.raises(ValueError, match=f"holds another {name.split('/')[0]}"):
            sample_folder(model, 1, folder, **OPTIONS)
        assert (folder / name).read_text() == text
        assert len(list(folder.rglob("*.*"))) == 1
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file: is a file, not a folder"):
        sample_folder(model, 1, tmp_path / "file", **OPTIONS)


def test_a_folder_without_a_picture_is_bound_to_no_settings(
    model, tmp_path, monkeypatch
):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(samples, "sample", interrupted)
        sample_folder(model, 1, tmp_path, **OPTIONS)
    assert not list(tmp_path.iterdir())
    (path,) = sample_folder(model, 1, tmp_path, **OPTIONS)
    path.unlink()
    (path,) = sample_folder(model, 1, tmp_path, **OPTIONS, seed=5)
    assert json.loads((tmp_path / "settings.json").read_text())["seed"] == 5


def test_a_folder_of_an_older_version_goes_on(model, tmp_path):
    """Its settings as they were recorded: a number for the steps of every sampler."""
    old = {"sampler": "ddpm", "steps": 50, "eta": None, "seed": 3407}
    old |= {"image_size": [16, 16], "watermark": "AI-generated", "opacity": 0.35}
    old["model"] = samples.fingerprint(model)
    (tmp_path / "icons").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "icons" / "icon-00000.png")
    (tmp_path / "settings.json").write_text(json.dumps(old))
    options = {"sampler": "ddpm", "image_size": (16, 16), "progress": False}
    assert len(sample_folder(model, 2, tmp_path, **options)) == 2
    assert np.asarray(Image.open(tmp_path / "icons" / "icon-00000.png")).max() == 0


def test_a_font_decides_the_pictures(model, tmp_path):
    from tests.diffusion.test_watermark import DEJAVU

    (plain,) = sample_folder(model, 1, tmp_path / "a", **OPTIONS)
    options = {**OPTIONS, "font": DEJAVU}
    (path,) = sample_folder(model, 1, tmp_path / "b", **options)
    assert (read_image(path) != read_image(plain)).any()
    settings = json.loads((tmp_path / "b" / "settings.json").read_text())
    assert settings["font"] == str(DEJAVU)
    with pytest.raises(ValueError, match="other settings"):
        sample_folder(model, 2, tmp_path / "b", **OPTIONS)


@pytest.mark.parametrize("channels, mode", [(1, "L"), (4, "RGBA")])
@pytest.mark.parametrize("watermark", ["AI", None])
def test_grey_and_transparent_icons_stay_so(slim, tmp_path, channels, mode, watermark):
    network = {"image_size": (24, 16), "dim": 8, "channels": channels}
    free = Diffuser(network, timesteps=20)
    paths = sample_folder(free, 2, tmp_path, watermark=watermark, **OPTIONS)
    with Image.open(paths[0]) as image:
        assert (image.mode, image.size) == (mode, (24, 16))
    assert read_note(paths[0]) == watermark
    expected = sample(free, 2, **OPTIONS)
    if channels == 4:
        alpha = pixels(paths)[..., 3].astype(int)
        assert np.abs(alpha - expected[..., 3]).max() <= 1
    elif watermark is None:
        found = pixels(paths).astype(int)
        assert np.abs(found - expected[..., 0]).max() <= 1
