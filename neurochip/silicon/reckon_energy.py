"""ReckOn: power and energy computed twice, from calibrated energies per cycle and bottom-up.

Calibrated: 80 and 150 uW at 13 MHz are the only numbers used. Bottom-up: SRAM accesses and logic of the technology
file, and a clock energy that was set with 5.3 pJ/SOP. The published largest steps are of networks and events that were
not published; a 256-256-16 network is assumed, and the number of its events is solved from the largest inference step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from neurochip.chip import Calibrated, Chip
from neurochip.cost.energy import price
from neurochip.errors import UserError
from neurochip.microarch.reckon import MAX_INPUTS, MAX_OUTPUTS, MAX_RECURRENT, step_cost
from neurochip.microarch.reckon_count import WORD, Step, step_counts
from neurochip.silicon.check import Check, Method, Role
from neurochip.silicon.figures import ReckonFigures, against, figure

ROUNDED_PERCENT = 0.1  # of the calibrated energies in the chip file
SET_PERCENT = 2.0  # the clock energy was set with two digits, and without the adders
MEAN_POWER_PERCENT = 20.0  # one energy for every cycle, whatever it does
STEP_PERCENT = 3.0  # digits of 42, 80, 150 and 178, all wrong in the worst direction
CLASS_PERCENT = 40.0  # accuracy class of the uncalibrated model
SHAPE = (MAX_INPUTS, MAX_RECURRENT, MAX_OUTPUTS)


def energy_checks(data: ReckonFigures, chip: Chip) -> Iterator[Check]:
    """Calibrations, and what is predicted with them."""
    if chip.calibrated is None:
        raise UserError(f"{chip.file}: calibrated is missing; the calibrated prediction of ReckOn needs it")
    yield from _power(data, chip, chip.calibrated)
    yield from _per_operation(data, chip, chip.calibrated)
    yield from _largest_steps(data, chip, chip.calibrated)


def _power(data: ReckonFigures, chip: Chip, calibrated: Calibrated) -> Iterator[Check]:
    inference_uw = calibrated.inference.value * chip.clock_mhz
    learning_uw = calibrated.learning.value * chip.clock_mhz
    yield _check(data, "inference_power", "inference power", inference_uw, ROUNDED_PERCENT, "calibration", "calibrated")
    yield _check(data, "learning_power", "learning power", learning_uw, ROUNDED_PERCENT, "calibration", "calibrated")


def _per_operation(data: ReckonFigures, chip: Chip, calibrated: Calibrated) -> Iterator[Check]:
    """Energy of one synaptic operation: of a cycle at work, and of its SRAM accesses, adders and clock."""
    name = "energy of an operation"
    one = step_cost(*SHAPE, (0,), ())
    cycle_pj = calibrated.inference.value * one.cycles["EVT"] / one.sops
    yield _check(data, "energy_per_sop", name, cycle_pj, MEAN_POWER_PERCENT, "prediction", "calibrated")
    sop_pj = 1e3 * (bottom_up_nj(chip, 1) - bottom_up_nj(chip, 0)) / one.sops
    yield _check(data, "energy_per_sop", name, sop_pj, SET_PERCENT, "calibration", "bottom-up")
    sram_pj = 1e3 * (sram_nj(chip, 1, False) - sram_nj(chip, 0, False)) / one.sops
    yield _check(data, "energy_per_sop", f"{name}, SRAM alone", sram_pj, 0, "bound", "bottom-up")


def _largest_steps(data: ReckonFigures, chip: Chip, calibrated: Calibrated) -> Iterator[Check]:
    """The largest inference step gives the number of events; the learning step with as many is then predicted."""
    largest = figure(data.figures, "largest_inference_step", data.file).value
    idle, one = step_cost(*SHAPE, (), ()), step_cost(*SHAPE, (0,), ())
    eprop_cycles = step_cost(*SHAPE, (), (), "all").cycles["EPROP"]
    step_cycles = 1e3 * largest / calibrated.inference.value
    events = (step_cycles - idle.total_cycles) / one.cycles["EVT"]
    if not 0 <= events < MAX_INPUTS:
        raise UserError(
            f"{data.file}: figures.largest_inference_step is {largest:g} nJ, {events:.1f} events by the calibrated "
            f"energy of {chip.file}; allowed are 0 to {MAX_INPUTS}"
        )
    inference_nj = (idle.total_cycles + events * one.cycles["EVT"]) * calibrated.inference.value * 1e-3
    learning_nj = (step_cycles + eprop_cycles) * calibrated.learning.value * 1e-3
    inference, learning = f"largest inference step, {events:.1f} events", f"largest learning step, {events:.1f} events"
    yield _check(data, "largest_inference_step", inference, inference_nj, 0, "fit", "calibrated")
    yield _check(
        data, "largest_inference_step", inference, bottom_up_nj(chip, events), CLASS_PERCENT, "fit", "bottom-up"
    )
    yield _check(data, "largest_learning_step", learning, learning_nj, STEP_PERCENT, "prediction", "calibrated")
    yield _check(
        *(data, "largest_learning_step", learning, bottom_up_nj(chip, events, True), CLASS_PERCENT),
        *("prediction", "bottom-up"),
    )
    published = figure(data.figures, "largest_learning_step", data.file)
    sram = sram_nj(chip, 0, True) - sram_nj(chip, 0, False)
    name = "what learning adds to a step, SRAM alone"
    added = published.value - largest
    yield Check("ReckOn", name, added, sram, "nJ", 0, "bound", "bottom-up", published.source, published.grade)


def bottom_up_nj(chip: Chip, events: float, learning: bool = False) -> float:
    """Energy of a 256-256-16 step, linear between whole numbers of events; when it learns, no trace and no h is 0."""
    return _between(chip, events, learning)[0]


def sram_nj(chip: Chip, events: float, learning: bool) -> float:
    """The SRAM accesses of the same step."""
    return _between(chip, events, learning)[1]


def _between(chip: Chip, events: float, learning: bool) -> tuple[float, float]:
    below = int(events)
    low, high = _step_nj(chip, below, learning), _step_nj(chip, below + 1, learning)
    share = events - below
    return low[0] + (high[0] - low[0]) * share, low[1] + (high[1] - low[1]) * share


def _step_nj(chip: Chip, events: int, learning: bool) -> tuple[float, float]:
    step = Step(*SHAPE, tuple(range(events)), ())
    if learning:
        step = replace(
            step,
            learns=True,
            updates=True,
            nonzero_inputs=MAX_INPUTS,
            nonzero_outputs=MAX_RECURRENT,
            nonzero_surrogates=MAX_RECURRENT,
            nonzero_recurrents=MAX_RECURRENT,
        )
    counted = step_counts(step)
    used_bits = {name: memory.words * WORD[0] for name, memory in chip.memories.items()}
    energy = price(counted.counts, counted.cycles, used_bits, dict.fromkeys(used_bits, WORD[0]), chip)
    return energy.total_pj * 1e-3, sum(energy.by_memory.values()) * 1e-3


def _check(
    data: ReckonFigures, key: str, name: str, predicted: float, tolerance: float, role: Role, method: Method
) -> Check:
    return against(figure(data.figures, key, data.file), "ReckOn", name, predicted, role, method, tolerance)
