"""Add pages to the documentation that live elsewhere in the project.

Notebooks, model cards, benchmarks, CONTRIBUTING and CHANGELOG stay where people look
for them; the reference is made from the names that each package exports.
"""

import ast
import json
import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("illustkit", "oppai", "facescore", "diffusion")
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "oppai/weights/README.md": "model-cards/oppai.md",
    **{f"docs/{p.name}": p.name for p in (ROOT / "docs").glob("*.md")},
    **{
        f"notebooks/{p.name}": f"notebooks/{p.stem}.md"
        for p in (ROOT / "notebooks").glob("*.ipynb")
    },
}
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")


def on_files(files, config):
    """Add the generated pages to those in `docs/`."""
    for source, target in PAGES.items():
        if source.startswith("docs/"):
            continue
        text = (ROOT / source).read_text("utf-8")
        if source.endswith(".ipynb"):
            text = notebook_text(json.loads(text))
        text = move_links(text, source, target, config["repo_url"])
        files.append(File.generated(config, target, content=text))
    for package in PACKAGES:
        target = f"reference/{package}.md"
        files.append(File.generated(config, target, content=reference(package)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Let the pages in `docs/` link to files of the project, too."""
    source = f"docs/{page.file.src_uri}"
    if source in PAGES:
        return move_links(markdown, source, PAGES[source], config["repo_url"])
    return markdown


def notebook_text(notebook):
    """Return a notebook, which holds no outputs, as Markdown."""
    cells = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        cells.append(
            text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        )
    return "\n\n".join(cells) + "\n"


def move_links(text, source, target, repository):
    """Return `text` with its relative links as they are from the page `target`."""

    def moved(match):
        path = os.path.normpath(PurePosixPath(source).parent / match[2])
        if path in PAGES:
            path = os.path.relpath(PAGES[path], PurePosixPath(target).parent)
        elif path.startswith("docs/"):
            path = os.path.relpath(path[5:], PurePosixPath(target).parent)
        elif (ROOT / path).exists():
            path = f"{repository}/blob/main/{path}"
        return match[1] + path + match[3]

    return LINK.sub(moved, text)


def reference(package):
    """Return the reference page of a package: its exported names, room by room."""
    stub = ast.parse((ROOT / package / "__init__.pyi").read_text("utf-8"))
    rooms = {}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            room = node.module.split(".")[0]
            names = [(alias.name, f"{package}.{node.module}") for alias in node.names]
            rooms.setdefault(room, []).extend(names)
    lines = [f"# {package}", ""]
    for room, names in rooms.items():
        lines += [f"## {room.capitalize()}", ""]
        for name, module in names:
            lines += [f"::: {module}.{name}", "    options:"]
            lines += [
                f"      heading: {package}.{name}",
                f"      toc_label: {name}",
                "",
            ]
    return "\n".join(lines)
