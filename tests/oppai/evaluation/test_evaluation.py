import csv
import re

import keras
import numpy as np
import pytest

from illustkit.errors import UserError
from oppai.censoring.block_grid import Grid
from oppai.data.dataset import Patches
from oppai.evaluation import baselines
from oppai.evaluation.evaluate import (
    COLUMNS,
    evaluate,
    format_table,
    held_out_patches,
    write_csv,
)
from oppai.pages.demo import draw_samples

N, SIZE = 6, 48


def pictures(n=N, size=SIZE):
    """Smooth waves: what can be interpolated."""
    y, x = np.mgrid[:size, :size] / size
    waves = [
        [np.sin(5 * x + i + c) + np.cos(4 * y - c * i) for c in range(3)]
        for i in range(n)
    ]
    return np.uint8(127 + 60 * np.moveaxis(waves, 1, -1))


def boxes(n=N):
    return np.array([(10, 8, 22 + 4 * i, 20 + 4 * i) for i in range(n)])


class Perfect:
    """Knows the truth of every patch by its place."""

    def __init__(self, truth):
        self.truth, self.done = truth, 0

    def restore_patches(self, censored, mask, grids):
        assert censored.dtype == mask.dtype == np.uint8
        assert mask.shape == censored.shape[:3]
        start, self.done = self.done, (self.done + len(censored)) % len(self.truth)
        return self.truth[start : start + len(censored)]


class Black:
    def restore_patches(self, censored, mask, grids):
        return np.zeros_like(censored)


def pick(rows, **values):
    chosen = [r for r in rows if all(r[k] == v for k, v in values.items())]
    assert len(chosen) == 1, chosen
    return chosen[0]


def test_perfect_prediction_and_its_half_blend():
    truth = pictures()
    rows = evaluate(
        Perfect(truth),
        truth,
        boxes(),
        kinds=("mosaic", "light", "white", "irregular"),
        batch_size=4,
        progress=False,
    )
    for kind in ("mosaic", "light", "white", "irregular"):
        perfect = pick(rows, kind=kind, hole_ratio="all", method="prediction")
        assert perfect["n"] == N and perfect["l1"] == 0
        assert perfect["ssim"] == pytest.approx(1)
        # Halfway to the truth halves the error: 20·log10(2) = 6.02 dB.
        censored = pick(rows, kind=kind, hole_ratio="all", method="censored")
        half = pick(rows, kind=kind, hole_ratio="all", method="blend")
        assert half["psnr"] - censored["psnr"] == pytest.approx(6.02, abs=0.25)
    methods = {row["method"] for row in rows if row["kind"] == "mosaic"}
    assert methods == {*baselines.BASELINES, "prediction", "blend"}
    others = {row["method"] for row in rows if row["kind"] != "mosaic"}
    assert others == methods - {"bicubic blocks", "Lanczos blocks"}  # no blocks


def test_figures_by_hand():
    # Half of the patch is hole, white on black: error 1 in the hole, for the composite
    # no more than that, however wrong a prediction is outside.
    truth = np.zeros((2, 32, 32, 3), np.uint8)
    masks = np.zeros((2, 32, 32, 1), np.uint8)
    masks[:, :, 16:] = 255

    class Grey:
        def restore_patches(self, censored, mask, grids):
            return np.full_like(censored, 51)

    rows = evaluate(Grey(), truth, masks=masks, kinds=("white",), progress=False)
    censored = pick(rows, hole_ratio="all", method="censored")
    assert (censored["l1"], censored["psnr"]) == (1, 0)
    grey = pick(rows, hole_ratio="(0.4, 0.5]", method="prediction")
    assert grey["n"] == 2
    assert grey["l1"] == pytest.approx(0.2)
    assert grey["psnr"] == pytest.approx(13.9794, abs=1e-3)  # −20·log10(0.2)
    blend = pick(rows, hole_ratio="all", method="blend")
    assert blend["l1"] == pytest.approx(0.6)
    # Fast marching and Navier–Stokes find the plain black.
    assert pick(rows, hole_ratio="all", method="Telea")["l1"] == 0
    assert pick(rows, hole_ratio="all", method="Navier-Stokes")["l1"] == 0


def test_what_a_prediction_does_outside_the_hole_does_not_count():
    truth = pictures()

    class RightInside(Perfect):
        def restore_patches(self, censored, mask, grids):
            restored = super().restore_patches(censored, mask, grids)
            return np.where(mask[..., None] > 0, restored, 0)

    rows = evaluate(RightInside(truth), truth, boxes(), progress=False)
    # The windows of SSIM reach over the hole's edge.
    assert pick(rows, hole_ratio="all", method="prediction")["ssim"] == 1


def test_bins_hold_every_patch_once_and_average_to_the_whole():
    truth = pictures(12)
    rows = evaluate(Black(), truth, kinds=("irregular",), progress=False)
    whole = pick(rows, hole_ratio="all", method="prediction")
    binned = [
        r for r in rows if r["method"] == "prediction" and r["hole_ratio"] != "all"
    ]
    assert sum(r["n"] for r in binned) == whole["n"] == 12
    assert len(binned) >= 5
    for key in ("l1", "psnr", "ssim"):
        mean = sum(r["n"] * r[key] for r in binned) / 12
        assert mean == pytest.approx(whole[key])
    labels = [r["hole_ratio"] for r in rows]
    assert labels == sorted(labels, key=lambda text: (text != "all", text))


def test_same_seed_same_figures_whatever_the_batches():
    truth = pictures()
    options = {"kinds": ("mosaic", "irregular"), "blocks": (2, 8), "progress": False}
    one = evaluate(Black(), truth, boxes(), **options, batch_size=1)
    assert one == evaluate(Black(), truth, boxes(), **options, batch_size=5)
    assert one != evaluate(Black(), truth, boxes(), **options, seed=1)
    alone = evaluate(Black(), truth, boxes(), **{**options, "kinds": "irregular"})
    assert alone == [row for row in one if row["kind"] == "irregular"]


def test_soft_rim_keeps_what_the_censored_patch_shows():
    truth = pictures()
    hard, soft = (
        evaluate(Black(), truth, boxes(), rim=rim, progress=False)
        for rim in ("hard", "soft")
    )
    for method, more in (("censored", 0), ("prediction", 1)):
        difference = (
            pick(soft, hole_ratio="all", method=method)["psnr"]
            - pick(hard, hole_ratio="all", method=method)["psnr"]
        )
        assert (difference > 0.5) == bool(more)
        assert more or difference == 0


def test_the_distance_of_features_is_a_column(tmp_path):
    truth = pictures(2)

    def features(signed):
        """Whether a pixel is bright, five times: unit vectors e1 or e2."""
        bright = keras.ops.cast(signed[..., :1] > 0, "float32")
        tap = keras.ops.concatenate([bright, 1 - bright], -1)
        return [tap[:, :: 2**i, :: 2**i] for i in range(5)]

    class Inverted(Perfect):
        def restore_patches(self, censored, mask, grids):
            return 255 - super().restore_patches(censored, mask, grids)

    masks = np.zeros((2, SIZE, SIZE), np.uint8)
    masks[:, 16:32, 16:32] = 255  # whole positions of the last tap
    rows = evaluate(
        Inverted(truth),
        truth,
        masks=masks,
        kinds=("white",),
        features=features,
        output=tmp_path / "e.csv",
        progress=False,
    )
    # Every position of the hole is at a right angle: 2 at each of five taps.
    assert pick(rows, hole_ratio="all", method="prediction")["vgg"] == pytest.approx(10)
    assert 0 < pick(rows, hole_ratio="all", method="Telea")["vgg"] < 5
    assert format_table(rows).splitlines()[0].endswith("|  VGG16 |")
    assert (tmp_path / "e.csv").read_text().splitlines()[0].endswith(",ssim,vgg")


def test_table_and_csv(tmp_path):
    truth = pictures(2)
    path = tmp_path / "deep" / "e.csv"
    rows = evaluate(None, truth, boxes(2), output=path, progress=False)
    assert {row["method"] for row in rows} == set(baselines.BASELINES)
    with open(path, newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert tuple(read[0]) == COLUMNS and len(read) == len(rows)
    assert float(read[0]["psnr"]) == rows[0]["psnr"]
    lines = format_table(rows).splitlines()
    assert len(lines) == len(rows) + 2 and len({len(line) for line in lines}) == 1
    assert re.fullmatch(r"\|( -+:? \|)+", lines[1])
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:4] == ["mosaic", "all", "censored", "2"]
    assert cells[5] == f"{rows[0]['psnr']:.2f}"
    write_csv(rows[:1], path)
    assert len(path.read_text("utf-8").splitlines()) == 2


def test_patches_object_brings_its_boxes():
    patches = Patches(pictures(2), boxes(2), ["a", "b"])
    rows = evaluate(None, patches, progress=False)
    assert rows == evaluate(None, patches.patches, patches.boxes, progress=False)


def test_a_restorer_is_given_the_grids_of_mosaics_alone():
    seen = []

    class Looking(Black):
        def restore_patches(self, censored, mask, grids):
            seen.append(grids)
            return super().restore_patches(censored, mask, grids)

    options = {"blocks": (5, 5), "batch_size": 2, "progress": False}
    evaluate(Looking(), pictures(2), boxes(2), kinds=("mosaic", "white"), **options)
    assert seen == [[Grid((5, 5))] * 2, None]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"kinds": ("blur",)}, "kinds are of"),
        ({}, "need boxes or masks"),
        ({"boxes": boxes(3)}, "as many boxes as patches, 2. Received: 3"),
        ({"masks": np.zeros((2, SIZE, SIZE), np.uint8)}, "mask 0, all 0"),
        ({"boxes": boxes(2), "rim": "no"}, "`rim` must be one of"),
        ({"boxes": boxes(2), "blocks": (12, 6)}, "`blocks`.*12, 6: exchange them"),
        ({"boxes": boxes(2), "seed": -1}, "`seed` must be a whole number"),
        ({"boxes": boxes(2), "batch_size": 0}, "`batch_size` must be"),
        ({"boxes": boxes(2), "blur_size": -1}, "`blur_size` must be at least 0"),
        ({"boxes": boxes(2), "blend": 2}, "`blend` must be at least 0 and at most 1"),
        ({"boxes": boxes(2), "output": "."}, "is a folder. Name a file"),
    ],
)
def test_mistakes(options, words):
    with pytest.raises(ValueError, match=words):
        evaluate(None, pictures(2), **options, progress=False)
    with pytest.raises(ValueError, match="0 patches"):
        evaluate(None, pictures(2)[:0], boxes(0), progress=False)
    with pytest.raises(ValueError, match="uint8"):
        evaluate(None, pictures(2) / 255, boxes(2), progress=False)


def test_the_package_s_restorer_writes_nothing_into_the_working_folder(
    tmp_path, monkeypatch
):
    draw_samples(
        tmp_path / "in", tmp_path / "in.json", 1, size=(64, 96), progress=False
    )
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    patches = held_out_patches(
        "default", tmp_path / "in", tmp_path / "in.json", progress=False
    )
    assert len(patches.patches) >= 1 and not list((tmp_path / "here").iterdir())
    with pytest.raises(UserError, match="no/run"):
        held_out_patches("no/run", tmp_path / "in", tmp_path / "in.json")
