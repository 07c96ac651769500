"""Checks of a whole network, made when it is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.ir.errors import DeclarationError, raise_all

if TYPE_CHECKING:
    from .network import Network


def check_network(network: Network) -> None:
    """Raise everything that is wrong with `network` as a whole."""
    errors = zero_delay_cycles(network)
    if not network.populations:
        errors.append(DeclarationError("the network has no population", network.loc, "net.population(...)"))
    elif not network.outputs:
        last = next(reversed(network.populations))
        errors.append(DeclarationError("the network has no output", network.loc, f'net.output("{last}")'))
    raise_all(errors)
    if any(c.init is not None for c in network.connections.values()):
        from .init.fluctuation import initialise

        initialise(network)


def zero_delay_cycles(network: Network) -> list[DeclarationError]:
    """Return one error per group of populations that wait for each other within one step."""
    import networkx

    graph = networkx.DiGraph()
    for connection in network.connections.values():
        if connection.shortest == 0 and connection.pre in network.populations:
            graph.add_edge(connection.pre, connection.post, connection=connection)
    errors = []
    for component in networkx.strongly_connected_components(graph):
        part = graph.subgraph(component)
        if part.number_of_edges() == 0:
            continue
        cycle = [part.edges[edge]["connection"] for edge in networkx.find_cycle(part, source=sorted(component)[0])]
        last = max(cycle, key=lambda c: list(network.connections).index(c.name))
        if len(cycle) == 1:
            message = f"recurrent connection '{last.name}' has no delay"
        else:
            route = " -> ".join([cycle[0].pre, *(c.post for c in cycle)])
            message = f"connection '{last.name}' closes the cycle {route} without any delay"
        errors.append(DeclarationError(message, last.loc, "a cycle needs a delay of one step at least: delay=1"))
    return errors
