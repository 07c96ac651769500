"""Settings of Sphinx. The pages it reads are those that `docs.site` staged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
import graphc

project, author, version = "graphc", "the graphc authors", graphc.__version__
release, copyright = version, "the graphc authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx_design"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"graphc {version}"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["graphc.css"]
html_show_sphinx = html_copy_source = html_show_sourcelink = False
html_use_index = html_domain_indices = False
html_show_search_summary = False  # from disk, a browser does not let the search read other pages
html_math_renderer = "mathml"
html_theme_options = {"navigation_with_keys": True}
pygments_style, pygments_dark_style = "friendly", "github-dark"
copybutton_selector = "div:not(.output) > div.highlight > pre"
copybutton_exclude = ".linenos, .gp, .go"
templates_path = []

default_role = "code"  # of names between single backticks in docstrings
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Source", "notes_style"), ("Shapes", "notes_style")]
nitpick_ignore_regex = [("py:.*", r".*")]  # types of signatures, which are no pages; links of pages are checked


def setup(app: Any) -> None:
    """Render formulas as MathML, which browsers show without a script or a font from elsewhere."""
    from docs.site import mathml

    app.add_html_math_renderer("mathml", (mathml.inline, None), (mathml.displayed, None))
