"""Serve a page whose button makes new, watermarked icons, for this machine alone."""

from __future__ import annotations

import hashlib
import json
import numbers
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion.attributes import Wish
from diffusion.sampling.engines import open_model
from diffusion.sampling.generate import sample, sample_size
from diffusion.sampling.samplers import last_timestep
from diffusion.watermark import (
    OPACITY,
    WATERMARK,
    add_watermark,
    enlarged,
    shown,
    write_marked,
)
from illustkit.deprecation import renamed_keywords
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.images import write_image
from illustkit.web.requests import FileAnswer
from illustkit.web.server import App
from illustkit.web.server import serve as serve_app

if TYPE_CHECKING:
    from diffusion.network.model import Diffuser
    from diffusion.sampling.engines import EngineDiffuser

STEPS, MOST_STEPS, MOST_SEED = 20, 100, 9999
WAITING = 8  # icons that are waited for; further ones are refused
KEPT = 64  # icons in memory, for the page to show and save


class IconPage(App):
    """Makes the icons that the page asks for, one at a time.

    Example:
    ```python
    from diffusion.pages.serve import IconPage
    from illustkit.web.server import LocalServer

    with LocalServer(IconPage(model, name="icons")) as server:
        print(server.url)
    ```

    Args:
        model: A `Diffuser`, or an `EngineDiffuser`.
        name: Name on the page. Defaults to none.
        image_size: See `serve`.
        watermark: See `serve`.
        opacity: See `serve`.
        font: See `serve`.

    Raises:
        UserError: If the size does not fit, or the model has too few timesteps.
    """

    name = "illust-diffusion"
    pages = Path(__file__).parent
    page = "serve.html"
    most_bytes = 20_000

    def __init__(
        self,
        model: Diffuser | EngineDiffuser,
        *,
        name: str = "",
        image_size: Sequence[int] | None = None,
        watermark: str | None = WATERMARK,
        opacity: float = OPACITY,
        font: str | os.PathLike | None = None,
    ):
        super().__init__()
        self.model, self.of, self.most = model, name, most_steps(model)
        if self.most < 1:
            raise UserError(
                f"The page samples with dpm++, for which the model's {model.timesteps} "
                "timesteps are too few: train one with more `timesteps`."
            )
        self.size = sample_size(model, image_size)
        self.options: dict[str, Any] = {
            "image_size": self.size,
            "watermark": watermark,
            "opacity": opacity,
            "font": font,
        }
        self.icons: OrderedDict[str, bytes] = OrderedDict()
        self.one, self.counting, self.waiting = threading.Lock(), threading.Lock(), 0
        self.gets = {"about": self.about}
        self.uploads = {"make": self.make}
        self.files = {"icon": self.icon}

    def about(self) -> dict[str, Any]:
        """Return what the page shows of the model."""
        return {
            "name": self.of,
            "image_size": list(self.size),
            "attributes": {k: list(v) for k, v in self.model.attributes.items()},
            "steps": min(self.model.sampling[1] or STEPS, self.most),
            "most_steps": self.most,
            "fixed_steps": bool(self.model.distilled),
            "most_seed": MOST_SEED,
            "watermark": self.options["watermark"],
        }

    def make(self, data: bytes, texts: dict[str, str]) -> dict[str, Any]:
        """Make an icon; return its key and the seconds that it took.

        Args:
            data: JSON of a dict with "seed", "steps" and "attributes".
            texts: Nothing.

        Raises:
            UserError: If the wish cannot be met, or too many icons are waited for.
        """
        try:
            asked = json.loads(data)
            seed, steps, wish = (asked[k] for k in ("seed", "steps", "attributes"))
        except (ValueError, RecursionError, KeyError, TypeError):
            raise UserError("No icon was asked for.") from None
        key = hashlib.sha256(data).hexdigest()
        with self.counting:
            if self.waiting >= WAITING:
                raise UserError("Many icons are waited for: try again in a moment.")
            self.waiting += 1
        try:
            with self.one:
                start = time.monotonic()
                if key not in self.icons:
                    self.icons[key] = make_icon(
                        self.model, seed, steps, attributes=wish, **self.options
                    )
                self.icons.move_to_end(key)
                while len(self.icons) > KEPT:
                    self.icons.popitem(last=False)
                return {"key": key, "seconds": time.monotonic() - start}
        finally:
            with self.counting:
                self.waiting -= 1

    def icon(self, key: str) -> FileAnswer:
        """Return an icon that was made as a PNG file.

        Args:
            key: Its key, of `make`.

        Raises:
            UserError: If it is kept no longer.
        """
        if (png := self.icons.get(key)) is None:
            raise UserError("This icon is kept no longer: make it again.")
        return FileAnswer(png, "image/png", {"Cache-Control": "private, max-age=3600"})


@renamed_keywords(dtype="precision")
def serve(
    run: str | os.PathLike | Diffuser | EngineDiffuser = "default",
    *,
    port: int = 7860,
    host: str = "127.0.0.1",
    image_size: Sequence[int] | None = None,
    watermark: str | None = WATERMARK,
    opacity: float = OPACITY,
    font: str | os.PathLike | None = None,
    precision: str | None = None,
    engine: str = "auto",
    open_browser: bool = False,
) -> None:
    """Serve a page that makes new icons, until Ctrl-C.

    It listens on 127.0.0.1 and loads nothing from elsewhere. It makes one icon at a
    time.

    Example:
    ```python
    diffusion.pages.serve.serve("runs/icons", port=7860)
    ```

    Args:
        run: A run folder, "default", or a model. Defaults to "default".
        port: TCP port; 0 takes a free one. Defaults to 7860.
        host: See `illustkit.web.server.LocalServer`. Defaults to "127.0.0.1".
        image_size: (width, height), for a network that takes any. Defaults to the
            network's.
        watermark: Text of the watermark and of the note in the file; `None` for
            neither. Defaults to "AI-generated".
        opacity: Opacity of the watermark. Defaults to 0.35.
        font: See `diffusion.add_watermark`. Defaults to one that has the letters.
        precision: See `diffusion.sampling.engines.open_model`. Defaults to "float32".
        engine: See `diffusion.sampling.engines.open_model`. Defaults to "auto".
        open_browser: Whether to open the user's browser. Defaults to `False`.

    Raises:
        UserError: If there is no such run, it is of a GAN, or the port cannot be used.
    """
    name, model = "", run
    if isinstance(run, (str, os.PathLike)):
        # A name of any bytes, as text that a page can hold.
        name = os.fsencode(expand_user(run).resolve().name).decode("utf-8", "replace")
        model = open_model(run, engine=engine, precision=precision)
        if not hasattr(model, "schedule"):
            raise UserError(
                f"{run} holds a GAN, which has no steps: `illust-diffusion sample` "
                "makes its icons."
            )
    options: dict[str, Any] = {
        "image_size": image_size,
        "watermark": watermark,
        "opacity": opacity,
        "font": font,
    }
    page = IconPage(model, name=name, **options)  # type: ignore[arg-type]
    # It compiles before a user waits for it, and raises what would raise on each click.
    make_icon(page.model, 0, page.most if model.distilled else 1, **options)  # type: ignore[union-attr]
    serve_app(page, port=port, host=host, open_browser=open_browser)


def make_icon(
    model: Diffuser | EngineDiffuser,
    seed: int,
    steps: int,
    *,
    attributes: Wish | None = None,
    image_size: Sequence[int] | None = None,
    watermark: str | None = WATERMARK,
    opacity: float = OPACITY,
    font: str | os.PathLike | None = None,
) -> bytes:
    """Make one icon as the bytes of a PNG file.

    It is the first icon that `illust-diffusion sample` makes with the sampler "dpm++"
    and this seed. With a watermark, small icons are enlarged by repeating pixels.

    Args:
        model: A `Diffuser`, or an `EngineDiffuser`.
        seed: int, 0 to 9999.
        steps: Evaluations of the network, 1 to `most_steps(model)`.
        attributes: What the icon shall show; see `diffusion.sample`. Defaults to no
            wish.
        image_size: See `serve`.
        watermark: See `serve`.
        opacity: See `serve`.
        font: See `serve`.

    Returns:
        bytes.

    Raises:
        UserError: If `seed` or `steps` is out of range, or the model has no such
            attribute.
    """
    for what, value, least, most in (
        ("steps", steps, 1, most_steps(model)),
        ("seed", seed, 0, MOST_SEED),
    ):
        whole = isinstance(value, numbers.Real) and float(value).is_integer()
        if not whole or not least <= value <= most:
            given = "nothing" if value is None else value
            raise UserError(
                f"`{what}` is a whole number from {least} to {most}. Received: {given}"
            )
    pictures = sample(
        model,
        1,
        sampler=None if model.distilled else "dpm++",
        steps=int(steps),
        seed=int(seed),
        attributes=attributes,
        image_size=image_size,
        progress=False,
    )
    picture = shown(pictures[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "icon.png")
        if watermark is None:
            write_image(path, picture)
        else:
            marked = add_watermark(
                enlarged(picture), watermark, opacity=opacity, font=font
            )
            write_marked(path, marked, watermark)
        return path.read_bytes()


def most_steps(model: Diffuser | EngineDiffuser) -> int:
    """Return the maximum of the page's steps: 100, or the model's own maximum."""
    if model.distilled:
        return len(model.distilled["timesteps"])
    return min(MOST_STEPS, last_timestep(model.schedule))
