"""Public names that load their module on first use, so that imports stay fast."""

from collections.abc import Callable
from typing import Any

import lazy_loader


def attach_stub(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `lazy_loader.attach_stub`, with advice where Keras finds no backend.

    Example:
    ```python
    __getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
    ```

    Args:
        package: The package's `__name__`.
        file: Its `__file__`; the `.pyi` beside it lists the rooms and public names.

    Returns:
        `__getattr__`, `__dir__` and `__all__` of the package (PEP 562); `__all__` has
        the public names alone.
    """
    load, names, _ = lazy_loader.attach_stub(package, file)

    def load_or_advise(name: str) -> Any:
        if name not in names():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return load(name)
        except ModuleNotFoundError as error:
            from illustkit.runtime import missing_backend

            if (advice := missing_backend(error)) is None:
                raise
            raise ModuleNotFoundError(advice, name=error.name) from None

    return load_or_advise, names, names()
