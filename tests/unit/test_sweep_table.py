"""The table of a sweep: tidy, exact, the same bytes every time, and readable as CSV and Parquet."""

from __future__ import annotations

import csv
import importlib.util
import io
from pathlib import Path

import pytest
from sweep_request import BITS, results_of, sweep_tiny
from tiny_experiment import write_tiny_task

from neurochip.activity import FIELD_INDEX
from neurochip.sweep.point import Computed
from neurochip.sweep.run import SweepPoint
from neurochip.sweep.table import csv_text, parquet_bytes, rows_of, write_table

POINTS = [
    SweepPoint({BITS: 4, "a.frac": [1, 2], "a.flag": True, "run.seed": 1}, "f" * 64, Computed(error="it, fails")),
    SweepPoint({BITS: 8, "a.frac": None, "a.flag": 0.5, "run.seed": 2}, None, Computed(error="no")),
]


def test_a_row_has_settings_and_numbers_that_read_back_exactly(tmp_path: Path) -> None:
    write_tiny_task(tmp_path)
    points = sweep_tiny(tmp_path, "out", f"{BITS}=4,6", seeds="1,2")
    results = results_of(points)
    with (tmp_path / "out" / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row[BITS], row["seed"], row["rule"]) for row in rows] == [
        ("4", "1", "ottt-o"), ("4", "2", "ottt-o"), ("6", "1", "ottt-o"), ("6", "2", "ottt-o"),
    ]  # fmt: skip
    for row, result, point in zip(rows, results, points, strict=True):
        assert point.key is not None and point.key.startswith(row["point"]) and len(row["point"]) == 16
        assert float(row["accuracy_test"]) == result["accuracy"]["test"]
        assert float(row["energy_pj"]) == result["energy_pj"]
        assert float(row["latency_cycles"]) == result["latency_cycles"]
        assert float(row["area_mm2"]) == result["area_mm2"]
        assert int(row["footprint_bits"]) == result["footprint_bits"]
        assert float(row["saturation_weight_share"]) == result["saturation_share"]["weight"]
        assert float(row["underflow_error_share"]) == result["underflow_share"]["error"]
        assert row["saturation_delta_share"] == row["error"] == ""


def test_csv_writes_lists_and_truth_as_json_and_none_as_nothing() -> None:
    first, second = csv.DictReader(io.StringIO(csv_text(rows_of(POINTS))))
    assert (first["a.frac"], first["a.flag"], first["seed"], first["error"]) == ("[1, 2]", "true", "1", "it, fails")
    assert (second["a.frac"], second["a.flag"], second["point"], second["energy_pj"]) == ("", "0.5", "", "")


def test_parquet_has_the_same_rows(tmp_path: Path) -> None:
    import pyarrow.parquet

    write_tiny_task(tmp_path)
    points = [*sweep_tiny(tmp_path, "out", f"{BITS}=4,6"), *POINTS]
    content = parquet_bytes(rows_of(points[:2]))
    assert content == (tmp_path / "out" / "sweep.parquet").read_bytes()
    assert pyarrow.parquet.read_table(tmp_path / "out" / "sweep.parquet").to_pylist() == rows_of(points[:2])
    mixed = parquet_bytes(rows_of(POINTS))
    assert mixed is not None
    table = pyarrow.parquet.read_table(io.BytesIO(mixed)).to_pylist()
    assert [row["a.frac"] for row in table] == ["[1, 2]", None]
    assert [row["a.flag"] for row in table] == ["true", "0.5"]


def test_without_pyarrow_no_parquet_of_another_sweep_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sweep.parquet").write_bytes(b"of another sweep")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert [path.name for path in write_table(rows_of(POINTS), tmp_path)] == ["sweep.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.csv"]


def test_shares_are_of_the_values_that_were_formed() -> None:
    """One dense layer of 3 inputs and 2 neurons, a readout of 2: 1 sample, 2 steps, every number counted by hand."""
    from types import SimpleNamespace

    import numpy as np

    from neurochip.activity import N_FIELDS, Activity
    from neurochip.sweep.shares import saturation_shares, underflow_share

    totals = np.zeros((3, 2, N_FIELDS), dtype=np.int64)
    totals[:2, 0, FIELD_INDEX["deliver_taps"]] = 3, 1  # 4 events to 2 neurons, and their biases twice: 12 additions
    totals[1, 0, FIELD_INDEX["sat_membrane"]] = 3
    totals[0, 1, FIELD_INDEX["deliver_taps"]] = 2  # 4 additions, no bias
    totals[0, 1, FIELD_INDEX["sat_readout"]] = 1
    totals[:2, 0, FIELD_INDEX["sat_trace"]] = 1, 2  # of 3 inputs in 2 steps
    totals[0, :, FIELD_INDEX["sat_error"]] = 1, 2  # of d and g of 2 neurons and e of 2 classes in 2 steps: 12
    totals[1, 0, FIELD_INDEX["underflow_error"]] = 2  # of 8
    totals[0, 0, FIELD_INDEX["update_products"]] = 10
    totals[0, 0, FIELD_INDEX["sat_weight"]] = 4
    plain = {"n_out": 2, "columns": 2, "filter_leak_kind": "none", "has_current": False}
    hidden = SimpleNamespace(is_hidden=True, kind="dense", n_in=3, bias=True, keeps_trace=True, **plain)
    readout = SimpleNamespace(is_hidden=False, kind="readout", n_in=2, bias=False, keeps_trace=False, **plain)
    spec = SimpleNamespace(
        layers=(hidden, readout), deliver="synapse", credit="trace", update="immediate", momentum_shift=0
    )
    activity = Activity(totals, n_samples=1, n_applies=0, learning=True, synapse_lanes=2, trace_lanes=2)
    shares = saturation_shares(activity, spec)
    assert shares == {
        "membrane": 3 / 12, "readout": 1 / 4, "trace": 3 / 6, "error": 3 / 12, "delta": None, "gradient": None,
        "weight": 4 / 10,
    }  # fmt: skip
    assert underflow_share(activity, spec) == 2 / 8
    spec.deliver = "neuron"
    assert saturation_shares(activity, spec)["membrane"] == 3 / 4
    totals[2, 0, FIELD_INDEX["update_products"]] = 20  # of the applies
    totals[2, 0, FIELD_INDEX["sat_weight"]] = 1
    totals[0, 0, FIELD_INDEX["sat_gradient"]] = 2
    spec.update = "accumulate"
    shares = saturation_shares(activity, spec)
    assert (shares["weight"], shares["gradient"]) == (5 / 20, 2 / 10)
    # With synaptic currents each of 2 outputs adds one to its potential in 2 steps, a trace has two values, and so has
    # what is carried back.
    hidden.has_current, hidden.filter_leak_kind = True, "shift"
    shares = saturation_shares(activity, spec)
    assert (shares["membrane"], shares["readout"], shares["trace"]) == (3 / 8, 1 / 4, 3 / 12)
    spec.deliver, readout.has_current = "synapse", True
    shares = saturation_shares(activity, spec)
    assert (shares["membrane"], shares["readout"]) == (3 / 16, 1 / 8)
    spec.credit, totals[0, 0, FIELD_INDEX["sat_delta"]] = "unroll", 2
    assert saturation_shares(activity, spec)["delta"] == 2 / 16
