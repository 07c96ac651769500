"""Network -> Program: the declared equations as one time step, in the order of the step semantics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sympy

from graphc.ir import (
    Carry,
    DeclarationError,
    Graph,
    History,
    Loc,
    Noise,
    Output,
    Parameter,
    Program,
    Read,
    Region,
    Tensor,
    Test,
    Time,
    Type,
    Value,
    final,
    initial,
)
from graphc.ir.program import Applied, during
from graphc.passes.diffusion import SUBSTREAM

from . import symbols as gs
from .block import Block, Past, Signals
from .connectivity import Dense, OneToOne
from .delay import Taps
from .distributions import Distribution
from .lower_lists import declare_connection
from .lower_population import PopulationStep
from .lower_rule import RuleStep
from .network import Network, Population
from .plasticity import ThirdFactor
from .records import Record, families_of, parts_of
from .translate import Scope


def lower(network: Network, records: Sequence[str] = (), detect: bool = True) -> Program:
    """Return the program of `network` that writes its outputs and `records`.

    With `detect`, states of synapses that one side alone determines are kept per neuron.

    Raises:
        DeclarationError: a record names nothing of the network.
    """
    names = [part for name in (*network.outputs, *records) for part in parts_of(network, name)]
    return Lowering(network, detect).run(tuple(dict.fromkeys(names)))


def axes_of(network: Network) -> dict[str, str]:
    """Return the axis of every input and population; one for those joined one to one or by a shared weight."""
    axis = {name: name for name in (*network.inputs, *network.populations)}
    factors = [c.sink for c in network.connections.values() if isinstance(c.sink, ThirdFactor)]
    axis |= {f.name: f.population or f.name for f in factors}

    def root(name: str) -> str:
        while axis[name] != name:
            name = axis[name]
        return name

    for connection in network.connections.values():
        paired = isinstance(connection.connectivity, OneToOne)
        pairs = [(connection.pre, connection.post)] if paired else []
        if connection.shared is not None and isinstance(
            connection.connectivity, Dense
        ):  # one weight has one pair of axes
            owner = network.connections[connection.shared]
            pairs += [(connection.pre, owner.pre), (connection.post, owner.post)]
        for pre, post in pairs:
            a, b = root(pre), root(post)
            axis[a] = b
    return {name: root(name) for name in axis}


def streams_of(network: Network) -> dict[tuple[str, str], int]:
    """Return the number of every source of noise, by its owner and name: populations first, as they were declared."""
    found = [(p.name, n.name) for p in network.populations.values() for n in p.neuron.noises]
    found += [(p.name, "spike") for p in network.populations.values() if p.neuron.escapes]
    found += [(c.name, n.name) for c in network.connections.values() for n in c.noises]
    return {key: number for number, key in enumerate(found)}


class Lowering:
    """The program under construction: one step of the whole network, and its initial state."""

    def __init__(self, network: Network, detect: bool = True) -> None:
        self.network, self.detect = network, detect
        self.axis = axes_of(network)
        self.block = Block()
        self.start = Block()
        self.carries: list[Carry] = []
        self.pasts: dict[str, Past] = {}
        self.parameters: dict[str, Parameter] = {}
        self.draws: dict[str, Parameter] = {}
        self.states: list[Tensor] = []
        self.signals: dict[str, Signals] = {}
        self.requested: list[Record] = []
        self.initial_values: dict[str, Value] = {}
        self.time: Value | None = None
        self.sizes: dict[str, int] = {}
        self.delayed: dict[str, tuple[str, str]] = {}
        self.starts: dict[str, dict[sympy.Basic, Value]] = {}
        self.rules: dict[str, RuleStep] = {}
        self.applied: list[Applied] = []
        self.streams = streams_of(network)

    def run(self, records: tuple[str, ...]) -> Program:
        """Lower every population in the order of the zero-delay connections, then what was asked for."""
        network = self.network
        self.requested = [network.resolve_record(r) for r in records]
        order = evaluation_order(network)
        self._declare_parameters()
        for name in order:
            self._initial(network.populations[name])
        plastic = [c for c in network.connections.values() if c.rule is not None]
        self.rules.update({c.name: RuleStep(self, c, self.detect) for c in plastic})
        for name in order:
            PopulationStep(self, network.populations[name]).run()
        for rule in self.rules.values():
            rule.finish()
        self._close_pasts()
        names = [during(r) if r in self.parameters else r for r in records]
        outputs = tuple(Output(n, self._record(q), "sequence") for n, q in zip(names, self.requested, strict=True))
        histories = []
        for name, past in self.pasts.items():
            assert past.value is not None
            self.states.append(Tensor(name, past.type, past.depth))
            histories.append(History(name, past.value, past.depth, initial(name), final(name)))
        graph = Graph(
            "step",
            tuple(self.block.inputs.values()),
            tuple(self.block.nodes),
            outputs,
            tuple(self.carries),
            tuple(histories),
        )
        start = Graph(
            "initial",
            tuple(self.start.inputs.values()),
            tuple(self.start.nodes),
            tuple(
                Output(initial(t.name), self.initial_values[t.name], "fixed")
                for t in self.states
                if t.name in self.initial_values
            ),
        )
        sizes = self.sizes | {self.axis[n]: i.size for n, i in network.inputs.items()}
        sizes |= {self.axis[n]: p.size for n, p in network.populations.items()}
        factors = [c.sink for c in network.connections.values() if isinstance(c.sink, ThirdFactor)]
        sizes |= {self.axis[f.name]: f.size for f in factors}
        return Program(
            stage="declared",
            dt=network.dt,
            sizes=sizes,
            parameters=tuple(self.parameters.values()),
            inputs=tuple(
                Tensor(n, Type("real", True, (self.axis[n],)), None, i.loc) for n, i in network.inputs.items()
            ),
            outputs=tuple(names),
            states=tuple(self.states),
            initial=start,
            draws=tuple(self.draws.values()),
            regions=(Region("steps", graph),),
            taps={
                c.name: (c.delay.first, c.delay.last, *c.delay.sigma)
                for c in network.connections.values()
                if isinstance(c.delay, Taps)
            },
            applied=tuple(self.applied),
            streams=len(self.streams),
            asked=network.outputs,
            families=families_of(network),
        )

    def _declare_parameters(self) -> None:
        for population in self.network.populations.values():
            axis_of: dict[str, tuple[str, ...]] = {
                "neuron": (self.axis[population.name],),
                "channel": (f"{population.name}.channels",),
            }
            for p in population.parameters.values():
                axes = axis_of.get(p.per, ())
                if p.per == "channel":
                    self.sizes[axes[0]] = population.shape[0]
                self._declare(population.name, p.name, Type("real", False, axes), p, population.loc)
        if any(c.init is not None and c.weight is None for c in self.network.connections.values()):
            from .init.fluctuation import initialise

            initialise(self.network)
        for connection in self.network.connections.values():
            declare_connection(self, connection)

    def _declare(self, owner: str, name: str, type: Type, p: Any, loc: Loc) -> None:
        full = f"{owner}.{name}"
        self.parameters[full] = Parameter(full, owner, name, type, p.value, p.learn, p.min, p.max, loc=loc)

    def parameter(self, block: Block, owner: str, name: str) -> Value:
        """Return the value of a parameter in `block`."""
        p = self.parameters[f"{owner}.{name}"]
        value = block.input(p.name, p.type, "fixed", p.loc)
        if p.type.axes != (f"{owner}.channels",):
            return value
        population = self.network.populations[owner]
        return block.repeat(value, self.axis[owner], population.size // population.shape[0])

    def now(self) -> Value:
        """Return the time of the step, made once."""
        if self.time is None:
            self.time = self.block.add(Time(result=self.block.names.value("t", Type()), dt=self.network.dt))
        return self.time

    def drawn(self, owner: str, name: str, kind: Literal["normal", "uniform"], loc: Loc | None = None) -> Value:
        """Return a random number per sample and neuron of a population."""
        return self.drawn_over((self.axis[owner],), owner, name, kind, loc)

    def drawn_over(
        self,
        axes: tuple[str, ...],
        owner: str,
        name: str,
        kind: Literal["normal", "uniform"],
        loc: Loc | None = None,
        part: int = 0,
    ) -> Value:
        """Return a random number per sample and element of `axes`; every `part` of a source has numbers of its own."""
        result = self.block.names.value(f"{owner}.{name}_drawn", Type("real", True, axes), loc=loc)
        stream = self.streams[owner, name] + part * SUBSTREAM
        return self.block.add(Noise(result=result, stream=stream, kind=kind))

    def read(self, name: str, type: Type, delay: int, before: Value | None, hint: str) -> Value:
        """Return what the history `name` held `delay` steps ago."""
        past = self.pasts.setdefault(name, Past(type))
        past.depth = max(past.depth, delay)
        if before is not None:
            self.initial_values.setdefault(name, before)
        for node in self.block.nodes:
            if isinstance(node, Read) and node.history == name and node.delay == delay:
                return node.result
        return self.block.add(Read(result=self.block.names.value(hint, type), history=name, delay=delay))

    def signal(self, owner: str, name: str, steps: int) -> Value:
        """Return signal `name` of an input or population as it was `steps` steps ago."""
        axis = self.axis[owner]
        if owner in self.network.inputs:
            value = self.block.input(owner, Type("real", True, (axis,)), "sequence", self.network.inputs[owner].loc)
            if steps == 0:
                return value
            history = f"{owner}@history"
            self.pasts.setdefault(history, Past(value.type)).value = value
            return self.read(history, value.type, steps, None, f"{owner}_{steps}")
        neuron = self.network.populations[owner].neuron
        if name == "output" and neuron.output == gs.spike:
            name = "spike"
        if steps == 0:
            return self.signals[owner].final[name]
        flag = name in ("spike", "refractory")
        type = Type("bool" if flag else "real", True, (axis,))
        history = f"{owner}.{name}@history"
        self.delayed[history] = (owner, name)
        before = None if flag or any(i.name == name for i in neuron.inputs) else self._before(owner, name)
        return self.read(history, type, steps, before, f"{owner}_{name}_{steps}")

    def _before(self, owner: str, name: str) -> Value:
        """Return a signal of the initial state."""
        full = f"{owner}.{name.partition('@')[0]}"
        if full not in self.initial_values:  # a `let`
            neuron = self.network.populations[owner].neuron
            scope = Scope(self, self.start, owner)
            self.initial_values[full] = scope.value(neuron.let[name], self.starts[owner], name)
        return self.initial_values[full]

    def _close_pasts(self) -> None:
        """Give the histories of signals their values, now that every population has been lowered."""
        for history, (owner, name) in self.delayed.items():
            past = self.pasts[history]
            past.value = self.block.spread(self.signals[owner].final[name], past.type)

    def delays_let(self, owner: str, name: str) -> bool:
        """Whether a connection reads the `let` called `name` of population `owner`."""
        return any(
            s.signal == name and owner == (c.pre if s.side == "pre" else c.post)
            for c in self.network.connections.values()
            for s in c.signals
        )

    def _initial(self, population: Population) -> None:
        """Write the initial state, and the output that it makes, into the initial graph."""
        neuron, block, owner = population.neuron, self.start, population.name
        axis = self.axis[owner]
        env: dict[sympy.Basic, Value] = {gs.t: block.const(0.0)}
        nothing = (*neuron.inputs, *neuron.noises, gs.spike, gs.refractory)
        env |= dict.fromkeys(nothing, env[gs.t])
        env |= {p: self.parameter(block, owner, p.name) for p in neuron.parameters}
        todo = dict(population.init)
        for _ in range(len(todo) + 1):
            for state in [s for s in todo if not _unknown(todo[s], env)]:
                env[state] = self._initial_value(f"{owner}.{state.name}", todo.pop(state), env, axis)
        if todo:
            state = next(iter(todo))
            raise DeclarationError(
                f"the initial value of '{state.name}' of population '{owner}' depends on itself", population.loc
            )
        self.starts[owner] = env
        for state in neuron.states:
            self.initial_values[f"{owner}.{state.name}"] = env[state]
        scope = Scope(self, block, owner)
        self.initial_values[f"{owner}.output"] = scope.value(neuron.output, env, "output")
        if neuron.spike is not None and neuron.spike.edge == "rising":
            margin = scope.value(neuron.spike.margin, env, "condition")
            result = block.names.value(f"{owner}.above", margin.type.with_dtype("bool"))
            self.initial_values[f"{owner}.above"] = block.add(
                Test(result=result, operands=(margin,), strict=neuron.spike.strict)
            )

    def _initial_value(self, name: str, value: Any, env: Mapping[sympy.Basic, Value], axis: str) -> Value:
        if isinstance(value, sympy.Basic):
            owner, _, state = name.partition(".")
            return Scope(self, self.start, owner).value(value, env, state)
        if isinstance(value, (int, float)):
            return self.start.const(float(value), name)
        draw = f"{name}@draw"
        batched = isinstance(value, Distribution)
        self.draws[draw] = Parameter(draw, "", "", Type("real", batched, (axis,)), value, False)
        return self.start.input(draw, self.draws[draw].type, "fixed")

    def _record(self, record: Record) -> Value:
        if record.owner in self.network.inputs:
            return self.block.input(record.owner, Type("real", True, (self.axis[record.owner],)), "sequence")
        if record.owner in self.rules and self.network.connections[record.owner].records(record.signal):
            return self.rules[record.owner].record(record.signal)
        if record.owner in self.network.connections:  # a weight that no rule changes is the same at every step
            owner = self.network.connections[record.owner].shared or record.owner
            weight = self.parameter(self.block, owner, record.signal)
            return self.block.spread(weight, Type("real", True, weight.type.axes))
        signals = self.signals[record.owner]
        found = (signals.threshold if record.at_threshold else signals.final)[record.signal]
        return self.block.spread(found, Type(found.type.dtype, True, (self.axis[record.owner],)))


def evaluation_order(network: Network) -> list[str]:
    """Return the populations so that those joined with delay 0 stand after their sources."""
    import networkx

    graph = networkx.DiGraph()
    graph.add_nodes_from(network.populations)
    graph.add_edges_from(
        (c.pre, c.post)
        for c in network.connections.values()
        if c.shortest == 0 and c.pre in network.populations and c.post in network.populations
    )
    return list(networkx.lexicographical_topological_sort(graph, key=list(network.populations).index))


def _unknown(value: Any, env: Mapping[sympy.Basic, Value]) -> bool:
    return isinstance(value, sympy.Basic) and any(isinstance(s, gs.State) and s not in env for s in value.free_symbols)
