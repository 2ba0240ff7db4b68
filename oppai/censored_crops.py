"""Crops of whole pictures, censored in every way, as the mosaic network takes them."""

import numpy as np

from illustkit.batches import Batches
from oppai.censor import box_mask, censor
from oppai.censor_drawing import Censored, draw_censor
from oppai.grids import Grid
from oppai.mosaic_inputs import mosaic_inputs, stack_inputs


class CensoredCrops(Batches):
    """Random crops of whole pictures with random censors, as `MosaicUNet` takes them.

    Args:
        pictures: List of uint8 RGB arrays.
        steps: Batches in an epoch.
        batch_size: Crops in a batch.
        patch: Side of a crop in pixels. Defaults to 128.
        seed: Int. Defaults to 0.
    """

    def __init__(self, pictures, steps, batch_size, *, patch=128, seed=0):
        super().__init__(
            steps * batch_size, batch_size=batch_size, seed=seed, shuffle=False
        )
        self.pictures, self.patch = pictures, patch

    def make(self, indices, rng):
        cases = [self._draw(rng) for _ in indices]
        return as_batch(cases)

    def _draw(self, rng):
        while True:
            truth = self._crop(rng)
            if truth.std() > 8:  # an empty background teaches nothing
                break
        larger = len(truth) / self.patch
        case = draw_censor(truth, rng, blocks=(4 * larger, 32 * larger))
        return _fit(truth, case, self.patch)

    def _crop(self, rng):
        picture = self.pictures[rng.integers(len(self.pictures))]
        # Some are censored at a larger scale and shrunk with their mosaic.
        larger = rng.uniform(1 / 0.95, 1 / 0.45) if rng.random() < 0.12 else 1
        scale = rng.uniform(0.7, 1.25) if rng.random() < 0.5 else 1
        side = round(self.patch * larger)
        window = min(max(8, round(side / scale)), *picture.shape[:2])
        y, x = (rng.integers(0, n - window + 1) for n in picture.shape[:2])
        crop = picture[y : y + window, x : x + window]
        crop = _resized(crop, side)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        if rng.random() < 0.3:
            crop = crop.transpose(1, 0, 2)
        if rng.random() < 0.3:
            crop = crop[..., rng.permutation(3)]
        return np.ascontiguousarray(crop)


def held_out_cases(pictures, size=256):
    """Three fixed cases of every picture: small blocks, large blocks and white-out.

    Args:
        pictures: List of uint8 RGB arrays.
        size: Side of the patches in pixels. Defaults to 256.

    Returns:
        List of `(Censored, truth)`, the kinds in turn.
    """
    cases = []
    for number, picture in enumerate(pictures):
        rng = np.random.default_rng((7, number))
        height, width = picture.shape[:2]
        side = min(height, width, size)  # at the picture's scale, as in training
        y, x = (height - side) // 2, (width - side) // 2
        truth = _resized(picture[y : y + side, x : x + side], size)
        box = [size * v for v in (0.25, 0.25, 0.75, 0.75)]
        mask = box_mask((size, size), box, blur_size=0, coverage=1)
        for kind, least, most in (
            ("mosaic", 6, 10),
            ("mosaic", 12, 20),
            ("white", 1, 1),
        ):
            block = int(rng.integers(least, most + 1))
            origin = rng.integers(0, block, 2)
            censored = censor(
                truth, mask, kind=kind, block=block, picture_blur=0, origin=origin
            )
            grid = Grid((block, block), origin) if kind == "mosaic" else None
            cases.append((Censored(censored, mask, kind, grid), truth))
    return cases


def as_batch(cases):
    """Inputs and truths of several cases.

    Args:
        cases: List of `(Censored, truth)`, all of one size.

    Returns:
        `(x, y)` as `MosaicRestorer.fit` takes them.
    """
    inputs = [mosaic_inputs(c.picture, c.mask, c.grid) for c, _ in cases]
    return stack_inputs(inputs), np.stack([truth for _, truth in cases])


def _fit(truth, case, size):
    """Bring a larger crop and its censor to `size`."""
    side = truth.shape[0]
    if side == size:
        return case, truth
    grid = case.grid and case.grid.scaled(size / side)
    picture, truth = _resized(case.picture, size), _resized(truth, size)
    hole = _resized((case.mask < 255).astype(np.float32), size) > 1e-6
    mask = np.where(hole, 0, 255).astype(np.uint8)
    return Censored(picture, mask, case.kind, grid), truth


def _resized(picture, side):
    import cv2

    if picture.shape[0] == side:
        return picture
    shrinks = picture.shape[0] > side
    way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(picture, (side, side), interpolation=way)
