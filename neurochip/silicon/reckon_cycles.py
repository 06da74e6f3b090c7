"""ReckOn: simulated cycles and accesses, memories and word layout, and the chip file against them."""

from __future__ import annotations

from collections.abc import Iterator

from neurochip.chip import Chip
from neurochip.errors import UserError
from neurochip.microarch.reckon import (
    BUFFER_CYCLES,
    MAX_INPUTS,
    MAX_OUTPUTS,
    MAX_RECURRENT,
    WEIGHTS_PER_WORD,
    StepCost,
    step_cost,
)
from neurochip.microarch.reckon_network import CHIP_NUMBERS, check_chip
from neurochip.silicon.check import Check
from neurochip.silicon.figures import Counts, ReckonFigures, StepRow, against, figure

ONE_DIGIT_PERCENT = 6.3  # 0.8 stands for 0.75 to 0.85


def cycle_checks(data: ReckonFigures) -> Iterator[Check]:
    """Every number of every simulated step."""
    for row in data.steps.rows:
        forward, full = predict(row)
        group = f"ReckOn {row.network}, {row.input_events} inputs, {row.spikes} spikes"
        group += ", learning" if row.learning != "none" else ""
        predicted = {f"{phase} cycles": number for phase, number in full.cycles.items()}
        predicted |= {"total cycles": full.total_cycles, **forward.accesses}
        predicted |= {f"EPROP {key}": full.accesses[key] - number for key, number in forward.accesses.items()}
        published = {f"{phase} cycles": number for phase, number in row.cycles.items()}
        published |= {"total cycles": row.total_cycles, **row.forward}
        published |= {f"EPROP {key}": number for key, number in row.eprop.items()}
        yield from _exact(data.file, group, published, predicted, data.steps.source, data.steps.grade)


def predict(row: StepRow) -> tuple[StepCost, StepCost]:
    """Cost of the row's step without and with its e-prop pass."""
    n_in, n_rec, n_out = (int(size) for size in row.network.split("/"))
    inputs = range(row.input_events)
    spikes = range(row.input_events - row.shared, row.active)
    forward = step_cost(n_in, n_rec, n_out, inputs, spikes, "none")
    nonzero = row.nonzero
    return forward, step_cost(
        *(n_in, n_rec, n_out, inputs, spikes, row.learning),
        nonzero_input_traces=nonzero.input,
        nonzero_recurrent_traces=nonzero.recurrent,
        nonzero_output_traces=nonzero.output,
    )


def layout_checks(data: ReckonFigures, chip: Chip) -> Iterator[Check]:
    """Memories, the neuron word, what learning adds, and whether the chip file says the same."""
    check_chip(chip)
    srams, word = data.srams, data.neuron_word
    per_neuron = word.potential_bits + sum(word.trace_bits.values())
    neurons_per_word = chip.trace_lanes
    published = {
        "neuron words": srams.neuron.words,
        "w_in and w_rec words": srams.w_in.words + srams.w_rec.words,
        "weights per word, w_in": srams.w_in.bits // 8,
        "weights per word, w_rec": srams.w_rec.bits // 8,
        "weights per word, w_out": srams.w_out.bits // 8,
        "neuron word bits": srams.neuron.bits,
    }
    predicted = {
        "neuron words": chip.memories["neuron"].words,
        "w_in and w_rec words": chip.memories["synapse"].words,
        "weights per word, w_in": chip.lanes,
        "weights per word, w_rec": chip.lanes,
        "weights per word, w_out": chip.lanes,
        "neuron word bits": neurons_per_word * per_neuron + sum(word.shared_bits.values()),
    }
    yield from _exact(data.file, "ReckOn memories", published, predicted, srams.source, srams.grade)
    total = figure(data.figures, "sram", data.file)
    yield against(total, "ReckOn memories", "SRAM", srams.kilobytes, "exact", "formula")
    overhead = figure(data.figures, "learning_overhead", data.file)
    traces_kb = MAX_RECURRENT * sum(word.trace_bits.values()) / 8 / 1024
    share = 100 * traces_kb / srams.kilobytes
    yield against(overhead, "ReckOn", "memory of the traces", share, "consistency", "published", ONE_DIGIT_PERCENT)
    yield from _operating_point(data, chip)


def throughput_checks(data: ReckonFigures) -> Iterator[Check]:
    """Cycles of one synaptic operation, and weight updates of one cycle."""
    per_sop = figure(data.figures, "cycles_per_sop", data.file)
    one = step_cost(MAX_INPUTS, MAX_RECURRENT, MAX_OUTPUTS, (0,), ())
    cycles = one.cycles["EVT"] / one.sops
    yield against(per_sop, "ReckOn", "cycles of an operation", cycles, "exact", "formula")
    updates = figure(data.figures, "updates_per_cycle", data.file)
    visits = step_cost(MAX_INPUTS, MAX_RECURRENT, MAX_OUTPUTS, (), (), "all").cycles["EPROP"]
    visits -= MAX_RECURRENT // WEIGHTS_PER_WORD * BUFFER_CYCLES
    weights = (MAX_INPUTS + MAX_RECURRENT) * MAX_RECURRENT
    yield against(updates, "ReckOn", "weight updates of a cycle", weights / visits, "exact", "formula")


def _operating_point(data: ReckonFigures, chip: Chip) -> Iterator[Check]:
    """The chip file must stand at the published operating point."""
    if chip.clock_energy is None:
        raise UserError(f"{chip.file}: clock_energy is missing; the bottom-up prediction of ReckOn needs it")
    for name, key, predicted in (
        ("node", "node", chip.technology.node_nm),
        ("voltage", "voltage", chip.voltage_v),
        ("clock", "clock", chip.clock_mhz),
        ("voltage of the clock energy", "voltage", chip.clock_energy.voltage.value),
        ("node of the clock energy", "node", chip.clock_energy.node_nm or chip.technology.node_nm),
    ):
        yield against(figure(data.figures, key, data.file), "ReckOn chip file", name, predicted, "exact", "formula")
    lanes = "lanes of the clock energy"
    published, stated = {lanes: CHIP_NUMBERS["lanes"]}, {lanes: chip.clock_energy.lanes}
    yield from _exact(data.file, "ReckOn chip file", published, stated, data.srams.source, data.srams.grade)


def _exact(file: str, group: str, published: Counts, predicted: Counts, source: str, grade: str) -> Iterator[Check]:
    for name, number in published.items():
        if name not in predicted:
            raise UserError(f"{file}: {name!r} of {group} is unknown; allowed are {', '.join(predicted)}")
        yield Check(group, name, number, predicted[name], "1", 0, "exact", "formula", source, grade)
