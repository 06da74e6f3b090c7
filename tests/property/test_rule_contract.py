"""Does every legal combination of temporal credit, spatial credit and update keep what the axes promise?"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from property_comparison import compare
from property_contract_network import (
    N_STEPS,
    SPATIALS,
    UNROLLS,
    UPDATES,
    Axes,
    contract_case,
    contract_spec,
    legal_axes,
)

from neurochip.activity import FIELDS
from neurochip.config import parse_experiment
from neurochip.core.engine import Engine
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import Fracs, layer_shapes
from neurochip.reference.core import GoldenCore, GoldenRun
from neurochip.rules.presets import find_rule
from neurochip.spec import CoreSpec

ALL_AXES = list(legal_axes())
ACCUMULATING = [axes for axes in ALL_AXES if axes.update != "immediate"]
FORWARD_FIELDS = {
    "events", "graded_events", "deliver_taps", "spikes", "psi_nonzero", "trace_words", "trace_nonzero", "sat_membrane",
    "sat_readout", "sat_trace",
}  # fmt: skip
# Under unroll these count psi and events of steps whose error is 0.
WITHOUT_SIGNAL = {"psi_rows", "psi_taps", "presynaptic_rows", "presynaptic_taps"}


def named(values: Sequence[Any]) -> list[str]:
    return [str(value) for value in values]


def golden_run(spec: CoreSpec, n_samples: int = 2) -> tuple[GoldenCore, GoldenRun, list[NDArray[np.int64]]]:
    """The golden core after an epoch of the samples of the contract, what it returned, and its initial weights."""
    case = contract_case(spec)
    core = GoldenCore(spec, [rows.tolist() for rows in case.weights])
    return core, core.run(case.samples[:n_samples], learn=True), case.weights


def fast_weights(spec: CoreSpec) -> list[NDArray[Any]]:
    case = contract_case(spec)
    engine = Engine(spec, case.weights)
    engine.run(case.dataset(), np.array([0, 1]), learn=True)
    return engine.weights


def test_there_are_as_many_legal_combinations_as_the_axes_allow() -> None:
    assert len(ALL_AXES) == len(SPATIALS) * (2 * (len(UPDATES) - 1) + len(UNROLLS) * len(UPDATES))
    for axes in ALL_AXES:
        contract_spec(axes).check()


@pytest.mark.parametrize("axes", ALL_AXES, ids=named(ALL_AXES))
def test_both_cores_are_equal_and_every_layer_that_learns_does(axes: Axes) -> None:
    spec = contract_spec(axes)
    assert compare(contract_case(spec)) == []
    core, _, before = golden_run(spec)
    changed = [(np.array(b) != a).any() for a, b in zip(before, core.weights, strict=True)]
    assert changed == [layer.learns for layer in spec.layers]


@pytest.mark.parametrize("axes", ACCUMULATING, ids=named(ACCUMULATING))
def test_both_cores_are_equal_with_momentum_leaky_readouts_and_steps_without_loss(axes: Axes) -> None:
    assert compare(contract_case(contract_spec(axes, leaky=True, momentum_shift=2, loss_start=2, update_every=2))) == []


@pytest.mark.parametrize("axes", ALL_AXES, ids=named(ALL_AXES))
def test_without_error_nothing_is_learned(axes: Axes) -> None:
    momentum = 0 if axes.update == "immediate" else 2
    spec = contract_spec(axes, loss_start=N_STEPS + 1, momentum_shift=momentum, synapse_lanes=3)
    core, run, before = golden_run(spec)
    assert all(np.array_equal(a, b) for a, b in zip(before, core.weights, strict=True))
    assert not any(np.any(rows) for rows in core.gradients)
    assert core.registers == GoldenCore(spec, [rows.tolist() for rows in before]).registers
    assert not any(np.any(values) for name, values in run.probes.items() if name.startswith(("signal", "d/")))
    totals = dict(zip(FIELDS, np.array(run.activity).sum(axis=(0, 1)), strict=True))
    allowed = FORWARD_FIELDS | (WITHOUT_SIGNAL if spec.credit == "unroll" else set())
    assert {name for name, total in totals.items() if total} <= allowed
    assert totals["spikes"] > 0 and totals["psi_nonzero"] > 0
    assert all(np.array_equal(a, b) for a, b in zip(before, fast_weights(spec), strict=True))


@pytest.mark.parametrize("spatial", SPATIALS)
@pytest.mark.parametrize("update", UPDATES)
def test_unroll_of_t_steps_or_more_is_full_unroll(spatial: str, update: str) -> None:
    axes = Axes("unroll(T)", spatial, update)
    full, full_run, before = golden_run(contract_spec(axes))
    for steps in (0, N_STEPS + 1, 100):
        core, run, _ = golden_run(contract_spec(axes, unroll_steps=steps))
        assert (core.weights, core.registers, run) == (full.weights, full.registers, full_run)
        fast = fast_weights(contract_spec(axes, unroll_steps=steps))
        assert all(np.array_equal(a, b) for a, b in zip(full.weights, fast, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(before, full.weights, strict=True))
    shorter, _, _ = golden_run(contract_spec(axes, unroll_steps=N_STEPS - 1))
    assert shorter.weights != full.weights


NETWORK_TABLES: dict[str, Any] = {
    "task": {"name": "events-h5", "path": "tiny.h5", "steps": N_STEPS},
    "network": {
        "layers": [
            {"kind": "conv2d", "channels": 3, "kernel": 3, "padding": 1, "name": "first"},
            {"kind": "conv2d", "channels": 3, "kernel": 1},
            {"kind": "add", "layer": "first"},
            {"kind": "sumpool", "kernel": 2},
            {"kind": "dense", "neurons": 6, "recurrent": True},
            {"kind": "readout"},
        ]
    },
    "learning": {"learning_rate": 0.5},
}


def resolved(rule: str) -> CoreSpec:
    """The specification that an experiment with three hidden layers resolves to, under a rule."""
    experiment = parse_experiment(NETWORK_TABLES, "")
    shapes = layer_shapes(experiment, 32, 3, (2, 4, 4))
    fracs = Fracs(weight=(6,) * 4, membrane=(7,) * 3, trace=(6,) * 4, error=(6,) * 4, readout=7).legal(shapes)
    return core_spec(experiment, find_rule(rule), shapes, fracs, Lanes(4, 4))


WRITTEN_RULES = [
    *itertools.product(["trace", "spike", "unroll(2)", "unroll(5)"], ["immediate", "deferred(2)", "sample"]),
    ("unroll(2)", "window(2)"),
    ("unroll(5)", "window(5)"),
]


@pytest.mark.parametrize(("temporal", "update"), WRITTEN_RULES)
def test_local_with_one_block_is_backprop(temporal: str, update: str) -> None:
    whole = resolved(f"{temporal}/backprop/{update}")
    assert [resolved(f"{temporal}/local({block})/{update}") for block in (3, 4, 99)] == [whole] * 3
    assert len(resolved(f"{temporal}/local(2)/{update}").layers) == len(whole.layers) + 1
    assert len(resolved(f"{temporal}/local(1)/{update}").layers) == len(whole.layers) + 2


@pytest.mark.parametrize("leaky", [False, True])
@pytest.mark.parametrize("spatial", SPATIALS)
@pytest.mark.parametrize("update", ["immediate", "deferred", "sample", "batch"])
def test_unroll_of_one_step_learns_what_spike_learns(update: str, spatial: str, leaky: bool) -> None:
    """They must be equal: a window of one step carries no delta, so the signal is g (or e) of that step.

    It holds with steps without loss as well, whose signals are 0, but not for `deferred`, which counts the steps that
    reach 3.5: loss steps of `spike`, all steps of `unroll`.
    """
    losses: list[dict[str, int]] = [{}] if update == "deferred" else [{}, {"loss_start": 2, "update_every": 2}]
    for loss in losses:
        changes = {**loss, "momentum_shift": 0 if update == "immediate" else 1}
        spike, spike_run, before = golden_run(contract_spec(Axes("spike", spatial, update), leaky, **changes))
        unroll, unroll_run, _ = golden_run(contract_spec(Axes("unroll(1)", spatial, update), leaky, **changes))
        assert unroll.weights == spike.weights
        assert unroll.registers == spike.registers
        assert unroll_run.readout_sums == spike_run.readout_sums
        assert any(not np.array_equal(a, b) for a, b in zip(before, spike.weights, strict=True))


@pytest.mark.parametrize("spatial", SPATIALS)
@pytest.mark.parametrize("window", [1, 2, 3])
def test_windows_of_unroll_of_one_step_are_deferred_applies_of_spike(spatial: str, window: int) -> None:
    spike, run, _ = golden_run(contract_spec(Axes("spike", spatial, "deferred"), apply_every=window))
    unroll, other, _ = golden_run(contract_spec(Axes("unroll(1)", spatial, "window"), apply_every=window))
    assert unroll.weights == spike.weights
    assert other.n_applies == run.n_applies == 2 * -(-N_STEPS // window)


@pytest.mark.parametrize(
    ("temporal", "update", "every", "expected"),
    [
        ("spike", "deferred", 1, 2),  # losses in steps 2 and 4
        ("trace", "deferred", 2, 1),  # the second of them is the last one too
        ("trace", "deferred", 3, 1),
        ("unroll(1)", "deferred", 2, 3),  # unrolled, all five steps count
        ("unroll(T)", "deferred", 2, 3),
        ("unroll(T)", "deferred", 9, 1),
        ("unroll(2)", "window", 2, 3),  # windows end after steps 2, 4 and 5
        ("unroll(2)", "window", 3, 2),  # after step 4, four steps since the start, and after the last
        ("unroll(2)", "window", 9, 1),
        ("unroll(1)", "window", 4, 2),
        ("unroll(T)", "window", 5, 1),
        ("trace", "sample", 1, 1),
    ],
)
def test_gradients_are_applied_as_often_as_the_page_says(temporal: str, update: str, every: int, expected: int) -> None:
    spec = contract_spec(Axes(temporal, "backprop", update), apply_every=every, update_every=2)
    _, run, _ = golden_run(spec, n_samples=1)
    assert run.n_applies == expected
    case = contract_case(spec)
    assert Engine(spec, case.weights).run(case.dataset(), np.array([0]), learn=True).activity.n_applies == expected


@pytest.mark.parametrize("spatial", SPATIALS)
@pytest.mark.parametrize("temporal", ["trace", "spike", *UNROLLS])
def test_gradients_deferred_by_one_step_change_the_weights_as_an_immediate_rule(temporal: str, spatial: str) -> None:
    """They lose nothing on the way (frac_G = frac_p + frac_e), so G of one step is D, and the shifts are equal."""
    cores = [
        golden_run(contract_spec(Axes(temporal, spatial, update), apply_every=1))[0]
        for update in ("immediate", "deferred")
    ]
    assert cores[0].weights == cores[1].weights
    assert cores[0].registers == cores[1].registers


@pytest.mark.parametrize("spatial", SPATIALS)
@pytest.mark.parametrize("temporal", ["trace", "spike"])
@pytest.mark.parametrize("update", ["immediate", "deferred", "sample", "batch"])
def test_memory_of_online_rules_does_not_depend_on_the_number_of_steps(
    temporal: str, spatial: str, update: str
) -> None:
    spec = contract_spec(Axes(temporal, spatial, update))
    bits = {}
    for n_steps in (1, 5, 100):
        longer = dataclasses.replace(spec, n_steps=n_steps)
        core = GoldenCore(longer, [rows.tolist() for rows in contract_case(spec).weights])
        bits[n_steps] = core.footprint_bits()
        # The sum of z over the steps grows by a bit per class whenever T doubles, under every rule.
        bits[n_steps]["neuron"] -= spec.layers[-1].n_out * (n_steps - 1).bit_length()
        assert bits[n_steps]["history"] == 0
    assert bits[1] == bits[5] == bits[100]


@pytest.mark.parametrize("spatial", SPATIALS)
def test_memory_of_unroll_grows_with_its_window_up_to_t(spatial: str) -> None:
    history = []
    for steps in (1, 2, 3, N_STEPS, N_STEPS + 5, 0):
        core, _, _ = golden_run(contract_spec(Axes("unroll(T)", spatial, "sample"), unroll_steps=steps), n_samples=1)
        history.append(core.footprint_bits()["history"])
    per_step = history[0]
    assert per_step > 0
    assert history == [per_step * steps for steps in (1, 2, 3, N_STEPS, N_STEPS, N_STEPS)]
