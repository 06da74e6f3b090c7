"""Does a rule add the heads, feedback layers, cuts and filters of docs/semantics.md, section 4, and no others?"""

from __future__ import annotations

from typing import Any

import pytest

from neurochip.config import Experiment, parse_experiment
from neurochip.errors import UserError
from neurochip.network.formats import Fracs
from neurochip.network.resolve import Lanes, core_spec, float_spec
from neurochip.network.rule_layers import concrete, rule_layers
from neurochip.network.shape import LayerShape, layer_shapes
from neurochip.rules.presets import RULES, Rule, find_rule
from neurochip.spec import CoreSpec
from neurochip.topology import Connection

CONV = {"kind": "conv2d", "channels": 4, "kernel": 3, "padding": 1}
DENSE = [{"kind": "dense", "neurons": n, "leak_shift": n} for n in (5, 6, 7, 8)]


def experiment_of(*layers: dict[str, Any], readout: dict[str, Any] | None = None, **learning: Any) -> Experiment:
    network = {"layers": [*layers, {"kind": "readout", **(readout or {})}]}
    return parse_experiment({"network": network, "learning": learning, "task": {"steps": 6}}, "the test")


def layers_of(rule: str, experiment: Experiment, size: tuple[int, int, int] = (2, 8, 4)) -> list[LayerShape]:
    shapes = layer_shapes(experiment, size[0] * size[1] * size[2], 3, size)
    return list(rule_layers(experiment, find_rule(rule), shapes))


def spec_of(rule: Rule, experiment: Experiment) -> CoreSpec:
    shapes = layer_shapes(experiment, 64, 3, (2, 8, 4))
    n = len(shapes)
    fracs = Fracs((6,) * n, (12,) * (n - 1), (7,) * n, (7,) * n, 6)
    return core_spec(experiment, rule, shapes, fracs, Lanes(16, 16))


def carrying(layers: list[LayerShape]) -> set[tuple[int, int]]:
    """(source, layer) of the connections between layers that carry error."""
    return {
        (c.source, index)
        for index, layer in enumerate(layers)
        for c in layer.connections(index)
        if c.carries_error and c.source >= 0 and c.delay == 0
    }


def test_backprop_leaves_the_network_as_it_is() -> None:
    experiment = experiment_of(*DENSE)
    shapes = list(layer_shapes(experiment, 64, 3, (2, 8, 4)))
    for rule in ("infer", "ottt-o", "sltt", "bptt", "tbptt", "trace/local(4)/sample", "trace/local(9)/sample"):
        assert layers_of(rule, experiment) == shapes, rule
    assert carrying(shapes) == {(0, 1), (1, 2), (2, 3), (3, 4)}


@pytest.mark.parametrize(
    ("block", "heads", "carry"),
    [
        (1, [0, 1, 2], {(3, 7)}),
        (2, [1], {(0, 1), (2, 3), (3, 5)}),
        (3, [2], {(0, 1), (1, 2), (3, 5)}),
    ],
)
def test_local_ends_every_block_but_the_last_in_a_head_and_cuts_between(
    block: int, heads: list[int], carry: set[tuple[int, int]]
) -> None:
    layers = layers_of(f"spike/local({block})/sample", experiment_of(*DENSE))
    assert [layer.kind for layer in layers] == ["dense"] * 4 + ["readout"] * (len(heads) + 1)
    own = {(source, 4 + place) for place, source in enumerate(heads)}
    assert carrying(layers) == carry | own
    for head, source in zip(layers[4:-1], heads, strict=True):
        assert head.inputs == (Connection(source, layers[source].n_out),)
        assert (head.attached, head.bias, head.learns, head.n_out, head.leak[0]) == (source, True, True, 3, "none")
    assert layers[-1].inputs == (Connection(3, 8),)
    assert layers[-1].attached is None


def test_a_residual_connection_into_another_block_carries_no_error() -> None:
    name = {**DENSE[0], "neurons": 5, "name": "a"}
    middle = {**DENSE[0], "neurons": 5}
    experiment = experiment_of(name, middle, {"kind": "add", "layer": "a"}, DENSE[2], DENSE[3])
    assert carrying(layers_of("bptt", experiment)) == {(0, 1), (0, 2), (1, 2), (2, 3), (3, 4)}
    assert carrying(layers_of("trace/local(2)/sample", experiment)) == {(0, 1), (2, 3), (1, 4), (3, 5)}
    assert carrying(layers_of("trace/local(3)/sample", experiment)) == {(0, 1), (0, 2), (1, 2), (2, 4), (3, 5)}


def test_random_feedback_reaches_every_hidden_layer_and_nothing_else_carries_error() -> None:
    layers = layers_of("trace/feedback/sample", experiment_of(*DENSE))
    assert [layer.kind for layer in layers] == ["dense"] * 4 + ["feedback"] * 4 + ["readout"]
    assert carrying(layers) == {(index, 4 + index) for index in range(4)}
    for index, layer in enumerate(layers[4:-1]):
        assert (layer.n_in, layer.n_out, layer.signal_of) == (DENSE[index]["neurons"], 3, 8)
        assert (layer.learns, layer.bias, layer.attached) == (False, False, index)


def test_symmetric_feedback_spares_the_layers_that_feed_the_readout() -> None:
    experiment = experiment_of(*DENSE, feedback="symmetric")
    layers = layers_of("trace/feedback/sample", experiment)
    assert carrying(layers) == {(0, 4), (1, 5), (2, 6), (3, 7)}
    assert [layer.kind for layer in layers[4:]] == ["feedback"] * 3 + ["readout"]
    assert {layer.signal_of for layer in layers[4:-1]} == {7}
    assert layers_of("e-prop", experiment_of(*DENSE)) == layers  # its preset is symmetric; no leak, no filter


def test_a_recurrent_connection_stays_under_every_credit() -> None:
    experiment = experiment_of(*({**layer, "recurrent": True} for layer in DENSE))
    for rule in ("ottt-local", "trace/feedback/sample", "bptt-o"):
        for index, layer in enumerate(layers_of(rule, experiment)[:4]):
            assert layer.connections(index)[-1].delay == 1, rule


@pytest.mark.parametrize(
    ("pool", "kernel", "n_in", "frac_event"),
    [
        ("none", None, 128, 0),
        ("sum", None, 4, 0),
        ("average", None, 4, 5),
        ("average", 2, 32, 2),
        ("sum", [16, 3], 4, 0),
    ],
)
def test_a_head_pools_the_map_of_its_layer(pool: str, kernel: Any, n_in: int, frac_event: int) -> None:
    given = {} if kernel is None else {"head_pool_kernel": kernel}
    head = layers_of("ottt-local", experiment_of(CONV, DENSE[0], head_pool=pool, **given))[2]
    assert (head.n_in, head.frac_event, head.attached) == (n_in, frac_event, 0)


def test_an_average_head_over_no_power_of_two_is_refused() -> None:
    experiment = experiment_of(CONV, DENSE[0], head_pool="average", head_pool_kernel=3)
    with pytest.raises(UserError, match=r"learning\.head_pool at hidden layer 0.*3 x 3 is no shift"):
        layers_of("ottt-local", experiment)


def test_frozen_heads_do_not_learn_and_the_readout_does() -> None:
    for rule, learning in (("decolle", {}), ("ottt-local", {"train_heads": False})):
        layers = layers_of(rule, experiment_of(*DENSE, **learning))
        assert [layer.learns for layer in layers] == [True] * 4 + [False] * 3 + [True]


@pytest.mark.parametrize(
    ("rule", "learning", "readout", "expected"),
    [
        ("e-prop", {}, {"leak_shift": 3}, ("shift", 3)),
        ("e-prop", {}, {"leak_constant": 9}, ("constant", 9)),
        ("e-prop", {}, {}, ("none", 0)),
        ("e-prop", {"trace_filter": 5}, {"leak_shift": 3}, ("shift", 5)),
        ("decolle", {}, {}, ("shift", 1)),
        ("decolle", {"trace_filter": "readout"}, {"leak_shift": 2}, ("shift", 2)),
        ("ottt-o", {}, {"leak_shift": 3}, ("none", 0)),
        ("ottt-o", {"trace_filter": 4}, {}, ("shift", 4)),
        ("bptt", {"trace_filter": 4}, {}, ("none", 0)),
    ],
)
def test_traces_of_hidden_layers_are_filtered_as_rule_and_experiment_say(
    rule: str, learning: dict[str, Any], readout: dict[str, Any], expected: tuple[str, int]
) -> None:
    experiment = experiment_of(*DENSE, readout=readout, **learning)
    for layer in layers_of(rule, experiment):
        assert layer.filter_leak == (expected if layer.is_hidden else ("none", 0))
    spec = spec_of(find_rule(rule), experiment)
    assert {(one.filter_leak_kind, one.filter_leak_value) for one in spec.layers if one.is_hidden} == {expected}


CURRENT = {"leak_shift": 3, "current_leak_shift": 2}


@pytest.mark.parametrize(
    ("rule", "learning", "hidden", "readout", "message"),
    [
        ("e-prop", {}, {}, CURRENT, "e-prop are filtered as the readout filters .* 'readout'"),
        ("decolle", {"trace_filter": "readout"}, {}, CURRENT, "decolle are filtered as the readout filters"),
        ("e-prop", {}, CURRENT, {"leak_shift": 3}, "those of a layer with a synaptic current have two leaks already"),
        ("decolle", {}, CURRENT, {}, "those of a layer with a synaptic current have two leaks already"),
        ("ottt-o", {"trace_filter": 4}, CURRENT, {}, "those of a layer with a synaptic current have two leaks already"),
        ("e-prop", {}, CURRENT, {}, None),
        ("e-prop", {"trace_filter": 4}, {}, CURRENT, None),
        ("decolle", {}, {}, CURRENT, None),
        ("ottt-o", {}, CURRENT, CURRENT, None),
        ("bptt", {"trace_filter": 4}, CURRENT, CURRENT, None),
    ],
)
def test_a_filter_of_traces_beside_a_synaptic_current_is_refused(
    rule: str, learning: dict[str, Any], hidden: dict[str, Any], readout: dict[str, Any], message: str | None
) -> None:
    layers = [{"kind": "dense", "neurons": 5, **hidden}, {"kind": "dense", "neurons": 6, **hidden}]
    experiment = experiment_of(*layers, readout=readout, **learning)
    if message is not None:
        with pytest.raises(UserError, match=message):
            layers_of(rule, experiment)
        return
    spec_of(find_rule(rule), experiment)
    layers_of(rule, experiment)


@pytest.mark.parametrize("hidden", [{}, CURRENT])
def test_a_layer_that_learns_from_events_has_no_trace_to_filter(hidden: dict[str, Any]) -> None:
    experiment = experiment_of({"kind": "dense", "neurons": 5, **hidden}, readout=CURRENT, first_layer="input")
    first, *_, readout = layers_of("e-prop", experiment)
    assert (first.keeps_trace, readout.has_current) == (False, True)
    assert first == layers_of("ottt-o", experiment)[0]  # no filter but the own one of a current
    spec_of(find_rule("e-prop"), experiment)


def test_parameters_of_presets_come_from_the_experiment() -> None:
    experiment = experiment_of(*DENSE, unroll=3, block=2)
    rule = concrete(experiment, find_rule("ttl-bptt"))
    assert (rule.unroll, rule.block, rule.every) == (3, 2, 3)
    assert concrete(experiment_of(window=6, unroll=3), find_rule("tbptt")).every == 6
    assert concrete(experiment, rule) == rule
    for name in ("unroll(4)/local(1)/window(5)", "bptt", "ottt-local"):
        own = find_rule(name)
        told = concrete(experiment, own)
        assert (told.unroll, told.block, told.every) == (own.unroll, own.block, own.every)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_both_specifications_of_a_rule_are_legal_and_the_same(rule: Rule) -> None:
    experiment = experiment_of(
        {**CONV, "name": "a"}, CONV, {"kind": "add", "layer": "a"}, {"kind": "avgpool", "kernel": 2}, CONV,
        {**DENSE[0], "recurrent": True}, readout={"leak_shift": 2}, unroll=2, loss_start=2, momentum_shift=3,
        learning_rate=0.5,
    )  # fmt: skip
    fixed = spec_of(rule, experiment)
    shapes = layer_shapes(experiment, 64, 3, (2, 8, 4))
    fracs = Fracs((6,) * 5, (12,) * 4, (7,) * 5, (7,) * 5, 6)
    real = float_spec(experiment, rule, shapes, fracs)
    for key in ("credit", "update", "batch", "unroll_steps", "apply_when", "apply_every", "loss_start", "update_every"):
        assert getattr(fixed, key) == getattr(real, key), key
    assert real.momentum == (0.875 if rule.accumulates else 0.0)
    assert fixed.momentum_shift == (3 if rule.accumulates else 0)
    for index, (one, other) in enumerate(zip(fixed.layers, real.layers, strict=True)):
        for key in ("kind", "n_in", "n_out", "bias", "inputs", "conv", "learns", "signal_of", "keeps_trace"):
            assert getattr(one, key) == getattr(other, key), key
        assert fixed.connections(index) == real.connections(index)
        assert other.event_scale == 2.0**-one.frac_event
        assert (other.trace_filter is None) == (one.filter_leak_kind == "none")
    assert [layer.frac_event for layer in fixed.layers[:4]] == [0, 0, 2, 0]


def test_a_window_shorter_than_its_unroll_is_refused() -> None:
    with pytest.raises(UserError, match=r"learning\.window = 2 is below learning\.unroll = 3"):
        spec_of(find_rule("tbptt"), experiment_of(*DENSE, unroll=3, window=2))


def test_every_halving_makes_the_shift_of_the_rate_one_longer() -> None:
    experiment = experiment_of(*DENSE)
    shapes = layer_shapes(experiment, 64, 3)
    fracs = Fracs((6,) * 5, (12,) * 4, (7,) * 5, (7,) * 5, 6)
    rule = find_rule("ottt-o")
    specs = [core_spec(experiment, rule, shapes, fracs, Lanes(16, 16), halvings) for halvings in range(3)]
    assert [spec.rate_shift - specs[0].rate_shift for spec in specs] == [0, 1, 2]
    reals = [float_spec(experiment, rule, shapes, fracs, halvings).rate for halvings in range(3)]
    assert reals == [reals[0], reals[0] / 2, reals[0] / 4]
