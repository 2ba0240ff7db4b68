"""animeface-2009 as a detector: its package needs a Python of its own.

    python3 -m venv peer && peer/bin/pip install animeface==2.0.3 "pillow<10"

With a newer Pillow it finds nothing and says nothing.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from facescore import Face
from illustkit.images import write_image

SERVER = """
import json, sys
import animeface
from PIL import Image
for line in sys.stdin:
    faces = animeface.detect(Image.open(line.rstrip("\\n")).convert("RGB"))
    boxes = [(f.face.pos.x, f.face.pos.y, f.face.pos.width, f.face.pos.height,
              f.likelihood) for f in faces]
    print(json.dumps(boxes), flush=True)
"""


# Its boxes beside the labels' of 315 training faces: medians, in its box's sides.
WIDTH, HEIGHT, ABOVE = 1.107, 1.053, 0.110


class AnimeFace:
    """Find faces with nagadomi's animeface-2009 (Apache-2.0), in boxes as labels'.

    Args:
        python: Python of the environment that has `animeface`.
    """

    def __init__(self, python: str):
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [python, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Return the faces of a uint8 RGB image; boxes in pixels."""
        path = write_image(Path(self.folder.name) / "picture.bmp", image)
        sent, answered = self.process.stdin, self.process.stdout
        if sent is None or answered is None:
            raise OSError("The peer's process has no pipes.")
        sent.write(f"{path}\n")
        sent.flush()
        found = json.loads(answered.readline())
        return [Face(fitted(*box), likelihood) for *box, likelihood in found]


def fitted(x: float, y: float, width: float, height: float) -> tuple[float, ...]:
    """Return (left, top, right, bottom) of a label around what it finds."""
    middle = x + width / 2, y + (0.5 - ABOVE) * height
    half = WIDTH * width / 2, HEIGHT * height / 2
    return (
        middle[0] - half[0],
        middle[1] - half[1],
        middle[0] + half[0],
        middle[1] + half[1],
    )
