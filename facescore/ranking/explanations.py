"""Write explanations of scores: sheets, a page, and veils for the gallery."""

import hashlib
import html
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from facescore.boxes import Face
from facescore.crops import crop_region, failure
from facescore.ranking.output import fill_page
from facescore.scorer.explanation import HIGHER, LOWER, Explainer, Explanation, explain
from facescore.scorer.prediction import FaceScorer, clip_score
from illustkit.errors import UserError
from illustkit.files import expand_user, write_whole
from illustkit.images import list_images, read_image, write_image
from illustkit.images.listing import check_given
from illustkit.images.write import save_bytes

PAGE = "explanations.html"
VEILS = "explained"
_RAISES, _LOWERS = (214, 39, 40), (31, 96, 220)  # told apart by the colour-blind


def write_veil(path: Path, explanation: Explanation) -> Path:
    """Write `draw_veil` as a PNG; `write_image` writes no alpha.

    Args:
        path: File to write.
        explanation: What `Explainer` returned.

    Returns:
        The path.
    """
    from PIL import Image

    veil = Image.fromarray(draw_veil(explanation))
    return write_whole(path, save_bytes(path, veil, "PNG"))


def draw_veil(explanation: Explanation) -> np.ndarray:
    """Draw what to lay over a face: red raises its score, blue lowers it.

    Example:
    ```python
    draw_veil(explanation).shape   # (height, width, 4)
    ```

    Args:
        explanation: What `Explainer` returned.

    Returns:
        uint8 RGBA `(height, width, 4)`, of the crop's size.
    """
    raises, lowers = explanation.map(HIGHER), explanation.map(LOWER)
    strength = np.maximum(raises, lowers)
    strength = strength / max(float(strength.max()), 1e-30)
    colours = np.where((raises >= lowers)[..., None], _RAISES, _LOWERS)
    alpha = (190 * strength**1.5).round()
    return np.dstack([colours, alpha]).astype(np.uint8)


@dataclass
class ExplanationReport:
    """The result of `explain_pictures`.

    Attributes:
        page: Path of the page that shows the faces, best first.
        sheets: Paths of the sheets, in the order of the pictures and their faces.
        without_face: Pictures without a face.
        left_out: Pairs (picture, reason) of the pictures that could not be explained.
    """

    page: Path
    sheets: list[Path] = field(default_factory=list)
    without_face: list[Path] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)


def explain_pictures(
    pictures: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    *,
    scorer: Any,
    detector: Any = "default",
    method: str = "dcsm",
    scales: Sequence[float] = (1.0,),
    progress: bool = True,
    **options: Any,
) -> ExplanationReport:
    """Explain the scores of all faces of pictures: a sheet for each, and a page.

    A sheet shows the face, what lowers its score and what raises it. The page,
    `explanations.html`, shows the faces, best first, and the maps over them where the
    mouse or the keyboard's focus is. It uses no network and no script.

    Example:
    ```python
    report = explain_pictures(["pictures"], "explanations", scorer="runs/taste",
                              detector="runs/faces")
    ```

    Args:
        pictures: Paths of pictures, and of folders of them.
        output: Folder to write to.
        scorer: A run folder, or what `load_scorer` returned.
        detector: As in `facescore.score`. Defaults to "default".
        method: "dcsm" or "grad-cam"; see `Explainer`. Defaults to "dcsm".
        scales: See `Explainer`. Defaults to (1,).
        progress: Show a progress bar. Defaults to `True`.
        **options: Those of `facescore.explain`.

    Returns:
        An `ExplanationReport`. A picture that cannot be read is left out.

    Raises:
        UserError: If a path does not exist, or an option is invalid.
    """
    from tqdm import tqdm

    from facescore.detector.prediction import as_detector

    output = expand_user(output)
    named = list(_named(pictures, output))
    explainer = Explainer(scorer, method, scales=scales)
    finder = as_detector(detector)
    report, cards = ExplanationReport(output / PAGE), []
    for path, name in tqdm(named, unit="picture", disable=not progress):
        try:
            explained = explain(read_image(path), explainer, detector=finder, **options)
        except UserError as error:
            report.left_out.append((path, failure(path, error)))
            continue
        if not explained:
            report.without_face.append(path)
        for number, explanation in enumerate(explained):
            target = output / name.with_name(f"{name.name}_{number}.png")
            report.sheets.append(explanation.save(target))
            veil = target.with_name(f"{target.stem}_veil.png")
            write_veil(veil, explanation)
            face = target.with_name(f"{target.stem}_face.png")
            write_image(face, explanation.crop)
            links = (_link(output, place) for place in (target, face, veil))
            cards.append((explanation.score, f"{name} {number + 1}", *links))
    cards.sort(key=lambda card: -card[0])
    limits = explainer.scorer.limits
    body = "\n".join(_card(clip_score(score, limits), *card) for score, *card in cards)
    write_whole(report.page, fill_page(PAGE, "explanations.css", {"cards": body}))
    return report


def _named(pictures, output):
    """Yield (path, its name in the output without the ending) of every picture."""
    used: dict[Path, int] = {}
    for given in check_given(pictures):
        if given.resolve() in [output.resolve(), *output.resolve().parents]:
            raise UserError(
                "The sheets need a folder outside that of the pictures. Received: "
                f"output={output} within {given}"
            )
        folder = given if given.is_dir() else given.parent
        for path in list_images(given) if given.is_dir() else [given]:
            name = path.relative_to(folder).with_suffix("")
            used[name] = used.get(name, 0) + 1
            # a.png and a.jpg, or the a.png of two folders
            again = f"{name.name}-{used[name]}" if used[name] > 1 else name.name
            yield path, name.with_name(again)


def _link(output, path):
    return "./" + quote(os.fsencode(path.relative_to(output).as_posix()))


def _card(score, name, sheet, face, veil):
    shown = html.escape(os.fsencode(name).decode("utf-8", "replace"))
    return (
        f'<a class="face" href="{sheet}">'
        f'<img src="{face}" alt="" loading="lazy">'
        f'<img class="veil" src="{veil}" alt="" loading="lazy">'
        f"<b>{score:.2f}</b><span>{shown}</span></a>"
    )


def explain_ranked(
    pictures: Iterable[Any],
    folder: Path,
    output: Path,
    explainer: Explainer,
    rate: FaceScorer,
    *,
    progress: bool = True,
) -> dict[str, list[list[Any]]]:
    """Write the veils of ranked pictures' faces; those that are there already stay.

    Args:
        pictures: `RankedPicture`s.
        folder: Folder that they are named from.
        output: Folder of the ranking.
        explainer: Explains the crops.
        rate: What found and scored the faces, which says how they are cut.
        progress: Show a progress bar. Defaults to `True`.

    Returns:
        Dict from a file to a list for its faces: [path within `output`, left, top,
        right, bottom], the region as fractions of the picture.
    """
    from tqdm import tqdm

    explained: dict[str, list[list[Any]]] = {}
    chosen = list(pictures)
    for picture in tqdm(chosen, unit="explained", disable=not progress):
        image, rows = None, []
        for face in picture.faces:
            path = f"{VEILS}/{_digest(picture.file, face)}.png"
            if not (output / path).exists():
                image = read_image(folder / picture.file) if image is None else image
                write_veil(output / path, explainer(rate.crop(image, [face])[0]))
            region = face.box  # the whole picture, where nothing looks for faces
            if rate.detector is not None:
                region = crop_region(face.box, margin=rate.margin, square=rate.square)
            size = picture.width, picture.height
            rows.append(
                [path, *(round(v / size[i % 2], 4) for i, v in enumerate(region))]
            )
        explained[picture.file] = rows
    return explained


def _digest(file: str, face: Face) -> str:
    text = f"{file} {[round(float(v), 2) for v in face.box]} {face.score}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]
