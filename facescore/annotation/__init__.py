"""Label faces and rate crops."""

from pathlib import Path

# The HTML, CSS and JavaScript files of all pages.
PAGES = Path(__file__).parents[1] / "pages"
