import ast
import subprocess
import sys

import pytest

from illustkit._lazy import attach_stub
from tests.conftest import ROOT

PACKAGES = ("illustkit", "oppai", "facescore", "diffusion")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a room, a public name of it, and a module that cannot load."""
    folder = tmp_path / "lazy_sample"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from illustkit._lazy import attach_stub\n"
        "__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)\n"
    )
    (folder / "__init__.pyi").write_text(
        "from . import room as room\nfrom .room import Thing as Thing\n"
        "from .broken import other as other\n"
    )
    (folder / "room.py").write_text("class Thing: pass\n")
    (folder / "broken.py").write_text("import nowhere_to_be_had\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [n for n in sys.modules if n.split(".")[0] == folder.name]:
        del sys.modules[name]


def test_the_stub_says_what_there_is(package):
    module = __import__(package)
    assert module.__all__ == ["Thing", "other", "room"] == dir(module)
    assert f"{package}.room" not in sys.modules
    assert module.Thing is module.room.Thing is module.Thing
    with pytest.raises(AttributeError, match=f"'{package}' has no attribute 'nothing'"):
        _ = module.nothing
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_had"):
        _ = module.other


def test_a_package_without_a_stub_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="stub"):
        attach_stub("lazy_sample", str(tmp_path / "__init__.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_are_there_after_the_import_of_the_package(package):
    """In a process of its own, where nothing has imported them yet."""
    room = {"illustkit": "images", "oppai": "presets", "facescore": "boxes"}
    name = f"{package}.{room.get(package, 'schedules')}"
    code = f"import {package}; print({name}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == name, done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_bears_the_name_of_what_a_package_exports(package):
    """`package.name` would be either of the two, by the order of imports."""
    folder = ROOT / package
    modules = {path.stem for path in folder.iterdir()}
    nodes = ast.parse((folder / "__init__.pyi").read_text("utf-8")).body
    exported = [
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
    ]
    assert len(exported) > 10 and not modules & set(exported)
    assert len(set(exported)) == len(exported)
