"""Does the specification refuse every format and shift that semantics section 1 does not allow?"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from neurochip.errors import UserError
from neurochip.spec import CoreSpec, LayerSpec

HIDDEN = LayerSpec(
    kind="dense", n_in=6, n_out=4, bias=True, leak_kind="shift", leak_value=1, threshold_q=256, reset="subtract",
    keeps_trace=True, trace_leak_kind="shift", trace_leak_value=1, frac_weight=7, frac_potential=8, frac_trace=6,
    frac_error=7, frac_gradient=13,
)  # fmt: skip
READOUT = LayerSpec(
    kind="readout", n_in=4, n_out=3, bias=True, leak_kind="none", leak_value=0, threshold_q=0, reset="subtract",
    keeps_trace=False, trace_leak_kind="none", trace_leak_value=0, frac_weight=6, frac_potential=9, frac_trace=6,
    frac_error=5, frac_gradient=5,
)  # fmt: skip


def make_spec(hidden: dict[str, Any] | None = None, readout: dict[str, Any] | None = None, **changes: Any) -> CoreSpec:
    layers = dataclasses.replace(HIDDEN, **hidden or {}), dataclasses.replace(READOUT, **readout or {})
    fields: dict[str, Any] = dict(
        layers=layers, n_steps=5, event_bits=1, weight_bits=8, weight_rounding="nearest", membrane_bits=16,
        trace_bits=8, trace_gate=0, error_bits=8, error_rounding="nearest", delta_bits=12, surrogate_bits=4,
        surrogate="sigmoid", gradient_bits=24, readout_bits=24, credit="trace", update="immediate", batch=1,
        rate_multiplier=9, rate_shift=10, mse_share_q=0, deliver="synapse", reset_path="detached", rng_lanes=4,
        seed=1, synapse_lanes=4, trace_lanes=4,
    )  # fmt: skip
    return CoreSpec(**(fields | changes))


def test_alignment_shifts_are_those_of_the_table() -> None:
    spec = make_spec()
    assert [layer.deliver_shift for layer in spec.layers] == [8 - 7, 9 - 6]
    assert spec.error_shift(0) == 6 + 5 - 7
    assert [layer.frac_presynaptic for layer in spec.layers] == [6, 0]
    assert [spec.update_shift(0), spec.update_shift(1)] == [6 + 7 + 10 - 7, 0 + 5 + 10 - 6]
    assert [spec.gradient_shift(0), spec.gradient_shift(1)] == [6 + 7 - 13, 0 + 5 - 5]
    assert [spec.apply_shift(0), spec.apply_shift(1)] == [13 + 10 - 7, 5 + 10 - 6]
    spec.check()


ACCUMULATE = {"update": "accumulate"}
NO_LEARNING = {"credit": "none", "update": "none"}
ILLEGAL = {
    "weight frac": ("precision.weight.frac of layer 0 is -1", {"hidden": {"frac_weight": -1}}),
    "membrane below 4": (
        "precision.membrane.frac of layer 0 is 3; allowed is 4 to 24",
        {"hidden": {"frac_potential": 3, "frac_weight": 3}},
    ),
    "readout frac": ("precision.readout.frac of layer 1 is 25", {"readout": {"frac_potential": 25}}),
    "trace frac": ("precision.trace.frac of layer 0 is 25", {"hidden": {"frac_trace": 25}}),
    "error frac": (
        "precision.error.frac of layer 1 is -1", {"readout": {"frac_error": -1}, "hidden": {"frac_error": 5}}
    ),
    "sh of a hidden layer": ("minus precision.weight.frac of layer 0 is -1", {"hidden": {"frac_weight": 9}}),
    "sh of the readout": (
        "precision.readout.frac minus precision.weight.frac of layer 1 is -1", {"readout": {"frac_weight": 10}}
    ),
    "delivered word": (
        "alignment shift of layer 0 is 27", {"hidden": {"frac_potential": 19, "frac_weight": 0}, "event_bits": 2}
    ),
    "threshold of 0": ("threshold in units of 2^-membrane.frac of layer 0 is 0", {"hidden": {"threshold_q": 0}}),
    "threshold above": ("of layer 0 is 32768; allowed is 1 to 32767", {"hidden": {"threshold_q": 32768}}),
    "sd": ("weight x error to error of layer 0 is -1", {"hidden": {"frac_error": 12}}),
    "S negative": ("shift of the weight update of layer 0 is -1", {"rate_shift": -7}),
    "S above 30": ("shift of the weight update of layer 0 is 31", {"rate_shift": 25}),
    "sG": ("shift into the gradient of layer 0 is -1", {**ACCUMULATE, "hidden": {"frac_gradient": 14}}),
    "S_G": ("shift of the weight update of layer 1 is -1", {**ACCUMULATE, "rate_shift": 0}),
    "gradient frac": (
        "precision.gradient.frac of layer 0 is 25", {**ACCUMULATE, "hidden": {"frac_gradient": 25, "frac_trace": 18}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ILLEGAL)
def test_an_illegal_number_is_refused_with_its_key_layer_and_value(name: str) -> None:
    message, changes = ILLEGAL[name]
    with pytest.raises(UserError, match=re.escape(message)):
        make_spec(**changes).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": {"frac_potential": 4, "frac_weight": 4, "threshold_q": 1}},
        {"hidden": {"threshold_q": 32767}},
        {"hidden": {"frac_potential": 19, "frac_weight": 0}},
        {"hidden": {"frac_error": 11}},
        {"rate_shift": -1, "hidden": {"frac_weight": 8}, "readout": {"frac_weight": 4}},
        {"rate_shift": 24},
    ],
)
def test_the_ends_of_the_ranges_are_allowed(changes: dict[str, Any]) -> None:
    make_spec(**changes).check()


@pytest.mark.parametrize(
    "changes",
    [
        {**NO_LEARNING, "rate_shift": 99},
        {**NO_LEARNING, "hidden": {"frac_error": 24}},
        {"hidden": {"frac_gradient": 40}},  # immediate rules have no gradient
    ],
)
def test_a_number_the_rule_does_not_use_is_not_checked(changes: dict[str, Any]) -> None:
    make_spec(**changes).check()
