"""A sweep of the tiny experiment: what the tests of sweeps share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_experiment import tiny_experiment

from neurochip.sweep.request import parse_request, run_sweep
from neurochip.sweep.run import SweepPoint

BITS, ROUNDING = "precision.weight.bits", "precision.weight.rounding"


def sweep_tiny(folder: Path, out: str, *sweeps: str, **options: Any) -> list[SweepPoint]:
    """Sweep the experiment on the task in `folder`; `base` are changes of it, the rest is as for the command.

    Without plots and page, which few tests look at.
    """
    options.setdefault("page", False)
    asked = {
        key: options.pop(key)
        for key in ("method", "seeds", "n_points", "sampler_seed", "start", "twin")
        if key in options
    }
    base = tiny_experiment(**options.pop("base", {}))
    return run_sweep(base, parse_request(sweeps, **asked), base_dir=folder, out=folder / out, **options)


def results_of(points: list[SweepPoint]) -> list[dict[str, Any]]:
    """The results of points that all went well."""
    results = [point.computed.result for point in points]
    assert None not in results, [point.computed.error for point in points]
    return [result for result in results if result is not None]


def files_of(directory: Path) -> dict[str, bytes]:
    """Every file below a folder by its place in it."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }
