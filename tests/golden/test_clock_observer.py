"""Where an observer sees the stalls, derived on paper; and that looking on changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from golden_builders import BELOW, HIDDEN, ONE_EVENT, READOUT, make_spec, small_chip

from neurochip.microarch import Gates
from neurochip.reference.clock import ClockCore
from neurochip.reference.core import GoldenSample
from neurochip.replay_timeline import Timeline

GATES = Gates(zero_trace=True, zero_error=True, zero_surrogate=True)
NAMES = ("synapse", "neuron", "trace", "error", "gradient", "history")
FIRING = make_spec(replace(HIDDEN, n_out=4), replace(READOUT, n_in=4, bias=True), event_bits=1, credit="none")
FIRING_WEIGHTS = [[[16, 16, 16, 0], [0] * 4], [[1, 2], [3, 4], [5, 6], [7, 7], [10, 20]]]


@dataclass(frozen=True)
class Shape:
    ports: str
    words: int = 64
    bank_words: int = 64
    read_latency_cycles: int = 1


def make_chip(ports: str) -> Any:
    """2 lanes, a pipeline of 1 clock, an event FIFO of one event, memories of one bank that answer after 1 clock."""
    return small_chip(dict.fromkeys(NAMES, Shape(ports)) | {"event_fifo": Shape("1r1w", 1, 1, 0)})


def observed(spec: Any, weights: Any, ports: str, learn: bool) -> Timeline:
    """The timeline of one event, after checking that nobody looking on gives the same run."""
    timeline = Timeline()
    watched, alone = (ClockCore(spec, weights, make_chip(ports), GATES) for _ in range(2))
    watched.observe(timeline)
    run = watched.run([GoldenSample(ONE_EVENT, 0)], learn)
    timeline.end(watched.machine)
    assert run == alone.run([GoldenSample(ONE_EVENT, 0)], learn)
    assert (watched.weights, watched.registers) == (alone.weights, alone.registers)
    return timeline


def test_the_stalls_lie_where_the_paper_has_them() -> None:
    # The clocks of test_clock.test_fire_beside_deliver_on_two_ports: group 0 in clocks 0 to 4, group 1 from 5 on.
    timeline = observed(FIRING, FIRING_WEIGHTS, "1r1w", learn=False)
    assert timeline.stalls == {
        "event_wait": [[0, 1], [6, 3], [10, 1], [13, 1]],
        "latency": [[3, 2], [7, 1], [12, 1], [16, 2], [20, 2]],
        "raw_hazard": [[11, 1], [14, 1]],
        "arbitration": [[5, 1]],
        "fifo_full": [[9, 1]],
    }


def test_the_phases_lie_where_the_paper_has_them() -> None:
    timeline = observed(FIRING, FIRING_WEIGHTS, "1r1w", learn=False)
    found = [(one["unit"], one["phase"], one["layer"], one["start"], one["clocks"]) for one in timeline.slices]
    assert found == [
        ("ForwardGroup", "deliver", 0, 0, 5),
        ("ForwardGroup", "fire", 0, 5, 9),
        ("ForwardGroup", "deliver", 1, 14, 4),
        ("FireReadout", "fire", 1, 18, 4),
    ]
    assert [one["accesses"].get("event_fifo_read", 0) for one in timeline.slices] == [1, 2, 1, 0]
    assert [one["accesses"].get("event_fifo_write", 0) for one in timeline.slices] == [1, 3, 0, 0]


def test_a_learning_step_goes_through_its_phases_in_order() -> None:
    # The clocks of test_clock.test_one_learning_step_of_one_neuron, which does not fire.
    timeline = observed(make_spec(), BELOW, "1rw", learn=True)
    phases = [(one["unit"], one["phase"], one["layer"], one["clocks"]) for one in timeline.slices]
    assert phases == [
        ("ForwardGroup", "deliver", 0, 6),
        ("ForwardGroup", "fire", 0, 3),
        ("FireReadout", "fire", 1, 6),
        ("Softmax", "error", 1, 11),
        ("DirectError", "error", 1, 8),
        ("Update", "update", 1, 4),
        ("Update", "update", 0, 6),
    ]
    assert {(one["step"], one["back"]) for one in timeline.slices} == {(0, False)}


@pytest.mark.parametrize("most", [8, 4096])
def test_windows_are_joined_where_there_are_too_many(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import neurochip.replay_timeline as module

    monkeypatch.setattr(module, "WINDOW_CLOCKS", 1)
    monkeypatch.setattr(module, "MOST_WINDOWS", most)
    timeline = observed(FIRING, FIRING_WEIGHTS, "1r1w", learn=False)
    assert timeline.window == (4 if most == 8 else 1)
    if most == 4096:
        assert timeline.traffic["event_fifo_read"] == [0, 1] + [0] * 7 + [1, 0, 0, 1, 0, 0, 1]
    else:
        assert timeline.traffic["event_fifo_read"] == [1, 0, 1, 2]
