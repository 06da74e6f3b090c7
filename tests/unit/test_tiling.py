"""Are several cores priced as several cores: clock trees, leaking banks, area, footprint, and hops?"""

from __future__ import annotations

import dataclasses

import pytest
from multicore_networks import ASSUMED, spec_of

from neurochip.activity import Activity, SampleTrace
from neurochip.chip import load_chip
from neurochip.comparison import chip_section
from neurochip.cost.energy import leakage_mw, price
from neurochip.counters import Count, totals
from neurochip.errors import UserError
from neurochip.microarch import Gates, footprint_bits, footprint_words, word_bits
from neurochip.microarch.multicore import cores as cores_of
from neurochip.microarch.registry import CoreContents
from neurochip.pricing import Pricer
from neurochip.spec import CoreSpec
from neurochip.synthetic import activity_of_drawing, draw_trace
from neurochip.tiling import steps_where_history_leaves_cores, tiled, used_bits

MESH, ONE = load_chip("ottt-mesh-28nm"), load_chip("ottt-core-28nm")
SMALL, LARGE = (128, 64, 32, 10), (700, 800, 128, 10)  # LARGE: 701·50 + 801·8 + 129 synapse words
RULES = ("infer", "ottt-o", "bptt", "ottt-a")


def on_chip(rule: str, sizes: tuple[int, ...]) -> tuple[CoreSpec, Activity, SampleTrace]:
    """A network in the words of the chips, and two drawn samples."""
    spec = spec_of(rule, sizes, synapse_lanes=MESH.lanes, trace_lanes=MESH.trace_lanes, rng_lanes=16)
    trace = draw_trace(dataclasses.replace(ASSUMED, rate=(0.05, 0.1, 0.1)), spec, 2, 1)
    return spec, activity_of_drawing(trace, spec, MESH.lanes, MESH.trace_lanes), trace


def test_a_core_of_the_mesh_is_the_core_of_the_default_chip() -> None:
    own = {"name", "microarchitecture", "mesh", "file", "dram"}
    assert MESH.model_dump(exclude=own) == ONE.model_dump(exclude=own)


@pytest.mark.parametrize("rule", RULES)
def test_a_network_that_fits_one_core_costs_the_same_on_the_mesh(rule: str) -> None:
    spec, activity, trace = on_chip(rule, SMALL)
    mesh, one = Pricer(MESH, Gates(), spec), Pricer(ONE, Gates(), spec)
    assert mesh.per_sample(activity, trace) == one.per_sample(activity, trace)
    assert mesh.footprint() == one.footprint()


@pytest.mark.parametrize("rule", RULES)
def test_a_network_that_does_not_is_refused_by_one_core_and_priced_with_hops_by_the_mesh(rule: str) -> None:
    spec, activity, trace = on_chip(rule, LARGE)
    with pytest.raises(UserError, match=r"memories\.synapse holds 32768 words .* but 41587 are needed"):
        Pricer(ONE, Gates(), spec).check()
    pricer = Pricer(MESH, Gates(), spec)
    assert pricer.check() == {}
    pricer.check_prices()
    numbers = pricer.per_sample(activity, trace)
    assert numbers["energy_pj"]["by_operation"]["hop"] > 0
    assert sum(numbers["energy_pj"]["by_kind"].values()) == pytest.approx(numbers["energy_pj"]["total"])
    bits = pricer.footprint()
    assert bits["synapse"] == footprint_bits(spec)["synapse"]
    assert bits["total"] >= sum(footprint_bits(spec).values())


def test_every_core_in_use_is_clocked_in_every_cycle() -> None:
    spec, activity, trace = on_chip("ottt-o", LARGE)
    pricer = Pricer(MESH, Gates(), spec)
    counted = pricer.count(activity, trace)
    n_cores = len(pricer._cores())
    assert n_cores > 1
    one = price((), counted.cycles, {}, {}, MESH)
    energy = pricer.energy(counted)
    assert energy.clock_pj == pytest.approx(n_cores * one.clock_pj)
    assert energy.latency_us == one.latency_us
    assert energy.low_pj < energy.total_pj < energy.high_pj


def test_the_leakage_of_cores_is_the_sum_of_theirs() -> None:
    """Cores of 1025 and 10 words of synapses: 2 + 1 banks of 1024, not the 2 that 1035 words would fill."""
    spec = on_chip("ottt-o", SMALL)[0]
    widths = word_bits(spec, MESH)
    contents = [{"synapse": 1025, "neuron": 3, "gradient": 0}, {"synapse": 10, "neuron": 3, "gradient": 0}]
    cores = [CoreContents(words, {}) for words in contents]
    each = [
        leakage_mw({name: number * widths[name] for name, number in words.items()}, widths, MESH) for words in contents
    ]
    together = leakage_mw(used_bits(cores, widths, MESH), widths, tiled(MESH, 2))
    assert together == pytest.approx(sum(each))
    assert used_bits(cores, widths, MESH)["synapse"] == 3 * 1024 * widths["synapse"]


def test_hops_are_priced_by_the_bit() -> None:
    wide, narrow = (price((Count("hop", "deliver", 0, (bits,), 10.0),), 0.0, {}, {}, MESH) for bits in (40, 10))
    assert wide.total_pj == pytest.approx(4 * narrow.total_pj) and narrow.total_pj > 0


def test_all_cores_of_a_mesh_are_built() -> None:
    spec = on_chip("ottt-o", SMALL)[0]
    assert Pricer(MESH, Gates(), spec).area().total_mm2 == pytest.approx(
        16 * Pricer(ONE, Gates(), spec).area().total_mm2
    )


def test_the_split_touches_the_weights_of_one_core() -> None:
    """The same accesses as one core large enough for the network."""
    spec, activity, trace = on_chip("ottt-o", LARGE)
    large = ONE.model_copy(update={"overflow": "grow"})
    found = totals(Pricer(MESH, Gates(), spec).count(activity, trace).counts)
    wanted = totals(Pricer(large, Gates(), spec).count(activity, trace).counts)
    for key in (
        "synapse_read",
        "synapse_write",
        "neuron_read",
        "neuron_write",
        "error_read",
        "error_write",
        "ac",
        "mac",
    ):
        assert found[key] == pytest.approx(wanted[key], rel=1e-12)
    assert found["trace_write"] > wanted["trace_write"]
    assert footprint_words(spec, MESH)["synapse"] > MESH.memories["synapse"].words


def test_the_history_leaves_the_mesh_at_the_first_t_that_does_not_fit() -> None:
    spec = on_chip("bptt", LARGE)[0]
    first = steps_where_history_leaves_cores(spec, MESH, cores_of)
    assert first is not None and first > MESH.memories["history"].words // 100  # later than on one core
    unrolled = dataclasses.replace(spec, update="immediate")
    cores_of(dataclasses.replace(unrolled, n_steps=first - 1), MESH)
    with pytest.raises(UserError):
        cores_of(dataclasses.replace(unrolled, n_steps=first), MESH)


def test_the_event_fifo_of_every_core_in_use_leaks() -> None:
    spec, activity, trace = on_chip("infer", LARGE)
    register = MESH.technology.register_
    assert register is not None
    leakage = []
    for words in (16, 1616):
        fifo = MESH.memories["event_fifo"].model_copy(update={"bank_words": words})
        chip = MESH.model_copy(update={"memories": {**MESH.memories, "event_fifo": fifo}})
        pricer = Pricer(chip, Gates(), spec)
        counted = dataclasses.replace(pricer.count(activity, trace), cycles=1500.0)
        leakage.append(pricer.energy(counted).leakage_pj)
    n_cores, width = pricer.n_cores(), word_bits(spec, MESH)["event_fifo"]
    assert n_cores > 1
    more_nw = n_cores * 1600 * width * register.leakage.value
    assert leakage[1] - leakage[0] == pytest.approx(more_nw * 1500 / MESH.clock_mhz * 1e-3)


def test_a_report_says_how_many_cores_a_rule_is_on() -> None:
    large, small = (Pricer(MESH, Gates(), on_chip("infer", sizes)[0]) for sizes in (LARGE, SMALL))
    assert large.n_cores() > small.n_cores() == 1
    notes = chip_section(MESH, Gates(), {"ottt-o": large, "infer": small})["notes"]
    assert notes == [f"ottt-o: on {large.n_cores()} of 16 cores", "infer: on 1 of 16 cores"]
