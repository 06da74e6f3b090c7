"""Does a bias row with a trace learn as an address with an event in every step would (semantics 3.3)?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from golden_builders import HIDDEN, READOUT, conv_layer, make_spec, run

from neurochip.errors import UserError
from neurochip.reference.core import GoldenCore, GoldenSample
from neurochip.reference.core.arithmetic import round_shift
from neurochip.topology import ConvShape

STEPS = 5
TRACED = replace(HIDDEN, bias=True, keeps_trace=True)  # frac_a = 2, 4 trace bits, leak 1/2: an event adds 4
# b by hand: 4; 4 - 2 + 4 = 6; 6 - 3 + 4 = 7; 7 - 4 + 4 = 7. Behind a filter of the same leak f = 4, 6, 7, 7, 7 and
# a = 4; 4 - 2 + 6 = 8; 8 - 4 + 7 = 11; 11 - 6 + 7 = 12; 12 - 6 + 7 = 13.
BY_HAND = {"none": [4, 6, 7, 7, 7], "shift": [4, 8, 11, 12, 13]}
CHANGES = {"credit": "trace", "update": "accumulate", "batch": 2, "n_steps": STEPS, "bias_trace": True}


def gradient_of_bias(core: GoldenCore) -> int:
    return core.gradients[0][-1][0]


@pytest.mark.parametrize("filter_kind", ["none", "shift"])
def test_the_factor_of_a_bias_row_is_its_trace(filter_kind: str) -> None:
    layer = replace(TRACED, filter_leak_kind=filter_kind, filter_leak_value=1 if filter_kind == "shift" else 0)
    spec = make_spec(layer, READOUT, **CHANGES)
    core = GoldenCore(spec, [[[15], [0]], [[3, -5], [0, 0]]])
    silent = [[(0, 1)]] + [[]] * (STEPS - 1)
    signals = _signals(core, silent)
    shift = spec.gradient_shift(0)
    expected = sum(round_shift(b * g, shift, "nearest") for b, g in zip(BY_HAND[filter_kind], signals, strict=True))
    without = sum(round_shift(4 * g, shift, "nearest") for g in signals)
    assert gradient_of_bias(core) == expected != without


def _signals(core: GoldenCore, steps: list[list[tuple[int, int]]]) -> list[int]:
    result = core.run([GoldenSample(steps, 0)], learn=True, end_of_epoch=False)
    return [step[0] for step in result.probes["signal/0"][0]]


def test_it_is_forgotten_between_samples() -> None:
    spec = make_spec(TRACED, READOUT, **(CHANGES | {"batch": 3}))
    core = GoldenCore(spec, [[[15], [0]], [[3, -5], [0, 0]]])
    silent = [[(0, 1)]] + [[]] * (STEPS - 1)
    _signals(core, silent)
    once = gradient_of_bias(core)
    _signals(core, silent)
    assert gradient_of_bias(core) == 2 * once != 0


def test_an_address_with_an_event_in_every_step_has_the_same_row() -> None:
    """Two neurons of a convolution share a kernel of one weight and a bias; the input fires everywhere, always."""
    shape = ConvShape(height=1, width=2, channels=1, out_channels=1, kernel_height=1, kernel_width=1)
    layer = conv_layer(shape, bias=True, keeps_trace=True)
    spec = make_spec(layer, replace(READOUT, n_in=2), **CHANGES)
    everywhere = [[(0, 1), (1, 1)]] * STEPS
    core, _ = run(spec, [[[9], [0]], [[3, -5], [1, 2], [0, 0]]], everywhere)
    weight, bias = core.weights[0]
    assert [weight[0] - 9, bias[0]] == [bias[0], bias[0]]
    assert bias[0] != 0


def test_without_traces_there_is_none_for_the_bias() -> None:
    with pytest.raises(UserError, match="bias_trace is true with credit"):
        make_spec(HIDDEN, READOUT, credit="spike", bias_trace=True).check()
