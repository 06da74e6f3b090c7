"""Do waveforms, read back from the file, hold what the golden core holds at those clocks?"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny
from exported_runs import CASES, finished_runs
from vcd_reading import Dump, read_vcd

from neurochip.errors import UserError
from neurochip.reference.core import GoldenCore, GoldenRun
from neurochip.reference.engine import golden_sample
from neurochip.replay import Replay, open_run, replay
from neurochip.replay_choice import weight_number
from neurochip.replay_clocks import tick_model
from neurochip.replay_waves import number_in, valid_in, wave_records
from neurochip.report.vcd import vcd_dump

pytest.importorskip("vcd", reason="pyvcd is not installed")
SAMPLE = 5


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Finished runs by network."""
    return finished_runs(tmp_path_factory.getbasetemp())


def golden(one: Replay) -> tuple[GoldenCore, GoldenRun]:
    """The golden core after the sample."""
    core = GoldenCore(one.spec, [layer.tolist() for layer in one.learned.weights])
    core.memory.registers[:] = one.learned.registers.tolist()
    if one.learned.velocities:
        core.set_velocities([layer.tolist() for layer in one.learned.velocities])
    return core, core.run([golden_sample(one.sample.data, 0)], one.learn, True)


def first_clocks(slices: list[dict[str, Any]], phase: str, layer: int) -> list[int]:
    """The first clock of a phase of a layer in every step, forward."""
    found: dict[int, int] = {}
    for one in slices:
        if one["phase"] == phase and one["layer"] == layer:
            found.setdefault(one["step"], one["start"])
    return [found[step] for step in range(tiny.N_STEPS)]


def time_of(dump: Dump, clock: int) -> int:
    """The time stamp of a clock."""
    (time,) = dump.times_of("cycle", clock)
    return time


def last_times(dump: Dump, n_steps: int) -> list[int]:
    """The last time stamp of every step: that before the step changes for the last time."""
    step = dump.variables["step"]
    changes = [*zip(step.times, step.values, strict=True), (dump.end + 1, -1)]
    ends: dict[int | str, int] = {}
    for (_, value), (after, _) in pairwise(changes):
        ends[value] = after
    return [ends[index] for index in range(n_steps)]


def every_choice(one: Replay) -> tuple[str, str]:
    """All neurons, and some synapses of every layer."""
    layers = list(enumerate(one.spec.layers))
    shown = [(k, layer) for k, layer in layers if layer.kind != "feedback"]
    neurons = ",".join(f"{k}:{index}" for k, layer in shown for index in range(min(6, layer.n_out)))
    synapses = [
        (k, address, index)
        for k, layer in shown
        for address in range(layer.n_in)
        for index in range(layer.n_out)
        if weight_number(one.spec, (k, address, index)) is not None
    ]
    changed = [synapse for synapse in synapses if weight_in(one, one.weights, synapse) != weight_in(one, None, synapse)]
    picked = [*changed[:30], *synapses[:: max(1, len(synapses) // 30)]]
    return neurons, ",".join(":".join(map(str, synapse)) for synapse in picked)


def weight_in(one: Replay, weights: Any, synapse: tuple[int, int, int]) -> int:
    """The weight of a synapse, before the sample if no weights are given."""
    number = weight_number(one.spec, synapse)
    assert number is not None
    matrices = one.learned.weights if weights is None else weights
    return int(np.asarray(matrices[synapse[0]]).reshape(-1)[number])


def saturated_sums(one: Replay, layer: int, potentials: list[Any], currents: list[Any]) -> list[int | str]:
    """u or z after its current, in every step (semantics 3.1 and 3.4)."""
    bits = one.spec.membrane_bits if one.spec.layers[layer].is_hidden else one.spec.readout_bits
    top = 2 ** (bits - 1)
    return [min(max(u + i, -top), top - 1) for u, i in zip(potentials, currents, strict=True)]


@pytest.mark.parametrize(("network", "rule"), CASES)
def test_values_are_those_of_the_golden_core(network: str, rule: str, runs: Mapping[str, Path]) -> None:
    from neurochip.replay_timeline import timeline_records

    one = replay(open_run(runs[network], None, rule), SAMPLE)
    neurons, synapses = every_choice(one)
    dump = read_vcd(vcd_dump(wave_records(runs[network], None, SAMPLE, rule=rule, neurons=neurons, synapses=synapses)))
    slices = timeline_records(runs[network], None, SAMPLE, rule=rule)["slices"]
    core, run = golden(one)
    checked: dict[str, int] = {}
    ends = last_times(dump, tiny.N_STEPS)
    for name, variable in dump.variables.items():
        if "." not in name:
            continue
        scope, (signal, *indices) = name.split(".")[0], name.split(".")[1].split("_")
        layer, numbers = int(scope.removeprefix("layer")), [int(index) for index in indices]
        checked[signal] = checked.get(signal, 0) + 1
        if signal in ("u", "z"):
            clocks = first_clocks(slices, "fire", layer)
            found = [variable.at(time_of(dump, clock)) for clock in clocks]
            if one.spec.layers[layer].has_current:  # goes into what the step before left, in FIRE
                beside = dump.variables[f"{scope}.i_{numbers[0]}"]
                found = saturated_sums(one, layer, found, [beside.at(time_of(dump, clock)) for clock in clocks])
            assert found == [step[numbers[0]] for step in run.probes[f"potential/{layer}"][0]], name
        elif signal == "i":
            found = [variable.at(time_of(dump, clock)) for clock in first_clocks(slices, "fire", layer)]
            assert found == [step[numbers[0]] for step in run.probes[f"current/{layer}"][0]], name
        elif signal == "spike":
            found = [variable.at(time_of(dump, clock)) for clock in _after_fire(slices, layer)]
            assert found == [step[numbers[0]] for step in run.probes[f"spike/{layer}"][0]], name
        elif signal == "signal":
            found = [variable.at(end - 1) for end in ends]
            assert found == [step[numbers[0]] for step in run.probes[f"signal/{layer}"][0]], name
        elif signal == "trace":
            found = [variable.at(end - 1) for end in ends]
            assert found == [step[numbers[0]] for step in run.probes[f"trace/{layer}"][0]], name
        elif signal == "sum":
            assert variable.values[-1] == run.readout_sums[0][numbers[0]]
        elif signal == "w":
            synapse = (layer, numbers[0], numbers[1])
            assert variable.values[0] == weight_in(one, None, synapse)
            assert variable.values[-1] == weight_in(one, core.weights, synapse), name
        elif signal == "grad":
            assert variable.values[-1] == 0  # applied
        else:
            raise AssertionError(name)
    learning = {"signal"} if rule != "infer" else set()
    traces = {"trace"} if rule in ("ottt-o", "ottt-local", "e-prop") else set()
    gradients = {"grad"} if one.learn and one.spec.update == "accumulate" else set()
    currents = {"i"} if network == "current" else set()
    assert set(checked) == {"u", "z", "spike", "sum", "w"} | learning | traces | gradients | currents
    if one.learn:
        changed = [v for name, v in dump.variables.items() if ".w_" in name and len(set(v.values)) > 1]
        assert changed


def _after_fire(slices: list[dict[str, Any]], layer: int) -> list[int]:
    """The clock after FIRE of a layer in every step."""
    found = {
        one["step"]: one["start"] + one["clocks"]
        for one in slices
        if one["phase"] == "fire" and one["layer"] == layer and not one["back"]
    }
    return [found[step] for step in range(tiny.N_STEPS)]


def test_chosen_cycles_are_a_part_of_all(runs: Mapping[str, Path]) -> None:
    options: dict[str, Any] = {"rule": "ottt-o", "neurons": "0:3,1:2,2:0", "synapses": "0:12:5"}
    whole = read_vcd(vcd_dump(wave_records(runs["dense"], None, SAMPLE, **options)))
    part = read_vcd(vcd_dump(wave_records(runs["dense"], None, SAMPLE, cycles="100:160", **options)))
    assert whole.variables.keys() == part.variables.keys()
    assert part.variables["cycle"].values == list(range(100, 160))
    for name, variable in part.variables.items():
        for clock in range(100, 160):
            assert variable.at(time_of(part, clock)) == whole.variables[name].at(time_of(whole, clock)), (name, clock)
    with pytest.raises(UserError, match=r"--cycles 90000:90001: the sample takes [0-9,]+ clocks"):
        wave_records(runs["dense"], None, SAMPLE, cycles="90000:90001", **options)


def test_phase_layer_and_step_stand_beside_the_signals(runs: Mapping[str, Path]) -> None:
    from neurochip.replay_timeline import timeline_records

    dump = read_vcd(vcd_dump(wave_records(runs["dense"], None, SAMPLE, rule="bptt")))
    records = timeline_records(runs["dense"], None, SAMPLE, rule="bptt")
    assert dump.variables["cycle"].values == list(range(records["totals"]["clocks"]))
    for one in records["slices"]:
        for clock in (one["start"], one["start"] + one["clocks"] - 1):
            time = time_of(dump, clock)
            found = tuple(dump.variables[name].at(time) for name in ("phase", "layer", "step"))
            absent = [-1 if one[name] is None else one[name] for name in ("layer", "step")]
            assert found == (one["phase"], *absent)
    assert "rule bptt" in dump.header
    assert "layer0.u_" in dump.header


def made_records(clock_mhz: float, **changes: Any) -> dict[str, Any]:
    signal = {"scope": "layer0", "name": "u_0", "bits": 6, "is_signed": True, "frac": 2}
    return {
        "name": "n", "rule": "r", "chip": "c", "clock_mhz": clock_mhz, "neurochip": "0", "split": "train", "sample": 0,
        "learning": True, "label": "0", "prediction": "0", "first_clock": 0, "end_clock": 4,
        "phases": [[0, "deliver"]], "active_layers": [[0, 0]], "steps": [[0, 0]],
        "signals": [{**signal, "changes": [[0, 0], [1, -32], [2, 31], [3, -1]]}],
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("clock_mhz", "timescale", "times"),
    [
        (100.0, "10 ns", [0, 1, 2, 3]),
        (1000.0, "1 ns", [0, 1, 2, 3]),
        (1.0, "1 us", [0, 1, 2, 3]),
        (250.0, "1 ns", [0, 4, 8, 12]),
        (13.0, "1 ps", [0, 76923, 153846, 230769]),
        (150.0, "1 ps", [0, 6667, 13333, 20000]),
    ],
)
def test_time_is_that_of_the_clock(clock_mhz: float, timescale: str, times: list[int]) -> None:
    dump = read_vcd(vcd_dump(made_records(clock_mhz)))
    assert dump.timescale == timescale
    assert dump.variables["cycle"].times == times
    assert dump.variables["layer0.u_0"].values == [0, -32, 31, -1]


def test_no_name_breaks_out_of_the_comment() -> None:
    dump = read_vcd(vcd_dump(made_records(100.0, name="a $end\n$var wire 1 ! x $end")))
    assert set(dump.variables) == {"cycle", "phase", "layer", "step", "layer0.u_0"}
    assert "layer0.u_0 frac 2" in dump.header.split("$end")[0]  # the comment ends where it should
    assert vcd_dump(made_records(100.0)) == vcd_dump(made_records(100.0))


def test_without_pyvcd_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vcd.writer", None)
    with pytest.raises(UserError, match=r"pyvcd, .* 'neurochip\[trace\]'"):
        vcd_dump(made_records(100.0))


def test_what_a_word_held_before_does_not_count_without_its_bit(runs: Mapping[str, Path]) -> None:
    machine = tick_model(replay(open_run(runs["dense"], None, "ottt-o"), SAMPLE)).machine
    look, region = valid_in(machine, "trace", 0, 20, "valid_traces"), machine.layout.region("trace", 0)
    word = region.word_of(20)
    region.space.load(region.base + word, list(range(16)))
    assert (number_in(machine, "trace", 0, 20)(), look()) == (4, 0)
    machine.buffer.valid_traces[0] = [index == word for index in range(region.n_words)]
    assert look() == 4
