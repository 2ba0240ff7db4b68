"""Draw `restored.png`, `interpolation.png` and `translations.jpg` of `images`.

python docs/pictures.py --pix2pix runs/lines

The first shows a censored character, the restored one and the original; the mosaic is
found, not marked. The second leads from one icon to another, with one noise for both
and below with one for each. The third has a row for each translation: what it is given,
and what it makes of it. Takes a minute of a CPU core. The run is that of

oppai train-translation pix2pix --run runs/lines --image-size 64
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np

import diffusion
import oppai
from illustkit.figures import sheet
from illustkit.images import write_image
from illustkit.samples import HANDS, draw_character, draw_face_icon, draw_lines
from oppai.censoring.block_grid import Grid, block_means
from oppai.translation.pairs import shrink
from oppai.translation.sketch import roughen
from oppai.translation.task import grey_of
from oppai.translation.translate import load_translation

BLOCK = 7
ROWS = slice(150, 470)
IMAGES = Path(__file__).with_name("images")
UNSEEN = 2_000_000  # the first seed of characters that nothing was trained on
SIZE = 168, 200
STYLES = "dark", "painted"  # hands of the characters that lend their style


def draw_restored():
    character = draw_character(1203, (480, 678))
    left, top, right, bottom = character.face_box
    left, top = left + 4, top + (bottom - top) * 3 // 10
    rows, columns = (bottom - 6 - top) // BLOCK, (right - 4 - left) // BLOCK
    censored = character.image.copy()
    face = censored[top:, left:][: rows * BLOCK, : columns * BLOCK]
    means = block_means(face, Grid((BLOCK, BLOCK)))
    face[:] = np.rint(means).astype(np.uint8).repeat(BLOCK, 0).repeat(BLOCK, 1)

    gap = np.full((len(censored), 6, 3), 255, np.uint8)
    panels = [censored, gap, oppai.restore(censored), gap, character.image]
    write_image(IMAGES / "restored.png", np.concatenate(panels, 1)[ROWS])


def draw_interpolation():
    model = diffusion.load_diffuser("default")
    ends = [draw_face_icon(UNSEEN + i, 64) for i in (0, 1)]
    rows = [
        diffusion.interpolate_pictures(model, *ends, n=7, noises=noises)
        for noises in (1, 2)
    ]
    write_image(IMAGES / "interpolation.png", sheet(np.concatenate(rows), columns=9))


def with_inset(picture, style):
    """Return a picture with a small one, the style's, in its corner."""
    small = shrink(style, 64)[:72, :64]
    shown = picture.copy()
    shown[-len(small) - 3 :, -small.shape[1] - 3 :] = 255
    shown[-len(small) :, -small.shape[1] :] = small
    return shown


def draw_translations(pix2pix):
    characters = [
        draw_character(UNSEEN + i, SIZE, HANDS[i % len(HANDS)]).image for i in range(2)
    ]
    roughs = [
        roughen(draw_lines(UNSEEN + i, SIZE), np.random.default_rng(i))
        for i in range(2)
    ]
    rows = {}
    rows["clean"] = [
        (np.dstack([r] * 3), oppai.clean_sketch(np.dstack([r] * 3))) for r in roughs
    ]
    rows["colorize"] = []
    for picture in characters:
        places = [(x, y) for x in (30, 84, 138) for y in (45, 100, 170)]
        hints = {(x, y): picture[y, x] for x, y in places}
        coloured = oppai.colorize(picture, hints=hints)
        rows["colorize"].append((np.repeat(grey_of(picture), 3, axis=2), coloured))
    rows["complete"] = []
    for picture, (left, top) in zip(characters, ((60, 110), (96, 40)), strict=True):
        hole = np.zeros(picture.shape[:2], np.uint8)
        hole[top : top + 44, left : left + 44] = 255
        torn = np.where(hole[..., None] > 0, np.uint8(255), picture)
        rows["complete"].append((torn, oppai.complete(torn, mask=hole)))
    parts = load_translation("default", "segment")
    rows["segment"] = [(c, parts.task.coloured(parts(c))) for c in characters]
    styles = [draw_character(UNSEEN + 9, SIZE, hand).image for hand in STYLES]
    rows["stylize"] = [
        (with_inset(c, style), oppai.stylize(c, style))
        for c, style in zip(characters, styles, strict=True)
    ]
    small = SIZE[0] // 2, SIZE[1] // 2  # near the size that the run learnt
    lines = [np.dstack([draw_lines(UNSEEN + i, small)] * 3) for i in range(2)]
    rows["pix2pix"] = [
        tuple(cv2.resize(p, SIZE) for p in (each, oppai.translate(each, pix2pix)))
        for each in lines
    ]
    pictures = [p for pairs in rows.values() for pair in pairs for p in pair]
    write_image(IMAGES / "translations.jpg", sheet(pictures, columns=4, pad=4))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pix2pix", help="run of lines into characters")
    options = parser.parse_args()
    draw_restored()
    draw_interpolation()
    if options.pix2pix:
        draw_translations(options.pix2pix)
