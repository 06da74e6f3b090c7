"""From activity to the numbers of a report: counts, cycles, energy, footprint, ratios (dictionaries of report.json)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import FIELD_INDEX, N_FIELDS, SATURATION_FIELDS, Activity, SampleTrace
from neurochip.chip import Chip
from neurochip.clocked import Clocked
from neurochip.cost.area import Area, area
from neurochip.cost.energy import Capacity, Energy, check_capacity, price
from neurochip.counters import Count, bits_moved, is_memory, totals
from neurochip.microarch.footprint import (
    bptt_beside,
    footprint_bits,
    footprint_words,
    spilled_memories,
    steps_where_history_equals_weights,
    steps_where_history_leaves_chip,
    word_bits,
)
from neurochip.microarch.interface import Counted, Gates, per_sample
from neurochip.microarch.ottt_core_standardise import units as standardisation_units
from neurochip.microarch.registry import CoreContents, microarchitecture
from neurochip.spec import CoreSpec
from neurochip.tiling import steps_where_history_leaves_cores, tiled, tiled_area, used_bits

Numbers = dict[str, Any]
EVENT_FIFO = "event_fifo"
RATIO_KEYS = ("energy", "latency", "footprint", "memory_accesses", "bits_moved", "macs", "acs")
MADE_UP_EVENTS = 64  # events and neurons in which something happens, of a layer and step of a made-up sample
FOOTPRINT_STEPS = tuple(2**k for k in range(13))


@dataclass(frozen=True)
class Pricer:
    """A chip that counts and prices the activity of one specification."""

    chip: Chip
    gates: Gates
    spec: CoreSpec

    def check(self) -> Mapping[str, int]:
        """Refuse a network that does not fit the chip; returns the banks added in overflow mode "grow".

        Raises:
            UserError: naming memory, words needed and words available.
        """
        return {} if self._cores() else self._capacity().added_banks

    def check_prices(self) -> None:
        """Price a made-up sample in which everything happens that this rule can do, learning and not.

        Raises:
            UserError: naming the file and the key of a missing price, or an unknown microarchitecture.
        """
        for learning in (True, False):
            activity = eventful_activity(self.spec, self.chip, learning)
            self.energy(self.count(activity, eventful_trace(self.spec)))

    def count(self, activity: Activity, trace: SampleTrace | None = None) -> Counted:
        """Counts and cycles of all samples of an activity; `trace`: recorded events of it, or of a pass like it."""
        model = microarchitecture(self.chip.microarchitecture)
        return model.count(activity, self.spec, self.chip, self.gates, trace)

    def _cores(self) -> tuple[CoreContents, ...]:
        """What every core of a chip with several stores; empty for a chip of one core."""
        cores = microarchitecture(self.chip.microarchitecture).cores
        return () if cores is None else cores(self.spec, self.chip)

    def off_chip(self) -> frozenset[str]:
        """Memories that lie in DRAM."""
        return frozenset() if self._cores() else spilled_memories(self.spec, self.chip)

    def n_cores(self) -> int:
        """Cores that the network is split over; 1 on a chip of one core."""
        return max(1, len(self._cores()))

    def _words_on_chip(self) -> dict[str, int]:
        """Words per memory, without the memories that lie in DRAM."""
        storage = microarchitecture(self.chip.microarchitecture).storage
        if storage is not None:
            return dict(storage(self.spec, self.chip).words)
        spilled = spilled_memories(self.spec, self.chip)
        return {name: words for name, words in footprint_words(self.spec, self.chip).items() if name not in spilled}

    def _capacity(self) -> Capacity:
        # What stays on the chip in overflow mode "dram" must fit: those memories neither move nor grow.
        chip = self.chip.model_copy(update={"overflow": "refuse"}) if self.chip.overflow == "dram" else self.chip
        return check_capacity(self._words_on_chip(), chip)

    def energy(self, counted: Counted) -> Energy:
        """Energy and latency of counts and cycles; leakage of the banks in use."""
        if cores := self._cores():
            core_widths, chip = word_bits(self.spec, self.chip), tiled(self.chip, len(cores))
            used = used_bits(cores, core_widths, chip)
            used.pop(EVENT_FIFO, None)  # no part of a footprint
            used |= {name: bits * len(cores) for name, bits in self._fifo_bits(chip, core_widths).items()}
            return price(counted.counts, counted.cycles, used, core_widths, chip)
        chip = self._capacity().chip
        words, widths = self._words_on_chip(), self._word_bits(chip)
        used = {name: words[name] * widths[name] for name in words} | self._fifo_bits(chip, widths)
        return price(counted.counts, counted.cycles, used, widths, chip)

    @staticmethod
    def _fifo_bits(chip: Chip, widths: Mapping[str, int]) -> dict[str, int]:
        """Bits of the event FIFO of a core, which leaks whatever the network is; empty if the chip has none."""
        if EVENT_FIFO not in chip.memories or EVENT_FIFO not in widths:
            return {}
        return {EVENT_FIFO: chip.memories[EVENT_FIFO].words * widths[EVENT_FIFO]}

    def area(self) -> Area:
        """Area of the chip with the banks that overflow mode "grow" adds, its words as wide as this network needs.

        Units too narrow for the standardisation of the weights are built wider.
        """
        if self.chip.mesh is not None and self._cores():
            core = area(self.chip, word_bits(self.spec, self.chip))  # it does not standardise
            return tiled_area(core, self.chip.mesh.columns * self.chip.mesh.rows)
        chip = self._capacity().chip
        return area(chip, self._word_bits(chip), standardisation_units(self.spec))

    def _word_bits(self, chip: Chip) -> Mapping[str, int]:
        storage = microarchitecture(chip.microarchitecture).storage
        return word_bits(self.spec, chip) if storage is None else storage(self.spec, chip).word_bits

    def per_sample(
        self, activity: Activity, trace: SampleTrace | None = None, clocked: Clocked | None = None
    ) -> Numbers:
        """The `per_sample` dictionary: mean counts, cycles, stalls, latency and energy of one sample.

        Args:
            activity: totals of a pass.
            trace: recorded samples of it, or of a pass like it.
            clocked: what the tick model counted in the same pass; it then stands in place of what is counted here.
        """
        counted = self.count(activity, trace)
        if clocked is not None:
            counted = as_clocked(counted, clocked)
        counted = per_sample(counted, activity.n_samples)
        energy = self.energy(counted)
        counts, moved = totals(counted.counts), bits_moved(counted.counts)
        sampled = counted.sampled and {
            "n_recorded": counted.sampled.n_recorded,
            "n_samples": counted.sampled.n_samples,
            "half_width": counted.sampled.half_width_cycles,
        }
        phases = {phase: {"energy_pj": 0.0, "cycles": cycles} for phase, cycles in counted.cycles_by_phase.items()}
        for phase, energy_pj in energy.by_phase.items():
            phases[phase]["energy_pj"] = energy_pj
        return {
            "counts": counts,
            "bits_moved": moved,
            "totals": {
                "memory_accesses": sum(number for key, number in counts.items() if is_memory(key)),
                "bits_moved": sum(moved.values()),
                "macs": counts["mac"],
                "acs": counts["ac"],
            },
            "cycles": counted.cycles,
            "stalls": dict(counted.stalls),
            "cycles_sampled": sampled,
            "latency_us": energy.latency_us,
            "average_power_mw": energy.average_power_mw,
            "energy_delay_pj_us": energy.energy_delay_pj_us,
            "energy_pj": {
                "total": energy.total_pj,
                "low": energy.low_pj,
                "high": energy.high_pj,
                "by_layer": [energy.by_layer.get(layer, 0.0) for layer in range(len(self.spec.layers))],
                "by_memory": dict(energy.by_memory),
                "by_operation": dict(energy.by_operation),
                "clock": energy.clock_pj,
                "leakage": energy.leakage_pj,
                "by_kind": dict(energy.by_kind),
                "calibrated": self._calibrated_pj(counted.cycles, activity.learning),
            },
            "by_phase": phases,
        }

    def _calibrated_pj(self, cycles: float, learning: bool) -> float | None:
        """The same cycles at the energy of a whole cycle that was fitted to silicon; None for chips without a fit."""
        fit = self.chip.calibrated
        if fit is None:
            return None
        return cycles * (fit.learning if learning else fit.inference).value

    def footprint(self) -> dict[str, int]:
        """Bits per memory, and their total."""
        bits = footprint_bits(self.spec)
        if cores := self._cores():
            bits = {name: sum(core.bits[name] for core in cores) for name in bits}
        return {**bits, "total": sum(bits.values())}

    def energy_to_accuracy(
        self,
        epochs: Sequence[Activity],
        validation: Sequence[float | None],
        target: float,
        trace: SampleTrace | None = None,
    ) -> Numbers:
        """Energy of learning, validation excluded, until the validation accuracy first reaches the target.

        `trace`: recorded samples of the last epoch; the clocks of all epochs are estimated from them.
        """
        spent_pj = 0.0
        for index, (activity, accuracy) in enumerate(zip(epochs, validation, strict=True)):
            spent_pj += self.energy(self.count(activity, trace)).total_pj
            if accuracy is not None and accuracy >= target:
                return {"target": target, "energy_uj": spent_pj * 1e-6, "epoch": index + 1}
        return {"target": target, "energy_uj": None, "epoch": None}


def as_clocked(counted: Counted, clocked: Clocked) -> Counted:
    """The accesses, clocks and stalls of the tick model, with the operations, which it does not count."""
    granted = dict(clocked.accesses)
    counts = []
    for count in counted.counts:  # in the order of the count, so that equal numbers give equal bytes
        place = (count.key, count.phase, count.layer, count.widths_bits)
        counts.append(replace(count, number=granted.pop(place, 0)) if is_memory(count.key) else count)
    counts += [Count(*place, number) for place, number in granted.items()]
    cycles = sum(clocked.ticks_by_phase.values())
    return Counted(tuple(counts), clocked.ticks_by_phase, cycles, clocked.stalls)


def eventful_trace(spec: CoreSpec) -> SampleTrace:
    """One made-up recorded sample in which everything happens somewhere, beside `eventful_activity`."""
    bitmaps: dict[str, Any] = {"event/0": _somewhere(spec, spec.n_inputs)}
    for index, layer in enumerate(spec.layers):
        bitmaps[f"trace/{index}"] = _somewhere(spec, layer.n_in)
        bitmaps[f"signal/{index}"] = _somewhere(spec, layer.n_out)
        if layer.is_hidden:
            bitmaps[f"event/{index + 1}"] = bitmaps[f"psi/{index}"] = _somewhere(spec, layer.n_out)
    bitmaps["graded/0"] = np.zeros((1, spec.n_steps, spec.n_inputs), dtype=np.bool_)
    return SampleTrace(np.zeros(1, dtype=np.int64), bitmaps)


def _somewhere(spec: CoreSpec, width: int) -> NDArray[np.bool_]:
    """Some set bits in every step, evenly spread: all of a small layer, few of a large one."""
    bits = np.zeros((1, spec.n_steps, width), dtype=np.bool_)
    bits[:, :, :: -(-width // MADE_UP_EVENTS)] = True
    return bits


def eventful_activity(spec: CoreSpec, chip: Chip, learning: bool) -> Activity:
    """Activity of one made-up sample with every field 2 at every step, so that no count the rule can have is 0."""
    totals = np.full((spec.n_steps + 1, len(spec.layers), N_FIELDS), 2, dtype=np.int64)
    graded = totals[:, :, FIELD_INDEX["graded_events"]]
    graded[...] = 0  # only input events may differ from 1, and some of them are 1
    graded[:, 0] = int(spec.event_bits > 1)
    return Activity(
        totals=totals,
        n_samples=1,
        n_applies=int(spec.update == "accumulate"),
        n_standardisations=int(spec.standardise_every > 0),
        learning=learning and spec.credit != "none",
        synapse_lanes=chip.lanes,
        trace_lanes=chip.trace_lanes,
    )


def numerics(activity: Activity, spec: CoreSpec) -> Numbers:
    """Saturations and underflows of the last epoch, and what the zero gates may skip, as totals."""
    cells = activity.n_samples * activity.n_steps
    saturation = {name.removeprefix("sat_"): activity.total(name) for name in SATURATION_FIELDS}
    gated: dict[str, float] = {}
    if activity.learning:
        steps = activity.n_samples * (spec.n_steps if spec.credit == "unroll" else spec.n_loss_steps)
        signals = [layer for layer in spec.layers if layer.kind != "feedback"]
        learning = [layer for layer in signals if layer.learns]
        words = sum(layer.n_blocks * -(-layer.columns // activity.synapse_lanes) for layer in signals)
        rows = sum(layer.n_in + int(layer.bias) * layer.n_bias_rows for layer in learning)
        hidden = sum(layer.n_out for layer in spec.layers if layer.is_hidden)
        per_layer = zip(spec.layers, activity.per_layer("signal_words"), strict=True)
        signal_words = [number for layer, number in per_layer if layer.kind != "feedback"]
        gated = {
            "rows_with_zero_presynaptic_factor": steps * rows - sum(activity.per_layer("presynaptic_rows")),
            "words_with_zero_signal": steps * words - sum(signal_words),
            "rows_with_zero_surrogate": cells * hidden - sum(activity.per_layer("psi_nonzero")),
        }
    return {"saturation": saturation, "underflow": {"error": activity.total("underflow_error")}, "gated": gated}


def ratios(cost: Numbers, footprint: Mapping[str, int], base: Numbers, base_footprint: Mapping[str, int]) -> Numbers:
    """Cost divided by a base, key by key; None where the base is 0."""

    def divide(a: float, b: float) -> float | None:
        return a / b if b else None

    result: Numbers = {
        "energy": divide(cost["energy_pj"]["total"], base["energy_pj"]["total"]),
        "latency": divide(cost["latency_us"], base["latency_us"]),
        "footprint": divide(footprint["total"], base_footprint["total"]),
    }
    for key in ("memory_accesses", "bits_moved", "macs", "acs"):
        result[key] = divide(cost["totals"][key], base["totals"][key])
    return result


def history_section(specs: Mapping[str, CoreSpec], chip: Chip) -> Numbers:
    """T*, the T at which the history leaves the chip, and the footprint of every rule and of its BPTT against T.

    T* and the history of BPTT follow from shapes and widths, so the specification of any rule gives them; that of a
    rule that is not run might not even be legal.
    """
    network = next(iter(specs.values()))
    beside = dict(found for spec in specs.values() if (found := bptt_beside(spec)) is not None)
    by_rule = {
        rule: [sum(footprint_bits(replace(spec, n_steps=steps)).values()) for steps in FOOTPRINT_STEPS]
        for rule, spec in {**specs, **beside, **specs}.items()  # first those that are run, each as it is run
    }
    cores = microarchitecture(chip.microarchitecture).cores
    leaves_chip = (
        steps_where_history_leaves_chip(network, chip)
        if cores is None
        else steps_where_history_leaves_cores(network, chip, cores)
    )
    return {
        "steps_history_equals_weights": steps_where_history_equals_weights(network),
        "steps_history_leaves_chip": leaves_chip,
        "footprint_by_steps": {"steps": list(FOOTPRINT_STEPS), "rules": by_rule},
    }
