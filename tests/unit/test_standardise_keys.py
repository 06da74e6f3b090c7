"""Do `standardise`, `gain`, `spike_scale` and `standardise_every` become the weights and numbers that they mean?"""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny
import tomli_w

from neurochip.config import Experiment, load_experiment, parse_experiment
from neurochip.encoding.event_steps import bin_events
from neurochip.errors import UserError
from neurochip.events import EventDataset
from neurochip.fixed_point import QFormat, frac_for
from neurochip.network.calibrate import NORMAL_PERCENTILE, Prepared, assumed_fracs, prepare
from neurochip.network.initial import WEIGHT_STREAM
from neurochip.network.resolve import Lanes, core_spec, float_spec, learned_together
from neurochip.network.rule_layers import rule_layers
from neurochip.network.shape import Fracs, LayerShape, layer_shapes
from neurochip.rules.presets import find_rule

SCALE = 2.74
READOUT = {"kind": "readout"}
CONV: dict[str, Any] = {"kind": "conv2d", "channels": 4, "kernel": 3, "padding": 1}
SWS_CONV = {**CONV, "standardise": True, "spike_scale": SCALE}
LAYERS: list[dict[str, Any]] = [
    {**SWS_CONV, "gain": 2.0},
    {"kind": "avgpool", "kernel": 2},
    {"kind": "dense", "neurons": 6, "spike_scale": 0.5},
    {"kind": "dense", "neurons": 5, "standardise": True, "gain": 3.0},
    READOUT,
]


def experiment_of(layers: list[dict[str, Any]], **changes: Any) -> Experiment:
    return tiny.tiny_experiment(network__layers=layers, **changes)


def shapes_of(layers: list[dict[str, Any]], **changes: Any) -> tuple[LayerShape, ...]:
    return layer_shapes(experiment_of(layers, **changes), 50, 3, (2, 5, 5))


def data(n_samples: int = 12) -> EventDataset:
    return bin_events(tiny.tiny_recordings(n_samples, 0), tiny.N_STEPS, "once", (2, 4, 7), 1)


def prepared(layers: list[dict[str, Any]], **changes: Any) -> Prepared:
    experiment = experiment_of(layers, **changes)
    return prepare(experiment, layer_shapes(experiment, 50, 3, (2, 5, 5)), data())


def test_the_keys_are_toml_and_come_back() -> None:
    experiment = experiment_of(LAYERS, learning__standardise_every=7)
    assert parse_experiment(tomllib.loads(tomli_w.dumps(experiment.to_tables())), "") == experiment
    assert load_experiment(None).learning.standardise_every == 0


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({**CONV, "gain": 2.0}, ("network.layers.0", "gain = 2.0 needs standardise = true", "allowed without it is 1")),
        ({**SWS_CONV, "gain": 0.0}, ("network.layers.0.gain = 0.0", "above 0")),
        ({**CONV, "spike_scale": -1.0}, ("network.layers.0.spike_scale = -1.0", "above 0")),
        ({**CONV, "spike_scale": 1e155}, ("network.layers.0.spike_scale", "up to 1000000")),
        ({**SWS_CONV, "gain": 1.7e308}, ("network.layers.0.gain", "up to 1000000")),
        ({**SWS_CONV, "groups": 2}, ("network.layers.0", "groups = 2", "allowed is groups = 1")),
        ({"kind": "readout", "standardise": True}, ("network.layers.0.standardise", "not a known key")),
    ],
)
def test_a_wrong_key_ends_in_one_sentence(layer: dict[str, Any], words: tuple[str, ...]) -> None:
    layers = [layer] if layer["kind"] == "readout" else [layer, READOUT]
    with pytest.raises(UserError) as raised:
        experiment_of(layers)
    assert all(word in str(raised.value) for word in words), raised.value


def test_standardise_every_needs_a_layer_that_is_standardised() -> None:
    with pytest.raises(UserError, match=r"learning.standardise_every = 3 needs a layer .* allowed is 0"):
        experiment_of([CONV, READOUT], learning__standardise_every=3)


def test_a_layer_has_the_scale_of_its_source_and_a_gain_times_it() -> None:
    shapes = shapes_of(LAYERS)
    assert [shape.scale for shape in shapes] == [1.0, SCALE, 0.5, 1.0]
    assert [shape.gain for shape in shapes] == [2.0, 0.0, 1.5, 0.0]
    assert [shape.rate_boost for shape in shapes] == [0, 3, -2, 0]
    assert shapes[0].standardised_std == 2.0 / math.sqrt(18)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (
            [{**CONV, "name": "a", "spike_scale": 2.0}, CONV, {"kind": "add", "layer": "a"}, READOUT],
            ("network.layers.2 (add)", "events of scale 2", "of scale 1"),
        ),
        (
            [{**CONV, "channels": 2, "spike_scale": 2.0}, {"kind": "add", "layer": "input"}, READOUT],
            ("network.layers.1 (add)", "events of scale 1", "of scale 2", "that of the input is 1"),
        ),
        (
            [{"kind": "dense", "neurons": 4, "recurrent": True, "spike_scale": 2.0}, READOUT],
            ("network.layers.0 (dense)", "spike_scale = 2", "recurrent = true", "allowed is 1"),
        ),
        (
            [{**CONV, "channels": 1}, {"kind": "conv2d", "channels": 3, "kernel": 1, "standardise": True}, READOUT],
            ("network.layers.1 (conv2d)", "variance of 1 weights", "allowed is from 2"),
        ),
    ],
)
def test_layers_that_cannot_be_are_refused_by_their_number(layers: list[dict[str, Any]], words: Any) -> None:
    with pytest.raises(UserError) as raised:
        shapes_of(layers)
    assert all(word in str(raised.value) for word in words), raised.value


def test_layers_of_one_scale_may_be_added_and_recur() -> None:
    dense = {"kind": "dense", "neurons": 4, "spike_scale": 2.0}
    shapes = shapes_of(
        [{**dense, "name": "a"}, dense, {"kind": "add", "layer": "a"}, {**dense, "recurrent": True}, READOUT]
    )
    assert [shape.scale for shape in shapes] == [1.0, 2.0, 2.0, 2.0]


def test_initial_weights_are_the_formula_of_their_normals() -> None:
    weights, rng = prepared(LAYERS).weights, np.random.default_rng([3, WEIGHT_STREAM])
    for shape, layer in zip(shapes_of(LAYERS), weights, strict=True):
        normals = rng.standard_normal((shape.n_weight_rows, shape.columns))
        assert np.all(layer[shape.n_weight_rows :] == 0)
        if not shape.gain:
            continue
        for column, found in zip(normals.T, layer[: shape.n_weight_rows].T, strict=True):
            k = len(column)
            variance = sum((w - sum(column) / k) ** 2 for w in column) / (k - 1)
            expected = [shape.gain * (w - sum(column) / k) / math.sqrt(k * variance + 1e-4) for w in column]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
            assert abs(found.mean()) < 1e-15
            assert k * found.var(ddof=1) / shape.gain**2 == pytest.approx(1 - 1e-4 / (k * variance + 1e-4), rel=1e-12)


def test_weights_that_are_not_standardised_are_multiplied_by_the_scale() -> None:
    dense = {"kind": "dense", "neurons": 6}
    plain, scaled = prepared([dense, READOUT]), prepared([{**dense, "spike_scale": SCALE}, READOUT])
    assert scaled.weight_std == plain.weight_std
    np.testing.assert_array_equal(scaled.weights[0], plain.weights[0])
    np.testing.assert_array_equal(scaled.weights[1], SCALE * plain.weights[1])
    assert scaled.fracs.weight[1] in (plain.fracs.weight[1] - 1, plain.fracs.weight[1] - 2)


def test_a_resolved_experiment_gives_the_same_weights_and_results_again(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    changes: dict[str, Any] = {"network__layers": LAYERS, "learning__standardise_every": 2, "learning__epochs": 1}
    report = tiny.run_tiny(tmp_path, tmp_path / "run", ["ottt-o"], verb="learn", **changes)
    resolved = load_experiment(tmp_path / "run" / "experiment.toml")
    again = prepare(resolved, shapes_of(LAYERS), data())
    assert (again.weight_std[0], again.weight_std[2]) == (2.0 / math.sqrt(18), 1.5 / math.sqrt(6))
    for index in (0, 2):  # of the seed alone
        np.testing.assert_array_equal(again.weights[index], prepared(LAYERS).weights[index])
    second = tiny.story.learn(resolved, base_dir=tmp_path, out=tmp_path / "again")
    for precision in ("fixed", "float"):
        one, other = (run.result("ottt-o", precision)["accuracy"] for run in (report, second))
        assert one == other


def test_another_spread_of_a_standardised_layer_is_refused() -> None:
    std = list(prepared(LAYERS).weight_std)
    std[2] *= 1.001
    with pytest.raises(UserError, match=r"network.weight_std.2 = .* standardise = true gives .* 0.612372"):
        prepared(LAYERS, network__weight_std=std)


FRACS = Fracs(weight=(6, 6, 5, 5), membrane=(12, 12, 12), trace=(6, 5, 4, 4), error=(7, 6, 5, 5), readout=10)


def specs(rule: str, **changes: Any) -> tuple[Any, Any]:
    experiment = experiment_of(LAYERS, **changes)
    shapes, found = layer_shapes(experiment, 50, 3, (2, 5, 5)), find_rule(rule)
    return core_spec(experiment, found, shapes, FRACS, Lanes(16, 8)), float_spec(experiment, found, shapes, FRACS)


def test_constants_are_those_of_semantics_3_8() -> None:
    fixed, real = specs("ottt-o", learning__standardise_every=4)
    for layer, gain, n_rows, shift in ((0, 2.0, 18, 16 + 5), (2, 1.5, 6, 16 + 3)):
        spec = fixed.layers[layer]
        assert spec.standardise_shift == shift
        # C - 1/2 <= x < C + 1/2, squared, in exact arithmetic.
        square = (Fraction(gain) * 2 ** (spec.frac_weight + shift)) ** 2 * Fraction(n_rows - 1, n_rows**2)
        constant = spec.standardise_constant
        assert (Fraction(2 * constant - 1, 2)) ** 2 <= square < (Fraction(2 * constant + 1, 2)) ** 2
        assert real.layers[layer].gain == gain
    assert [fixed.layers[layer].standardise_constant for layer in (1, 3)] == [0, 0]
    assert [real.layers[layer].gain for layer in (1, 3)] == [0.0, 0.0]
    assert (fixed.standardise_every, real.standardise_every) == (4, 4)


def test_the_rate_of_a_folded_layer_has_other_shifts() -> None:
    fixed, real = specs("ottt-a")
    assert [layer.rate_boost for layer in fixed.layers] == [0, 3, -2, 0]
    assert [layer.rate_scale for layer in real.layers] == [1.0, 8.0, 0.25, 1.0]
    plain = replace(fixed, layers=tuple(replace(layer, rate_boost=0) for layer in fixed.layers))
    assert [plain.apply_shift(i) - fixed.apply_shift(i) for i in range(4)] == [0, 3, -2, 0]


def test_a_rule_that_learns_nothing_standardises_nothing() -> None:
    fixed, real = specs("infer", learning__standardise_every=4)
    assert (fixed.standardise_every, real.standardise_every) == (0, 0)


@pytest.mark.parametrize("rule", ["ottt-local", "trace/feedback/sample"])
def test_heads_and_feedback_layers_are_not_folded(rule: str) -> None:
    experiment = experiment_of([SWS_CONV, SWS_CONV, READOUT])
    layers = rule_layers(experiment, find_rule(rule), layer_shapes(experiment, 50, 3, (2, 5, 5)))
    attached = [layer for layer in layers if layer.attached is not None]
    assert attached
    assert all((layer.scale, layer.gain, layer.rate_boost) == (1.0, 0.0, 0) for layer in attached)
    assert layers[-1].scale == SCALE


def test_a_stream_waits_for_the_batch_and_the_standardisation() -> None:
    experiment = experiment_of(LAYERS, learning__standardise_every=6, learning__batch=4)
    assert learned_together(experiment, find_rule("ottt-a")) == 12
    assert learned_together(experiment, find_rule("ottt-o")) == 6
    assert learned_together(experiment_of(LAYERS), find_rule("ottt-o")) == 1


def test_formats_of_a_network_that_never_ran_hold_its_spreads() -> None:
    experiment = experiment_of(LAYERS)
    fracs = assumed_fracs(experiment, shapes_of(LAYERS), [0.1] * 4, [np.ones(3)] * 4)
    highest = QFormat(experiment.precision.weight.bits, 0, True).highest
    headroom = 2.0**experiment.precision.weight.free_bits
    for index, gain, n_rows in ((0, 2.0, 18), (2, 1.5, 6)):
        assert fracs.weight[index] == frac_for(NORMAL_PERCENTILE * gain / math.sqrt(n_rows) * headroom, highest)
    unscaled = [{**layer, "spike_scale": 1.0} if "spike_scale" in layer else layer for layer in LAYERS]
    plain = assumed_fracs(experiment, shapes_of(unscaled), [0.1] * 4, [np.ones(3)] * 4)
    assert plain.weight[1] - fracs.weight[1] in (1, 2)
