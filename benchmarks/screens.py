"""Make screenshots of windows, dialogs and pages, in which no censor is to be found.

    python benchmarks/screens.py FOLDER PICTURES... [--first 0] [--n 180]

PICTURES are pictures that the windows lie upon and show. Chromium renders the pages.
"""

import argparse
import random
import subprocess
import tempfile
from pathlib import Path

WORDS = (
    "the quick brown picture lies over lazy windows and shows many lines of text about "
    "mountains rivers cities people work notes history science music letters orders "
    "prices tables editors buttons menus files folders light dark colour paper"
).split()
SIZES = 640, 800, 1024, 1280, 1366, 1440, 1920, 390, 412
TELEPHONES = {390: 844, 412: 915}
HEIGHTS = 480, 600, 720, 768, 900, 1080


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--n", type=int, default=180)
    parser.add_argument("--windows", action="store_true", help="no plain pages")
    parser.add_argument("--browser", default="chromium")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    pictures = [path.resolve().as_uri() for path in arguments.pictures]
    for seed in range(arguments.first, arguments.first + arguments.n):
        path = arguments.folder / f"{seed:04}.png"
        if not path.exists():
            page = windows_page(seed, pictures) if arguments.windows else draw_page(
                seed, pictures
            )  # fmt: skip
            render(*page, path, arguments.browser)


def render(width, height, body, path, browser):
    """Write what a browser shows of a page, as a PNG."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(f"<!doctype html><meta charset=utf-8>{body}", "utf-8")
        flags = "--headless --no-sandbox --disable-gpu --hide-scrollbars"
        command = [browser, *flags.split(), "--allow-file-access-from-files"]
        command += [f"--window-size={width},{height}", f"--screenshot={path}"]
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True)


def windows_page(seed, pictures):
    """Draw pages until one has windows upon it."""
    rng = random.Random(seed)
    while True:
        page = draw_page(rng.randint(10**6, 10**7), pictures)
        if "absolute;left" in page[2]:
            return page


def draw_page(seed, pictures):
    """Draw a page, a document, a dialog or a desk with windows.

    Returns:
        `(width, height, body)`, the body in HTML.
    """
    rng = random.Random(seed)
    width = rng.choice(SIZES)
    drawn = rng.choice(HEIGHTS) if width not in TELEPHONES else None
    height = drawn or TELEPHONES[width]
    kind = rng.choice(("page", "page", "desk", "desk", "desk", "document", "dialog"))
    dark = rng.random() < 0.3
    if dark:
        paper = rng.choice(("#111", "#000", "#1e1e1e", "#0d1117"))
    else:
        paper = rng.choice(("#fff", "#fff", "#f6f8fa", "#eee", colour(rng, 100)))
    wallpaper = rng.choice(
        (
            f"url({rng.choice(pictures)}) center/cover",
            f"url({rng.choice(pictures)}) 0 0/{rng.randint(150, 500)}px",
            f"linear-gradient({rng.randint(0, 360)}deg,"
            f"{colour(rng)},{colour(rng)},{colour(rng)})",
            colour(rng, 0, 180),
        )
    )
    head = side = ""
    if rng.random() < 0.6:
        head = (
            f"<div style='background:{colour(rng)};color:#fff;"
            f"padding:{rng.randint(4, 20)}px;font:18px sans-serif'>{say(rng, 3)}</div>"
        )
    if rng.random() < 0.4:
        at = (
            f"float:left;width:{rng.randint(100, 260)}px;height:2000px;color:#888;"
            f"background:{rng.choice(('#f4f4f4', '#222', '#fff', colour(rng)))}"
        )
        entries = (
            f"<div style=padding:6px>{say(rng, 2)}</div>"
            for _ in range(rng.randint(4, 20))
        )
        side = f"<div style='{at}'>{''.join(entries)}</div>"
    style = (
        f"margin:0;width:{width}px;height:{height}px;overflow:hidden;"
        f"color:{'#ddd' if dark else '#222'};"
        f"font:{rng.choice((12, 14, 16, 18))}px {rng.choice(('sans-serif', 'serif'))};"
    )
    if kind == "page":
        inner = "".join(fill(rng, dark, pictures) for _ in range(rng.randint(1, 4)))
        widest = rng.choice((600, 900, 2000))
        style_in = f"padding:16px;max-width:{widest}px;margin:auto"
        body = f"{head}{side}<div style='{style_in}'>{inner}</div>"
    elif kind == "document":
        paper = rng.choice(("#555", "#888", "#333", colour(rng, 40, 200)))
        body = f"{head}{side}<center>{sheets(rng, width, pictures)}</center>"
    elif kind == "dialog":
        inner = "".join(
            fill(rng, dark, pictures) + gallery(rng, pictures) for _ in range(3)
        )
        shade = rng.choice((0, 0.3, 0.5, 0.7))
        box = window(rng, int(width * 0.9), int(height * 0.8), pictures)
        body = (
            f"{head}<div style='padding:10px'>{inner}</div><div style='position:"
            f"absolute;inset:0;background:rgba(0,0,0,{shade})'></div>{box}"
        )
    else:
        paper = wallpaper
        body = "".join(
            window(rng, width, height, pictures) for _ in range(rng.randint(1, 4))
        )
        if rng.random() < 0.6:
            body += (
                f"<div style='position:absolute;bottom:0;left:0;right:0;color:#888;"
                f"height:{rng.randint(24, 48)}px;"
                f"background:{rng.choice(('#222', '#ddd', '#000', '#fff'))}'>"
                f"{say(rng, 5)}</div>"
            )
    return width, height, f"<body style='{style}background:{paper}'>{body}</body>"


def window(rng, width, height, pictures):
    dark = rng.random() < 0.4
    if dark:
        paper = ("#000000", "#080808", "#1e1e1e", "#202124", "#282c34", "#0d1117")
    else:
        paper = *("#ffffff",) * 5, "#fafafa", "#f5f5dc", "#f0f0f0"
    paper = rng.choice(paper)
    w = rng.randint(int(0.25 * width), int(0.95 * width))
    h = rng.randint(int(0.2 * height), int(0.9 * height))
    x, y = rng.randint(-20, max(1, width - w)), rng.randint(0, max(1, height - h))
    bar, radius = rng.choice((0, 0, 18, 26, 34)), rng.choice((0, 0, 4, 10))
    bars = "#dddddd", "#3c6eb4", "#2b2b2b", colour(rng), "#ffffff"
    bar_colour = rng.choice(bars)
    shadows = "none", "0 2px 8px rgba(0,0,0,.4)", "0 12px 40px rgba(0,0,0,.5)"
    shadow, border = rng.choice(shadows), rng.choice((0, 0, 1, 1, 3))
    title = ""
    if bar:
        title = (
            f"<div style='height:{bar}px;background:{bar_colour};padding-left:8px;"
            f"color:{rng.choice(('#000', '#fff'))};font:{max(9, bar // 2)}px "
            f"sans-serif'>{say(rng, 2)}<span style='float:right'>– □ ×</span></div>"
        )
    inner = fill(rng, dark, pictures)
    style = (
        f"position:absolute;left:{x}px;top:{y}px;width:{w}px;height:{h}px;"
        f"overflow:hidden;background:{paper};color:{'#ddd' if dark else '#111'};"
        f"border-radius:{radius}px;box-shadow:{shadow};"
        f"border:{border}px solid {rng.choice(('#888', '#000', '#ccc'))};"
        f"font:{rng.choice((11, 13, 14, 16, 20))}px "
        f"{rng.choice(('sans-serif', 'serif', 'monospace'))}"
    )
    margin = rng.choice((2, 10, 24))
    inner = f"<div style='padding:{margin}px'>{inner}</div>"
    return f"<div style='{style}'>{title}{inner}</div>"


def sheets(rng, width, pictures):
    w, n = int(width * rng.uniform(0.3, 0.7)), rng.randint(1, 2)
    pages = ""
    for _ in range(n):
        style = (
            f"display:inline-block;vertical-align:top;margin:{rng.randint(4, 30)}px;"
            f"width:{w // n}px;height:{int(w / n * 1.41)}px;background:#fff;color:#111;"
            f"overflow:hidden;padding:{rng.randint(8, 50)}px;box-sizing:border-box"
        )
        inner = rng.choice(
            (
                blank(rng),
                text(rng, 6),
                fill(rng, False, pictures),
                blank(rng) + text(rng, 1),
            )
        )
        pages += f"<div style='{style}'>{inner}</div>"
    return pages


def fill(rng, dark, pictures):
    parts = (
        lambda: text(rng, rng.randint(1, 5)),
        lambda: table(rng),
        lambda: form(rng),
        lambda: code(rng, dark),
        lambda: chart(rng),
        lambda: gallery(rng, pictures),
        lambda: blank(rng),
        lambda: chat(rng),
        lambda: f"<h2>{say(rng, 4)}</h2>",
    )
    return "".join(rng.choice(parts)() for _ in range(rng.randint(1, 4)))


def say(rng, n):
    return " ".join(rng.choice(WORDS) for _ in range(n)).capitalize()


def colour(rng, least=0, most=255):
    return "#" + "".join(f"{rng.randint(least, most):02x}" for _ in range(3))


def text(rng, n):
    return "".join(f"<p>{say(rng, rng.randint(4, 40))}.</p>" for _ in range(n))


def table(rng):
    rows, columns = rng.randint(3, 15), rng.randint(2, 7)
    striped, lines = rng.random() < 0.5, ""
    for i in range(rows):
        cells = ""
        for j in range(columns):
            style = (
                f"border:{rng.choice((0, 1))}px solid #bbb;"
                f"padding:{rng.randint(1, 8)}px"
            )
            cell = rng.randint(0, 9999) if j else say(rng, rng.randint(1, 2))
            cells += f"<td style='{style}'>{cell}</td>"
        shade = "#f4f4f8" if striped and i % 2 else "transparent"
        lines += f"<tr style='background:{shade}'>{cells}</tr>"
    return f"<table style='border-collapse:collapse'>{lines}</table>"


def form(rng):
    lines = ""
    for _ in range(rng.randint(1, 6)):
        value = say(rng, 2) if rng.random() < 0.5 else ""
        lines += (
            f"<div style='margin:8px'><label>{say(rng, 2)}</label> "
            f"<input style='width:{rng.randint(80, 240)}px' value='{value}'> "
            f"<button>{say(rng, 1)}</button></div>"
        )
    height, n = rng.randint(40, 160), rng.choice((0, 0, 12))
    style = f"width:80%;height:{height}px"
    return f"{lines}<textarea style='{style}'>{say(rng, n)}</textarea>"


def code(rng, dark):
    colours = [colour(rng, 120) if dark else colour(rng, 0, 150) for _ in range(4)]
    lines = []
    for _ in range(rng.randint(6, 40)):
        indent = "&nbsp;" * 4 * rng.randint(0, 4)
        words = (
            f"<span style='color:{rng.choice(colours)}'>{rng.choice(WORDS)}</span>"
            for _ in range(rng.randint(0, 8))
        )
        lines.append(indent + " ".join(words))
    return "<pre style='font:13px monospace'>" + "\n".join(lines) + "</pre>"


def chart(rng):
    n, w, h = rng.randint(4, 14), rng.randint(200, 420), rng.randint(120, 260)
    fill, heights = colour(rng, 0, 220), [rng.randint(5, h) for _ in range(n)]
    if rng.random() < 0.5:
        drawn = "".join(
            f"<rect x='{k * w / n + 4}' y='{h - v}' width='{w / n - 8}' height='{v}' "
            f"fill='{fill}'/>"
            for k, v in enumerate(heights)
        )
    else:
        points = " ".join(f"{k * w / n},{v}" for k, v in enumerate(heights))
        line = f"fill='none' stroke-width='2' stroke='{fill}'"
        drawn = f"<polyline {line} points='{points}'/>"
    axes = "border-left:1px solid #333;border-bottom:1px solid #333"
    return f"<svg width='{w}' height='{h}' style='{axes}'>{drawn}</svg>"


def gallery(rng, pictures):
    side, shown = rng.randint(70, 190), ""
    for _ in range(rng.randint(2, 14)):
        shown += (
            f"<img src='{rng.choice(pictures)}' style='width:{side}px;height:{side}px;"
            f"object-fit:cover;margin:4px;border-radius:{rng.choice((0, 8))}px'>"
        )
    return shown


def blank(rng):
    return f"<div style='height:{rng.randint(20, 300)}px'></div>"


def chat(rng):
    lines = ""
    for _ in range(rng.randint(2, 9)):
        papers = "#ffffff", "#dcf8c6", "#e8e8ef", colour(rng, 150)
        lines += (
            f"<div style='margin:6px;padding:8px 14px;border-radius:14px;"
            f"width:{rng.randint(80, 300)}px;background:{rng.choice(papers)};"
            f"margin-left:{rng.choice((0, 60, 120))}px'>{say(rng, rng.randint(1, 14))}"
            "</div>"
        )
    return lines


if __name__ == "__main__":
    main()
