"""Does the engine keep what it should from call to call: weights, gradients, registers, and nothing of a sample?"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from neurochip.core.engine import Engine, PassResult
from neurochip.errors import UserError
from neurochip.events import EventDataset
from neurochip.spec import CoreSpec, LayerSpec

N_STEPS = 12
SIZES = (9, 19, 17, 3)  # no multiple of the 16 columns that rows are padded to
RULES = [("trace", "immediate"), ("unroll", "immediate"), ("trace", "accumulate"), ("unroll", "accumulate")]
LEAKS = [("shift", k) for k in range(1, 16)] + [("constant", alpha) for alpha in (0, 1, 32768, 58982, 65534, 65535)]


def make_spec(credit: str = "trace", update: str = "immediate", **changes: Any) -> CoreSpec:
    last = len(SIZES) - 2
    layers = tuple(
        LayerSpec(
            kind="readout" if i == last else "dense", n_in=SIZES[i], n_out=SIZES[i + 1], bias=i != 1,
            leak_kind="none" if i == last else "shift", leak_value=0 if i == last else 1,
            threshold_q=0 if i == last else 128, reset="subtract", keeps_trace=credit == "trace" and i < last,
            trace_leak_kind="shift", trace_leak_value=1, frac_weight=6, frac_potential=7, frac_trace=5, frac_error=6,
            frac_gradient=11 if credit == "trace" and i < last else 6,
        )
        for i in range(last + 1)
    )  # fmt: skip
    spec = CoreSpec(
        layers=layers, n_steps=N_STEPS, event_bits=1, weight_bits=8, weight_rounding="stochastic", membrane_bits=12,
        trace_bits=8, trace_gate=0, error_bits=8, error_rounding="nearest", delta_bits=12, surrogate_bits=4,
        surrogate="sigmoid", gradient_bits=24, readout_bits=24, credit=credit, update=update,
        batch=2 if update == "accumulate" else 1, rate_multiplier=11, rate_shift=7, mse_share_q=0, deliver="synapse",
        reset_path="detached", rng_lanes=16, seed=7, synapse_lanes=4, trace_lanes=4,
    )  # fmt: skip
    return dataclasses.replace(spec, **changes)


def make_weights(spec: CoreSpec, seed: int = 1) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    weights = [rng.integers(-60, 100, size=(layer.n_in + 1, layer.n_out)) for layer in spec.layers]
    for layer, values in zip(spec.layers, weights, strict=True):
        values[-1] *= layer.bias
    return weights


def make_data(n_samples: int = 4, rate: float = 0.4) -> EventDataset:
    rng = np.random.default_rng(5)
    hits = rng.random((n_samples * N_STEPS, SIZES[0])) < rate
    addresses = np.nonzero(hits)[1].astype(np.int32)
    return EventDataset(
        step_offsets=np.cumsum([0, *hits.sum(axis=1)]).astype(np.int64),
        addresses=addresses,
        magnitudes=np.ones_like(addresses),
        labels=rng.integers(0, SIZES[-1], n_samples).astype(np.int32),
        n_inputs=SIZES[0],
        n_steps=N_STEPS,
    )


def run(engine: Engine, order: list[int], learn: bool = True, **options: Any) -> PassResult:
    return engine.run(make_data(), np.array(order, dtype=np.int64), learn=learn, **options)


def same(a: list[NDArray[Any]], b: list[NDArray[Any]]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def assert_same_state(a: Engine, b: Engine) -> None:
    assert same(a.weights, b.weights)
    assert same(a.gradients, b.gradients)
    assert np.array_equal(a.registers, b.registers)


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.int8), (2, np.int8), (9, np.int16), (16, np.int16)])
def test_weights_come_back_without_the_padding(bits: int, dtype: type) -> None:
    spec = make_spec(weight_bits=bits)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    weights = [values.clip(low, high) for values in make_weights(spec)]
    weights[0][0, 0], weights[0][-1, -1] = low, high
    engine = Engine(spec, weights)
    assert same(engine.weights, weights)
    assert [values.dtype for values in engine.weights] == [dtype] * 3


def test_what_an_engine_gives_out_is_a_copy() -> None:
    engine = Engine(make_spec("trace", "accumulate"), make_weights(make_spec()))
    for values in (*engine.weights, *engine.gradients, engine.registers):
        values[:] = 99
    assert same(engine.weights, make_weights(make_spec()))
    assert not any(values.any() for values in engine.gradients)
    assert not (engine.registers == 99).any()


@pytest.mark.parametrize(("credit", "update"), RULES)
def test_two_passes_of_an_open_epoch_are_one(credit: str, update: str) -> None:
    spec = make_spec(credit, update)
    whole, parts = (Engine(spec, make_weights(spec)) for _ in range(2))
    expected = run(whole, [2, 0, 3, 1, 2])
    first = run(parts, [2, 0, 3], end_of_epoch=False)
    second = run(parts, [1, 2])
    assert_same_state(whole, parts)
    assert not same(whole.weights, make_weights(spec))
    assert np.array_equal(expected.predictions, np.concatenate([first.predictions, second.predictions]))
    assert np.array_equal(expected.readout_sums, np.concatenate([first.readout_sums, second.readout_sums]))
    together = first.activity.plus(second.activity)
    assert np.array_equal(expected.activity.totals, together.totals)
    assert (expected.activity.n_samples, expected.activity.n_applies) == (together.n_samples, together.n_applies)


def test_the_end_of_an_epoch_applies_a_batch_that_is_not_full() -> None:
    spec = make_spec("trace", "accumulate")
    left_open, ended = (Engine(spec, make_weights(spec)) for _ in range(2))
    assert run(left_open, [0], end_of_epoch=False).activity.n_applies == 0
    assert run(ended, [0], end_of_epoch=True).activity.n_applies == 1
    assert same(left_open.weights, make_weights(spec))
    assert any(values.any() for values in left_open.gradients)
    assert not same(ended.weights, make_weights(spec))
    assert not any(values.any() for values in ended.gradients)
    assert run(left_open, [1], end_of_epoch=False).activity.n_applies == 1


@pytest.mark.parametrize(("credit", "update"), RULES)
def test_a_restored_engine_goes_on_as_the_first_one_did(credit: str, update: str) -> None:
    spec = make_spec(credit, update)
    first = Engine(spec, make_weights(spec))
    run(first, [0, 1, 2])
    saved_weights, saved_registers = first.weights, first.registers
    expected = run(first, [3, 2, 1])
    resumed = Engine(spec, make_weights(spec, seed=2))
    resumed.restore(saved_weights, saved_registers)
    assert same(resumed.weights, saved_weights)
    result = run(resumed, [3, 2, 1])
    assert_same_state(first, resumed)
    assert np.array_equal(expected.readout_sums, result.readout_sums)
    assert np.array_equal(expected.activity.totals, result.activity.totals)


def test_the_registers_matter_after_a_restore() -> None:
    spec = make_spec()
    first, other = Engine(spec, make_weights(spec)), Engine(spec, make_weights(spec))
    run(first, [0])
    other.restore(first.weights, other.registers)
    for engine in (first, other):
        run(engine, [1])
    assert not same(first.weights, other.weights)


@pytest.mark.parametrize(("credit", "update"), [*RULES, ("none", "none")])
def test_inference_changes_no_state_and_counts_no_learning(credit: str, update: str) -> None:
    spec = make_spec(credit, update)
    engine, untouched = (Engine(spec, make_weights(spec)) for _ in range(2))
    for one in (engine, untouched):
        run(one, [0, 1, 2], end_of_epoch=False)
    first = run(engine, [0, 1, 2], learn=False, probe=[0])
    assert_same_state(engine, untouched)
    assert np.array_equal(run(engine, [0, 1, 2], learn=False).readout_sums, first.readout_sums)
    assert not first.activity.learning
    for name in ("psi_nonzero", "trace_words", "signal_nonzero", "update_rows", "random_advances"):
        assert first.activity.total(name) == 0, name
    assert first.activity.per_layer("spikes")[0] > 0
    assert set(first.probes) == {"potential/0", "spike/0", "potential/1", "spike/1", "potential/2"}


def test_a_rule_without_credit_never_learns() -> None:
    spec = make_spec("none", "none")
    engine = Engine(spec, make_weights(spec))
    assert not run(engine, [0, 1]).activity.learning
    assert same(engine.weights, make_weights(spec))


@pytest.mark.parametrize(("credit", "update"), RULES)
def test_probes_change_nothing_and_hold_the_samples_asked_for(credit: str, update: str) -> None:
    spec = make_spec(credit, update)
    probed, plain = (Engine(spec, make_weights(spec)) for _ in range(2))
    result, without = run(probed, [3, 1, 0], probe=[2, 0]), run(plain, [3, 1, 0])
    assert_same_state(probed, plain)
    assert np.array_equal(result.activity.totals, without.activity.totals)
    assert without.probes == {}
    everything = run(Engine(spec, make_weights(spec)), [3, 1, 0], probe=[0, 1, 2]).probes
    for name, values in result.probes.items():
        assert np.array_equal(values, everything[name][[2, 0]]), name
    for layer in range(2):
        assert result.probes[f"spike/{layer}"].sum() > 0
        assert result.probes[f"spike/{layer}"].shape == (2, N_STEPS, SIZES[layer + 1])


@pytest.mark.parametrize(("kind", "value"), LEAKS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_every_leak_reaches_zero_and_shrinks_at_every_step(kind: str, value: int, sign: int) -> None:
    """One event lifts (or lowers) the potential, below the threshold; then nothing comes in any more."""
    weight, n_steps = sign * 40, 700
    hidden = dataclasses.replace(
        make_spec().layers[0], n_in=1, n_out=1, bias=False, leak_kind=kind, leak_value=value, threshold_q=2047,
        frac_weight=0, frac_potential=4,
    )  # fmt: skip
    readout = dataclasses.replace(make_spec().layers[-1], n_in=1, n_out=2)
    spec = make_spec("none", "none", layers=(hidden, readout), n_steps=n_steps, weight_bits=16)
    weights = [np.array([[weight], [0]]), np.zeros((2, 2), dtype=np.int64)]
    offsets = np.minimum(np.arange(n_steps + 1), 1)
    ones = np.array([1], np.int32)
    data = EventDataset(offsets, ones * 0, ones, ones * 0, n_inputs=1, n_steps=n_steps)
    result = Engine(spec, weights).run(data, np.array([0]), learn=False, probe=[0])
    potential = result.probes["potential/0"][0, :, 0]
    assert potential[0] == weight << 4
    magnitudes = np.abs(potential)
    assert (np.diff(magnitudes) < 0)[magnitudes[:-1] > 0].all()
    assert (potential * sign >= 0).all()
    assert potential[-1] == 0


def test_a_leak_constant_of_65536_keeps_the_potential() -> None:
    """alpha = 65536 is no leak: one event stays for all steps."""
    hidden = dataclasses.replace(
        make_spec().layers[0], n_in=1, n_out=1, bias=False, leak_kind="constant", leak_value=65536, threshold_q=2047,
        frac_weight=0, frac_potential=4,
    )  # fmt: skip
    readout = dataclasses.replace(make_spec().layers[-1], n_in=1, n_out=2)
    spec = make_spec("none", "none", layers=(hidden, readout), n_steps=50, weight_bits=16)
    offsets, one = np.minimum(np.arange(51), 1), np.array([1], np.int32)
    data = EventDataset(offsets, one * 0, one, one * 0, n_inputs=1, n_steps=50)
    for weight in (40, -40):
        weights = [np.array([[weight], [0]]), np.zeros((2, 2), dtype=np.int64)]
        result = Engine(spec, weights).run(data, np.array([0]), learn=False, probe=[0])
        assert (result.probes["potential/0"][0, :, 0] == weight << 4).all()


def test_a_specification_outside_the_formats_is_refused() -> None:
    spec = make_spec(rate_shift=40)
    with pytest.raises(UserError, match=r"shift of the weight update of layer 0 is 45; allowed is 0 to 30"):
        Engine(spec, make_weights(spec))


def test_a_wide_register_that_does_not_fit_is_refused() -> None:
    hidden, *others = make_spec().layers
    layers = (dataclasses.replace(hidden, frac_weight=1, frac_potential=20), *others)
    spec = make_spec("none", "none", layers=layers, weight_bits=8, deliver="neuron")
    Engine(spec, make_weights(spec))  # (n_in + 1) * 2^(7 + 19) + 2^11 < 2^31: fits
    layers = (dataclasses.replace(hidden, n_in=40, frac_weight=1, frac_potential=20), *others)
    spec = dataclasses.replace(spec, layers=layers)
    with pytest.raises(UserError, match=r"may sum up to 2751465472 in layer 0"):
        Engine(spec, make_weights(spec))
