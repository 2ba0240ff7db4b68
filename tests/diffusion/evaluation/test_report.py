import json
import os

import numpy as np
import pytest
import scipy.linalg
from PIL import Image

from diffusion.evaluation import report
from diffusion.evaluation.features import (
    Extractor,
    extract_features,
    load_extractor,
)
from diffusion.evaluation.inception import WeightsError
from diffusion.evaluation.metrics import fid, kid, mae
from diffusion.evaluation.report import (
    evaluate_pictures,
    format_evaluation,
    format_validity,
    nwi,
    validity_table,
)
from diffusion.icons import fit_icon
from diffusion.watermark import add_watermark, write_marked
from illustkit.errors import UserError
from illustkit.images import list_images, read_image, write_image
from illustkit.samples import draw_face_icon
from illustkit.tables import read_json


def colours(pictures):
    """Features that a hand can follow: the mean colour of the four quarters."""
    n, h, w, _ = pictures.shape
    x = pictures.reshape(n, 2, h // 2, 2, w // 2, 3).mean(axis=(2, 4))
    return x.reshape(n, -1) / 10


# Stands for InceptionV3 where only the plumbing is looked at.
FAKE = Extractor("inception", colours)


@pytest.fixture(scope="module")
def icons():
    return np.stack([draw_face_icon(seed, 32) for seed in range(24)])


@pytest.fixture(scope="module")
def new():
    return np.stack([draw_face_icon(seed, 32) for seed in range(100, 110)])


def save(folder, pictures):
    for i, picture in enumerate(pictures):
        write_image(folder / f"{i}.png", picture)
    return folder


@pytest.fixture
def folders(tmp_path, icons, new):
    generated = np.concatenate([new, icons[3:5, :, ::-1]])
    return save(tmp_path / "new", generated), save(tmp_path / "icons", icons)


def test_every_figure_is_that_of_its_own_function(folders, icons, new, tmp_path):
    output, figure = tmp_path / "out" / "e.json", tmp_path / "pairs.png"
    result = evaluate_pictures(
        *folders, features=FAKE, output=output, figure=figure, progress=False
    )
    generated = np.concatenate([new, icons[3:5, :, ::-1]])
    a, b = colours(generated).astype("float32"), colours(icons).astype("float32")
    assert result["fid"] == pytest.approx(fid(a, b))
    value, low, high = kid(a, b)
    found = [result[key] for key in ("kid", "kid_low", "kid_high")]
    np.testing.assert_allclose(found, [value, low, high])
    assert result["mae"] == mae(generated, icons)
    assert result["nwi"] == pytest.approx(result["mae"] - result["fid"])
    assert (result["n_generated"], result["n_training"]) == (12, 24)
    assert result["copies"] == 2 and result["copies_share"] == pytest.approx(1 / 6)
    assert result["nearest"][10] == ["10.png", "3.png", 0.0, True]
    assert result["image_size"] == [32, 32] and result["features"] == "inception"
    assert json.loads(output.read_text("utf-8")) == result
    assert read_image(figure).shape[2] == 3
    text = format_evaluation(result)
    assert f"FID           {result['fid']:.2f}" in text
    assert "2 of 12 (16.7%)" in text and "12 generated, 24 training, at 32x32" in text
    assert f"NWI           {result['nwi']:.2f}" in text and "like with like" in text


def test_other_features_are_named_and_give_no_fid(folders):
    result = evaluate_pictures(*folders, features="pixels", progress=False)
    assert result["features"] == "pixels"
    assert result["fid"] is None and result["nwi"] is None
    assert np.isfinite(result["kid"]) and result["mae"] > 0
    text = format_evaluation(result)
    assert "KID (pixels)" in text
    assert text.count("not defined by the features of pixels") == 2
    named = evaluate_pictures(*folders, features=colours, progress=False)
    assert named["features"] == "colours" and named["fid"] is None


def test_without_weights_it_stops_before_it_reads(monkeypatch, tmp_path, folders):
    def no_network(*args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setattr(report, "read_icons", lambda *a: pytest.fail("it read"))
    for measure in (evaluate_pictures, nwi):
        with pytest.raises(WeightsError, match="no route to host") as caught:
            measure(*folders)
        assert "\n" not in str(caught.value)
        assert 'features="pixels"' in str(caught.value)


def test_definitions_are_told(folders, icons):
    result = evaluate_pictures(
        *folders, features=FAKE, definition="all", channels="mean", progress=False
    )
    assert result["mae_definition"] == "all, mean of channels"
    with pytest.raises(ValueError, match="`definition` must be .*'median'"):
        evaluate_pictures(*folders, features=FAKE, definition="median", progress=False)


def test_nwi_is_the_mean_absolute_error_less_the_frechet_distance(
    folders, icons, new, monkeypatch
):
    """By the formulas of both: loops over pictures, and SciPy's root of a matrix."""
    monkeypatch.setattr(report, "load_extractor", lambda features, resizing: FAKE)
    generated = np.concatenate([new, icons[3:5, :, ::-1]]).astype("float64")
    a, b = colours(generated), colours(icons.astype("float64"))
    gap = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    frechet = gap + np.trace(one + two - 2 * scipy.linalg.sqrtm(one @ two).real)
    far = [
        [np.abs(g - t.astype("float64")).sum(axis=-1).mean() for t in icons]
        for g in generated
    ]
    nearest = np.mean([min(row) for row in far])
    assert nwi(*folders) == pytest.approx(nearest - frechet, rel=1e-4)
    assert nwi(*folders, definition="all", channels="mean") == pytest.approx(
        np.mean(far) / 3 - frechet, rel=1e-4
    )
    with pytest.warns(DeprecationWarning, match="use `definition`"):
        old = nwi(*folders, mae="all")
    assert old == pytest.approx(np.mean(far) - frechet, rel=1e-4)
    with pytest.raises(ValueError, match="NWI is defined by InceptionV3"):
        nwi(*folders, features="pixels")


def test_what_was_resized_left_out_and_marked_is_told(folders, icons):
    generated, training = folders
    (generated / "!.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    write_marked(generated / "0.png", add_watermark(icons[0]))
    write_image(training / "100.png", draw_face_icon(50, 48))
    write_image(generated / "grid.png", np.zeros((200, 300, 3), "uint8"))
    (generated / "settings.json").write_text('{"model": "1f", "sampler": "ddim"}')
    frames = [Image.fromarray(icon) for icon in icons[:2]]
    frames[0].save(training / "moving.gif", save_all=True, append_images=frames[1:])
    result = evaluate_pictures(generated, training, features="pixels", progress=False)
    assert result["n_generated"] == 12 and result["n_training"] == 26
    assert result["resized"] == 1 and result["watermarked"] == 1
    assert len(result["left_out"]) == 1 and "!.png" in result["left_out"][0]
    text = format_evaluation(result)
    assert "1 of the pictures bear a watermark" in text and "--no-watermark" in text
    assert "1 pictures had another size" in text and "Left out: " in text
    assert result["animated"] == ["moving.gif"] and "moving.gif is animated" in text


def test_the_order_of_the_files_decides_nothing(tmp_path, icons, new):
    """Pictures of three sizes, named forwards and backwards."""
    sized = [
        fit_icon(icon, (side, side))
        for icon, side in zip(new, [8, *9 * [40]], strict=True)
    ]
    sized[5] = fit_icon(sized[5], (64, 64))
    forwards = save(tmp_path / "forwards", sized)
    backwards = save(tmp_path / "backwards", sized[::-1])
    results = [
        evaluate_pictures(folder, icons, features="pixels", progress=False)
        for folder in (forwards, backwards)
    ]
    for result in results:
        assert result["image_size"] == [40, 40]
        assert "at 40x40" in format_evaluation(result)
    for name in ("mae", "copies", "copies_share", "kid"):
        assert results[0][name] == pytest.approx(results[1][name], abs=1e-6), name


def test_what_cannot_be_written_is_said_before_anything_is_read(folders, tmp_path):
    class Unused:
        def __call__(self, pictures):
            raise AssertionError("features were extracted")

    options = {"features": Unused(), "progress": False}
    (tmp_path / "folder.json").mkdir()
    for wrong in (
        {"output": tmp_path / "folder.json"},
        {"figure": tmp_path / "a.xyz"},
        {"figure": tmp_path / "folder.json"},
        {"definition": "x"},
        {"image_size": (0, 4)},
        {"batch_size": 0},
    ):
        with pytest.raises(UserError):
            evaluate_pictures(*folders, **options, **wrong)
    for order in ((folders[0], tmp_path / "none"), (tmp_path / "none", folders[1])):
        with pytest.raises(UserError, match="none: no such folder"):
            evaluate_pictures(*order, **options)
    with pytest.raises(UserError, match="none: no such folder"):
        validity_table(*folders, tmp_path / "none", **options)


def test_features_of_a_folder_leave_its_grid_and_name_all_that_is_broken(tmp_path, new):
    folder = save(tmp_path / "new", new)
    write_image(folder / "grid.png", new[0])
    (folder / "settings.json").write_text("{}")
    assert len(extract_features(folder, "pixels", progress=False)) == 11
    (folder / "settings.json").write_text('{"model": "1f", "sampler": "ddim"}')
    expected = extract_features(new, "pixels", progress=False)
    np.testing.assert_array_equal(
        extract_features(folder, "pixels", progress=False), expected
    )
    for name in ("a.png", "z.png"):
        (folder / name).touch()
    with pytest.raises(UserError) as error:
        extract_features(folder, "pixels", progress=False)
    assert ["a.png" in error.value.problems[0], len(error.value.problems)] == [True, 2]


def test_names_of_any_bytes_are_in_the_report(tmp_path, icons, new):
    folder, odd = save(tmp_path / "new", new), os.fsdecode(b"\x8aG.png")
    (folder / "0.png").rename(folder / odd)
    output = tmp_path / "evaluation.json"
    options = {"features": "pixels", "progress": False, "output": output}
    result = evaluate_pictures(folder, icons, **options)
    assert odd in [name for name, *_ in result["nearest"]]
    assert read_json(output)["nearest"] == result["nearest"]


def test_sets_come_from_arrays_too(icons, new):
    result = evaluate_pictures(new, icons, features="pixels", progress=False)
    assert result["n_generated"] == 10 and result["watermarked"] == 0
    smaller = evaluate_pictures(
        new, icons, features="pixels", image_size=(16, 20), progress=False
    )
    assert smaller["image_size"] == [16, 20] and smaller["resized"] == 34
    with pytest.raises(ValueError, match=r"uint8 \(n, height, width, 3\)"):
        evaluate_pictures(new / 255, icons, features="pixels", progress=False)
    with pytest.raises(ValueError, match="4 generated pictures or more.*Received: 3"):
        evaluate_pictures(new[:3], icons, features="pixels", progress=False)


def test_the_validity_table_tells_new_work_from_another_domain(icons, new):
    rng = np.random.default_rng(0)
    other = rng.integers(0, 120, (20, 32, 32, 3), "uint8")
    rows = validity_table(icons, new, other, features=FAKE, progress=False)
    assert [(row["first"], row["second"]) for row in rows] == [
        ("early", "new"),
        ("other", "new"),
    ]
    for row, first in zip(rows, (icons, other), strict=True):
        a, b = colours(new).astype("float32"), colours(first).astype("float32")
        assert row["nwi"] == pytest.approx(mae(new, first) - fid(a, b))
    text = format_validity(rows)
    higher = rows[0]["nwi"] > rows[1]["nwi"]
    assert ("as in the preprint" in text) == higher == ("NOT so here" not in text)
    assert f"| early | new | {rows[0]['fid']:.1f} | {rows[0]['nwi']:.1f} |" in text
    flipped = format_validity(rows[::-1])
    assert ("NOT so here" in flipped) == higher


def test_the_validity_table_of_other_features_judges_nothing(folders, tmp_path, icons):
    other = save(tmp_path / "other", 255 - icons[:8])
    rows = validity_table(
        folders[1], folders[0], other, features="pixels", progress=False
    )
    assert [row["first"] for row in rows] == ["icons", "other"]
    assert "no NWI to judge" in format_validity(rows)


def test_features_of_files_of_several_sizes(tmp_path, icons):
    pictures = [icons[0], icons[1], draw_face_icon(1, 48), icons[2]]
    folder = save(tmp_path, pictures)
    sizes = []

    def means(batch):
        sizes.append(batch.shape[:2])
        return batch.mean(axis=(1, 2))

    found = extract_features(folder, means, batch_size=2, progress=False)
    expected = [picture.mean(axis=(0, 1)) for picture in pictures]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert sizes == [(2, 32), (1, 48), (1, 32)] and found.dtype == np.float32
    listed = extract_features(list_images(folder), means, progress=False)
    np.testing.assert_array_equal(listed, found)


def test_pixels_are_means_of_blocks(icons):
    extractor = load_extractor("pixels")
    found = extractor.function(icons[:2])
    blocks = icons[:2].reshape(2, 16, 2, 16, 2, 3).mean(axis=(2, 4)) / 255
    assert found.shape == (2, 768)
    # Pillow rounds along rows and along columns.
    np.testing.assert_allclose(found, blocks.reshape(2, -1), atol=1 / 255 + 1e-6)
