"""Event arrays of numpy: `.npy` and `.npz` with named fields, one array per column, or four columns without names.

Fields are found by name. An (N, 4) array has no names: `columns` says their order. Without it, txyp, xytp and xypt are
tried, and the one in which times never fall and polarities are 0 and 1 (or -1 and 1) is taken; if not exactly one
fits, the array is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.events import MAX_TIME_US
from neurochip.readers.blocks import MAX_COORDINATE, Block, Sample, recordings_of
from neurochip.readers.npy_header import MAGIC
from neurochip.readers.npy_rows import ArrayFile, array_of, arrays_of
from neurochip.readers.recording import RawItem, ReadOptions
from neurochip.readers.source import Probe

FIELD_NAMES = {
    "x": ("x", "unit", "units"),
    "y": ("y",),
    "p": ("p", "pol", "polarity", "polarities", "on"),
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
}
ORDERS = ("txyp", "xytp", "xypt")
MICROSECONDS = {"s": 1_000_000, "ms": 1000, "us": 1}
TIME_UNITS = (*MICROSECONDS, "ns")
LARGEST = 2**53
USES = frozenset({"sensor_size", "columns", "time_unit", "sort"})

Columns = dict[str, NDArray[Any]]


def matches(probe: Probe) -> bool:
    """Whether the file is an `.npy` array, or a zip archive whose first member is one."""
    if probe.head.startswith(MAGIC):
        return True
    name_bytes = int.from_bytes(probe.head[26:28], "little")
    return probe.head.startswith(b"PK\x03\x04") and probe.head[30 : 30 + name_bytes].endswith(b".npy")


def open_items(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield the events of an array or archive; raises UserError if its columns cannot be told."""
    if options.time_unit is not None and options.time_unit not in TIME_UNITS:
        raise UserError(f"time_unit = {options.time_unit!r} is unknown; allowed are {', '.join(TIME_UNITS)}")
    with path.open("rb") as file:
        archive = file.read(len(MAGIC)) != MAGIC
    arrays = arrays_of(path) if archive else {"": array_of(path)}
    if len(arrays) == 1:
        array = next(iter(arrays.values()))
        sources = _one_array(array, options, remarks)
    else:
        fields = _named(list(arrays), "arrays of the archive", remarks)
        sources = _separate({letter: arrays[name] for letter, name in fields.items()}, options)
    blocks = _blocks(sources, options.time_unit)
    return recordings_of(blocks, Sample(None), options)


def _named(names: list[str], what: str, remarks: list[str]) -> dict[str, str]:
    """Return which name stands for x, y, p and t; y and p may be absent if every other name is known."""
    found: dict[str, str] = {}
    for letter, known in FIELD_NAMES.items():
        hits = [name for name in names if name.lower() in known]
        if len(hits) > 1:
            raise UserError(f"{what} {', '.join(hits)[:200]} all stand for {letter}; there must be one")
        found.update({letter: hits[0]} if hits else {})
    if "x" not in found or "t" not in found:
        raise UserError(f"no x and t among the {what}: {', '.join(names)[:200]}")
    absent = [letter for letter in "yp" if letter not in found]
    unknown = set(names) - set(found.values())
    if absent and unknown:
        # What is unknown may well be what is missing: a row or polarity of 0 would then be invented.
        raise UserError(f"no {' and '.join(absent)} among the {what}, and unknown {', '.join(sorted(unknown))[:200]}")
    remarks.extend(f"there is no {letter} among the {what}; it was taken as 0" for letter in absent)
    return found


def _one_array(array: ArrayFile, options: ReadOptions, remarks: list[str]) -> Iterator[Columns]:
    dtype, shape = array.header.dtype, array.header.shape
    if dtype.names is not None:
        if len(shape) != 1:
            raise UserError(f"the array of records has {len(shape)} dimensions; it must have one")
        fields = _named(list(dtype.names), "fields", remarks)
        return ({letter: rows[name] for letter, name in fields.items()} for rows in array.rows(options.chunk_events))
    if len(shape) != 2 or shape[1] != 4:
        raise UserError(f"the array has shape {list(shape)}; events are an array of records, or [events, 4]")
    order = _order(array, options, remarks)
    return ({letter: rows[:, order.index(letter)] for letter in "xypt"} for rows in array.rows(options.chunk_events))


def _separate(arrays: dict[str, ArrayFile], options: ReadOptions) -> Iterator[Columns]:
    for letter, array in arrays.items():
        if len(array.header.shape) != 1 or array.header.dtype.names is not None:
            raise UserError(f"the array for {letter} has shape {list(array.header.shape)}; it must have one dimension")
    lengths = {letter: array.header.shape[0] for letter, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise UserError(f"the arrays have different lengths: {', '.join(f'{k} {n}' for k, n in lengths.items())}")
    rows = (array.rows(options.chunk_events) for array in arrays.values())
    return (dict(zip(arrays, parts, strict=True)) for parts in zip(*rows, strict=True))


def _order(array: ArrayFile, options: ReadOptions, remarks: list[str]) -> str:
    asked = options.columns
    if asked is not None:
        if sorted(asked) != sorted("txyp"):
            raise UserError(f"columns = {asked!r} must be the letters t, x, y and p in the order of the columns")
        return asked
    rows = next(array.rows(options.chunk_events), None)
    fitting = [order for order in ORDERS if rows is None or _fits(rows, order)]
    if len(fitting) != 1 and rows is not None:
        said = f"{' and '.join(fitting)} fit" if fitting else f"none of {', '.join(ORDERS)} fits"
        raise UserError(f"columns must say the order of the four columns, such as columns = 'txyp' ({said} the values)")
    order = fitting[0]
    remarks.append(f"the four columns were taken as {', '.join(order)}; columns says otherwise")
    return order


def _fits(rows: NDArray[Any], order: str) -> bool:
    t, x, y, p = (rows[:, order.index(letter)] for letter in "txyp")
    values = set(np.unique(p)[:3].tolist())
    inside = all(((column >= 0) & (column <= MAX_COORDINATE)).all() for column in (x, y))
    return bool((t[1:] >= t[:-1]).all() and inside and (values <= {0, 1} or values <= {-1, 1}))


def _blocks(sources: Iterator[Columns], time_unit: str | None) -> Iterator[Block]:
    off: int | None = None  # what stands for OFF: 0 or -1, known once seen
    count = 0
    for columns in sources:
        n = len(columns["t"])
        zeros = np.zeros(n, np.int64)
        problems = [_time_problem(columns["t"], time_unit)]
        problems += [_whole_problem(letter, columns[letter]) for letter in "xyp" if letter in columns]
        polarities = columns.get("p", zeros)
        negatives = np.flatnonzero((polarities == 0) | (polarities == -1))
        if off is None and len(negatives):
            off = int(polarities[negatives[0]])
        mixed = np.flatnonzero(polarities == -1 - off) if off is not None else negatives
        if len(mixed):
            problems.append(
                (int(mixed[0]), f"polarity {int(polarities[mixed[0]])} after {off}; OFF must be one of them")
            )
        good, text = min((problem for problem in problems if problem), default=(n, ""))
        whole = {k: v[:good].astype(np.int64) for k, v in columns.items() if k != "t"}
        p = whole.get("p", zeros[:good])
        times = _microseconds(columns["t"][:good], time_unit)
        yield Block(whole["x"], whole.get("y", zeros[:good]), np.where(p == -1, 0, p), times)
        if text:
            raise UserError(f"event {count + good}: {text}")
        count += n


def _whole_problem(letter: str, values: NDArray[Any]) -> tuple[int, str] | None:
    """Return the first value that is no integer of a sensible size, and the complaint about it."""
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            bad = ~((values == np.rint(values)) & (np.abs(values) < LARGEST))
    else:
        bad = _beyond(values, LARGEST)
    at = np.flatnonzero(bad)
    return (int(at[0]), f"{letter} = {values[at[0]]}; it must be an integer in range") if len(at) else None


def _beyond(values: NDArray[Any], limit: int) -> NDArray[np.bool_]:
    """Whether integers are outside of -limit to limit; unsigned ones are compared with no negative number."""
    beyond: NDArray[np.bool_] = values > limit if values.dtype.kind == "u" else (values > limit) | (values < -limit)
    return beyond


def _time_problem(values: NDArray[Any], time_unit: str | None) -> tuple[int, str] | None:
    if values.dtype.kind != "f":
        # In seconds and milliseconds, the product with the unit could overflow.
        limit = MAX_TIME_US // MICROSECONDS[time_unit] if time_unit in ("s", "ms") else LARGEST
        at = np.flatnonzero(_beyond(values, limit))
        return (int(at[0]), f"t = {values[at[0]]} {time_unit or 'us'} is out of range") if len(at) else None
    if time_unit is None:
        units = ", ".join(TIME_UNITS)
        return 0, f"times are stored as {values.dtype}, whose unit cannot be told; time_unit must say it: {units}"
    at = np.flatnonzero(~(np.abs(values.astype(np.float64)) < 2.0**53 / MICROSECONDS.get(time_unit, 1)))
    return (int(at[0]), f"t = {values[at[0]]} {time_unit} is out of range") if len(at) else None


def _microseconds(values: NDArray[Any], time_unit: str | None) -> NDArray[np.int64]:
    """Return times in microseconds, rounded to nearest (ties to even) where they lie between two."""
    unit = time_unit or "us"
    if values.dtype.kind == "f":
        scaled = values.astype(np.float64)
        return np.rint(scaled * MICROSECONDS[unit] if unit != "ns" else scaled / 1000).astype(np.int64)
    whole = values.astype(np.int64)
    if unit == "ns":
        quotient, rest = np.divmod(whole, 1000)
        rounded: NDArray[np.int64] = quotient + ((rest > 500) | ((rest == 500) & (quotient % 2 == 1)))
        return rounded
    return whole * MICROSECONDS[unit]
