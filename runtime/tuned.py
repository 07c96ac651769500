"""What a model takes of the tuning database, and how chosen options become those of a build."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from graphc.ir import GraphcError, Program
from graphc.passes import Request

from .build import Key
from .cache import tuning_file

LOG = logging.getLogger("graphc.tune")
OF_CALL = ("checkpoint", "chunk", "recompute")
"""Options that are no kernel's: how a call is cut, and what its backward half reads."""

MEMORY = ("recompute", "spikes")
"""Options by which a call may need more memory than with the defaults."""


@dataclass(frozen=True, slots=True)
class Size:
    """Buckets of T and of B; None where a trace of torch.compile does not know them."""

    steps: int
    batch: int


def size_of(steps: int, batch: int) -> Size | None:
    """Return the size of a call."""
    if torch.compiler.is_compiling():
        return None
    return Size(1 << max(steps - 1, 0).bit_length(), 1 << max(batch - 1, 0).bit_length())


def with_options(key: Key, chosen: Mapping[str, int | str], origin: str = "") -> Key:
    """Return `key` with chosen options; what the learning rule of the user says stays as it is."""
    options = replace(key.options, schedule=tuple(sorted((n, v) for n, v in chosen.items() if n not in OF_CALL)))
    options = replace(options, origin=origin)
    every, chunk = chosen.get("checkpoint"), chosen.get("chunk")
    if isinstance(every, int) and options.checkpoint == "auto" and options.memory_budget is None:
        options = replace(options, checkpoint=every)
    if isinstance(chunk, int) and options.chunk is None and options.rule is not None:
        options = replace(options, chunk=chunk)
    request: Request = key.request
    if not int(chosen.get("recompute", 1)):
        request = replace(request, recompute=False)
    return replace(key, options=options, request=request)


def tuned(key: Key, declared: Program, size: Size | None) -> Key:
    """Return `key` with the options that the tuning database has for it; `key` itself where it has none."""
    if key.target == "reference":
        return key
    try:
        path = tuning_file()
        if path is None or not path.exists():
            return key
    except (OSError, GraphcError) as error:  # what cannot be read holds nothing
        LOG.warning("the tuning database cannot be read: %s", error)
        return key
    from .tune.database import Database
    from .tune.identity import graph_hash, identify

    graph = graph_hash(declared, key.options.rule, key.options.precision)
    steps, batch = (size.steps, size.batch) if size else (1, 1)
    dtype, learns = str(key.dtype).removeprefix("torch."), bool(key.request.wrt)
    wanted = identify(graph, key.target, torch.device(key.device), dtype, learns, steps, batch)
    entry = Database(path).lookup(wanted, sized=size is not None)
    if entry is None:
        return key
    LOG.info("%s serves %s", entry, key)
    kept = {n: v for n, v in entry.schedule.items() if key.options.memory_budget is None or n not in MEMORY}
    return with_options(key, kept, str(entry))
