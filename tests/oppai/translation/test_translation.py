"""Pairs fit, losses are their formulas, a training resumes, any size comes back."""

import cv2
import keras
import numpy as np
import pytest
from scipy.special import log_softmax
from skimage.color import lab2rgb, rgb2lab

import oppai
from illustkit.errors import UserError
from illustkit.images import lab_to_uint8, uint8_to_lab, write_image
from illustkit.samples import PARTS, draw_lines
from oppai.models.vgg import load_vgg_features
from oppai.translation.colorization import enlarge_by_guide
from oppai.translation.pairs import Pair, PairBatches, crop_pair, read_pairs
from oppai.translation.sketch import blacken, paper_ratio, roughen
from oppai.translation.tasks import make_task
from oppai.translation.training import build_translator
from oppai.translation.translate import (
    TranslationModel,
    hints_map,
    load_translation,
    save_translation,
)

TINY = {
    "clean": {"scale": 1 / 48},
    "colorize": {"scale": 1 / 64, "global_size": 32},
    "complete": {"filters": 4},
    "stylize": {"tap": "relu2_1"},
    "segment": {"filters": 2},
    "pix2pix": {"filters": 2, "depth": 4},
}
OTHERS = {
    "complete": {"residual": True, "widths": (4, 8), "blocks": (0, 1)},
    "segment": {"fcn": True, "scale": 1 / 64},
    "stylize": {"two_encoders": True, "length": 4, "scale": 1 / 16, "tap": "relu2_1"},
}
"""The second network of a task that has two."""


def test_lab_is_that_of_skimage():
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype("uint8")
    picture[0, :3] = [[0, 0, 0], [255, 255, 255], [3, 2, 1]]
    lab = uint8_to_lab(picture)
    np.testing.assert_allclose(lab, rgb2lab(picture), atol=1e-3)
    np.testing.assert_array_equal(lab_to_uint8(lab), picture)
    lab[..., 1:] *= 2  # what no screen shows is clipped
    expected = np.clip(lab2rgb(lab), 0, 1) * 255
    assert np.abs(lab_to_uint8(lab).astype(int) - expected).max() <= 1.5


def test_a_rough_lies_over_its_lines_but_is_none_of_them():
    lines = np.full((64, 48), 255, "uint8")
    lines[20:22], lines[:, 30] = 0, 0
    rough = roughen(lines, np.random.default_rng(3)).astype(float)
    again = roughen(lines, np.random.default_rng(3))
    np.testing.assert_array_equal(rough, again)
    near = np.zeros(lines.shape, bool)
    near[17:25], near[:, 27:34] = True, True
    assert rough[lines == 0].mean() < rough[~near].mean() - 15
    assert rough.max() < 255 or rough[~near].std() > 1
    assert not np.array_equal(rough, roughen(lines, np.random.default_rng(4)))


def test_both_pictures_of_a_pair_are_cut_alike():
    """The input holds each pixel's place; the target the same; so do the crops."""
    rows, columns = np.indices((40, 60)).astype("uint8")
    picture = np.dstack([rows, columns, rows + columns])
    pair = Pair(picture, picture.copy())
    for seed in range(5):
        given, target = crop_pair(pair, 32, np.random.default_rng(seed))
        assert given.shape == (32, 32, 3)
        np.testing.assert_array_equal(given, target)
    numbers = Pair(None, (rows[..., None] > 19).astype("uint8"))
    cut = crop_pair(numbers, 64, np.random.default_rng(0), classes=True).target
    assert set(np.unique(cut)) == {0, 1}  # classes are not blurred


def _style_terms(y, predicted):
    """Equations 11 to 13 of Huang and Belongie (2017), in NumPy."""
    vgg = load_vgg_features(taps=["relu1_1", "relu2_1"])

    def features(pictures):
        shallow, deep = (np.asarray(each) for each in vgg(pictures))
        return [shallow / 50, deep / 210]

    seen, styles = (
        features(y[k] / np.float32(127.5) - 1) for k in ("picture", "style")
    )
    made = features(predicted)

    def statistics(f):
        return f.mean((1, 2), keepdims=True), np.sqrt(
            f.var((1, 2), keepdims=True) + 1e-5
        )

    (mean, deviation), (to, by) = statistics(seen[-1]), statistics(styles[-1])
    wanted = (seen[-1] - mean) / deviation * by + to
    style = sum(
        ((a - b) ** 2).mean((1, 2, 3))
        for one, other in zip(made, styles, strict=True)
        for a, b in zip(statistics(one), statistics(other), strict=True)
    )
    return {"content": ((made[-1] - wanted) ** 2).mean((1, 2, 3)), "style": style}


@pytest.mark.parametrize("name, network", [*TINY.items(), *OTHERS.items()])
def test_the_loss_is_its_formula_and_the_result_a_picture(name, network):
    task = make_task(name, network)
    given, target = task.draw(2, (40, 56))
    pair = crop_pair(Pair(given, target), 32, np.random.default_rng(0))
    if task.mixes:
        pair = Pair(pair.target[::-1], pair.target)
    x, y = task.sample(*pair, np.random.default_rng(1))
    model = build_translator({"task": name, "network": network})
    corner = x.pop("corner", None)
    x = {k: np.stack([v, v[:, ::-1]]) for k, v in x.items()}
    y = {k: np.stack([v, v[:, ::-1]]) for k, v in y.items()}
    predicted = np.asarray(model(x))
    terms = {k: np.asarray(v) for k, v in model.terms(x, y, predicted, False).items()}
    if name == "clean":
        error = predicted - y["lines"] / 255
        expected = {
            "squares": (y["weights"] * error**2).mean((1, 2, 3)),
            "l1": abs(error).mean((1, 2, 3)),
        }
    elif name == "colorize":
        error = (2 * predicted - 1) * 110 - y["ab"]
        expected = {
            "squares": (error**2).mean((1, 2, 3)) / 110**2,
            "l1": abs(error).mean((1, 2, 3)),
        }
    elif name == "complete":
        hole = np.repeat(y["hole"] > 0, 3, axis=3)
        assert (x["picture"][hole] == 127).all() != ("residual" in network)
        np.testing.assert_array_equal(x["picture"][~hole], y["picture"][~hole])
        error = predicted - y["picture"] / 255
        errors = [e[h] for e, h in zip(error, hole, strict=True)]
        assert all(0 <= n <= 16 for n in corner)
        expected = {
            "squares": [(e**2).mean() for e in errors],
            "l1": [abs(e).mean() for e in errors],
        }
        if "residual" in network:
            near = [np.sqrt(e**2 + 1e-6).mean() for e in errors]
            logs = [np.log((e**2).mean() + 1e-5) for e in errors]
            expected |= {"charbonnier": near, "log_squares": logs}
    elif name == "stylize":
        expected = _style_terms(y, predicted)
    elif name == "segment":
        logs = log_softmax(predicted, axis=-1)
        parts = y["parts"].astype(int)
        expected = {
            "cross_entropy": -np.take_along_axis(logs, parts, -1).mean((1, 2, 3)),
            "accuracy": (predicted.argmax(-1) == parts[..., 0]).mean((1, 2)),
        }
    else:
        truth = y["picture"] / 127.5 - 1
        expected = {"l1": abs(predicted - truth).mean((1, 2, 3))}
    assert set(terms) == set(expected)
    for key, values in expected.items():
        np.testing.assert_allclose(terms[key], values, rtol=1e-3, atol=1e-6)
    first = [{k: v[0] for k, v in part.items()} for part in (x, y)]
    shown = task.shown(*first, predicted[0])
    assert [p.shape for p in shown] == [(32, 32, 3)] * 3
    assert all(p.dtype == np.uint8 for p in shown)


def test_half_of_the_colour_crops_have_hints_of_the_true_colours():
    task = make_task("colorize", TINY["colorize"])
    picture = task.draw(1, (40, 56))[1]
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(20):
        x, y = task.sample(None, picture, rng)
        where = x["hints"][..., 2] > 0
        counts.append(where.any())
        if where.any():
            error = x["hints"][where][:, :2] * 110 - y["ab"][where]
            assert np.median(np.abs(error)) < 12
    assert 4 <= sum(counts) <= 16


def test_pairs_of_a_folder_are_halves_or_two_folders(tmp_path):
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 256, (2, 24, 20, 3)).astype("uint8")
    write_image(tmp_path / "both" / "a.png", np.hstack([left, right]))
    write_image(tmp_path / "both" / "odd.png", left[:, :7])
    task = make_task("pix2pix")
    pairs, files, left_out = read_pairs(
        task, tmp_path / "both", side=24, progress=False
    )
    assert list(pairs) == ["a.png"] and len(files) == 2
    np.testing.assert_array_equal(pairs["a.png"].given, left)
    np.testing.assert_array_equal(pairs["a.png"].target, right)
    assert len(left_out) == 1 and "odd.png" in left_out[0] and "even" in left_out[0]

    for name, picture in (("a.png", left), ("b.png", left), ("c.png", left)):
        write_image(tmp_path / "in" / name, picture)
    write_image(tmp_path / "out" / "a.webp", right)
    write_image(tmp_path / "out" / "b.png", right[:9])
    pairs, _, left_out = read_pairs(
        task, tmp_path / "in", tmp_path / "out", side=24, progress=False
    )
    assert list(pairs) == ["a.png"]
    assert any("20×9" in line for line in left_out)
    assert any("c.png" in line and "no target" in line for line in left_out)
    write_image(tmp_path / "else" / "z.png", left)
    with pytest.raises(UserError, match="name of its input"):
        read_pairs(task, tmp_path / "in", tmp_path / "else", side=24, progress=False)


def test_classes_are_not_blurred_and_files_belong_to_their_pairs(tmp_path):
    """Shrunk to a sixth: a mean of the classes 0 and 3 would be 1 or 2."""
    rows, columns = np.indices((240, 200))
    labels = (3 * ((rows // 7 + columns // 5) % 2)).astype("uint8")
    picture = np.dstack([np.clip(rows, 0, 255).astype("uint8")] * 3)
    for name in ("b.png", "c.png"):
        write_image(tmp_path / "in" / name, picture)
        write_image(tmp_path / "out" / name, np.dstack([labels] * 3))
    write_image(tmp_path / "in" / "a.png", picture)  # has no target
    pairs, paths, left_out = read_pairs(
        make_task("segment"), tmp_path / "in", tmp_path / "out", side=20, progress=False
    )
    assert list(pairs) == ["b.png", "c.png"] and len(left_out) == 1
    assert {n: paths[n].name for n in pairs} == {"b.png": "b.png", "c.png": "c.png"}
    assert pairs["b.png"].target.shape == (48, 40, 1)
    assert set(np.unique(pairs["b.png"].target)) == {0, 3}


class Pointwise:
    """A network of one formula for each pixel: parts must give what a whole gives."""

    multiple = 8

    def __call__(self, inputs, training):
        assert inputs.shape[1] % 8 == 0 == inputs.shape[2] % 8
        return 1 - 0.25 * inputs


@pytest.mark.parametrize("size", [(30, 41), (200, 75), (129, 131)])
def test_parts_of_a_large_picture_join_without_a_seam(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 1)).astype("uint8")
    task = make_task("clean")
    task.least = 0  # as it is
    whole = TranslationModel(Pointwise(), task, tile=10**4)
    tiled = TranslationModel(Pointwise(), task, tile=128)
    rgb = np.repeat(picture, 3, axis=2)
    # Lines are made clear: 2 (1 - x/4) - .8.
    expected = np.minimum(255, 306 - 0.5 * picture.astype(float))
    for model in (whole, tiled):
        result = model(rgb)
        assert result.shape == rgb.shape and result.dtype == np.uint8
        assert np.abs(result - expected).max() <= 1


def test_hints_are_where_the_user_put_them():
    hints = hints_map({(3, 2): "#ff0000", (9, 0): (0, 0, 255)}, (8, 12))
    lab = rgb2lab(np.array([[[255, 0, 0], [0, 0, 255]]], "uint8"))[0]
    np.testing.assert_allclose(hints[2, 3], [*lab[0, 1:] / 110, 1], atol=1e-3)
    np.testing.assert_allclose(hints[0, 9], [*lab[1, 1:] / 110, 1], atol=1e-3)
    assert (hints[..., 2] > 0).sum() == 9 + 6 and not hints[6:].any()
    for wrong in ({(12, 0): "#ff0000"}, {(0, 0): "red?"}, {(0, 0): (1, 2)}):
        with pytest.raises(UserError):
            hints_map(wrong, (8, 12))


OPTIONS = {
    **{"image_size": 32, "batch_size": 2, "epoch_steps": 2, "drawn": 3},
    **{"sheet_every": 2, "verbose": 0, "strategy": "one"},
}


@pytest.mark.usefixtures("eagerly")
def test_a_training_resumes_and_its_run_translates_any_size(tmp_path, monkeypatch):
    options = {**OPTIONS, "network": {"filters": 2, "depth": 4}}
    options |= {"learning_rate": 1e-2, "precision": "float32"}
    broken = oppai.train_translation(
        "pix2pix", None, tmp_path / "a", epochs=1, **options
    )
    assert broken.epochs_done == 1
    with pytest.raises(UserError, match="another"):
        oppai.train_translation("clean", None, tmp_path / "a", epochs=2, **OPTIONS)
    picture = np.random.default_rng(0).integers(0, 256, (21, 37, 3)).astype("uint8")
    result = oppai.translate(picture, tmp_path / "a")
    assert result.shape == picture.shape and result.dtype == np.uint8
    write_image(tmp_path / "p.png", picture)
    np.testing.assert_array_equal(
        result, oppai.translate(tmp_path / "p.png", tmp_path / "a")
    )
    with pytest.raises(UserError, match="colorize"):
        oppai.translate(picture, tmp_path / "a", hints={(0, 0): "#000000"})
    # A training that is over draws nothing again.
    monkeypatch.setattr("oppai.translation.training.draw_pairs", None)
    before = broken.weights_path.read_bytes()
    again = oppai.train_translation(
        "pix2pix", None, tmp_path / "a", epochs=1, **options
    )
    assert again.epochs_done == 1 and again.weights_path.read_bytes() == before


@pytest.mark.usefixtures("eagerly")
def test_an_adversarial_training_of_a_folder_keeps_its_split(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        pair = rng.integers(0, 256, (40, 80, 3)).astype("uint8")
        write_image(tmp_path / "pairs" / f"{i}.png", pair)
    run = oppai.train_translation(
        "pix2pix",
        tmp_path / "pairs",
        tmp_path / "run",
        adversarial=True,
        network={"filters": 2, "depth": 4},
        epochs=1,
        **OPTIONS,
    )
    assert {"discriminator", "adversarial", "val_l1"} <= set(run.history)
    assert (tmp_path / "run" / "split.json").exists()
    assert (tmp_path / "run" / "data.json").exists()
    assert list((tmp_path / "run" / "pictures").iterdir())
    assert oppai.translate(tmp_path / "pairs" / "0.png", run).shape == (40, 80, 3)


def test_what_cannot_work_is_told_before_anything_is_read(tmp_path):
    for options, word in (
        ({"task": "restore"}, "task"),
        ({"preset": "huge"}, "preset"),
        ({"image_size": 40}, "multiple of 16"),
        ({"adversarial": True}, "discriminator"),
        ({"unpaired": tmp_path}, "unpaired"),
        ({"targets": tmp_path}, "targets"),
    ):
        task = options.pop("task", "segment")
        with pytest.raises(UserError, match=word):
            oppai.train_translation(
                task, None, tmp_path / "r", **{**OPTIONS, **options}
            )
        assert not (tmp_path / "r" / "settings.json").exists()


def test_batches_depend_on_the_epoch_and_the_validation_does_not():
    task = make_task("segment")
    pairs = [Pair(*task.draw(seed, (24, 32))) for seed in range(3)]
    batches = PairBatches(task, pairs, image_size=16, batch_size=2, steps=4)
    assert len(batches) == 4
    first = batches[0][0]["picture"]
    batches.epoch = 1
    assert not np.array_equal(first, batches[0][0]["picture"])
    fixed = PairBatches(task, pairs, image_size=16, batch_size=3)
    before = fixed[0]
    fixed.epoch = 1
    np.testing.assert_array_equal(before[0]["picture"], fixed[0][0]["picture"])
    assert before[1]["parts"].max() < len(PARTS)


@pytest.mark.usefixtures("eagerly")
def test_a_discriminator_learns_alone_first_and_from_unpaired_sketches(
    tmp_path,
):
    options = {**OPTIONS, "image_size": 64, "epochs": 1, "network": TINY["clean"]}
    options |= {"sheet_every": 0, "seed": 5}
    first = oppai.train_translation("clean", None, tmp_path / "a", **options)
    sketch = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype("uint8")
    write_image(tmp_path / "roughs" / "a.png", sketch)
    run = oppai.train_translation(
        "clean",
        None,
        tmp_path / "b",
        adversarial=True,
        unpaired=tmp_path / "roughs",
        alone=0.99,
        start_from=first,
        **options,
    )
    assert {"discriminator", "adversarial"} <= set(run.history)
    before = build_translator(first.settings)
    first.load_weights(before)
    after = build_translator(run.settings)
    run.load_weights(after)
    assert after.alone == 2
    for a, b in zip(
        before.trainable_variables, after.generator.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_what_grew_grey_in_shrinking_is_black_again():
    lines = np.full((40, 40), 255, np.uint8)
    lines[18:20] = 0
    small = cv2.resize(lines, (10, 10), interpolation=cv2.INTER_AREA)
    assert small.min() == 127 or small.min() == 128
    black = blacken(small)
    assert black.min() < 30 and (black == 255).sum() == 90
    np.testing.assert_array_equal(blacken(lines), lines)
    np.testing.assert_array_equal(blacken(lines[:9]), lines[:9])  # nothing is drawn


def test_enlarged_colours_follow_the_lightness():
    rng = np.random.default_rng(0)
    large = np.full((64, 48, 1), 40, np.uint8)
    large[:, 21:] = 200  # an edge within a pixel of the small picture
    small = cv2.resize(large, (12, 16), interpolation=cv2.INTER_AREA)[..., None]
    slope, start = np.array([0.5, -0.25]), np.array([0.2, 0.7])
    truth = slope * (large / 255) + start
    coarse = (slope * (small / 255) + start).astype("float32")
    found = enlarge_by_guide(coarse, small, large, epsilon=1e-7)
    np.testing.assert_allclose(found, truth, atol=0.01)
    assert np.abs(cv2.resize(coarse, (48, 64)) - truth).max() > 0.1  # without it
    # Where the lightness tells nothing, colours are the mean of their window twice.
    noise = rng.uniform(0, 1, (9, 9, 2)).astype("float32")
    flat = np.full((9, 9, 1), 90, np.uint8)
    means = np.array(
        [
            [noise[i - 1 : i + 2, j - 1 : j + 2].mean((0, 1)) for j in (3, 4, 5)]
            for i in (3, 4, 5)
        ]
    )
    found = enlarge_by_guide(noise, flat, flat, radius=1)
    np.testing.assert_allclose(found[4, 4], means.mean((0, 1)), atol=1e-5)


class Seen:
    """A network of colours that notes what it was given."""

    multiple = 8

    def __call__(self, inputs, training):
        self.picture = np.asarray(inputs[0])[0]
        return np.full((*np.asarray(inputs[0]).shape[:3], 2), 0.5, "float32")


def test_colours_that_a_mirror_changes_are_greyer():
    task = make_task("colorize")
    one = np.array([[[0.5, 0.9], [0.8, 0.1], [0.7, 0.5]]])  # a*, b* of grey are .5
    other = np.array([[[0.5, 0.9], [0.2, 0.9], [0.6, 0.5]]])
    found = task.agreed(one, other)
    # The same stays, the opposite is grey; of .3 ± .1, 3 of 3 + 4 · 1 parts stay.
    expected = [[[0.5, 0.9], [0.5, 0.5], [0.5 + 0.15 * 3 / 7, 0.5]]]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_parts_of_a_mirrored_picture_are_the_mirrored_parts():
    keras.utils.set_random_seed(0)
    rules = make_task("segment", {"filters": 2})
    model = TranslationModel(rules.build(), rules, image_size=64)
    picture = np.random.default_rng(0).integers(0, 256, (32, 64, 3)).astype("uint8")
    parts = model(picture)
    assert len(np.unique(parts)) > 1
    assert (model(picture[:, ::-1]) == parts[:, ::-1]).mean() > 0.99


def test_a_large_picture_is_coloured_at_the_size_that_was_learnt():
    network = Seen()
    task = make_task("colorize", {"global_size": 32})
    task.sees = 2.0  # sides of what was learnt
    model = TranslationModel(network, task, image_size=32)
    picture = np.random.default_rng(0).integers(0, 256, (160, 200, 3)).astype("uint8")
    result = oppai.colorize(picture, model, hints={(100, 80): "#ff0000"})
    assert network.picture.shape == (64, 80, 4)
    red = rgb2lab(np.array([[[255, 0, 0]]], "uint8"))[0, 0, 1:] / 110
    np.testing.assert_allclose(network.picture[32, 40, 1:], [*red, 1], atol=1e-3)
    assert 9 <= network.picture[..., 3].sum() <= 16
    # Grey colours leave the picture's lightness alone.
    lightness = rgb2lab(picture)[..., 0] - rgb2lab(result)[..., 0]
    assert np.ptp(result.astype(int), axis=2).max() <= 2
    assert np.abs(lightness).max() < 1


def test_a_network_of_the_package_needs_no_run(tmp_path, monkeypatch):
    rules = make_task("complete", {"filters": 4})
    model = TranslationModel(rules.build(), rules, image_size=32)
    monkeypatch.setattr("oppai.translation.translate.WEIGHTS", tmp_path)
    assert save_translation(model, tmp_path / "complete.npz").exists()
    again = load_translation("default", "complete")
    assert again.image_size == 32 and again.task.network == {"filters": 4}
    for a, b in zip(model.network.weights, again.network.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)
    with pytest.raises(UserError, match="no network of the task 'clean'"):
        oppai.clean_sketch(np.zeros((8, 8, 3), "uint8"))
    with pytest.raises(UserError, match="name a run folder"):
        load_translation("default")


def test_lines_of_a_large_sketch_are_as_sharp_as_of_a_small_one():
    task = make_task("clean")
    model = TranslationModel(Pointwise(), task, image_size=16)
    picture = np.zeros((96, 120, 3), np.uint8)  # seen at 48 by 60
    picture[:, 60:] = 255
    result = oppai.clean_sketch(picture, model)
    assert result.shape == picture.shape
    assert set(np.unique(result[:, :58])) == {255}
    # Three quarters are .85 of an edge twice as steep, and .9 made clear.
    assert np.abs(result[:, 64:].astype(int) - 229.5).max() <= 1
    rise = np.flatnonzero((result[0, :, 0] < 250) & (result[0, :, 0] > 232))
    assert len(rise) <= 2


def test_a_small_sketch_is_cleaned_at_one_and_a_half_times_its_size():
    seen = []

    class Watching(Pointwise):
        def __call__(self, inputs, training):
            seen.append(tuple(inputs.shape[1:3]))  # padded to 8
            return super().__call__(inputs, training)

    model = TranslationModel(Watching(), make_task("clean"), image_size=32)
    picture = np.full((32, 40, 3), 255, np.uint8)
    picture[:, 20:] = 0
    result = oppai.clean_sketch(picture, model)
    assert seen == [(48, 64)] and result.shape == picture.shape
    # White becomes .75, which is .7 made clear; black 1.
    assert np.abs(result[:, :17] - 178.5).max() <= 1 and (result[:, 23:] == 255).all()


def test_a_photograph_is_no_sketch_and_a_note_says_so(tmp_path, capsys):
    from skimage.data import astronaut

    from oppai.cli.translate import clean

    lines = draw_lines(1, (64, 80))
    rough = roughen(lines, np.random.default_rng(0))
    assert paper_ratio(rough) > 0.5
    write_image(tmp_path / "rough.png", np.dstack([rough] * 3))
    write_image(tmp_path / "photo.png", astronaut()[::8, ::8])
    clean([tmp_path / "rough.png", tmp_path / "photo.png"])
    out = capsys.readouterr().out
    assert out.count("little light paper") == 1 and "photo.png has" in out
    assert (tmp_path / "photo_clean.png").exists()  # a note, no refusal


@pytest.mark.usefixtures("eagerly")
def test_a_finer_fcn_begins_from_the_coarser_one(tmp_path):
    options = {**OPTIONS, "epochs": 1, "epoch_steps": 1, "learning_rate": 1e-3}
    runs = {}
    for stride, start in ((32, None), (16, 32)):
        runs[stride] = oppai.train_translation(
            "segment",
            None,
            tmp_path / str(stride),
            network={"fcn": True, "scale": 1 / 64, "stride": stride},
            start_from=start and runs[start],
            **options,
        )
    models = {s: load_translation(run).network for s, run in runs.items()}
    scores = {s: np.asarray(m.get_layer("score_16").kernel) for s, m in models.items()}
    assert not scores[32].any() and scores[16].any()
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype("uint8")
    assert oppai.translate(picture, runs[16]).shape == (40, 50)
