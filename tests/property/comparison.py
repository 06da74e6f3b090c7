"""Run one case through the fast and the golden core, name every difference, and tabulate what the cases reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from property_strategies import RULES, Case

from neurochip.activity import FIELDS
from neurochip.core.engine import Engine, PassResult
from neurochip.core.layout import WIDE_DOT, WIDE_PRODUCT, build_layout
from neurochip.reference.core import GoldenCore, GoldenRun


@dataclass
class Statistics:
    """How many cases could have shown something, and how many did, by name."""

    eligible: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    cases: int = 0

    def add(self, name: str, hit: bool) -> None:
        self.eligible[name] += 1
        self.seen[name] += bool(hit)

    def share(self, name: str) -> float:
        return self.seen[name] / self.eligible[name] if self.eligible[name] else 0.0

    def table(self) -> str:
        """One line per name: share, seen, eligible."""
        lines = [f"{'':38}{'share':>7}{'seen':>7}{'of':>7}"]
        for name in self.eligible:
            lines.append(f"{name:38}{self.share(name):7.1%}{self.seen[name]:7}{self.eligible[name]:7}")
        return "\n".join(lines)


Tabulate = Callable[[Case, Counter[str], GoldenCore, Statistics], None]


def first_difference(golden: Any, fast: Any) -> str:
    """Say where two arrays first differ; nothing if they are equal."""
    a, b = np.asarray(golden), np.asarray(fast)
    if a.size == b.size == 0:
        return ""
    if a.shape != b.shape:
        return f"shape {a.shape} in the golden core, {b.shape} in the fast core"
    if np.array_equal(a, b):
        return ""
    at = tuple(int(i) for i in np.argwhere(a != b)[0])
    return f"{list(at)}: golden {a[at]}, fast {b[at]}"


def compare_pass(golden: GoldenRun, fast: PassResult, probe: tuple[int, ...]) -> dict[str, str]:
    """Differences in what a pass returns: predictions, sums, activity, probes."""
    found = {
        "predictions": first_difference(golden.predictions, fast.predictions),
        "readout sums": first_difference(golden.readout_sums, fast.readout_sums),
        "n_applies": first_difference(golden.n_applies, fast.activity.n_applies),
        "n_standardisations": first_difference(golden.n_standardisations, fast.activity.n_standardisations),
    }
    activity = np.array(golden.activity)
    for index, name in enumerate(FIELDS):
        found[f"activity {name} [step, layer]"] = first_difference(
            activity[:, :, index], fast.activity.totals[:, :, index]
        )
    expected = golden.probes if probe else {}
    if set(expected) != set(fast.probes):
        found["probe names"] = f"golden {sorted(expected)}, fast {sorted(fast.probes)}"
    for name in set(expected) & set(fast.probes):
        kept = [expected[name][position] for position in probe]
        found[f"probe {name} [sample, step, column]"] = first_difference(kept, fast.probes[name])
    return found


def compare_state(golden: GoldenCore, fast: Engine) -> dict[str, str]:
    """Differences in what a core keeps: weights, gradients, velocities, random registers."""
    found = {"registers": first_difference(golden.registers, fast.registers)}
    for name in ("weights", "gradients", "velocities"):
        a, b = getattr(golden, name), getattr(fast, name)
        if len(a) != len(b):
            found[name] = f"{len(a)} layers in the golden core, {len(b)} in the fast core"
        for layer, (rows, array) in enumerate(zip(a, b, strict=False)):
            found[f"{name} of layer {layer}"] = first_difference(rows, array)
    return found


def compare(
    case: Case, statistics: Statistics | None = None, tabulate: Tabulate | None = None, upto_first: bool = True
) -> list[str]:
    """Run a case through both cores, pass by pass; returns every difference as a line (none if they are equal).

    With `upto_first` the passes behind the first one that differs, which start from other states, are left out.
    """
    golden = GoldenCore(case.spec, [rows.tolist() for rows in case.weights])
    fast = Engine(case.spec, case.weights)
    data = case.dataset()
    differences: list[str] = []
    totals: Counter[str] = Counter()
    for number, one in enumerate(case.passes):
        expected = golden.run([case.samples[i] for i in one.order], one.learn, one.end_of_epoch)
        result = fast.run(data, np.array(one.order), learn=one.learn, end_of_epoch=one.end_of_epoch, probe=one.probe)
        found = compare_pass(expected, result, one.probe) | compare_state(golden, fast)
        differences += [f"pass {number}: {name} {where}" for name, where in found.items() if where]
        totals.update({name: result.activity.total(name) for name in FIELDS})
        totals["n_standardisations"] += result.activity.n_standardisations
        if differences and upto_first:
            break
    if statistics is not None:
        (tabulate or tabulate_chain)(case, totals, golden, statistics)
    return differences


def tabulate_chain(case: Case, totals: Counter[str], golden: GoldenCore, table: Statistics) -> None:
    """Enter one case into the statistics."""
    spec = case.spec
    table.cases += 1
    for name in RULES:
        table.add(f"rule {name}", case.rule == name)
    options = {
        "2 or 3 hidden layers": len(spec.layers) >= 3,
        "3 hidden layers": len(spec.layers) == 4,
        "8 or more steps": spec.n_steps >= 8,
        "hostile": case.hostile,
        "graded events": spec.event_bits > 1,
        "deliver neuron": spec.deliver == "neuron",
        "reset to zero": any(layer.reset == "zero" for layer in spec.layers[:-1]),
        "leak shift": any(layer.leak_kind == "shift" for layer in spec.layers),
        "leak constant": any(layer.leak_kind == "constant" for layer in spec.layers),
        "no bias in some layer": any(not layer.bias for layer in spec.layers),
        "weights of more than 8 bits": spec.weight_bits > 8,
        "frac_z < 4": spec.layers[-1].frac_potential < 4,
        "inference between learning passes": len(case.passes) == 3,
        "some samples without probes": any(len(one.probe) < len(one.order) for one in case.passes),
    }
    for rounding in ("floor", "nearest", "stochastic"):
        options[f"weight rounding {rounding}"] = spec.weight_rounding == rounding
    for surrogate in ("sigmoid", "triangle", "rectangle"):
        options[f"surrogate {surrogate}"] = spec.surrogate == surrogate
    for name, hit in options.items():
        table.add(name, hit)
    if spec.credit != "none":
        tabulate_learning(case, totals, golden, table)
    table.add("sat_membrane", totals["sat_membrane"] > 0)
    table.add("sat_readout", totals["sat_readout"] > 0)


def tabulate_learning(case: Case, totals: Counter[str], golden: GoldenCore, table: Statistics) -> None:
    """What only a learning case can reach."""
    spec = case.spec
    pairs = list(zip(case.weights, golden.weights, strict=True))
    table.add("weights change in every layer", all((a != np.array(b)).any() for a, b in pairs))
    table.add("weights of inputs change everywhere", all((a != np.array(b))[:-1].any() for a, b in pairs))
    constants = build_layout(spec).layers
    for name, hit in {
        "mse share": spec.mse_share_q > 0,
        "error rounding floor": spec.error_rounding == "floor",
        "error rounding nearest": spec.error_rounding == "nearest",
        "16 random lanes": spec.rng_lanes == 16,
        "another number of random lanes": spec.rng_lanes != 16,
        "sums of d in 64 bits": bool(constants[:, WIDE_DOT].any()),
        "sums of d in 32 bits": not constants[:, WIDE_DOT].all(),
        "products in 64 bits": bool(constants[:, WIDE_PRODUCT].any()),
        "random numbers used": totals["random_advances"] > 0,
        **{name: totals[name] > 0 for name in ("sat_error", "sat_weight", "underflow_error")},
    }.items():
        table.add(name, hit)
    if spec.credit == "trace":
        table.add("readout trace", spec.layers[-1].keeps_trace)
        table.add("first layer from its input", not spec.layers[0].keeps_trace)
        table.add("trace gate", spec.trace_gate > 1)
        table.add("sat_trace", totals["sat_trace"] > 0)
    if spec.credit == "unroll":
        table.add("reset path exact", spec.reset_path == "exact")
        table.add("sat_delta", totals["sat_delta"] > 0)
    if spec.update == "accumulate":
        table.add("batch above 1", spec.batch > 1)
        table.add("gradient shifted", any(spec.gradient_shift(i) > 0 for i in range(len(spec.layers))))
        table.add("sat_gradient", totals["sat_gradient"] > 0)
