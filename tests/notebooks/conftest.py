import sys
import types
from pathlib import Path

import pytest


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """A Colab whose Drive is a folder, and where `colab.uploads` is uploaded."""
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("google.colab")
    module.uploads, module.downloads = {}, []
    module.drive = types.SimpleNamespace(
        mount=lambda path: Path(path, "MyDrive").mkdir(parents=True, exist_ok=True)
    )
    module.files = types.SimpleNamespace(
        upload=lambda: module.uploads, download=module.downloads.append
    )
    google = types.ModuleType("google")
    google.colab = module
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.colab", module)
    return module
