"""Sphinx's settings for the documentation site; `docs/build.py` gathers the pages and calls Sphinx with them."""

from __future__ import annotations

from html import escape
from importlib import metadata

from latex2mathml.converter import convert

project, author, copyright = "medlib", "the medlib authors", "the medlib authors, MIT licence"
version = release = metadata.version("medlib")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_static"]

html_theme = "sphinx_book_theme"
html_title = "medlib"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # the reader's own choice of light or dark
html_theme_options = {"use_download_button": True, "use_fullscreen_button": False, "show_toc_level": 2, "article_header_end": ["toggle-secondary-sidebar"]}

nb_execution_mode = "off"  # `docs/build.py` executes them
nb_ipywidgets_js = {}  # scripts for live widgets would come from another host
nb_render_markdown_format = "myst"  # links in outputs lead to pages, as those in cells do
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

suppress_warnings = ["ref.python"]  # a word in a docstring's list, such as "resource", may be the name of several things

default_role = "literal"  # single backticks in docstrings: names, of which several modules have the same
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types together with units and shapes
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_param = napoleon_use_rtype = False  # types in words: "array, shape (sites, periods)" is no name to link


def setup(app):
    """Formulas become MathML while the site is built: a browser shows that without a script and without fonts from elsewhere."""
    app.add_html_math_renderer("mathml", (write_formula, None), (write_display, None))
    # scikit-learn puts these into every estimator, with words that refer to its own pages.
    app.connect("autodoc-skip-member", lambda app, what, name, thing, skip, options: skip or name.startswith("set_") and name.endswith("_request"))


def write_formula(writer, node):
    """Write a formula that stands in a sentence."""
    _write(writer, node, "inline", "span")


def write_display(writer, node):
    """Write a formula that stands alone."""
    _write(writer, node, "block", "div")


def _write(writer, node, display, tag):
    from docutils.nodes import SkipNode
    source = node.astext()
    # What a formula says as text is what a reader who can't see it is read.
    writer.body.append(f'<{tag} class="math">{convert(source, display=display).replace("<math ", f"<math alttext={chr(34)}{escape(source)}{chr(34)} ", 1)}</{tag}>')
    raise SkipNode


html_math_renderer = "mathml"
