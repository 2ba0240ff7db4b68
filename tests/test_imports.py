"""Imports run one way, and importing a package stays fast."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# The rooms of each package, from the ground up: a file or folder may import from the
# floors below its own, and within its own folder.
FLOORS = {
    "illustkit": [
        {"_keras_compat", "_moved", "errors", "deprecation"},
        {"files", "runtime", "options", "progress"},
        {"_lazy"},
        {"cluster", "engines", "images", "exported", "tables", "tensors", "yolo"},
        {"samples", "training", "figures", "cli", "state_dicts"},
        {"web"},
    ],
    "oppai": [
        {"layers", "losses", "metrics"},
        {"censoring"},
        {"data"},
        {"models", "detection", "pixiv"},
        {"inference"},
        {"presets"},
        {"training", "evaluation", "translation"},
        {"pages"},
        {"cli"},
    ],
    "facescore": [
        {"boxes", "efficientnet_lite", "exported"},
        {"labels"},
        {"crops", "exchange"},
        {"detector"},
        {"scorer"},
        {"export", "ranking"},
        {"annotation", "synthetic"},
        {"cli", "pages"},
    ],
    "diffusion": [
        {"attributes", "schedules", "watermark"},
        {"process"},
        {"icons"},
        {"network"},
        {"gans"},
        {"sampling"},
        {"evaluation"},
        {"training"},
        {"experiment", "comparison"},
        {"pages"},
        {"cli"},
    ],
}
PACKAGES = tuple(FLOORS)
FILES = [p for name in PACKAGES for p in sorted((ROOT / name).rglob("*.py"))]
HEAVY = ("tensorflow", "jax", "keras", "cv2", "matplotlib", "PIL", "pixivpy3", "scipy")


def module_of(path: Path) -> str:
    """Return the dotted name of a file; a package's `__init__` has the package's."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or place.is_dir()


def imports_of(path: Path, top_level: bool = False) -> set[str]:
    """Return every module that a file imports, relative imports resolved."""
    tree = ast.parse(path.read_text("utf-8"))
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    imported = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{module}.{alias.name}"
                ours = module.split(".")[0] in PACKAGES
                imported.add(name if ours and is_module(name) else module)
    return imported


def floor_of(module: str) -> int:
    package, *rooms = module.split(".")
    if not rooms or rooms[0] in ("__main__", "__init__"):
        return len(FLOORS[package])
    for floor, names in enumerate(FLOORS[package]):
        if rooms[0] in names:
            return floor
    raise AssertionError(f"{module} is in no room: add it to FLOORS")


def test_the_reader_of_imports_sees_every_form(tmp_path, monkeypatch):
    """Worked by hand: absolute, of a sub-module, relative, inside a function."""
    place = tmp_path / "oppai" / "models"
    place.mkdir(parents=True)
    (tmp_path / "oppai" / "layers.py").touch()
    (place / "unet.py").touch()
    file = place / "new.py"
    file.write_text(
        "import os.path\nfrom oppai import layers\nfrom . import unet\n"
        "from ..layers import PConv2D\nfrom .unet import x as y\n"
        "def f():\n    from keras import ops\n    import cv2\n"
    )
    monkeypatch.setattr("tests.test_imports.ROOT", tmp_path)
    ours = {"oppai.layers", "oppai.models.unet"}
    assert imports_of(file) == {"os.path", "keras", "cv2", *ours}
    assert imports_of(file, top_level=True) == {"os.path", *ours}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    module = module_of(path)
    package, *rooms = module.split(".")
    for name in imports_of(path):
        other, *other_rooms = name.split(".")
        if other not in PACKAGES:
            continue
        if other != package:
            assert other == "illustkit", f"{module} imports its sibling {name}"
        elif rooms and other_rooms and rooms[0] != other_rooms[0]:
            assert floor_of(name) < floor_of(module), f"{module} imports {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_files_of_a_room_import_one_another_in_a_circle(package):
    graph = {
        module_of(path): imports_of(path)
        for path in FILES
        if path.relative_to(ROOT).parts[0] == package and path.name != "__init__.py"
    }
    remaining = {name: imported & set(graph) for name, imported in graph.items()}
    while leaves := [name for name, imported in remaining.items() if not imported]:
        for name in leaves:
            del remaining[name]
        for imported in remaining.values():
            imported.difference_update(leaves)
    assert not remaining


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_loads_a_backend_at_import(path):
    loaded = {name.split(".")[0] for name in imports_of(path, top_level=True)}
    assert not loaded & {"tensorflow", "jax", "matplotlib", "pixivpy3"}


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_nothing_heavy(package):
    code = f"import sys, {package}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_one_object_with_a_docstring(package):
    """Asked twice, and again after every sub-module is loaded."""
    module = __import__(package)
    assert module.__all__
    first = {name: getattr(module, name) for name in module.__all__}
    for path in FILES:
        name = module_of(path)
        if name.startswith(f"{package}.") and not name.endswith("__main__"):
            __import__(name)
    for name, value in first.items():
        assert getattr(module, name) is value, name
        assert getattr(value, "__doc__", None), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing
