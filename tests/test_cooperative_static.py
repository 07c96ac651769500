"""What can be said of cooperative kernels, and of products of rounded factors, without a GPU."""

import re
from dataclasses import replace

import pytest

from graphc.codegen.triton import emit
from graphc.passes.pressure import pressure
from graphc.runtime.ahead import KernelReport, compile_ahead

from .models.triton_kernels import network_of, schedule_network

pytestmark = pytest.mark.ahead
SHARED = {80: 163 * 1024, 90: 227 * 1024, "gfx942": 64 * 1024}


def loops(neuron: str, size: int, precision: str, arch: int | str = 90, delay: int = 1, **tuned):
    made = schedule_network(network_of(neuron, size, delay), tuned=tuned, precision=precision, arch=arch)
    return made, [k for k in made.kernels if k.kind != "product"]


def built(neuron: str, size: int, precision: str, arch: int | str = 90, half: str = "forward") -> KernelReport:
    made, _ = loops(neuron, size, precision, arch)
    return compile_ahead(made, {half: emit(made)[half]}, arch)[0]


@pytest.mark.parametrize("half", ["forward", "backward"])
def test_text_of_a_cooperative_kernel(golden, half):
    made, kernels = loops("ALIF", 300, "bfloat16", delay=2, tile_time=1)
    text = emit(replace(made, kernels=tuple(kernels)))[half]
    golden(re.sub(r"(\w+\.py):\d+", r"\1", text))


def test_text_of_products_that_load_their_weights_at_every_step(golden):
    made, kernels = loops("CoBaLIF", 200, "float32")
    text = emit(replace(made, kernels=tuple(kernels)))["forward"]
    golden(re.sub(r"(\w+\.py):\d+", r"\1", text[text.index("@triton.jit(do_not") :]))


@pytest.mark.parametrize(
    ("neuron", "size", "precision", "arch", "half"),
    [
        ("CuBaLIF", 512, "bfloat16", 90, "forward"),
        ("LIF", 256, "float32", 80, "backward"),
        ("ALIF", 256, "float16", "gfx942", "forward"),
    ],
)
def test_cooperative_kernels_fit(neuron, size, precision, arch, half):
    report = built(neuron, size, precision, arch, half)
    assert report.registers and report.local == 0 and report.atomics == 0 and report.shared <= SHARED[arch]
    trap = r"\bs_trap\b" if arch == "gfx942" else r"\bBPT\.TRAP\b"
    assert re.search(trap, report.assembly)  # a lost program ends the launch


def test_held_weights_are_not_loaded_in_the_loop():
    report = built("CuBaLIF", 512, "bfloat16")
    heard, own = 16 * 512 * 2 // 256, 512 * 32 * 2 // 256  # bytes per thread: of what others published, of the weights
    assert report.shared >= 512 * 32 * 2 and heard <= report.loop_loads < heard + own // 4
    assert "HMMA.16816.F32.BF16" in report.assembly


def test_no_factor_is_read_by_two_warps():
    report = built("CuBaLIF", 2048, "bfloat16")
    loop = report.assembly[report.assembly.index("HMMA") :]
    products, factors = len(re.findall(r"\bHMMA", loop)), len(re.findall(r"\bLDSM\S*\.4\b", loop))
    assert products == 32 * 32 * 2048 // (16 * 8 * 16) // 8  # of 8 warps, none makes a product that another makes
    assert factors <= 2 * 32 * 2048 * 2 // (8 * 512) + 8  # loads of 512 bytes, of weights and of what was heard


@pytest.mark.parametrize(("size", "precision"), [(256, "bfloat16"), (128, "tf32")])
def test_resident_weights_stay_in_shared_memory_for_tensor_cores(size, precision):
    report = built("CuBaLIF", size, precision)
    assert report.shared >= size * size * (2 if precision == "bfloat16" else 4)
    assert report.local == 0 and report.loop_loads <= 128 and re.search(r"\bHMMA\.\S*F32", report.assembly)


def test_warps_share_out_sums_that_are_long_enough_of_held_weights():
    def shares(*case, **tuned):
        return [k.options["shares"] for k in loops("CuBaLIF", *case, **tuned)[1]]

    assert shares(512, "bfloat16") == [8, 8] and shares(2048, "float16", 80) == [1, 1]  # there the weights do not fit
    assert shares(512, "float32") == [1, 1] and shares(100, "bfloat16", strategy="cooperative") == [8, 8]
    assert shares(60, "bfloat16", strategy="cooperative") == [1, 1]


def test_programs_are_as_many_as_a_device_runs_at_once_with_64_samples():
    for arch, cores in ((80, 108), (90, 132)):
        for size in (512, 1024, 2048):
            for kernel in loops("CuBaLIF", size, "bfloat16", arch)[1]:
                tiles = -(-64 // kernel.options["rows"])
                assert kernel.strategy == "cooperative"
                assert tiles * kernel.options["programs"] <= cores or (arch, size) == (80, 2048)


def test_a_step_that_keeps_more_values_takes_more_warps_or_more_programs():
    few, many = (loops(neuron, 128, "bfloat16")[1] for neuron in ("CuBaLIF", "HodgkinHuxley"))
    assert [pressure(a.graph) < pressure(b.graph) for a, b in zip(few, many, strict=True)] == [True, True]
    assert {k.strategy for k in few} == {"resident"} and {k.strategy for k in many} == {"cooperative"}
    assert "values of each neuron" in many[0].reason and many[1].options["warps"] > few[1].options["warps"]
