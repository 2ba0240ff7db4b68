"""Measure a restorer and the baselines inside the holes of held-out patches."""

import csv
import io
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from illustkit.errors import UserError
from illustkit.files import check_file, write_whole
from illustkit.images import uint8_to_signed
from illustkit.options import check_choice, check_number, check_options, check_range
from illustkit.training.runs import Run
from illustkit.training.split import read_split
from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import blend as blend_pictures
from oppai.censoring.censor import censor
from oppai.censoring.masks import box_mask, irregular_mask
from oppai.data.dataset import Patches, build_patches
from oppai.data.metadata import load_metadata
from oppai.evaluation.baselines import BASELINES
from oppai.metrics import measure_hole, vgg_distance
from oppai.models.pretrained import SHIPPED
from oppai.models.pretrained import SPLIT as DEFAULT_SPLIT

# Hole ratios of Liu et al., section 4.1: (0.01, 0.1], (0.1, 0.2], …, (0.5, 0.6].
BINS = (
    *((0.0, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6)),
    (0.6, 1.0),
)
COLUMNS = ("kind", "hole_ratio", "method", "n", "l1", "psnr", "ssim")
KINDS = ("mosaic", "light", "white", "irregular")


def held_out_patches(
    run: Run | str,
    images: str | os.PathLike,
    metadata: str | os.PathLike,
    *,
    cache: str | os.PathLike | None = None,
    progress: bool = True,
) -> Patches:
    """Cut the patches of all pictures that a run did not train on.

    Pictures are recognised by name: in the run's own folder of pictures these are the
    held-out ones, in another folder all of them.

    Example:
    ```python
    patches = held_out_patches(run, "images", "oppai_meta.json")
    rows = oppai.evaluate(oppai.load_restorer(run), patches)
    ```

    Args:
        run: `illustkit.training.runs.Run` of a training or its folder, or "default" or
            "sharp" for those that come with the package, whose patches have 256 pixels.
        images: Folder of the pictures.
        metadata: Path of the JSON with their boxes.
        cache: Folder for the patches. Defaults to one in the run; those of the
            package's restorer stay in memory, 200 KB each.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        `oppai.data.dataset.Patches`.

    Raises:
        UserError: If the run stores no split, or trained on every picture.
    """
    if not (isinstance(run, str) and run in SHIPPED):
        run = run if isinstance(run, Run) else Run(run)
        split = run.folder
        cache = cache or run.folder / "held_out_patches"
        size = run.settings.get("image_size", 256)
        minimum = run.settings.get("minimum", 256)
    else:
        split = DEFAULT_SPLIT
        size = minimum = 256
    trained = set(read_split(split)[0])
    entries = [e for e in load_metadata(metadata) if e.name not in trained]
    if not entries:
        raise UserError(
            f"{metadata}: the run trained on every picture of it. "
            "Name other pictures to evaluate on."
        )
    return build_patches(
        entries,
        images,
        size=size,
        minimum=minimum,
        cache=cache,
        progress=progress,
    )


def evaluate(
    restorer: Any,
    patches: Patches | np.ndarray,
    boxes: np.ndarray | None = None,
    *,
    masks: np.ndarray | None = None,
    kinds: str | Sequence[str] = ("mosaic",),
    blocks: tuple[int, int] = (8, 8),
    blur_size: float = 10,
    picture_blur: float = 5,
    blend: float = 0.5,
    rim: str = "hard",
    features: Any = None,
    seed: int = 0,
    bins: Sequence[tuple[float, float]] = BINS,
    batch_size: int = 8,
    output: str | os.PathLike | None = None,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Measure a restorer and the baselines inside the holes of held-out patches.

    Every method fills the hole (every mask pixel above 0), and the truth is put
    outside it, so that all are measured alike. The same seed gives the same censors.

    Where a mosaic has a wide soft rim, the censored patch shows much of the truth
    there, which a method that fills the whole hole does not use. `rim="soft"` blends
    every method through the soft mask instead, as `oppai.restore` does.

    Example:
    ```python
    rows = oppai.evaluate(restorer, held_out, output="evaluation.csv")
    print(format_table(rows))
    ```

    Args:
        restorer: A restorer (`oppai.load_restorer`), or any object with its
            `restore_patches(censored, mask, grids)`. `None` measures the baselines
            alone.
        patches: uint8 `(n, size, size, 3)`, the truth; or the `Patches` of
            `build_patches` or `held_out_patches`, which hold the boxes as well.
        boxes: `(n, 4)`, `(left, top, right, bottom)` in pixels of the patch: what is
            censored. Not needed for "irregular", or with `masks`.
        masks: uint8 `(n, size, size)` or `(n, size, size, 1)`, 255 = hidden, to censor
            instead of the boxes. Defaults to `None`.
        kinds: Any of "mosaic", "light", "white" (over the boxes or masks) and
            "irregular" (free-form white holes of every hole ratio). Defaults to
            `("mosaic",)`.
        blocks: (least, most) side of a mosaic's blocks in pixels, drawn per patch.
            Defaults to `(8, 8)`.
        blur_size: Blur of the rim of a censored box, in pixels. Defaults to 10.
        picture_blur: Blur of the picture before its mosaic, in pixels. Defaults to 5.
        blend: Fraction of the prediction in the method "blend"; the rest is the
            censored patch. Defaults to 0.5 (the chapter).
        rim: "hard" or "soft", see above. Defaults to "hard".
        features: VGG16's at `oppai.metrics.VGG_TAPS` (`load_vgg_features` of
            `oppai.models.vgg`), to measure `vgg_distance` in the hole as well. Defaults
            to `None`.
        seed: Int. Defaults to 0.
        bins: Hole ratios (least, most], fractions of the patch, to report apart.
        batch_size: Patches that are predicted at once. Defaults to 8.
        output: Path of a CSV to write. Defaults to `None`.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        List of dicts with the keys of `COLUMNS`: the means over `n` patches of L1 and
        SSIM (unit scale) and PSNR (dB); with `features`, also "vgg", their distance.
        The rows of all hole ratios come first.

    Raises:
        UserError: If shapes disagree or a kind is unknown.

    Reference:
        Liu et al. (2018), section 4.2 (by hole ratio); the chapter (the blend, and the
        blur as a method without a network).
    """
    from tqdm import tqdm

    truth: Any = patches
    if isinstance(patches, Patches):
        truth, boxes = patches.patches, patches.boxes
    check_censors(blocks=blocks, rim=rim, seed=seed, output=output)
    check_options(batch_size=batch_size)
    check_number("blur_size", blur_size, least=0)
    check_number("picture_blur", picture_blur, least=0)
    check_number("blend", blend, least=0, most=1)
    kinds = [kinds] if isinstance(kinds, str) else list(dict.fromkeys(kinds))
    _check(truth, boxes, masks, kinds)
    measured: dict[tuple[str, str], list[tuple[float, dict[str, float]]]] = {}
    bar = tqdm(total=len(kinds) * len(truth), unit="patch", disable=not progress)
    for kind in kinds:
        for start in range(0, len(truth), batch_size):
            numbers = range(start, min(start + batch_size, len(truth)))
            cases = [
                _draw_case(
                    np.asarray(truth[i]),
                    None if boxes is None else boxes[i],
                    None if masks is None else masks[i],
                    kind,
                    blocks,
                    {"blur_size": blur_size, "picture_blur": picture_blur},
                    (seed, KINDS.index(kind), i),
                )
                for i in numbers
            ]
            for i, case, prediction in zip(
                numbers, cases, _predict(restorer, cases, kind), strict=True
            ):
                ratio = float(np.mean(case.mask > 0))
                results = _results(case, prediction, blend, kind)
                figures = _measure(np.asarray(truth[i]), results, case, rim, features)
                for method, values in figures.items():
                    measured.setdefault((kind, method), []).append((ratio, values))
            bar.update(len(cases))
    bar.close()
    rows = _rows(measured, bins)
    if output is not None:
        write_csv(rows, output)
    return rows


def check_censors(
    *,
    kinds: Sequence[str] = (),
    blocks: Any = None,
    rim: str = "hard",
    seed: int = 0,
    output: str | os.PathLike | None = None,
) -> None:
    """Refuse options of `evaluate` that cannot work, before anything is loaded.

    Args:
        kinds: See `evaluate`, likewise what follows.
        blocks: (least, most).
        rim: "hard" or "soft".
        seed: Int.
        output: Path of the CSV.

    Raises:
        UserError: If a value cannot work; it names the option.
    """
    check_options(seed=seed)
    check_choice("rim", rim, ("hard", "soft"))
    check_range("blocks", blocks, whole=True, least=1)
    for kind in kinds:
        check_choice("kind", kind, KINDS)
    if output is not None:
        check_file(output)


class _Case(NamedTuple):
    """One censored patch; the mask is 255 where it is hidden."""

    censored: np.ndarray
    mask: np.ndarray
    block: int


def _check(patches, boxes, masks, kinds):
    if patches.ndim != 4 or patches.shape[-1] != 3 or patches.dtype != np.uint8:
        raise UserError(
            "patches are uint8 (n, size, size, 3). "
            f"Received: shape={patches.shape}, dtype={patches.dtype}"
        )
    if not len(patches):
        raise UserError("There is no patch to evaluate on. Received: 0 patches")
    if not kinds or set(kinds) - set(KINDS):
        raise UserError(f"kinds are of {KINDS}. Received: kinds={kinds}")
    if masks is None and boxes is None and set(kinds) != {"irregular"}:
        raise UserError(
            f"The kinds {kinds} need boxes or masks. Received: neither of them"
        )
    for name, array in {"boxes": boxes, "masks": masks}.items():
        if array is not None and len(array) != len(patches):
            raise UserError(
                f"There have to be as many {name} as patches, {len(patches)}. "
                f"Received: {len(array)}"
            )


def _draw_case(patch, box, mask, kind, blocks, blurs, seed):
    """Censor one patch by a seed of its own."""
    rng = np.random.default_rng(seed)
    block = int(rng.integers(blocks[0], blocks[1] + 1))
    size = patch.shape[1], patch.shape[0]
    if kind == "irregular":
        # Liu et al. test on as many holes of each ratio up to 0.6.
        least, most = BINS[seed[-1] % 6]
        mask = irregular_mask(size, rng, hole_ratio=(max(least, 0.01), most)).mask
        return _Case(censor(patch, mask, kind="white"), mask, block)
    if mask is None:
        mask = box_mask(size, box, blur_size=blurs["blur_size"])
    mask = np.asarray(mask).reshape(patch.shape[:2])
    if not mask.any():
        raise UserError(f"A mask has no hole. Received: mask {seed[-1]}, all 0")
    picture_blur = blurs["picture_blur"]
    censored = censor(patch, mask, kind=kind, block=block, picture_blur=picture_blur)
    return _Case(censored, mask, block)


def _predict(restorer, cases, kind):
    if restorer is None:
        return [None] * len(cases)
    censored = np.stack([case.censored for case in cases])
    mask = np.stack([case.mask for case in cases])
    grids = None
    if kind == "mosaic":
        grids = [Grid((case.block, case.block)) for case in cases]
    return restorer.restore_patches(censored, mask, grids)


def _results(case, prediction, amount, kind):
    results = {
        name: baseline(case.censored, case.mask, block=case.block)
        for name, baseline in BASELINES.items()
        if kind == "mosaic" or not name.endswith(" blocks")
    }
    if prediction is not None:
        whole = np.full_like(case.mask, 255)
        results["prediction"] = prediction
        results["blend"] = blend_pictures(case.censored, prediction, whole, amount)
    return results


def _measure(truth, results, case, rim, features):
    """Return a dict from each method to its figures in the hole."""
    hole = case.mask > 0
    if rim == "soft":
        results = {
            method: blend_pictures(case.censored, result, case.mask)
            for method, result in results.items()
        }
    completed = {
        method: np.where(hole[..., None], result, truth)
        for method, result in results.items()
    }
    figures = {
        method: measure_hole(truth, picture, hole)
        for method, picture in completed.items()
    }
    if features is not None:
        valid = 1 - hole[None, ..., None].astype("float32")
        pictures = uint8_to_signed(np.stack(list(completed.values())))
        distances = vgg_distance(
            uint8_to_signed(truth[None]), pictures, valid, features=features
        )
        for values, distance in zip(figures.values(), distances, strict=True):
            values["vgg"] = float(distance)
    return figures


def _rows(measured, bins):
    ratios = [("all", 0.0, 1.0)]
    ratios += [(f"({least:g}, {most:g}]", least, most) for least, most in bins]
    rows = []
    for label, least, most in ratios:
        for (kind, method), values in measured.items():
            chosen = [v for ratio, v in values if least < ratio <= most]
            if chosen:
                row = {"kind": kind, "hole_ratio": label, "method": method}
                row["n"] = len(chosen)
                for key in values[0][1]:
                    row[key] = float(np.mean([v[key] for v in chosen]))
                rows.append(row)
    return rows


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """Format the rows of `evaluate` as an aligned Markdown table.

    Example:
    ```python
    print(format_table(rows))
    ```

    Args:
        rows: List of dicts, as `evaluate` returns them.

    Returns:
        A str of lines, numbers to the right.
    """
    digits = {"l1": "{:.4f}", "psnr": "{:.2f}", "ssim": "{:.4f}", "vgg": "{:.3f}"}
    heads = {"hole_ratio": "hole ratio", "l1": "L1", "psnr": "PSNR", "ssim": "SSIM"}
    heads["vgg"] = "VGG16"
    columns = _columns(rows)
    table = [[heads.get(column, column) for column in columns]]
    for row in rows:
        table.append([digits.get(c, "{}").format(row[c]) for c in columns])
    widths = [max(2, *(len(line[i]) for line in table)) for i in range(len(columns))]
    n_texts = 3  # columns of text before the numbers
    lines = [
        " | ".join(
            cell.ljust(width) if i < n_texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]
    rule = " | ".join(
        "-" * width if i < n_texts else "-" * (width - 1) + ":"
        for i, width in enumerate(widths)
    )
    return "\n".join(f"| {line} |" for line in [lines[0], rule, *lines[1:]])


def write_csv(rows: Sequence[dict[str, Any]], path: str | os.PathLike) -> None:
    """Write the rows of `evaluate` as a CSV with a header.

    Example:
    ```python
    write_csv(rows, "evaluation.csv")
    ```

    Args:
        rows: List of dicts, as `evaluate` returns them.
        path: File to write; missing folders are made.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _columns(rows))
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())


def _columns(rows):
    return (*COLUMNS, "vgg") if rows and "vgg" in rows[0] else COLUMNS
