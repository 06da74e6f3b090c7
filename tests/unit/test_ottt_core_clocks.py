"""Are the clocks and stalls that follow from totals those of docs/microarchitecture.md? Worked out by hand.

The chip (ottt_core_bitmaps.py): L = 4, M = 3, K = 4, H = 16, D = 24, P = 6, ρ = 1 everywhere. Two samples of 3 steps:
NT = 6. The layer in the middle has n = 10 inputs and o = 6 outputs: W = 2, W₋ = 3, r = 11; the readout C = 5, W = 2.
A 1rw memory: II = 2, λ = 1 + 6 = 7, d = 7 + 1 − 2 = 6. A 1r1w memory: II = 1, λ = 7, d = 7.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ottt_core_bitmaps as given
import pytest

from neurochip.activity import FIELDS
from neurochip.errors import UserError
from neurochip.microarch import ottt_core_error
from neurochip.microarch import ottt_core_forward as forward
from neurochip.microarch import ottt_core_learning as learning
from neurochip.microarch.interface import Gates
from neurochip.microarch.ottt_core_site import Site, Work
from neurochip.topology import Connection

SEEN = {
    "trace_words": 9,
    "signal_steps": 5,
    "error_rows": 8,
    "error_words": 20,
    "presynaptic_rows": 24,
    "update_rows": 20,
    "update_words": 30,
}
APPLIED = {"update_words": 13}
NOTHING = dict.fromkeys(FIELDS, 0)
EVERY_GATE = Gates()


def site(
    rule: str,
    index: int = 1,
    ports: str = "1rw",
    gates: Gates = EVERY_GATE,
    off_chip: tuple[str, ...] = (),
    rho: dict[str, int] | None = None,
    **changes: object,
) -> Site:
    """A layer of 7-10-6-5 with the totals above; `rho`: read latencies other than 1."""
    spec, chip = given.core_spec(rule, **changes), given.chip_with(ports)
    for memory, latency in (rho or {}).items():
        chip.memories[memory] = dataclasses.replace(chip.memories[memory], read_latency_cycles=latency)
    chip = given.without(chip, *off_chip) if off_chip else chip
    seen, applied = NOTHING | SEEN, NOTHING | APPLIED
    return Site(index, spec, chip, gates, seen, applied, 2, 2, True, frozenset(off_chip), (0, 0, 0))


def clocks(work: Work) -> tuple[int, dict[str, int]]:
    return work.cycles, {cause: number for cause, number in work.stalls.items() if number}


@pytest.mark.parametrize(
    ("ports", "cycles", "stalls"),
    [
        # (9 words + 6 steps of ⌈4 words / K⌉ = 1 window)·2 + 6·d + 2 sample starts = 30 + 36 + 2.
        ("1rw", 68, {"port": 9, "scan": 12, "latency": 36}),
        # 9 + 6 + 6·7 + 2.
        ("1r1w", 59, {"scan": 6, "latency": 42}),
    ],
)
def test_trace_by_hand(ports: str, cycles: int, stalls: dict[str, int]) -> None:
    assert clocks(forward.trace(site("ottt-o", ports=ports))) == (cycles, stalls)


def test_latency_of_a_single_port_memory_is_rounded_up_to_odd() -> None:
    # ρ = 2: λ = 8, rounded to 9 on 1rw, d = 8: 30 + 6·8 + 2. On 1r1w it stays 8, d = 8: 15 + 6·8 + 2.
    assert forward.trace(site("ottt-o", rho={"trace": 2})).cycles == 80
    assert forward.trace(site("ottt-o", ports="1r1w", rho={"trace": 2})).cycles == 65


@pytest.mark.parametrize(
    ("ports", "cycles", "stalls"),
    # 6 steps of 2·W = 4 slots and d: 6·(4·2 + 6), 6·(4·1 + 7).
    [("1rw", 84, {"port": 24, "latency": 36}), ("1r1w", 66, {"latency": 42})],
)
def test_fire_of_the_readout_by_hand(ports: str, cycles: int, stalls: dict[str, int]) -> None:
    assert clocks(forward.fire(site("ottt-o", index=2, ports=ports))) == (cycles, stalls)
    assert clocks(forward.fire(site("ottt-o", index=1, ports=ports))) == (0, {})  # hidden: those of its group


def softmax(rule: str, **changes: Any) -> tuple[int, dict[str, int]]:
    """Clocks of the readout without the way back through it: the layer before it is cut off."""
    whole = site(rule, index=2, **changes)
    cut = Connection(source=1, channels=6, carries_error=False)
    layers = (*whole.spec.layers[:2], dataclasses.replace(whole.layer, inputs=(cut,)))
    spec = dataclasses.replace(whole.spec, layers=layers)
    return clocks(ottt_core_error.error(dataclasses.replace(whole, spec=spec)))


def test_softmax_by_hand() -> None:
    assert softmax("ottt-o") == (6 * (4 * 2 + 5 * 24 + 6), {"latency": 36})
    assert softmax("ottt-o", mse_share_q=13) == (6 * (4 * 2 + 2 * 5 * 24 + 6), {"latency": 36})
    assert softmax("bptt") == (6 * (5 * 2 + 5 * 24 + 6), {"latency": 36})  # e is written once more, from the history


@pytest.mark.parametrize(
    ("ports", "cycles", "stalls"),
    [
        # λ_E = 1 + ⌈log2 4⌉ + 2·6 = 15, q = 8; 20 row words + 6·(⌈10/4⌉ + (3 + 8)·2).
        ("1rw", 20 + 6 * 25, {"scan": 18, "port": 18, "latency": 96}),
        # q = 15; 20 + 6·(3 + 3 + 15).
        ("1r1w", 20 + 6 * 21, {"scan": 18, "latency": 90}),
    ],
)
def test_error_by_hand(ports: str, cycles: int, stalls: dict[str, int]) -> None:
    assert clocks(ottt_core_error.error(site("ottt-o", ports=ports))) == (cycles, stalls)
    # Valid bits of δ, per sample.
    assert clocks(ottt_core_error.error(site("bptt", ports=ports))) == (cycles + 2, stalls)


def test_error_of_a_slow_synapse_memory_by_hand() -> None:
    # λ_E = 3 + 2 + 12 = 17, q = 9: 20 + 6·(3 + 12·2).
    assert ottt_core_error.error(site("ottt-o", rho={"synapse": 3})).cycles == 182


@pytest.mark.parametrize(
    ("gates", "row_words", "rows"),
    [
        (Gates(), 20, 8),
        (Gates(zero_surrogate=False), 0, 10 * 5),  # signal_words is 0 here; n·signal_steps rows
        (Gates(zero_error=False), 0, 0),  # psi_nonzero of the layer below is 0 here
        (Gates(zero_error=False, zero_surrogate=False), 6 * 10 * 2, 6 * 10),
    ],
)
def test_error_with_weights_in_dram_by_hand(gates: Gates, row_words: int, rows: int) -> None:
    # B(2): words of 32 bits on 24 bits: 7 + 2·2 = 11. ρ of the row buffer is 0, so λ_E = 15 with ρ(error) = 1: q = 8.
    there = site("ottt-o", gates=gates, off_chip=("synapse",), rho={"synapse": 4})
    stalls = {"scan": 18, "port": 18, "latency": 96, "dram": 11 * rows}
    expected = {cause: number for cause, number in stalls.items() if number}
    assert clocks(ottt_core_error.error(there)) == (row_words + 6 * 25 + 11 * rows, expected)


@pytest.mark.parametrize(
    ("rule", "ports", "gates", "cycles", "stalls"),
    [
        # (30 row words + 5 signal steps of ⌈11/4⌉ = 3 windows)·2 + 5·6.
        ("ottt-o", "1rw", Gates(), 120, {"port": 30, "scan": 30, "latency": 30}),
        ("bptt", "1rw", Gates(), 120, {"port": 30, "scan": 30, "latency": 30}),
        ("ottt-a", "1r1w", Gates(), 30 + 15 + 35, {"scan": 15, "latency": 35}),
        # Every step: 24 rows of 2 words, (48 + 18)·2 + 6·6.
        ("ottt-o", "1rw", Gates(zero_error=False), 168, {"port": 48, "scan": 36, "latency": 36}),
    ],
)
def test_update_by_hand(rule: str, ports: str, gates: Gates, cycles: int, stalls: dict[str, int]) -> None:
    assert clocks(learning.update(site(rule, ports=ports, gates=gates))) == (cycles, stalls)


def test_update_waits_for_the_slowest_memory_it_reads() -> None:
    # λ = 5 + 6 = 11, d = 10: 90 + 5·10. Without a trace (sltt-o) that of the trace memory does not matter.
    assert learning.update(site("ottt-o", rho={"trace": 5})).cycles == 140
    assert learning.update(site("sltt-o", rho={"trace": 5})).cycles == 120
    assert learning.update(site("sltt-o", rho={"error": 5})).cycles == 140


def test_update_in_dram_by_hand() -> None:
    # 30 + 15 windows + 20 rows·(2·11 + λ = 7).
    stalls = {"scan": 15, "latency": 140, "dram": 440}
    assert clocks(learning.update(site("ottt-o", off_chip=("synapse",)))) == (625, stalls)
    # Gradients have words of 96 bits, 4 clocks each: B(2) = 15.
    stalls = {"scan": 15, "latency": 140, "dram": 600}
    assert clocks(learning.update(site("ottt-a", off_chip=("gradient",)))) == (785, stalls)
    # Weights in DRAM do not matter where gradients accumulate.
    assert learning.update(site("ottt-a", off_chip=("synapse",))).cycles == 120


@pytest.mark.parametrize(
    ("off_chip", "cycles", "stalls"),
    [
        # (13 words + 2 applies of ⌈22/4⌉ = 6 windows)·2 + 2·6.
        ((), 62, {"port": 13, "scan": 24, "latency": 12}),
        # 13·2 + 22 rows·(6 + 2·15); 22 rows·(6 + 2·11).
        (("gradient",), 26 + 22 * 36, {"port": 13, "latency": 132, "dram": 660}),
        (("synapse",), 26 + 22 * 28, {"port": 13, "latency": 132, "dram": 484}),
        # Both: II = 1, d = P = 6.
        (("gradient", "synapse"), 13 + 22 * (6 + 30 + 22), {"latency": 132, "dram": 1144}),
    ],
)
def test_apply_by_hand(off_chip: tuple[str, ...], cycles: int, stalls: dict[str, int]) -> None:
    assert clocks(learning.apply(site("bptt", off_chip=off_chip))) == (cycles, stalls)
    assert clocks(learning.apply(site("ottt-o", off_chip=off_chip))) == (0, {})


def test_history_by_hand() -> None:
    # Words per step: 7 bits -> 1, 10·5 -> 4, 6·5 -> 2, 5·9 -> 3, together 10: 6·(10 + 10 + ρ). The step's clocks stand
    # at the readout.
    assert clocks(forward.history(site("bptt", index=2))) == (126, {"latency": 6})
    assert clocks(forward.history(site("bptt", index=1))) == (0, {})
    # One burst out and one back per step: B(10) = 7 + 10·⌈16/24⌉ = 17.
    assert clocks(forward.history(site("bptt", index=2, off_chip=("history",)))) == (204, {"dram": 204})
    assert clocks(forward.history(site("ottt-o", index=2))) == (0, {})


def test_dram_without_a_bus_is_named() -> None:
    there = site("bptt", index=2, off_chip=("history",))
    chip: Any = there.chip
    with pytest.raises(UserError, match="no table dram with bus_bits and latency_cycles"):
        forward.history(dataclasses.replace(there, chip=dataclasses.replace(chip, dram=None)))
