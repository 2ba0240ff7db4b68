"""What `oppai.restore` asks of a restorer, without Keras."""

from collections.abc import Sequence

import numpy as np

from illustkit import progress
from illustkit.errors import UserError
from illustkit.images import signed_to_uint8
from oppai.censoring.block_grid import Grid
from oppai.censoring.regions import bounds
from oppai.data.crops import Crop
from oppai.data.mosaic_inputs import (
    Case,
    activity,
    crop_around,
    mirrored_inputs,
    mosaic_inputs,
    stack_inputs,
    take_case,
)


class BaseRestorer:
    """What `oppai.restore` asks of a restorer.

    A subclass overrides `predict`, or `predict_all` where it predicts several pictures
    at once.

    Example:
    ```python
    class Grey(BaseRestorer):
        def predict(self, picture, hole, grid=None, missing=None):
            return np.zeros(picture.shape, np.float32)

    restored = oppai.restore("a.png", boxes=[(60, 80, 160, 190)], restorer=Grey())
    ```

    Attributes:
        image_size: Side in pixels of the patches that it predicts; `None` where it
            takes crops of any size whose sides `divisor` divides.
        divisor: See `image_size`.
        minimum: Least side, in pixels of the picture, of the squares that are brought
            to `image_size`.
        blend: Weight of the prediction in what `oppai.restore` returns; the rest is
            the censored picture.
        sees_mosaics: Whether `predict` uses the grid of a mosaic.
    """

    image_size: int | None = None
    divisor: int = 1
    minimum: int = 256
    blend: float = 1.0
    sees_mosaics: bool = False

    def predict(
        self,
        picture: np.ndarray,
        hole: np.ndarray,
        grid: Grid | None = None,
        missing: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predict one picture at the network's scale.

        Args:
            picture: uint8 RGB `(height, width, 3)`, censored.
            hole: bool `(height, width)`, true where it is hidden.
            grid: The mosaic's `Grid` in the picture, or `None`. Defaults to `None`.
            missing: bool `(height, width)`, true where the hole shows no mosaic.
                Defaults to `None`: all of the hole without a grid, else nothing.

        Returns:
            float32 `(height, width, 3)`, signed scale; undefined outside the hole.
        """
        if missing is None:
            missing = hole if grid is None else np.zeros_like(hole)
        return self.predict_all([Case(picture, hole, grid, missing)])[0]

    def predict_all(
        self, cases: Sequence[Case], batch_size: int = 8
    ) -> list[np.ndarray]:
        """Predict several pictures at the network's scale.

        Args:
            cases: `Case`s, of any sizes that the network takes.
            batch_size: Pictures that are predicted at once. Defaults to 8.

        Returns:
            List of what `predict` returns.
        """
        return [self.predict(*case) for case in cases]

    def crop_of(self, hole: np.ndarray, grid: Grid | None) -> Crop:
        """Return the `Crop` in which `restore_patches` predicts a patch: all of it."""
        size = hole.shape[1], hole.shape[0]
        return Crop((0, 0, *size), size)

    def restore_patches(
        self,
        censored: np.ndarray,
        mask: np.ndarray,
        grids: Sequence[Grid | None] | None = None,
        *,
        missing: np.ndarray | None = None,
        batch_size: int = 8,
    ) -> np.ndarray:
        """Restore patches: the prediction in the hole, the patch as it is elsewhere.

        Example:
        ```python
        restored = restorer.restore_patches(censored, mask, [Grid((8, 8))])
        ```

        Args:
            censored: uint8 `(n, height, width, 3)`.
            mask: uint8 or bool `(n, height, width)` or `(n, height, width, 1)`,
                255 = hidden; above 0 is hole.
            grids: The mosaics' `Grid`s, one for each patch, `None` where content is
                missing. Not used by a restorer that does not see mosaics. Defaults to
                `None`: content is missing everywhere.
            missing: bool, of the mask's shape, true where a mosaic's hole shows no
                mosaic. Defaults to `None`: nowhere.
            batch_size: Patches that are predicted at once. Defaults to 8.

        Returns:
            uint8 `(n, height, width, 3)`.
        """
        n, height, width = censored.shape[:3]
        holes = np.reshape(mask, (n, height, width)) > 0
        grids = [None] * n if grids is None or not self.sees_mosaics else grids
        lost = [None] * n
        if missing is not None:
            lost = list(np.reshape(missing, (n, height, width)))
        crops = [self.crop_of(*pair) for pair in zip(holes, grids, strict=True)]
        cases = [
            take_case(*arguments)
            for arguments in zip(crops, censored, holes, grids, lost, strict=True)
        ]
        result = censored.copy()
        predictions = self.predict_all(cases, batch_size)
        for number, (crop, signed) in enumerate(zip(crops, predictions, strict=True)):
            (left, top, right, bottom), pixels = crop.give(signed, (width, height))
            place = np.s_[number, top:bottom, left:right]
            hole = holes[place][..., None]
            result[place] = np.where(hole, signed_to_uint8(pixels), result[place])
        return result


class PredictsMosaics(BaseRestorer):
    """A restorer whose network takes the inputs of `MosaicUNet`, whatever runs it.

    A subclass has `divisor`, `passes` and `predict_inputs`.

    Attributes:
        passes: 1 to predict each picture as it is, 2 to predict it mirrored as well and
            to take the mean.
    """

    sees_mosaics = True
    passes: int

    def predict_inputs(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Predict a batch.

        Args:
            inputs: Dict of arrays, as `MosaicUNet` takes it.

        Returns:
            float32 `(batch, height, width, 3)`, signed scale.
        """
        raise NotImplementedError

    def crop_of(self, hole, grid):
        box = bounds(hole) or (0, 0, 1, 1)
        return crop_around(box, grid, divisor=self.divisor)

    def predict_all(self, cases, batch_size=8):
        """Predict several pictures, each as it is and, with two passes, mirrored too.

        The mean of two passes is better by some tenths of a decibel, but softer. Where
        nothing is drawn, the base is returned: `oppai.data.mosaic_inputs`.

        Args:
            cases: `Case`s, of any sizes that the network takes.
            batch_size: Pictures of 256 pixels that are predicted at once, mirrored ones
                included; of larger ones fewer. Defaults to 8.

        Returns:
            List of float32 `(height, width, 3)`, signed scale.
        """
        results: list = [None] * len(cases)
        for numbers in by_size(cases):
            height, width = cases[numbers[0]].hole.shape
            check_divisible("MosaicUNet", height, width, self.divisor)
            # Memory is that of so many pictures of 256 pixels.
            n = batch_size * 256**2 // (height * width)
            n = max(1, n // self.passes)
            for start in range(0, len(numbers), n):
                chosen = numbers[start : start + n]
                inputs = [mosaic_inputs(*cases[i]) for i in chosen]
                turned = []
                if self.passes == 2:
                    turned = [mirrored_inputs(arrays) for arrays in inputs]
                signed = self.predict_inputs(stack_inputs(inputs + turned))
                plain, *mirrored = np.split(signed, self.passes)
                for other in mirrored:
                    plain = (plain + other[:, :, ::-1]) / 2
                for i, arrays, result in zip(chosen, inputs, plain, strict=True):
                    base, case = arrays["base"], cases[i]
                    weight = activity(base, case.hole, case.missing)[..., None]
                    results[i] = base + weight * (result - base)
                progress.advance(len(chosen))
        return results


def check_divisible(
    model: str, height: int | None, width: int | None, divisor: int
) -> None:
    """Raise if a picture's height or width is not divisible by a model's `divisor`.

    Args:
        model: Name of the model, for the error.
        height: In pixels, or `None` if it is not known.
        width: As `height`.
        divisor: Number by which the model shrinks a picture.

    Raises:
        UserError: If a side is not divisible.
    """
    if (height or 0) % divisor or (width or 0) % divisor:
        raise UserError(
            f"{model} takes pictures whose height and width are divisible by "
            f"{divisor}: resize or pad them. Received: height={height}, width={width}"
        )


def by_size(cases):
    """Return the numbers of the cases of each size, as lists."""
    sizes: dict = {}
    for number, case in enumerate(cases):
        sizes.setdefault(case.hole.shape, []).append(number)
    return list(sizes.values())
