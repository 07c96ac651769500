"""One page that holds everything: no network, no other file."""

from __future__ import annotations

from graphc import __version__

from .bench import bench
from .markup import Markup, join, tag
from .passes import passes
from .report import Report
from .script import SCRIPT
from .style import STYLE
from .tables import kernels, memory_plan, network_tables, tiles

SECTIONS = (
    ("network", "Network"),
    ("follow", "Equation to kernel"),
    ("passes", "Passes"),
    ("kernels", "Kernels"),
    ("memory", "Memory"),
)


def page(report: Report) -> str:
    """Return the page of `report` as HTML."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{report.name}: graphc inspect"),
        tag("meta", name="generator", content=f"graphc {__version__}"),
        tag("style", Markup(STYLE)),
    )
    missing = [tag("p", f"Not shown. {line}", class_="key") for line in report.missing]
    main = tag(
        "main",
        tag("p", f"Shown for {report.key}. Semantics card {report.card}. Schedule: {report.options}.", class_="key"),
        *missing,
        tiles(report),
        *(tag("section", *part, id=name, aria_labelledby=f"{name}-title") for name, part in _sections(report)),
        id="main",
        tabindex="-1",
    )
    body = tag("body", _header(report), main, _footer(), _trail(), tag("script", Markup(SCRIPT)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _sections(report: Report) -> list[tuple[str, list[Markup]]]:
    made = {
        "network": network_tables(report),
        "follow": bench(report),
        "passes": passes(report),
        "kernels": kernels(report),
        "memory": memory_plan(report),
    }
    return [(name, [tag("h2", title, id=f"{name}-title"), *made[name]]) for name, title in SECTIONS]


def _header(report: Report) -> Markup:
    links = [tag("a", title, href=f"#{name}") for name, title in SECTIONS]
    search = tag(
        "div",
        tag(
            "input", type="search", id="find", placeholder="Search   /", autocomplete="off", spellcheck="false",
            role="combobox", aria_expanded="false", aria_controls="found", aria_label="Search all that is linked",
        ),
        tag("ul", id="found", role="listbox", aria_label="Found", hidden=True),
        class_="find",
    )  # fmt: skip
    return join(
        [
            tag("a", "Skip to the content", href="#main", class_="skip"),
            tag(
                "header",
                tag("h1", report.name, tag("small", "graphc inspect")),
                tag("nav", *links, aria_label="Sections"),
                search,
                tag("button", "Dark", id="theme", type="button", title="Change the theme"),
            ),
        ]
    )


def _trail() -> Markup:
    return tag(
        "div", class_="trail", id="trail", role="region", aria_label="Linked places", aria_live="polite", hidden=True
    )


def _footer() -> Markup:
    key = lambda k: tag("kbd", k)  # noqa: E731
    return tag(
        "footer",
        tag("p", key("/"), " search   ", key("Tab"), " next list   ", key("↓"), " ", key("↑"), " within a list   ",
            key("←"), " ", key("→"), " between passes and tabs   ", key("Enter"), " follow links   ", key("Esc"),
            " let go"),
        tag("p", f"graphc {__version__}"),
    )  # fmt: skip
