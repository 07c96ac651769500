"""What every pass must show: the numbers stay, and a second run changes nothing."""

from graphc.ir import Program, final
from graphc.ir.interpret import interpret
from graphc.lower import lower
from graphc.passes import Request, pipeline, run_passes

from . import small
from .gradients import EXACT, Experiment, difference, experiment, real


def experiments() -> dict[str, Experiment]:
    """Return the small networks with something to run on."""
    return {
        name: experiment(lower(net()), {"inp": real(12, 2, 3).abs() * 3})
        for name, net in (("recurrent", small.recurrent), ("feedforward", small.feedforward))
    }


def until(name: str, e: Experiment, gradients: bool = True) -> tuple[Program, Program]:
    """Return the program before and after the first pass called `name`."""
    request = Request(wrt=frozenset(e.wrt) if gradients else frozenset(), final=gradients)
    passes = pipeline(request)
    index = next(k for k, p in enumerate(passes) if p.name == name)
    before = run_passes(e.program, passes[:index])
    return before, run_passes(before, passes[index : index + 1])


def assert_same_numbers(e: Experiment, before: Program, after: Program) -> None:
    """Fail where outputs, final states or gradients of two programs differ by more than rounding."""
    one, two = interpret(before, e.given), interpret(after, e.given)
    for name in (*e.program.outputs, *(final(t.name) for t in e.program.states)):
        assert difference(two[name], one[name]) < EXACT, name
    assert float(one[e.program.outputs[0]].abs().max()) > 0, "the network is silent"
    if any(r.backward for r in before.regions):
        found, wanted = e.adjoint(after), e.adjoint(before)
    else:  # a lost StopGradient changes no value
        found, wanted = e.autograd(program=after), e.autograd(program=before)
    for name, gradient in wanted.items():
        assert float(gradient.abs().max()) > 0, f"{name} is dead"
        assert difference(found[name], gradient) < EXACT, name
