"""The examples of docstrings and documents, found without an import."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

PACKAGES = ("illustkit", "oppai", "facescore", "diffusion")
_BLOCK = re.compile(r"```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Example:
    """One example, and where it stands.

    Args:
        file: Path relative to the repository.
        name: Qualified name of the function or class, or "" for a module's docstring;
            in a document the number of the block.
        source: The code, or the docstring if it is a doctest.
        is_doctest: Whether it is written with `>>>`.
        number: Place among the blocks of its docstring, from 1 on.
    """

    file: str
    name: str
    source: str
    is_doctest: bool = False
    number: int = 1

    @property
    def module(self) -> str | None:
        """Name of the module, or None in a document."""
        if not self.file.endswith(".py"):
            return None
        return self.file[: -len(".py")].replace("/", ".").removesuffix(".__init__")

    @property
    def key(self) -> str:
        """What tables call it: "oppai:PConv2D", or "docs/oppai.md:2"."""
        where = self.file if self.module is None else self.module.split(".")[0]
        return f"{where}:{self.name}" + (f":{self.number}" if self.number > 1 else "")

    @property
    def id(self) -> str:
        """Name of its test: "oppai.layers:PConv2D"."""
        return (
            f"{self.module}:{self.key.partition(':')[2]}" if self.module else self.key
        )


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the qualified name and the docstring of all that has one in a file."""

    def walk(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
        text = ast.get_docstring(node)  # type: ignore[arg-type]
        if text:
            yield name, text
        yield from inner(node, name)

    def inner(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from walk(child, f"{name}.{child.name}".lstrip("."))
            else:
                yield from inner(child, name)

    yield from walk(ast.parse(path.read_text("utf-8")), "")


def docstring_examples() -> list[Example]:
    """Return the examples of all docstrings of the four packages."""
    examples = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            file = path.relative_to(ROOT).as_posix()
            for name, text in docstrings(path):
                blocks = _BLOCK.findall(text)
                examples += [
                    Example(file, name, block, number=i)
                    for i, block in enumerate(blocks, 1)
                ]
                if re.search(r"^\s*>>> ", text, re.MULTILINE):
                    number = len(blocks) + 1
                    examples.append(Example(file, name, text, True, number))
    return examples


def document_examples() -> list[Example]:
    """Return the Python blocks of the README and of the documents."""
    examples = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        file = path.relative_to(ROOT).as_posix()
        for i, block in enumerate(_BLOCK.findall(path.read_text("utf-8")), 1):
            examples.append(Example(file, str(i), block))
    return examples


def count_marks() -> int:
    """Return how many examples the text of the files shows, without parsing it."""
    count = 0
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
            count += sum(line == "```python" for line in lines)
            prompts = [line.startswith(">>> ") for line in lines]
            ends = [not line for line in lines]
            shown = False
            for prompt, end in zip(prompts, ends, strict=True):
                count += prompt and not shown
                shown = (shown or prompt) and not end
    return count
