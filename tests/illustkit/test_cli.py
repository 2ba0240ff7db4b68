import errno
import os
import subprocess
import sys
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

import illustkit
from illustkit.cli import (
    LOOPBACK,
    Host,
    app_with,
    end_with_left_out,
    given,
    progress_bar,
    user_errors,
)
from illustkit.errors import DivergedError, UserError

app = app_with("Do one thing or another.", command="sample")
group = app_with("Things of a group.")
app.add_typer(group, name="group")


@app.command()
def fail(kind: str = "user"):
    """Fail in some way."""
    errors = {
        "user": UserError(["a.png: is\n empty.", "b.png: is no file."]),
        "value": UserError("`x` is positive. Received: -1"),
        "os": PermissionError(errno.EACCES, "Permission denied", "out/a.png"),
        "full": OSError(errno.ENOSPC, "No space left on device"),
        "memory": MemoryError("Unable to allocate 40 GiB"),
        "nan": DivergedError("The loss became nan."),
        "stop": KeyboardInterrupt(),
        "bug": ValueError("a bug"),
        "odd": OSError("a library's own"),
        "key": KeyError("a bug"),
    }
    with user_errors("sample"):
        raise errors[kind]


@group.command()
def inner(file: str):
    """Print a name."""
    print(file)


@group.command()
def train(size: Annotated[int, typer.Option("--batch", "-b")] = 0, seed: int = 0):
    """Refuse an option."""
    with user_errors("sample"):
        raise UserError("take a smaller `size`, or another `seed` or `network`.")


@app.command()
def page(host: Host = LOOPBACK):
    """Serve a page."""
    print(host)


@group.command()
def second():
    """Fail in a group."""
    fail()


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_version():
    done = run("--version")
    assert (done.exit_code, done.output) == (0, f"sample {illustkit.__version__}\n")


@pytest.mark.parametrize(
    "arguments", [("-h",), ("fail", "-h"), ("group", "inner", "-h")]
)
def test_help_has_a_short_name(arguments):
    done = run(*arguments)
    assert done.exit_code == 0 and "-h, --help" in done.output


def test_a_page_listens_on_this_machine_alone_unless_told():
    assert run("page").output == "127.0.0.1\n"
    assert run("page", "--host", "0.0.0.0").output == "0.0.0.0\n"
    assert "that have its token" in " ".join(run("page", "--help").output.split())


def test_help_lists_what_every_command_line_has():
    done = run("--help")
    for text in (
        *("--version", "--traceback", "--install-completion", "--show-completion"),
        *("Do one thing or another.", "fail", "Things of a group."),
    ):
        assert text in done.output
    inner_help = run("group", "--help").output
    assert "--version" not in inner_help and "Things of a group." in inner_help
    assert run().exit_code == 2 or "Usage" in run().output


@pytest.mark.parametrize(
    "kind, code, lines",
    [
        ("user", 2, ["sample: a.png: is empty.", "sample: b.png: is no file."]),
        ("value", 2, ["sample: `x` is positive. Received: -1"]),
        (
            "os",
            2,
            [
                "sample: out/a.png: permission denied. Change its permissions, or name "
                "another place."
            ],
        ),
        (
            "full",
            2,
            [
                "sample: No space left on device: no space is left on the disk. Free "
                "some, and run it again."
            ],
        ),
        (
            "memory",
            2,
            [
                "sample: not enough memory (Unable to allocate 40 GiB). Take smaller "
                "pictures or batches."
            ],
        ),
        ("nan", 2, ["sample: The loss became nan."]),
        ("stop", 130, ["sample: stopped. The same command goes on from here."]),
    ],
)
def test_mistakes_are_one_line_each(kind, code, lines):
    done = run("fail", "--kind", kind)
    assert (done.exit_code, done.output.splitlines()) == (code, lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--traceback", "fail"),
        ("fail", "--traceback"),
        ("fail", "--traceback", "--kind", "value"),
        ("group", "second", "--traceback"),
    ],
)
def test_the_traceback_comes_where_it_is_asked_for(arguments):
    done = run(*arguments)
    assert done.exit_code == 2
    assert "Traceback (most recent call last)" in done.output
    assert done.output.splitlines()[-1].startswith("sample: ")


def test_a_name_after_two_dashes_stays_a_name():
    done = run("group", "inner", "--", "--traceback")
    assert (done.exit_code, done.output) == (0, "--traceback\n")


@pytest.mark.parametrize(
    "kind, error", [("bug", ValueError), ("odd", OSError), ("key", KeyError)]
)
def test_a_bug_is_not_hidden(kind, error):
    done = run("fail", "--kind", kind)
    assert (done.exit_code, type(done.exception), done.output) == (1, error, "")


def test_files_that_failed_end_a_run_with_1(capsys):
    end_with_left_out("sample", [])
    with pytest.raises(typer.Exit) as stop:
        end_with_left_out("sample", ["a.png: is\nempty.", "b.png: is cut short."])
    assert stop.value.exit_code == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["sample: a.png: is empty.", "sample: b.png: is cut short."]


def test_small_helpers():
    assert given(a=0, b=None, c="") == {"a": 0, "c": ""}
    with progress_bar(3) as progress:
        progress(2)
        progress(3)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_the_commands(shell):
    code = "from tests.illustkit.test_cli import app; app(prog_name='sample')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "_SAMPLE_COMPLETE": f"complete_{shell}",
            "_TYPER_COMPLETE_ARGS": "sample fa",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "COMP_WORDS": "sample fa",
            "COMP_CWORD": "1",
            "PATH": "",
        },
        capture_output=True,
        text=True,
    )
    assert "fail" in done.stdout, done.stderr


NAMES_ANYTHING = """
import os, typer
from illustkit.cli import Host, app_with, user_errors
from illustkit.errors import UserError
app = app_with("A test.", command="test")

@app.command()
def show():
    with user_errors("test"):
        print("a \\u2013 \\u7d75", os.fsdecode(b"\\x8aG.png"))
        typer.echo("\\u7d75", err=True)
        raise UserError(os.fsdecode(b"\\x8aG.png: damaged \\u2013 fetch it"))

@app.command()
def flood():
    with user_errors("test"):
        for i in range(100000):
            print("line", i)

app()
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "cp1252", "utf-8"])
def test_terminals_of_any_encoding_print_names_of_any_bytes(tmp_path, encoding):
    script = tmp_path / "anything.py"
    script.write_text(NAMES_ANYTHING)
    done = subprocess.run(
        [sys.executable, script, "show"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )
    assert done.returncode == 2
    assert b"G.png" in done.stdout and b"Traceback" not in done.stderr
    assert b"G.png: damaged" in done.stderr
    picture = "\u7d75".encode(encoding, "backslashreplace")
    assert picture in done.stdout


def test_a_reader_who_has_had_enough_is_no_error(tmp_path):
    script = tmp_path / "anything.py"
    script.write_text(NAMES_ANYTHING)
    command = f"{sys.executable} {script} flood | head -2"
    done = subprocess.run(command, shell=True, capture_output=True)
    assert done.stdout == b"line 0\nline 1\n"
    assert done.stderr == b""


def test_errors_name_options_as_they_are_typed():
    done = run("group", "train", "--batch", "9")
    assert done.output == (
        "sample: take a smaller --batch, or another --seed or `network`.\n"
    )
