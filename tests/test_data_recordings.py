"""Readers of recorded data sets, on small files in their format."""

import hashlib

import numpy as np
import pytest
import torch

import graphc as gc
from graphc.data import catalog

rng = np.random.default_rng(0)
GOOD = {
    "ecg_qtdb/train.npz": {
        "spikes": rng.integers(-1, 2, (3, 7, 4), np.int8),
        "label": np.where(rng.random((3, 7)) < 0.2, 255, rng.integers(0, 6, (3, 7))).astype(np.uint8),
    },
    "braille/braille.npz": {
        "taxels": np.arange(1350 * 2 * 12, dtype=np.int16).reshape(1350, 2, 12),
        "length": np.full(1350, 2, np.int16),
        "label": (np.arange(1350) % 27).astype(np.int16),
    },
    "current_clamp/171116sh_0018.npz": {
        "v_mV": rng.normal(-70, 5, (5, 9)).astype(np.float16),
        "i_pA": rng.normal(0, 50, (5, 9)).astype(np.float32),
        "rate_hz": np.int64(20_000),
    },
}
READERS = {
    "ecg_qtdb/train.npz": lambda: gc.data.ecg("train"),
    "braille/braille.npz": lambda: gc.data.braille("train"),
    "current_clamp/171116sh_0018.npz": gc.data.current_clamp,
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHC_DATA", str(tmp_path))
    for name, arrays in GOOD.items():
        (tmp_path / name).parent.mkdir()
        np.savez(tmp_path / name, **arrays)
    return tmp_path


def test_electrocardiograms_are_time_first_and_unlabelled_steps_are_class_0():
    spikes, labels, labelled = gc.data.ecg("train")
    raw = GOOD["ecg_qtdb/train.npz"]
    assert spikes.shape == (7, 3, 4) and spikes.dtype == torch.float32
    assert np.array_equal(spikes[:, 1], raw["spikes"][1])
    assert np.array_equal(labelled.T, raw["label"] < 255) and not labelled.all()
    assert np.array_equal(labels.T, np.where(raw["label"] == 255, 0, raw["label"]))


def test_braille_is_split_by_the_published_shuffle():
    train, test = gc.data.braille("train"), gc.data.braille("test")
    assert train.values.shape == (2, 1080, 12) and test.values.shape == (2, 270, 12)
    taxels = GOOD["braille/braille.npz"]["taxels"]
    first = [289, 1036, 535, 346, 1075, 782, 303, 754, 536, 76]  # of RandomState(42).shuffle(arange(1350))
    assert np.array_equal(train.values[:, :10].transpose(0, 1), taxels[first])
    assert train.labels[:10].tolist() == [k % 27 for k in first] and train.mask.all()
    seen = torch.cat([train.values[0, :, 0], test.values[0, :, 0]]).sort().values
    assert np.array_equal(seen, np.sort(taxels[:, 0, 0])), "every trial is in one part"


def test_even_sweeps_train_and_odd_ones_test():
    every, train, test = (gc.data.current_clamp(part) for part in ("all", "train", "test"))
    assert every.v.shape == (9, 5, 1) and every.dt == 0.05 and every.v.dtype == torch.float32
    assert torch.equal(train.v, every.v[:, ::2]) and torch.equal(test.i, every.i[:, 1::2])
    assert np.array_equal(every.v[:, 3, 0], GOOD["current_clamp/171116sh_0018.npz"]["v_mV"][3])


def test_a_folder_can_be_named(folder, monkeypatch):
    monkeypatch.delenv("GRAPHC_DATA")
    assert gc.data.ecg("train", folder).spikes.shape == (7, 3, 4)
    assert gc.data.folder("braille", folder) == folder / "braille"


@pytest.mark.parametrize("name", READERS)
def test_an_absent_file_is_named_with_its_source(name, folder):
    (folder / name).unlink()
    with pytest.raises(gc.GraphcError) as error:
        READERS[name]()
    assert f"there is no {folder / name}" in error.value.message and "its source is" in error.value.hint


CHANGED = [
    ("ecg_qtdb/train.npz", {"label": None}, "has no array 'label'"),
    ("ecg_qtdb/train.npz", {"spikes": np.zeros((3, 7, 4))}, "is of float64"),
    ("ecg_qtdb/train.npz", {"spikes": np.full((3, 7, 4), 2)}, "goes from 2 to 2"),
    ("ecg_qtdb/train.npz", {"label": np.full((3, 7), 6)}, "goes from 6 to 6"),
    ("ecg_qtdb/train.npz", {"label": np.zeros((3, 8), int)}, "are not (B, T, 4) and (B, T)"),
    ("ecg_qtdb/train.npz", {"label": np.array([[None]])}, "Object arrays"),
    ("braille/braille.npz", {"length": np.full(1350, 3)}, "'length' goes from 3 to 3"),
    ("braille/braille.npz", {"label": np.full(1350, 27)}, "'label' goes from 27 to 27"),
    ("braille/braille.npz", {"label": np.zeros(7, int)}, "1350 lengths and 7 labels"),
    ("current_clamp/171116sh_0018.npz", {"rate_hz": np.int64(0)}, "at 0 Hz"),
    ("current_clamp/171116sh_0018.npz", {"i_pA": np.zeros((5, 8))}, "do not fit"),
    ("current_clamp/171116sh_0018.npz", {"v_mV": np.full((5, 9), np.nan)}, "'v_mV' of sweep 0 is not finite"),
]


@pytest.mark.parametrize(("name", "changed", "message"), CHANGED)
def test_a_file_that_holds_something_else_is_refused(name, changed, message, folder):
    arrays = {k: v for k, v in (GOOD[name] | changed).items() if v is not None}
    np.savez(folder / name, **arrays)
    with pytest.raises(gc.GraphcError) as error:
        READERS[name]()
    assert message in error.value.message and str(folder / name) in error.value.message


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.95])
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_cut_short_is_refused(name, kept, folder):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(kept * len(whole)) if kept < 1 else kept])
    with pytest.raises(gc.GraphcError, match="cannot read"):
        READERS[name]()


def test_a_part_that_is_none_is_refused():
    with pytest.raises(gc.GraphcError, match="it is 'train' or 'test'"):
        gc.data.ecg("valid")


def test_the_folder_is_the_named_one_then_that_of_the_user(monkeypatch, tmp_path):
    assert catalog.root() == tmp_path
    monkeypatch.delenv("GRAPHC_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr(catalog, "__file__", str(tmp_path / "a" / "b" / "c" / "catalog.py"))
    assert catalog.root() == tmp_path / "share" / "graphc"
    (tmp_path / "shared" / "data").mkdir(parents=True)
    monkeypatch.setattr(catalog, "__file__", str(tmp_path / "checkout" / "graphc" / "data" / "catalog.py"))
    assert catalog.root() == tmp_path / "shared" / "data"


def test_no_checksum_is_made_up():
    """A file has a SHA-256 of 64 digits, or an archive with an MD5 of 32."""
    for file in (f for s in catalog.SETS for f in s.files):
        assert (file.sha256 is None) == (file.archive is not None)
        known, length = (file.sha256, 64) if file.sha256 else (file.md5, 32)
        assert len(known) == length and int(known, 16)


def test_a_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"x" * 3_000_000)
    assert catalog.digest(tmp_path / "x") == hashlib.sha256(b"x" * 3_000_000).hexdigest()
