"""Check the values of options before any work begins."""

import math
import operator
from collections.abc import Collection, Sequence
from typing import Any

from illustkit.errors import UserError

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
_LARGEST_SEED = 2**32 - 1  # NumPy's global generator takes no larger one


def check_number(
    name: str,
    value: Any,
    *,
    whole: bool = False,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Refuse a number that is out of range, not finite, or no number.

    Example:
    ```python
    check_number("learning_rate", 1e-3, above=0)
    check_number("steps", 100, whole=True, least=1)
    ```

    Args:
        name: Name of the keyword. A command prints its own option instead.
        value: The value. `None` is an option that was not given, and passes.
        whole: Whether it has to be an integer. Defaults to `False`.
        least: The smallest value allowed. Defaults to none.
        most: The largest value allowed. Defaults to none.
        above: What the value has to exceed. Defaults to none.
        below: What the value has to stay under. Defaults to none.

    Raises:
        UserError: If the value is not allowed; it says what is.
    """
    if value is None:
        return
    try:
        number = operator.index(value) if whole else float(value)
    except (TypeError, ValueError):
        number = math.nan
    bounds = (
        (least, "at least", operator.ge),
        (above, "over", operator.gt),
        (most, "at most", operator.le),
        (below, "under", operator.lt),
    )
    given = [(bound, text, holds) for bound, text, holds in bounds if bound is not None]
    if math.isfinite(number) and all(holds(number, bound) for bound, _, holds in given):
        return
    kind = "a whole number, " if whole else "a number, " if not given else ""
    limits = " and ".join(f"{text} {bound}" for bound, text, _ in given)
    raise UserError(
        f"`{name}` must be {f'{kind}{limits}'.rstrip(', ')}. Received: {value!r}"
    )


def check_range(name: str, value: Any, **limits: Any) -> None:
    """Refuse a pair (smallest, largest) that is out of order or out of range.

    Example:
    ```python
    check_range("blocks", (6, 12), whole=True, least=1)
    ```

    Args:
        name: As in `check_number`.
        value: The pair, or `None` if it was not given.
        **limits: As in `check_number`, for both numbers.

    Raises:
        UserError: If it is no such pair.
    """
    if value is None:
        return
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise UserError(
            f"`{name}` is a pair, the smallest and the largest. Received: {value!r}"
        )
    for number in value:
        check_number(name, number, **limits)
    if value[0] > value[1]:
        raise UserError(
            f"`{name}` is the smallest and then the largest. Received: "
            f"{value[0]}, {value[1]}: exchange them"
        )


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Refuse a value that is none of the choices.

    Example:
    ```python
    check_choice("rim", "soft", ("hard", "soft"))
    ```

    Args:
        name: As in `check_number`.
        value: The value, or `None` if it was not given.
        choices: What it may be.

    Raises:
        UserError: If it is something else.
    """
    if value is not None and value not in choices:
        raise UserError(
            f"`{name}` must be one of {', '.join(map(str, choices))}. "
            f"Received: {value!r}"
        )


_COUNT: dict[str, Any] = {"whole": True, "least": 1}
_COUNT_OR_NONE: dict[str, Any] = {"whole": True, "least": 0}
_NOT_NEGATIVE: dict[str, Any] = {"least": 0}
_PROBABILITY: dict[str, Any] = {"least": 0, "most": 1}
# Options that mean the same in every package.
_LIMITS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        (
            *("epochs", "steps", "epoch_steps", "epoch_size", "batch_size"),
            *("accumulation", "timesteps"),
        ),
        _COUNT,
    ),
    **dict.fromkeys(
        ("sheet_every", "sample_every", "samples", "limit"), _COUNT_OR_NONE
    ),
    **dict.fromkeys(("weight_decay", "warm_up"), _NOT_NEGATIVE),
    **dict.fromkeys(("flip", "self_condition"), _PROBABILITY),
    "learning_rate": {"above": 0},
    "holdout": {"above": 0, "below": 1},
    "seed": {"whole": True, "least": 0, "most": _LARGEST_SEED},
}


def check_options(**options: Any) -> None:
    """Refuse values that no training and no report can work with.

    It knows the options that mean the same in every package: `epochs`, `steps`,
    `epoch_steps`, `epoch_size`, `batch_size`, `accumulation`, `timesteps` (1 or more);
    `image_size` (1 or more, or a pair of such); `sheet_every`, `sample_every`,
    `samples`, `limit` (0 or more); `learning_rate` (over 0); `weight_decay`, `warm_up`
    (0 or more); `flip`, `self_condition` (0 to 1); `holdout` (between 0 and 1);
    `seed` (0 to 2³² − 1); `precision`. It passes over all other names, and over `None`.

    Example:
    ```python
    check_options(learning_rate=1e-3, epochs=20, image_size=(96, 64), seed=0)
    ```

    Args:
        **options: The values by their names.

    Raises:
        UserError: If a value is not allowed; it names the option and what is.
    """
    for name, value in options.items():
        if name in _LIMITS:
            check_number(name, value, **_LIMITS[name])
    size = options.get("image_size")
    sides = size if isinstance(size, (tuple, list)) else [size]
    for side in sides:
        check_number("image_size", side, **_COUNT)
    check_choice("precision", options.get("precision"), PRECISIONS)
