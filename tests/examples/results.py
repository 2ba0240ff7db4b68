"""The results that an example gives in comments, compared with what comes.

`f(x)  # [0, 128, 255]` is a value, `# (1, 32, 32, 3)` after an array is its shape
(names stand for any number), `# (2, 8, 8, 3) -> (2, 1)` the shape after it,
`# ValueError` what is raised or warned of. A dtype may stand beside it, and after a
colon or semicolon anything. A path stands bare. Any other comment is a remark.
"""

import ast
import re
from pathlib import PurePath
from typing import Any

import numpy as np

_DTYPE = r"(?:u?int\d+|float\d+|bool)"
_LITERAL = re.compile(
    rf"^(?:(?P<before>{_DTYPE}) +)?(?P<text>[\[(\"'\d-].*?|None|True|False)"
    rf"(?: +(?P<after>{_DTYPE}))?$"
)


class Anything:
    """Stands for a number that the example does not give."""

    def __repr__(self) -> str:
        return "…"


def parse(comment: str) -> tuple[Any, str | None] | None:
    """Return the value and the dtype that a comment gives, or None for a remark."""
    text = comment.strip().rpartition(" -> ")[2].replace("…", "...")
    ends = [m.start() for m in re.finditer(r"[:;] |(?<=[\])\w]), (?=[a-z])", text)]
    for end in (len(text), *reversed(ends)):
        candidate = text[:end]
        match = _LITERAL.fullmatch(candidate)
        if match is None:
            continue
        try:
            node = ast.parse(match["text"], mode="eval").body
            return _value(node), match["before"] or match["after"]
        except (SyntaxError, ValueError):
            continue
    return None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Tuple | ast.List):
        items = [_value(item) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items
    if isinstance(node, ast.Name):
        return Anything()
    return ast.literal_eval(node)


def is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(item, int | Anything) for item in value
    )


def check(value: Any, comment: str) -> bool:
    """Assert that a value is what a comment says.

    Returns:
        Whether the comment said anything.
    """
    comment = comment.strip()
    if isinstance(value, PurePath):
        if re.fullmatch(r"[\w./-]+", comment) is None:
            return False
        assert value.as_posix() == comment
        return True
    parsed = parse(comment)
    if parsed is None:
        return False
    expected, dtype = parsed
    if is_shape(expected) and dtype and not hasattr(value, "dtype"):
        return False  # it says what goes in
    if dtype is not None:
        assert str(getattr(value, "dtype", type(value))).removeprefix("<") == dtype
    if is_shape(expected) and hasattr(value, "shape"):
        value = tuple(value.shape)
    assert matches(value, expected), f"{value!r} came, the comment says {comment!r}"
    return True


def matches(value: Any, expected: Any) -> bool:
    """Return whether a value is the expected one, numbers to the digits given."""
    if isinstance(expected, Anything):
        return True
    if hasattr(value, "shape"):
        value = np.asarray(value).tolist()
    elif hasattr(value, "as_list"):  # TensorFlow's shape
        value = value.as_list()
    if isinstance(expected, list | tuple):
        if not isinstance(value, list | tuple):
            return False
        return _match_items(list(value), list(expected))
    if isinstance(expected, float | int) and not isinstance(expected, bool):
        digits = len(repr(expected).partition(".")[2])
        if isinstance(value, bool | str) or value is None:
            return False
        tolerance = 0.5 * 10**-digits * 1.01 if isinstance(expected, float) else 0
        return abs(float(value) - expected) <= tolerance
    return isinstance(value, type(expected)) and value == expected


def _match_items(values: list, expected: list) -> bool:
    if not expected:
        return not values
    if expected[0] is Ellipsis:
        return any(
            _match_items(values[i:], expected[1:]) for i in range(len(values) + 1)
        )
    return (
        bool(values)
        and matches(values[0], expected[0])
        and _match_items(values[1:], expected[1:])
    )
