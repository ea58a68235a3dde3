"""How `make docs` builds the site: Markdown by MyST, and nothing that a reader would have to fetch from elsewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

sys.path.insert(0, str(Path(__file__).parents[1]))

import ckpt
from docs.generate import expand

project = "ckpt"
author = "the authors of ckpt"
release = ckpt.__version__
extensions = ["myst_parser"]
exclude_patterns = ["generate"]
root_doc = "index"
highlight_language = "text"  # of the drawings in docstrings; all else says what it is
nitpicky = True

myst_heading_anchors = 4

html_theme = "furo"
html_title = f"ckpt {release}"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
html_static_path = ["static"]
html_css_files = ["ckpt.css"]
pygments_style = "friendly"
pygments_dark_style = "native"

_FETCHED = re.compile(r"""<(?:(?:script|img|iframe|source)\b[^>]*\bsrc|link\b[^>]*\bhref)="(?:https?:)?//[^>]*>""")


def _expand(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = expand(source[0], Path(app.env.doc2path(page)).parent)


def _refuse_what_is_elsewhere(app: Sphinx, error: Exception | None) -> None:
    """The site must work without a network."""
    for page in Path(app.outdir).rglob("*.html") if error is None else ():
        if found := _FETCHED.search(page.read_text(encoding="utf-8")):
            raise ExtensionError(f"{page.name} fetches something from elsewhere: {found[0]}")


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("source-read", _expand)
    app.connect("build-finished", _refuse_what_is_elsewhere)
