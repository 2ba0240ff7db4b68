"""Draw `images/restored.png`: a censored character, the restored one, the original.

python docs/pictures.py

Takes ten seconds of a CPU core. The mosaic is found, not marked.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import oppai
from illustkit.images import write_image
from illustkit.samples import draw_character
from oppai.censoring.block_grid import Grid, block_means

BLOCK = 7
ROWS = slice(150, 470)


def main():
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
    path = Path(__file__).with_name("images") / "restored.png"
    write_image(path, np.concatenate(panels, 1)[ROWS])


if __name__ == "__main__":
    main()
