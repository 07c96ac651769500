"""NIR files that are damaged, absurd or contradict themselves end in one error; reports say what a file leaves open."""

import contextlib
import os

import numpy as np
import pytest

import graphc as gc
from graphc.units import ms

h5py = pytest.importorskip("h5py", reason="the extra [nir] is not installed")
STEP = {"dt": 1.0, "dialect": "euler"}


def chain(**changes):
    """Return input -> fc -> lif -> output as the file has it, with changed nodes; None removes one."""
    one = np.ones(3)
    nodes = {
        "input": {"type": "Input", "shape": np.array([2])},
        "fc": {"type": "Linear", "weight": np.ones((3, 2))},
        "lif": {"type": "LIF", "tau": 0.01 * one, "r": one, "v_leak": 0 * one, "v_threshold": one, "v_reset": 0 * one},
        "output": {"type": "Output", "shape": np.array([3])},
    } | changes
    edges = [["input", "fc"], ["fc", "lif"], ["lif", "output"]]
    return {"type": "NIRGraph", "nodes": {k: v for k, v in nodes.items() if v is not None}, "edges": edges}


def lif(**changes):
    fields = chain()["nodes"]["lif"] | changes
    return {"lif": {k: v for k, v in fields.items() if v is not None}}


def edges(*pairs):
    return chain() | {"edges": chain()["edges"] + [list(p) for p in pairs]}


def spatial(kind, **fields):
    """Return a window over (1, 4, 4)."""
    node = {"type": kind, **{k: np.array(v) if isinstance(v, list) else v for k, v in fields.items()}}
    nodes = {
        "input": {"type": "Input", "shape": np.array([1, 4, 4])},
        "w": node,
        "output": {"type": "Output", "shape": np.array([1])},
    }
    return {"type": "NIRGraph", "nodes": nodes, "edges": [["input", "w"], ["w", "output"]]}


def conv(**changes):
    fields = {
        "weight": np.ones((1, 1, 3, 3)),
        "bias": np.zeros(1),
        "stride": 1,
        "padding": 0,
        "dilation": 1,
        "groups": 1,
    }
    return spatial("Conv2d", **fields | changes)


DELAY = chain(
    fc={"type": "Delay", "delay": np.array([0.0005, 0.001])},
    **lif(**{f: np.ones(2) for f in ("tau", "r", "v_leak", "v_threshold", "v_reset")}),
    output={"type": "Output", "shape": np.array([2])},
)
TWO_INPUTS = chain() | {"nodes": chain()["nodes"] | {"also": {"type": "Input", "shape": np.array([2])}}}
BIASED = {"type": "Affine", "weight": np.ones((3, 2)), "bias": np.ones(2)}
POOL = {"kernel_size": [2, 2], "padding": [0, 0]}

WRONG = {
    "no node": ({"type": "NIRGraph", "nodes": {}, "edges": []}, "has no nodes"),
    "no graph": (chain()["nodes"]["lif"], "holds 'LIF', no NIRGraph"),
    "unknown type": (chain(fc={"type": "Lineal"}), "node 'fc' .* unknown type 'Lineal'(.|\n)*did you mean 'Linear'"),
    "no type": (chain(fc={"weight": np.ones((3, 2))}), "node 'fc' .* no type"),
    "missing field": (chain(**lif(tau=None)), "LIF node 'lif' has no field 'tau'"),
    "unknown field": (chain(**lif(t_ref=np.ones(3))), "'lif' has a field 't_ref' that NIR does not define"),
    "text for numbers": (chain(**lif(tau="10")), "'tau' of LIF node 'lif' is no array"),
    "not finite": (chain(**lif(r=np.array([1, np.nan, 1]))), "'r' of LIF node 'lif' contains nan"),
    "negative time": (chain(**lif(tau=np.array([0.1, -1, 0.1]))), "'tau' of LIF node 'lif' is -1.0 s"),
    "other shapes": (chain(**lif(r=np.ones(2))), "fields of LIF node 'lif' differ in shape"),
    "flat weight": (chain(fc={"type": "Linear", "weight": np.ones(6)}), "weight of Linear node 'fc' has shape"),
    "bias of another size": (chain(fc=BIASED), "bias of Affine node 'fc'"),
    "other width": (chain(fc={"type": "Linear", "weight": np.ones((3, 4))}), r"sends shape \(2,\) to .*'fc'"),
    "unknown end": (edges(["lif", "lift"]), "names 'lift', which is no node of it(.|\n)*did you mean 'lif'"),
    "twice the same edge": (edges(["fc", "lif"]), "has the edge 'fc' -> 'lif' twice"),
    "into an input": (edges(["lif", "input"]), "leads into Input node 'input'"),
    "out of an output": (edges(["output", "lif"]), "leads out of Output node 'output'"),
    "no pair": (edges(["lif"]), "no pair of names"),
    "no output": (chain(output=None) | {"edges": chain()["edges"][:2]}, "has no Output node"),
    "not reached": (chain(**{"b": chain()["nodes"]["fc"]}), "no edge leads into Linear node 'b'"),
    "absurd input": (chain(input={"type": "Input", "shape": np.array([2**40])}), "up to 67108864 numbers"),
    "shape of nothing": (chain(input={"type": "Input", "shape": np.array([0])}), "'shape' of Input node 'input'"),
    "kernel too large": (conv(weight=np.ones((1, 1, 5, 5))), "is larger than the space"),
    "other channels": (conv(weight=np.ones((1, 2, 3, 3))), "Conv2d node 'w' takes 1 channels"),
    "even kernel": (conv(weight=np.ones((1, 1, 2, 2)), padding="same"), "padding \"same\" of Conv2d node 'w'"),
    "unknown padding": (conv(padding="full"), "padding of Conv2d node 'w' is 'full'"),
    "no stride": (spatial("SumPool2d", stride=[0, 1], **POOL), "'stride' of SumPool2d"),
    "half a stride": (spatial("SumPool2d", stride=[0.5, 1], **POOL), "'stride' of SumPool2d"),
    "uneven delay": (DELAY, "Delay node 'fc' has a delay of 0.5 ms, no multiple"),
    "two inputs inside": (chain(fc=TWO_INPUTS), "has 2 Input nodes"),
    "no graph at all": (7, "int is no NIR graph"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_graph_is_refused_by_name(case):
    graph, message = WRONG[case]
    with pytest.raises(gc.DeclarationError, match=message):
        gc.nir.read(graph, **STEP)


def test_a_cycle_of_borders_has_no_neuron():
    flat = {"type": "Flatten", "input_type": np.array([3]), "start_dim": 0, "end_dim": -1}
    graph = chain(a=flat, b=flat) | {"edges": [*chain()["edges"], ["a", "b"], ["b", "a"], ["b", "lif"]]}
    with pytest.raises(gc.DeclarationError, match="cycle without any neuron"):
        gc.nir.read(graph, **STEP)


def written(path, fill):
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def in_file(path, tree=None):
    from graphc.nir.file import write_tree

    write_tree({"version": "1.0", "node": chain() if tree is None else tree}, path, None)
    return path


def test_a_truncated_file_is_one_error_wherever_it_ends(tmp_path):
    whole = in_file(tmp_path / "whole.nir").read_bytes()
    cut = tmp_path / "cut.nir"
    for length in [*range(0, len(whole), len(whole) // 25), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(gc.GraphcError, match=r"cut\.nir"):
            gc.nir.read(cut, **STEP)


def test_flipped_bytes_never_end_in_another_error(tmp_path):
    whole, rng = in_file(tmp_path / "whole.nir").read_bytes(), np.random.default_rng(0)
    bent = tmp_path / "bent.nir"
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(len(data), size=20):
            data[place] = rng.integers(256)
        bent.write_bytes(bytes(data))
        with contextlib.suppress(gc.GraphcError):
            gc.nir.check(bent)


NO_NIR = {
    "no group": (lambda f: f.create_group("other"), "no NIR graph: it has no group 'node'"),
    "empty": (lambda f: None, "it holds nothing"),
    "a link": (lambda f: f.create_group("node").__setitem__("x", h5py.SoftLink("/node")), "'/node/x' .* is a link"),
    "another file": (
        lambda f: f.create_group("node").__setitem__("x", h5py.ExternalLink("/etc/passwd", "/")),
        "is a link",
    ),
    "itself": (lambda f: f.create_group("node").__setitem__("x", f["node"]), "groups deep"),
    "complex": (lambda f: f.create_dataset("node/x", data=np.ones(3) * 1j), "'/node/x' .* neither numbers nor text"),
    "compound": (lambda f: f.create_dataset("node/x", data=np.zeros(2, dtype="f4,i4")), "neither numbers nor text"),
    "references": (lambda f: f.create_dataset("node/x", (2,), dtype=h5py.ref_dtype), "neither numbers nor text"),
    "no value": (lambda f: f.create_dataset("node/x", data=h5py.Empty("f")), "'/node/x' .* is empty"),
    "huge": (
        lambda f: f.create_dataset("node/x", (1 << 40,), dtype="f8", chunks=(1 << 10,), compression="gzip"),
        "'/node/x' .* is too large: an array of shape",
    ),
    "many names": (
        lambda f: f.create_dataset("node/x", (1 << 30,), dtype=h5py.string_dtype(), chunks=(8,)),
        "too large",
    ),
}


@pytest.mark.parametrize("case", NO_NIR)
def test_what_is_no_nir_file_is_refused(case, tmp_path):
    fill, message = NO_NIR[case]
    with pytest.raises(gc.DeclarationError, match=message):
        gc.nir.read(written(tmp_path / "x.nir", fill), **STEP)


def test_files_that_are_none_are_refused(tmp_path):
    for path, message in ((tmp_path / "none.nir", "there is no file"), (tmp_path, "there is no file")):
        with pytest.raises(gc.DeclarationError, match=message):
            gc.nir.check(path)
    (tmp_path / "text.nir").write_text("hello")
    with pytest.raises(gc.DeclarationError, match=r"'text\.nir' cannot be read as a NIR file"):
        gc.nir.check(tmp_path / "text.nir")


def test_what_arrays_may_take_can_be_raised(tmp_path):
    path = in_file(tmp_path / "x.nir")
    with pytest.raises(gc.DeclarationError, match=r"too large(.|\n)*raise max_bytes="):
        gc.nir.read(path, max_bytes=100, **STEP)
    assert gc.nir.read(path, max_bytes=400, **STEP).populations


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "kept.nir"
    path.write_text("old")
    net = gc.nir.read(chain(), **STEP)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(gc.DeclarationError, match="cannot be written: disk full"):
        gc.nir.write(net, path, metadata=False)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["kept.nir"]
    with pytest.raises(gc.DeclarationError, match="cannot be written: No such file"):
        gc.nir.write(net, tmp_path / "no" / "x.nir", metadata=False)


def test_names_that_graphc_cannot_use_are_changed():
    one = np.ones(2)
    nodes = {
        "0": {"type": "Input", "shape": np.array([2])},
        "1.x": {"type": "LI", "tau": one, "r": one, "v_leak": one},
        "for": {"type": "LI", "tau": one, "r": one, "v_leak": one},
        "train": {"type": "Output", "shape": np.array([2])},
    }
    pairs = [["0", "1.x"], ["1.x", "for"], ["for", "train"]]
    net = gc.nir.read({"type": "NIRGraph", "nodes": nodes, "edges": pairs}, **STEP)
    assert net.names == {"0": "input_0", "1.x": "li_1_x", "for": "for_", "train": "for_"}


def test_a_report_says_what_is_open():
    cuba = {"type": "CubaLIF"} | {f: np.full(3, 0.001) for f in ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold")}
    graph = chain(lif=cuba, rec={"type": "Linear", "weight": np.ones((3, 3))})
    report = gc.nir.check(graph | {"edges": [*chain()["edges"], ["lif", "rec"], ["rec", "lif"]]}, dt=1 * ms)
    found = {f.about for f in report.findings}
    assert found == {
        "method",
        "input",
        "reset",
        "v_reset",
        "w_in",
        "current",
        "initial state",
        "cycle",
        "time constant",
    }
    assert "cycle (lif -> rec -> lif): has no delay; one step is inserted" in str(report)
    assert report.nodes["Linear"] == 2
    assert not gc.nir.check(chain()).about("cycle")
