"""Write a page that makes icons on the visitor's own device, for any static host."""

from __future__ import annotations

import base64
import gzip
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusion.sampling.exporting import (
    describe_file,
    network_of,
    sampler_graph,
    sampling_table,
)
from diffusion.watermark import OPACITY, WATERMARK, add_watermark, mark_of
from illustkit.errors import UserError
from illustkit.files import (
    cache_folder,
    check_writable,
    expand_user,
    fetch_pinned,
    write_whole,
)

if TYPE_CHECKING:
    from diffusion.network.model import Diffuser
    from illustkit.training.runs import Run

VERSION = "1.30.0"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
LARGEST = 40_000_000  # bytes of the package
SCRIPT = "ort.wasm.min.js"
GLUE, WASM = "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"
PAGE = "index.html"
LICENCES = "LICENCES.txt"
HERE = Path(__file__).parent
FILES = "wishes.js", "icons.js", "icons.css"
ENLARGED = 128  # pixels of the shorter side that a watermark has room in


def export_web(
    model: Diffuser | Run | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    steps: int | None = None,
    watermark: str | None = WATERMARK,
    opacity: float = OPACITY,
    font: str | os.PathLike[str] | None = None,
    runtime: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a static page that makes icons in the visitor's browser.

    The page holds the model, its sampler and ONNX Runtime as WebAssembly, works from
    any static host and from the folder itself, and sends nothing. It has a drop-down
    for each attribute. ONNX Runtime's files come from its npm package, which is fetched
    once, by its SHA-256; their licences are written beside them.

    Example:
    ```python
    diffusion.export_web("runs/icons", "site", runtime="onnxruntime-web/dist")
    ```

    Args:
        model: See `diffusion.export`; of pictures of 1 or 3 channels.
        folder: Folder to write to: `index.html` and what it loads.
        steps: See `diffusion.export`.
        watermark: Text of the watermark and of the note in a saved PNG; `None` for
            neither. Defaults to "AI-generated".
        opacity: Opacity of the watermark, from 0 to 1. Defaults to 0.35.
        font: See `diffusion.add_watermark`. Defaults to one that has the letters.
        runtime: Folder of a local copy of npm's `onnxruntime-web`, or of its `dist`.
            Defaults to fetching the package.
        overwrite: Whether to replace a page that is there. Defaults to `False`.

    Returns:
        Path of the page.

    Raises:
        UserError: If the model has an alpha channel or takes any size, the package
            cannot be fetched, `runtime` lacks a file, or a page is there already.
    """
    folder = expand_user(folder)
    check_writable(folder)
    page = folder / PAGE
    if page.exists() and not overwrite:
        raise UserError(
            f"{page}: exists already. Give --overwrite, or name another folder."
        )
    settings, arrays = network_of(model)
    if settings["channels"] not in (1, 3):
        raise UserError(
            "The page shows grey and RGB icons. Received: a model of "
            f"{settings['channels']} channels"
        )
    table = sampling_table(settings, steps)
    about = describe_file(settings, len(table))
    width, height = settings["image_size"]
    scale = max(1, ENLARGED // min(width, height))
    mark, reach = np.zeros(0, np.float32), 0
    if watermark is not None:
        large = np.zeros((scale * height, scale * width, 3), np.uint8)
        add_watermark(large, watermark, opacity=opacity, font=font)  # raises
        mark, reach = mark_of(large.shape[1], large.shape[0], watermark, font)
    about |= {"scale": scale, "reach": reach, "watermark": watermark}
    parts = runtime_files(runtime)
    graph = sampler_graph(settings, arrays, table, about)
    mark = np.ascontiguousarray(np.float32(opacity) * mark, np.float32)
    files: dict[str, str | bytes] = {
        SCRIPT: parts[SCRIPT],
        "runtime.js": _script("RUNTIME", glue=parts[GLUE], wasm=parts[WASM]),
        "model.js": _script("MODEL", about=about, graph=graph, mark=mark.tobytes()),
        **{name: (HERE / name).read_bytes() for name in FILES},
        LICENCES: gzip.decompress((HERE / "onnxruntime-licences.txt.gz").read_bytes()),
        PAGE: (HERE / "icons.html").read_bytes(),  # last: a page is whole
    }
    for name, data in files.items():
        write_whole(folder / name, data)
    return page


def _script(name: str, **parts: Any) -> str:
    """Return a script of one constant; bytes are compressed and in base64."""
    texts: Mapping[str, Any] = {
        key: base64.b64encode(gzip.compress(value, 6, mtime=0)).decode()
        if isinstance(value, bytes)
        else value
        for key, value in parts.items()
    }
    return f'"use strict";\nconst {name} = {json.dumps(texts)};\n'


def runtime_files(runtime: str | os.PathLike[str] | None = None) -> dict[str, bytes]:
    """Return ONNX Runtime's files for browsers by their names.

    Args:
        runtime: See `export_web`.

    Raises:
        UserError: See `export_web`.
    """
    names = SCRIPT, GLUE, WASM
    if runtime is not None:
        folder = expand_user(runtime)
        if (folder / "dist").is_dir():
            folder = folder / "dist"
        for name in names:
            if not (folder / name).is_file():
                raise UserError(
                    f"{folder / name} is missing: name the folder of npm's "
                    f"onnxruntime-web {VERSION}, or leave --runtime out to fetch it."
                )
        return {name: (folder / name).read_bytes() for name in names}
    path = fetch_pinned(
        URL,
        SHA256,
        cache_folder() / f"onnxruntime-web-{VERSION}.tgz",
        max_bytes=LARGEST,
        advice=(
            f"Unpack onnxruntime-web {VERSION} of npm, and give its folder with "
            "--runtime."
        ),
        progress=True,
    )
    files = {}
    with tarfile.open(path) as package:
        for name in names:
            member = package.extractfile(f"package/dist/{name}")
            if member is None:
                raise UserError(f"{path}: lacks {name}. Delete it, and try again.")
            files[name] = member.read()
    return files
