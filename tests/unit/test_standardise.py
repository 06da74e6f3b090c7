"""Does the fast core standardise weights as docs/semantics.md, section 3.8, says, and when it says?

The expected numbers come from `evaluate`, the page in Python integers, written for this test.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import test_engine as made
from numpy.typing import NDArray

from neurochip.activity import FIELD_INDEX
from neurochip.core.columns import STRIDE
from neurochip.core.engine import Engine
from neurochip.core.standardise import integer_square_root
from neurochip.errors import UserError
from neurochip.spec import CoreSpec
from neurochip.topology import Connection, ConvShape

SAT_WEIGHT = FIELD_INDEX["sat_weight"]
Integers = NDArray[np.int64]


def evaluate(weights: list[list[int]], constant: int, bits: int) -> tuple[list[list[int]], int]:
    """All columns of [K][o] weights after 3.8, and the saturations."""
    k, low, high = len(weights), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    p = 16 + math.ceil(math.log2(k))
    new = [list(row) for row in weights]
    saturations = 0
    for j in range(len(weights[0])):
        s1, s2 = sum(row[j] for row in weights), sum(row[j] ** 2 for row in weights)
        root = math.isqrt(k * s2 - s1**2)
        if root == 0:
            continue
        f = min(2**31 - 1, constant // root)
        for r, row in enumerate(weights):
            x = (k * row[j] - s1) * f
            rounded = (abs(x) + 2 ** (p - 1)) // 2**p * (1 if x > 0 else -1)
            new[r][j] = min(high, max(low, rounded))
            saturations += new[r][j] != rounded
    return new, saturations


def readout_of(k: int, columns: int, bits: int, constant: int, **changes: Any) -> CoreSpec:
    """A readout alone, with K inputs and no events that could change its weights."""
    spec = made.make_spec("spike", weight_bits=bits, standardise_every=1, n_steps=made.N_STEPS)
    layer = dataclasses.replace(
        spec.layers[-1],
        n_in=k,
        n_out=columns,
        frac_gradient=6,
        standardise_constant=constant,
        inputs=(Connection(source=-1, channels=k, carries_error=False),),
    )
    return dataclasses.replace(spec, layers=(layer,), loss_start=made.N_STEPS + 1, **changes)


def standardised(weights: Integers, constant: int, bits: int) -> tuple[Integers, int]:
    """Weights and saturations of one silent sample with standardisation."""
    spec = readout_of(len(weights) - 1, weights.shape[1], bits, constant)
    engine = Engine(spec, [weights])
    data, nothing = made.make_data(1), np.zeros(0, dtype=np.int32)
    empty = dataclasses.replace(
        data, step_offsets=np.zeros_like(data.step_offsets), addresses=nothing, magnitudes=nothing, n_inputs=1
    )
    activity = engine.run(empty, np.zeros(1, dtype=np.int64), learn=True).activity
    assert activity.n_standardisations == 1
    stride = int(engine.layout.layers[0, STRIDE])
    rows = engine._state.weights[: len(weights) * stride].reshape(len(weights), stride)
    assert not rows[:, weights.shape[1] :].any()  # the padding
    assert activity.totals.sum() == activity.total("sat_weight") == activity.totals[-1, 0, SAT_WEIGHT]
    return engine.weights[0], activity.total("sat_weight")


def assert_as_evaluated(weights: Integers, constant: int, bits: int) -> tuple[Integers, int]:
    """Compare with the page; the last row is the bias."""
    found, saturations = standardised(weights, constant, bits)
    expected, expected_saturations = evaluate(weights[:-1].tolist(), constant, bits)
    assert found[:-1].tolist() == expected
    assert found[-1].tolist() == weights[-1].tolist()
    assert saturations == expected_saturations
    return found, saturations


def constant_of(g: float, k: int, frac_weight: int) -> int:
    """C of the page."""
    return math.floor(g * 2.0 ** (frac_weight + 16 + math.ceil(math.log2(k))) * math.sqrt(k - 1) / k + 0.5)


@pytest.mark.parametrize("root", [1, 2, 3, 1000, 2**26 - 1, 2**26, 94906267, 2**28 - 1, 2**29 - 1, 2**29, 2**30 - 1])
def test_the_root_is_exact_beside_perfect_squares(root: int) -> None:
    found = {d: integer_square_root(root * root + d) for d in (-1, 0, 1, 2 * root)}
    assert found == {-1: root - 1, 0: root, 1: root if root > 0 else 1, 2 * root: root}


def test_the_root_is_exact_up_to_2_to_the_58() -> None:
    rng = np.random.default_rng(1)
    drawn = [int(x) for x in rng.integers(0, 2**58, 300)] + [int(x) for x in 2 ** rng.integers(0, 59, 50)]
    for root in [int(x) for x in rng.integers(1, 2**29, 2000)]:
        drawn += [root * root - 1, root * root, root * root + 1]
    for x in [0, *drawn, 2**58]:
        assert integer_square_root(x) == math.isqrt(x)


@pytest.mark.parametrize("bits", [2, 3, 8, 9, 16])
@pytest.mark.parametrize("k", [2, 3, 15, 16, 17, 150])
def test_columns_are_those_of_the_page(bits: int, k: int) -> None:
    rng = np.random.default_rng(bits * 1000 + k)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    weights = rng.integers(low, high + 1, size=(k + 1, 21))
    weights[:-1, 3] = high  # R = 0
    weights[:-1, 4] = 0
    weights[:-1, 5] = rng.choice([low, high], size=k)
    weights[0, 6], weights[1:-1, 6] = low, high
    for g in (0.01, 0.4, 1.0, 2.74, 40.0):
        found, _ = assert_as_evaluated(weights, constant_of(g * math.sqrt(k), k, bits - 3), bits)
        assert (found[:-1, 3] == high).all()


def test_weights_at_the_ends_saturate_and_are_counted() -> None:
    weights = np.random.default_rng(3).integers(-128, 128, size=(41, 18))
    _, saturations = assert_as_evaluated(weights, constant_of(40 * math.sqrt(40), 40, 5), 8)
    assert saturations > 100


def test_ties_go_away_from_0_and_small_weights_to_it() -> None:
    """K = 2, p = 17. (3, 0): S1 = 3, R = 3, F = 2^16, so ±3/2; (1, 0): R = 1, F = 3·2^16, so ±3/2; (9, 0): F·9/2^17."""
    found, _ = standardised(np.array([[3, 1, 9, 0], [0, 0, 0, 3], [7, 7, 7, 7]]), 3 << 16, 8)
    assert found.tolist() == [[2, 2, 1, -2], [-2, -2, -1, 2], [7, 7, 7, 7]]
    found, _ = standardised(np.array([[3], [0], [0]]), 3 << 15, 8)
    assert found.tolist() == [[1], [-1], [0]]


@pytest.mark.parametrize("constant", [1, 1000, (1 << 62) - 1])
def test_any_constant_is_divided_exactly(constant: int) -> None:
    weights = np.random.default_rng(4).integers(-128, 128, size=(20, 17))
    weights[:-1, 0] = 0
    weights[0, 0] = 1  # the smallest R there is: F is 2^31 - 1
    found, _ = assert_as_evaluated(weights, constant, 8)
    if constant == 1:
        assert not found[:-1].any()


@pytest.mark.parametrize(("bits", "k"), [(16, 1 << 14), (8, 1 << 16)])
def test_many_extreme_weights_fit_the_registers(bits: int, k: int) -> None:
    """K·2^bits is 2^30, the most that is allowed, at 16 bits: S1 of one column, V of the other are at their ends."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    columns = np.full((k + 1, 3), low)
    columns[: k // 2, 0] = high
    columns[0, 1] = high
    columns[: k // 4, 2] = high
    for constant in (constant_of(math.sqrt(k), k, bits - 3), (1 << 62) - 1):
        assert_as_evaluated(columns, constant, bits)


def test_a_column_is_brought_to_mean_0_and_its_variance() -> None:
    k, g, frac = 400, 6.0, 7
    weights = np.random.default_rng(5).normal(20, 12, size=(k + 1, 5)).round().astype(np.int64)
    found, _ = standardised(weights, constant_of(g, k, frac), 8)
    real = found[:-1] / 2.0**frac
    assert np.abs(real.mean(axis=0)).max() < 0.5 * 2.0**-frac
    assert np.allclose(k * real.var(axis=0, ddof=1), g * g, rtol=0.02)


def test_a_limit_of_the_constant_or_the_rows_is_refused() -> None:
    for changes, words in (
        ({"k": 20, "bits": 8, "constant": 1 << 62}, "a smaller gain"),
        ({"k": 1, "bits": 8, "constant": 5}, "the mean of 1 weights; allowed is 2 to 4194304"),
        ({"k": (1 << 14) + 1, "bits": 16, "constant": 5}, "allowed is 2 to 16384 at 16 weight bits"),
        ({"k": 20, "bits": 8, "constant": 0}, "no layer that learns has standardise = true; allowed is 0"),
    ):
        with pytest.raises(UserError, match=words):
            readout_of(columns=4, **changes).check()


def learning_spec(every: int, credit: str = "trace", update: str = "immediate", **changes: Any) -> CoreSpec:
    """The network of test_engine.py with its first and last layer standardised."""
    spec = made.make_spec(credit, update, standardise_every=every, **changes)
    constants = (constant_of(2.0, 9, 6), 0, constant_of(3.0, 17, 6))
    layers = (
        dataclasses.replace(layer, standardise_constant=c) for layer, c in zip(spec.layers, constants, strict=True)
    )
    return dataclasses.replace(spec, layers=tuple(layers))


@pytest.mark.parametrize(("credit", "update"), made.RULES)
@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_it_comes_after_every_nth_sample_and_at_the_end_of_an_epoch(every: int, credit: str, update: str) -> None:
    """The engine against one without standardisation, whose weights the page brings back between the samples."""
    spec = learning_spec(every, credit, update)
    plain = dataclasses.replace(spec, standardise_every=0)
    engine, other = Engine(spec, made.make_weights(spec)), Engine(plain, made.make_weights(spec))
    order, n = [2, 0, 3, 1, 2], 0
    for number, sample in enumerate(order, 1):
        ends = number == len(order)
        found = made.run(engine, [sample], end_of_epoch=ends)
        expected = made.run(other, [sample], end_of_epoch=ends)
        due = number % every == 0 or ends
        n += due
        saturations = _bring_back(other, spec) if due else [0, 0, 0]
        assert found.activity.n_standardisations == due
        made.assert_same_state(engine, other)
        totals = expected.activity.totals.copy()
        totals[-1, :, SAT_WEIGHT] += saturations
        assert np.array_equal(found.activity.totals, totals)
    assert n == -(-len(order) // every)


def _bring_back(engine: Engine, spec: CoreSpec) -> list[int]:
    """Write the standardised weights into an engine; saturations of every layer."""
    weights, saturations = engine.weights, []
    for layer, rows in zip(spec.layers, weights, strict=True):
        saturations.append(0)
        if layer.standardise_constant:
            rows[:-1], saturations[-1] = evaluate(rows[:-1].tolist(), layer.standardise_constant, spec.weight_bits)
    engine.restore(weights, engine.registers)
    return saturations


@pytest.mark.parametrize("update", ["immediate", "accumulate"])
def test_the_count_of_samples_goes_on_from_call_to_call_and_starts_anew_with_an_epoch(update: str) -> None:
    spec = learning_spec(3, update=update)
    whole, parts = (Engine(spec, made.make_weights(spec)) for _ in range(2))
    for _ in range(2):  # two epochs of 5 samples: after 3, and at the end
        assert made.run(whole, [2, 0, 3, 1, 2]).activity.n_standardisations == 2
        counts = []
        for order, ends in ([2], False), ([0, 3], False), ([1], False), ([2], True):
            counts.append(made.run(parts, order, end_of_epoch=ends).activity.n_standardisations)
            inferred = made.run(parts, [0, 1, 2, 3], learn=False, end_of_epoch=True)  # neither counts nor ends an epoch
            assert inferred.activity.n_standardisations == 0
        assert counts == [0, 1, 0, 1]
        made.assert_same_state(whole, parts)


def test_an_epoch_without_a_sample_since_the_last_one_does_not_standardise_again() -> None:
    spec = learning_spec(1)
    engine = Engine(spec, made.make_weights(spec))
    assert made.run(engine, [0, 1], end_of_epoch=False).activity.n_standardisations == 2
    assert made.run(engine, [], end_of_epoch=True).activity.n_standardisations == 0


def test_the_rest_of_a_batch_is_applied_before() -> None:
    """Epoch of 3, batches of 2, N = 3: the apply of the third sample comes at the end of the epoch, then 3.8."""
    spec = learning_spec(3, update="accumulate", batch=2)
    plain = dataclasses.replace(spec, standardise_every=0)
    engine, other = Engine(spec, made.make_weights(spec)), Engine(plain, made.make_weights(spec))
    found, expected = made.run(engine, [2, 0, 3]), made.run(other, [2, 0, 3])
    _bring_back(other, spec)
    assert (found.activity.n_applies, found.activity.n_standardisations) == (expected.activity.n_applies, 1) == (2, 1)
    made.assert_same_state(engine, other)


def test_layers_that_are_frozen_or_not_asked_stay_as_they_are() -> None:
    spec = learning_spec(1, loss_start=made.N_STEPS + 1)
    frozen = dataclasses.replace(spec, layers=(dataclasses.replace(spec.layers[0], learns=False), *spec.layers[1:]))
    for one, stays in ((spec, [False, True, False]), (frozen, [True, True, False])):
        engine, before = Engine(one, made.make_weights(spec)), made.make_weights(spec)
        made.run(engine, [0])
        assert [np.array_equal(a, b) for a, b in zip(engine.weights, before, strict=True)] == stays
        made.run(engine, [0], learn=False)


def conv_spec(groups: int) -> CoreSpec:
    """A convolution of 4 channels on a map of 3 x 3, and a readout."""
    spec = made.make_spec("spike", standardise_every=2, loss_start=made.N_STEPS + 1)
    shape = ConvShape(3, 3, 4, 6, 2, 2, groups=groups)
    source = Connection(source=-1, channels=4, height=3, width=3, carries_error=False)
    after = Connection(source=0, channels=6, height=2, width=2)
    conv = dataclasses.replace(
        spec.layers[0], kind="conv", n_in=36, n_out=24, conv=shape, inputs=(source,), standardise_constant=1 << 23
    )
    readout = dataclasses.replace(spec.layers[-1], n_in=24, inputs=(after,))
    return dataclasses.replace(spec, layers=(conv, readout))


@pytest.mark.parametrize("groups", [1, 2])
def test_columns_of_a_convolution_are_those_of_its_table(groups: int) -> None:
    spec = conv_spec(groups)
    layer, rng = spec.layers[0], np.random.default_rng(6)
    assert (layer.n_weight_rows, layer.n_bias_rows, layer.columns) == (16, groups, 6 // groups)
    shapes = [(one.n_weight_rows + one.n_bias_rows, one.columns) for one in spec.layers]
    weights = [rng.integers(-60, 60, size=shape) for shape in shapes]
    engine = Engine(spec, weights)
    data = dataclasses.replace(made.make_data(2), n_inputs=36)
    activity = engine.run(data, np.arange(2), learn=True).activity
    expected, saturations = evaluate(weights[0][:16].tolist(), 1 << 23, 8)
    assert engine.weights[0][:16].tolist() == expected != weights[0][:16].tolist()
    assert np.array_equal(engine.weights[0][16:], weights[0][16:])
    assert np.array_equal(engine.weights[1], weights[1])
    assert (activity.n_standardisations, activity.total("sat_weight")) == (1, saturations)
