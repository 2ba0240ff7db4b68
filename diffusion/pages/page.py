"""Build the page whose one button makes a new, watermarked icon.

The picture is embedded in the page: no file is kept, and nothing is loaded from
elsewhere. `diffusion.pages.serve` serves it.
"""

from __future__ import annotations

import base64
import html
import json
import numbers
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusion.attributes import Wish
from diffusion.network.model import Diffuser
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
from illustkit.errors import UserError
from illustkit.images import write_image
from illustkit.web.server import without_proxies

STEPS, MOST_STEPS, MOST_SEED = 20, 100, 9999
ANY = "any"
WAITING = 8  # clicks in the queue; further ones are refused
SIDE = 320  # CSS pixels, the longer side of the icon


def build_page(
    model: Diffuser,
    *,
    name: str = "",
    image_size: Sequence[int] | None = None,
    watermark: str | None = WATERMARK,
    opacity: float = OPACITY,
    font: str | os.PathLike | None = None,
) -> Any:
    """Build the page.

    Example:
    ```python
    page = build_page(diffusion.load_diffuser("runs/icons"), name="icons")
    address = launch(page)
    ```

    Args:
        model: A `Diffuser`.
        name: Name in the title. Defaults to none.
        image_size: (width, height), for a network that takes any. Defaults to the
            network's.
        watermark: Text of the watermark and of the note in the file; `None` for
            neither. Defaults to "AI-generated".
        opacity: Opacity of the watermark. Defaults to 0.35.
        font: See `diffusion.add_watermark`. Defaults to one that has the letters.

    Returns:
        `gradio.Blocks`, with its queue.

    Raises:
        UserError: If Gradio is not installed, the size does not fit, or the model has
            too few timesteps.
    """
    gr = import_gradio()
    size, most = sample_size(model, image_size), most_steps(model)
    if most < 1:
        raise UserError(
            f"The page samples with dpm++, for which the model's {model.timesteps} "
            "timesteps are too few: train one with more `timesteps`."
        )
    title = f"New icons: {name}" if name else "New icons"

    def make(seed: Any, steps: Any, renew: Any, *wished: Any) -> tuple[str, int]:
        seed = random.randint(0, MOST_SEED) if renew else seed
        start = time.monotonic()
        try:
            png = make_icon(
                model,
                seed,
                steps,
                attributes={
                    attribute: value
                    for attribute, value in zip(model.attributes, wished, strict=True)
                    if value and value != ANY
                },
                image_size=size,
                watermark=watermark,
                opacity=opacity,
                font=font,
            )
        except UserError as error:
            # A slip of the page's user: the page says it, and no traceback.
            text = str(error).replace("`", "")
            raise gr.Error(text, title="No icon", print_exception=False) from None
        seconds = time.monotonic() - start
        return _figure(png, int(seed), int(steps), size, seconds), int(seed)

    with gr.Blocks(title=title, analytics_enabled=False) as page:
        with gr.Column(elem_id="sheet"):
            gr.HTML("<h1>New icons</h1>")
            icon = gr.HTML(_empty(size), elem_id="icon")
            button = gr.Button("Make an icon", variant="primary", elem_id="make")
            steps = gr.Slider(
                most if model.distilled else 1,
                most,
                min(model.sampling[1] or STEPS, most),
                step=1,
                label="Steps",
                visible=not model.distilled,
                info="More take longer: finer detail.",
                buttons=[],
                elem_id="steps",
            )
            seed = gr.Slider(
                0,
                MOST_SEED,
                3407,
                step=1,
                label="Seed",
                info="The same one, the same icon.",
                buttons=[],
                elem_id="seed",
            )
            with gr.Row(elem_id="wishes", visible=bool(model.attributes)):
                wishes = [
                    gr.Dropdown(
                        [ANY, *values],
                        value=ANY,
                        label=_label(attribute),
                        min_width=120,
                        elem_id=f"wish-{number}",
                    )
                    for number, (attribute, values) in enumerate(
                        model.attributes.items()
                    )
                ]
            renew = gr.Checkbox(True, label="New seed each time", elem_id="renew")
            gr.HTML(f"<p class=note>{_note(name, size, watermark)}</p>")
        made = button.click(
            make,
            [seed, steps, renew, *wishes],
            [icon, seed],
            # An emptied box is `None`, at which Gradio's own checks fail.
            preprocess=False,
            show_progress="minimal",
            show_progress_on=icon,
            concurrency_limit=1,
            api_visibility="private",
        )
        # Gradio reloads the page when a server that died is there again: what the page
        # shows is kept in the browser, for this tab.
        shown_now = [icon, seed, steps, renew, *wishes]
        key = json.dumps(f"icons of {name}, {size}, {most}, {list(model.attributes)}")
        page.load(None, shown_now, shown_now, js=RESTORE.replace("KEY", key))
        changed = [each.change for each in (seed, steps, renew, *wishes)]
        for event in (made.success, *changed):
            event(None, shown_now, None, js=KEEP.replace("KEY", key))
    return page.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)


def make_icon(
    model: Diffuser,
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
        model: A `Diffuser`.
        seed: int, 0 to 9999.
        steps: Evaluations of the network, 1 to `most_steps(model)`.
        attributes: What the icon shall show; see `diffusion.sample`. Defaults to no
            wish.
        image_size: See `build_page`.
        watermark: See `build_page`.
        opacity: See `build_page`.
        font: See `build_page`.

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


def most_steps(model: Diffuser) -> int:
    """Return the maximum of the page's steps: 100, or the model's own maximum."""
    if model.distilled:
        return len(model.distilled["timesteps"])
    return min(MOST_STEPS, last_timestep(model.schedule))


def import_gradio() -> Any:
    """Import Gradio, which takes seconds, only when a page needs it.

    Returns:
        The module.

    Raises:
        ValueError: If it is missing or too old; the message gives the command that
            installs it.
    """
    # Gradio reads it when it is imported.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        with without_proxies():
            import gradio
    except ImportError as error:
        raise UserError(
            f"The page needs Gradio ({error}): pip install 'gradio>=6'"
        ) from error
    # A folder that an installation left behind is a module without a version.
    version = getattr(gradio, "__version__", "0")
    if int(version.split(".")[0]) < 6:
        raise UserError(
            f"The page needs Gradio 6, not {version}: pip install --upgrade 'gradio>=6'"
        )
    return gradio


def _figure(png, seed, steps, size, seconds):
    data = "data:image/png;base64," + base64.b64encode(png).decode()
    return (
        f"<figure><img src='{data}' alt='New icon' {_shape(size)}>"
        f"<figcaption>Seed {seed}, {steps} steps, {seconds:.1f} s "
        f"<a href='{data}' download='icon-{seed}-{steps}.png'>Save as PNG</a>"
        "</figcaption></figure>"
    )


def _empty(size):
    return (
        f"<figure><div class=empty {_shape(size)}>Your icon appears here</div>"
        "<figcaption>&nbsp;</figcaption></figure>"
    )


def _label(attribute):
    """Return an attribute's name as a label, such as "Hair style"."""
    return attribute[:1].upper() + attribute[1:].replace("_", " ")


def _shape(size):
    width, height = size
    return (
        f"style='width:{round(SIDE * width / max(size))}px;"
        f"aspect-ratio:{width}/{height}'"
    )


def _note(name, size, watermark):
    whose = f"Icons of “{html.escape(name)}”" if name else "Icons"
    text = f"{whose}, {size[0]} by {size[1]} pixels"
    if watermark is None:
        return f"{text}, without a watermark: keep them for your own use."
    return (
        f"{text}, with the watermark “{html.escape(watermark)}”, which a note in the "
        "file repeats."
    )


# The figure is replaced, its parent stays: screen readers tell each caption.
RESTORE = """(...now) => {
  document.querySelector("#icon figure")?.parentElement.setAttribute(
    "aria-live", "polite");
  try { return JSON.parse(sessionStorage.getItem(KEY)) ?? now } catch { return now }
}"""
KEEP = """(...now) => {
  try { sessionStorage.setItem(KEY, JSON.stringify(now)) } catch {}
  return []
}"""
STYLE = """
.gradio-container { background: var(--background-fill-secondary) }
#sheet { max-width: 27rem; margin: 0 auto; padding: 1.5rem; gap: .9rem;
  background: var(--background-fill-primary); border-radius: 16px;
  border: 1px solid var(--border-color-primary) }
#sheet h1 { font-size: 1.3rem; font-weight: 650; text-align: center; margin: 0;
  overflow-wrap: anywhere }
#icon figure { margin: 0; text-align: center }
#icon img, #icon .empty { display: flex; margin: 0 auto; border-radius: 12px;
  border: 1px solid var(--border-color-primary); max-width: 100% }
#icon img { image-rendering: pixelated; background: #fff }
#icon .empty { align-items: center; justify-content: center;
  color: var(--body-text-color-subdued); background: var(--background-fill-secondary) }
#icon figcaption, #sheet .note { font-size: .85rem; line-height: 1.4;
  color: var(--body-text-color-subdued); text-align: center }
#sheet :focus-visible { outline: 2px solid var(--color-accent); outline-offset: 2px }
#icon figcaption { margin-top: .5rem } #sheet .note { margin: 0 }
#icon figcaption a { margin-left: .6rem; color: var(--link-text-color) }
"""
