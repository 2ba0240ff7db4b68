"""The figures of an evaluation as text for a person."""


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
