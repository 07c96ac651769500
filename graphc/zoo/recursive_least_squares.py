"""FORCE learning by recursive least squares: a rule that is not local, so it streams and assigns weights in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from graphc.runtime import Model

    State = dict[str, torch.Tensor]


def force(
    model: Model,
    targets: torch.Tensor,
    source: str,
    readout: str,
    *,
    inputs: torch.Tensor | None = None,
    state: State | None = None,
    alpha: float = 1.0,
    every: int = 2,
) -> tuple[torch.Tensor, State]:
    """Teach a readout its targets while the network runs, and return what it sent and the state at the end.

    Every few steps the weights of the connection ``<source>_<readout>``, from rates r to the readout y, move by
    ``-P r (y - target)``, where P is the inverse correlation of the rates. The network feeds y back itself, by a
    connection with a delay. Both populations are outputs of the network.

    Args:
        model: compiled, of batch size 1.
        targets: (T, M), what the M units of the readout are to send.
        source: population of N rate units.
        readout: population of M units, which is densely connected to the source alone.
        inputs: (T, K), of the network; none where it has no input.
        state: where to begin.
        alpha: P begins as the unit matrix over alpha, so that alpha is the inverse of a learning rate.
        every: steps from one change of the weights to the next.

    Source:
        Sussillo & Abbott (2009), Neuron 63, 544-557, equations 2 to 5.
    """
    import torch

    weight = getattr(model, f"{source}_{readout}").weight
    found, state = [], model.initial_state(1) if state is None else state
    with torch.no_grad():
        P = torch.eye(weight.shape[0], dtype=weight.dtype, device=weight.device) / alpha
        for t, target in enumerate(targets):
            sent, state = model.step(None if inputs is None else inputs[t, None], state)
            r, y = sent[source][0], sent[readout][0]
            found.append(y)
            if t % every == 0:
                k = P @ r
                gain = k / (1 + r @ k)
                P -= torch.outer(gain, k)
                weight -= torch.outer(gain, y - target.to(y))
    return torch.stack(found), state
