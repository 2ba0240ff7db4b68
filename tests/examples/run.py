"""Run an example: its names, its statements, its results."""

import ast
import builtins
import contextlib
import doctest
import importlib
import io
import tokenize
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from .collect import PACKAGES, Example
from .results import check


class Names(dict):
    """The names of an example: each is looked for when it is first asked for.

    Args:
        values: Functions that make the values which the example stands among.
        places: Modules to look in after that, the first one first.
    """

    def __init__(self, values: Mapping[str, Callable[[], Any]], places: list[Any]):
        super().__init__(__builtins__=builtins, __name__="example")
        self.values_of = values
        self.places = places

    def __missing__(self, name: str) -> Any:
        if name in self.values_of:
            self[name] = self.values_of[name]()
            return self[name]
        for place in self.places:
            try:
                return getattr(place, name)
            except AttributeError:
                pass
        raise KeyError(name)


def comments_of(source: str) -> tuple[dict[int, str], set[int]]:
    """Return the comment of each line, and the lines that are comments alone."""
    comments, alone = {}, set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("#")
            if not token.line[: token.start[1]].strip():
                alone.add(token.start[0])
    return comments, alone


def run_example(example: Example, names: Names, source: str | None = None) -> int:
    """Run all statements of an example and check the results in its comments.

    Returns:
        How many results were checked.
    """
    if example.is_doctest:
        return _run_doctest(example, names)
    source = source or example.source
    comments, alone = comments_of(source)
    checked = 0
    for statement in ast.parse(source).body:
        last = statement.end_lineno or 0
        below = comments[last + 1] if last + 1 in alone else ""
        comment = comments.get(last, below)
        expected = _exception(comment, names)
        if isinstance(statement, ast.Raise):
            expected = expected or Exception
        if expected is None:
            value = _execute(statement, names, example.id)
            checked += value is not _NOTHING and check(value, comment)
        elif issubclass(expected, Warning):
            with pytest.warns(expected):
                _execute(statement, names, example.id)
            checked += 1
        else:
            with pytest.raises(expected):
                _execute(statement, names, example.id)
            checked += 1
    return checked


_NOTHING = object()


def _execute(statement: ast.stmt, names: Names, file: str) -> Any:
    """Run a statement; return its value, or that of the names it assigns."""
    match statement:  # the comment after print(x) says what x is
        case ast.Expr(ast.Call(ast.Name("print"), [ast.Call() | ast.Name() as item])):
            value = eval(compile(ast.Expression(item), file, "eval"), names)
            print(value)
            return value
    if isinstance(statement, ast.Expr):
        return eval(compile(ast.Expression(statement.value), file, "eval"), names)
    if isinstance(statement, ast.ClassDef):
        _look_up(statement, names)
    exec(compile(ast.Module([statement], []), file, "exec"), names)
    if isinstance(statement, ast.Assign):
        target = ast.unparse(statement.targets[0])
        return eval(target, names)
    return _NOTHING


def _look_up(statement: ast.ClassDef, names: Names) -> None:
    """Look names up beforehand: a class body does not ask `Names.__missing__`."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            with contextlib.suppress(KeyError):
                names[node.id]


def _exception(comment: str, names: Names) -> type[BaseException] | None:
    name = comment.strip()
    if not name.isidentifier() or not name.endswith(("Error", "Warning")):
        return None
    return getattr(builtins, name, None) or names[name]


def _run_doctest(example: Example, names: Names) -> int:
    test = doctest.DocTestParser().get_doctest(
        example.source, names, example.id, example.file, 0
    )
    test.globs = names  # the parser copies it into a plain dict
    lines: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(
        test, out=lines.append, clear_globs=False
    )
    assert result.failed == 0, "".join(lines)
    return result.attempted


def names_for(example: Example, values: Mapping[str, Callable[[], Any]]) -> Names:
    """Return the names of an example.

    Those of its module come after the given values, then the public ones of its package
    and of illustkit. A document has none but what it imports.
    """
    if example.module is None:
        return Names(values, [])
    parts = example.module.split(".")
    rooms = [".".join(parts[:i]) for i in range(len(parts), 0, -1)]
    places = [importlib.import_module(room) for room in (*rooms, "illustkit")]
    names = Names(values, places)
    names.update({name: importlib.import_module(name) for name in PACKAGES})
    names.update(np=importlib.import_module("numpy"), **_keras())
    return names


def _keras() -> dict[str, Any]:
    import keras

    return {"keras": keras, "ops": keras.ops}
