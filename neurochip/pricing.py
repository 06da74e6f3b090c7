"""From activity to the numbers of a report: counts, cycles, energy, footprint, ratios (dictionaries of report.json)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurochip.activity import FIELD_INDEX, N_FIELDS, SATURATION_FIELDS, Activity
from neurochip.chip import Chip
from neurochip.cost.energy import Energy, check_capacity, price
from neurochip.counters import bits_moved, is_memory, totals
from neurochip.microarch.footprint import (
    footprint_bits,
    footprint_words,
    steps_where_history_equals_weights,
    steps_where_history_leaves_chip,
    word_bits,
)
from neurochip.microarch.interface import Counted, Gates, per_sample
from neurochip.microarch.registry import microarchitecture
from neurochip.spec import CoreSpec

Numbers = dict[str, Any]
RATIO_KEYS = ("energy", "latency", "footprint", "memory_accesses", "bits_moved", "macs", "acs")
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
        return check_capacity(footprint_words(self.spec, self.chip), self.chip).added_banks

    def check_prices(self) -> None:
        """Price a made-up sample in which everything happens that this rule can do, learning and not.

        Raises:
            UserError: naming the file and the key of a missing price, or an unknown microarchitecture.
        """
        for learning in (True, False):
            self.energy(self.count(eventful_activity(self.spec, self.chip, learning)))

    def count(self, activity: Activity) -> Counted:
        """Counts and cycles of all samples of an activity."""
        return microarchitecture(self.chip.microarchitecture).count(activity, self.spec, self.chip, self.gates)

    def energy(self, counted: Counted) -> Energy:
        """Energy and latency of counts and cycles; leakage of the banks in use."""
        chip = check_capacity(footprint_words(self.spec, self.chip), self.chip).chip
        widths = word_bits(self.spec, chip)
        words = footprint_words(self.spec, chip)
        used = {name: words[name] * widths[name] for name in words}
        return price(counted.counts, counted.cycles, used, widths, chip)

    def per_sample(self, activity: Activity) -> Numbers:
        """The `per_sample` dictionary: mean counts, cycles, latency and energy of one sample."""
        counted = per_sample(self.count(activity), activity.n_samples)
        energy = self.energy(counted)
        counts, moved = totals(counted.counts), bits_moved(counted.counts)
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
            "latency_us": energy.latency_us,
            "energy_pj": {
                "total": energy.total_pj,
                "by_memory": dict(energy.by_memory),
                "by_operation": dict(energy.by_operation),
                "clock": energy.clock_pj,
                "leakage": energy.leakage_pj,
                "by_kind": dict(energy.by_kind),
            },
            "by_phase": phases,
        }

    def footprint(self) -> dict[str, int]:
        """Bits per memory, and their total."""
        bits = footprint_bits(self.spec)
        return {**bits, "total": sum(bits.values())}

    def energy_to_accuracy(
        self, epochs: Sequence[Activity], validation: Sequence[float | None], target: float
    ) -> Numbers:
        """Energy of learning, validation excluded, until the validation accuracy first reaches the target."""
        spent_pj = 0.0
        for index, (activity, accuracy) in enumerate(zip(epochs, validation, strict=True)):
            spent_pj += self.energy(self.count(activity)).total_pj
            if accuracy is not None and accuracy >= target:
                return {"target": target, "energy_uj": spent_pj * 1e-6, "epoch": index + 1}
        return {"target": target, "energy_uj": None, "epoch": None}


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
        words = sum(-(-layer.n_out // activity.synapse_lanes) for layer in spec.layers)
        rows = sum(layer.n_in + int(layer.bias) for layer in spec.layers)
        hidden = sum(layer.n_out for layer in spec.layers[:-1])
        gated = {
            "rows_with_zero_presynaptic_factor": cells * rows - sum(activity.per_layer("presynaptic_rows")),
            "words_with_zero_signal": cells * words - sum(activity.per_layer("signal_words")),
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
    """T*, the T at which the history leaves the chip, and the footprint of every rule against T.

    T* and the history of BPTT follow from shapes and widths, so the specification of any rule gives them; that of a
    rule that is not run might not even be legal.
    """
    network = next(iter(specs.values()))
    by_rule = {
        rule: [sum(footprint_bits(replace(spec, n_steps=steps)).values()) for steps in FOOTPRINT_STEPS]
        for rule, spec in specs.items()
    }
    return {
        "steps_history_equals_weights": steps_where_history_equals_weights(network),
        "steps_history_leaves_chip": steps_where_history_leaves_chip(network, chip),
        "footprint_by_steps": {"steps": list(FOOTPRINT_STEPS), "rules": by_rule},
    }
