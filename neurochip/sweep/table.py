"""One tidy table of a sweep: a row per point, as CSV and, where pyarrow is installed, as Parquet."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurochip.errors import UserError
from neurochip.sweep.axes import SEED
from neurochip.sweep.run import SweepPoint
from neurochip.sweep.shares import SIGNALS

CSV_NAME, PARQUET_NAME = "sweep.csv", "sweep.parquet"
KEY_LETTERS = 16  # of a point's name, enough to find its file
ABOUT = ("seed", "rule", "chip", "arithmetic")
METRICS = (
    "energy_pj",
    "energy_inference_pj",
    "latency_cycles",
    "latency_us",
    "area_mm2",
    "footprint_bits",
)
ACCURACIES = ("test", "validation", "train")
Row = dict[str, Any]


def rows_of(points: Sequence[SweepPoint]) -> list[Row]:
    """Rows with the same columns in the order of the points; a failed point has its error and no numbers."""
    return [_row(point) for point in points]


def _row(point: SweepPoint) -> Row:
    settings = {key: value for key, value in point.settings.items() if key != SEED}
    row: Row = {"point": point.key and point.key[:KEY_LETTERS], **settings}
    result = point.computed.result or {}
    row |= {name: result.get(name) for name in ABOUT}
    if row["seed"] is None:
        row["seed"] = point.settings.get(SEED)
    row |= {f"accuracy_{split}": result.get("accuracy", {}).get(split) for split in ACCURACIES}
    row |= {name: result.get(name) for name in METRICS}
    shares = result.get("saturation_share") or {}
    row |= {f"saturation_{signal}_share": shares.get(signal) for signal in SIGNALS}
    row["underflow_error_share"] = (result.get("underflow_share") or {}).get("error")
    row["limit"] = result.get("limit")
    return row | {"error": point.computed.error}


def csv_text(rows: Sequence[Row]) -> str:
    """The rows as CSV: numbers so that they read back exactly, lists and booleans as in JSON, nothing for None."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, bool | list | dict) else value


def parquet_bytes(rows: Sequence[Row]) -> bytes | None:
    """The rows as a Parquet file; None where pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        return None
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    columns = {name: _column([row[name] for row in rows]) for name in rows[0]}
    content = io.BytesIO()
    parquet.write_table(arrow.table(columns), content)
    return content.getvalue()


def _column(values: list[Any]) -> list[Any]:
    """Values of one type: numbers and words as they are, anything mixed as the text it has in CSV."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) <= 1 and not kinds & {list, dict}:
        return values
    return [None if value is None else str(_cell(value)) for value in values]


def write_table(rows: Sequence[Row], directory: Path) -> list[Path]:
    """Write sweep.csv, and sweep.parquet where that is possible; every file whole or as it was.

    Raises:
        UserError: the folder cannot be written.
    """
    return write_files({CSV_NAME: csv_text(rows).encode(), PARQUET_NAME: parquet_bytes(rows)}, directory)


def write_files(files: Mapping[str, bytes | None], directory: Path) -> list[Path]:
    """Write files by name, each whole or as it was; remove those without content, which would tell of other points.

    Raises:
        UserError: the folder cannot be written.
    """
    written = []
    for name, content in files.items():
        path = directory / name
        part = directory / f".{name}.{os.getpid()}.part"
        try:
            if content is None:
                path.unlink(missing_ok=True)
                continue
            part.write_bytes(content)
            os.replace(part, path)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); give --out a writable folder") from error
        written.append(path)
    return written
