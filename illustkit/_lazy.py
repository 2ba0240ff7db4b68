"""Names that load their module on first use, so that importing a package is fast."""

import importlib

from illustkit.runtime import missing_backend


def lazy_exports(package, modules):
    """Return `__getattr__`, `__dir__` and `__all__` for a package (PEP 562).

    Example:
    ```python
    __getattr__, __dir__, __all__ = lazy_exports(__name__, {"images": ["read_image"]})
    ```

    Args:
        package: The package's `__name__`.
        modules: Dict from a module's name in the package to the names it gives.

    Returns:
        The three module attributes; nothing is imported until a name is asked for.
        Where Keras then finds no backend, the error says what to install.
    """
    home = {name: module for module, names in modules.items() for name in names}

    def load(name):
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{package}.{home[name]}")
        except ModuleNotFoundError as error:
            if (advice := missing_backend(error)) is None:
                raise
            raise ModuleNotFoundError(advice, name=error.name) from None
        return getattr(module, name)

    return load, lambda: sorted(home), sorted(home)
