"""Results as pandas and xarray objects; neither is needed for anything else, and both are imported when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from neurochip.errors import UserError
from neurochip.report.rows import REFUSED, UNITS, WORDS, rows_of

Rows = Sequence[Mapping[str, Any]]
RULE, PRECISION, EPOCH = "rule", "precision", "epoch"
CURVES = ("train", "validation")


def report_to_pandas(report: Mapping[str, Any]) -> Any:
    """A report as a DataFrame.

    Args:
        report: the content of report.json.

    Returns:
        pandas.DataFrame: one row per rule and precision, the columns of `neurochip report --format csv`; `attrs` has
        `units`, column -> unit. Numbers that do not exist are NaN.

    Raises:
        UserError: pandas is not installed.
    """
    frame = rows_to_pandas(rows_of(report))
    numbers = [name for name in frame.columns if name in UNITS]
    frame = frame.astype({name: "float64" for name in numbers})
    frame.attrs = {"run": report["name"], "units": dict(UNITS)}
    return frame


def rows_to_pandas(rows: Rows) -> Any:
    """Rows of the same columns as a DataFrame: those of a sweep (`neurochip.sweep.table.rows_of`) or of a comparison.

    Raises:
        UserError: pandas is not installed.
    """
    pandas = _library("pandas")
    columns = list(rows[0]) if rows else []
    return pandas.DataFrame([[row[name] for name in columns] for row in rows], columns=columns)


def report_to_xarray(report: Mapping[str, Any]) -> Any:
    """A report as a Dataset.

    Args:
        report: the content of report.json.

    Returns:
        xarray.Dataset: one variable per quantity over (rule, precision) with the attribute `units`; where there are
        epochs, accuracy_train_per_epoch and accuracy_validation_per_epoch over (rule, precision, epoch). NaN where
        there is no number. `group` is a coordinate of rule.

    Raises:
        UserError: xarray is not installed.
    """
    rows = rows_of(report)
    numbers = [{name: value for name, value in row.items() if name not in (*WORDS, REFUSED)} for row in rows]
    keyed = [{RULE: row[RULE], PRECISION: row[PRECISION]} | values for row, values in zip(rows, numbers, strict=True)]
    dataset = rows_to_xarray(keyed, (RULE, PRECISION))
    for name, unit in UNITS.items():
        dataset[name].attrs["units"] = unit
    groups = {row[RULE]: row["group"] for row in rows}
    dataset = dataset.assign_coords(group=(RULE, [groups[rule] for rule in dataset[RULE].values]))
    dataset.attrs["run"] = report["name"]
    return _with_curves(dataset, report)


def rows_to_xarray(rows: Rows, dimensions: Sequence[str]) -> Any:
    """Rows of the same columns as a Dataset over some of them.

    Args:
        rows: as for `rows_to_pandas`.
        dimensions: the columns that tell the rows apart, for a sweep the swept keys, "rule" and "seed".

    Returns:
        xarray.Dataset: every other column over these dimensions, their values in the order of first appearance; NaN
        where there is no row or nothing in it.

    Raises:
        UserError: xarray is not installed; no such column; or two rows with the same values in all of them.
    """
    xarray, numpy = _library("xarray"), importlib.import_module("numpy")
    unknown = [name for name in dimensions if rows and name not in rows[0]]
    if unknown or not rows:
        known = ", ".join(rows[0]) if rows else "none, as there are no rows"
        raise UserError(f"dimensions = {', '.join(unknown or dimensions)}: no such column; allowed are {known}")
    values = {name: list(dict.fromkeys(_label(row[name]) for row in rows)) for name in dimensions}
    cells: dict[tuple[int, ...], Mapping[str, Any]] = {}
    for row in rows:
        place = tuple(values[name].index(_label(row[name])) for name in dimensions)
        if place in cells:
            at = ", ".join(f"{name} = {row[name]}" for name in dimensions)
            raise UserError(f"two rows have {at}; give more dimensions, so that every row is a point of its own")
        cells[place] = row
    shape = tuple(len(values[name]) for name in dimensions)
    variables = {}
    for name in rows[0]:
        if name in dimensions:
            continue
        numeric = all(row[name] is None or _is_number(row[name]) for row in rows)
        array = numpy.full(shape, numpy.nan) if numeric else numpy.full(shape, None, dtype=object)
        for place, row in cells.items():
            if row[name] is not None:
                array[place] = row[name]
        variables[name] = (tuple(dimensions), array)
    return xarray.Dataset(variables, coords={name: labels for name, labels in values.items()})


def _label(value: Any) -> Any:
    """A coordinate: lists, and no value at all, as a text."""
    return str(value) if value is None or isinstance(value, list | dict) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _with_curves(dataset: Any, report: Mapping[str, Any]) -> Any:
    """Accuracies per epoch as variables."""
    numpy = importlib.import_module("numpy")
    n_epochs = max(len(result["accuracy"]["per_epoch"]) for result in report["results"])
    if n_epochs == 0:
        return dataset
    rules, precisions = list(dataset[RULE].values), list(dataset[PRECISION].values)
    for split in CURVES:
        curve = numpy.full((len(rules), len(precisions), n_epochs), numpy.nan)
        for result in report["results"]:
            place = rules.index(result["rule"]), precisions.index(result["precision"])
            for epoch, accuracies in enumerate(result["accuracy"]["per_epoch"]):
                if accuracies[split] is not None:
                    curve[(*place, epoch)] = accuracies[split]
        dataset[f"accuracy_{split}_per_epoch"] = ((RULE, PRECISION, EPOCH), curve, {"units": "1"})
    return dataset.assign_coords({EPOCH: list(range(1, n_epochs + 1))})


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"{name} is not installed; install it (python -m pip install 'neurochip[{name}]') to convert results to it"
        ) from error


__all__ = ["report_to_pandas", "report_to_xarray", "rows_to_pandas", "rows_to_xarray"]
