"""The numbers of a network or of a model, as they are now."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.distributions import Distribution
from graphc.ir.errors import DeclarationError
from graphc.ir.loc import Loc
from graphc.network import Network

Array = np.ndarray[Any, Any]


class Numbers:
    """Reads parameters by the names of their owner and their own."""

    def __init__(self, network: Network, model: Any, loc: Loc) -> None:
        """Take the network, and the model that holds its parameters or None."""
        self.network, self.model, self.loc = network, model, loc

    @property
    def dtype(self) -> Any:
        """The type that numbers of it have."""
        return (
            np.dtype(str(self.model.dtype).removeprefix("torch.")) if self.model is not None else np.dtype(np.float64)
        )

    def of(self, owner: str, attribute: str) -> Array:
        """Return the value of ``model.<owner>.<attribute>``.

        Raises:
            DeclarationError: it is drawn when the network is compiled.
        """
        connection = self.network.connections.get(owner)
        if connection is not None and attribute == "weight" and connection.shared is not None:
            owner = connection.shared
        if self.model is not None:
            module = getattr(self.model, owner)
            if hasattr(module, attribute):
                return np.asarray(getattr(module, attribute).detach().cpu().numpy())
        value: Any
        if connection is not None:
            value = self.network.connections[owner].weight
        else:
            value = self.network.populations[owner].parameters[attribute].value
        if value is None or isinstance(value, Distribution):
            message = f"'{owner}.{attribute}' is drawn when the network is compiled, so that it has no numbers yet"
            raise DeclarationError(message, self.loc, "compile it, and write the model")
        return np.asarray(value, dtype=np.float64)
