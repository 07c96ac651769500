"""Synaptic intelligence: parameters that mattered for what was learned before are held back from changing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class SynapticIntelligence:
    """Keeps how much each parameter has lowered the loss, and the penalty for moving those that did.

    Add `penalty` to the loss, call `measure` after every step of the optimiser, while the gradients of that step are
    still there, and `consolidate` when a task ends. The gradient of the penalty counts for no gain.

    Source:
        Zenke, Poole & Ganguli (2017), ICML, PMLR 70, 3987-3995, equations 1 to 5.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor], strength: float = 0.1, damping: float = 0.1) -> None:
        """Begin with no importance.

        Args:
            parameters: by name, such as ``dict(model.named_parameters())``.
            strength: of the penalty, c.
            damping: keeps the importance of what hardly moved finite, xi; in units of squared parameters.
        """
        self.parameters = dict(parameters)
        self.strength, self.damping = strength, damping
        self.importance = {n: 0 * p.detach() for n, p in self.parameters.items()}
        self.anchors = {n: p.detach().clone() for n, p in self.parameters.items()}
        self._last = {n: p.detach().clone() for n, p in self.parameters.items()}
        self._path = {n: 0 * p.detach() for n, p in self.parameters.items()}

    def measure(self) -> None:
        """Add ``-gradient * movement`` of the step that the optimiser has just made; the gradient is the task's."""
        for name, p in self.parameters.items():
            now = p.detach().clone()
            if p.grad is not None:
                held = 2 * self.strength * self.importance[name] * (self._last[name] - self.anchors[name])
                self._path[name] -= (p.grad.detach() - held) * (now - self._last[name])
            self._last[name] = now

    def consolidate(self) -> None:
        """End a task: what was gained along the path becomes importance, and the parameters the new anchors."""
        for name, p in self.parameters.items():
            moved = p.detach() - self.anchors[name]
            self.importance[name] = self.importance[name] + self._path[name].clamp(min=0) / (moved**2 + self.damping)
            self.anchors[name] = p.detach().clone()
            self._path[name] = 0 * self._path[name]

    def penalty(self) -> torch.Tensor:
        """Return ``c sum importance (parameter - anchor)**2``."""
        parts = [(self.importance[n] * (p - self.anchors[n]) ** 2).sum() for n, p in self.parameters.items()]
        total: torch.Tensor = self.strength * sum(parts[1:], parts[0])
        return total
