"""Does a resolved specification hold the numbers of the experiment, the rule and the calibration?"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import tiny_experiment as tiny
from hypothesis import given
from hypothesis import strategies as st

from neurochip.errors import UserError
from neurochip.fixed_point import encode_learning_rate, quantise_scalar
from neurochip.network.resolve import (
    DEFAULT_LEARNING_RATE,
    Lanes,
    batch_of,
    core_spec,
    float_spec,
    learning_rate_of,
    rate_code,
)
from neurochip.network.shape import Fracs, layer_shapes, leak_factor
from neurochip.rules.presets import RULES, Rule, find_rule
from neurochip.spec import CoreSpec

FRACS = Fracs(weight=(7, 6, 5), membrane=(9, 8), trace=(6, 5, 4), error=(7, 6, 5), readout=8)
EVERY_RULE = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def integers(rule: Rule, fracs: Fracs = FRACS, **changes: Any) -> CoreSpec:
    experiment = tiny.tiny_experiment(**changes)
    return core_spec(experiment, rule, layer_shapes(experiment, 50, 3), fracs, Lanes(16, 8))


def reals(rule: Rule, **changes: Any) -> Any:
    experiment = tiny.tiny_experiment(**changes)
    return float_spec(experiment, rule, layer_shapes(experiment, 50, 3), FRACS)


def test_the_rate_of_a_rule_is_its_own_then_the_common_one_then_the_default() -> None:
    rule = find_rule("bptt")
    tables = tiny.tiny_tables()
    del tables["learning"]["learning_rate"]
    assert learning_rate_of(tiny.parse_experiment(tables, ""), rule) == DEFAULT_LEARNING_RATE
    assert learning_rate_of(tiny.tiny_experiment(learning__learning_rate=0.5), rule) == 0.5
    both = tiny.tiny_experiment(learning__learning_rate=0.5, learning__rates={"bptt": 2.0})
    assert learning_rate_of(both, rule) == 2.0
    assert learning_rate_of(both, find_rule("ottt-a")) == 0.5


@EVERY_RULE
def test_only_rules_that_accumulate_have_a_batch(rule: Rule) -> None:
    expected = 6 if rule.name in ("sltt", "ottt-a", "bptt", "e-prop") else 1
    assert batch_of(tiny.tiny_experiment(learning__batch=6), rule) == expected


@given(rate=st.floats(2.0**-6, 4.0), steps=st.integers(1, 200), batch=st.integers(1, 32), bits=st.integers(1, 8))
def test_the_rate_is_spread_over_steps_and_batch(rate: float, steps: int, batch: int, bits: int) -> None:
    experiment = tiny.tiny_experiment(
        learning__learning_rate=rate, task__steps=steps, learning__batch=batch, learning__rate_bits=bits
    )
    assert rate_code(experiment, find_rule("bptt")) == encode_learning_rate(rate / (steps * batch), bits)
    assert rate_code(experiment, find_rule("ottt-o")) == encode_learning_rate(rate / steps, bits)


@EVERY_RULE
def test_the_float_twin_uses_the_realised_rate_and_the_shape_of_the_integers(rule: Rule) -> None:
    fixed, real = integers(rule, learning__batch=3), reals(rule, learning__batch=3)
    realised = fixed.rate_multiplier * 2.0**-fixed.rate_shift
    assert real.rate == (realised if rule.update != "none" else 0.0)
    assert (real.credit, real.update, real.batch, real.n_steps) == (fixed.credit, fixed.update, fixed.batch, 4)
    for one, other in zip(fixed.layers, real.layers, strict=True):
        assert (one.kind, one.n_in, one.n_out, one.bias, one.keeps_trace, one.reset) == (
            other.kind, other.n_in, other.n_out, other.bias, other.keeps_trace, other.reset,
        )  # fmt: skip
        assert other.leak == leak_factor((one.leak_kind, one.leak_value))
        assert other.trace_leak == leak_factor((one.trace_leak_kind, one.trace_leak_value))


def test_the_trace_gate_of_the_float_twin_is_that_of_the_integers_in_real_units() -> None:
    rule = find_rule("ottt-o")
    assert integers(rule, precision__trace__gate=5).trace_gate == 5
    assert [layer.trace_gate for layer in reals(rule, precision__trace__gate=5).layers] == [5 / 64, 5 / 32, 5 / 16]
    assert [layer.trace_gate for layer in reals(rule).layers] == [0.0, 0.0, 0.0]


def test_formats_come_from_the_experiment_and_the_calibration() -> None:
    rule = find_rule("ottt-o")
    widths = {"weight": 6, "membrane": 14, "trace": 7, "error": 5, "surrogate": 3, "gradient": 20, "readout": 22}
    spec = integers(rule, **{f"precision__{name}__bits": bits for name, bits in widths.items()})
    for name, bits in widths.items():
        assert getattr(spec, f"{name}_bits") == bits
    assert spec.delta_bits == 9
    assert [layer.frac_weight for layer in spec.layers] == [7, 6, 5]
    assert [layer.frac_potential for layer in spec.layers] == [9, 8, 8]
    assert [layer.frac_trace for layer in spec.layers] == [6, 5, 4]
    assert [layer.frac_error for layer in spec.layers] == [7, 6, 5]
    assert (spec.synapse_lanes, spec.trace_lanes, spec.seed) == (16, 8, 3)


def test_the_threshold_is_quantised_in_the_units_of_its_layer() -> None:
    layers = [{"kind": "dense", "neurons": 4, "threshold": 0.7}, {"kind": "dense", "neurons": 5}, {"kind": "readout"}]
    spec = integers(find_rule("bptt"), network__layers=layers)
    assert [layer.threshold_q for layer in spec.layers] == [quantise_scalar(0.7, 9), 256, 0]


@pytest.mark.parametrize(
    ("rule", "expected"), [("ottt-a", [6 + 7, 5 + 6, 5]), ("sltt", [7, 6, 5]), ("bptt", [7, 6, 5])]
)
def test_gradients_hold_the_products_exactly_unless_told_otherwise(rule: str, expected: list[int]) -> None:
    assert [layer.frac_gradient for layer in integers(find_rule(rule)).layers] == expected
    told = integers(find_rule(rule), precision__gradient__frac=[4, 3, 2])
    assert [layer.frac_gradient for layer in told.layers] == [4, 3, 2]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, [True, True, False]), ({"learning__first_layer": "input"}, [False, True, False]),
     ({"learning__readout_trace": True}, [True, True, True])],
)  # fmt: skip
def test_only_trace_rules_keep_traces_and_only_where_asked(changes: dict[str, Any], expected: list[bool]) -> None:
    for rule in RULES:
        first, second, *attached, readout = (layer.keeps_trace for layer in integers(rule, **changes).layers)
        kept = expected if rule.temporal == "trace" else [False] * 3
        assert [first, second, readout] == kept, rule.name
        assert attached == ([kept[2]] if rule.spatial == "local" else [False] * len(attached)), rule.name


def test_a_trace_of_the_readout_leaks_as_the_last_hidden_layer() -> None:
    readout = integers(find_rule("ottt-o"), learning__readout_trace=True).layers[-1]
    assert (readout.leak_kind, readout.trace_leak_kind, readout.trace_leak_value) == ("none", "constant", 40000)


@EVERY_RULE
def test_an_exact_reset_path_needs_a_soft_reset_only_where_there_is_such_a_path(rule: Rule) -> None:
    layers = [{"kind": "dense", "neurons": 4, "reset": "zero"}, {"kind": "dense", "neurons": 5}, {"kind": "readout"}]
    changes = {"network__layers": layers, "learning__reset_path": "exact"}
    if rule.temporal == "unroll":
        with pytest.raises(UserError, match=r"learning.reset_path = 'exact' needs reset = 'subtract'"):
            integers(rule, **changes)
    else:
        assert integers(rule, **changes).layers[0].reset == "zero"


def test_an_illegal_combination_is_refused() -> None:
    with pytest.raises(UserError, match="shift of the weight update"):
        integers(find_rule("bptt"), learning__learning_rate=1e6)
    with pytest.raises(UserError, match=r"minus precision\.weight\.frac of layer 1 is -1"):
        integers(find_rule("bptt"), dataclasses.replace(FRACS, weight=(7, 9, 5)))


@pytest.mark.parametrize(("share", "code"), [(0.0, 0), (1.0, 256), (0.05, 13), (0.5, 128), (1 / 512, 1)])
def test_the_share_of_squared_error_is_rounded_to_a_256th(share: float, code: int) -> None:
    assert integers(find_rule("ottt-o"), learning__mse_share=share).mse_share_q == code


def test_a_network_without_hidden_layers_resolves() -> None:
    fracs = Fracs((5,), (), (5,), (6,), 8)
    spec = integers(find_rule("ottt-o"), fracs, network__layers=[{"kind": "readout"}], learning__readout_trace=True)
    assert [(layer.n_in, layer.n_out, layer.keeps_trace) for layer in spec.layers] == [(50, 3, False)]
