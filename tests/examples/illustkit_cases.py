"""What the examples of `illustkit` stand among."""

import contextlib
import importlib
from typing import Any

import numpy as np
import pytest

from .case import (
    Case,
    Make,
    adversarial_model,
    answering_page,
    censored_icons,
    dense,
    dense_layer,
    dense_network,
    drawn,
    icons,
    jpeg,
    name_of,
    number_batches,
    open_run,
    sha256,
    signed,
    value,
)


def served_file(patch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    """The pinned file has been fetched before."""
    from illustkit.files import cache_folder

    cache_folder().mkdir(parents=True, exist_ok=True)
    (cache_folder() / "model.xml").write_bytes(b"<xml/>")


def greeting_app() -> Any:
    from pathlib import Path

    from illustkit.web.server import App

    class Greeting(App):
        name = "greeting"
        pages = Path("pages")
        page = "greeting.html"

    Path("pages").mkdir()
    Path("pages/greeting.html").write_text("hello {{token}}")
    return Greeting()


def canvas() -> Any:
    from illustkit.samples.canvas import Canvas

    return Canvas.blank((64, 64)).placed(32, 32, scale=16)


def circle(radius: float) -> Make:
    def make() -> Any:
        from illustkit.samples.curves import ellipse

        return ellipse(0, 0, radius, radius)

    return make


VALUES: dict[str, Make] = {
    "Path": name_of("pathlib", "Path"),
    "batches": number_batches,
    "build_and_compile": value(dense),
    "censored": censored_icons,
    "image": lambda: drawn().copy(),
    "model": dense,
    "oppai": lambda: importlib.import_module("oppai"),
    "paths": lambda: importlib.import_module("illustkit").list_images("pictures"),
    "picture": lambda: drawn().copy(),
    "pictures": icons,
    "restored": icons,
    "rgb": lambda: drawn().copy(),
    "samples": icons,
    "scores": value([3.25, 1.0, 4.5, 2.0, 5.0, 3.0]),
    "truth": icons,
}
_SCORER = {
    "SCORER": name_of("facescore.scorer.model", "SCORER"),
    "build_scorer": name_of("facescore.scorer.model", "build_scorer"),
}


def stored_pictures() -> Any:
    from illustkit.images import store_pictures

    def fill(writer):
        for i, icon in enumerate(icons()):
            writer.add(icon, file=f"{i}.png")

    return store_pictures(None, {}, fill)


def typer_app() -> Any:
    import typer

    return typer.Typer()


CASES: dict[str, Case] = {
    "illustkit:attach_stub": Case(
        values={
            "__name__": value("oppai"),
            "__file__": lambda: importlib.import_module("oppai").__file__,
        }
    ),
    "illustkit:user_errors": Case(
        values={"restore": value(lambda path: path), "path": value("a.png")}
    ),
    "illustkit:renamed_options": Case(values={"app": typer_app}),
    "illustkit:UserError": Case(values={"path": value("pictures")}),
    "illustkit:read_rows": Case(
        files=("set",), values={"width": value(72), "height": value(96)}
    ),
    "illustkit:fetch_pinned": Case(
        values={
            "URL": value("https://example.org/model.xml"),
            "SHA256": value(sha256(b"<xml/>")),
        },
        prepare=served_file,
    ),
    "illustkit:with_note": Case(values={"data": lambda: jpeg(drawn())}),
    "illustkit:with_blocks_of": Case(
        values={
            "original": lambda: jpeg(drawn()),
            "encode_rows": value(lambda rows: jpeg(drawn()[rows])),
            "changed": value(np.zeros((848, 600), bool)),
        }
    ),
    "illustkit:StoredPictures": Case(values={"pictures": stored_pictures}),
    "illustkit:store_pictures": Case(files=("pictures",)),
    "illustkit:precision": Case(values={"build": value(dense)}),
    "illustkit:Canvas.inside": Case(
        values={"canvas": canvas, "face": circle(1.0), "shadow": circle(0.5)}
    ),
    "illustkit:fit_run": Case(without=("runs/first",), smaller=(("val_psnr", "loss"),)),
    "illustkit:Run": Case(without=("runs/first",), smaller=(("val_psnr", "loss"),)),
    "illustkit:RunKind": Case(
        without=("runs/taste",), values={"settings": value({"network": "small"})}
    ),
    "illustkit:choose_preset": Case(
        values={
            "DETECTOR_PRESETS": name_of(
                "facescore.detector.training", "DETECTOR_PRESETS"
            )
        }
    ),
    "illustkit:load_run": Case(values=_SCORER),
    "illustkit:App": Case(values={"__file__": value("greeting.py")}),
    "illustkit:Run.best": Case(
        files=("runs/first",), values={"run": lambda: open_run("runs/first")}
    ),
    "illustkit:map_to_shards": Case(needs="ray"),
    "illustkit:LocalServer": Case(values={"app": greeting_app}, prepare=answering_page),
    "illustkit:Adversarial": Case(
        values={
            "generator": lambda: dense_network(2, (8, 8, 3)),
            "discriminator": lambda: dense_network((8, 8, 3), 1),
            "noise": lambda: signed(4, 2),
            "pictures": lambda: signed(4, 8, 8, 3),
        }
    ),
    "illustkit:AdversarialAdam": Case(values={"model": adversarial_model}),
    "illustkit:SpectralConv2D": Case(values={"pictures": lambda: signed(2, 8, 8, 3)}),
    "illustkit:save_network": Case(values={"network": dense_layer}),
    "illustkit:read_network": Case(values={"network": dense_layer}),
    "illustkit:load_network": Case(
        values={"network": dense_layer, "build": value(dense_layer)}
    ),
}
