"""Sphinx: the pages of this folder as one site. `python -m sphinx -W -b html docs OUT` (extra `docs`)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from neurochip._version import __version__

project = "neurochip"
copyright = "neurochip developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_typehints = "description"
myst_heading_anchors = 4  # so that pages can name a section of another one
exclude_patterns = ["golden", "_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"neurochip {__version__}"
html_show_sphinx = False
html_copy_source = False
html_last_updated_fmt = None
