"""What would turn the order between a rule that keeps a trace and the BPTT of its group.

A dense trace makes an online rule update several rows per input event. Its cost above BPTT is set against what one
such row costs, which gives the number of rows at which both would need the same energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurochip.activity import Activity

ROW_PHASES = ("trace", "update")


def rows_per_event(activity: Activity) -> float:
    """Rows updated per input event, all layers (bias rows included)."""
    return activity.total("update_rows") / max(1, activity.total("events"))


def energy_of_rows_pj(per_sample: Mapping[str, Any]) -> float:
    """Energy of following the trace and updating rows, with the share of clock and leakage of their cycles."""
    energy, phases = per_sample["energy_pj"], per_sample["by_phase"]
    dynamic = sum(phases[phase]["energy_pj"] for phase in ROW_PHASES)
    cycles = sum(phases[phase]["cycles"] for phase in ROW_PHASES)
    return float(dynamic + (energy["clock"] + energy["leakage"]) * cycles / max(1.0, per_sample["cycles"]))


def break_even_rows_per_event(
    per_sample: Mapping[str, Any], baseline: Mapping[str, Any], activity: Activity
) -> float | None:
    """Rows per event at which the rule would need the energy of its baseline; None if no number of rows would do.

    rows* = rows · (1 − (E − E_baseline) / E_rows), E_rows being proportional to the rows.
    """
    rows_pj = energy_of_rows_pj(per_sample)
    excess_pj: float = per_sample["energy_pj"]["total"] - baseline["energy_pj"]["total"]
    if rows_pj <= 0 or excess_pj >= rows_pj:
        return None
    return rows_per_event(activity) * (1.0 - excess_pj / rows_pj)


def least_rows_per_event(activity: Activity) -> float:
    """Rows per event that the shortest trace would leave: the event itself, in the steps that have a signal."""
    events, steps = activity.per_layer("events"), activity.per_layer("signal_steps")
    cells = max(1, activity.n_samples * activity.n_steps)
    updated = sum(count * active / cells for count, active in zip(events, steps, strict=True))
    return updated / max(1, sum(events))


def flip_sentence(
    rule: str, baseline_rule: str, per_sample: Mapping[str, Any], baseline: Mapping[str, Any], activity: Activity
) -> str:
    """Say at which rows per event the order in energy flips."""
    now = rows_per_event(activity)
    flips = break_even_rows_per_event(per_sample, baseline, activity)
    if flips is None:
        return f"{rule} stays dearer than {baseline_rule} in energy however few rows its trace keeps alive."
    least = least_rows_per_event(activity)
    if flips < least:
        return (
            f"No shorter trace turns the order of {rule} and {baseline_rule} in energy: {rule} updates {now:.2f} rows "
            f"per input event, would have to stay below {flips:.2f}, and needs about {least:.2f} for the events "
            "themselves; what is left are fewer updates (trace.gate, deferral) or a T at which the history costs more."
        )
    dearer = per_sample["energy_pj"]["total"] > baseline["energy_pj"]["total"]
    way = "fell below" if dearer else "rose above"
    means = (
        "fewer trace bits, a stronger leak, trace.gate or deferred updates"
        if dearer
        else "more trace bits or a weaker leak"
    )
    return (
        f"The order of {rule} and {baseline_rule} in energy flips if the rows that {rule} updates per input event "
        f"{way} {flips:.2f} (now {now:.2f}): {means}."
    )
