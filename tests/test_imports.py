"""Imports run one way, and importing a package stays fast."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PACKAGES = ("illustkit", "oppai", "facescore", "diffusion")
SOURCES = [p for name in PACKAGES for p in sorted((ROOT / name).rglob("*.py"))]
# What a file of data, losses or metrics may not know: anything with weights.
NETWORK = {"layers", "transposed", "unet", "_stages", "_partial", "restorer"}
NETWORK |= {"training", "restoring", "demo"}
KNOW_NO_NETWORK = ("dataset", "batches", "censor", "patches", "losses", "metrics")


def imports_of(path, top_level=False):
    """Every module that a file imports, as "package.module"."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = tree.body if top_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    package = path.relative_to(ROOT).parts[0]
    allowed = {package, "illustkit"}
    others = {name.split(".")[0] for name in imports_of(path)} & set(PACKAGES)
    assert others <= allowed, f"siblings import one another: {others - allowed}"
    at_import = {name.split(".")[0] for name in imports_of(path, top_level=True)}
    assert not at_import & {"tensorflow", "jax", "matplotlib", "pixivpy3"}


@pytest.mark.parametrize("name", KNOW_NO_NETWORK)
def test_data_losses_and_metrics_know_no_network(name):
    known = {
        m.split(".")[1] for m in imports_of(ROOT / "oppai" / f"{name}.py") if "." in m
    }
    assert not known & NETWORK


def test_layers_unet_and_restorer_build_on_one_another():
    def oppai_imports(name):
        found = imports_of(ROOT / "oppai" / f"{name}.py")
        return {m.split(".")[1] for m in found if m.startswith("oppai.")}

    assert not oppai_imports("layers") & {"unet", "_stages", "restorer", "training"}
    assert not oppai_imports("unet") & {"restorer", "training", "losses"}
    assert "unet" in oppai_imports("restorer")
    assert "training" not in oppai_imports("restorer")


@pytest.mark.parametrize("package", ["illustkit", "oppai", "facescore", "diffusion"])
def test_importing_a_package_loads_nothing_heavy(package):
    heavy = ("keras", "tensorflow", "jax", "cv2", "matplotlib", "PIL", "pixivpy3")
    code = f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("package", ["illustkit", "oppai", "facescore", "diffusion"])
def test_every_public_name_can_be_had(package):
    module = __import__(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing
