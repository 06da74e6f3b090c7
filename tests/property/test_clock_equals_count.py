"""Does the fast count give the clocks, stalls and accesses that the tick model goes through, phase by phase?

NEUROCHIP_CLOCK_EXAMPLES draws another number of configurations. `pytest -s` prints what they reached.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from property_clock_chips import (
    Configuration,
    DrawnChip,
    configurations,
    draw_configuration,
    draw_network_configuration,
    network_configurations,
)

from neurochip.activity import SampleTrace
from neurochip.core.engine import Engine
from neurochip.counters import STALL_CAUSES, is_memory
from neurochip.microarch import footprint_words
from neurochip.microarch.ottt_core import count
from neurochip.recording import bitmaps_of
from neurochip.reference.clock import ClockCore
from neurochip.spec import CoreSpec

EXAMPLES = int(os.environ.get("NEUROCHIP_CLOCK_EXAMPLES", "2000"))
NETWORK_EXAMPLES = EXAMPLES // 4
LONG_TICKS = 200
EDGES = (0, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12800)


def row_words_of(spec: CoreSpec, chip: DrawnChip) -> list[int]:
    """Words of a row of weights of every layer."""
    return [-(-layer.columns // chip.lanes) for layer in spec.layers]


@dataclass
class Reached:
    """What the configurations reached."""

    n: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    ticks: list[int] = field(default_factory=list)

    def add(self, configuration: Configuration, ticks: int, stalls: Counter[str], complete: bool) -> None:
        self.n += 1
        self.ticks.append(ticks)
        self.seen.update(["every word of the footprint used"] * complete)
        self.seen.update(f"stall {cause}" for cause in STALL_CAUSES if stalls[cause])
        spec, chip = configuration.case.spec, configuration.chip
        standardised = [k for k in range(len(spec.layers)) if spec.is_standardised(k)]
        self.seen.update(["standardised layers"] * bool(standardised))
        self.seen.update(
            ["standardised layers of several words"] * any(row_words_of(spec, chip)[k] > 1 for k in standardised)
        )
        widths = [layer.n_out for layer in spec.layers]
        partial = any(n > chip.lanes and n % chip.lanes for n in widths)
        self.seen.update(["several words per row, the last one partial"] * partial)
        self.seen.update([f"more than {LONG_TICKS} ticks"] * (ticks > LONG_TICKS))
        self.seen.update([f"rule {configuration.case.rule}", f"overflow {chip.overflow}"])
        self.seen.update([f"neuron memory {chip.memories['neuron'].ports}"])
        self.seen.update(["a single lane"] * (chip.lanes == 1) + ["more than 32 lanes"] * (chip.lanes > 32))
        self.seen.update(["FIFO of one event"] * (chip.memories["event_fifo"].words == 1))

    def share(self, name: str) -> float:
        return self.seen[name] / max(1, self.n)

    def table(self) -> str:
        lines = [f"{name:46}{self.share(name):7.1%}" for name in sorted(self.seen)]
        counts, _ = np.histogram(self.ticks, [*EDGES, np.inf])
        lines += [
            f"ticks from {low:6}: {n:6} {'#' * (60 * int(n) // self.n)}" for low, n in zip(EDGES, counts, strict=True)
        ]
        return "\n".join(lines)


def compare(configuration: Configuration, reached: Reached | None = None) -> list[str]:
    """Run every pass on the fast core and on the tick model, count it, and name what differs."""
    case, chip, gates = configuration.case, configuration.chip, configuration.gates
    data = case.dataset()
    fast = Engine(case.spec, case.weights)
    clock = ClockCore(case.spec, [layer.tolist() for layer in case.weights], chip, gates)
    found: list[str] = []
    ticks, stalls = 0, Counter[str]()
    for number, one in enumerate(case.passes):
        order = np.array(one.order)
        result = fast.run(data, order, learn=one.learn, end_of_epoch=one.end_of_epoch, probe=range(len(order)))
        trace = SampleTrace(order, bitmaps_of(data, order, result.probes))
        counted = count(result.activity, case.spec, chip, gates, trace)
        run = clock.run([case.samples[i] for i in order], one.learn, one.end_of_epoch)
        accesses = {
            (item.key, item.phase, item.layer, item.widths_bits): item.number
            for item in counted.counts
            if is_memory(item.key)
        }
        pairs = {
            "clocks by phase": (run.ticks_by_phase, dict(counted.cycles_by_phase)),
            "clocks": (run.ticks, counted.cycles),
            "stalls": (run.stalls, dict(counted.stalls)),
            "accesses": (run.accesses, accesses),
            "predictions": (run.predictions, result.predictions.tolist()),
            "readout sums": (run.readout_sums, result.readout_sums.tolist()),
            "weights": (clock.weights, [layer.tolist() for layer in fast.weights]),
            "random registers": (clock.registers, fast.registers.tolist()),
            "gradients": (clock.gradients, [layer.tolist() for layer in fast.gradients]),
        }
        found += [f"pass {number}: {name}: {difference(*pair)}" for name, pair in pairs.items() if pair[0] != pair[1]]
        ticks += run.ticks
        stalls.update(run.stalls)
    needed = footprint_words(case.spec, chip)
    marks = {name: clock.high_water_words.get(name, 0) for name in needed}
    complete = marks["trace"] == needed["trace"]  # else no event ever touched some word of the traces
    exact = [name for name in needed if name != "trace" and (name != "error" or case.spec.n_loss_steps)]
    if any(marks[name] != needed[name] for name in exact) or any(marks[name] > needed[name] for name in needed):
        found.append(f"words used: {difference(marks, dict(needed))}")
    if reached is not None:
        reached.add(configuration, ticks, stalls, complete)
    return found


def difference(ticked: object, counted: object) -> str:
    if isinstance(ticked, dict) and isinstance(counted, dict):
        keys = [key for key in {**ticked, **counted} if ticked.get(key) != counted.get(key)]
        return "; ".join(f"{key}: ticks {ticked.get(key)}, count {counted.get(key)}" for key in keys)
    return f"ticks {ticked}, count {counted}"


@pytest.fixture(scope="module")
def reached() -> Reached:
    """What all drawn configurations of this module reached."""
    return Reached()


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(configuration=configurations())
def draw_and_compare(configuration: Configuration, table: Reached) -> None:
    assert compare(configuration, table) == []


def test_the_count_equals_the_clock(reached: Reached) -> None:
    draw_and_compare(table=reached)


def test_the_configurations_reach_every_stall_and_long_runs(reached: Reached) -> None:
    if not reached.n:  # run alone
        draw_and_compare(table=reached)
    print(f"\n{reached.n} configurations\n{reached.table()}")
    assert reached.n >= 0.9 * EXAMPLES
    rare = {cause: reached.share(f"stall {cause}") for cause in STALL_CAUSES if reached.share(f"stall {cause}") < 0.1}
    assert rare == {}
    assert reached.share("every word of the footprint used") >= 0.7
    assert reached.share("several words per row, the last one partial") >= 0.25
    assert reached.share(f"more than {LONG_TICKS} ticks") >= 0.5
    assert reached.share("standardised layers") >= 0.12
    assert reached.share("standardised layers of several words") >= 0.06


@pytest.mark.parametrize("seed", range(20))
def test_fixed_configurations_agree(seed: int) -> None:
    assert compare(draw_configuration(random.Random(seed))) == []


@settings(max_examples=NETWORK_EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(configuration=network_configurations())
def draw_network_and_compare(configuration: Configuration, table: Reached) -> None:
    assert compare(configuration, table) == []


def test_the_count_equals_the_clock_for_whole_networks() -> None:
    """Convolutions, pools, recurrence, heads, feedback and the whole space of rules."""
    reached = Reached()
    draw_network_and_compare(table=reached)
    print(f"\n{reached.n} networks, standardised layers {reached.share('standardised layers'):.1%}")
    assert reached.share("standardised layers") >= 0.1


@pytest.mark.parametrize("seed", range(20))
def test_fixed_networks_agree(seed: int) -> None:
    assert compare(draw_network_configuration(random.Random(seed))) == []
