"""Results as pandas and xarray objects: the numbers of the report, and one sentence where a library is missing."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import xarray
from report_fixture import make_report

from neurochip.errors import UserError
from neurochip.experiment import Report
from neurochip.frames import rows_to_pandas, rows_to_xarray
from neurochip.report.rows import UNITS, rows_of
from neurochip.runs_compared import runs_compared


@pytest.fixture
def report() -> Report:
    return Report(make_report(), Path("run"))


def test_a_data_frame_has_the_rows_of_the_csv(report: Report) -> None:
    frame = report.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    rows = rows_of(report.data)
    assert list(frame.columns) == list(rows[0])
    assert list(frame["rule"]) == [row["rule"] for row in rows]
    for name in UNITS:
        found = [None if math.isnan(value) else value for value in frame[name]]
        assert found == [row[name] for row in rows], name
        assert frame[name].dtype == np.float64
    assert frame.attrs["units"]["energy_pj"] == "pJ"


def test_a_dataset_is_over_rule_and_precision_with_units(report: Report) -> None:
    data = report.to_xarray()
    assert isinstance(data, xarray.Dataset)
    assert dict(data.sizes) == {"rule": 5, "precision": 2, "epoch": 3}
    assert float(data["energy_pj"].sel(rule="ottt-a", precision="fixed")) == 671_900.0
    assert math.isnan(float(data["energy_pj"].sel(rule="ottt-a", precision="float")))
    assert data["latency_us"].attrs["units"] == "us"
    assert str(data["group"].sel(rule="bptt").item()) == "with gradient memory"
    result = report.result("ottt-o", "float")
    curve = data["accuracy_validation_per_epoch"].sel(rule="ottt-o", precision="float")
    assert curve.values.tolist() == [epoch["validation"] for epoch in result["accuracy"]["per_epoch"]]
    assert curve["epoch"].values.tolist() == [1, 2, 3]
    assert np.isnan(data["accuracy_train_per_epoch"].sel(rule="infer")).all()


def test_a_report_without_epochs_has_no_curves() -> None:
    data = make_report()
    for result in data["results"]:
        result["accuracy"]["per_epoch"] = []
    assert "epoch" not in Report(data, Path()).to_xarray().sizes


SWEPT: list[dict[str, Any]] = [
    {"bits": bits, "frac": frac, "seed": seed, "energy_pj": 10.0 * bits + seed, "error": None, "chip": "x"}
    for bits, frac, seed in ((4, [1, 2], 1), (4, [1, 2], 2), (8, None, 1))
]


def test_rows_of_a_sweep_are_a_frame_and_a_dataset() -> None:
    frame = rows_to_pandas(SWEPT)
    assert list(frame["energy_pj"]) == [41.0, 42.0, 81.0]
    data = rows_to_xarray(SWEPT, ["bits", "frac", "seed"])
    assert dict(data.sizes) == {"bits": 2, "frac": 2, "seed": 2}
    assert float(data["energy_pj"].sel(bits=8, frac="None", seed=1)) == 81.0
    assert math.isnan(float(data["energy_pj"].sel(bits=8, frac="[1, 2]", seed=2)))
    assert data["chip"].sel(bits=4, frac="[1, 2]", seed=1).item() == "x"
    assert data["chip"].sel(bits=8, frac="[1, 2]", seed=2).isnull()


def test_runs_side_by_side_are_a_dataset_too() -> None:
    rows = runs_compared({"a": make_report(), "b": make_report()})["rows"]
    assert float(rows_to_xarray(rows, ["run", "rule"])["energy_pj"].sel(run="b", rule="bptt")) == 423_400.0


def test_dimensions_that_do_not_tell_rows_apart_are_refused() -> None:
    with pytest.raises(UserError, match="two rows have bits = 4; give more dimensions"):
        rows_to_xarray(SWEPT, ["bits"])
    with pytest.raises(UserError, match="dimensions = lanes: no such column; allowed are bits, frac"):
        rows_to_xarray(SWEPT, ["lanes"])
    with pytest.raises(UserError, match="there are no rows"):
        rows_to_xarray([], ["bits"])
    assert rows_to_pandas([]).empty


@pytest.mark.parametrize("name", ["pandas", "xarray"])
def test_a_missing_library_is_one_sentence(name: str, report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"^{name} is not installed; install it \(python -m pip install 'neurochip"):
        getattr(report, f"to_{name}")()
