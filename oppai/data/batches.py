"""Crops of whole pictures, censored in every way, as the mosaic network takes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from illustkit.errors import UserError
from illustkit.training.batches import Batches
from oppai.censoring.block_grid import Grid
from oppai.censoring.censor import box_mask, censor
from oppai.censoring.masks import irregular_mask
from oppai.censoring.random_censor import draw_censor
from oppai.censoring.regions import Censored
from oppai.data.crops import Crop, crop_padded, resize
from oppai.data.mosaic_inputs import (
    blur_scale,
    mosaic_inputs,
    network_scale,
    stack_inputs,
    take_case,
)

KINDS = ("mosaic", "light", "white", "irregular")


class CensoredPatches(Batches):
    """Make batches `((censored, mask), truth)`, uint8, drawn anew in every epoch.

    For each patch a kind of censoring, its block size and its blur are drawn, and
    whether the patch is mirrored. The draw depends on the seed, the epoch and the index
    alone, on no backend. With `fixed=True` the batches are the same in every epoch and
    the patches the same for every batch size, as a validation set should be.

    Example:
    ```python
    batches = CensoredPatches(patches.select(training), batch_size=32, blocks=(6, 12))
    (censored, mask), truth = batches[0]
    ```

    Args:
        patches: `oppai.data.dataset.Patches`.
        batch_size: Patches in a batch, over all replicas. Defaults to 32.
        seed: Int or tuple of ints. Defaults to 0.
        shuffle: Whether each epoch has its own order. Defaults to `True`, and to
            `False` where `fixed`.
        kinds: Kinds to draw from, each as likely: `"mosaic"`, `"light"` and `"white"`
            over the box, and `"irregular"`, a free form filled with white anywhere. A
            kind given twice is drawn twice as often. Defaults to `("mosaic",)`.
        blocks: Least and greatest side of a mosaic block in pixels of the patch.
            Defaults to `(8, 8)`.
        blur_sizes: Least and greatest standard deviation in pixels of the rim.
            Defaults to `(10, 10)`.
        picture_blur: Standard deviation of the blur before the mosaic. Defaults to 5.
        coverage: Fraction of the box's sides that is censored. Defaults to 0.8.
        shift_grid: Whether the mosaic's grid starts anywhere, as in a patch cut from a
            censored picture, instead of in the corner. Defaults to `False`.
        hole_ratio: Least and greatest fraction of a patch that a free form covers.
            Defaults to `(0.1, 0.4)`.
        flip: Whether to mirror every other patch. Defaults to `True`, and to `False`
            where `fixed`.
        fixed: Whether the epoch changes nothing. Defaults to `False`.
        **kwargs: Passed to `Batches`.

    Returns:
        Of `batches[i]`: censored `(batch, size, size, 3)`, mask
        `(batch, size, size, 1)` with 255 = valid and 0 = hole (the networks' own
        polarity; `255 - mask` is what `restore` takes), truth
        `(batch, size, size, 3)`.

    Raises:
        UserError: If a kind is unknown, a range is out of order, or there are fewer
            patches than a batch holds.

    Reference:
        The chapter ("DeepCreamPyで学ぶモザイク除去", chapter 10), "Overall plan".
    """

    def __init__(
        self,
        patches: Any,
        *,
        batch_size: int = 32,
        seed: int | tuple[int, ...] = 0,
        shuffle: bool | None = None,
        kinds: Sequence[str] = ("mosaic",),
        blocks: tuple[int, int] = (8, 8),
        blur_sizes: tuple[float, float] = (10, 10),
        picture_blur: float = 5,
        coverage: float = 0.8,
        shift_grid: bool = False,
        hole_ratio: tuple[float, float] = (0.1, 0.4),
        flip: bool | None = None,
        fixed: bool = False,
        **kwargs: Any,
    ) -> None:
        shuffle = not fixed if shuffle is None else shuffle
        super().__init__(
            len(patches), batch_size=batch_size, seed=seed, shuffle=shuffle, **kwargs
        )
        if isinstance(kinds, str) or not kinds or set(kinds) - set(KINDS):
            raise UserError(f"`kinds` is a tuple out of {KINDS}. Received: {kinds!r}")
        if not 1 <= blocks[0] <= blocks[1]:
            raise UserError(f"`blocks` is (least, most), from 1 up. Received: {blocks}")
        if not 0 <= blur_sizes[0] <= blur_sizes[1]:
            raise UserError(
                f"`blur_sizes` is (least, most), from 0 up. Received: {blur_sizes}"
            )
        self.patches = patches
        self.kinds, self.blocks, self.blur_sizes = tuple(kinds), blocks, blur_sizes
        self.picture_blur, self.coverage = picture_blur, coverage
        self.shift_grid, self.hole_ratio = shift_grid, hole_ratio
        self.flip = not fixed if flip is None else flip
        self.fixed = fixed

    def make(self, indices, rng):
        samples = []
        for index in indices:
            if self.fixed:
                rng = np.random.default_rng((*self.seed, int(index)))
            samples.append(self._draw(index, rng))
        censored, mask, truth = (
            np.stack(arrays) for arrays in zip(*samples, strict=True)
        )
        # The network's mask: 255 = valid.
        return (censored, 255 - mask[..., None]), truth

    def _draw(self, index, rng):
        truth = np.asarray(self.patches.patches[index])
        box = self.patches.boxes[index]
        side = len(truth)
        if self.flip and rng.random() < 0.5:
            left, top, right, bottom = box
            truth, box = truth[:, ::-1], (side - right, top, side - left, bottom)
        truth = np.ascontiguousarray(truth)
        kind = self.kinds[rng.integers(len(self.kinds))]
        if kind == "irregular":
            mask = irregular_mask((side, side), rng, hole_ratio=self.hole_ratio).mask
            return censor(truth, mask, kind="white"), mask, truth
        mask = box_mask(
            (side, side),
            box,
            blur_size=rng.uniform(*self.blur_sizes),
            coverage=self.coverage,
        )
        block = rng.integers(self.blocks[0], self.blocks[1] + 1)
        origin = rng.integers(0, block, 2) if self.shift_grid else (0, 0)
        censored = censor(
            truth,
            mask,
            kind=kind,
            block=block,
            picture_blur=self.picture_blur,
            origin=origin,
        )
        return censored, mask, truth


# Sides of blocks and standard deviations of blurs, in pixels; scales of the pictures
# and how often each is drawn.
BLOCKS = (4, 12)
SIGMAS = (2, 6)
LEVELS = (1, 0.7, 0.5)
LEVEL_ODDS = (0.5, 0.3, 0.2)


class CensoredCrops(Batches):
    """Make random crops of pictures with random censors, as `MosaicUNet` takes them.

    Mosaics have blocks of 4 to 12 pixels in the picture or in the shrunk picture, and
    are brought to the network's scale (`oppai.data.mosaic_inputs.network_scale`). So
    are blurs, of 2 to 6 pixels there, by a standard deviation that is up to a quarter
    wrong, as where it is estimated.

    Args:
        pictures: List of uint8 RGB arrays; of a memory map only what is cut is read.
        steps: Batches in an epoch.
        batch_size: Crops in a batch.
        patch: Side of a crop in pixels. Defaults to 128.
        mosaics: Fraction of mosaics. Defaults to 0.8.
        fractional: Fraction of mosaics whose blocks are no whole pixels wide. Defaults
            to 0.
        blurs: Fraction of blurs. Defaults to 0.
        seed: Int. Defaults to 0.
    """

    def __init__(
        self,
        pictures: Sequence[np.ndarray],
        steps: int,
        batch_size: int,
        *,
        patch: int = 128,
        mosaics: float = 0.8,
        fractional: float = 0.0,
        blurs: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            steps * batch_size, batch_size=batch_size, seed=seed, shuffle=False
        )
        self.patch, self.mosaics = patch, mosaics
        self.fractional, self.blurs = fractional, blurs
        self.pictures = list(pictures)

    def make(self, indices, rng):
        return as_batch([self._draw(rng) for _ in indices])

    def _draw(self, rng):
        grid, blurs, scales, sigma = None, 0.0, (1.0, 1.0), SIGMAS[0]
        chance = rng.random()
        if chance < self.mosaics:
            grid = self._draw_grid(rng)
            scales = network_scale(grid)
        elif chance < self.mosaics + self.blurs:
            blurs = 1.0
            sigma = SIGMAS[0] * (SIGMAS[1] / SIGMAS[0]) ** rng.random()
            scales = (blur_scale(sigma * 1.25 ** rng.uniform(-1, 1)),) * 2
        x, y = scales
        truth = self._crop((round(self.patch / x), round(self.patch / y)), rng)
        case = draw_censor(
            truth,
            rng,
            mosaics=grid is not None,
            grid=grid,
            blurs=blurs,
            sigmas=(sigma, sigma),
        )
        crop = Crop((0, 0, *truth.shape[1::-1]), (self.patch, self.patch))
        return cropped(case, crop), crop.take(truth)

    def _draw_grid(self, rng):
        sides = [BLOCKS[0] * (BLOCKS[1] / BLOCKS[0]) ** rng.random()] * 2
        if rng.random() < 0.1:
            sides[rng.integers(2)] *= 2 ** rng.uniform(-1, 1)
        if self.fractional and rng.random() < self.fractional:
            block = np.clip(np.array(sides) * [1, rng.uniform(0.95, 1.05)], 3, 16)
            return Grid(block, rng.random(2) * block)
        block = [int(np.clip(np.rint(side), 3, 16)) for side in sides]
        # Detected grids are a little off, and small pictures hold no whole block.
        aligned = rng.random() < 0.85
        return Grid(block, (0, 0) if aligned else [rng.integers(b) for b in block])

    def _crop(self, window, rng):
        while True:
            # The window of a shrunk picture, in pixels of the picture itself.
            scale = rng.choice(LEVELS, p=LEVEL_ODDS)
            sides = [round(side / scale) for side in window]
            picture = self.pictures[rng.integers(len(self.pictures))]
            # A small picture lies in the window's corner, its edges repeated.
            x, y = (
                int(rng.integers(0, max(n - side, 0) + 1))
                for n, side in zip(picture.shape[1::-1], sides, strict=True)
            )
            box = x, y, x + sides[0], y + sides[1]
            crop = resize(crop_padded(picture, box), window)
            # An empty background teaches little more than to change nothing.
            if crop.std() > 8 or rng.random() < 0.15:
                break
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        if rng.random() < 0.3 and window[0] == window[1]:
            crop = crop.transpose(1, 0, 2)
        if rng.random() < 0.3:
            crop = crop[..., rng.permutation(3)]
        return np.ascontiguousarray(crop)


def held_out_cases(
    pictures: Sequence[np.ndarray], size: int = 256
) -> list[tuple[Censored, np.ndarray]]:
    """Return three fixed cases of each picture: small blocks, large ones, white-out.

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
        truth = resize(picture[y : y + side, x : x + side], (size, size))
        box = [size * v for v in (0.25, 0.25, 0.75, 0.75)]
        mask = box_mask((size, size), box, blur_size=0, coverage=1)
        for kind, least, most in (
            ("mosaic", 6, 10),
            ("mosaic", 12, 20),
            ("white", 1, 1),
        ):
            block = int(rng.integers(least, most + 1))
            x, y = rng.integers(0, block, 2).tolist()
            censored = censor(
                truth, mask, kind=kind, block=block, picture_blur=0, origin=(x, y)
            )
            grid = Grid((block, block), (x, y)) if kind == "mosaic" else None
            cases.append((Censored(censored, mask, grid, kind), truth))
    return cases


def as_batch(
    cases: Sequence[tuple[Censored, np.ndarray]],
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Stack several cases into a batch of inputs and truths.

    Args:
        cases: List of `(Censored, truth)`, all of one size.

    Returns:
        `(x, y)` as `MosaicRestorer.fit` takes them.
    """
    inputs = []
    for case, _ in cases:
        # Nothing is missing under a blur.
        missing = np.zeros(case.mask.shape, bool) if case.kind == "blur" else None
        picture = np.asarray(case.image)
        inputs.append(mosaic_inputs(picture, case.mask, case.grid, missing))
    return stack_inputs(inputs), np.stack([truth for _, truth in cases])


def cropped(case: Censored, crop: Crop) -> Censored:
    """Cut a crop of a censored picture.

    Args:
        case: A `Censored`.
        crop: A `Crop`.

    Returns:
        A `Censored` of the crop's size, whose mask is 0 or 255.
    """
    picture, hole, grid, _ = take_case(
        crop, np.asarray(case.image), case.mask > 0, case.grid
    )
    mask = np.where(hole, 255, 0).astype(np.uint8)
    scale = crop.size[0] / (crop.box[2] - crop.box[0])
    sigma = case.sigma and case.sigma * scale
    return Censored(picture, mask, grid, case.kind, sigma)
