"""Every zoo neuron in small random networks: the float64 reference equals hand-written NumPy loops."""

import ast
import functools
import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch

import graphc as gc

from .oracles import loop, loops, loops_compartments, loops_spiking, loops_units
from .oracles.loops import LOOPS
from .oracles.networks import KINDS, SCALES, TOPOLOGIES, WIDE, Case, build

STOCHASTIC = {"NoisyLIF", "OrnsteinUhlenbeck", "GIF", "SRM0"}  # tests/test_escape.py
EVERY_CASE = [(name, topology, 0) for name in WIDE for topology in TOPOLOGIES] + [(n, "delays", 1) for n in WIDE]
EVERY_CASE += [(name, "recurrent", 1) for name in SCALES if name not in WIDE]


@functools.cache
def expected(name: str, topology: str, seed: int) -> tuple[Case, dict[str, dict[str, np.ndarray]]]:
    """Return a case and what the loops say of it, by population and signal."""
    case = build(name, topology, seed)
    return case, case.expected()


def compiled(case: Case, names: list[str]) -> dict[str, np.ndarray]:
    """Return what the float64 reference says."""
    model = gc.compile(case.network, learn=None, target="reference", dtype=torch.float64)
    run = model.run({"stim": torch.as_tensor(case.inputs["stim"])}, record=names)
    return {name: value.detach().numpy() for name, value in run.records.items()}


@pytest.mark.parametrize(("name", "topology", "seed"), EVERY_CASE)
def test_reference_equals_the_numpy_loop(name, topology, seed, monkeypatch):
    if seed or (
        topology != "delays" and name not in KINDS
    ):  # the numbers before and after every pass, of one case each
        monkeypatch.setenv("GRAPHC_VERIFY", "1")
    case, populations = expected(name, topology, seed)
    want = {f"{title}.{signal}": v for title, signals in populations.items() for signal, v in signals.items()}
    got = compiled(case, list(want))
    for record, value in want.items():
        if record.endswith(".spike"):
            np.testing.assert_array_equal(got[record], value, err_msg=record)
        # not exactly: an expression in another order rounds differently, and a spiking v amplifies that
        np.testing.assert_allclose(got[record], value, rtol=1e-10, atol=1e-10 * np.abs(value).max(), err_msg=record)


@pytest.mark.parametrize(("name", "topology", "seed"), EVERY_CASE)
def test_every_population_is_live(name, topology, seed):
    for signals in expected(name, topology, seed)[1].values():
        if "spike" in signals:
            assert SCALES[name].least <= signals["spike"].mean() <= 0.8
            assert (signals["spike"].sum(axis=(0, 1)) > 0).mean() >= 0.5  # of the neurons
        else:
            assert signals["output"].std() > SCALES[name].swing
        assert all(np.isfinite(value).all() for value in signals.values())


@pytest.mark.parametrize("name", SCALES)
def test_one_step_of_delay_more_changes_the_states(name):
    case, populations = expected(name, "recurrent", 0)
    shifted = tuple((pre, post, x, w, d + (pre == "hid")) for pre, post, x, w, d in case.connections)
    late, state = replace(case, connections=shifted).expected()["hid"], SCALES[name].start[0]
    assert np.abs(late[state] - populations["hid"][state]).max() > 0.01


def test_zoo_and_loops_name_the_same_neurons():
    assert set(gc.zoo.ALL) - STOCHASTIC == set(LOOPS) == set(SCALES)
    assert all(neuron is getattr(gc.zoo, name) for name, neuron in gc.zoo.ALL.items())


@pytest.mark.parametrize("name", LOOPS)
def test_parameters_and_inputs_have_the_same_names_in_zoo_and_loop(name):
    neuron, loop = gc.zoo.ALL[name], LOOPS[name]
    assert {p.name for p in neuron.parameters} == set(loop.parameters)
    assert {x.name for x in neuron.inputs} == set(loop.inputs)


@pytest.mark.parametrize(
    "file", [loop, loops, loops_compartments, loops_spiking, loops_units], ids=lambda file: file.__name__
)
def test_loops_import_nothing_of_graphc(file):
    tree = ast.parse(inspect.getsource(file))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in modules if module is None or module.startswith(("graphc", "tests", "torch", "."))]


@pytest.mark.parametrize("name", gc.zoo.ALL)
def test_neuron_knows_the_line_of_its_declaration(name):
    assert f'gc.Neuron("{name}"' in gc.zoo.ALL[name].loc.text or gc.zoo.ALL[name].loc.text.endswith("gc.Neuron(")


@pytest.mark.parametrize("name", gc.zoo.IZHIKEVICH_CLASSES)
def test_izhikevich_class_is_a_set_of_parameters(name):
    assert set(gc.zoo.IZHIKEVICH_CLASSES[name]) == {p.name for p in gc.zoo.Izhikevich.parameters}
