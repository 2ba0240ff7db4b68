"""Run a command line in this process, and see what a fresh process imports."""

import functools
import os
import subprocess
import sys

from typer.testing import CliRunner

from tests.conftest import ROOT


def run(app, *arguments):
    """Run a Typer app; return its `Result`.

    Args:
        app: The app.
        *arguments: Words of the command line; paths and numbers may stand for them.
    """
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(app, *arguments):
    """Run a Typer app that has to succeed; return what it prints to stdout.

    Raises:
        Exception: What the app raised.
    """
    result = run(app, *arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def commands_of(app):
    """Return `run` and `done` of one app."""
    return functools.partial(run, app), functools.partial(done, app)


def imported(code, *modules, cwd=None, without=()):
    """Return which of some modules a fresh process has imported after some code.

    Args:
        code: Statements.
        *modules: Their names.
        cwd: Folder that it runs in. Defaults to this one.
        without: Names of environment variables that it does not have.
    """
    code += f"\nimport sys\nprint(*{set(modules)!r} & set(sys.modules))"
    variables = {k: v for k, v in os.environ.items() if k not in without}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=variables | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.splitlines()[-1].split())
