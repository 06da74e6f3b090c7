"""Names of points: hashes of all that a result depends on, so that equal names mean equal results."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from neurochip._version import __version__
from neurochip.chip import Chip
from neurochip.config import Experiment

PACKAGE = Path(__file__).resolve().parent.parent
NOT_OF_RESULTS = ("cli", "export", "report")  # packages that only show what others found
OF_SWEEPS = ("keys.py", "loaded.py", "point.py", "shares.py")  # of this package, what makes a result


def canonical_json(content: Any) -> str:
    """One text for equal contents: keys sorted, no blanks."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@cache
def source_hash() -> str:
    """SHA-256 of the source that a result can depend on: kernels, rules, tasks, counting and prices."""
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        if place.parts[0] in NOT_OF_RESULTS or (place.parts[0] == "sweep" and place.name not in OF_SWEEPS):
            continue
        digest.update(place.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def configuration(experiment: Experiment, chip: Chip) -> dict[str, Any]:
    """What a point is a function of, apart from the source: all keys of the experiment and the chip itself.

    A chip file goes by its name, its content stands beside it; the folder it lies in belongs to a machine.
    """
    tables = experiment.to_tables()
    tables["chip"]["name"] = Path(tables["chip"]["name"]).name
    tables["run"].pop("name", None)
    chip_hash = hashlib.sha256(canonical_json(chip.model_dump(mode="json")).encode()).hexdigest()
    return {"experiment": tables, "chip_sha256": chip_hash}


def point_key(configured: dict[str, Any]) -> str:
    """Name of a point: SHA-256 of its configuration, the version and the source."""
    return _hash([configured, __version__, source_hash()])


def simulation_key(configured: dict[str, Any], chip: Chip) -> str:
    """Name of what is simulated for a point; points that differ in their price alone share it.

    The widths of the chip's words stay: what is counted in words follows exactly only from a pass at these widths.
    """
    tables = {key: table for key, table in configured["experiment"].items() if key != "chip"}
    return _hash([tables, chip.lanes, chip.trace_lanes, __version__, source_hash()])


def _hash(content: Any) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()
