"""Is the number of rows at which two rules need the same energy really that number?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurochip.activity import FIELD_INDEX, N_FIELDS, Activity
from neurochip.break_even import break_even_rows_per_event, flip_sentence, least_rows_per_event, rows_per_event


def activity(rows: int = 300, events: int = 100, signal_steps: int = 20) -> Activity:
    """One layer, 10 samples of 2 steps; a signal in `signal_steps` of the 20."""
    totals = np.zeros((3, 1, N_FIELDS), dtype=np.int64)
    for name, number in (("update_rows", rows), ("events", events), ("signal_steps", signal_steps)):
        totals[0, 0, FIELD_INDEX[name]] = number
    return Activity(totals, n_samples=10, n_applies=0, learning=True, synapse_lanes=16, trace_lanes=16)


def cost(rows: float) -> dict[str, Any]:
    """A sample of 2 pJ and 1 cycle per row, 50 pJ and 10 cycles besides, and 1 pJ per cycle."""
    phases = {"deliver": {"energy_pj": 50.0, "cycles": 10.0}, "update": {"energy_pj": 2.0 * rows, "cycles": rows}}
    phases["trace"] = {"energy_pj": 0.0, "cycles": 0.0}
    cycles = 10.0 + rows
    energy = {"total": 50.0 + 2.0 * rows + cycles, "clock": cycles, "leakage": 0.0}
    return {"by_phase": phases, "cycles": cycles, "energy_pj": energy}


def test_at_the_break_even_both_rules_need_the_same_energy() -> None:
    baseline = {"energy_pj": {"total": 75.0}}
    found = break_even_rows_per_event(cost(30.0), baseline, activity(rows=300))  # 30 rows and 10 events a sample
    assert found is not None
    assert cost(10.0 * found)["energy_pj"]["total"] == pytest.approx(75.0)
    assert rows_per_event(activity(rows=300)) == 3.0


def test_a_rule_dearer_without_any_row_never_breaks_even() -> None:
    baseline = {"energy_pj": {"total": 59.0}}  # 50 pJ and 10 cycles remain without rows: 60 pJ
    assert break_even_rows_per_event(cost(30.0), baseline, activity()) is None
    assert "stays dearer" in flip_sentence("ottt-o", "bptt-o", cost(30.0), baseline, activity())


def test_the_events_themselves_are_the_least_a_trace_leaves() -> None:
    assert least_rows_per_event(activity(signal_steps=20)) == 1.0
    assert least_rows_per_event(activity(signal_steps=5)) == 0.25
    baseline = {"energy_pj": {"total": 75.0}}  # breaks even at 0.5 rows an event
    assert "No shorter trace" in flip_sentence("ottt-o", "bptt-o", cost(30.0), baseline, activity(signal_steps=20))
    assert "fell below 0.50" in flip_sentence("ottt-o", "bptt-o", cost(30.0), baseline, activity(signal_steps=5))


def test_a_cheaper_rule_may_keep_more_rows() -> None:
    baseline = {"energy_pj": {"total": 300.0}}
    assert "rose above 8.00 (now 3.00)" in flip_sentence("ottt-o", "bptt-o", cost(30.0), baseline, activity())
