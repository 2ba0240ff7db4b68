"""Serve a trained model on a web page, for this machine alone."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from diffusion.network.model import Diffuser, load_diffuser
from diffusion.pages.page import STYLE, build_page, import_gradio, make_icon
from diffusion.watermark import OPACITY, WATERMARK
from illustkit.deprecation import renamed_keywords
from illustkit.errors import UserError
from illustkit.files import expand_user
from illustkit.web.server import without_proxies


@renamed_keywords(dtype="precision")
def serve(
    run: str | os.PathLike | Diffuser,
    *,
    port: int = 7860,
    image_size: Sequence[int] | None = None,
    watermark: str | None = WATERMARK,
    opacity: float = OPACITY,
    font: str | os.PathLike | None = None,
    precision: str = "float32",
    open_browser: bool = False,
) -> None:
    """Serve a page that makes new icons, until Ctrl-C.

    It listens on 127.0.0.1, loads no font and no script from elsewhere, and sends no
    statistics. It makes one icon at a time, from a short queue.

    Example:
    ```python
    diffusion.pages.serve.serve("runs/icons", port=7860)
    ```

    Args:
        run: A run folder, or a `Diffuser`.
        port: TCP port; 0 takes a free one. Defaults to 7860.
        image_size: (width, height), for a network that takes any. Defaults to the
            network's.
        watermark: Text of the watermark and of the note in the file; `None` for
            neither. Defaults to "AI-generated".
        opacity: Opacity of the watermark. Defaults to 0.35.
        font: See `diffusion.add_watermark`. Defaults to one that has the letters.
        precision: See `load_diffuser`. Defaults to "float32".
        open_browser: Whether to open the user's browser. Defaults to `False`.

    Raises:
        ValueError: If Gradio is not installed, there is no such run, or the port cannot
            be used.
    """
    import_gradio()  # raises before a model is loaded
    if isinstance(run, Diffuser):
        name, model = "", run
    else:
        # A name of any bytes, as text that a page can hold.
        name = os.fsencode(expand_user(run).resolve().name).decode("utf-8", "replace")
        model = load_diffuser(run, precision=precision)
    options: dict[str, Any] = {
        "image_size": image_size,
        "watermark": watermark,
        "opacity": opacity,
        "font": font,
    }
    page = build_page(model, name=name, **options)
    make_icon(model, 0, 1, **options)  # compiles before a user waits for it
    address = launch(page, port=port, open_browser=open_browser)
    print(f"Open {address}\nCtrl-C ends.", flush=True)
    try:
        while page.is_running:
            time.sleep(0.2)
    except KeyboardInterrupt:
        print(flush=True)
    finally:
        page.close(verbose=False)


def launch(page: Any, *, port: int = 0, open_browser: bool = False) -> str:
    """Serve a Gradio page on 127.0.0.1 in the background.

    Example:
    ```python
    address = launch(page)
    ...
    page.close()
    ```

    Args:
        page: `gradio.Blocks`.
        port: TCP port; 0 takes a free one. Defaults to 0.
        open_browser: Whether to open the user's browser. Defaults to `False`.

    Returns:
        The page's address.

    Raises:
        ValueError: If the port cannot be used.
    """
    gr = import_gradio()
    theme = gr.themes.Default(
        primary_hue="indigo",
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    ).set(body_text_color_subdued="*neutral_500", block_info_text_color="*neutral_500")
    try:
        with without_proxies():
            _, address, _ = page.launch(
                server_name="127.0.0.1",
                # `None` lets Gradio take the first free port from 7860 on.
                server_port=port or None,
                inbrowser=open_browser,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                show_error=True,
                theme=theme,
                css=STYLE,
                footer_links=[],
                max_file_size="1kb",  # nothing is ever uploaded
                max_threads=4,
                state_session_capacity=64,
                enable_monitoring=False,
                mcp_server=False,
                pwa=False,
                ssr_mode=False,
            )
    except (OSError, OverflowError) as error:
        raise UserError(
            f"Port {port} cannot be used. Give another, or 0 for any free port."
        ) from error
    return address
