"""Old module paths that still import after their files have moved."""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def moved_modules(package: str, homes: dict[str, str]) -> None:
    """Let the modules of an older version be imported by their old paths.

    A `.keras` file records the module path of each class in it, and code that loads
    such a file imports that path first, so that Keras knows the class. After the call,
    an old path gives the very module that holds the class now. Nothing is imported
    until the path is asked for, and a module that exists under the path wins.

    Example:
    ```python
    moved_modules("oppai", {"restorer": "models.restorers"})
    import oppai.restorer  # the module oppai.models.restorers
    ```

    Args:
        package: The package's `__name__`.
        homes: Dict from a module's old path to its present one, both without the
            package; a path that begins with "illustkit." is one of that package. A
            second call adds to the first.
    """
    for old, new in homes.items():
        home = new if new.startswith("illustkit.") else f"{package}.{new}"
        _FINDER.homes[f"{package}.{old}"] = home
    if _FINDER not in sys.meta_path:
        # Last, so that the import of a module that exists never asks it.
        sys.meta_path.append(_FINDER)


class _MovedFinder(MetaPathFinder):
    """Finds the old paths in `homes`, a dict from the old full path to the new one."""

    def __init__(self) -> None:
        self.homes: dict[str, str] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        home = self.homes.get(fullname)
        return None if home is None else ModuleSpec(fullname, _MovedLoader(home))


class _MovedLoader(Loader):
    """Puts the module at `home` in the place of the one that the old path asks for."""

    def __init__(self, home: str) -> None:
        self.home = home

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes what stands in `sys.modules` after this call.
        sys.modules[module.__name__] = importlib.import_module(self.home)


_FINDER = _MovedFinder()
