"""Points of a sweep that was never run: plausible numbers, all of them different, for plots and page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiny_experiment import tiny_experiment

from neurochip.sweep.point import Computed
from neurochip.sweep.run import SweepPoint
from neurochip.sweep.summary import Summary, summary_of

BITS, ROUNDING, ARITHMETIC = "precision.weight.bits", "precision.weight.rounding", "precision.arithmetic"
ROUNDINGS = ("floor", "nearest", "stochastic")
COMMAND = "neurochip precision --sweep precision.weight.bits=2:5 --out bits"


def result_of(test: float, energy_pj: float | None, seed: int = 1, **changes: Any) -> dict[str, Any]:
    """A result with the keys of a computed point."""
    is_float = energy_pj is None
    shares = {"membrane": 0.0, "readout": 0.0, "trace": 0.0125, "error": 3e-7, "delta": None, "gradient": None}
    return {
        "rule": "ottt-o",
        "seed": seed,
        "chip": "ottt-core-28nm",
        "arithmetic": "float" if is_float else "fixed",
        "accuracy": {"test": test, "validation": test, "train": test},
        "energy_pj": energy_pj,
        "energy_inference_pj": None if is_float else energy_pj / 3,
        "latency_cycles": None if is_float else energy_pj / 20,
        "latency_us": None if is_float else energy_pj / 3000,
        "area_mm2": None if is_float else 4.5,
        "footprint_bits": None if is_float else 142_198,
        "formats": None if is_float else {"weight": [f"s4.{seed}", "s4.3"], "trace": ["u8.7"]},
        "saturation_share": None if is_float else {**shares, "weight": 0.25},
        "underflow_share": None if is_float else {"error": 0.033},
        **changes,
    }


def point(settings: dict[str, Any], result: dict[str, Any] | None, error: str | None = None) -> SweepPoint:
    return SweepPoint(settings, None if error else f"{abs(hash(repr(settings))):064x}", Computed(result, error))


def grid_points(bits: Sequence[int] = (2, 3, 4, 5), seeds: Sequence[int] = (1, 2, 3)) -> list[SweepPoint]:
    """Weight bits × rounding × seeds: floor learns nothing, nearest late, stochastic early."""
    found = []
    for n_bits in bits:
        for order, rounding in enumerate(ROUNDINGS):
            for seed in seeds:
                learned = max(0.0, 0.9 - 0.5 / 2 ** (n_bits - 2 + order)) if order else 0.1
                result = result_of(learned + seed / 1000, 1e5 * (1 + order) * n_bits + 100 * seed, seed)
                found.append(point({BITS: n_bits, ROUNDING: rounding, "run.seed": seed}, result))
    return found


def summarised(points: Sequence[SweepPoint], strategy: str = "grid", **base: Any) -> Summary:
    """The summary of points around the tiny experiment."""
    return summary_of(points, tiny_experiment(**base), strategy, COMMAND)
