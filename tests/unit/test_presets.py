"""Is every legal point of the rule space a rule, written one way, and every illegal one refused with its reason?"""

from __future__ import annotations

import itertools

import pytest

from neurochip.errors import UserError
from neurochip.rules.presets import RULES, find_rule

TEMPORAL = ("trace", "spike", "unroll(1)", "unroll(5)", "unroll(T)")
SPATIAL = ("backprop", "local(1)", "local(3)", "feedback")
UPDATE = ("immediate", "deferred(4)", "window(5)", "window(10)", "sample")
POINTS = ["/".join(point) for point in itertools.product(TEMPORAL, SPATIAL, UPDATE)]


def is_legal(point: str) -> bool:
    return "window" not in point or point.startswith("unroll")


@pytest.mark.parametrize("point", [point for point in POINTS if is_legal(point)])
def test_a_point_is_what_it_says_under_one_name(point: str) -> None:
    rule = find_rule(point)
    assert rule.name == "/".join(rule.axes) == point
    assert find_rule(point.replace("(", " ( ").replace("/", " / ")) == rule
    assert rule.accumulates == (not point.endswith("immediate"))
    assert rule.baseline == ("bptt" if rule.accumulates else "bptt-o")
    assert "/" not in rule.key


@pytest.mark.parametrize("point", [point for point in POINTS if not is_legal(point)])
def test_a_window_without_unroll_is_refused(point: str) -> None:
    with pytest.raises(UserError, match="needs unroll"):
        find_rule(point)


def test_parameters_are_those_written() -> None:
    rule = find_rule("unroll(7)/local(2)/window(9)")
    assert (rule.unroll, rule.block, rule.every) == (7, 2, 9)
    assert find_rule("unroll(T)/backprop/deferred(3)").unroll == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("otto", "not a rule.*ottt-o.*trace/local"),
        ("trace/backprop", "not a rule"),
        ("unroll(5)/backprop/window(4)", r"before a window of unroll\(5\) ends; allowed is window\(5\)"),
        ("trace/local/sample", r"'local' does not stand on the axis spatial.*local\(b\)"),
        ("trace(2)/backprop/sample", r"'trace\(2\)' does not stand on the axis temporal"),
        ("unroll/backprop/sample", r"unroll\(K\)"),
        ("trace/local(T)/sample", "axis spatial"),
        ("trace/backprop/deferred(0)", r"deferred\(D\)"),
        ("backprop/trace/sample", "axis temporal"),
        ("none/none/none", "axis temporal"),
    ],
)
def test_what_is_no_rule_is_refused_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        find_rule(text)


def test_presets_are_points_of_the_space() -> None:
    written = {rule.name: "/".join(rule.axes) for rule in RULES}
    assert written == {
        "infer": "none/none/none",
        "sltt-o": "spike/backprop/immediate",
        "ottt-o": "trace/backprop/immediate",
        "bptt-o": "unroll(T)/backprop/immediate",
        "sltt": "spike/backprop/sample",
        "ottt-a": "trace/backprop/sample",
        "bptt": "unroll(T)/backprop/sample",
        "tbptt": "unroll(K)/backprop/window(W)",
        "ttl-bptt": "unroll(K)/local(b)/window(W)",
        "ottt-local": "trace/local(1)/immediate",
        "e-prop": "trace/feedback/sample",
        "decolle": "trace/local(1)/immediate",
    }
    assert find_rule("infer").baseline is None
