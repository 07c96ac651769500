"""The intermediate representation: typed graphs of one time step."""

from .errors import DeclarationError, GraphcError, TargetError, VerifyError
from .graph import Carry, Graph, History, Input, Names, Output
from .loc import Loc
from .node import Node, Value
from .ops import (
    C,
    Const,
    Count,
    Map,
    Ode,
    OdeSystem,
    Outer,
    Project,
    ProjectTransposed,
    Propagator,
    Read,
    Reduce,
    Reset,
    Spike,
    Spread,
    StopGradient,
    Test,
    Time,
    symbol,
)
from .printer import show
from .program import Parameter, Program, Region, Tensor, final, gradient, initial
from .schedule import Buffer, DeviceSpec, Kernel, Schedule
from .types import Type, join
from .verify import verify

__all__ = [
    "Buffer",
    "C",
    "Carry",
    "Const",
    "Count",
    "DeclarationError",
    "DeviceSpec",
    "Graph",
    "GraphcError",
    "History",
    "Input",
    "Kernel",
    "Loc",
    "Map",
    "Names",
    "Node",
    "Ode",
    "OdeSystem",
    "Outer",
    "Output",
    "Parameter",
    "Program",
    "Project",
    "ProjectTransposed",
    "Propagator",
    "Read",
    "Reduce",
    "Region",
    "Reset",
    "Schedule",
    "Spike",
    "Spread",
    "StopGradient",
    "TargetError",
    "Tensor",
    "Test",
    "Time",
    "Type",
    "Value",
    "VerifyError",
    "final",
    "gradient",
    "initial",
    "join",
    "show",
    "symbol",
    "verify",
]
