"""What changes the synapses of a model between calls, without another build: pruning, rewiring, learned delays."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from graphc.ir import GraphcError, Place, Program, Synapses


class SynapseControls(nn.Module):
    """The methods of a Model that change which synapses there are, and where learned delays stand."""

    _program: Program

    def prune(self, connection: str, *, fraction: float | None = None, threshold: float | None = None) -> int:
        """Remove synapses of a gc.Sparse connection for good; return how many.

        The weights keep their shape: those removed move behind the last row of the list, where no kernel reads them.

        Args:
            connection: its name.
            fraction: of the present synapses, the weakest ones.
            threshold: remove what is at most this strong.

        Raises:
            GraphcError: the connection keeps no list of single synapses, or none would be left.
        """
        lists = _Lists(self, connection)
        if (fraction is None) == (threshold is None):
            raise GraphcError("prune takes a fraction or a threshold")
        strength = lists.weight()[: lists.count].abs()
        if fraction is not None:
            weak = torch.zeros(lists.count, dtype=torch.bool, device=strength.device)
            weak[strength.argsort(stable=True)[: _share(fraction, lists.count)]] = True
        else:
            assert threshold is not None
            weak = strength <= threshold
        if weak.all():
            raise GraphcError(f"pruning would leave no synapse of connection '{connection}'", hint="prune less")
        kept, gone = (~weak).nonzero().flatten(), weak.nonzero().flatten()
        rest = torch.arange(lists.count, lists.room, device=kept.device)
        lists.arrange(torch.cat([kept, gone, rest]), lists.pre[kept], lists.post[kept])
        return len(gone)

    def rewire(
        self, connection: str, *, fraction: float | None = None, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Move synapses of a gc.Sparse connection to pairs that have none; return the numbers of the new ones, (k,).

        New synapses start with weight 0, and their number stays what it was. An optimizer that keeps moments per weight
        knows nothing of the move; clear its state at the returned numbers where that matters, after sorting: all
        synapses stay in row-major order, so that others may have moved as well.

        Args:
            connection: its name.
            fraction: of the present synapses, the weakest ones move. None: those of a connection with `sign=` that
                training has driven through 0.
            generator: of the new pairs; torch's default one otherwise.

        Raises:
            GraphcError: the connection keeps no list of single synapses, or has no sign and no fraction is given.

        Source:
            Bellec, Kappel, Maass & Legenstein (2018), Deep rewiring (no fraction); Mocanu et al. (2018), sparse
            evolutionary training (a fraction).
        """
        lists = _Lists(self, connection)
        raw = lists.raw("weight")[: lists.count]
        if fraction is None:
            if not lists.signed:
                raise GraphcError(
                    f"connection '{connection}' has no sign that a weight could cross",
                    hint="declare it with sign=, or give fraction=",
                )
            moved = raw < 0
        else:
            moved = torch.zeros(lists.count, dtype=torch.bool, device=raw.device)
            moved[raw.abs().argsort(stable=True)[: _share(fraction, lists.count)]] = True
        flat = lists.pre.long() * lists.targets + lists.post.long()
        new = _free_pairs(flat, int(moved.sum()), lists.sources * lists.targets, generator)
        flat = torch.where(moved, flat.new_zeros(()), flat)
        flat[moved] = new
        for name in lists.names:
            if name == "weight":
                with torch.no_grad():
                    lists.raw(name)[: lists.count][moved] = 0
        order = flat.argsort()
        rest = torch.arange(lists.count, lists.room, device=order.device)
        flat = flat[order]
        lists.arrange(torch.cat([order, rest]), flat // lists.targets, flat % lists.targets)
        return moved[order].nonzero().flatten()

    def anneal_delays(self, progress: float) -> None:
        """Narrow the Gaussians of learned delays: exponentially from their first to their last width.

        Args:
            progress: 0 at the start of training, 1 where the last width is reached.
        """
        for p, first, last in self._widths():
            share = min(max(float(progress), 0.0), 1.0)
            with torch.no_grad():
                p.fill_(first * (last / first) ** share)

    def round_delays(self) -> None:
        """Round learned delays to whole steps, and let Gaussians become one step wide; the end of training."""
        program = self._program
        for p in program.parameters:
            if p.attribute == "delay":
                taps = program.taps[p.owner]
                with torch.no_grad():
                    tensor = _tensor(self, p.owner, "delay")
                    tensor.copy_(tensor.round().clamp(taps[0], taps[1]))
        for sigma, _, _ in self._widths():
            with torch.no_grad():
                sigma.zero_()

    def _widths(self) -> list[tuple[torch.Tensor, float, float]]:
        """Return the width of every Gaussian, with the ends of its schedule."""
        found = []
        for p in self._program.parameters:
            if p.attribute == "sigma" and p.owner in self._program.taps:
                _, _, first, last = self._program.taps[p.owner]
                found.append((_tensor(self, p.owner, "sigma"), first, last))
        return found


def _tensor(model: nn.Module, owner: str, name: str) -> torch.Tensor:
    found: torch.Tensor = getattr(model.get_submodule(owner), name)
    return found


class _Lists:
    """The list of the synapses of one connection, and what is kept per synapse."""

    def __init__(self, model: SynapseControls, connection: str) -> None:
        program = model._program
        mine = {p.attribute: p for p in program.parameters if p.owner == connection}
        if not mine:
            known = sorted({p.owner for p in program.parameters if p.attribute == "weight"})
            raise GraphcError(f"there is no connection '{connection}'", hint=f"there are {', '.join(known)}")
        if "rows" not in mine or "order" in mine or mine["weight"].type.axes != mine["post"].type.axes:
            raise GraphcError(
                f"connection '{connection}' is no list of single synapses with one delay",
                mine["weight"].loc if "weight" in mine else None,
                "declare it with gc.Sparse(...) and one delay; torch.nn.utils.prune masks dense weights",
            )
        if any(t.name.startswith(f"{connection}.") for t in program.states):
            raise GraphcError(
                f"a rule keeps states on the synapses of connection '{connection}', which cannot move",
                mine["weight"].loc,
                "declare a connection with another mask, and compile again",
            )
        self.owner: Any = model.get_submodule(connection)
        axes = mine["post"].type.axes
        self.names = [name for name, p in mine.items() if p.type.axes == axes and name != "post"]
        self.rows, self.all_posts = _tensor(model, connection, "rows"), _tensor(model, connection, "post")
        self.sources = len(self.rows) - 1
        self.targets = program.sizes[_ends(program, f"{connection}.post")[1]]
        self.count, self.room = int(self.rows[-1]), len(self.all_posts)
        counts = self.rows.long().diff()
        self.pre = torch.repeat_interleave(torch.arange(self.sources, device=counts.device), counts)
        self.post = self.all_posts[: self.count].long()
        self.signed = mine["weight"].sign is not None

    def raw(self, name: str) -> torch.Tensor:
        """Return what is learned of `name`, free of its parametrization."""
        parametrizations = getattr(self.owner, "parametrizations", {})
        found: torch.Tensor = parametrizations[name].original if name in parametrizations else getattr(self.owner, name)
        return found.detach()

    def weight(self) -> torch.Tensor:
        """Return the weights."""
        found: torch.Tensor = self.owner.weight.detach()
        return found

    def arrange(self, order: torch.Tensor, pre: torch.Tensor, post: torch.Tensor) -> None:
        """Put the synapses into `order`; those that stay present join `pre` to `post`, sorted."""
        with torch.no_grad():
            for name in self.names:
                tensor = self.raw(name)
                tensor.copy_(tensor[order])
            self.all_posts[: len(post)] = post.to(torch.int32)
            ends = torch.arange(self.sources + 1, device=pre.device)
            self.rows.copy_(torch.searchsorted(pre.contiguous(), ends).to(torch.int32))


def _share(fraction: float, count: int) -> int:
    if not 0 <= fraction <= 1:
        raise GraphcError(f"fraction is {fraction!r}", hint="give a number from 0 to 1")
    return round(fraction * count)


def _free_pairs(taken: torch.Tensor, count: int, pairs: int, generator: torch.Generator | None) -> torch.Tensor:
    """Return `count` different numbers below `pairs` that are not among `taken`, drawn uniformly."""
    if len(taken) + count > pairs:
        raise GraphcError(f"there are {pairs - len(taken)} pairs without a synapse, but {count} synapses to move")
    found = taken.new_empty(0)
    while len(found) < count:
        wanted = 2 * (count - len(found)) + 16
        drawn = torch.randint(pairs, (wanted,), generator=generator, device=generator.device if generator else None)
        drawn = drawn.to(taken.device)
        both = torch.cat([found, drawn[~torch.isin(drawn, taken)]])
        values, where = torch.unique(both, return_inverse=True)
        first = torch.full_like(values, len(both)).scatter_reduce_(
            0, where, torch.arange(len(both), device=both.device), "amin"
        )
        found = both[first.sort().values][:count]  # in the order drawn: sorted ones would favour small numbers
    return found


def _ends(program: Program, post: str) -> tuple[str, str]:
    """Return the axes of the source and of the target of a list of synapses."""
    for region in program.regions:
        values = {i.value for i in region.graph.inputs if i.source == post}
        for node in region.graph.nodes:
            if values.intersection(node.operands):
                if isinstance(node, Synapses):
                    return node.ends
                if isinstance(node, Place):
                    return node.result.type.axes[0], node.result.type.axes[1]
    raise GraphcError(f"no synapse reads '{post}'")
