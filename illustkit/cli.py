"""What the three command lines share: their style, and mistakes told in one line."""

import contextlib

import typer

from illustkit.runtime import missing_backend


def app_with(text):
    """A Typer app in the style of this project.

    Args:
        text: What the command is for, in one line.

    Returns:
        `typer.Typer`.
    """
    return typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help=text,
    )


def given(**options):
    """Those of the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


@contextlib.contextmanager
def user_errors(command):
    """Turn a user's mistake into a clear line and exit code 2.

    An error with a list `problems` has each of them in a line of its own. A missing
    backend of Keras counts as a mistake that the user can mend.

    Example:
    ```python
    with user_errors("oppai"):
        restore(path)
    ```

    Args:
        command: Name of the command, which begins each line.
    """
    try:
        yield
    except (ValueError, FloatingPointError, OSError) as error:
        for problem in getattr(error, "problems", None) or [str(error)]:
            typer.echo(f"{command}: {' '.join(problem.split())}", err=True)
        raise typer.Exit(2) from None
    except ModuleNotFoundError as error:
        if (advice := missing_backend(error)) is None:
            raise
        typer.echo(f"{command}: {advice}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo(f"{command}: stopped. The same command goes on from here.", err=True)
        raise typer.Exit(130) from None


@contextlib.contextmanager
def progress_bar(total, unit="picture"):
    """A bar as a function of the number done.

    Args:
        total: Number in all.
        unit: What is counted. Defaults to "picture".
    """
    from tqdm import tqdm

    with tqdm(total=total, unit=unit) as bar:
        yield lambda n: bar.update(n - bar.n)
