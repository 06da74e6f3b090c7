"""Are the events of ODIN what its documentation and controller spend?"""

from __future__ import annotations

from typing import Any

import pytest

from neurochip.errors import UserError
from neurochip.microarch.odin import EVENTS, step_cost

# Cycles of the documented table of events, push included.
CYCLES = {
    "neuron_spikes": 1 + 512,
    "single_synapses": 2,
    "virtuals": 1 + 2,
    "time_references_all": 512,
    "time_references_single": 2,
    "bistabilities_all": 16384,
    "bistabilities_single": 64,
}


def pop_a_neuron_spike() -> dict[str, int]:
    """The 512 clocks of state POP_NEUR: even ones read, odd ones write; the synapse memory is on for 1 neuron of 8."""
    found = dict.fromkeys(("neuron_read", "neuron_write", "synapse_read", "synapse_write"), 0)
    for clock in range(512):
        kind = "write" if clock % 2 else "read"
        found[f"neuron_{kind}"] += 1
        found[f"synapse_{kind}"] += (clock // 2) % 8 == 0
    return found


@pytest.mark.parametrize("kind", CYCLES)
def test_cycles_of_an_event(kind: str) -> None:
    assert step_cost(**{kind: 1}).total_cycles == CYCLES[kind]
    assert step_cost(**{kind: 3}).total_cycles == 3 * CYCLES[kind]


def test_a_neuron_spike_takes_two_cycles_per_synapse_and_a_synapse_word_per_eight() -> None:
    cost = step_cost(neuron_spikes=1)
    assert cost.sops == 256
    assert (cost.total_cycles - 1) / cost.sops == 2
    assert dict(cost.accesses) == pop_a_neuron_spike()


def test_accesses_of_the_other_events() -> None:
    def words(**numbers: int) -> tuple[int, int]:
        accesses = step_cost(**numbers).accesses
        assert accesses["neuron_read"] == accesses["neuron_write"]
        assert accesses["synapse_read"] == accesses["synapse_write"]
        return accesses["neuron_read"], accesses["synapse_read"]

    assert words(single_synapses=1) == (1, 1)
    assert words(virtuals=1) == (1, 0)
    assert words(time_references_all=1) == (256, 0)
    assert words(time_references_single=1) == (1, 0)
    assert words(bistabilities_all=1) == (0, 8192)
    assert words(bistabilities_single=1) == (0, 32)


def test_events_add_up_by_kind() -> None:
    cost = step_cost(2, 3, 1, 1)
    assert dict(cost.cycles) == dict(zip(EVENTS, (1026, 6, 3, 512, 0, 0, 0), strict=True))
    assert cost.total_cycles == 1547
    assert cost.sops == 2 * 256 + 3


@pytest.mark.parametrize("number", [-1, 0.5])
def test_a_number_of_events_is_a_whole_number(number: Any) -> None:
    with pytest.raises(UserError, match=f"number of virtual events of ODIN is {number}"):
        step_cost(virtuals=number)
