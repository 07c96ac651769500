"""Graphs as static SVG: the network, and the regions of a program."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

from .layout import Box, Point, place
from .markup import Markup, svg, tag
from .report import GraphInfo, GraphNode, NetworkInfo

WIDE, SMALL = 6.9, 6.1  # of a letter, at 11.5 and 10 px
ROW = 36.0
_KINDS = {
    "sequence": "given", "fixed": "given", "step": "given", "state": "state", "spike": "spike", "reset": "spike",
    "project": "product", "projecttransposed": "product", "outer": "product", "synapses": "product",
    "delayedsynapses": "product", "reduce": "product",
}  # fmt: skip


def draw_graph(graph: GraphInfo, new: Collection[str] = ()) -> Markup:
    """Return one region of a program; values in `new` are marked."""
    sizes = {n.name: Box(max(_length(n), 40.0) + 18, ROW) for n in graph.nodes}
    placed = place(sizes, graph.edges, gap=16, between=30)
    edges = [_edge(placed.paths[e], sizes[e[0]].height, sizes[e[1]].height) for e in dict.fromkeys(graph.edges)]
    nodes = [_node(n, placed.centers[n.name], sizes[n.name], n.value in new) for n in graph.nodes]
    return svg(placed.width, placed.height, *edges, *nodes, label=f"graph {graph.name}", class_="ir")


def _length(node: GraphNode) -> float:
    return max(WIDE * len(node.name), SMALL * len(_below(node)))


def _below(node: GraphNode) -> str:
    """Return the second line of a node: what makes it, and the state that it becomes."""
    becomes = [n for n in node.next if not n.startswith("saved ")]
    kept = " · saved" * any(n.startswith("saved ") for n in node.next)
    return node.op + (f" → {becomes[0]}" if becomes and node.op != "state" else "") + kept


def _node(node: GraphNode, at: Point, box: Box, new: bool) -> Markup:
    kind = _KINDS.get(node.op.split()[0], "map")
    x, y = at
    return tag(
        "g",
        tag("title", node.text + (f"  # {node.where}" if node.where else "")),
        tag("rect", x=f"{x - box.width / 2:.1f}", y=f"{y - box.height / 2:.1f}", width=f"{box.width:.1f}",
            height=f"{box.height:.1f}", rx=7 if kind != "state" else 18),
        tag("text", node.name, x=f"{x:.1f}", y=f"{y - 2:.1f}"),
        tag("text", _below(node), x=f"{x:.1f}", y=f"{y + 11:.1f}", class_="sub"),
        class_=f"node {kind}" + " new" * new,
        data_v=node.value,
        data_l=node.where,
        data_p="node",
        data_t=node.text,
        tabindex="-1",
        role="button",
        aria_label=node.text,
    )  # fmt: skip


def _edge(points: Sequence[Point], above: float, below: float, class_: str = "edge") -> Markup:
    """Return a smooth line through points, from the lower side of the first box to the upper side of the last."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    turned = y1 < y0
    inside = [(x0, y0 - above / 2 if turned else y0 + above / 2), *points[1:-1]]
    inside.append((x1, y1 + below / 2 if turned else y1 - below / 2))
    text = f"M{inside[0][0]:.1f} {inside[0][1]:.1f}"
    for (a, b), (c, d) in pairwise(inside):
        half = (b + d) / 2
        text += f"C{a:.1f} {half:.1f} {c:.1f} {half:.1f} {c:.1f} {d:.1f}"
    return tag("path", d=text, class_=class_)


def _arrow(points: Sequence[Point], box: float) -> Markup:
    """Return the head of an edge that ends at a box of this height, from above or from below."""
    x, y = points[-1]
    side = -1 if points[0][1] < y else 1
    tip = y + side * box / 2
    back = tip + side * 9
    return tag("path", d=f"M{x:.1f} {tip:.1f}L{x - 5:.1f} {back:.1f}H{x + 5:.1f}Z", class_="arrow")


def draw_network(network: NetworkInfo) -> Markup:
    """Return populations, inputs and connections, from top to bottom; what a population sends itself is a loop."""
    loops: dict[str, list[tuple[str, str]]] = {}
    labels: dict[str, tuple[str, str]] = {}
    edges: list[tuple[str, str]] = []
    for c in network.connections:
        first, last = c.delays
        delay = (
            "" if last == 0 else f" · {first} step{'s' * (last != 1)}" if first == last else f" · {first}-{last} steps"
        )
        told = f"{c.kind} · {c.synapses:,}{delay}" + (f" · {c.rule}" if c.rule else "")
        if c.pre == c.post:
            loops.setdefault(c.pre, []).append((c.name, told))
        else:
            labels[c.name] = (c.name, told)
            edges += [(f"/{c.pre}", c.name), (c.name, f"/{c.post}")]
    texts = {f"/{n}": (n, f"input · {size:,}") for n, size in network.inputs.items()}
    outputs = {o.split(".")[0] for o in network.outputs}
    texts |= {
        f"/{p.name}": (p.name, f"{p.neuron} · {p.size:,}" + " · output" * (p.name in outputs))
        for p in network.populations
    }
    known = set(texts) | set(labels)
    edges = [e for e in edges if e[0] in known and e[1] in known]
    sizes = {n: Box(_widest(t) + 34, 48.0) for n, t in texts.items()}
    sizes |= {n: Box(_widest(t) + 12, 30.0) for n, t in labels.items()}
    room = dict(sizes)
    for name, own in loops.items():
        wide = 2 * (max(_widest(t) for t in own) + 44) + sizes[f"/{name}"].width
        room[f"/{name}"] = Box(wide, max(48.0, 40.0 * len(own)))
    placed = place(room, edges, gap=26, between=26)
    drawn = [_edge(placed.paths[a, b], sizes[a].height, sizes[b].height, "edge wire") for a, b in edges]
    drawn += [_arrow(placed.paths[a, b], sizes[b].height) for a, b in edges if b in texts]
    drawn += [_connection(labels[n], placed.centers[n], sizes[n], _line(network, n)) for n in labels]
    for name, own in loops.items():
        drawn.append(_loop(own, placed.centers[f"/{name}"], sizes[f"/{name}"], network))
    for name, text in texts.items():
        drawn.append(_population(name, text, placed.centers[name], sizes[name], network))
    return svg(placed.width, placed.height, *drawn, label="network", class_="net")


def _widest(text: tuple[str, str]) -> float:
    return max(7.6 * len(text[0]), SMALL * len(text[1]))


def _line(network: NetworkInfo, connection: str) -> str | None:
    return next((str(c.where) for c in network.connections if c.name == connection and c.where), None)


def _population(name: str, text: tuple[str, str], at: Point, box: Box, network: NetworkInfo) -> Markup:
    where = next((str(p.where) for p in network.populations if f"/{p.name}" == name and p.where), None)
    x, y = at
    given = name[1:] in network.inputs
    out = any(o.split(".")[0] == name[1:] for o in network.outputs)
    return tag(
        "g",
        tag("title", f"{text[0]}: {text[1]}" + (", an output" if out else "")),
        tag("rect", x=f"{x - box.width / 2:.1f}", y=f"{y - box.height / 2:.1f}", width=f"{box.width:.1f}",
            height=f"{box.height:.1f}", rx=24 if given else 9),
        tag("text", text[0], x=f"{x:.1f}", y=f"{y - 3:.1f}", class_="name"),
        tag("text", text[1], x=f"{x:.1f}", y=f"{y + 13:.1f}", class_="sub"),
        class_="node " + ("given" if given else "output" if out else "map"),
        data_l=where,
        data_p="net",
        tabindex="-1",
        role="button" if where else None,
    )  # fmt: skip


def _connection(text: tuple[str, str], at: Point, box: Box, where: str | None, anchor: str | None = None) -> Markup:
    x, y = at
    back = None
    if anchor is None:
        back = tag("rect", x=f"{x - box.width / 2:.1f}", y=f"{y - box.height / 2:.1f}", width=f"{box.width:.1f}",
                   height=f"{box.height:.1f}", rx=5)  # fmt: skip
    return tag(
        "g",
        back,
        tag("text", text[0], x=f"{x:.1f}", y=f"{y - 2:.1f}", class_="name", text_anchor=anchor),
        tag("text", text[1], x=f"{x:.1f}", y=f"{y + 11:.1f}", class_="sub", text_anchor=anchor),
        class_="node link",
        data_l=where,
        data_p="net",
        tabindex="-1",
        role="button",
    )


def _loop(own: Sequence[tuple[str, str]], at: Point, box: Box, network: NetworkInfo) -> Markup:
    """Return what a population sends to itself, to its right."""
    x, y = at
    right = x + box.width / 2
    far = right + 44
    path = f"M{right:.1f} {y - 12:.1f}C{far:.1f} {y - 34:.1f} {far:.1f} {y + 34:.1f} {right:.1f} {y + 12:.1f}"
    top = y - 32 * (len(own) - 1) / 2
    texts = [_connection(t, (right + 42, top + 32 * k), box, _line(network, t[0]), "start") for k, t in enumerate(own)]
    head = tag("path", d=f"M{right:.1f} {y + 12:.1f}l9 -9.5l2.5 9Z", class_="arrow")
    return tag("g", tag("path", d=path, class_="edge wire"), head, *texts)
