"""Fit a model into a run folder: the steps that every training shares."""

import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from illustkit.runtime import (
    check_batch_size,
    check_precision,
    choose_precision,
    get_strategy,
    precision,
    scope,
    worker_index,
)
from illustkit.training.batches import Batches
from illustkit.training.dropout import EpochSeeds
from illustkit.training.folder import training_in
from illustkit.training.interrupts import Rest, StopOnInterrupt
from illustkit.training.memory import KeepFreedMemory, share_one_pool
from illustkit.training.runs import Run
from illustkit.training.watching import RunCallback, StopEarly


@dataclass(frozen=True)
class Devices:
    """The devices that a training shares its batches among, from `choose_devices`.

    Attributes:
        strategy: What `illustkit.get_strategy` returned: a `tf.distribute.Strategy`, or
            `None` on JAX.
        precision: Name of the dtype policy.
        replicas: Number of devices that share a batch.
    """

    strategy: Any
    precision: str
    replicas: int

    @contextlib.contextmanager
    def building(self, seed: int | None = None) -> Iterator[None]:
        """Return the context to build and compile a model in.

        Args:
            seed: Seeds Keras, NumPy and Python first; the caller's random numbers of
                the last two go on afterwards. Defaults to leaving them.
        """
        with contextlib.ExitStack() as stack:
            if seed is not None:
                stack.enter_context(seeded(seed))
            stack.enter_context(scope(self.strategy))
            stack.enter_context(precision(self.precision))
            yield


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Return a context in which Keras, NumPy and Python draw from a seed.

    The caller's random numbers of the last two go on afterwards.

    Example:
    ```python
    with seeded(1):
        model = build_and_compile()
    ```

    Args:
        seed: Int.
    """
    states = random.getstate(), np.random.get_state()
    try:
        keras.utils.set_random_seed(seed)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def choose_devices(
    strategy: str = "auto", *, batch_size: int, precision: str = "float32"
) -> Devices:
    """Choose the devices of a training; call it before anything else touches them.

    Args:
        strategy: Kind of `illustkit.get_strategy`. Defaults to "auto".
        batch_size: Samples in a batch, over all devices.
        precision: "float32", "mixed_bfloat16", "mixed_float16", or "auto" for what the
            devices are fast in; see `illustkit.runtime.choose_precision`.

    Returns:
        The `Devices`.

    Raises:
        UserError: If the batch cannot be shared evenly, or the devices cannot train
            with this precision.
    """
    share_one_pool()  # before anything is built
    chosen = get_strategy(strategy)
    replicas = check_batch_size(batch_size, chosen)
    precision = choose_precision(precision, chosen)
    check_precision(precision, chosen)
    return Devices(chosen, precision, replicas)


def fit_run(
    model: keras.Model,
    batches: Batches,
    run: Run,
    *,
    epochs: int,
    seed: int,
    monitor: str | None = None,
    mode: str = "max",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
    **options: Any,
) -> Run:
    """Fit a model, or resume its training after the last whole epoch.

    The result is that of a training that was never stopped. Ctrl-C ends it after a
    step, from which it resumes. The loss that stops being finite ends the training and
    is named; the best weights, the history and the backup go into the run's folder.

    Example:
    ```python
    devices = choose_devices("auto", batch_size=16)
    run = Run.start("runs/first", {"epochs": 10, "seed": 1})
    with devices.building(seed=1):
        model = build_and_compile()
    fit_run(model, batches, run, epochs=10, seed=1, monitor="val_psnr")
    ```

    Args:
        model: The compiled model.
        batches: The training's `Batches`.
        run: Where to write; see `Run`.
        epochs: Number of epochs, those of a resumed run included.
        seed: Decides what dropout leaves out.
        monitor: Logged number by which weights are best; `None` keeps no best weights.
        mode: "max" or "min" of `monitor`.
        callbacks: More callbacks. They come before those that save, so that what they
            log is saved.
        verbose: As in `keras.Model.fit`. Defaults to "auto".
        **options: More arguments of `keras.Model.fit`, such as `validation_data`.

    Returns:
        The same run.

    Raises:
        UserError: If another process is training this run.
        FloatingPointError: If the loss or a weight is not finite.
    """
    # One process of several workers holds the lock for all of them.
    alone = contextlib.nullcontext() if worker_index() else training_in(run.folder)
    with alone:
        # An epoch that Ctrl-C stopped is ended first, by a fit of its own.
        while _fit(
            model, batches, run, epochs, seed, monitor, mode, callbacks, verbose,
            options,
        ):  # fmt: skip
            pass
    return run


def _fit(model, batches, run, epochs, seed, monitor, mode, callbacks, verbose, options):
    """Fit all epochs, or the rest of one; return whether there are more."""
    check, *saving = run.callbacks(monitor, mode, steps=len(batches))
    backup = saving[-1]
    for callback in callbacks:
        if isinstance(callback, RunCallback):
            callback.follow(run, monitor, mode)
    callbacks = sorted(callbacks, key=lambda each: getattr(each, "comes_last", False))
    early = [each for each in callbacks if isinstance(each, StopEarly) and each.is_over]
    if early and backup.epochs_done < epochs:
        if not is_quiet(verbose):
            print(
                f"The training ended early, {early[0].ranking.waited} epochs after its "
                "best: raise early_stopping to go on."
            )
        return False
    first = backup.batches_done
    stop = StopOnInterrupt(backup.folder, len(batches), first)
    with stop.listening():
        model.fit(
            Rest(batches, first) if first else batches,
            epochs=min(epochs, backup.epochs_done + 1) if first else epochs,
            shuffle=False,  # the batches shuffle themselves
            verbose=verbose,
            callbacks=[
                batches.follow(),
                EpochSeeds(seed),
                check,  # before anything is saved
                *callbacks,
                *saving,
                stop,
                KeepFreedMemory(),
            ],
            **options,
        )
    return bool(first) and not model.stop_training and run.epochs_done < epochs


def is_quiet(verbose: str | int) -> bool:
    """Return whether this process prints nothing: silenced, or not the first worker."""
    return verbose == 0 or worker_index() > 0
