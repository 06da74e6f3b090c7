"""Does the count of `ottt_core` equal a walk over what happened, on drawn networks of the whole rule space?

The golden core gives activity and probes; the walk (tests/unit/network_walker*.py) and a simulation of every clock of
FIRE beside DELIVER (tests/unit/forward_ticks.py) take the probes, the count the activity.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import forward_ticks as ticks
import network_walker_groups as timing
import numpy as np
import ottt_core_bitmaps as given
import pytest
from network_walker_state import Gradients, Moment, moments_of
from network_walker_update import UpdateWalker
from property_network_cases import fixed_network_case
from property_strategies import Case

from neurochip.activity import Activity, SampleTrace
from neurochip.counters import STALL_CAUSES
from neurochip.errors import UserError
from neurochip.microarch import Gates
from neurochip.microarch.error_paths import delayed_path, forward_paths
from neurochip.microarch.footprint import footprint_bits
from neurochip.microarch.ottt_core import count
from neurochip.microarch.ottt_core_groups import forward_cycles_of, forward_totals
from neurochip.microarch.shapes import values_per_trace
from neurochip.reference.core import GoldenCore, GoldenRun, GoldenSample
from neurochip.reference.core.schedule import ApplySchedule
from neurochip.spec import CoreSpec

BLOCKS, PER_BLOCK = 12, 20


def draw_chip(rng: random.Random, spec: CoreSpec) -> given.Chip:
    ports = rng.choice(("1rw", "1r1w"))
    chip = given.chip_with(
        ports,
        lanes=spec.synapse_lanes,
        trace_lanes=spec.trace_lanes,
        scan_width=rng.choice((1, 4, 64)),
        pipeline_latency_cycles=rng.randint(1, 4),
    )
    bank_words, fifo = rng.choice((1, 2, 5, 100)), rng.choice((1, 1, 2, 4, 64))
    chip.memories["neuron"] = given.Ports(ports, 5000, bank_words, rng.randint(0, 3))
    chip.memories["synapse"] = given.Ports(rng.choice(("1rw", "1r1w")), 5000, 5000, rng.randint(0, 3))
    chip.memories["event_fifo"] = given.Ports("1r1w", fifo, fifo, 0)
    return chip


def draw_gates(rng: random.Random, spec: CoreSpec) -> Gates:
    recurrent = any(c.delay for i in range(len(spec.layers)) for c in spec.connections(i))
    if (recurrent and spec.credit == "unroll") or rng.random() < 0.3:
        return Gates()
    return Gates(*(rng.random() < 0.5 for _ in range(3)))


@dataclass
class WalkedPass:
    """Walks passes of the golden core in the order in which gradients are formed."""

    walker: UpdateWalker
    schedule: ApplySchedule
    gradients: Gradients
    n_learned: int = 0  # since the last standardisation

    @property
    def spec(self) -> CoreSpec:
        return self.walker.spec

    def run(self, moments: list[list[Moment]], learning: bool, end_of_epoch: bool) -> None:
        for sample in moments:
            self.schedule.start_sample()
            window = self.spec.window_steps if self.spec.credit == "unroll" and learning else self.spec.n_steps
            for first in range(0, self.spec.n_steps, window):
                self.window(list(enumerate(sample))[first : first + window], learning)
            if learning and self.schedule.after_sample():
                self.apply()
            self.n_learned += int(learning and self.spec.standardise_every > 0)
            if self.n_learned and self.n_learned == self.spec.standardise_every:
                self.standardise()
        if learning and end_of_epoch and self.schedule.after_epoch():
            self.apply()
        if learning and end_of_epoch and self.n_learned:
            self.standardise()

    def window(self, steps: list[tuple[int, Moment]], learning: bool) -> None:
        unrolls = learning and self.spec.credit == "unroll"
        readouts = [i for i, layer in enumerate(self.spec.layers) if layer.kind == "readout"]
        for t, now in steps:
            self.forward(now, learning)
            for index in readouts if learning and self.spec.has_loss(t + 1) else ():
                self.walker.softmax(index)
            if unrolls:
                self.walker.history()
            elif learning and self.spec.has_loss(t + 1):
                self.learn(now, readouts)
        for _, now in reversed(steps) if unrolls else ():
            self.learn(now, readouts)
        if unrolls and self.schedule.after_window(len(steps), steps[-1][0] == self.spec.n_steps - 1):
            self.apply()

    def forward(self, now: Moment, learning: bool) -> None:
        for index, layer in enumerate(self.spec.layers):
            is_head = layer.kind == "readout" and index < len(self.spec.layers) - 1
            if layer.kind == "feedback" or (is_head and not learning):
                continue
            self.walker.deliver(index, now)
            self.walker.fire(index, now, learning)
            if learning and self.spec.credit == "trace" and layer.keeps_trace and layer.learns:
                self.walker.trace(index, now)

    def learn(self, now: Moment, readouts: list[int]) -> None:
        for index in readouts:
            self.walker.error_words(index)
        for index in reversed(range(len(self.spec.layers))):
            self.walker.backward(index, now)
            if self.spec.layers[index].is_hidden:
                self.walker.gate(index, now)
            self.walker.update(index, now, self.gradients)
        if self.schedule.after_step():
            self.apply()

    def standardise(self) -> None:
        """Where in the epoch does not matter here: the walk takes weights from no memory."""
        self.n_learned = 0
        for index in range(len(self.spec.layers)):
            self.walker.standardise(index)

    def apply(self) -> None:
        for index in range(len(self.spec.layers)):
            self.walker.apply(index, self.gradients)


def trace_of(spec: CoreSpec, samples: list[GoldenSample], run: GoldenRun) -> SampleTrace:
    """The recorded events of all samples of a run."""
    inputs = max((c.n_source for i in range(len(spec.layers)) for c in spec.connections(i) if c.source < 0), default=0)
    events = np.zeros((len(samples), spec.n_steps, inputs), dtype=np.bool_)
    for k, sample in enumerate(samples):
        for t, step in enumerate(sample.steps):
            events[k, t, [address for address, _ in step]] = True
    spikes = {
        f"event/{i + 1}": np.array(run.probes[f"spike/{i}"], dtype=np.int64) != 0
        for i, layer in enumerate(spec.layers)
        if layer.is_hidden
    }
    return SampleTrace(np.arange(len(samples)), {"event/0": events, **spikes})


def activity_of(spec: CoreSpec, run: GoldenRun, n_samples: int, learning: bool) -> Activity:
    totals = np.array(run.activity, dtype=np.int64)
    return Activity(
        totals, n_samples, run.n_applies, learning, spec.synapse_lanes, spec.trace_lanes, run.n_standardisations
    )


def compare(case: Case, seed: int) -> Counter[str]:
    """Run every pass of a case, count and walk it; return what it reached."""
    rng, spec = random.Random(f"chip {seed}"), case.spec
    chip, gates = draw_chip(rng, spec), draw_gates(rng, spec)
    core = GoldenCore(spec, [layer.tolist() for layer in case.weights])
    walked = WalkedPass(UpdateWalker(spec, chip, gates), ApplySchedule(spec), Gradients(spec))
    assert footprint_bits(spec) == core.footprint_bits()
    reached: Counter[str] = Counter()
    for one in case.passes:
        samples = [case.samples[i] for i in one.order]
        learning = one.learn and spec.credit != "none"
        run = core.run(samples, one.learn, one.end_of_epoch)
        activity, trace = activity_of(spec, run, len(samples), learning), trace_of(spec, samples, run)
        moments = moments_of(spec, samples, run, learning)
        try:
            counted = count(activity, spec, chip, gates, trace)
        except UserError as error:
            return Counter({refused(str(error)): 1})
        walked.walker.log.clear()
        walked.run(moments, learning, one.end_of_epoch)
        found = {(c.key, c.phase, c.layer, c.widths_bits): c.number for c in counted.counts}
        assert found == dict(walked.walker.log), difference(found, walked.walker.log)
        assert counted.sampled is None
        clocks = forward_cycles_of(trace, spec, chip, learning)
        for k, sample in enumerate(moments):
            by_name = {name: int(values[k]) for name, values in {**clocks.phases, **clocks.stalls}.items()}
            assert +Counter(by_name) == timing.ticked(ticks, spec, chip, sample, learning)
        assert (clocks.serial >= clocks.cycles).all()
        serial = forward_totals(activity, spec, chip, None)
        assert sum(serial.phases.values()) == clocks.serial.sum()
        assert serial.sampled is not None
        assert clocks.serial.sum() - clocks.cycles.sum() <= serial.sampled.half_width_cycles
        reached.update(f"stall {cause}" for cause in STALL_CAUSES if counted.stalls[cause])
    reached.update(features(spec, gates))
    reached["passed"] = 1
    return reached


def refused(message: str) -> str:
    """Which of the two kinds of networks the page refuses."""
    (kind,) = [kind for kind in ("first connection", "does that only for the map it is") if kind in message]
    return f"refused: {kind}"


def features(spec: CoreSpec, gates: Gates) -> set[str]:
    """What a case has, by name."""
    layers = range(len(spec.layers))
    connections = [(i, c) for i in layers for c in spec.connections(i)]
    paths = [path for i in layers for path in forward_paths(spec, i)]
    through_maps = any(spec.layers[path.consumer].conv for path in paths)
    tapless = [not list(layer.conv.taps(i)) for layer in spec.layers if layer.conv for i in range(layer.n_in)]
    found = {
        "head": any(layer.kind == "readout" for layer in spec.layers[:-1]),
        "leaky readout": spec.layers[-1].leak_kind != "none",
        "filter": any(values_per_trace(spec, i) == 2 for i in layers),
        "pool": any(c.pool_height * c.pool_width > 1 for _, c in connections),
        "several sources": any(len(spec.connections(i)) > 1 for i in layers),
        "x words": any(not path.direct for path in paths),
        "direct": any(path.direct for path in paths),
        "recurrent under unroll": any(delayed_path(spec, i) for i in layers),
        "windows": spec.credit == "unroll" and spec.window_steps < spec.n_steps,
        "steps without a loss": spec.n_loss_steps < spec.n_steps,
        "momentum": spec.momentum_shift > 0,
        "standardised layers": any(spec.is_standardised(i) for i in layers),
        "standardised convolution": any(spec.is_standardised(i) and spec.layers[i].conv for i in layers),
        "trace of a bias": spec.bias_trace and any(layer.keeps_trace and layer.bias for layer in spec.layers),
        "address without a tap": any(tapless),
        "convolution of groups": any(layer.conv and layer.conv.groups > 1 for layer in spec.layers),
        "a gate off": gates != Gates(),
        "a gate off, back through a convolution": not (gates.zero_surrogate and gates.zero_error) and through_maps,
    }
    return {layer.kind for layer in spec.layers} | {name for name, there in found.items() if there}


def difference(found: dict[Any, float], walked: Counter[Any]) -> str:
    keys = [key for key in {**found, **walked} if found.get(key, 0) != walked[key]]
    return "; ".join(f"{key}: count {found.get(key, 0)}, walk {walked[key]}" for key in keys[:8])


@pytest.fixture(scope="module")
def reached() -> Counter[str]:
    """What the cases of this module reached: the number of cases by name."""
    return Counter()


@pytest.mark.parametrize("block", range(BLOCKS))
def test_the_count_equals_the_walk_and_the_clocks(block: int, reached: Counter[str]) -> None:
    for seed in range(PER_BLOCK * block, PER_BLOCK * (block + 1)):
        reached.update(set(compare(fixed_network_case(seed), seed)))


def test_the_cases_reach_every_kind_of_network(reached: Counter[str]) -> None:
    if not reached:  # run alone
        for seed in range(BLOCKS * PER_BLOCK):
            reached.update(set(compare(fixed_network_case(seed), seed)))
    print("\n".join(f"{name:30} {number}" for name, number in sorted(reached.items())))
    rare = {name: number for name, number in reached.items() if number < 5}
    assert rare == {}
    assert reached["passed"] >= 0.75 * BLOCKS * PER_BLOCK
    wanted = {"feedback", "head", "x words", "recurrent under unroll", "momentum", "address without a tap", "filter"}
    wanted |= {"standardised layers", "standardised convolution", "trace of a bias"}
    assert wanted <= set(reached)
