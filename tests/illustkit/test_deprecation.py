"""Old keywords and options work as the new ones, and say so."""

import pytest
import typer
from typer.testing import CliRunner

from illustkit.deprecation import keyword_aliases, renamed_keywords, renamed_options


@renamed_keywords(out="output", size="image_size")
def write(path, *, output=None, image_size=8):
    """Return the arguments."""
    return path, output, image_size


def test_an_old_keyword_is_passed_on_with_a_warning():
    assert write("a", output="b") == ("a", "b", 8)
    with pytest.warns(DeprecationWarning, match="`out` is deprecated: use `output`"):
        assert write("a", out="b") == ("a", "b", 8)
    with pytest.warns(DeprecationWarning) as caught:
        assert write("a", out="b", size=4) == ("a", "b", 4)
    # The warning points at the caller.
    assert {warning.filename for warning in caught} == {__file__}
    assert write.__name__ == "write" and write.__doc__ == "Return the arguments."


def test_both_names_at_once_are_refused():
    with pytest.raises(TypeError, match="old name of `output`"):
        write("a", out="b", output="c")


def test_an_old_option_is_hidden_and_works():
    app = typer.Typer()

    @app.command(cls=renamed_options(out="output", dry="dry_run"))
    def command(name: str, output: str = "-", dry_run: bool = False):
        typer.echo(f"{name} {output} {dry_run}")

    run = CliRunner().invoke
    assert run(app, ["a", "--output", "b"]).stdout == "a b False\n"
    for arguments in (["a", "--out", "b", "--dry"], ["--dry", "--out=b", "a"]):
        result = run(app, arguments)
        assert result.exit_code == 0 and result.stdout == "a b True\n"
        assert "--out is deprecated: use --output." in result.stderr
    # What follows "--" is an argument.
    assert run(app, ["--", "--out"]).stdout == "--out - False\n"
    listed = run(app, ["--help"]).stdout
    assert "--output" in listed and "--out " not in listed


def test_another_librarys_keyword_is_an_alias_without_a_warning(recwarn):
    @keyword_aliases(imgsz="image_size")
    def detect(image, *, image_size=640):
        return image, image_size

    assert detect(1, imgsz=320) == detect(1, image_size=320) == (1, 320)
    assert not recwarn.list
    with pytest.raises(TypeError, match="give `image_size` alone"):
        detect(1, imgsz=320, image_size=320)
