"""Is the float twin with all quantisers on the fixed-point core, number for number, over drawn networks and rules?

Readout sums that saturate are left out: the integer core saturates at every event there, the twin once per step. The
bias of a layer behind an average pool is left out too: the integer core adds it with the weight of an event there.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import float_of_core
import numpy as np
import pytest
from property_network_cases import fixed_network_case
from property_network_statistics import current_features
from property_strategies import RULES, Case, fixed_case

from neurochip.core.engine import Engine
from neurochip.core.float_formats import QUANTISERS
from neurochip.errors import UserError
from neurochip.reference.engine import ReferenceEngine
from neurochip.spec import CoreSpec

N_DENSE, N_NETWORKS, N_CURRENTS = 30, 250, 500


def comparable(case: Case) -> Case:
    """The case with wide membrane sums where their register is legal, and without biases behind average pools."""
    layers = tuple(dataclasses.replace(one, bias=one.bias and one.frac_event == 0) for one in case.spec.layers)
    spec = dataclasses.replace(case.spec, layers=layers)
    try:
        wide = dataclasses.replace(spec, deliver="neuron")
        wide.check()
        spec = wide
    except UserError:
        pass  # such a case counts if no potential saturates
    weights = [rows.copy() for rows in case.weights]
    for layer, rows in zip(layers, weights, strict=True):
        if not layer.bias:
            rows[layer.n_weight_rows :] = 0
    return dataclasses.replace(case, spec=spec, weights=weights)


def fracs_of(spec: CoreSpec, name: str) -> int:
    signal, layer = name.split("/")
    formats = spec.layers[int(layer)]
    return {
        "potential": formats.frac_potential,
        "current": formats.frac_potential,
        "spike": 0,
        "psi": spec.surrogate_bits,
        "trace": formats.frac_trace,
        "d": formats.frac_error,
        "signal": formats.frac_error,
    }[signal]


class Golden(ReferenceEngine):
    """The golden core behind the interface of the fast one, and the gradients that it keeps."""

    @property
    def gradients(self) -> list[Any]:
        return self._core.gradients


def differences(case: Case, make: Callable[..., Any] = Engine) -> list[str] | None:
    """What differs from a fixed-point core, the first pass that differs; None if a sum saturates that need not agree.

    `make` is that core, the fast one or the golden one.
    """
    spec, data = case.spec, case.dataset()
    fixed, twin = make(spec, case.weights), float_of_core.twin_of(spec, case.weights)
    for one in case.passes:
        order = np.array(one.order)
        run = fixed.run(data, order, learn=one.learn, end_of_epoch=one.end_of_epoch, probe=range(len(order)))
        real = twin.run(data, order, one.learn, np.arange(len(order)), one.end_of_epoch)
        if run.activity.total("sat_readout") or (spec.deliver == "synapse" and run.activity.total("sat_membrane")):
            return None
        pairs: dict[str, tuple[Any, Any]] = {
            "predictions": (run.predictions, real.predictions),
            "readout sums": (run.readout_sums, real.readout_sums * 2.0 ** spec.layers[-1].frac_potential),
            "registers": (fixed.registers, twin.registers),
        }
        assert not [name for name in set(real.probes) - set(run.probes) if name.startswith("current/")]
        for name, codes in run.probes.items():
            pairs[name] = codes, real.probes[name] * 2.0 ** fracs_of(spec, name)
        for index, layer in enumerate(spec.layers):
            pairs[f"weights {index}"] = fixed.weights[index], twin.weights[index] * 2.0**layer.frac_weight
            for name in ("gradients", "velocities"):
                if getattr(fixed, name):
                    scaled = getattr(twin, name)[index] * 2.0**layer.frac_gradient
                    pairs[f"{name} {index}"] = getattr(fixed, name)[index], scaled
        found = [name for name, (codes, values) in pairs.items() if not np.array_equal(codes, values)]
        if found:
            return found
    return []


def compare_all(
    cases: list[Case], tabulate: Callable[[Case], list[str]], make: Callable[..., Any] = Engine
) -> Counter[str]:
    """Compare cases; returns how many were compared, by what they have."""
    seen: Counter[str] = Counter()
    for case in cases:
        found = differences(case, make)
        if found is not None:
            assert found == [], (case.rule, case.seed, found)
            seen.update(["compared", *tabulate(case)])
    return seen


@pytest.mark.parametrize("rounding", ["floor", "nearest", "stochastic"])
@pytest.mark.parametrize("rule", RULES)
def test_dense_networks_are_equal_for_every_rule_and_rounding(rule: str, rounding: str) -> None:
    cases = []
    for seed in range(N_DENSE):
        case = comparable(fixed_case(seed, rule))
        cases.append(dataclasses.replace(case, spec=dataclasses.replace(case.spec, weight_rounding=rounding)))
    seen = compare_all(cases, lambda case: [case.spec.error_rounding])
    assert seen["compared"] > N_DENSE // 3
    assert min(seen["floor"], seen["nearest"]) > 0


def traits(case: Case) -> list[str]:
    spec = case.spec
    found = {
        "convolution": any(layer.kind == "conv" for layer in spec.layers),
        "average pool": any(layer.frac_event > 0 for layer in spec.layers),
        "recurrent": any(spec.recurrent_connection(k) is not None for k in range(len(spec.layers))),
        "head": any(layer.kind == "readout" for layer in spec.layers[:-1]),
        "feedback": any(layer.kind == "feedback" for layer in spec.layers),
        "leaky readout": spec.layers[-1].leak_kind != "none",
        "filter": any(layer.filter_leak_kind != "none" for layer in spec.layers),
        "momentum": spec.momentum_shift > 0,
        "squared error": spec.mse_share_q > 0 and spec.credit != "none",
        "exact reset path": spec.reset_path == "exact",
        "standardised": spec.standardise_every > 0,
        "bias trace": spec.bias_trace,
        "rate per layer": any(layer.rate_boost for layer in spec.layers),
        "wide membrane sums": spec.deliver == "neuron",
        "synaptic current": any(layer.has_current for layer in spec.layers),
    }
    return [name for name, has in found.items() if has]


def test_networks_of_every_kind_are_equal() -> None:
    cases = [comparable(fixed_network_case(seed)) for seed in range(N_NETWORKS)]
    seen = compare_all(cases, traits)
    assert seen["compared"] > N_NETWORKS // 2
    assert min(seen[name] for case in cases for name in traits(case)) >= 3, seen
    assert len(seen) == 16, seen


def test_networks_with_synaptic_currents_are_those_of_the_golden_core() -> None:
    """Every place and every rule that a current may have; the golden core shares no table with the twin."""

    def parts(case: Case) -> list[str]:
        return [name for name, has in current_features(case.spec).items() if has]

    cases = [comparable(fixed_network_case(seed)) for seed in range(N_NETWORKS, N_NETWORKS + N_CURRENTS)]
    cases = [case for case in cases if any(layer.has_current for layer in case.spec.layers)]
    seen = compare_all(cases, parts, Golden)
    assert seen["compared"] > len(cases) // 2
    assert min(seen[name] for name in current_features(cases[0].spec)) >= 3, seen


def test_without_one_of_its_quantisers_the_twin_differs() -> None:
    """No quantiser is idle: each of them is needed for the equality of some case."""
    needed = set()
    for seed in range(24):
        case = comparable(fixed_case(seed, ("ottt-a", "bptt", "bptt-o")[seed % 3]))
        if differences(case) is None:
            continue
        learned = {}
        for names in (QUANTISERS, *((*QUANTISERS[:k], *QUANTISERS[k + 1 :]) for k in range(len(QUANTISERS)))):
            twin = float_of_core.twin_of(case.spec, case.weights, names)
            run = twin.run(case.dataset(), np.arange(len(case.samples)), True)
            learned[names] = np.concatenate([*(w.ravel() for w in twin.weights), run.readout_sums.ravel()])
        for names, weights in learned.items():
            if not np.array_equal(weights, learned[QUANTISERS]):
                needed |= set(QUANTISERS) - set(names)
    assert needed >= set(QUANTISERS) - {"readout"}  # its sums are exact wherever they do not saturate
    assert float_of_core.twin_of(case.spec, case.weights, ()).registers.size == 0
