"""A trained model on a web page for this machine alone."""

import time
from pathlib import Path

from diffusion.network.model import Diffuser, load_diffuser
from diffusion.pages.page import STYLE, build_page, import_gradio, make_icon
from diffusion.watermark import OPACITY, WATERMARK


def serve(
    run,
    *,
    port=7860,
    image_size=None,
    watermark=WATERMARK,
    opacity=OPACITY,
    precision="float32",
    open_browser=False,
):
    """Serve a page that makes new icons, until Ctrl-C.

    It listens on 127.0.0.1, loads no font and no script from elsewhere, and tells
    nobody. One icon is made at a time; the queue is short.

    Example:
    ```python
    diffusion.pages.serve.serve("runs/icons", port=7860)
    ```

    Args:
        run: A run folder, or a `Diffuser`.
        port: TCP port; 0 takes a free one. Defaults to 7860.
        image_size: (width, height), for a network that takes any. Defaults to that of
            the network.
        watermark: Text of the watermark and of the note in the file; `None` for
            neither. Defaults to "AI-generated".
        opacity: Of the watermark. Defaults to 0.35.
        precision: As in `load_diffuser`. Defaults to "float32".
        open_browser: Whether to open the user's browser. Defaults to `False`.

    Raises:
        ValueError: where Gradio is not installed, there is no such run, or the port
            cannot be used.
    """
    import_gradio()  # what is missing shows before a model is loaded
    name = "" if isinstance(run, Diffuser) else Path(run).resolve().name
    model = (
        run if isinstance(run, Diffuser) else load_diffuser(run, precision=precision)
    )
    marking = {"image_size": image_size, "watermark": watermark, "opacity": opacity}
    page = build_page(model, name=name, **marking)
    make_icon(model, 0, 1, **marking)  # compiled before somebody waits for it
    address = launch(page, port=port, open_browser=open_browser)
    print(f"Open {address}\nCtrl-C ends.", flush=True)
    try:
        while page.is_running:
            time.sleep(0.2)
    except KeyboardInterrupt:
        print(flush=True)
    finally:
        page.close(verbose=False)


def launch(page, *, port=0, open_browser=False):
    """Serve a page of Gradio on 127.0.0.1, beside what else the program does.

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
        ValueError: where the port cannot be used.
    """
    gr = import_gradio()
    theme = gr.themes.Default(
        primary_hue="indigo",
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    ).set(body_text_color_subdued="*neutral_500", block_info_text_color="*neutral_500")
    try:
        _, address, _ = page.launch(
            server_name="127.0.0.1",
            # Without a number Gradio takes the first free one from 7860 on.
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
        raise ValueError(
            f"Port {port} cannot be used. Give another, or 0 for any that is free."
        ) from error
    return address
