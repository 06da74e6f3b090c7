"""Which signals of the float twin are on a grid with one, all or no quantiser or finer formats; what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny
from float_of_core import N_SAMPLES, RULES, core_of, data_of, float_spec_of, leak_of, small_spec, twin_of

from neurochip.core.float_core import FloatCore
from neurochip.core.float_formats import QUANTISERS, Quantisers
from neurochip.core.float_kernels import run_samples
from neurochip.core.layout import initial_registers
from neurochip.errors import UserError
from neurochip.float_twin import FloatTwin
from neurochip.spec import CoreSpec


def signals(core: FloatCore, spec: CoreSpec) -> dict[str, tuple[np.ndarray, int, int, int]]:
    """Per quantiser the values of its signal in a learned sample, its frac, lowest and highest code."""
    data, _ = data_of(spec)
    probes = core.run(data, [0], True, [0], end_of_epoch=False).probes
    found = {
        "weight": (core.weights[0], 4, -32, 31),
        "membrane": (probes["potential/0"], 6, -256, 255),
        "surrogate": (probes["psi/0"], 4, 0, 15),
        "error": (np.append(probes["d/0"], probes["signal/1"]), 5, -32, 31),
        "readout": (probes["potential/1"], 6, -512, 511),
    }
    if spec.credit == "trace":
        found["trace"] = probes["trace/0"], 3, 0, 63
    if spec.credit == "unroll":
        found["delta"] = probes["signal/0"], 5, -64, 63
        found["error"] = probes["d/0"], 5, -32, 31
    if spec.update == "accumulate":
        found["gradient"] = core.gradients[0], spec.layers[0].frac_gradient, -2048, 2047
    return found


@pytest.mark.parametrize("name", QUANTISERS)
def test_one_signal_is_on_its_grid_and_the_others_are_not(name: str) -> None:
    spec = small_spec(*RULES[name])
    on_grid = set()
    for key, (values, frac, low, high) in signals(core_of(spec, name), spec).items():
        codes = values * 2.0**frac
        if (codes == np.round(codes)).all() and codes.min() >= low and codes.max() <= high:
            on_grid.add(key)
    assert on_grid == {name}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_with_all_quantisers_every_signal_is_on_its_grid(dtype: str) -> None:
    for rule in set(RULES.values()):
        spec = small_spec(*rule)
        core = FloatCore(float_spec_of(spec), core_of(spec).weights, dtype)
        for values, frac, low, high in signals(core, spec).values():
            codes = values * 2.0**frac
            np.testing.assert_array_equal(codes, np.round(codes))
            assert low <= codes.min() and codes.max() <= high


def gradient_of(spec: CoreSpec, *names: str) -> np.ndarray:
    data, _ = data_of(spec)
    return np.concatenate([layer.ravel() for layer in core_of(spec, *names).gradient(data, 1)])


def with_finer_format(name: str, more: int) -> CoreSpec:
    """The small specification with more fractional bits in one signal, at the same range."""
    spec = small_spec(*RULES[name], rate_shift=12, **{f"{name}_bits": more + (20 if name == "gradient" else 10)})
    hidden, readout = (replace(layer, frac_weight=4) for layer in spec.layers)
    if name == "weight":
        layers = (
            replace(hidden, frac_weight=more, frac_potential=8, threshold_q=200),
            replace(readout, frac_weight=more),
        )
        return replace(spec, layers=(layers[0], replace(layers[1], frac_potential=8)), weight_bits=7 + more)
    if name == "membrane":
        return replace(spec, layers=(replace(hidden, frac_potential=5 + more, threshold_q=40 << more), readout))
    if name == "readout":
        return replace(spec, layers=(hidden, replace(readout, frac_potential=4 + more)))
    field = {"trace": "frac_trace", "delta": "frac_error", "gradient": "frac_gradient"}[name]
    first = 0 if name == "gradient" else 5
    return replace(spec, layers=tuple(replace(layer, **{field: first + more}) for layer in (hidden, readout)))


@pytest.mark.parametrize("name", sorted(set(QUANTISERS) - {"surrogate", "error"}))
def test_with_more_bits_the_gradient_tends_to_that_of_the_twin(name: str) -> None:
    """Not surrogate and error: their tables have steps of 1/16, whatever the bits."""
    departures = []
    for more in (0, 4, 8):
        spec = with_finer_format(name, more)
        exact = gradient_of(spec)
        departures.append(np.abs(gradient_of(spec, name) - exact).max() / np.abs(exact).max())
    assert departures[0] > 0
    assert departures[2] < departures[0] / 20, departures


def test_no_quantiser_is_the_twin_itself_and_those_of_absent_signals_do_nothing() -> None:
    spec = small_spec("spike", "immediate")
    data, _ = data_of(spec)
    bare, none, absent = core_of(spec), core_of(spec), core_of(spec, "trace", "delta", "gradient")
    none = FloatCore(replace(bare.spec, quantisers=Quantisers((), spec)), bare.weights)
    for core in (bare, none, absent):
        core.run(data, np.arange(N_SAMPLES), learn=True)
    for other in (none, absent):
        assert all(np.array_equal(a, b) for a, b in zip(bare.weights, other.weights, strict=True))
    assert bare.registers.shape == (0, 0)


def test_quantisers_need_no_other_kernels() -> None:
    spec = small_spec("trace", "accumulate")
    data, _ = data_of(spec)
    for names in ((), QUANTISERS, ("trace",)):
        core_of(spec, *names).run(data, [0], learn=True)
        FloatCore(float_spec_of(spec, names), core_of(spec).weights, "float32").run(data, [0], learn=True)
    assert len(run_samples.signatures) == 2  # one per dtype


def test_a_restored_twin_goes_on_with_its_random_registers() -> None:
    spec = small_spec("spike", "immediate")
    data, _ = data_of(spec)
    order = np.arange(N_SAMPLES)
    whole, other = FloatTwin(core_of(spec, "weight")), FloatTwin(core_of(spec, "weight"))
    whole.run(data, order[:3], learn=True, end_of_epoch=True, probe=())
    other.restore(whole.weights, whole.registers)
    for twin in (whole, other):
        twin.run(data, order[3:], learn=True, end_of_epoch=True, probe=())
    assert all(np.array_equal(a, b) for a, b in zip(whole.weights, other.weights, strict=True))
    np.testing.assert_array_equal(whole.registers, other.registers)
    assert (whole.registers != initial_registers(spec)).any()


def test_what_cannot_be_quantised_is_named() -> None:
    spec = small_spec("spike", "immediate")
    for names in (("weights",), ("weight", "error", "weight")):
        with pytest.raises(UserError, match=rf"quantisers holds '{names[0]}'; allowed are weight, membrane"):
            Quantisers(names, spec)
    real = float_spec_of(spec)
    with pytest.raises(UserError, match="formats of quantisers have n_steps = 8; the rule has 7"):
        replace(real, quantisers=Quantisers(("weight",), replace(spec, n_steps=8)))
    wide = replace(spec.layers[0], n_in=13), spec.layers[1]
    with pytest.raises(UserError, match="formats of quantisers are of the layers"):
        replace(real, quantisers=Quantisers(("weight",), replace(spec, layers=wide)))
    assert twin_of(spec, [np.zeros((13, 9), int), np.zeros((10, 3), int)]).spec == real
    assert leak_of("constant", 32768) == 0.5


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"quantisers": ["weight"]}, r"quantisers = \['weight'\] is not allowed with arithmetic = 'fixed'"),
        ({"arithmetic": "float", "quantisers": ["error", "error"]}, "quantisers holds 'error' twice"),
        ({"arithmetic": "float", "quantisers": ["event"]}, "precision.quantisers.0 = 'event' is not allowed"),
    ],
)
def test_experiments_that_quantise_what_they_cannot_are_refused(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        tiny.tiny_experiment(precision=table)


def test_experiments_know_the_quantisers_of_the_core() -> None:
    for arithmetic in ("float", "float32"):
        table = {"arithmetic": arithmetic, "quantisers": list(QUANTISERS)}
        assert tiny.tiny_experiment(precision=table).precision.quantisers == list(QUANTISERS)
    assert tiny.tiny_experiment(precision={"quantisers": []}).precision.quantisers == []
