import importlib
import importlib.util
import sys

import pytest

from illustkit._moved import moved_modules


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose module `new.place` was `old`, and which still has `stays`."""
    folder = tmp_path / "moved_sample"
    (folder / "new").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "stays.py").write_text("class Stays: pass\n")
    (folder / "new" / "__init__.py").write_text("")
    (folder / "new" / "place.py").write_text("class Thing: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield folder.name
    for name in [n for n in sys.modules if n.split(".")[0] == folder.name]:
        del sys.modules[name]


def test_an_old_path_gives_the_module_in_its_new_place(package):
    moved_modules(package, {"old": "new.place"})
    assert f"{package}.new.place" not in sys.modules, "nothing is imported before"
    old = importlib.import_module(f"{package}.old")
    new = importlib.import_module(f"{package}.new.place")
    assert old is new and old.Thing is new.Thing
    assert new.__name__ == new.__spec__.name == f"{package}.new.place"
    assert importlib.import_module(f"{package}.old") is new
    assert importlib.reload(new) is new


def test_only_the_listed_names_are_found(package):
    moved_modules(package, {"old": "new.place"})
    assert importlib.util.find_spec(f"{package}.old") is not None
    assert importlib.util.find_spec(f"{package}.older") is None
    with pytest.raises(ModuleNotFoundError, match="older"):
        importlib.import_module(f"{package}.older")


def test_a_module_that_exists_wins(package):
    moved_modules(package, {"stays": "new.place"})
    module = importlib.import_module(f"{package}.stays")
    assert module.__name__ == f"{package}.stays" and hasattr(module, "Stays")


def test_a_second_call_adds_names_and_no_finder(package):
    moved_modules(package, {"old": "new.place"})
    n = len(sys.meta_path)
    moved_modules(package, {"older": "new.place"})
    moved_modules(package, {"older": "new.place"})
    assert len(sys.meta_path) == n
    first = importlib.import_module(f"{package}.old")
    assert importlib.import_module(f"{package}.older") is first


def test_a_new_place_that_is_missing_is_named(package):
    moved_modules(package, {"old": "new.nowhere"})
    with pytest.raises(ModuleNotFoundError, match=r"new\.nowhere"):
        importlib.import_module(f"{package}.old")


def test_a_module_that_moved_to_illustkit_is_found(package):
    moved_modules(package, {"old": "illustkit.training.presets"})
    old = importlib.import_module(f"{package}.old")
    assert old is importlib.import_module("illustkit.training.presets")
