"""Layered layout of directed graphs: ranks by longest path, few crossings, straight edges.

Source:
    Sugiyama, Tagawa & Toda (1981), IEEE Trans. Syst. Man Cybern. 11, 109-125. Positions within a rank are a regression
    under the order of the rank (pool adjacent violators).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx

Point = tuple[float, float]
SWEEPS = 12


@dataclass(frozen=True)
class Box:
    """What is placed: its size along a rank and across."""

    width: float
    height: float


@dataclass(frozen=True)
class Placed:
    """Centers of the boxes, the points that every edge goes through, and the size of all."""

    centers: Mapping[str, Point]
    paths: Mapping[tuple[str, str], Sequence[Point]]
    width: float
    height: float


_Dummy = tuple[str, int]
_Item = str | _Dummy  # a box, or what a box hands on, on its way through a rank
_Near = dict[_Item, list[_Item]]


def place(boxes: Mapping[str, Box], edges: Sequence[tuple[str, str]], gap: float = 18, between: float = 34) -> Placed:
    """Return where boxes go, ranks from top to bottom.

    Args:
        boxes: sizes by name.
        edges: from, to; an edge that would close a cycle counts backwards.
        gap: between two boxes of one rank.
        between: two ranks.
    """
    rank = _ranks(boxes, edges)
    chains, links = _chains(rank, edges)
    rows = _rows(boxes, rank, chains)
    _order(rows, links)
    sizes: dict[_Item, float] = {b: boxes[b].width for b in boxes}
    sizes |= {d: 4.0 for chain in chains.values() for d in chain}
    x = _positions(rows, links, sizes, gap)
    tops: list[float] = []
    high: list[float] = []
    y = 0.0
    for row in rows:
        height = max((boxes[b].height for b in row if isinstance(b, str)), default=0.0)
        tops.append(y + height / 2)
        high.append(height)
        y += height + between
    left = min((x[b] - boxes[b].width / 2 for b in boxes), default=0.0)
    right = max((x[b] + boxes[b].width / 2 for b in boxes), default=0.0)
    centers = {b: (x[b] - left, tops[rank[b]]) for b in boxes}
    paths = {}
    for a, b in edges:
        if a == b:
            continue
        up, down = (a, b) if rank[a] < rank[b] else (b, a)
        passed = [d for d in chains.get(up, []) if rank[up] < d[1] < rank[down]]
        middle = [(x[d] - left, tops[d[1]] + side * high[d[1]] / 2) for d in passed for side in (-1, 1)]
        points = [centers[up], *middle, centers[down]]
        paths[a, b] = points if (up, down) == (a, b) else points[::-1]
    return Placed(centers, paths, right - left, max(y - between, 0.0))


def _ranks(boxes: Mapping[str, Box], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return longest paths from the sources; a source moves down to just above the first that reads it."""
    graph = networkx.DiGraph()
    graph.add_nodes_from(boxes)
    for a, b in edges:
        if a != b and not graph.has_edge(b, a):
            graph.add_edge(a, b)
            if not networkx.is_directed_acyclic_graph(graph):
                graph.remove_edge(a, b)
                graph.add_edge(b, a)
    rank: dict[str, int] = {}
    for node in networkx.topological_sort(graph):
        rank[node] = max((rank[p] + 1 for p in graph.predecessors(node)), default=0)
    for node in boxes:
        if not list(graph.predecessors(node)) and (after := list(graph.successors(node))):
            rank[node] = min(rank[s] for s in after) - 1
    return rank


def _chains(
    rank: dict[str, int], edges: Sequence[tuple[str, str]]
) -> tuple[dict[str, list[_Dummy]], list[tuple[_Item, _Item]]]:
    """Return, per box, its dummies in the ranks that its edges pass through, and the links between adjacent ranks."""
    last: dict[str, int] = {}
    pairs = [(a, b) if rank[a] < rank[b] else (b, a) for a, b in edges if a != b]
    for a, b in pairs:
        last[a] = max(last.get(a, 0), rank[b])
    chains = {a: [(a, r) for r in range(rank[a] + 1, end)] for a, end in last.items()}
    links: list[tuple[_Item, _Item]] = []
    for a, chain in chains.items():
        links += zip([a, *chain], chain, strict=False)
    for a, b in pairs:
        links.append((a if rank[b] == rank[a] + 1 else (a, rank[b] - 1), b))
    return chains, links


def _rows(boxes: Mapping[str, Box], rank: dict[str, int], chains: dict[str, list[_Dummy]]) -> list[list[_Item]]:
    rows: list[list[_Item]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for box in boxes:
        rows[rank[box]].append(box)
        for dummy in chains.get(box, []):
            rows[dummy[1]].append(dummy)
    return rows


def _order(rows: list[list[_Item]], links: list[tuple[_Item, _Item]]) -> None:
    """Sort every rank by the mean place of its neighbours, up and down; keep the order with the fewest crossings."""
    above, below = _neighbours(links)
    best, fewest = [list(r) for r in rows], _crossings(rows, below)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for row in rows if down else rows[::-1]:
            at = {item: k for r in rows for k, item in enumerate(r)}
            mean = {i: sum(at[n] for n in near[i]) / len(near[i]) if near.get(i) else float(at[i]) for i in row}
            row.sort(key=lambda i: mean[i])
        if (crossed := _crossings(rows, below)) < fewest:
            best, fewest = [list(r) for r in rows], crossed
    for row, order in zip(rows, best, strict=True):
        row[:] = order


def _neighbours(links: list[tuple[_Item, _Item]]) -> tuple[_Near, _Near]:
    above: _Near = {}
    below: _Near = {}
    for a, b in links:
        below.setdefault(a, []).append(b)
        above.setdefault(b, []).append(a)
    return above, below


def _crossings(rows: list[list[_Item]], below: _Near) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        at = {item: k for k, item in enumerate(lower)}
        ends = [at[b] for a in upper for b in sorted(below.get(a, []), key=lambda i: at[i])]
        total += sum(ends[i] > ends[j] for i in range(len(ends)) for j in range(i + 1, len(ends)))
    return total


def _positions(
    rows: list[list[_Item]], links: list[tuple[_Item, _Item]], sizes: dict[_Item, float], gap: float
) -> dict[_Item, float]:
    """Return the place of every item along its rank: near its neighbours, in order, apart."""
    above, below = _neighbours(links)
    x: dict[_Item, float] = {}
    for row in rows:
        at = 0.0
        for item in row:
            x[item] = at + sizes[item] / 2
            at += sizes[item] + gap
    for sweep in range(2 * SWEEPS):
        near = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = [sum(x[n] for n in near[i]) / len(near[i]) if near.get(i) else x[i] for i in row]
            weights = [8.0 if not isinstance(i, str) else 1.0 for i in row]
            x.update(zip(row, _apart(wanted, weights, [sizes[i] for i in row], gap), strict=True))
    return x


def _apart(wanted: list[float], weights: list[float], sizes: list[float], gap: float) -> list[float]:
    """Return the places nearest to `wanted`, in squares, that keep order and distance."""
    offsets, at = [], 0.0
    for before, size in zip([None, *sizes], sizes, strict=False):
        at += 0.0 if before is None else (before + size) / 2 + gap
        offsets.append(at)
    blocks: list[list[float]] = []  # mean, weight, count
    for want, offset, weight in zip(wanted, offsets, weights, strict=True):
        blocks.append([want - offset, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, heavy, count = blocks.pop()
            other = blocks[-1]
            other[0] = (other[0] * other[1] + mean * heavy) / (other[1] + heavy)
            other[1] += heavy
            other[2] += count
    means = [mean for mean, _, count in blocks for _ in range(int(count))]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
