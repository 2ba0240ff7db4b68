import numpy as np
import pytest
from PIL import Image

from oppai.evaluation.plots import plot_history, plot_results


def case(n=None):
    shape = (16, 16) if n is None else (n, 16, 16)
    censored = np.full((*shape, 3), 100, np.uint8)
    prediction = np.full((*shape, 3), 201, np.uint8)
    truth = np.full((*shape, 3), 150, np.uint8)
    mask = np.zeros(shape, np.uint8)
    mask[..., 4:8, 4:8] = 255
    mask[..., 8, 4:8] = 128
    return (censored, prediction, truth), mask


def shown(figure):
    return [axis.images[0].get_array() for axis in figure.axes]


def test_four_pictures_in_the_chapter_s_order(tmp_path):
    pictures, mask = case()
    figure = plot_results(
        *pictures, mask=mask, source="a_b$c$ — drawn here", path=tmp_path / "r.png"
    )
    censored, prediction, blended, truth = shown(figure)
    for drawn, given in zip((censored, prediction, truth), pictures, strict=True):
        assert (drawn == given).all()
    # By hand: 100 + 0.5 · 101, and at alpha 128/255: 100 + 0.502 · 0.5 · 101
    assert set(np.unique(blended[4:8, 4:8])) == {150}
    assert set(np.unique(blended[8, 4:8])) == {125}
    assert (blended[mask == 0] == 100).all()
    positions = [tuple(axis.get_subplotspec().colspan)[0] for axis in figure.axes]
    rows = [tuple(axis.get_subplotspec().rowspan)[0] for axis in figure.axes]
    assert (rows, positions) == ([0, 0, 1, 1], [0, 1, 0, 1])
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["censored", "prediction", "50% blend", "truth"]
    assert figure.get_supxlabel() == "a_b$c$ — drawn here"
    assert Image.open(tmp_path / "r.png").size[0] > 400


def test_blend_titles_and_several_patches():
    pictures, mask = case(3)
    titles = ["a", "b", "c", "d"]
    figure = plot_results(
        *pictures,
        mask=mask[..., None],
        blend=1,
        titles=titles,
        source=["one", "two", "three"],
    )
    drawn = shown(figure)
    assert len(drawn) == 12
    assert (drawn[6][4:8, 4:8] == 201).all() and (drawn[6][0] == 100).all()
    assert [axis.get_title() for axis in figure.axes[:4]] == titles
    assert figure.get_supxlabel() == "one\ntwo\nthree"


def test_mistakes_in_results():
    pictures, mask = case()
    with pytest.raises(ValueError, match="the same size"):
        plot_results(*pictures, mask=mask[:8])
    with pytest.raises(ValueError, match="four titles"):
        plot_results(*pictures, mask=mask, titles=["a"])
    with pytest.raises(ValueError, match="blend=50"):
        plot_results(*pictures, mask=mask, blend=50)


def test_history(tmp_path):
    history = {
        "epoch": [0, 1, 2],
        "loss": [9.0, 4.0, 3.0],
        "hole": [0.4, 0.2, 0.0],
        "psnr": [12.0, 15.0, 16.0],
        "ssim": [0.3, 0.4, float("nan")],
        "val_loss": [9.5, 5.0, 4.0],
        "val_psnr": [11.0, 14.0, 14.5],
        "learning_rate": [1e-4] * 3,
    }
    figure = plot_history(history, tmp_path / "h.png")
    lines = [{ln.get_label(): ln for ln in axis.lines} for axis in figure.axes]
    assert [sorted(names) for names in lines] == [
        ["hole", "loss", "val_loss"],
        ["psnr", "val_psnr"],
        ["ssim"],
    ]
    line = lines[1]["val_psnr"]
    assert list(line.get_xdata()) == [1, 2, 3]
    assert list(line.get_ydata()) == history["val_psnr"]
    assert line.get_linestyle() == "--"
    assert line.get_color() == lines[1]["psnr"].get_color()
    assert (tmp_path / "h.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="no epoch"):
        plot_history({"epoch": [], "loss": []})
