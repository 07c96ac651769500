"""Online learning on the Triton target: interpreted, and the kernel of traces built ahead of time."""

import pytest
import torch

import graphc as gc
from graphc.codegen.triton.traces import Shape, emit_traces
from graphc.runtime.load_triton import import_text
from graphc.runtime.trace_triton import TILE, WARPS, signature

from .models.trace_models import TABLE, network

STATES = Shape((True, False, False), (True, True, True), ((), (0, 1), (0, 1, 2)), True)


def gradients(target: str, chunk: int | str, weights=None, stream: bool = False, device: str = "cpu"):
    net = network(TABLE["ALIF, reset detached"][0]("population"), "population", size=6)
    net.connect("hid", "hid", weight=0.1, delay=1)
    model = gc.compile(net, learn=gc.learn.BlockDiagonal(chunk=chunk), target=target).to(device)
    if weights:
        model.load_state_dict(weights)
    x = (torch.rand(18, 3, 4, generator=torch.Generator().manual_seed(1)) < 0.5).float().to(device)
    if stream:
        state = model.initial_state(3)
        for part in x.split(6):
            run = model.run(part, state=state)
            run.output.pow(2).sum().backward()
            state = run.state
    else:
        model(x).pow(2).sum().backward()
    return model.state_dict(), {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.gpu
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_chunks_on_a_device_give_the_gradient_of_the_whole(stream):
    weights, expected = gradients("reference", "all")
    _, found = gradients("triton", 18 if stream else 5, weights, stream, "cuda")
    for name, grad in expected.items():
        torch.testing.assert_close(found[name].cpu(), grad, rtol=1e-4, atol=1e-5 * float(grad.abs().max()))


@pytest.mark.interpret
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_chunks_of_the_triton_target_give_the_gradient_of_the_whole(stream):
    weights, expected = gradients("reference", "all")
    _, found = gradients("triton", 18 if stream else 5, weights, stream)
    for name, grad in expected.items():
        assert grad.abs().max() > 0
        torch.testing.assert_close(found[name], grad, rtol=1e-4, atol=1e-5 * float(grad.abs().max()))


@pytest.mark.ahead
@pytest.mark.parametrize("arch", [80, 90, "gfx942"])
def test_the_kernel_of_traces_keeps_three_states_in_registers(arch):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from graphc.runtime import ahead

    amd = isinstance(arch, str)
    source = ASTSource(import_text(emit_traces(STATES)).chunk, signature(STATES), TILE)
    target = GPUTarget("hip", arch, 64) if amd else GPUTarget("cuda", arch, 32)
    options = {"num_warps": WARPS["hip" if amd else "cuda"], "enable_fp_fusion": True}
    report = ahead._report("chunk", triton.compile(source, target=target, options=options), arch)
    assert (report.spills, report.atomics) == (0, 0)
    assert report.shared <= 65536
