"""Old names of keywords and options that still work for a release."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def renamed_keywords(**names: str) -> Callable[[Function], Function]:
    """Return a decorator that accepts old keywords of a function, with a warning.

    Example:
    ```python
    @renamed_keywords(dtype="precision")
    def load(run, *, precision="float32"):
        ...

    load("runs/first", dtype="mixed_bfloat16")  # DeprecationWarning
    ```

    Args:
        **names: The new name of each old keyword.
    """
    return _with_names(names, deprecated=True)


def keyword_aliases(**names: str) -> Callable[[Function], Function]:
    """Return a decorator that accepts another library's keywords, without a warning.

    Example:
    ```python
    @keyword_aliases(imgsz="image_size")  # Ultralytics' name
    def detect(image, *, image_size=640):
        ...

    detect(image, imgsz=320)
    ```

    Args:
        **names: The name here of each of the other library's keywords.
    """
    return _with_names(names, deprecated=False)


def _with_names(names, *, deprecated):
    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args, **kwargs):
            for old, new in names.items():
                if old not in kwargs:
                    continue
                if new in kwargs:
                    kind = "the old" if deprecated else "another"
                    raise TypeError(
                        f"`{old}` is {kind} name of `{new}`: give `{new}` alone."
                    )
                if deprecated:
                    warnings.warn(
                        f"`{old}` is deprecated: use `{new}`.",
                        DeprecationWarning,
                        stacklevel=2,
                    )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]  # `wraps` keeps the signature

    return decorate


def renamed_options(**names: str) -> Any:
    """Return a class of Typer commands that accepts old options, hidden from the help.

    Example:
    ```python
    @app.command(cls=renamed_options(out="output"))  # --out is now --output
    def restore(output: Path): ...
    ```

    Args:
        **names: The new name of each old option, both with underscores.
    """
    import typer
    from typer.core import TyperCommand

    options = {
        f"--{old.replace('_', '-')}": f"--{new.replace('_', '-')}"
        for old, new in names.items()
    }

    class RenamedOptions(TyperCommand):
        def parse_args(self, ctx, args):
            end = args.index("--") if "--" in args else len(args)
            for i, argument in enumerate(args[:end]):
                name, equals, value = argument.partition("=")
                if name in options:
                    new = options[name]
                    typer.echo(f"{name} is deprecated: use {new}.", err=True)
                    args[i] = new + equals + value
            return super().parse_args(ctx, args)

    return RenamedOptions
