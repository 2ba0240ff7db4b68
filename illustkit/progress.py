"""Progress inside one long step, told to whoever shows it.

A bar over pictures stands still while one large picture is worked on. The functions
that take long there tell how far they are, and a command listens; without a listener
nothing happens.
"""

import contextlib
import contextvars
import sys
import time
from collections.abc import Callable, Iterator

Listener = Callable[[str, int, int], None]
_LISTENER: contextvars.ContextVar[Listener | None] = contextvars.ContextVar(
    "listener", default=None
)
_STAGE: contextvars.ContextVar[list] = contextvars.ContextVar("stage")


def begin(stage: str, total: int) -> None:
    """Tell that a stage of some steps begins.

    Example:
    ```python
    begin("counting", 3)
    for number in range(3):
        advance()
    ```

    Args:
        stage: What is done, as "predicting".
        total: Number of its steps.
    """
    if (listener := _LISTENER.get()) is not None:
        _STAGE.set([stage, 0, total])
        listener(stage, 0, total)


def advance(n: int = 1) -> None:
    """Tell that steps of the stage are done."""
    if (listener := _LISTENER.get()) is not None:
        stage = _STAGE.get()
        stage[1] += n
        listener(*stage)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Give what is told inside to a function.

    Example:
    ```python
    with listening(lambda stage, done, total: print(stage, done, total)):
        begin("counting", 3)
    ```

    Args:
        listener: Takes the stage, the steps done and their number.
    """
    token, stage = _LISTENER.set(listener), _STAGE.set(["", 0, 0])
    try:
        yield
    finally:
        _STAGE.reset(stage)
        _LISTENER.reset(token)


@contextlib.contextmanager
def inner_bar(name: str, *, delay: float = 2.0, show: bool = True) -> Iterator[None]:
    """Show a second bar for what is told inside, once that takes long.

    Where stderr is no terminal, a bar would print a line at each step: there a line
    names each stage once.

    Example:
    ```python
    with inner_bar("large.png"):
        begin("counting", 3)
    ```

    Args:
        name: Which of the outer bar's things is worked on.
        delay: Seconds after which the bar is shown. Defaults to 2.
        show: Whether to show it at all. Defaults to `True`.
    """
    if not show:
        yield
        return
    from tqdm import tqdm

    start = time.monotonic()
    bars: list[tqdm] = []
    stages: set[str] = set()
    is_terminal = sys.stderr.isatty()

    def listener(stage, done, total):
        if not bars and time.monotonic() - start < delay:
            return
        if not is_terminal:
            if stage not in stages:
                stages.add(stage)
                tqdm.write(f"{name}: {stage}", file=sys.stderr)
            return
        if not bars:
            bars.append(tqdm(leave=False, unit="step"))
        (bar,) = bars
        if bar.total != total or bar.n > done:
            bar.reset(total)
        bar.set_description(f"{name}: {stage}", refresh=False)
        bar.update(done - bar.n)
        bar.refresh()

    try:
        with listening(listener):
            yield
    finally:
        for bar in bars:
            bar.close()
