import io
import os
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from illustkit.figures import picture_grid, save_figure, sheet, side_by_side
from illustkit.images import ImageError, read_image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def plain(colour, height=8, width=8):
    return np.full((height, width, 3), colour, np.uint8)


def drawn(figure, dpi=50):
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return np.asarray(Image.open(stream).convert("RGB"))


def middles(image, colours):
    """Centre (row, column) of each colour's pixels, as fractions of the figure."""
    found = []
    for colour in colours:
        rows, columns = np.nonzero((image == np.array(colour, np.uint8)).all(-1))
        assert rows.size, f"{colour} is not in the figure"
        found.append((rows.mean() / image.shape[0], columns.mean() / image.shape[1]))
    return found


def texts(figure):
    return [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text"))]


def test_grid_puts_pictures_row_by_row_and_keeps_their_shape():
    figure = picture_grid(
        [plain(RED), plain(GREEN, 4, 16), plain(BLUE, 16, 4)], columns=2, cell=1.5
    )
    image = drawn(figure)
    red, green, blue = middles(image, [RED, GREEN, BLUE])
    assert red[1] < 0.5 < green[1] and red[0] < blue[0] and blue[1] < 0.5
    for colour, ratio in (RED, 1), (GREEN, 4), (BLUE, 1 / 4):
        rows, columns = np.nonzero((image == np.array(colour, np.uint8)).all(-1))
        seen = (np.ptp(columns) + 1) / (np.ptp(rows) + 1)
        assert seen == pytest.approx(ratio, rel=0.15)
    assert figure.get_figwidth() == 3.0


def test_grid_writes_titles_as_they_are():
    names = ["a$b_1$.png", "100%.png", r"c\d$x"]  # no mathematics in file names
    figure = picture_grid([plain(RED)] * 3, titles=names, title="All $of them$")
    drawn(figure)
    assert {*names, "All $of them$"} <= set(texts(figure))


def test_default_columns_and_batches():
    batch = np.zeros((10, 4, 4, 3), np.uint8)
    for n, columns in (1, 1), (2, 2), (9, 3), (10, 4):
        axes = picture_grid(batch[:n]).axes
        assert axes[0].get_subplotspec().get_gridspec().ncols == columns
    # at most 8 columns; a last axis of 1 is grey
    assert sheet(np.zeros((100, 2, 2, 1), np.uint8), pad=0).shape == (26, 16, 3)


def test_side_by_side_lines_up_columns_rows_and_gaps():
    rows = [[plain(RED), plain(GREEN, 16, 8)], [None, plain(BLUE, 4, 8)]]
    figure = side_by_side(
        rows, column_titles=["censored", "restored"], row_titles=["one", "two"]
    )
    image = drawn(figure)
    red, green, blue = middles(image, [RED, GREEN, BLUE])
    assert red[1] < 0.5 < green[1]
    assert blue[1] == pytest.approx(green[1], abs=0.02) and blue[0] > red[0]
    assert red[0] == pytest.approx(green[0], abs=0.02)
    assert {"censored", "restored", "one", "two"} <= set(texts(figure))
    renderer = FigureCanvasAgg(figure).get_renderer()
    tops = [axis.title.get_window_extent(renderer).y0 for axis in figure.axes[:2]]
    assert tops[0] == pytest.approx(tops[1], abs=1)


def test_grey_masks_are_shown_without_stretching():
    image = drawn(picture_grid([np.full((8, 8), 100, np.uint8)]))
    assert (100, 100, 100) in set(map(tuple, image.reshape(-1, 3).tolist()))


def test_sheet_is_the_pictures_pixel_for_pixel():
    pictures = [plain(RED, 2, 3), plain(GREEN, 4, 1), np.full((1, 1), 7, np.uint8)]
    out = sheet(pictures, columns=2, pad=1, background=BLUE)
    # cells 4 x 3 with a border of 1: 2 * 5 + 1 high, 2 * 4 + 1 wide
    expected = np.full((11, 9, 3), BLUE, np.uint8)
    expected[2:4, 1:4] = RED
    expected[1:5, 6] = GREEN
    expected[7, 2] = 7
    np.testing.assert_array_equal(out, expected)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(sheet([plain(RED)], pad=0), plain(RED))


def test_mistakes_are_named():
    for function in picture_grid, sheet:
        with pytest.raises(ValueError, match="Received: none"):
            function([])
        with pytest.raises(ValueError, match="columns=0"):
            function([plain(RED)], columns=0)
        with pytest.raises(ImageError, match=r"dtype float64 and shape \(8, 8, 3\)"):
            function([plain(RED) / 255])
    with pytest.raises(ValueError, match="1 titles, 2 pictures"):
        picture_grid([plain(RED)] * 2, titles=["one"])
    with pytest.raises(ValueError, match=r"rows of \[2, 1\]"):
        side_by_side([[plain(RED)] * 2, [plain(RED)]])
    for rows in [], [[]], [[None]]:
        with pytest.raises(ValueError, match="Received"):
            side_by_side(rows)
    with pytest.raises(ValueError, match="row_titles must be 1 texts"):
        side_by_side([[plain(RED)]], row_titles=["one", "two"])


def test_no_pyplot_state_and_no_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = picture_grid([plain(RED)] * 3)
        save_figure(figure, tmp_path / "x.png")
    assert type(figure) is Figure and plt.get_fignums() == []


def test_save_figure(tmp_path, monkeypatch):
    figure = picture_grid([plain(RED)], cell=2.0)
    path = save_figure(figure, tmp_path / "new" / "grid.PNG", dpi=40)
    assert path == tmp_path / "new" / "grid.PNG"
    assert read_image(path).shape == (round(2.25 * 40), 80, 3)
    for extension, start in ("svg", b"<?xml"), ("pdf", b"%PDF"):
        file = save_figure(figure, str(tmp_path / f"grid.{extension}"))
        assert file.read_bytes().startswith(start)
    with pytest.raises(ImageError, match=r"grid\.xyz: unknown figure extension"):
        save_figure(figure, tmp_path / "grid.xyz")
    before = path.read_bytes()
    monkeypatch.setattr(
        os, "replace", lambda *a: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(ImageError, match="cannot be written"):
        save_figure(figure, path)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["grid.PNG"]
