"""Pairs of pictures to learn a translation from: drawn ones and those of a folder."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import cv2
import numpy as np

from illustkit.errors import UserError, as_user_error
from illustkit.images import file_stamps, list_images, read_image, store_pictures
from illustkit.training.batches import Batches
from illustkit.training.split import relative_names
from oppai.translation.task import Task, grey_of


class Pair(NamedTuple):
    """An input and a target of one size, uint8; the input may still have to be made."""

    given: np.ndarray | None
    target: np.ndarray


class PairBatches(Batches):
    """Make batches `(x, y)` of crops of pairs, drawn anew in every epoch.

    A crop has the side `image_size` after the pair's shorter side was brought to
    `task.scales` times that, and one in two is mirrored. Without `steps` each pair is
    cut once, in the same way in every epoch, as a validation needs it.

    Example:
    ```python
    task = make_task("clean")
    pairs = draw_pairs(task, range(100), 128)
    batches = PairBatches(task, pairs, image_size=128, batch_size=8, steps=50)
    x, y = batches[0]
    x["grey"].shape  # (8, 128, 128, 1)
    ```

    Args:
        task: What is learnt, a `oppai.translation.task.Task`.
        pairs: The `Pair`s.
        image_size: Side of the crops in pixels.
        batch_size: Crops in a batch, over all devices.
        seed: Int or tuple of ints. Defaults to 0.
        steps: Batches in an epoch, of pairs drawn at random. Defaults to `None`.
        unpaired: Inputs without a target, of which each sample gets one as well.
            Defaults to none.
        **kwargs: Passed to `Batches`.
    """

    def __init__(
        self,
        task: Task,
        pairs: Sequence[Pair],
        *,
        image_size: int,
        batch_size: int,
        seed: int | tuple[int, ...] = 0,
        steps: int | None = None,
        unpaired: Sequence[np.ndarray] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            len(pairs) if steps is None else steps * batch_size,
            batch_size=batch_size,
            seed=seed,
            shuffle=False,
            **kwargs,
        )
        self.task, self.pairs = task, pairs
        self.image_size, self.steps, self.unpaired = image_size, steps, unpaired

    def make(self, indices, rng):
        samples = []
        for index in indices:
            if self.steps is None:
                rng = np.random.default_rng((*self.seed, int(index)))
            else:
                index = rng.integers(len(self.pairs))
            pair = self.pairs[int(index)]
            given, target = self._cut(pair, rng)
            if self.task.mixes:
                given = self._any([p.target for p in self.pairs], rng)
            x, y = self.task.sample(given, target, rng)
            if len(self.unpaired):
                x = {**x, "unpaired": self._any(self.unpaired, rng)}
            samples.append((x, y))
        return tuple(
            {name: np.stack([s[i][name] for s in samples]) for name in samples[0][i]}
            for i in range(2)
        )

    def _any(self, pictures, rng):
        """Return a crop of a random picture."""
        picture = pictures[int(rng.integers(len(pictures)))]
        return self._cut(Pair(None, picture), rng).target

    def _cut(self, pair, rng):
        options = {"classes": self.task.classes, "scales": self.task.scales}
        return crop_pair(pair, self.image_size, rng, **options)


def crop_pair(
    pair: Pair,
    side: int,
    rng: np.random.Generator,
    *,
    classes: bool = False,
    scales: tuple[float, float] = (1.0, 1.2),
) -> Pair:
    """Cut the same random square out of both pictures of a pair.

    Args:
        pair: The `Pair`.
        side: Side of the square in pixels; what is smaller is enlarged first.
        rng: NumPy generator.
        classes: Whether the target holds numbers of classes, which have no mean.
            Defaults to `False`.
        scales: The least and the most sides of the square in the pair's shorter side.
            Defaults to `(1, 1.2)`.

    Returns:
        A `Pair` of `(side, side, channels)`.
    """
    height, width = pair.target.shape[:2]
    scale = rng.uniform(*scales) * side / min(height, width)
    size = [max(side, round(n * scale)) for n in (width, height)]
    left, top = (int(rng.integers(0, n - side + 1)) for n in size)
    flip = -1 if rng.random() < 0.5 else 1

    def cut(picture, classes):
        if picture is None:
            return None
        resized = _resized(picture, size, classes)
        part = resized[top : top + side, left : left + side, :][:, ::flip]
        return np.ascontiguousarray(part)

    return Pair(cut(pair.given, False), cut(pair.target, classes))


def _resized(picture, size, classes):
    """Return a picture in a size (width, height), with its axis of channels."""
    way = cv2.INTER_AREA if size[1] < len(picture) else cv2.INTER_LINEAR
    if classes:
        way = cv2.INTER_NEAREST
    resized = cv2.resize(picture, size, interpolation=way)
    return resized.reshape(size[1], size[0], -1)


def draw_pairs(task: Task, seeds: Iterable[int], side: int) -> list[Pair]:
    """Draw pairs of the illustrator's, as large as the largest of which crops are cut.

    Args:
        task: What is learnt.
        seeds: Seeds of the characters.
        side: Side of the crops in pixels.

    Returns:
        List of `Pair`s.
    """
    width = round(max(1.25, task.scales[1]) * side)
    return [Pair(*task.draw(seed, (width, round(1.41 * width)))) for seed in seeds]


def read_pairs(
    task: Task,
    folder: str | os.PathLike,
    targets: str | os.PathLike | None = None,
    *,
    side: int,
    cache: Path | None = None,
    progress: bool = True,
) -> tuple[dict[str, Pair], dict[str, Path], list[str]]:
    """Read the pairs of a folder.

    Where the task makes its inputs, each picture is a target. Else `targets` names the
    folder of the targets, in which files have the names of the inputs' (the ending may
    differ); without it each picture holds its input on the left and its target on the
    right. Pictures that are more than twice as large as the crops are shrunk.

    Args:
        task: What is learnt.
        folder: Folder of the pictures, or of the inputs.
        targets: Folder of the targets. Defaults to `None`.
        side: Side of the crops in pixels.
        cache: Folder for the pictures without compression. Defaults to memory.
        progress: Whether to show a bar. Defaults to `True`.

    Returns:
        Dict from names, relative to the folder, to `Pair`s; dict from all names to
        their files; and a line for each picture that is left out.

    Raises:
        UserError: If a folder does not exist or holds no picture, or if both halves or
            folders do not fit.
    """
    from tqdm import tqdm

    files = list_images(folder)
    paths = dict(zip(relative_names(files, folder), files, strict=True))
    others: dict[str, Path] = {}
    if targets is not None:
        found = list_images(targets)
        names = map(_stem, relative_names(found, targets))
        others = dict(zip(names, found, strict=True))
        if not set(map(_stem, paths)) & set(others):
            raise UserError(
                f"{targets} holds no picture of a name in {folder}: give each target "
                "the name of its input."
            )

    def fill(writer):
        left_out = writer.details.setdefault("left_out", [])
        for name, path in tqdm(paths.items(), unit="pair", disable=not progress):
            try:
                pair = _read_pair(task, path, others.get(_stem(name)), bool(targets))
            except Exception as error:
                if (problem := as_user_error(error, path)) is None:
                    raise
                left_out.append(str(problem))
                continue
            for picture, role in zip(pair, ("given", "target"), strict=True):
                if picture is not None:
                    classes = task.classes and role == "target"
                    most = round(max(2.0, task.scales[1]) * side)
                    shrunk = shrink(picture, most, classes)
                    writer.add(shrunk, name=name, role=role)

    every = [*paths.values(), *others.values()]
    stored = store_pictures(
        cache, {"files": file_stamps(every), "task": task.name, "side": side}, fill
    )
    halves: dict[str, dict[str, np.ndarray]] = {}
    for i, row in enumerate(stored.rows):
        halves.setdefault(row["name"], {})[row["role"]] = stored[i]
    pairs = {n: Pair(h.get("given"), h["target"]) for n, h in halves.items()}
    return pairs, paths, stored.details["left_out"]


def _stem(name):
    return str(PurePosixPath(name).with_suffix(""))


def _read_pair(task, path, target, two_folders):
    picture = read_image(path)
    if target is None and two_folders:
        raise UserError(f"{path}: has no target of its name, and is left out.")
    if target is not None:
        other = read_image(target)
        if other.shape[:2] != picture.shape[:2]:
            raise UserError(
                f"{target}: is {other.shape[1]}×{other.shape[0]} pixels, its input "
                f"{picture.shape[1]}×{picture.shape[0]}: give both one size."
            )
        return Pair(_channels(picture, task, 0), _channels(other, task, 1))
    if task.paired:
        width = picture.shape[1]
        if width % 2 or width < 2 * picture.shape[0] // 3:
            raise UserError(
                f"{path}: is no input beside its target: its width must be even and "
                "both halves as large, or name the folder of the targets."
            )
        halves = picture[:, : width // 2], picture[:, width // 2 :]
        return Pair(*(_channels(half, task, i) for i, half in enumerate(halves)))
    return Pair(None, _channels(picture, task, 1))


def _channels(picture, task, place):
    return picture if task.channels[place] == 3 else grey_of(picture)


def shrink(picture: np.ndarray, side: int, classes: bool = False) -> np.ndarray:
    """Return a picture whose shorter side has at most `side` pixels.

    Args:
        picture: uint8 `(height, width, channels)`.
        side: The most pixels.
        classes: Whether it holds numbers of classes, which have no mean. Defaults to
            `False`.
    """
    height, width = picture.shape[:2]
    if (scale := side / min(height, width)) >= 1:
        return picture
    size = [max(1, round(n * scale)) for n in (width, height)]
    return _resized(picture, size, classes)
