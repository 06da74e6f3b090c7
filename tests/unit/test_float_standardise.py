"""Does the float twin bring columns of weights back to mean 0 and their variance, and when semantics 3.8 says?"""

from __future__ import annotations

import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip.core.float_core import FloatCore
from neurochip.core.float_spec import FloatLayerSpec, FloatSpec
from neurochip.encoding.event_steps import bin_events
from neurochip.errors import UserError
from neurochip.events import EventDataset

GAIN, CONSTANT = 2.0, 2  # of the first layer, and its constant column
OTHERS = [0, 1, 3, 4, 5]


def data() -> EventDataset:
    return bin_events(tiny.tiny_recordings(12, 0), tiny.N_STEPS, "once", (2, 4, 7), 1)


def core_of(every: int, batch: int = 1, dtype: str = "float64", rate: float = 0.5) -> FloatCore:
    """A standardised layer with a constant column, one that does not learn, and the readout."""
    layers = (
        FloatLayerSpec("dense", 50, 6, gain=GAIN),
        FloatLayerSpec("dense", 6, 5, gain=3.0, learns=False),
        FloatLayerSpec("readout", 5, 3),
    )
    spec = FloatSpec(
        layers, tiny.N_STEPS, credit="spike", update="accumulate", batch=batch, rate=rate, standardise_every=every
    )
    rng = np.random.default_rng(1)
    weights = [rng.normal(0.05, 0.5, (layer.n_in + 1, layer.n_out)) for layer in layers]
    weights[0][:50, CONSTANT] = 0.1
    return FloatCore(spec, weights, dtype)


def variance_times_k(core: FloatCore) -> np.ndarray:
    found: np.ndarray = 50 * core.weights[0][:50, OTHERS].astype(float).var(axis=0, ddof=1)
    return found


def is_back(core: FloatCore) -> bool:
    return bool(np.allclose(variance_times_k(core), GAIN**2, rtol=1e-12))


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-14), ("float32", 1e-6)])
def test_columns_have_mean_0_and_their_variance_and_all_else_stays(dtype: str, error: float) -> None:
    core = core_of(1, dtype=dtype, rate=0.0)
    before = [layer.copy() for layer in core.weights]
    core.run(data(), [1], learn=False)
    np.testing.assert_array_equal(core.weights[0], before[0])
    core.run(data(), [1], learn=True)
    np.testing.assert_allclose(variance_times_k(core), GAIN**2, rtol=10 * error)
    rows, was = core.weights[0][:50].astype(float), before[0][:50].astype(float)
    np.testing.assert_allclose(rows[:, OTHERS].mean(axis=0), 0.0, atol=error)
    centred = was[:, OTHERS] - was[:, OTHERS].mean(axis=0)
    factor = GAIN / np.sqrt(50 * was[:, OTHERS].var(axis=0, ddof=1))
    np.testing.assert_allclose(rows[:, OTHERS], centred * factor, rtol=0, atol=10 * error)
    np.testing.assert_array_equal(core.weights[0][:50, CONSTANT], before[0][:50, CONSTANT])
    np.testing.assert_array_equal(core.weights[0][50], before[0][50])
    np.testing.assert_array_equal(core.weights[1], before[1])
    np.testing.assert_array_equal(core.weights[2], before[2])


@pytest.mark.parametrize("batch", [1, 4])
def test_a_pass_in_pieces_counts_on_and_the_end_of_an_epoch_comes_after_the_last_apply(batch: int) -> None:
    order = np.arange(9)  # the ninth is the third since the last standardisation, and alone in its batch
    whole, pieces = core_of(3, batch), core_of(3, batch)
    whole.run(data(), order, learn=True)
    for sample in order:
        pieces.run(data(), [sample], learn=True, end_of_epoch=sample == order[-1])
        pieces.run(data(), order[:2], learn=False)
        pieces.gradient(data(), 0)
    for one, other in zip(whole.weights, pieces.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert is_back(whole)


def test_between_standardisations_columns_drift_and_an_epoch_begins_a_new_count() -> None:
    core = core_of(3)
    standardised = []
    for sample in range(12):
        core.run(data(), [sample], learn=True, end_of_epoch=sample == 6)
        standardised.append(is_back(core))
    assert [sample for sample, back in enumerate(standardised) if back] == [2, 5, 6, 9]


def test_without_standardisation_the_counter_does_nothing() -> None:
    core = core_of(0)
    core.run(data(), np.arange(5), learn=True)
    assert not is_back(core)


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"standardise_every = -1 must be 0 or more"):
        core_of(-1)


@pytest.mark.parametrize("update", ["immediate", "accumulate"])
def test_the_rate_of_a_layer_is_multiplied_by_its_scale(update: str) -> None:
    changes = []
    for scale in (1.0, 8.0):
        layers = FloatLayerSpec("dense", 50, 6), FloatLayerSpec("readout", 6, 3, rate_scale=scale)
        spec = FloatSpec(layers, tiny.N_STEPS, credit="trace", update=update, rate=1e-9)
        rng = np.random.default_rng(2)
        weights = [rng.normal(0.0, 0.5, (layer.n_in + 1, layer.n_out)) for layer in layers]
        core = FloatCore(spec, weights)
        core.run(data(), [1, 2], learn=True)
        changes.append([after - before for after, before in zip(core.weights, weights, strict=True)])
    np.testing.assert_allclose(changes[1][0], changes[0][0], rtol=0, atol=1e-15)
    np.testing.assert_allclose(changes[1][1], 8 * changes[0][1], rtol=1e-5, atol=1e-15)
    assert np.abs(changes[0][1]).max() > 1e-10
