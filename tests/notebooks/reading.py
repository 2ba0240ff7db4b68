"""What the tests of the notebooks read from them."""

import ast

import nbformat

from tests.conftest import ROOT

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PARAMETERS = "parameters"


def read(path):
    """A notebook as it stands in the repository."""
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(path):
    """Its code cells, in order."""
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def is_settings(cell):
    """Whether a cell holds what a user may set."""
    return PARAMETERS in cell.metadata.get("tags", [])


def parse(source):
    """The syntax tree of a cell; lines of IPython's own become nothing."""
    lines = [
        f"{line[: len(line) - len(line.lstrip())]}pass"
        if line.lstrip().startswith(("%", "!"))
        else line
        for line in source.splitlines()
    ]
    return ast.parse("\n".join(lines))


def assigned(cell):
    """Names that a cell assigns at its top level."""
    targets = [
        t for node in parse(cell.source).body for t in getattr(node, "targets", [])
    ]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def titled(path, title):
    """The source of the code cell with a title."""
    first = f"# @title {title}\n"
    (source,) = [c.source for c in code_cells(path) if c.source.startswith(first)]
    return source


def execute(source, space):
    """Run a cell's plain Python here, in the names of `space`."""
    exec(compile(source, "cell", "exec"), space)  # noqa: S102
