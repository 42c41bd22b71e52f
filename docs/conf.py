"""Sphinx: `make docs` writes docs/_build/html."""

import vmcore

project = "vmcore"
author = copyright = "the vmcore developers"
version = release = vmcore.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "the virtual memory of a whole Linux machine", "page_width": "1100px"}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
myst_heading_anchors = 3
