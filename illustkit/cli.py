"""What the three command lines share: their style, and errors in one line."""

import contextlib
import contextvars
import io
import re
import sys
import traceback as python_traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from illustkit.errors import as_user_error
from illustkit.runtime import missing_backend, silence_tensorflow

_TRACEBACK = contextvars.ContextVar("traceback", default=False)
_COMMAND = contextvars.ContextVar[Any]("command", default=None)


class _Group(TyperGroup):
    """Takes `--traceback` before the command, and after it as well."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        if ctx.parent is None and "--traceback" in args[:end]:
            options = [arg for arg in args[:end] if arg != "--traceback"]
            args = ["--traceback", *options, *args[end:]]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        _COMMAND.set(command)
        return command


def app_with(text: str, *, command: str | None = None) -> typer.Typer:
    """Return a Typer app in the style of this project.

    Args:
        text: What the command is for, in one line.
        command: Name of the command, of a whole command line: adds `--version`,
            `--traceback`, `--install-completion` and `--show-completion`. Defaults to
            none: a group of sub-commands.

    Returns:
        `typer.Typer`.
    """
    app = typer.Typer(
        cls=_Group,
        no_args_is_help=True,
        add_completion=command is not None,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
        help=text,
    )

    def print_version(value: bool) -> None:
        if value:
            from illustkit import __version__

            typer.echo(f"{command} {__version__}")
            raise typer.Exit

    def options(
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                callback=print_version,
                is_eager=True,
                help="Show the version and exit.",
            ),
        ] = False,
        traceback: Annotated[
            bool,
            typer.Option(
                "--traceback", help="Show where in the program an error arose."
            ),
        ] = False,
    ) -> None:
        _TRACEBACK.set(traceback)
        print_any_name()
        silence_tensorflow()

    if command is not None:
        app.callback(help=text)(options)
    return app


def print_any_name() -> None:
    """Let a terminal of any encoding print any text: it escapes what it lacks.

    Names of files may be bytes that are no text, and a terminal of code page 932 or
    ASCII has no dash. No work is lost to a `print`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


# Of the commands that serve a page.
LOOPBACK = "127.0.0.1"
Host = Annotated[
    str,
    typer.Option(
        help="Address to listen on. Any but 127.0.0.1 lets other machines use the page "
        "that have its token."
    ),
]
# Of the commands that train.
EarlyStopping = Annotated[
    int | None,
    typer.Option(
        help="Epochs after the best one on held-out pictures, at which it ends."
    ),
]
TensorBoard = Annotated[
    bool,
    typer.Option(
        "--tensorboard",
        help="Write the numbers of each epoch for TensorBoard, into the run.",
    ),
]


def given(**options: Any) -> dict[str, Any]:
    """Return those of the options that were given, as a dict."""
    return {name: value for name, value in options.items() if value is not None}


@contextlib.contextmanager
def user_errors(command: str, *, goes_on: bool = True) -> Iterator[None]:
    """Turn a mistake of the user into a clear line and exit code 2.

    An error with a list `problems` has each of them in a line of its own. A missing
    backend of Keras, a full disk and the like count as mistakes that the user can fix,
    see `illustkit.errors.as_user_error`. Any other exception is a bug and leaves with
    its traceback. With `--traceback` a mistake shows its traceback too.

    Example:
    ```python
    with user_errors("oppai"):
        restore(path)
    ```

    Args:
        command: Name of the command, which begins each line.
        goes_on: Whether a second run keeps what a stopped one has done, as it then
            says. Defaults to `True`.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of a pipe has had enough: Typer ends in silence
    except KeyboardInterrupt:
        again = "goes on from here" if goes_on else "begins anew"
        _fail(command, [f"stopped. The same command {again}."], 130)
    except ModuleNotFoundError as error:
        if (advice := missing_backend(error)) is None:
            raise
        _fail(command, [advice], 2)
    except Exception as error:
        if (problem := as_user_error(error)) is None:
            raise
        _fail(command, problem.problems, 2)


def end_with_left_out(command: str, left_out: Sequence[str]) -> None:
    """End a run over many files with exit code 1 if some of them failed.

    Example:
    ```python
    left_out = []                           # or ["a.png: is empty. Fetch it again."]
    end_with_left_out("oppai", left_out)    # nothing, or the line and exit code 1
    ```

    Args:
        command: Name of the command, which begins each line.
        left_out: A line for each file that was left out; an empty list does nothing.
    """
    if left_out:
        _fail(command, left_out, 1)


def tell(command: str, lines: Sequence[str]) -> None:
    """Print lines on stderr, with the names of options as they are typed.

    Example:
    ```python
    tell("oppai", ["a.png: exists already; `overwrite` replaces it."])
    ```

    Args:
        command: Name of the command, which begins each line.
        lines: The lines.
    """
    for text in lines:
        line = _as_typed(" ".join(text.split()))
        typer.echo(f"{command}: {line}", err=True)


def _as_typed(line):
    """Name the options of the command as they are typed: --batch-size."""
    options = {
        parameter.name: max(parameter.opts, key=len)
        for parameter in getattr(_COMMAND.get(), "params", [])
        if parameter.opts[0].startswith("-")
    }
    return re.sub(r"`(\w+)`", lambda m: options.get(m[1], m[0]), line)


def _fail(command, problems, code):
    if _TRACEBACK.get() and sys.exc_info()[1] is not None:
        python_traceback.print_exc()
    tell(command, problems)
    raise typer.Exit(code) from None


@contextlib.contextmanager
def progress_bar(
    total: int | None, unit: str = "picture"
) -> Iterator[Callable[[int], None]]:
    """Show a bar, and give a function of the number done.

    Args:
        total: Number in all, or `None` if it is unknown.
        unit: What is counted. Defaults to "picture".
    """
    from tqdm import tqdm

    bars: list[Any] = []

    def progress(done: int) -> None:
        if not bars:  # none above an error that comes before the work
            bars.append(tqdm(total=total, unit=unit))
        bars[0].update(done - bars[0].n)

    try:
        yield progress
    finally:
        for bar in bars:
            bar.close()
