"""The preprint's figures for a folder of new pictures: FID, KID, MAE, NWI, copies."""

import json
from pathlib import Path

import numpy as np

from diffusion.evaluation.features import extract_features, load_extractor
from diffusion.evaluation.memorisation import (
    find_neighbours,
    fraction_within,
    plot_neighbours,
)
from diffusion.evaluation.metrics import fid, kid, mae, new_work_index
from diffusion.icons import read_icons
from diffusion.watermark import read_note
from illustkit.files import write_whole


def format_evaluation(result):
    """Lay out what `evaluate_pictures` returns.

    Args:
        result: Its dict.

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
            f"{result['watermarked']} of the pictures bear a watermark, which the "
            "figures measure as well: make them with --no-watermark to measure them."
        )
    if result["resized"]:
        lines.append(f"{result['resized']} pictures had another size and were resized.")
    lines += [f"Left out: {reason}" for reason in result["left_out"]]
    return "\n".join(lines)


def format_validity(rows):
    """Lay out what `validity_table` returns as a Markdown table, with a verdict.

    Args:
        rows: Its list of dicts.

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


def evaluate_pictures(
    generated,
    training,
    *,
    features="inception",
    definition="nearest",
    channels="sum",
    image_size=None,
    batch_size=32,
    output=None,
    figure=None,
    progress=True,
):
    """Measure new pictures against those that a model was trained on.

    FID and NWI are defined by InceptionV3's features and given by no others: with
    `features="pixels"` they are `None`, and KID bears that name.

    Example:
    ```python
    result = evaluate_pictures("new", "icons", output="evaluation.json")
    print(format_evaluation(result))
    ```

    Args:
        generated: Folder, or uint8 RGB `(n, height, width, 3)`.
        training: Folder, or uint8 RGB `(m, height, width, 3)`.
        features: As in `load_extractor`: "inception", a file of its weights,
            "pixels", or a function. Defaults to "inception".
        definition: Of the MAE: "nearest", "all" or "mean picture"; see
            `diffusion.evaluation.metrics.mae`. Defaults to "nearest".
        channels: "sum" or "mean" of a pixel's channels. Defaults to "sum".
        image_size: (width, height) at which all is compared. Defaults to that of the
            first generated picture.
        batch_size: Pictures at once. Defaults to 32.
        output: Path of a JSON file to write. Defaults to `None`.
        figure: Path of a figure of the nearest pairs. Defaults to `None`.
        progress: Whether to show bars. Defaults to `True`.

    Returns:
        Dict: `n_generated`, `n_training`, `image_size`, `features`, `fid`, `kid`,
        `kid_low`, `kid_high` (95 %), `mae`, `mae_definition`, `nwi`, `copies` (number),
        `copies_share`, `copies_within_training` (share), `nearest` (for each picture
        its training picture and ratio), `watermarked`, `resized`, `left_out`.

    Raises:
        WeightsError: where InceptionV3's weights cannot be had; before anything is
            read.
        ValueError: for a folder without pictures, too few of them, or another
            definition.

    Reference:
        The preprint, §5.1 and §5.3.
    """
    extractor = load_extractor(features)  # first: all else takes long
    new = read_icons(generated, image_size)
    old = read_icons(training, new.image_size)
    for name, found in (("generated", new), ("training", old)):
        if len(found.names) < 4:
            raise ValueError(
                f"The figures need 4 {name} pictures or more, better hundreds. "
                f"Received: {len(found.names)}"
            )
    distance = mae(new.pictures, old.pictures, definition=definition, channels=channels)
    result = {
        "n_generated": len(new.names),
        "n_training": len(old.names),
        "image_size": list(new.image_size),
        **_by_features(new, old, extractor, batch_size, progress),
        "mae": distance,
        "mae_definition": f"{definition}, {channels} of channels",
    }
    result["nwi"] = None
    if result["fid"] is not None:
        result["nwi"] = new_work_index(distance, result["fid"])
    found = find_neighbours(new.pictures, old.pictures)
    result |= {
        "copies": int(found.copied.sum()),
        "copies_share": found.fraction,
        "copies_within_training": fraction_within(old.pictures),
        "nearest": [
            [name, old.names[i], round(float(ratio), 4), bool(flipped)]
            for name, i, ratio, flipped in zip(
                new.names, found.index, found.ratio, found.flipped, strict=True
            )
        ],
        "watermarked": _watermarked(generated, new.names),
        "resized": len(new.resized + old.resized),
        "left_out": [reason for _, reason in new.left_out + old.left_out],
    }
    if output is not None:
        write_whole(output, json.dumps(result, indent=1, ensure_ascii=False))
    if figure is not None:
        plot_neighbours(new.pictures, old.pictures, found, path=figure)
    return result


def nwi(generated, training, *, mae="nearest", channels="sum", weights="inception"):
    """The preprint's New Work Index of pictures; see `evaluate_pictures` for more.

    Example:
    ```python
    diffusion.nwi("new", "icons", mae="all", channels="mean")
    ```

    Args:
        generated: Folder, or uint8 RGB `(n, height, width, 3)`.
        training: Folder, or uint8 RGB `(m, height, width, 3)`.
        mae: Definition of the MAE. Defaults to "nearest".
        channels: "sum" or "mean". Defaults to "sum".
        weights: Of InceptionV3: "inception", or a path. Defaults to "inception".

    Returns:
        float, MAE − FID.

    Raises:
        ValueError: as `evaluate_pictures`.
    """
    if weights == "pixels" or callable(weights):
        raise ValueError(
            "NWI is defined by InceptionV3's features. Give the path of its weights. "
            f"Received: weights={weights!r}"
        )
    return evaluate_pictures(
        generated,
        training,
        features=weights,
        definition=mae,
        channels=channels,
        progress=False,
    )["nwi"]


def validity_table(early, new, other, *, names=None, **options):
    """The preprint's Table 1: is NWI higher for new work than for another domain?

    The first row compares an illustrator's later pictures (in the place of generated
    ones) with the early ones (in that of training ones), the second the same later
    pictures with those of another domain.

    Example:
    ```python
    rows = validity_table("faces_early", "faces_new", "animals")
    print(format_validity(rows))
    ```

    Args:
        early: Folder or array of an illustrator's early pictures.
        new: Of the later ones.
        other: Of another domain.
        names: Three texts. Defaults to the folders' names.
        **options: `features`, `definition`, `channels`, `image_size`, `batch_size`,
            `progress` of `evaluate_pictures`.

    Returns:
        List of two dicts: `first`, `second`, and the figures of `evaluate_pictures`.

    Raises:
        ValueError: as `evaluate_pictures`.

    Reference:
        The preprint, §5.2 and table 1.
    """
    names = names or [
        Path(source).name if isinstance(source, (str, Path)) else name
        for name, source in zip(
            ("early", "new", "other"), (early, new, other), strict=True
        )
    ]
    options["features"] = load_extractor(options.get("features", "inception"))
    rows = []
    for name, first in ((names[0], early), (names[2], other)):
        row = evaluate_pictures(new, first, **options)
        rows.append({"first": name, "second": names[1], **row})
    return rows


def _by_features(new, old, extractor, batch_size, progress):
    a, b = (
        extract_features(
            x.pictures, extractor, batch_size=batch_size, progress=progress
        )
        for x in (new, old)
    )
    value, low, high = kid(a, b)
    inception = extractor.name == "inception"
    return {
        "features": extractor.name,
        "fid": fid(a, b) if inception else None,
        "kid": value,
        "kid_low": low,
        "kid_high": high,
    }


def _watermarked(source, names):
    if isinstance(source, np.ndarray):
        return 0
    return sum(read_note(Path(source, name)) is not None for name in names)
