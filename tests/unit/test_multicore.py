"""Does a split network do the work of an unsplit one, and what it adds: copies, hops, partial sums, waiting?"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from typing import Any

import multicore_networks as networks
import numpy as np
import pytest
from multicore_networks import CORES, LOCAL_PAIR, ONE_CORE, SPLIT, MeshNumbers, drawn, mesh_chip, spec_of, stages_of
from multicore_walker import StepWalker
from ottt_core_bitmaps import RULES, L

from neurochip.counters import PHASES, totals
from neurochip.errors import UserError
from neurochip.microarch import Gates, footprint_bits, footprint_words, multicore
from neurochip.microarch.multicore import count
from neurochip.microarch.multicore_clocks import run_group, spikes_per_word
from neurochip.microarch.multicore_split import Slice, Split, core_bits, core_words, split_network
from neurochip.microarch.ottt_core import count as count_one_core

EVERY_GATE = [Gates(*switches) for switches in itertools.product((True, False), repeat=3)]
NO_WAIT = MeshNumbers(barrier_cycles=0)


@pytest.mark.parametrize("gates", EVERY_GATE, ids=str)
@pytest.mark.parametrize("ports", ["1rw", "1r1w"])
@pytest.mark.parametrize("rule", RULES)
def test_on_one_core_the_stages_are_the_phases_of_ottt_core(rule: str, ports: str, gates: Gates) -> None:
    spec, chip = spec_of(rule), mesh_chip(ports, mesh=NO_WAIT)
    activity, trace = drawn(spec)
    stages = stages_of(spec, chip, gates, ONE_CORE, trace, activity.learning)
    whole = count_one_core(activity, spec, chip, gates, trace)
    found = {phase: int(clocks.sum()) for phase, clocks in stages.clocks.items()}
    if activity.n_applies:
        found["apply"] = int(stages.apply(activity.applied("update_words"), activity.n_applies))
    assert found == whole.cycles_by_phase
    assert not stages.idle.any()  # one core never waits for another


@pytest.mark.parametrize("rule", RULES)
def test_a_network_that_fits_one_core_is_counted_as_ottt_core_does(rule: str) -> None:
    spec, chip = spec_of(rule), mesh_chip()
    activity, trace = drawn(spec)
    assert count(activity, spec, chip, Gates(), trace) == count_one_core(activity, spec, chip, Gates(), trace)
    assert len(multicore.cores(spec, chip)) == 1
    assert multicore.cores(spec, chip)[0].words == footprint_words(spec, chip)
    assert multicore.cores(spec, chip)[0].bits == footprint_bits(spec)


def recorded_counts(rule: str, split: Split, gates: Gates, **changes: object) -> tuple[Counter[Any], Counter[Any]]:
    """(split, unsplit) counts of all phases but the applies."""
    spec, chip = spec_of(rule, **changes), mesh_chip()
    activity, trace = drawn(spec)
    replay = multicore._Replay(trace, activity, spec, chip, gates, split)
    unsplit = {
        (c.key, c.phase, c.layer, c.widths_bits): c.number
        for c in count_one_core(activity, spec, chip, gates, trace).counts
        if c.phase != "apply"
    }
    return Counter(dict(replay.recorded_counts())), Counter(unsplit)


@pytest.mark.parametrize("gates", EVERY_GATE, ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_a_split_adds_only_copies_and_what_crosses_the_mesh(rule: str, gates: Gates) -> None:
    """Synapse, neuron, error and gradient words and arithmetic are those of one core, slice by slice summed."""
    split, unsplit = recorded_counts(rule, SPLIT, gates, weight_rounding="nearest")
    for place in split.keys() | unsplit.keys():
        key, phase, layer, _ = place
        slices = len(SPLIT.of_layer(layer))
        if key == "hop" or place == ("add", "error", layer, (32,)):  # events, ψ and partial sums, and their addition
            assert place not in unsplit
        elif key.startswith("event_fifo") or phase == "trace":
            assert split[place] == slices * unsplit[place], place
        elif phase == "history":  # H = 16: input events of every slice; ψ of every slice
            groups = {0: 2 * 1 + 2 * 3, 1: 3 * 2 + 1 + 1 + 2, 2: 1 + 3}
            assert split[place] == networks.N_SAMPLES * networks.T * groups[layer], place
        elif key == "trace_read":
            assert split[place] >= unsplit[place], place
        else:
            assert split[place] == unsplit[place], place


def test_random_registers_advance_as_often_where_slices_begin_at_their_words() -> None:
    split, unsplit = recorded_counts("ottt-o", SPLIT, Gates(), rng_lanes=4)
    advances = {place: number for place, number in unsplit.items() if place[0] == "rng"}
    assert advances and all(split[place] == number for place, number in advances.items())


def test_the_split_estimate_is_exact_where_everything_is_recorded() -> None:
    """The counts of the replayed samples come out of the ratio unchanged."""
    spec, chip = spec_of("ottt-a"), small_chip()
    activity, trace = drawn(spec)
    counted = count(activity, spec, chip, Gates(), trace)
    assert counted.sampled is None
    split = split_network(spec, chip)
    replay = multicore._Replay(trace, activity, spec, chip, Gates(), split)
    found = {(c.key, c.phase, c.layer, c.widths_bits): c.number for c in counted.counts if c.phase != "apply"}
    wanted = {place: number for place, number in replay.recorded_counts().items() if number}
    assert found == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("gates", EVERY_GATE, ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_every_stage_ends_with_its_slowest_core(rule: str, gates: Gates) -> None:
    """Phase by phase and step by step what a walk over cores, bits and ticked routers finds."""
    spec, chip = spec_of(rule, update="immediate" if rule != "infer" else "none"), mesh_chip()
    activity, trace = drawn(spec)
    stages = stages_of(spec, chip, gates, SPLIT, trace, activity.learning)
    walker = StepWalker(spec, chip, gates, SPLIT, trace)
    for at in np.ndindex(networks.N_SAMPLES, networks.T):
        walked = walker.step(at, activity.learning)
        assert {phase: int(clocks[at]) for phase, clocks in stages.clocks.items() if phase in walked} == walked
    total = sum(int(clocks.sum()) for clocks in stages.clocks.values())
    assert 0 < stages.idle.sum() < len(SPLIT.cores) * total


@pytest.mark.parametrize("link_bits", [64, 7])
@pytest.mark.parametrize("split", [SPLIT, LOCAL_PAIR], ids=["three slices", "a local pair"])
def test_transfers_take_the_clocks_and_hops_of_the_routers(split: Split, link_bits: int) -> None:
    """Every message with its address, in order, through the ticked mesh: events, bitmaps of ψ and partial sums."""
    spec, chip = spec_of("ottt-o"), mesh_chip(mesh=MeshNumbers(link_bits=link_bits))
    _, trace = drawn(spec)
    counted = dict(stages_of(spec, chip, Gates(), split, trace, True).mesh.counts)
    stages = stages_of(spec, chip, Gates(), split, trace, True)
    walker = StepWalker(spec, chip, Gates(), split, trace)
    for layer in range(3):
        above, below = stages.of_layer(layer), stages.of_layer(layer - 1)
        events = stages.mesh.events(layer, below, above)
        if split.share_a_core(layer - 1, layer):
            assert events is None
            continue
        assert events is not None
        found = {"events": events}
        if layer:
            found["surrogate_words"] = stages.mesh.surrogate_words(below, above, L)
            found["partial_sums"] = stages.mesh.partial_sums([part.at["psi_nonzero"] for part in below], below, above)
        for (name, clocks), at in itertools.product(found.items(), np.ndindex(networks.N_SAMPLES, networks.T)):
            assert clocks[at] == getattr(walker, name)(layer, at), name
    hops: Counter[tuple[str, int]] = Counter()
    for (key, phase, layer, widths), number in counted.items():
        if key == "hop":
            assert widths[0] <= link_bits
            hops[phase, layer] += number
    assert +hops == +walker.hops


def test_fire_alone_is_fire_beside_a_deliver_that_never_meets_it() -> None:
    spec, chip = spec_of("infer"), mesh_chip("1r1w")
    _, trace = drawn(spec)
    stages = stages_of(spec, chip, Gates(), LOCAL_PAIR, trace, False)
    below, above = stages.of_layer(1)[0], stages.of_layer(2)[0]
    assert below.seen.spikes is not None
    group = dataclasses.replace(
        above.group, words_below=below.words, first_word_below=0, first_word=999, bank_words=500, fifo_events=99
    )
    cells = spikes_per_word(below.seen.spikes, L).reshape(-1, below.words)
    assert (run_group(group, cells)[:, 0] == below.fire().reshape(-1)).all()


def small_chip(**changes: object) -> Any:
    """Cores that hold neither the neuron words of the first layer of SIZES nor the synapse words of the second."""
    return mesh_chip(words={"neuron": 5, "synapse": 60, "gradient": 60}, **changes)


@pytest.mark.parametrize("rule", RULES)
def test_slices_cover_every_neuron_once_at_multiples_of_a_word_and_fit(rule: str) -> None:
    spec, chip = spec_of(rule), small_chip()
    split = split_network(spec, chip)
    assert len(split.cores) > 1
    for index, layer in enumerate(spec.layers):
        parts = [part for _, part in split.of_layer(index)]
        edges = [part.first for part in parts] + [parts[-1].last]
        assert edges[0] == 0 and edges[-1] == layer.n_out
        assert [part.last for part in parts] == edges[1:]
        assert all(edge % L == 0 for edge in edges[:-1])
        widths = [-(-part.n_out // L) for part in parts]
        assert max(widths) - min(widths) <= 1
    for core in split.cores:
        words = core_words(core, spec, chip)
        assert all(number <= chip.memories[name].words for name, number in words.items() if number)


def test_a_layer_that_is_split_begins_on_a_core_of_its_own() -> None:
    """Its first slice would fit beside the first layer: 1 + 4 of 5 neuron words, 10 + 20 of 60 synapse words."""
    split = split_network(spec_of("infer", (9, 4, 32, 4)), small_chip())
    assert split.cores[:2] == ((Slice(0, 0, 4),), (Slice(1, 0, 16),))


@pytest.mark.parametrize("rule", RULES)
def test_the_footprint_of_a_split_is_that_of_one_core_and_the_copies(rule: str) -> None:
    spec = spec_of(rule)
    bits = {name: sum(core_bits(core, spec)[name] for core in CORES) for name in footprint_bits(spec)}
    whole = footprint_bits(spec)
    for name in ("synapse", "neuron", "error", "gradient"):
        assert bits[name] == whole[name]
    assert bits["trace"] == sum(
        layer.n_in * spec.trace_bits * len(SPLIT.of_layer(i))
        for i, layer in enumerate(spec.layers)
        if spec.credit == "trace" and layer.keeps_trace
    )
    if spec.credit == "unroll":
        events = 2 * 9 + 3 * 22 + 1 * 13  # of every slice whose layer below is not on its core as a whole
        assert bits["history"] == networks.T * (events + 4 * (22 + 13) + 9 * 5)


@pytest.mark.parametrize("rule", ["ottt-o", "bptt", "infer"])
def test_some_recorded_samples_estimate_all_of_them(rule: str) -> None:
    spec, chip = spec_of(rule), small_chip()
    activity, everything = drawn(spec, 40)
    some = type(everything)(np.arange(20), {name: bitmap[:20] for name, bitmap in everything.bitmaps.items()})
    exact, estimate = (count(activity, spec, chip, Gates(), trace) for trace in (everything, some))
    assert exact.sampled is None and estimate.sampled is not None
    assert (estimate.sampled.n_recorded, estimate.sampled.n_samples) == (20, 40)
    assert abs(estimate.cycles - exact.cycles) < 2 * estimate.sampled.half_width_cycles < 0.1 * exact.cycles
    hops_exact, hops = (totals(counted.counts)["hop"] for counted in (exact, estimate))
    assert hops == pytest.approx(hops_exact, rel=0.1)
    none = count(activity, spec, chip, Gates())
    assert none.sampled is not None and none.sampled.n_recorded == 0
    assert none.sampled.half_width_cycles == none.cycles
    assert none.cycles == pytest.approx(exact.cycles, rel=0.5)
    assert sum(exact.cycles_by_phase[phase] for phase in PHASES) == exact.cycles


def test_every_stage_adds_its_barrier() -> None:
    """ottt-o: 3 transfers and 3 DELIVER, 3 FIRE, TRACE, softmax, 2 x (ψ, partial, sums, finish), UPDATE: 20 a step."""
    spec = spec_of("ottt-o")
    activity, trace = drawn(spec)

    def cycles(mesh: MeshNumbers) -> int:
        clocks = stages_of(spec, mesh_chip(mesh=mesh), Gates(), SPLIT, trace, True).clocks
        return sum(int(of_phase.sum()) for of_phase in clocks.values())

    with_barrier, without = cycles(MeshNumbers(barrier_cycles=5)), cycles(NO_WAIT)
    assert with_barrier - without == 5 * 20 * activity.n_samples * networks.T


def test_the_applies_of_slices_run_side_by_side() -> None:
    """Longer than their words spread evenly over the cores, shorter than all of them on one."""
    spec, chip = spec_of("ottt-a"), mesh_chip(mesh=NO_WAIT)
    activity, trace = drawn(spec)
    whole = count_one_core(activity, spec, chip, Gates(), trace).cycles_by_phase["apply"]
    found = multicore._Replay(trace, activity, spec, chip, Gates(), SPLIT).apply_cycles()
    assert whole / len(SPLIT.cores) < found < 0.6 * whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mesh": None}, "mesh is missing"),
        ({"overflow": "grow"}, 'overflow = "grow" is not for a mesh'),
        ({"mesh": MeshNumbers(1, 2)}, r"needs \d+ cores, but mesh has 2 \(1 x 2\)"),
    ],
)
def test_what_a_mesh_cannot_do_is_refused(changes: dict[str, Any], message: str) -> None:
    spec = spec_of("ottt-o")
    with pytest.raises(UserError, match=message):
        multicore.cores(spec, small_chip(**changes))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"synapse": 9}, "a word of 4 neurons of layer 0 does not fit one core"),
        ({"neuron": 3, "synapse": 100}, "the readout of 5 classes does not fit one core"),
    ],
)
def test_what_cannot_be_split_is_refused(words: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_network(spec_of("infer"), mesh_chip(words=words))
