"""The page of `oppai demo`."""

import html

OURS = "prediction", "package's own"


def _row(names, captions):
    return (
        "<div class=row>"
        + "".join(
            f"<figure><img src='pictures/{name}'>"
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            for name, caption in zip(names, captions, strict=True)
        )
        + "</div>"
    )


def demo_page(first, rows, figures, run):
    """The page that shows what was restored.

    Args:
        first: Names of the pictures censored, restored and true, of what was restored
            without training.
        rows: As of `oppai.evaluate`.
        figures: List of dicts: "pictures", names as above with two restored ones;
            "figure", a path; "source", a text.
        run: The `illustkit.runs.Run` of the training.

    Returns:
        A str of HTML.
    """
    columns = ("kind", "hole_ratio", "method", "n", "l1", "psnr", "ssim")
    body = "".join(
        f"<tr class='{'ours' if row['method'] in OURS else ''}'>"
        + "".join(f"<td>{html.escape(_text(row[c]))}</td>" for c in columns)
        + "</tr>"
        for row in rows
    )
    captions = "censored", "package's own network", "trained now, half blended", "truth"
    shown = "".join(
        f"<section>{_row(figure['pictures'], captions)}"
        f"<img class=four src='{figure['figure']}'>"
        f"<p>{html.escape(figure['source'])}</p></section>"
        for figure in figures
    )
    head = "".join(f"<th>{c.replace('_', ' ')}</th>" for c in columns)
    settings = run.settings
    return PAGE.format(
        first=_row(first, ("censored", "found and restored", "truth")),
        shown=shown,
        head=head,
        body=body,
        epochs=len(run.history["epoch"]),
        size=settings["image_size"],
        best=max(run.history["val_psnr"]),
    )


def _text(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>oppai demo</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto;
  padding: 0 1rem; color: #222; background: #fafafa }}
section {{ background: #fff; border: 1px solid #ddd; border-radius: 8px;
  padding: 1rem; margin: 1rem 0 }}
.row {{ display: flex; gap: 1rem }}
figure {{ margin: 0; flex: 1 }}
figure img {{ width: 100% }}
.four {{ width: 100%; max-width: 36rem; display: block; margin: 1rem auto }}
figcaption, section p {{ text-align: center; color: #666; font-size: .85rem }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
td, th {{ padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #e5e5e5 }}
.ours td {{ background: #e8f4e8; font-weight: 600 }}
</style>
<h1>Illustrations restored</h1>
<section>{first}<p>By the network that comes with the package, in seconds: it was told
neither where the mosaic is nor how large its blocks are.</p></section>
<h2>And by a network trained just now</h2>
<p>{epochs} epochs on {size}×{size} patches; best PSNR inside held-out holes
{best:.2f} dB. None of the pictures below was trained on. Of every row: the censored
picture, what the package's own network makes of it, what the one trained now does, half
blended with the mosaic as in the chapter, and the truth; below them the patch that the
latter saw, what it made of it, half of each blended, the truth.</p>
{shown}
<h2>Inside the holes of all held-out pictures</h2>
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>
<p>L1 and SSIM on the scale 0 to 1, PSNR in dB. Each method fills the hole; outside it
stands the truth.</p>
<h2>Training</h2>
<img src=history.png style="width:100%">
</html>
"""
