"""Grids and side-by-side figures of pictures.

matplotlib is used without pyplot, so that no screen is needed.

A picture is uint8 RGB `(height, width, 3)` or a grey mask `(height, width)`.
"""

import io
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from illustkit.errors import UserError
from illustkit.images.formats import ImageError, check_image, check_path
from illustkit.images.write import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture_grid(
    pictures: Iterable[np.ndarray],
    *,
    columns: int | None = None,
    titles: Sequence[Any] | None = None,
    title: str | None = None,
    cell: float = 2.0,
) -> "Figure":
    """Show pictures of any sizes in a grid.

    Example:
    ```python
    figure = picture_grid(pictures, columns=4, titles=[f"{s:.1f}" for s in scores])
    save_figure(figure, "grid.png")
    ```

    Args:
        pictures: Sequence of pictures, or a batch `(n, height, width, 3)`.
        columns: Number of columns. Defaults to the nearest to a square, at most 8.
        titles: One text above each picture. Defaults to none.
        title: Text above the figure. Defaults to none.
        cell: Width of one cell, in inches. Defaults to 2.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        UserError: If there is no picture, one is of another kind, or the number of
            titles differs from that of the pictures.
    """
    pictures = list(pictures)
    columns = _columns(pictures, columns)
    if titles is not None and len(titles) != len(pictures):
        raise UserError(
            "There must be as many titles as pictures. "
            f"Received: {len(titles)} titles, {len(pictures)} pictures"
        )
    texts = list(titles or [])
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    figure, axes = _draw(rows, columns, title, cell)
    for axis, text in zip(axes.flat, texts, strict=False):
        axis.set_title(str(text), fontsize=9, parse_math=False)
    return figure


def side_by_side(
    rows: Iterable[Iterable[np.ndarray | None]],
    *,
    column_titles: Sequence[Any] | None = None,
    row_titles: Sequence[Any] | None = None,
    title: str | None = None,
    cell: float = 2.0,
) -> "Figure":
    """Show rows of pictures that belong together: truth, censored, restored, say.

    Example:
    ```python
    side_by_side(zip(truth, censored, restored),
                 column_titles=["truth", "censored", "restored"])
    ```

    Args:
        rows: Sequence of rows, each a sequence of pictures; `None` leaves a cell empty.
        column_titles: One text above each column. Defaults to none.
        row_titles: One text at the left of each row. Defaults to none.
        title: Text above the figure. Defaults to none.
        cell: Width of one cell, in inches. Defaults to 2.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        UserError: If there is no picture, rows differ in length, or the number of
            titles does not fit.
    """
    lines = [list(row) for row in rows]
    lengths = [len(row) for row in lines]
    if not lines or min(lengths) != max(lengths) or not lengths[0]:
        raise UserError(
            f"Rows must hold equally many pictures. Received: rows of {lengths}"
        )
    titles = ("column", column_titles, lengths[0]), ("row", row_titles, len(lines))
    for name, texts, n in titles:
        if texts is not None and len(texts) != n:
            raise UserError(f"{name}_titles must be {n} texts. Received: {texts!r}")
    figure, axes = _draw(lines, lengths[0], title, cell)
    for axis in axes.flat:  # every cell full size, so that the titles are aligned
        axis.set_adjustable("datalim")
    for axis, text in zip(axes[0], column_titles or [], strict=False):
        axis.set_title(str(text), fontsize=10, parse_math=False)
    for axis, text in zip(axes[:, 0], row_titles or [], strict=False):
        axis.set_ylabel(str(text), fontsize=10, parse_math=False)
    return figure


def sheet(
    pictures: Iterable[np.ndarray],
    *,
    columns: int | None = None,
    pad: int = 2,
    background: int | Sequence[int] = 255,
) -> np.ndarray:
    """Lay out pictures on one plain picture, pixel for pixel.

    Every cell has the size of the largest picture; smaller ones are centred in it.

    Example:
    ```python
    write_image("samples.png", sheet(samples, columns=8))
    ```

    Args:
        pictures: Sequence of pictures, or a batch `(n, height, width, 3)`.
        columns: Number of columns. Defaults to the nearest to a square, at most 8.
        pad: Pixels around every cell. Defaults to 2.
        background: Grey value or RGB of what no picture covers. Defaults to white.

    Returns:
        uint8 RGB, `rows * (cell_height + pad) + pad` high and
        `columns * (cell_width + pad) + pad` wide.

    Raises:
        UserError: If there is no picture, or one is of another kind.
    """
    pictures = list(pictures)
    columns = _columns(pictures, columns)
    height, width = np.max([_rgb(p).shape[:2] for p in pictures], axis=0) + pad
    lines = math.ceil(len(pictures) / columns)
    out = np.empty((lines * height + pad, columns * width + pad, 3), np.uint8)
    out[:] = background
    for i, picture in enumerate(map(_rgb, pictures)):
        h, w = picture.shape[:2]
        top = pad + i // columns * height + (height - pad - h) // 2
        left = pad + i % columns * width + (width - pad - w) // 2
        out[top : top + h, left : left + w] = picture
    return out


def save_figure(figure: "Figure", path: str | os.PathLike, *, dpi: int = 150) -> Path:
    """Write a figure, the whole file or none.

    Example:
    ```python
    save_figure(picture_grid(pictures), "figures/grid.png")
    ```

    Args:
        figure: `matplotlib.figure.Figure`.
        path: The file; its extension (".png", ".svg", ".pdf", ...) names the format.
            Missing folders are made.
        dpi: Pixels per inch. Defaults to 150.

    Returns:
        The path written.

    Raises:
        ImageError: For an extension matplotlib does not know, or a place that cannot be
            written.
    """
    path = check_figure(path)
    stream = io.BytesIO()
    figure.savefig(stream, format=path.suffix.lower()[1:], dpi=dpi)
    return write_bytes(path, stream.getvalue())


def check_figure(path: str | os.PathLike) -> Path:
    """Raise if a figure cannot be written to a path; before it is drawn.

    Example:
    ```python
    check_figure("figures/grid.svg")    # Path("figures/grid.svg")
    ```

    Args:
        path: The file to be.

    Returns:
        The path.

    Raises:
        ImageError: For an extension matplotlib does not know, or a folder.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    path = check_path(path)
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lower()[1:] not in known:
        raise ImageError(
            f"{path}: unknown figure extension {path.suffix!r}. "
            f"Use .{', .'.join(known)}."
        )
    if path.is_dir():
        raise ImageError(f"{path}: is a folder. Name a file in it.")
    return path


def _columns(pictures, columns):
    if not pictures:
        raise UserError("There must be a picture to show. Received: none")
    if columns is None:
        return min(8, math.ceil(math.sqrt(len(pictures))))
    if columns < 1:
        raise UserError(f"columns must be 1 or more. Received: columns={columns}")
    return min(columns, len(pictures))


def _rgb(picture):
    if isinstance(picture, np.ndarray):
        if picture.ndim == 3 and picture.shape[-1] == 1:
            picture = picture[..., 0]
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=-1)
    return check_image(picture, name="A picture to show")


def _draw(rows, columns, title, cell):
    from matplotlib.figure import Figure

    shown = [[None if p is None else _rgb(p) for p in row] for row in rows]
    if all(picture is None for row in shown for picture in row):
        raise UserError("There must be a picture to show. Received: None only")
    heights = []
    for row in shown:
        ratios = [p.shape[0] / p.shape[1] for p in row if p is not None]
        # A very tall or wide picture gets smaller, not the figure enormous.
        heights.append(cell * min(max([0.25, *ratios]), 2.0) + 0.25)
    figure = Figure(figsize=(columns * cell, sum(heights)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_frame_on(False)
    for row_axes, row in zip(axes, shown, strict=True):
        for axis, picture in zip(row_axes, row, strict=False):
            if picture is not None:
                axis.imshow(picture)
    if title is not None:
        figure.suptitle(str(title), parse_math=False)
    return figure, axes
