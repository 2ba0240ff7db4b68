"""Callbacks that watch a run: they end it early, or show it in TensorBoard."""

import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from illustkit.files import write_whole
from illustkit.options import check_number
from illustkit.runtime import worker_index
from illustkit.training.callbacks import Ranking

if TYPE_CHECKING:
    from illustkit.training.runs import Run

TENSORBOARD = "tensorboard"


class RunCallback(keras.callbacks.Callback):
    """A callback that `fit_run` tells its run, before each fit.

    Attributes:
        comes_last: Whether it comes behind all others that do not save, so that it
            sees what they log.
    """

    comes_last = True

    def follow(self, run: "Run", monitor: str | None, mode: str) -> None:
        """Take what the run has done.

        Args:
            run: The `Run`, with the history of its whole epochs.
            monitor: Logged number by which weights are best, or `None`.
            mode: "max" or "min" of it.
        """


class StopEarly(RunCallback):
    """Ends a training when its best epoch lies some epochs back.

    The run's own figure decides, by which its best weights are kept; without one, the
    lowest validation loss, or loss. A training that ended so ends again at once,
    unless it is to wait longer.

    Example:
    ```python
    callbacks = [StopEarly(5)]     # for `callbacks` of any training
    ```

    Args:
        patience: Epochs without a better one after which the training ends.

    Raises:
        UserError: If it is less than 1.
    """

    def __init__(self, patience: int) -> None:
        super().__init__()
        check_number("early_stopping", patience, whole=True, least=1)
        self.patience = patience
        self.ranking = Ranking("val_loss", "min")

    @property
    def is_over(self) -> bool:
        """Whether the training has waited as long as it may."""
        return self.ranking.waited >= self.patience

    def follow(self, run, monitor, mode):
        name, mode = (monitor, mode) if monitor else ("val_loss", "min")
        self.ranking = Ranking(name, mode, run.history)

    def on_epoch_end(self, epoch, logs=None):
        self.ranking.is_best(logs or {})
        if self.is_over:
            self.stop(epoch, f"its best was {self.ranking.waited} epochs ago")

    def stop(self, epoch: int, reason: str) -> None:
        """End the training after this epoch, and say why."""
        from tqdm import tqdm

        self.model.stop_training = True
        if worker_index() == 0:
            tqdm.write(f"The training ends after epoch {epoch + 1}: {reason}.")


class StopInTime(keras.callbacks.Callback):
    """Begins no further epoch that would not end in time; one is always trained.

    Example:
    ```python
    callbacks = [StopInTime(120)]     # for `callbacks` of any training
    ```

    Args:
        seconds: From now, by the clock. An epoch is taken to last as long as the one
            before.

    Raises:
        UserError: If it is negative.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        check_number("seconds", seconds, least=0)
        self.end = time.monotonic() + seconds
        self.began = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        now = time.monotonic()
        if now + (now - self.began) > self.end:
            self.model.stop_training = True


class TensorBoard(RunCallback):
    """Writes the numbers of each epoch for TensorBoard, into `tensorboard/` of the run.

    Neither TensorFlow nor TensorBoard is needed to write them, so that a training on
    JAX has them, too. What the run has done before is in the file as well. Look with
    `tensorboard --logdir runs`.

    Example:
    ```python
    callbacks = [TensorBoard()]     # for `callbacks` of any training
    ```

    Reference:
        The formats TFRecord and `tensorflow.Event`, version 2, of TensorBoard;
        `keras.callbacks.TensorBoard` for the names.
    """

    def follow(self, run, monitor, mode):
        self.folder = Path(run.folder, TENSORBOARD)
        history = {name: own for name, own in run.history.items() if name != "epoch"}
        self.rows = [
            dict(zip(history, row, strict=True))
            for row in zip(*history.values(), strict=True)
        ]

    def on_train_begin(self, logs=None):
        if worker_index() > 0:
            return
        for side in ("train", "validation"):
            events = [_record(_event(0, version="brain.Event:2"))]
            for epoch, row in enumerate(self.rows):
                events += _scalars(epoch, row, side)
            write_whole(self._file(side), b"".join(events))

    def on_epoch_end(self, epoch, logs=None):
        if worker_index() > 0:
            return
        for side in ("train", "validation"):
            with open(self._file(side), "ab") as file:
                file.write(b"".join(_scalars(epoch, logs or {}, side)))

    def _file(self, side):
        return self.folder / side / "events.out.tfevents.0000000000.illustkit"


def watching(
    early_stopping: int | None = None, tensorboard: bool = False
) -> list[keras.callbacks.Callback]:
    """Return the callbacks that the options of a command ask for.

    Args:
        early_stopping: See `StopEarly`. Defaults to `None`, none.
        tensorboard: Whether to write for TensorBoard. Defaults to `False`.
    """
    chosen: list[keras.callbacks.Callback] = []
    if early_stopping is not None:
        chosen.append(StopEarly(early_stopping))
    if tensorboard:
        chosen.append(TensorBoard())
    return chosen


def _scalars(epoch: int, row: Mapping[str, float], side: str) -> list[bytes]:
    """Return a record for each number of an epoch that belongs to a side."""
    records = []
    for name, value in row.items():
        validates = name.startswith("val_")
        if validates == (side == "validation"):
            tag = f"epoch_{name.removeprefix('val_')}"
            records.append(_record(_event(epoch, tag=tag, value=float(value))))
    return records


def _event(step, *, version=None, tag=None, value=0.0):
    """Return a message `Event`: time, step, and a version or a number."""
    event = b"\x09" + struct.pack("<d", time.time()) + b"\x10" + _varint(step)
    if version is not None:
        return event + _field(b"\x1a", version.encode())
    number = _field(b"\x0a", tag.encode()) + b"\x15" + struct.pack("<f", value)
    return event + _field(b"\x2a", _field(b"\x0a", number))


def _field(key, data):
    return key + _varint(len(data)) + data


def _varint(n):
    data = bytearray()
    while n > 127:
        data.append(n & 127 | 128)
        n >>= 7
    return bytes([*data, n])


def _record(data):
    """Return a TFRecord: length and data, each with its masked CRC-32C."""
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
