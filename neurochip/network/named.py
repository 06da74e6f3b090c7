"""A network given by its sizes, "512-128-10", by a network file, or by an experiment file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurochip.config import Experiment, load_experiment, source_of
from neurochip.errors import UserError

NETWORK_KEYS = ("inputs", "classes", "layers")


@dataclass(frozen=True)
class NamedNetwork:
    """An experiment and the sizes that are no part of it; None where its task has to be loaded to know them."""

    experiment: Experiment
    n_inputs: int | None
    n_classes: int | None
    source: str
    base_dir: Path


def named_network(text: str, overrides: Sequence[str]) -> NamedNetwork:
    """Read sizes or a TOML file, and apply KEY=VALUE overrides to the experiment.

    Sizes are inputs, hidden layers and classes: dense layers with default settings and the readout. A network file has
    the keys `inputs`, `classes` and `layers` as in `[network]` (the readout included). Any other TOML file is an
    experiment file.

    Raises:
        UserError: naming what was given, and what is allowed.
    """
    if re.fullmatch(r"\d+(-\d+)+", text):
        sizes = [int(size) for size in text.split("-")]
        if 0 in sizes:
            raise UserError(f"--network {text}: a size is 0; allowed are sizes from 1")
        dense: list[dict[str, Any]] = [{"kind": "dense", "neurons": size} for size in sizes[1:-1]]
        tables = {"network": {"layers": [*dense, {"kind": "readout"}]}}
        return _from_tables(tables, (sizes[0], sizes[-1]), overrides, f"--network {text}", Path())
    path = Path(text)
    if path.suffix != ".toml" or not path.is_file():
        what = "no such file" if path.suffix == ".toml" else "neither sizes nor a TOML file"
        raise UserError(f"--network {text}: {what}; allowed are sizes such as 512-128-10 and .toml files")
    tables = _read(path)
    if "layers" not in tables:
        experiment = load_experiment(path, overrides)
        return NamedNetwork(experiment, None, None, source_of(path, overrides), path.parent)
    for key in tables:
        if key not in NETWORK_KEYS:
            raise UserError(f"{path}: {key} is an unknown key; a network file has {', '.join(NETWORK_KEYS)}")
    ends = _size(path, tables, "inputs"), _size(path, tables, "classes")
    return _from_tables({"network": {"layers": tables["layers"]}}, ends, overrides, str(path), path.parent)


def _from_tables(
    tables: dict[str, Any], ends: tuple[int, int], overrides: Sequence[str], source: str, base_dir: Path
) -> NamedNetwork:
    try:
        return NamedNetwork(load_experiment(None, overrides, tables=tables), *ends, source, base_dir)
    except UserError as error:
        what = source if not overrides else f"{source} with --set"
        raise UserError(str(error).replace(source_of(None, overrides), what, 1)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: cannot be read as TOML ({error})") from error


def _size(path: Path, tables: dict[str, Any], key: str) -> int:
    value = tables.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{path}: {key} is {value!r}; a network file needs a whole number from 1")
    return value
