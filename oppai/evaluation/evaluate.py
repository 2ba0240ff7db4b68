"""How near restored patches come to the truth, beside what needs no network."""

import csv
from pathlib import Path

import numpy as np

from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import blend as merge
from oppai.censoring.censor import censor
from oppai.censoring.masks import box_mask, irregular_mask
from oppai.evaluation.baselines import BASELINES
from oppai.metrics import measure_hole

# Hole ratios of Liu et al., section 4.1: (0.01, 0.1], (0.1, 0.2], …, (0.5, 0.6].
BINS = ((0.0, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6))
BINS += ((0.6, 1.0),)
COLUMNS = ("kind", "hole_ratio", "method", "n", "l1", "psnr", "ssim")
KINDS = ("mosaic", "light", "white", "irregular")


def evaluate(
    restorer,
    patches,
    boxes=None,
    *,
    masks=None,
    kinds=("mosaic",),
    blocks=(8, 8),
    blur_size=10,
    picture_blur=5,
    blend=0.5,
    rim="hard",
    seed=0,
    bins=BINS,
    batch_size=8,
    output=None,
    progress=True,
):
    """Measure a restorer and the baselines inside the hole of held-out patches.

    Every method fills the hole (every mask pixel under 255) and the truth stands
    outside it, so that all are measured alike. The same seed censors alike.

    Where a mosaic has a wide soft rim, the censored patch shows much of the truth
    there, and a method that fills the hole wholly gives that away: `rim="soft"` merges
    every method through the soft mask instead, as `oppai.restore` does.

    Example:
    ```python
    rows = oppai.evaluate(restorer, held_out.patches, held_out.boxes, output="e.csv")
    print(format_table(rows))
    ```

    Args:
        restorer: What has `restore_patches(censored, mask)`; one that sees mosaics is
            told their blocks. `None` measures the baselines alone.
        patches: uint8 (n, size, size, 3), the truth; or what
            `oppai.data.dataset.build_patches` returns, with the boxes.
        boxes: (n, 4), (left, top, right, bottom) in pixels of the patch: what is
            censored. Not needed for "irregular" and where `masks` are given.
        masks: uint8 (n, size, size) or (n, size, size, 1), 255 = valid, to censor
            under instead of the boxes. Defaults to `None`.
        kinds: Of "mosaic", "light", "white" (over the boxes or masks) and "irregular"
            (free-form white holes of every hole ratio). Defaults to `("mosaic",)`.
        blocks: (least, most) side of a mosaic's blocks in pixels, drawn per patch.
            Defaults to `(8, 8)`.
        blur_size: Rim of the censoring of a box, in pixels. Defaults to `10`.
        picture_blur: Blur of the picture before its mosaic, in pixels. Defaults to `5`.
        blend: Part of the prediction in the method "blend"; the rest is the censored
            patch. Defaults to `0.5` (the chapter).
        rim: "hard" or "soft", see above. Defaults to `"hard"`.
        seed: Int. Defaults to `0`.
        bins: Hole ratios (least, most], parts of the patch, to tell apart.
        batch_size: Patches that are predicted at once. Defaults to `8`.
        output: Path of a CSV to write. Defaults to `None`.
        progress: Show a progress bar. Defaults to `True`.

    Returns:
        List of dicts with the keys of `COLUMNS`: the means over `n` patches of L1 and
        SSIM (unit scale) and PSNR (dB). The rows of all hole ratios come first.

    Raises:
        ValueError: If shapes disagree or a kind is not known.

    Reference:
        Liu et al. (2018), section 4.2 (by hole ratio); the chapter (the blend, and the
        blur as what needs no network).
    """
    from tqdm import tqdm

    if hasattr(patches, "patches"):
        patches, boxes = patches.patches, patches.boxes
    if rim not in ("hard", "soft"):
        raise ValueError(f'rim is "hard" or "soft". Received: rim={rim!r}')
    kinds = [kinds] if isinstance(kinds, str) else list(dict.fromkeys(kinds))
    _check(patches, boxes, masks, kinds)
    measured = {}
    bar = tqdm(total=len(kinds) * len(patches), unit="patch", disable=not progress)
    for kind in kinds:
        for start in range(0, len(patches), batch_size):
            numbers = range(start, min(start + batch_size, len(patches)))
            cases = [
                _censored(
                    np.asarray(patches[i]),
                    None if boxes is None else boxes[i],
                    None if masks is None else masks[i],
                    kind,
                    blocks,
                    {"blur_size": blur_size, "picture_blur": picture_blur},
                    (seed, KINDS.index(kind), i),
                )
                for i in numbers
            ]
            predictions = [None] * len(cases)
            if restorer is not None:
                censored = np.stack([censored for censored, _, _ in cases])
                mask = np.stack([mask for _, mask, _ in cases])[..., None]
                known = {}
                if hasattr(restorer, "restore_frames"):  # it sees the mosaic
                    blocks_seen = [Grid((b, b)) for _, _, b in cases]
                    known["grids"] = blocks_seen if kind == "mosaic" else None
                predictions = restorer.restore_patches(censored, mask, **known)
            for i, case, prediction in zip(numbers, cases, predictions, strict=True):
                ratio = np.mean(case[1] < 255)
                for method, result in _results(case, prediction, blend, kind).items():
                    values = _measure(patches[i], result, case, rim)
                    measured.setdefault((kind, method), []).append((ratio, values))
            bar.update(len(cases))
    bar.close()
    rows = _rows(measured, bins)
    if output is not None:
        write_csv(rows, output)
    return rows


def _check(patches, boxes, masks, kinds):
    if patches.ndim != 4 or patches.shape[-1] != 3 or patches.dtype != np.uint8:
        raise ValueError(
            "patches are uint8 (n, size, size, 3). "
            f"Received: shape={patches.shape}, dtype={patches.dtype}"
        )
    if not len(patches):
        raise ValueError("There is no patch to evaluate on. Received: 0 patches")
    if not kinds or set(kinds) - set(KINDS):
        raise ValueError(f"kinds are of {KINDS}. Received: kinds={kinds}")
    if masks is None and boxes is None and set(kinds) != {"irregular"}:
        raise ValueError(
            f"The kinds {kinds} need boxes or masks. Received: neither of them"
        )
    for name, part in {"boxes": boxes, "masks": masks}.items():
        if part is not None and len(part) != len(patches):
            raise ValueError(
                f"There have to be as many {name} as patches, {len(patches)}. "
                f"Received: {len(part)}"
            )


def _censored(patch, box, mask, kind, blocks, blurs, seed):
    """(censored, mask, block) of one patch, by a seed of its own."""
    rng = np.random.default_rng(seed)
    block = int(rng.integers(blocks[0], blocks[1] + 1))
    size = patch.shape[1], patch.shape[0]
    if kind == "irregular":
        # Liu et al. test on as many holes of each ratio up to 0.6.
        least, most = BINS[seed[-1] % 6]
        mask = irregular_mask(size, rng, hole_ratio=(max(least, 0.01), most))
        return censor(patch, mask, kind="white"), mask, block
    if mask is None:
        mask = box_mask(size, box, blur_size=blurs["blur_size"])
    mask = np.asarray(mask).reshape(patch.shape[:2])
    if (mask == 255).all():
        raise ValueError(f"A mask has no hole. Received: mask {seed[-1]}, all 255")
    picture_blur = blurs["picture_blur"]
    censored = censor(patch, mask, kind=kind, block=block, picture_blur=picture_blur)
    return censored, mask, block


def _results(case, prediction, blend, kind):
    censored, mask, block = case
    results = {
        name: baseline(censored, mask, block=block)
        for name, baseline in BASELINES.items()
        if kind == "mosaic" or not name.endswith(" blocks")
    }
    if prediction is not None:
        mixed = blend * prediction.astype(np.float32) + (1 - blend) * censored
        results["prediction"] = prediction
        results["blend"] = np.rint(mixed).astype(np.uint8)
    return results


def _measure(truth, result, case, rim):
    censored, mask, _ = case
    hole = mask < 255
    if rim == "soft":
        result = merge(censored, result, mask)
    return measure_hole(truth, np.where(hole[..., None], result, truth), hole)


def _rows(measured, bins):
    everything = [("all", 0.0, 1.0)]
    everything += [(f"({least:g}, {most:g}]", least, most) for least, most in bins]
    rows = []
    for label, least, most in everything:
        for (kind, method), values in measured.items():
            chosen = [v for ratio, v in values if least < ratio <= most]
            if chosen:
                row = {"kind": kind, "hole_ratio": label, "method": method}
                row["n"] = len(chosen)
                for key in COLUMNS[4:]:
                    row[key] = float(np.mean([v[key] for v in chosen]))
                rows.append(row)
    return rows


def format_table(rows):
    """Lay out the rows of `evaluate` as an aligned Markdown table.

    Example:
    ```python
    print(format_table(rows))
    ```

    Args:
        rows: List of dicts, as `evaluate` returns them.

    Returns:
        A str of lines, numbers to the right.
    """
    digits = {"l1": "{:.4f}", "psnr": "{:.2f}", "ssim": "{:.4f}"}
    heads = {"hole_ratio": "hole ratio", "l1": "L1", "psnr": "PSNR", "ssim": "SSIM"}
    table = [[heads.get(column, column) for column in COLUMNS]]
    for row in rows:
        table.append([digits.get(c, "{}").format(row[c]) for c in COLUMNS])
    widths = [max(2, *(len(line[i]) for line in table)) for i in range(len(COLUMNS))]
    left = 3  # columns of text before the numbers
    lines = [
        " | ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]
    rule = " | ".join(
        "-" * width if i < left else "-" * (width - 1) + ":"
        for i, width in enumerate(widths)
    )
    return "\n".join(f"| {line} |" for line in [lines[0], rule, *lines[1:]])


def write_csv(rows, path):
    """Write the rows of `evaluate` as a CSV with a head line.

    Example:
    ```python
    write_csv(rows, "evaluation.csv")
    ```

    Args:
        rows: List of dicts, as `evaluate` returns them.
        path: File to write; its folder is made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
