"""Tabs and the panels that they open."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .markup import Markup, join, tag


def tabs(
    prefix: str,
    label: str,
    panels: Sequence[tuple[object, Markup]],
    body: str = "",
    look: str = "tabs",
    idle: Collection[int] = (),
) -> Markup:
    """Return tabs over panels; the first one is open.

    Args:
        prefix: of ids, unique in the page.
        label: what the tabs choose, for those who cannot see them.
        panels: title and content of each.
        body: class of the panels, "body" for one that scrolls.
        look: class of the list of tabs.
        idle: numbers of tabs with little behind them.
    """
    heads = [
        tag(
            "button", title, type="button", role="tab", id=f"{prefix}-{k}-tab", aria_controls=f"{prefix}-{k}",
            aria_selected="true" if k == 0 else "false", tabindex="0" if k == 0 else "-1",
            class_="idle" if k in idle else None,
        )
        for k, (title, _) in enumerate(panels)
    ]  # fmt: skip
    contents = [
        tag("div", content, role="tabpanel", id=f"{prefix}-{k}", aria_labelledby=f"{prefix}-{k}-tab", hidden=k > 0,
            class_=body or None)
        for k, (_, content) in enumerate(panels)
    ]  # fmt: skip
    return join([tag("div", *heads, role="tablist", aria_label=label, class_=look), *contents])
