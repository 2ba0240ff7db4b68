"""The first results of all three packages, by the networks that come with them.

    python examples/first_results.py demo

It censors a drawn character, and runs the three commands that its page, index.html,
shows beside what they made. The comic page is of "Pepper&Carrot" (episode 18) by David
Revoy, www.peppercarrot.com, CC BY 4.0; nothing was trained on it.
"""

import argparse
import html
import subprocess
import sys
import time
from pathlib import Path

from illustkit.files import write_whole
from illustkit.images import write_image
from illustkit.samples import draw_character

COMIC = Path(__file__).parent / "comic_page.jpg"
CREDIT = (
    "“Pepper&Carrot” (episode 18) by David Revoy, www.peppercarrot.com, CC BY 4.0. "
    "Nothing was trained on this page."
)
COMMANDS = {"oppai": "oppai", "facescore": "facescore", "illust-diffusion": "diffusion"}


def run(folder: Path, command: str) -> float:
    """Run a command of a package in a folder; return the seconds that it took."""
    name, *options = command.split()
    start = time.monotonic()
    module = [sys.executable, "-m", COMMANDS[name], *options]
    subprocess.run(module, cwd=folder, check=True)
    return time.monotonic() - start


def page_of(command: str) -> str:
    """Return the command that opens a package's page, as it is typed here."""
    name = command.split()[0]
    script = Path(sys.executable).with_name(name)
    if script.is_relative_to(Path.cwd()):
        name = str(script.relative_to(Path.cwd()))
    return f"{name} serve"


def first_results(folder: Path, n_icons: int = 16) -> Path:
    """Write a page with a restored picture, found faces and new icons.

    Args:
        folder: Folder to write to.
        n_icons: How many icons are made. Defaults to 16.

    Returns:
        Path of the page.
    """
    from oppai import add_mosaic

    folder.mkdir(parents=True, exist_ok=True)
    character = draw_character(5003, (400, 566))
    box = character.face_box
    censored = add_mosaic(character.image, box, block=8, blur_size=0, picture_blur=0)
    write_image(folder / "censored.png", censored.image)
    write_image(folder / "truth.png", character.image)
    (folder / "comic_page.jpg").write_bytes(COMIC.read_bytes())
    rows = [
        (
            "A picture restored",
            "oppai restore censored.png --overwrite",
            {
                "censored.png": "censored",
                "censored_restored.png": "found and restored",
                "truth.png": "as it was drawn",
            },
            "Nothing told where the mosaic is, or how large its blocks are.",
            "A page restores and colours your pictures:",
        ),
        (
            "Faces found",
            "facescore detect comic_page.jpg --output faces",
            {"faces/comic_page.jpg": "with a confidence for each face"},
            CREDIT,
            "A page finds the faces of yours:",
        ),
        (
            "New icons",
            f"illust-diffusion sample --n {n_icons} --output icons",
            {"icons/grid.png": "nobody drew these"},
            "Learnt from 8,000 icons that a program draws, which are free of rights.",
            "A page makes them as you wish:",
        ),
    ]
    sections = []
    for title, command, pictures, note, further in rows:
        print(f"$ {command}", flush=True)
        seconds = run(folder, command)
        if missing := [name for name in pictures if not (folder / name).is_file()]:
            raise SystemExit(f"`{command}` did not write {missing[0]}.")
        figures = "".join(
            f'<figure><img src="{name}" alt="{text}"><figcaption>{text}</figcaption>'
            "</figure>"
            for name, text in pictures.items()
        )
        sections.append(
            f"<section><h2>{title}</h2><p><code>{html.escape(command)}</code>, "
            f"{seconds:.0f} s</p><div class=row>{figures}</div>"
            f"<p>{html.escape(note)}</p><p>{html.escape(further)} "
            f"<code>{html.escape(page_of(command))}</code></p></section>"
        )
    return write_whole(folder / "index.html", PAGE.format("".join(sections)))


PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>First results</title>
<style>
:root {{ color-scheme: light dark; --panel: #fff; --line: #d9dde3; --soft: #596273 }}
@media (prefers-color-scheme: dark) {{
  :root {{ --panel: #1b1f27; --line: #323946; --soft: #98a2b3 }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto;
  padding: 0 1rem }}
section {{ background: var(--panel); border: 1px solid var(--line); margin: 1rem 0;
  border-radius: 12px; padding: 1rem }}
.row {{ display: flex; flex-wrap: wrap; gap: 1rem; justify-content: center }}
figure {{ margin: 0; flex: 0 1 20rem; min-width: 12rem }}
figure:only-child {{ flex-basis: 32rem }}
figure img {{ width: 100% }}
h2 {{ margin: 0 }}
figcaption, p {{ color: var(--soft); font-size: .9rem; overflow-wrap: anywhere }}
figcaption {{ text-align: center }}
</style>
<h1>First results</h1>
<p>By the networks that come with the packages, without any training.</p>
{}
</html>
"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo"))
    options = parser.parse_args()
    print(f"Look at {first_results(options.folder).resolve()}")


if __name__ == "__main__":
    main()
