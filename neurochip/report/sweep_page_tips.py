"""What stands behind a number on the page of a sweep: its unit, source and kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurochip.report.origins import COUNTED, LEARNED, shares

Summary = Mapping[str, Any]
Setting = Mapping[str, Any]
Origin = tuple[str, str]  # source and kind
CALCULATED = "calculated, exact"
ENERGY = "sum of accesses and operations counted × their prices on {chip}, plus clock and leakage; mean over {seeds}"
SOURCES: Mapping[str, str] = {
    "test": "{seeds} of this setting, predictions for the test split of {task}",
    "energy_pj": ENERGY,
    "energy_inference_pj": ENERGY,
    "latency_us": "cycles of a sample ÷ the clock of {chip}; mean over {seeds}",
    "area_mm2": "memories and arithmetic of {chip} × their areas; mean over {seeds}",
    "footprint_bits": "shapes and word widths of what the rule keeps, no price in it",
    "share": "counts of {seeds} of this setting, events ÷ results in the last epoch",
    "front": "the means of this table compared with each other",
    "limit": "neurochip diagnose with the weights of the end",
    "failed": "the points of this sweep",
    "formats": "calibration before learning, and the formats of the experiment",
}
KINDS: Mapping[str, str] = {
    "test": LEARNED,
    "latency_us": "cycles simulated; clock as the chip states it (neurochip chips --show)",
    "footprint_bits": CALCULATED,
    "share": COUNTED,
    "front": CALCULATED,
    "limit": LEARNED,
    "failed": CALCULATED,
    "formats": LEARNED,
}
UNKNOWN_KIND = "as the prices of the chip (neurochip chips --show)"  # points that an earlier version computed


def origin_of(summary: Summary, setting: Setting, what: str) -> Origin:
    """(source, kind) of a number of a setting; `what`: a key of SOURCES, or a key of the experiment."""
    if what not in SOURCES:
        return "the keys of this sweep", "given"
    seeds = [str(seed) for seed in setting["seeds"]]
    words = {
        "task": summary["task"],
        "chip": ", ".join(summary["chips"]),
        "seeds": f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(seeds)}",
    }
    return SOURCES[what].format(**words), KINDS.get(what) or _shares(setting, what)


def _shares(setting: Setting, what: str) -> str:
    by_kind = setting["by_kind"].get(what)
    return shares(by_kind, sum(by_kind.values())) if by_kind else UNKNOWN_KIND


def sentence_tip(summary: Summary, setting: Setting) -> str:
    """What stands behind a sentence with the accuracy of a setting and, where it has one, its energy."""
    shown = [("Accuracy", "test")] + [("Energy", "energy_pj")] * (setting["energy_pj"] is not None)
    origins = [(name, *origin_of(summary, setting, what)) for name, what in shown]
    return " ".join(f"{name}: source: {source}; kind: {kind}." for name, source, kind in origins)
