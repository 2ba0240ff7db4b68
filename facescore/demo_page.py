"""The page that a demo ends with: figures, tables, and the way to the gallery."""

import html
from urllib.parse import quote

from facescore.taste import CEILING
from illustkit.files import write_whole

SHOWN = 8


def write_page(folder, found, ranking, run):
    """Write `index.html`.

    Args:
        folder: `Path` of the demo's folder.
        found: What `facescore.demo.demo` returns, without the page.
        ranking: The `Ranking` of the unseen pictures.
        run: The scorer's `Run`.

    Returns:
        Path of the page.
    """
    ranked = [p for p in ranking.in_state("ranked") if p.duplicate_of is None]
    n = len(ranking.pictures)
    spearman = found.agreement.measures["Spearman"]
    page = PAGE.format(
        n=n,
        missed=f"{found.missed} of them had no face found, and count as the mean."
        if found.missed
        else "A face was found in each of them.",
        spearman=spearman.value,
        low=spearman.low,
        high=spearman.high,
        ceiling=CEILING,
        rising="rise with every score"
        if found.agreement.rising
        else "do not rise with every score",
        best=_strip(ranked[:SHOWN]),
        worst=_strip(ranked[-SHOWN:]),
        table=_table(found.agreement),
        detector=_detector(found.detector),
        stability=html.escape(str(found.stability)),
        epochs=run.epochs_done,
        best_epoch=max(run.history["val_spearman"]),
    )
    return write_whole(folder / "index.html", page)


def _strip(pictures):
    return "".join(
        f"<figure><img src='ranking/{quote(p.thumbnail)}' alt=''>"
        f"<figcaption>{p.score:.2f}</figcaption></figure>"
        for p in pictures
    )


def _table(result):
    rows = "".join(
        f"<tr><th scope=row>{html.escape(name)}</th><td class=value>{e.value:.3f}</td>"
        f"<td>{e.low:.3f} to {e.high:.3f}</td><td>{_number(e.constant)}</td></tr>"
        for name, e in result.measures.items()
    )
    return (
        "<table><thead><tr><td></td><th>scorer</th>"
        f"<th>{result.level:.0%} interval</th><th>always {result.constant:.2f}</th>"
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )


def _number(value):
    return f"{value:.3f}" if value == value else "–"  # nan where nothing varies


def _detector(scores):
    if scores is None:
        return "<p>The detector was given, and not trained here.</p>"
    return (
        f"<p>On {scores.n_pictures} unseen scenes with {scores.n_faces} faces: AP50 "
        f"{scores.ap50:.3f}, AP50-95 {scores.ap50_95:.3f}; at a confidence of "
        f"{scores.conf:g} precision {scores.precision:.3f} and recall "
        f"{scores.recall:.3f}. Green is the truth, red what was found.</p>"
        "<img src='detector.png' alt='Scenes with true and found boxes'>"
        "<img class=small src='precision-recall.png' alt='Precision and recall'>"
    )


PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>facescore demo</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto;
  padding: 0 1rem; color: #1c2230; background: #fafafa }}
img {{ max-width: 100%; display: block; margin: 1rem auto }}
.small {{ max-width: 32rem; width: 100% }}
.strip {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(6.5rem, 1fr));
  gap: .6rem }}
.strip img {{ width: 100%; margin: 0; border-radius: 4px }}
figure {{ margin: 0 }}
figcaption {{ text-align: center; color: #667085; font-size: .85rem }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
td, th {{ padding: .15rem .9rem; text-align: right; border-bottom: 1px solid #e5e5e5;
  font-weight: 400 }}
th[scope] {{ text-align: left }}
.value {{ background: #e8f4e8; font-weight: 600 }}
pre {{ overflow-x: auto; font-size: .85rem }}
.go {{ display: inline-block; padding: .5rem 1rem; border-radius: 6px;
  background: #26547c; color: #fff; text-decoration: none }}
</style>
<h1>A taste learnt just now, on {n} pictures never seen before</h1>
<p>A made-up person likes some hair, eyes and expressions, and does not decide alike
every time. From ratings of 1 to 5 the scorer learnt that taste; its rank correlation
with the person on unseen pictures is <b>{spearman:.2f}</b> ({low:.2f} to {high:.2f}),
where the person's own moods allow {ceiling:.2f} at most. The medians {rising}.
{missed}</p>
<p><a class=go href="ranking/gallery.html">Open the gallery</a></p>
<h2>The highest ranked</h2>
<div class=strip>{best}</div>
<h2>The lowest ranked</h2>
<div class=strip>{worst}</div>
<h2>What is predicted for each true score</h2>
<img src="evaluation/distributions.png" alt="Distributions of the predicted scores">
{table}
<p>The last column is a predictor that never looks. The scorer trained for {epochs}
epochs; its best rank correlation on held-out crops was {best_epoch:.2f}.</p>
<h2>Scores when the content stays</h2>
<pre>{stability}</pre>
<h2>The detector</h2>
{detector}
</html>
"""
