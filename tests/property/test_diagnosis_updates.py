"""Do the updates that a diagnosis reads off probes add up to the change of the weights in the core, for every rule?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from property_network_cases import Rule, fixed_network_case, network_cases
from property_strategies import Case

from neurochip.core.engine import Engine
from neurochip.diagnosis.measure import frozen_spec
from neurochip.diagnosis.products import learning_layers
from neurochip.diagnosis.rounding import rounded
from neurochip.diagnosis.shares import saturation_shares, underflow_share
from neurochip.diagnosis.updates import weight_updates

REACHED: set[str] = set()


def check_updates(case: Case) -> None:
    rounding = "nearest" if case.spec.weight_rounding == "stochastic" else case.spec.weight_rounding
    spec = replace(case.spec, weight_rounding=rounding, standardise_every=0)
    data = case.dataset()
    core = Engine(spec, case.weights)
    before = core.weights
    result = core.run(data, np.arange(data.n_samples), learn=True, probe=range(data.n_samples))
    saturated = result.activity.applied("sat_weight"), result.activity.per_layer("sat_weight")
    changes = [np.zeros(weights.shape) for weights in before]
    for update in weight_updates(spec, data, result.probes):
        changes[update.layer] += rounded(update.scaled, update.shift, rounding)
    learning = learning_layers(spec) if spec.credit != "none" else []
    for index, (old, new) in enumerate(zip(before, core.weights, strict=True)):
        if saturated[0][index] or saturated[1][index]:
            continue
        np.testing.assert_array_equal(new.astype(np.int64) - old, changes[index])
        if index in learning and changes[index].any():
            layer, when = spec.layers[index], spec.apply_when if spec.update == "accumulate" else spec.update
            REACHED.update({spec.credit, when, rounding, layer.kind})
            REACHED.update(name for name, holds in (("momentum", spec.momentum_shift), ("bias", layer.bias)) if holds)
            REACHED.update(name for name, holds in (("gate", spec.trace_gate), ("boost", layer.rate_boost)) if holds)
            REACHED.update({"groups"} if layer.conv is not None and layer.conv.groups > 1 else ())
            REACHED.update("recurrent" for one in spec.connections(index) if one.delay)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=network_cases())
def check_shares(case: Case) -> None:
    """Underflows against the d and g that were probed; and no share is above 1."""
    data = case.dataset()
    result = Engine(case.spec, case.weights).run(
        data, np.arange(data.n_samples), learn=True, probe=range(data.n_samples)
    )
    for index, layer in enumerate(case.spec.layers):
        shares = saturation_shares(case.spec, index, result, None)
        assert all(0 <= share <= 1 for share in shares.values()), shares
        REACHED.update(signal for signal, share in shares.items() if share > 0)
        share = underflow_share(case.spec, index, result)
        if share is None or case.spec.credit == "unroll":  # its signal is delta, not g
            continue
        lost = result.activity.per_layer("underflow_error")[index]
        kept = np.count_nonzero(result.probes[f"d/{index}"]) + np.count_nonzero(result.probes[f"signal/{index}"])
        assert layer.is_hidden and share == lost / (lost + kept)
        REACHED.update({"underflow"} if 0 < share < 1 else ())


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=network_cases())
def check_frozen(case: Case) -> None:
    """Weights stay, and the first sample has the spikes and, in its first step with errors, the signals of a run."""
    if case.spec.credit in ("none", "unroll"):
        return
    data = case.dataset()
    frozen, run = Engine(frozen_spec(case.spec, data.n_samples), case.weights), Engine(case.spec, case.weights)
    still = frozen.run(data, np.arange(data.n_samples), learn=True, end_of_epoch=False, probe=[0])
    moving = run.run(data, np.arange(data.n_samples), learn=True, probe=[0])
    for old, new in zip(case.weights, frozen.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    steps = [step for step in range(case.spec.n_steps) if case.spec.has_loss(step + 1)]
    for name, values in still.probes.items():
        last = steps[0] + 1 if steps else case.spec.n_steps
        np.testing.assert_array_equal(values[0, :last], moving.probes[name][0, :last])
        REACHED.update({"frozen"} if name.startswith("signal") and values.any() else ())


def test_shares_are_those_of_what_was_probed() -> None:
    REACHED.clear()
    check_shares()
    assert {"membrane", "readout", "trace", "error", "delta", "gradient", "underflow"} <= REACHED


def test_a_frozen_core_is_the_core_until_it_learns() -> None:
    REACHED.clear()
    check_frozen()
    assert "frozen" in REACHED


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=network_cases())
def check_drawn(case: Case) -> None:
    check_updates(case)


def test_updates_add_up_over_several_windows_per_apply() -> None:
    reached = 0
    for seed in range(120):
        case = fixed_network_case(seed, Rule("unroll", "backprop", "window"))
        spec = case.spec
        if spec.apply_every >= 2 * spec.window_steps and spec.n_steps > spec.apply_every + spec.window_steps:
            check_updates(case)
            reached += 1
    assert reached >= 5


def test_updates_add_up_to_the_change_of_the_weights() -> None:
    REACHED.clear()
    check_drawn()
    wanted = {"trace", "spike", "unroll", "immediate", "sample", "deferred", "window", "nearest", "floor", "dense"}
    assert wanted | {"conv", "readout", "momentum", "bias", "gate", "boost", "groups", "recurrent"} <= REACHED
