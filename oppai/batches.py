"""Training pairs: patches that are censored anew in every epoch."""

import numpy as np

from illustkit.batches import Batches
from oppai.censor import box_mask, censor
from oppai.mask_shapes import irregular_mask

KINDS = ("mosaic", "light", "white", "irregular")


class CensoredPatches(Batches):
    """Batches `((censored, mask), truth)`, uint8, drawn anew in every epoch.

    For each patch a kind of censoring, its block size and its blur are drawn, and
    whether the patch is mirrored. The draw depends on the seed, the epoch and the
    place alone, on no backend. What `fixed=True` makes is the same in every epoch and
    for every batch size, as a validation set should be.

    Example:
    ```python
    batches = CensoredPatches(patches.select(training), batch_size=32, blocks=(6, 12))
    (censored, mask), truth = batches[0]
    ```

    Args:
        patches: `oppai.dataset.Patches`.
        batch_size: Patches in a batch, over all replicas. Defaults to 32.
        seed: Int or tuple of ints. Defaults to 0.
        shuffle: Whether each epoch has its own order. Defaults to `True`, and to
            `False` where `fixed`.
        kinds: Kinds to draw from, each as likely: `"mosaic"`, `"light"` and `"white"`
            over the box, and `"irregular"`, a free form filled with white anywhere. A
            kind given twice comes twice as often. Defaults to `("mosaic",)`.
        blocks: Least and greatest side of a mosaic block in pixels of the patch.
            Defaults to `(8, 8)`.
        blur_sizes: Least and greatest standard deviation in pixels of the rim.
            Defaults to `(10, 10)`.
        picture_blur: Standard deviation of the blur before the mosaic. Defaults to 5.
        coverage: Part of the box's sides that is censored. Defaults to 0.8.
        shift_grid: Whether the mosaic's grid starts anywhere, as in a patch cut from a
            censored picture, instead of in the corner. Defaults to `False`.
        hole_ratio: Least and greatest part of a patch that a free form covers.
            Defaults to `(0.1, 0.4)`.
        flip: Whether to mirror every other patch. Defaults to `True`, and to `False`
            where `fixed`.
        fixed: Whether the epoch changes nothing. Defaults to `False`.
        **kwargs: Passed to `Batches`.

    Returns:
        Of `batches[i]`: censored `(batch, size, size, 3)`, mask
        `(batch, size, size, 1)` with 255 = valid and 0 = hole, truth
        `(batch, size, size, 3)`.

    Raises:
        ValueError: for an unknown kind, a range out of order, or fewer patches than a
            batch holds.

    Reference:
        The chapter ("DeepCreamPyで学ぶモザイク除去", chapter 10), "Overall plan".
    """

    def __init__(
        self,
        patches,
        *,
        batch_size=32,
        seed=0,
        shuffle=None,
        kinds=("mosaic",),
        blocks=(8, 8),
        blur_sizes=(10, 10),
        picture_blur=5,
        coverage=0.8,
        shift_grid=False,
        hole_ratio=(0.1, 0.4),
        flip=None,
        fixed=False,
        **kwargs,
    ):
        shuffle = not fixed if shuffle is None else shuffle
        super().__init__(
            len(patches), batch_size=batch_size, seed=seed, shuffle=shuffle, **kwargs
        )
        if isinstance(kinds, str) or not kinds or set(kinds) - set(KINDS):
            raise ValueError(f"`kinds` is a tuple out of {KINDS}. Received: {kinds!r}")
        if not 1 <= blocks[0] <= blocks[1]:
            raise ValueError(
                f"`blocks` is (least, most), from 1 up. Received: {blocks}"
            )
        if not 0 <= blur_sizes[0] <= blur_sizes[1]:
            raise ValueError(
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
        censored, mask, truth = (np.stack(part) for part in zip(*samples, strict=True))
        return (censored, mask[..., None]), truth

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
            mask = irregular_mask((side, side), rng, hole_ratio=self.hole_ratio)
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
