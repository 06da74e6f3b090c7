"""Do initial weights and formats follow from the seed, the first training samples and nothing else?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny
from hypothesis import given
from hypothesis import strategies as st

from neurochip.config import Experiment
from neurochip.encoding.event_steps import bin_events
from neurochip.errors import UserError
from neurochip.events import EventDataset
from neurochip.fixed_point import QFormat, quantise
from neurochip.network import calibrate
from neurochip.network.calibrate import Prepared, epoch_order, integer_weights, prepare
from neurochip.network.initial import Events, mean_input
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.rule_layers import rule_layers
from neurochip.network.shape import Fracs, layer_shapes
from neurochip.rules.presets import RULES, Rule, find_rule

FRACS = st.integers(0, 24)


def tiny_data(n_samples: int = 20, seed: int = 0) -> EventDataset:
    return bin_events(tiny.tiny_recordings(n_samples, seed), tiny.N_STEPS, "once", (2, 4, 7), 1)


def prepared(data: EventDataset | None = None, **changes: Any) -> Prepared:
    experiment: Experiment = tiny.tiny_experiment(**changes)
    data = tiny_data() if data is None else data
    return prepare(experiment, layer_shapes(experiment, data.n_inputs, 3), data)


def same(one: Prepared, other: Prepared) -> bool:
    weights = all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))
    return weights and (one.fracs, one.weight_std) == (other.fracs, other.weight_std)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    assert same(prepared(), prepared())
    for one, other in zip(prepared().weights, prepared(run__seed=4).weights, strict=True):
        assert not np.array_equal(one, other)


def test_the_rule_decides_neither_weights_nor_formats() -> None:
    base = prepared()
    for rule in RULES:
        assert same(base, prepared(learning__rule=rule.name, run__rules=[rule.name])), rule.name


EVERY = [*RULES, *map(find_rule, ("spike/feedback/sample", "trace/local(1)/deferred(2)"))]


def prepared_for(rules: list[Rule], data: EventDataset | None = None, **changes: Any) -> Prepared:
    experiment = tiny.tiny_experiment(**changes)
    data = tiny_data() if data is None else data
    return prepare(experiment, layer_shapes(experiment, data.n_inputs, 3), data, rules)


def test_heads_and_feedback_leave_the_weights_of_the_network_and_are_the_same_under_every_rule() -> None:
    base, everything = prepared(), prepared_for(EVERY)
    for one, other in zip(base.weights, everything.weights, strict=True):
        assert np.array_equal(one, other)
    assert everything.weight_std == base.weight_std
    assert (everything.fracs.weight, everything.fracs.membrane) == (base.fracs.weight, base.fracs.membrane)
    assert (set(everything.heads), set(everything.feedback)) == ({0}, {0, 1})
    for rule in EVERY:
        alone = prepared_for([rule])
        for index, weights in alone.heads.items():
            assert np.array_equal(weights, everything.heads[index])
            assert alone.fracs.heads[index] == everything.fracs.heads[index]
        for index, weights in alone.feedback.items():
            assert np.array_equal(weights, everything.feedback[index])


def test_heads_and_feedback_are_as_wide_as_their_layer_is_active() -> None:
    result = prepared_for(EVERY)
    assert result.head_std[0] == result.feedback_std[0] == result.weight_std[1]  # all take the events of layer 0
    assert result.feedback_std[1] == result.weight_std[2]
    for weights in (*result.heads.values(), *result.feedback.values()):
        assert not weights[-1].any()
        assert weights[:-1].all()


def test_formats_of_errors_and_traces_hold_every_spatial_credit_of_the_comparison() -> None:
    base, everything = prepared().fracs, prepared_for(EVERY, learning__trace_filter=3).fracs
    assert all(one >= other for one, other in zip(base.error, everything.error, strict=True))
    assert everything.trace[:2] < base.trace[:2]  # a filtered trace is larger
    assert everything.trace[2] == base.trace[2]


@pytest.mark.parametrize("layers", [None, [
    {"kind": "conv2d", "channels": 4, "kernel": 3, "name": "a"}, {"kind": "avgpool", "kernel": 2},
    {"kind": "conv2d", "channels": 3, "kernel": 1, "bias": False}, {"kind": "dense", "neurons": 5, "recurrent": True},
    {"kind": "readout", "leak_shift": 2},
]])  # fmt: skip
def test_every_rule_resolves_to_legal_formats_and_weights_of_its_shape(layers: list[dict[str, Any]] | None) -> None:
    changes = {"learning__learning_rate": 0.25} | ({"network__layers": layers} if layers else {})
    experiment, data = tiny.tiny_experiment(**changes), tiny_data()
    shapes = layer_shapes(experiment, data.n_inputs, 3, (2, tiny.WIDTH, tiny.WIDTH))
    result = prepare(experiment, shapes, data, EVERY)
    for rule in EVERY:
        spec = core_spec(experiment, rule, shapes, result.fracs, Lanes(16, 16))
        codes = integer_weights(spec, result.of_layers(rule_layers(experiment, rule, shapes)))
        for layer, values in zip(spec.layers, codes, strict=True):
            assert values.shape == (layer.n_weight_rows + layer.n_bias_rows, layer.columns)
            assert 32 <= np.abs(values).max() <= 127


def test_the_mean_input_of_a_convolution_is_that_of_its_neurons() -> None:
    conv = {"kind": "conv2d", "channels": 6, "kernel": 2, "padding": 1, "groups": 2}
    layers = [{"kind": "avgpool", "kernel": 2}, conv, {"kind": "readout"}]
    experiment, data = tiny.tiny_experiment(network__layers=layers), tiny_data()
    (shape, _) = layer_shapes(experiment, 50, 3, (2, 5, 5))
    assert shape.conv is not None
    (connection,) = shape.inputs
    per_neuron = np.zeros(shape.n_out)
    for address in data.addresses:
        at = connection.address(int(address))
        for _, block in () if at is None else shape.conv.taps(at):
            per_neuron[block * shape.columns : (block + 1) * shape.columns] += (1 / 4) ** 2
    events = Events({-1: np.bincount(data.addresses, minlength=50)}, data.n_samples * data.n_steps)
    assert mean_input(shape, 0, events) == pytest.approx(per_neuron.mean() / events.cells)


def test_a_large_network_is_measured_a_few_samples_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepared_for(EVERY)
    monkeypatch.setattr(calibrate, "PROBED_CELLS", 1)
    assert same(whole, prepared_for(EVERY))


def test_only_the_first_samples_of_the_first_epoch_are_looked_at() -> None:
    data = tiny_data()
    order = epoch_order(3, 0, data.n_samples)
    seen, unseen = order[:8], order[8:]
    assert same(prepared(data), prepared(replaced(data, unseen)))
    assert not same(prepared(data), prepared(replaced(data, seen)))


def replaced(data: EventDataset, samples: np.ndarray) -> EventDataset:
    """The same data with other events in some samples: every input at every step."""
    steps = []
    for sample in range(data.n_samples):
        own = data.sample(sample)
        for t in range(data.n_steps):
            part = own.addresses[own.step_offsets[t] : own.step_offsets[t + 1]]
            steps.append(np.arange(data.n_inputs) if sample in samples else part)
    offsets = np.concatenate([[0], np.cumsum([len(step) for step in steps])])
    addresses = np.concatenate(steps).astype(np.int32)
    return EventDataset(offsets, addresses, np.ones(len(addresses), np.int32), data.labels, data.n_inputs, data.n_steps)


def test_an_epochs_order_is_a_permutation_that_seed_and_epoch_draw() -> None:
    orders = [epoch_order(seed, epoch, 50) for seed in (1, 2) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(50))
    assert len({tuple(order) for order in orders}) == 4
    assert np.array_equal(epoch_order(1, 1, 50), orders[1])


def test_weights_are_as_wide_as_the_inputs_are_active_and_biases_are_0() -> None:
    data = tiny_data()
    result = prepared(data)
    taken = data.take(epoch_order(3, 0, data.n_samples)[:8])
    active = len(taken.addresses) / (taken.n_samples * taken.n_steps)
    assert active > 1
    assert result.weight_std[0] == pytest.approx(0.5 / math.sqrt(active))
    for weights, std in zip(result.weights, result.weight_std, strict=True):
        assert not weights[-1].any()
        assert 0.5 * std < weights[:-1].std() < 2 * std


def test_given_spreads_are_used() -> None:
    base, given_std = prepared(), prepared(network__weight_std=[0.25, 0.5, 1.0])
    assert given_std.weight_std == (0.25, 0.5, 1.0)
    for one, other, std, wanted in zip(base.weights, given_std.weights, base.weight_std, (0.25, 0.5, 1.0), strict=True):
        assert np.allclose(one / std * wanted, other)


def test_integer_weights_are_the_quantised_real_ones() -> None:
    experiment, data = tiny.tiny_experiment(), tiny_data()
    shapes, result = layer_shapes(experiment, data.n_inputs, 3, (2, tiny.WIDTH, tiny.WIDTH)), prepared()
    spec = core_spec(experiment, EVERY[0], shapes, result.fracs, Lanes(16, 16))
    codes = integer_weights(spec, result.weights)
    for weights, integers, frac in zip(result.weights, codes, result.fracs.weight, strict=True):
        assert np.array_equal(integers, quantise(weights, QFormat(8, frac, True)))


def test_a_weight_frac_leaves_the_headroom_and_no_more() -> None:
    for headroom in (0, 1, 3):
        result = prepared(precision__weight__headroom=headroom, precision__membrane__bits=24)
        for weights, frac in zip(result.weights, result.fracs.weight, strict=True):
            magnitudes = np.abs(weights[weights != 0])
            top = float(np.percentile(magnitudes, 99.9)) * 2**headroom
            assert top * 2**frac <= 127 < top * 2 ** (frac + 1)


def test_given_fracs_win() -> None:
    free = prepared().fracs
    asked = {"weight": [3, 4, 5], "membrane": [9, 8], "trace": [2, 3, 4], "error": [5, 4, 3]}
    result = prepared(**{f"precision__{name}__frac": values for name, values in asked.items()},
                      precision__readout__frac=11).fracs  # fmt: skip
    assert result == Fracs((3, 4, 5), (9, 8), (2, 3, 4), (5, 4, 3), 11)
    assert prepared(precision__trace__frac=1).fracs.trace == (1, 1, 1)
    assert prepared(precision__trace__frac=1).fracs.membrane == free.membrane


@pytest.mark.parametrize(
    "changes",
    [{"weight": 12, "membrane": 8}, {"membrane": 3}, {"weight": [20, 20, 20]}, {"error": [20, 4, 4], "weight": 3}],
)
def test_given_fracs_are_never_moved_even_if_a_shift_becomes_illegal(changes: dict[str, Any]) -> None:
    fracs = prepared(**{f"precision__{name}__frac": value for name, value in changes.items()}).fracs
    for name, value in changes.items():
        kept = getattr(fracs, name)
        assert kept == (tuple(value) if isinstance(value, list) else (value,) * len(kept))


@pytest.mark.parametrize(("signal", "allowed"), [("weight", 3), ("membrane", 2), ("trace", 3), ("error", 3),
                                                 ("gradient", 3)])  # fmt: skip
def test_a_list_of_fracs_of_another_length_is_refused(signal: str, allowed: int) -> None:
    with pytest.raises(
        UserError, match=rf"precision.{signal}.frac = \[5, .* has {allowed + 1} values.*a list of {allowed}, one"
    ):
        prepared(**{f"precision__{signal}__frac": [5] * (allowed + 1)})


def test_given_fracs_and_spreads_need_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared()
    complete = {f"precision__{name}__frac": list(getattr(first.fracs, name)) for name in ("weight", "membrane", "trace",
                                                                                         "error")}  # fmt: skip
    monkeypatch.setattr(calibrate, "_float_core", lambda *_: pytest.fail("a pass was made"))
    second = prepared(**complete, network__weight_std=list(first.weight_std))
    assert same(first, second)
    with pytest.raises(pytest.fail.Exception):
        prepared(**complete)


def test_given_formats_and_spreads_of_heads_and_feedback_need_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared_for(EVERY)
    signals = ("weight", "membrane", "trace", "error")
    complete: dict[str, Any] = {f"precision__{name}__frac": list(getattr(first.fracs, name)) for name in signals}
    complete |= {
        "precision__heads": {str(index): head._asdict() for index, head in first.fracs.heads.items()},
        "precision__feedback": {str(index): frac for index, frac in first.fracs.feedback.items()},
        "network__head_std": {str(index): std for index, std in first.head_std.items()},
        "network__feedback_std": {str(index): std for index, std in first.feedback_std.items()},
        "network__weight_std": list(first.weight_std),
    }
    monkeypatch.setattr(calibrate, "_float_core", lambda *_: pytest.fail("a pass was made"))
    second = prepared_for(EVERY, **complete)
    assert same(first, second)
    assert (first.head_std, first.feedback_std) == (second.head_std, second.feedback_std)
    assert np.array_equal(first.heads[0], second.heads[0])


def test_no_training_sample_is_refused() -> None:
    with pytest.raises(UserError, match="no training samples"):
        prepared(tiny_data().take([]))


def test_samples_without_events_calibrate_to_legal_formats() -> None:
    data = tiny_data()
    empty = EventDataset(np.zeros(len(data.labels) * 4 + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32),
                         data.labels, data.n_inputs, data.n_steps)  # fmt: skip
    result = prepared(empty)
    assert result.weight_std[0] == 0.5
    assert result.fracs == result.fracs.legal()


@given(
    weight=st.tuples(FRACS, FRACS, FRACS), membrane=st.tuples(FRACS, FRACS), trace=st.tuples(FRACS, FRACS, FRACS),
    error=st.tuples(FRACS, FRACS, FRACS), readout=FRACS,
)  # fmt: skip
def test_legal_fracs_satisfy_every_alignment_shift_and_move_no_more_than_needed(
    weight: tuple[int, ...], membrane: tuple[int, ...], trace: tuple[int, ...], error: tuple[int, ...], readout: int
) -> None:
    before = Fracs(weight, membrane, trace, error, readout)
    after = before.legal()
    potentials = (*after.membrane, after.readout)
    assert all(4 <= frac <= 24 for frac in after.membrane)
    assert all(potential - frac >= 0 for potential, frac in zip(potentials, after.weight, strict=True))
    for layer in range(2):
        assert after.weight[layer + 1] + after.error[layer + 1] - after.error[layer] >= 0
    assert (after.trace, after.readout, after.error[-1]) == (trace, readout, error[-1])
    assert all(a >= 0 for a in (*after.weight, *after.error))
    assert after.legal() == after
    for index, (old, new) in enumerate(zip(weight, after.weight, strict=True)):
        assert new == min(old, potentials[index])
    for layer in range(2):
        assert after.error[layer] == min(error[layer], after.weight[layer + 1] + after.error[layer + 1])
