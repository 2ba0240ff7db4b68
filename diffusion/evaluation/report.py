"""Measure a folder of new pictures: FID, KID, MAE, NWI and copies."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffusion.evaluation.features import Extractor, extract_features, load_extractor
from diffusion.evaluation.memorisation import (
    find_neighbours,
    fraction_within,
    plot_neighbours,
)
from diffusion.evaluation.metrics import (
    check_mae,
    fid,
    kid,
    kid_of_subsets,
    mae,
    new_work_index,
)
from diffusion.evaluation.spread import spread_features
from diffusion.icons import icon_files, read_icons
from diffusion.watermark import read_note
from illustkit.cluster import RAY
from illustkit.deprecation import renamed_keywords
from illustkit.errors import UserError
from illustkit.figures import check_figure
from illustkit.files import check_writable, expand_user
from illustkit.options import check_choice, check_options
from illustkit.tables import write_json

LEAST = 4
"""Pictures that each set needs, for KID's subsets."""

Pictures = str | os.PathLike | np.ndarray
"""A folder, or uint8 RGB `(n, height, width, 3)`."""


def evaluate_pictures(
    generated: Pictures,
    training: Pictures,
    *,
    features: Any = "inception",
    resizing: str = "pytorch-fid",
    definition: str = "nearest",
    channels: str = "sum",
    image_size: Sequence[int] | None = None,
    batch_size: int = 32,
    output: str | os.PathLike | None = None,
    figure: str | os.PathLike | None = None,
    engine: str = "auto",
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Measure new pictures against those that a model was trained on.

    FID and NWI are defined by InceptionV3's features alone: with `features="pixels"`
    they are `None`, and KID is quoted with that name.

    Example:
    ```python
    result = evaluate_pictures("new", "icons", output="evaluation.json")
    print(format_evaluation(result))
    ```

    Args:
        generated: Folder, or uint8 RGB `(n, height, width, 3)`.
        training: Folder, or uint8 RGB `(m, height, width, 3)`.
        features: "inception", a file of its weights, "pixels", or a function; see
            `load_extractor`. Defaults to "inception".
        resizing: How pictures become InceptionV3's: "pytorch-fid", "clean-fid" or
            "torch-fidelity". Defaults to "pytorch-fid".
        definition: "nearest", "all" or "mean picture"; see
            `diffusion.evaluation.metrics.mae`. Defaults to "nearest".
        channels: "sum" or "mean" over a pixel's channels. Defaults to "sum".
        image_size: (width, height) at which pictures are compared. Defaults to the
            medians of the generated pictures' widths and heights.
        batch_size: Pictures per batch. Defaults to 32.
        output: Path of a JSON file to write. Defaults to `None`.
        figure: Path of a figure of the nearest pairs. Defaults to `None`.
        engine: "auto", or "ray": processes of Ray extract the features of folders, on
            this machine or on a cluster whose machines all see them. All figures but
            the features' are computed here. Defaults to "auto".
        workers: Number of processes of `engine` "ray". Defaults to one for each core.
        progress: Whether to show progress bars. Defaults to `True`.

    Returns:
        Dict: `n_generated`, `n_training`, `image_size`, `features`, `resizing` (of
        InceptionV3's alone), `fid`, `kid`, `kid_low`, `kid_high` (95 %),
        `kid_subset_size` (1000, or the smaller set's number), `kid_mean`, `kid_std`
        (of 100 such subsets, as torch-fidelity gives it), `mae`, `mae_definition`,
        `nwi`, `copies` (number), `copies_share`, `copies_within_training` (fractions),
        `nearest` (for each picture its training picture and ratio), `watermarked`,
        `resized`, `animated` (names of the files of which the first frame counts),
        `left_out` (a line for each file that cannot be read).

    Raises:
        WeightsError: If InceptionV3's weights are not available; before anything is
            read.
        UserError: If a folder has too few pictures, an option is invalid, or `output`
            or `figure` cannot be written.

    Reference:
        The preprint, §5.1 and §5.3.
    """
    # First, since reading takes long.
    check_mae(definition, channels)
    check_options(image_size=image_size, batch_size=batch_size)
    check_choice("engine", engine, ("auto", RAY))
    if engine == RAY and any(isinstance(x, np.ndarray) for x in (generated, training)):
        raise UserError("`engine` ray reads files: name folders of pictures.")
    for path in output, figure:
        if path is not None:
            if expand_user(path).is_dir():
                raise UserError(f"{path}: is a folder. Name a file in it.")
            check_writable(expand_user(path).parent)
    if figure is not None:
        check_figure(figure)
    for source in generated, training:
        if not isinstance(source, np.ndarray):
            icon_files(source)  # a wrong folder shows before the other is read
    extractor = load_extractor(features, resizing=resizing)
    new = read_icons(generated, image_size)
    old = read_icons(training, new.image_size)
    for name, icons in (("generated", new), ("training", old)):
        if len(icons.names) < LEAST:
            raise UserError(
                f"The figures need {LEAST} {name} pictures or more, better hundreds. "
                f"Received: {len(icons.names)}"
            )
    extracted = [
        _extract(source, icons, extractor, engine, workers, batch_size, progress)
        for source, icons in ((generated, new), (training, old))
    ]
    distance = mae(new.pictures, old.pictures, definition=definition, channels=channels)
    result: dict[str, Any] = {
        "n_generated": len(new.names),
        "n_training": len(old.names),
        "image_size": list(new.image_size),
        **_by_features(extractor, *extracted),
        "mae": distance,
        "mae_definition": f"{definition}, {channels} of channels",
    }
    result["nwi"] = None
    if result["fid"] is not None:
        result["nwi"] = new_work_index(distance, result["fid"])
    neighbours = find_neighbours(new.pictures, old.pictures)
    result |= {
        "copies": int(neighbours.copied.sum()),
        "copies_share": neighbours.fraction,
        "copies_within_training": fraction_within(old.pictures),
        "nearest": [
            [name, old.names[i], round(float(ratio), 4), bool(flipped)]
            for name, i, ratio, flipped in zip(
                new.names,
                neighbours.index,
                neighbours.ratio,
                neighbours.flipped,
                strict=True,
            )
        ],
        "watermarked": _watermarked(generated, new.names),
        "resized": len(new.resized + old.resized),
        "animated": new.animated + old.animated,
        "left_out": [reason for _, reason in new.left_out + old.left_out],
    }
    if output is not None:
        write_json(output, result)
    if figure is not None:
        plot_neighbours(new.pictures, old.pictures, neighbours, path=figure)
    return result


def _extract(source, icons, extractor, engine, workers, batch_size, progress):
    """Return the features of a set's pictures, in their order."""
    options = {"batch_size": batch_size, "progress": progress}
    if engine != RAY:
        return extract_features(icons.pictures, extractor, **options)
    options |= {"image_size": icons.image_size, "workers": workers}
    rows = {
        name: row
        for names, features in spread_features(
            expand_user(source), icons.names, extractor, **options
        )
        for name, row in zip(names, features, strict=True)
    }
    return np.stack([rows[name] for name in icons.names])


def _by_features(extractor: Extractor, a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    value, low, high = kid(a, b)
    inception = extractor.name == "inception"
    resizing = {"resizing": extractor.resizing} if inception else {}
    size = min(1000, len(a), len(b))
    mean, std = kid_of_subsets(a, b, subset_size=size)
    return {
        "features": extractor.name,
        **resizing,
        "fid": fid(a, b) if inception else None,
        "kid": value,
        "kid_low": low,
        "kid_high": high,
        "kid_subset_size": size,
        "kid_mean": mean,
        "kid_std": std,
    }


def _watermarked(source: Pictures, names: Sequence[str]) -> int:
    """Count the files that bear the note of a watermark."""
    if isinstance(source, np.ndarray):
        return 0
    folder = expand_user(source)
    return sum(read_note(folder / name) is not None for name in names)


def format_evaluation(result: Mapping[str, Any]) -> str:
    """Format the result of `evaluate_pictures` for a terminal.

    Example:
    ```python
    print(format_evaluation(evaluate_pictures("new", "icons")))
    ```

    Args:
        result: The dict that `evaluate_pictures` returned.

    Returns:
        str of several lines.
    """
    width, height = result["image_size"]
    name = result["features"]
    kid = f"{result['kid']:.5f} ({result['kid_low']:.5f} to {result['kid_high']:.5f})"
    rows = [
        ("pictures", f"{result['n_generated']} generated, {result['n_training']} "
         f"training, at {width}x{height}"),
        ("FID", _or_none(result["fid"], "{:.2f}", name)),
        (f"KID ({name})", f"{kid}, 95 % interval"),
        ("", f"{result['kid_mean']:.5f} ± {result['kid_std']:.5f}, subsets of "
         f"{result['kid_subset_size']}, as torch-fidelity"),
        ("MAE", f"{result['mae']:.2f} ({result['mae_definition']})"),
        ("NWI", _or_none(result["nwi"], "{:.2f}", name)),
        ("copies", f"{result['copies']} of {result['n_generated']} "
         f"({result['copies_share']:.1%}); of the training pictures themselves "
         f"{result['copies_within_training']:.1%} are copies of another"),
    ]  # fmt: skip
    lines = [f"{head:<14}{text}" for head, text in rows]
    if min(result["n_generated"], result["n_training"]) < 2048:
        lines.append("FID depends on the numbers of pictures: compare like with like.")
    if result["watermarked"]:
        lines.append(
            f"{result['watermarked']} of the pictures bear a watermark, which changes "
            "the figures: make them with --no-watermark to measure them."
        )
    if result["resized"]:
        lines.append(f"{result['resized']} pictures had another size and were resized.")
    lines += [
        f"First of its frames alone: {name} is animated."
        for name in result.get("animated", ())
    ]
    lines += [f"Left out: {reason}" for reason in result["left_out"]]
    return "\n".join(lines)


@renamed_keywords(mae="definition", weights="features")
def nwi(
    generated: Pictures,
    training: Pictures,
    *,
    definition: str = "nearest",
    channels: str = "sum",
    features: Any = "inception",
) -> float:
    """Compute the preprint's New Work Index of pictures.

    `evaluate_pictures` computes it with all other figures.

    Example:
    ```python
    diffusion.nwi("new", "icons", definition="all", channels="mean")
    ```

    Args:
        generated: Folder, or uint8 RGB `(n, height, width, 3)`.
        training: Folder, or uint8 RGB `(m, height, width, 3)`.
        definition: See `evaluate_pictures`. Defaults to "nearest".
        channels: See `evaluate_pictures`. Defaults to "sum".
        features: "inception", or a file of its weights. Defaults to "inception".

    Returns:
        float, MAE − FID.

    Raises:
        ValueError: See `evaluate_pictures`; or if the features are not InceptionV3's.
    """
    if isinstance(features, str) and features == "pixels" or callable(features):
        raise UserError(
            "NWI is defined by InceptionV3's features. Give the path of its weights. "
            f"Received: features={features!r}"
        )
    return evaluate_pictures(
        generated,
        training,
        features=features,
        definition=definition,
        channels=channels,
        progress=False,
    )["nwi"]


def validity_table(
    early: Pictures,
    new: Pictures,
    other: Pictures,
    *,
    names: Sequence[str] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Compute the preprint's table 1: is NWI higher for new work than another domain?

    The first row compares an illustrator's later pictures (as generated ones) with the
    early ones (as training ones); the second compares the same later pictures with
    those of another domain.

    Example:
    ```python
    rows = validity_table("faces_early", "faces_new", "animals")
    print(format_validity(rows))
    ```

    Args:
        early: Folder or array of an illustrator's early pictures.
        new: Folder or array of the later pictures.
        other: Folder or array of another domain.
        names: Names of the three. Defaults to the folders' names.
        **options: `features`, `definition`, `channels`, `image_size`, `batch_size`,
            `progress` of `evaluate_pictures`.

    Returns:
        List of two dicts: `first`, `second`, and the figures of `evaluate_pictures`.

    Raises:
        ValueError: See `evaluate_pictures`.

    Reference:
        The preprint, §5.2 and table 1.
    """
    names = names or [
        Path(source).name if isinstance(source, (str, os.PathLike)) else name
        for name, source in zip(
            ("early", "new", "other"), (early, new, other), strict=True
        )
    ]
    for source in early, new, other:
        if not isinstance(source, np.ndarray):
            icon_files(source)
    options["features"] = load_extractor(options.get("features", "inception"))
    rows = []
    for name, first in ((names[0], early), (names[2], other)):
        row = evaluate_pictures(new, first, **options)
        rows.append({"first": name, "second": names[1], **row})
    return rows


def format_validity(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format the result of `validity_table` as a Markdown table, with a verdict.

    Args:
        rows: The list of dicts that `validity_table` returned.

    Returns:
        str of several lines.
    """
    name = rows[0]["features"]
    head = f"| data set 1 | data set 2 | FID | NWI | MAE | KID ({name}) |"
    lines = [head, "|-|-|-|-|-|-|"]
    for row in rows:
        figures = [_or_none(row[key], "{:.1f}") for key in ("fid", "nwi", "mae")]
        cells = [row["first"], row["second"], *figures, f"{row['kid']:.4f}"]
        lines.append(f"| {' | '.join(cells)} |")
    if rows[0]["nwi"] is None:
        lines.append(f"Of {name} there is no FID, and so no NWI to judge.")
    else:
        holds = rows[0]["nwi"] > rows[1]["nwi"]
        lines.append(
            "NWI is higher for new work than for another domain: "
            + ("as in the preprint." if holds else "NOT so here.")
        )
    return "\n".join(lines)


def _or_none(value, form, name=None):
    if value is not None:
        return form.format(value)
    return "–" if name is None else f"– (not defined by the features of {name})"
