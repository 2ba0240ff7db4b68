"""Every benchmark starts, and imports only names that exist."""

import ast
import functools
import importlib
import itertools
import os
import runpy
import sys

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "benchmarks"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
SCRIPTS = [name for name in FILES if "def main(" in FILES[name].read_text("utf-8")]
PACKAGES = "illustkit", "oppai", "facescore", "diffusion"
NEEDS = "tensorflow", "jax", "cv2", "scipy"


def imported_names(path):
    """Yield every (module, name) that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


@pytest.fixture
def as_script(monkeypatch):
    """Import from the folder as a script does; undo what the script sets."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name in FILES:
            del sys.modules[name]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_prints_its_options(as_script, monkeypatch, capsys, name):
    for module, _ in imported_names(FILES[name]):
        if module.split(".")[0] in NEEDS:
            pytest.importorskip(module.split(".")[0])
    monkeypatch.setattr(sys, "argv", [str(FILES[name]), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FILES[name]), run_name="__main__")
    assert ended.value.code == 0
    shown = "".join(capsys.readouterr().out.split())  # lines break where they like
    purpose = ast.get_docstring(ast.parse(FILES[name].read_text("utf-8")))
    assert shown.startswith(f"usage:{name}.py")
    assert "".join(purpose.splitlines()[0].split()) in shown


@pytest.mark.parametrize("name", FILES)
def test_a_benchmark_imports_names_that_exist(as_script, name):
    for module, attribute in imported_names(FILES[name]):
        if module.split(".")[0] in (*PACKAGES, *FILES):
            loaded = importlib.import_module(module)
            if attribute and not hasattr(loaded, attribute):
                importlib.import_module(f"{module}.{attribute}")


def test_functions_are_timed_in_turn_and_in_both_orders(as_script):
    timing = importlib.import_module("timing")
    calls = []
    functions = {name: functools.partial(calls.append, name) for name in "abc"}
    clock = itertools.count().__next__  # one second passes between any two looks
    seconds = timing.time_in_turn(functions, 3, warm_up=1, clock=clock)
    assert "".join(calls) == "abc" + "abccbaabc"
    assert seconds == dict.fromkeys("abc", [1, 1, 1])
    assert timing.median_ratio([1, 8, 3], [1, 2, 1]) == 3


def test_the_page_of_benchmarks_names_every_script():
    page = (FOLDER / "README.md").read_text("utf-8")
    assert [name for name in SCRIPTS if f"`{name}.py`" not in page] == []
