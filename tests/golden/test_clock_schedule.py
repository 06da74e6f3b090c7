"""After which steps and windows does the clock model apply gradients (docs/semantics.md, section 3.6)?"""

from __future__ import annotations

from typing import Any

import pytest
from golden_builders import make_spec

from neurochip.reference.clock.schedule import Applies


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        # Windows of 2, 2 and 1 steps; updates of steps 2 1 4 3 5.
        ({"apply_when": "deferred", "apply_every": 2}, ["update 2", "update 4", "update 5"]),
        ({"apply_when": "deferred", "apply_every": 9}, ["update 5"]),
        ({"apply_when": "window", "apply_every": 2}, ["window 1", "window 2", "window 3"]),
        ({"apply_when": "window", "apply_every": 3}, ["window 2", "window 3"]),
        ({"apply_when": "window", "apply_every": 9}, ["window 3"]),
        ({"apply_when": "sample"}, []),
        ({"update": "immediate"}, []),
    ],
)
def test_when_gradients_are_applied_within_a_sample(changes: dict[str, Any], after: list[str]) -> None:
    settings = {"credit": "unroll", "update": "accumulate", "n_steps": 5, "unroll_steps": 2} | changes
    applies, found, n_updates = Applies(make_spec(**settings)), [], 0
    for number, n_steps in enumerate((2, 2, 1), 1):
        for _ in range(n_steps):
            n_updates += 1
            found += [f"update {n_updates}"] * applies.after_update()
        found += [f"window {number}"] * applies.after_window(n_steps)
    assert found == after


def test_deferred_applies_count_steps_with_a_loss() -> None:
    # Losses in steps 2, 4 and 6: after two of them, and after the last one of the sample.
    spec = make_spec(n_steps=7, update_every=2, update="accumulate", apply_when="deferred", apply_every=2)
    applies = Applies(spec)
    assert [applies.after_update() for _ in range(3)] == [False, True, True]


def test_a_window_counts_the_steps_since_the_last_apply() -> None:
    spec = make_spec(
        credit="unroll", update="accumulate", n_steps=5, unroll_steps=1, apply_when="window", apply_every=2
    )
    applies = Applies(spec)
    assert [applies.after_window(1) for _ in range(5)] == [False, True, False, True, True]
