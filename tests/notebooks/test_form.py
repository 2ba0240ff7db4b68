"""What every notebook looks like, seen without running it."""

import ast
import base64
import importlib
import re
from urllib.parse import urlsplit

import nbformat
import pytest

import illustkit
from tests.conftest import ROOT
from tests.notebooks.reading import (
    FOLDER,
    NOTEBOOKS,
    code_cells,
    is_settings,
    parse,
    read,
)

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

INSTALL = f"""\
# @title Install
import importlib.util
from pathlib import Path

if importlib.util.find_spec("oppai") is None:  # TensorFlow and JAX stay as they are
    source = "https://github.com/illustkit/illustkit/archive/refs/tags/\
v{illustkit.__version__}.zip"
    if Path("illustkit/setup.cfg").exists():  # the project, cloned or uploaded here
        source = "./illustkit"
    %pip install -q {{source}}"""
DEVICE = """\
# @title Device
%matplotlib inline
import illustkit

illustkit.choose_backend()  # before anything imports Keras
print(illustkit.describe_devices())"""
NO_ACCELERATOR = {"oppai_dataset"}  # it moves files and runs no network

COLAB = "https://colab.research.google.com/"
MAIN = "github.com/illustkit/illustkit/blob/main/"
BADGE = "[![Open in Colab]({0}assets/colab-badge.svg)]({0}{1}notebooks/{2})"
LINK = re.compile(r"\]\(([^()\s]*)\)")
JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")


def texts(path):
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def test_it_is_valid_and_holds_no_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.nbformat == 4 and notebook.metadata.kernelspec.name == "python3"
    for cell in code_cells(path):
        assert cell.outputs == [] and cell.execution_count is None
    assert not {"widgets", "signature"} & set(notebook.metadata)


def test_it_begins_with_its_names_its_badge_and_its_time(path):
    first = texts(path)[0]
    lines = first.splitlines()
    assert read(path).cells[0].source == first
    assert lines[0].startswith("# ") and not JAPANESE.search(lines[0])
    assert lines[1].startswith("# ") and JAPANESE.search(lines[1])
    assert BADGE.format(COLAB, MAIN.replace("github.com", "github", 1), path.name) in (
        lines
    )
    assert re.search(r"\b(minutes?|hours?)\b", first)


def test_every_heading_has_a_japanese_one_and_a_summary(path):
    for text in texts(path):
        headings = [line for line in text.splitlines() if line.startswith("#")]
        assert any(JAPANESE.search(line) for line in headings), text
        below = [line for line in text.splitlines() if not line.startswith("#")]
        assert any(JAPANESE.search(line) for line in below), text
    assert "next steps" in texts(path)[-1].splitlines()[0].lower()


def test_its_links_are_https_or_lead_to_a_file(path):
    links = [link for text in texts(path) for link in LINK.findall(text)]
    links += re.findall(r"https?:[^\s\"')>]+", "\n".join(texts(path)))
    held = {name for cell in read(path).cells for name in cell.get("attachments", ())}
    for link in links:
        url = urlsplit(link)
        if url.scheme == "attachment":
            assert url.path in held
        elif url.scheme:
            assert url.scheme == "https" and re.fullmatch(r"[\w.-]+\.\w+", url.netloc)
            assert not url.port and re.fullmatch(r"[!-~]+", link), link
        elif url.path:
            assert (FOLDER / url.path).exists(), link
        for start in (f"https://{MAIN}", COLAB + MAIN.replace(".com", "", 1)):
            if link.startswith(start):
                assert (ROOT / url.path.split("/blob/main/")[1]).exists(), link


def test_a_picture_that_it_begins_with_is_the_guides_and_credited(path):
    cell = read(path).cells[0]
    held = cell.get("attachments", {})
    assert ("faces.jpg" in held) == (path.stem == "facescore")
    for name, data in held.items():
        shown = base64.b64decode(data["image/jpeg"])
        assert shown == (ROOT / "docs" / "images" / name).read_bytes()
        assert "David Revoy, www.peppercarrot.com, CC BY 4.0" in cell.source


def test_it_installs_first_and_then_looks_for_devices(path):
    install, device = code_cells(path)[:2]
    assert install.source == INSTALL
    if path.stem not in NO_ACCELERATOR:
        assert device.source == DEVICE
    for cell in code_cells(path)[1:]:
        installs = re.findall(r"pip3? install[^\n]*", cell.source)
        assert not any(re.search("tensorflow|keras|jax|numpy", i) for i in installs)


def test_its_settings_are_one_cell_of_values(path):
    found = [cell for cell in code_cells(path) if is_settings(cell)]
    assert len(found) == 1
    (settings,) = found
    assert settings.source.startswith("# @title Settings\n")
    for line in settings.source.splitlines()[1:]:
        assert re.search(r"# @param ([{\[].*)$", line) or not re.match(r"\w+ =", line)
    cells = code_cells(path)
    assert cells.index(settings) == (1 if path.stem in NO_ACCELERATOR else 2)


def test_its_code_is_short_and_mounts_drive_only_if_asked(path):
    for cell in code_cells(path):
        tree = parse(cell.source)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.end_lineno - node.lineno < 10, node.name
        at_once = [ast.unparse(node) for node in tree.body if not has_block(node)]
        assert not any("google.colab" in line and "import" in line for line in at_once)


def has_block(node):
    return isinstance(node, ast.If | ast.Try)


def test_it_uses_public_names_alone(path):
    """`from oppai import name` and `oppai.name`, of names that the package exports."""
    packages = {"illustkit", "oppai", "facescore", "diffusion"}
    for node in ast.walk(parse("\n".join(cell.source for cell in code_cells(path)))):
        names = []
        if isinstance(node, ast.Import):
            ours = [a.name for a in node.names if a.name.split(".")[0] in packages]
            assert packages.issuperset(ours), ours
        elif isinstance(node, ast.ImportFrom):
            if node.module.split(".")[0] in packages:
                assert node.module in packages, node.module
                names = [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [(node.value.id, node.attr)]
        for package, name in names:
            if package in packages:
                assert name in importlib.import_module(package).__all__, name
