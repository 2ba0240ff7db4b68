import cv2
import numpy as np
import pytest

from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import region_at
from oppai.detection.grids.ramps import between_pixels

# Of the part that was shrunk to 12x9 blocks, in pixels: none is whole.
LEFT, TOP, WIDTH, HEIGHT = 40, 30, 128, 93
BLOCKS = 12, 9
KERNELS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


def mosaic(pixel, outside=255):
    """Draw blocks, first pixels at rounded multiples as a program's `pixel` tells."""
    picture = np.full((160, 220), outside, np.uint8)
    x, y = (
        # The block of every pixel: that of its middle (Pillow), or its edge (OpenCV).
        np.floor((np.arange(length) + pixel) * n / length).astype(int)
        for length, n in zip((WIDTH, HEIGHT), BLOCKS, strict=True)
    )
    colours = np.random.default_rng(0).integers(0, 256, BLOCKS[::-1])
    picture[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH] = colours[y][:, x]
    return picture


def resized(picture, scale, kernel):
    """Return a resized picture and its mosaic, whose grid is nearly right."""
    size = tuple(round(n * scale) for n in picture.shape[::-1])
    result = cv2.resize(picture, size, interpolation=KERNELS[kernel])
    x, y = (a / b for a, b in zip(size, picture.shape[::-1], strict=True))
    truth = Grid((WIDTH / BLOCKS[0], HEIGHT / BLOCKS[1]), (LEFT, TOP)).scaled(x, y)
    box = [round(v * scale) for v in (LEFT, TOP, LEFT + WIDTH, TOP + HEIGHT)]
    left, top, right, bottom = box
    middle = (left + right) / 2, (top + bottom) / 2
    wrong = []
    for k in (0, 1):
        block = truth.block[k]
        line = truth.origin[k] + block * round((middle[k] - truth.origin[k]) / block)
        wrong.append((block * 1.015, line + 0.7))
    mask = np.ones((bottom - top, right - left), bool)
    grid = Grid(*zip(*wrong, strict=True))
    return result, region_at((left, top), mask, kind="mosaic", grid=grid), truth


def off(grid, truth, region):
    """Return by how many pixels the lines in the region's middle are off."""
    result = []
    for k, block in enumerate(truth.block):
        middle = (region.box[k] + region.box[k + 2]) / 2
        lines = [(middle - g.origin[k]) % g.block[k] for g in (grid, truth)]
        result.append(abs((lines[0] - lines[1] + block / 2) % block - block / 2))
    return max(result)


@pytest.mark.parametrize("pixel", [0.5, 0.0], ids=["Pillow", "OpenCV"])
@pytest.mark.parametrize(
    ("scale", "kernel"), [(0.7, "area"), (1.37, "linear"), (1.7, "cubic")]
)
def test_lines_and_rims_tell_size_and_offset(scale, kernel, pixel):
    picture, region, truth = resized(mosaic(pixel), scale, kernel)
    grid = between_pixels(picture, region)
    assert grid.block == pytest.approx(truth.block, rel=0.003)
    assert off(grid, truth, region) < 0.15


def test_jpeg_hides_little(jpeg=(cv2.IMWRITE_JPEG_QUALITY, 60)):
    picture, region, truth = resized(mosaic(0.0), 1.37, "cubic")
    code = cv2.imencode(".jpg", picture, jpeg)[1]
    grid = between_pixels(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), region)
    assert grid.block == pytest.approx(truth.block, rel=0.003)
    assert off(grid, truth, region) < 0.2


@pytest.mark.parametrize("pixel", [0.5, 0.0], ids=["Pillow", "OpenCV"])
def test_without_rims_either_program_is_as_near(pixel):
    picture, region, truth = resized(mosaic(pixel), 1.37, "linear")
    left, top, right, bottom = region.box
    around = (np.s_[:, :left], np.s_[:, right:], np.s_[:top], np.s_[bottom:])
    for n, place in enumerate(around):  # every row and column goes on beyond the rim
        rim = picture[:, [left + 3]] if n == 0 else picture[:, [right - 4]]
        picture[place] = rim if n < 2 else picture[[top + 3 if n == 2 else bottom - 4]]
    grid = between_pixels(picture, region)
    assert 0.1 < off(grid, truth, region) < 0.5


def test_lines_at_whole_pixels_are_no_ramps():
    picture, region, _ = resized(mosaic(0.0), 1, "linear")
    assert between_pixels(picture, region) is None
    doubled, region, _ = resized(mosaic(0.0), 2, "area")
    assert between_pixels(doubled, region) is None


def test_few_lines_tell_nothing():
    picture, region, _ = resized(mosaic(0.0), 1.37, "linear")
    left, top, right, bottom = region.box
    mask = np.ones((bottom - top, 40), bool)
    region = region_at((left, top), mask, kind="mosaic", grid=region.grid)
    assert between_pixels(picture, region) is None
    plain = np.full_like(picture, 200)
    assert between_pixels(plain, region) is None
