"""Files in the format of SHD and SSC: read exactly, sample by sample; damaged ones are refused by name."""

import pickle

import numpy as np
import pytest
import torch

import graphc as gc
from graphc.data import Heidelberg

h5py = pytest.importorskip("h5py")


def write(path, times, units, labels, time_dtype=np.float16, **extra):
    """Write a file as the published ones are: float16 seconds, uint16 channels."""
    with h5py.File(path, "w") as file:
        for name, rows, dtype in (("times", times, time_dtype), ("units", units, np.uint16)):
            array = file.create_dataset(f"spikes/{name}", (len(rows),), h5py.vlen_dtype(dtype))
            for k, row in enumerate(rows):
                array[k] = np.array(row, dtype)
        file["labels"] = np.array(labels, np.uint16)
        for name, value in extra.items():
            file[f"extra/{name}"] = value
    return path


@pytest.fixture
def path(tmp_path):
    times, units = [[0.0, 0.25, 0.25, 1.4], [], [0.5]], [[0, 699, 699, 7], [], [3]]
    return write(
        tmp_path / "shd.h5", times, units, [1, 0, 1], keys=np.array([b"null", "fünf".encode()]), speaker=[4, 4, 9]
    )


def test_samples_are_in_ms_and_double_precision(path):
    data = Heidelberg(path)
    times, units, label = data[0]
    assert times.dtype == np.float64 and units.dtype == np.int64 and label == 1
    assert times.tolist() == [0.0, 250.0, 250.0, 1e3 * float(np.float16(1.4))]
    assert len(data) == 3 and len(data[1].times) == 0 and data[-1].units.tolist() == [3]
    assert data.names == ("null", "fünf") and data.speakers.tolist() == [4, 4, 9]
    assert [s.label for s in data] == data.labels.tolist() == [1, 0, 1]


def test_half_precision_holds_neither_microseconds_nor_many_steps(tmp_path):
    data = Heidelberg(write(tmp_path / "x.h5", [[1.25]], [[0]], [0]), dt=1e-3, size=1)
    assert data.collate([data[0]]).values.nonzero().tolist() == [[1_250_000, 0, 0]], "1.25e6 overflows float16"


def test_a_loader_yields_batches(path):
    data = Heidelberg(path, dt=10 * gc.units.ms)
    loader = torch.utils.data.DataLoader(data, batch_size=3, collate_fn=data.collate)
    (batch,) = loader
    assert batch.values.shape == (141, 3, 700) and batch.lengths.tolist() == [141, 0, 51]
    assert batch.values.nonzero().tolist() == [[0, 0, 0], [25, 0, 699], [50, 2, 3], [140, 0, 7]]
    assert batch.values[25, 0, 699] == 2 and batch.labels.tolist() == [1, 0, 1]


def test_workers_and_copies_open_the_file_for_themselves(path):
    data = Heidelberg(path, steps=100, binary=True, dtype=torch.uint8)
    assert len(data[0].times) == 4, "the parent has it open"
    loader = torch.utils.data.DataLoader(data, batch_size=2, collate_fn=data.collate, num_workers=1)
    assert [b.values.shape for b in loader] == [(100, 2, 700), (100, 1, 700)]
    assert pickle.loads(pickle.dumps(data))[2].times.tolist() == [500.0]


def test_what_comes_after_the_steps_is_dropped_or_refused(path):
    data = Heidelberg(path, dt=10.0, steps=30)
    batch = data.collate([data[0], data[1]])
    assert batch.values.sum() == 3 and batch.lengths.tolist() == [30, 0]
    with pytest.raises(gc.GraphcError, match="1 of 4 events are outside"):
        Heidelberg(path, steps=300, outside="error").collate([data[0]])


def test_a_file_is_never_written_to(path):
    path.chmod(0o400)
    before = path.read_bytes()
    data = Heidelberg(path)
    data.collate(list(data))
    data.close()
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["shd.h5"]


SAMPLES = {
    "sample 1 has 2 times and 1 units": ([[0.0], [0.0, 0.1]], [[0], [0]]),
    "sample 1: time -0.5 of event 0 is negative": ([[0.0], [-0.5]], [[0], [0]]),
    "sample 0: time inf of event 1 is not finite": ([[0.0, np.inf], [0.0]], [[0, 0], [0]]),
    "sample 0: event 0 is of unit 700, and units go from 0 to 699": ([[0.0], [0.0]], [[700], [0]]),
}


@pytest.mark.parametrize("message", SAMPLES)
def test_a_wrong_sample_is_refused_by_name_and_the_others_are_read(message, tmp_path):
    path = write(tmp_path / "x.h5", *SAMPLES[message], [0, 1])
    data = Heidelberg(path)
    wrong = int(message[7])
    with pytest.raises(gc.GraphcError) as error:
        data[wrong]
    assert f"{path}: {message}" in error.value.message
    assert len(data[1 - wrong].times) == 1


def arrays(**changed):
    """Write a file whose arrays are replaced, or left out where None."""

    def make(path):
        write(path, [[0.0]], [[0]], [0], keys=[b"zero"])
        with h5py.File(path, "a") as file:
            for name, value in changed.items():
                name = name.replace("__", "/")
                del file[name]
                if value is not None:
                    file[name] = value

    return make


def endless(path):
    write(path, [[0.0]], [[0]], [0])
    with h5py.File(path, "a") as file:
        del file["labels"]
        file.create_dataset("labels", (10**12,), np.uint16, chunks=(1000,))


FILES = {
    "1000000000000 samples are more than any": endless,
    "has no array 'labels'": arrays(labels=None),
    "has no array 'spikes/times'": arrays(spikes=None),
    "has no array 'spikes/units'": arrays(spikes__units=None),
    "'spikes/times' is of float64, shape (1, 2)": arrays(spikes__times=np.zeros((1, 2))),
    "'labels' is of float64": arrays(labels=np.zeros(1)),
    "1 spikes/times, 1 spikes/units, 2 labels": arrays(labels=np.zeros(2, int)),
    "sample 0 has the label 3 of 1": arrays(labels=np.array([3])),
    "cannot read its structure": lambda path: path.write_bytes(b"not HDF5"),
    "there is no file": lambda path: None,
}


@pytest.mark.parametrize("message", FILES)
def test_a_wrong_file_is_refused_by_name(message, tmp_path):
    path = tmp_path / "x.h5"
    FILES[message](path)
    with pytest.raises(gc.GraphcError) as error:
        Heidelberg(path)
    assert message in error.value.message and str(path) in error.value.message


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9])
def test_a_file_that_is_cut_short_is_refused(kept, path):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(gc.GraphcError, match=r"shd\.h5: cannot read its structure") as error:
        Heidelberg(path)
    assert "cut short" in error.value.hint


def test_damage_within_a_file_is_refused_with_the_sample(path):
    """The heap that holds the spikes is overwritten; the structure is whole."""
    whole = bytearray(path.read_bytes())
    heap = whole.index(b"GCOL")
    whole[heap : heap + 4] = b"XXXX"
    path.write_bytes(whole)
    data = Heidelberg(path)
    with pytest.raises(gc.GraphcError, match=r"shd\.h5: cannot read sample 0"):
        data[0]


def test_an_archive_must_be_unpacked_first(tmp_path):
    (tmp_path / "shd_train.h5.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(gc.GraphcError) as error:
        Heidelberg(tmp_path / "shd_train.h5.gz")
    assert error.value.hint == "unpack it first"


def test_a_worker_tells_which_sample_is_wrong(tmp_path):
    data = Heidelberg(write(tmp_path / "x.h5", [[0.0], [-1.0]], [[0], [0]], [0, 1]))
    loader = torch.utils.data.DataLoader(data, batch_size=2, collate_fn=data.collate, num_workers=1)
    with pytest.raises(gc.GraphcError, match=r"x\.h5: sample 1: time -1 of event 0 is negative"):
        next(iter(loader))


def test_an_index_beyond_the_end_is_an_index_error(path):
    with pytest.raises(IndexError, match="has 3 samples"):
        Heidelberg(path)[3]


def test_without_h5py_the_error_names_the_extra(path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(gc.GraphcError) as error:
        Heidelberg(path)
    assert 'pip install "graphc[data]"' in error.value.hint


@pytest.mark.parametrize("options", [{"dt": 0}, {"dt": -1.0}, {"steps": 0}, {"dt": 3 * gc.units.mV}])
def test_wrong_options_are_refused(options, path):
    with pytest.raises(gc.GraphcError):
        Heidelberg(path, **options)
