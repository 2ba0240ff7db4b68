import json
from pathlib import Path

import numpy as np
import pytest

from diffusion.evaluation.metrics import kid, mae
from diffusion.network.model import load_diffuser
from diffusion.pages.demo import demo, write_page
from diffusion.sampling.generate import sample
from diffusion.watermark import read_note
from illustkit.images import list_images, read_image
from illustkit.samples import draw_face_icon
from illustkit.training.runs import Run

TINIEST = {"dim": 8, "dim_mults": (1, 2), "timesteps": 20, "batch_size": 4}
TINIEST |= {"steps": 4, "epoch_steps": 2, "precision": "float32"}
N_ICONS, N = 6, 5


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A demo of two convolutions, run twice: the second time it has only to go on."""
    import diffusion.network.model
    from tests.diffusion.slim import Slim

    folder = tmp_path_factory.mktemp("demo")
    options = {"n_icons": N_ICONS, "n": N, "steps": 3, "strategy": "one", "verbose": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion.network.model, "UNet", Slim)
        page = demo(folder, **options, settings=TINIEST)
        first = read_image(folder / "grid.png")
        stamp = (folder / "icons" / "drawn-0000.png").stat().st_mtime_ns
        assert demo(folder, **options, settings=TINIEST) == page
        np.testing.assert_array_equal(read_image(folder / "grid.png"), first)
        assert (folder / "icons" / "drawn-0000.png").stat().st_mtime_ns == stamp
        made = sample(
            load_diffuser(folder / "run"),
            N,
            sampler="ddim",
            steps=3,
            progress=False,
        )
    return page, made


def test_what_is_learnt_are_the_illustrators_icons(shown):
    folder = shown[0].parent
    paths = list_images(folder / "icons")
    assert len(paths) == N_ICONS
    for i, path in enumerate(paths):
        np.testing.assert_array_equal(read_image(path), draw_face_icon(i, 32))
    run = Run(folder / "run")
    assert run.epochs_done == 2 and run.settings["batch_size"] == 4
    assert run.settings["image_size"] == [32, 32]


def test_the_new_icons_are_marked_and_only_enlarged_beside_that(shown):
    page, made = shown
    paths = list_images(page.parent / "new")
    assert len(paths) == N
    for path, picture in zip(paths, made, strict=True):
        assert read_note(path) == "AI-generated"
        marked = read_image(path)
        factor = marked.shape[0] // 32
        large = np.kron(picture, np.ones((factor, factor, 1), np.uint8))
        same = np.all(marked == large, axis=-1).mean()
        assert 0.3 < same < 0.97
    assert read_note(page.parent / "grid.png") == "AI-generated"


def test_the_figures_are_those_of_the_unmarked_pictures(shown):
    page, made = shown
    result = json.loads((page.parent / "evaluation.json").read_text("utf-8"))
    drawn = np.stack([draw_face_icon(i, 32) for i in range(N_ICONS)])
    unseen = np.stack([draw_face_icon(N_ICONS + i, 32) for i in range(N)])
    halves = [
        x.reshape(len(x), 16, 2, 16, 2, 3).mean((2, 4)).round().reshape(len(x), -1)
        / 255
        for x in (made, drawn)
    ]
    assert result["new"]["features"] == "pixels" and result["new"]["fid"] is None
    # Pillow rounds halves another way.
    assert result["new"]["kid"] == pytest.approx(kid(*halves).value, abs=1e-2)
    for name, pictures in (("new", made), ("unseen", unseen)):
        nearest = np.abs(pictures[:, None].astype(float) - drawn).mean((2, 3, 4)).min(1)
        assert result[name]["mae"] == pytest.approx(3 * nearest.mean())
        assert result[name]["mae"] == pytest.approx(mae(pictures, drawn))
        assert result[name]["n_generated"] == N
        assert result[name]["n_training"] == N_ICONS


def test_the_page_shows_what_is_there(shown):
    page, _ = shown
    text, result = (
        page.read_text("utf-8"),
        json.loads((page.parent / "evaluation.json").read_text("utf-8")),
    )
    sources = [part.split('"')[0] for part in text.split('src="')[1:]]
    assert {"grid.png", "neighbours.png", "drawn.png"} <= set(sources)
    for source in sources:
        assert read_image(page.parent / source).std() > 5
    for part in text.split('href="')[1:]:
        assert (page.parent / part.split('"')[0]).exists()
    assert "KID (pixels)" in text and "InceptionV3" in text
    for name in ("new", "unseen"):
        assert f"{result[name]['kid']:.4f}" in text
        assert f"{result[name]['mae']:.1f}" in text


@pytest.mark.parametrize(
    ("copies", "words"),
    [(0, "None of them is a copy"), (1, "1 of them</b> is"), (3, "3 of them</b> are")],
)
def test_the_page_tells_copies(shown, tmp_path, copies, words):
    folder = shown[0].parent
    result = json.loads((folder / "evaluation.json").read_text("utf-8"))
    new = {**result["new"], "copies": copies}
    page = write_page(Path(tmp_path), new, result["unseen"], Run(folder / "run"))
    assert words in page.read_text("utf-8")
