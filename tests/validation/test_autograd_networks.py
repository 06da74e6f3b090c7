"""Are unrolled gradients those of autograd in convolutions, pools, delays, sums, heads, windows, synaptic currents?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurochip.core.float_core import FloatCore
from neurochip.core.float_spec import FloatLayerSpec, FloatSpec
from neurochip.events import EventDataset
from neurochip.topology import Connection, ConvShape

STORED = Path(__file__).parent / "data" / "autograd_networks.json"
CASES: list[dict[str, Any]] = json.loads(STORED.read_text())["cases"]


NAMES = [case["name"] for case in CASES]


def connections_of(case: dict[str, Any], layer: dict[str, Any]) -> tuple[Connection, ...]:
    """Inputs lie one behind the other; the sources of one input share their offset."""
    connections: list[Connection] = []
    offset = 0
    for group in layer["inputs"]:
        for given in group:
            source = given["layer"]
            channels, height, width = case["shape"] if source < 0 else case["layers"][source]["map"]
            _, pool_height, pool_width = given["pool"] or ("", 1, 1)
            connections.append(
                Connection(
                    source,
                    channels,
                    height,
                    width,
                    pool_height,
                    pool_width,
                    delay=given["delay"],
                    offset=offset,
                    carries_error=source >= 0 and not given["cut"],
                    channels_first=source < 0 and case["channels_first"],
                )
            )
        offset += connections[-1].n_addresses
    return tuple(connections)


def layer_of(case: dict[str, Any], layer: dict[str, Any], credit: str) -> FloatLayerSpec:
    inputs = connections_of(case, layer)
    channels, height, width = layer["map"]
    conv = None
    if layer["kind"] == "conv":
        first, (stride_y, stride_x), (pad_y, pad_x) = inputs[0], layer["stride"], layer["padding"]
        seen = first.height // first.pool_height, first.width // first.pool_width, first.channels
        conv = ConvShape(*seen, channels, *layer["kernel"], stride_y, stride_x, pad_y, pad_x, layer["groups"])
        assert (conv.out_height, conv.out_width) == (height, width)
    kind, *window = layer["inputs"][0][0]["pool"] or ("sum",)
    return FloatLayerSpec(
        layer["kind"],
        max(connection.offset + connection.n_addresses for connection in inputs),
        channels * height * width,
        leak=layer["leak"],
        threshold=layer["threshold"],
        reset=case["reset"],
        keeps_trace=credit == "trace" and (layer["kind"] != "readout" or layer["leak"] > 0),
        trace_leak=layer.get("current", layer["leak"]),
        trace_filter=layer["leak"] if "current" in layer else None,
        current_leak=layer.get("current"),
        event_scale=1 / np.prod(window) if kind == "avg" else 1.0,
        inputs=inputs,
        conv=conv,
    )


def network_of(case: dict[str, Any], credit: str = "unroll", **changes: Any) -> FloatSpec:
    """The specification of a stored network; `changes` replace fields of the rule."""
    layers = tuple(layer_of(case, layer, credit) for layer in case["layers"])
    rule = {key: case[key] for key in ("surrogate", "mse_share", "reset_path", "loss_start", "update_every")}
    rule |= {"unroll_steps": case["window"], "credit": credit, "update": "accumulate", **changes}
    return FloatSpec(layers, len(case["events"]), **rule)


def core_of(case: dict[str, Any], credit: str = "unroll", **changes: Any) -> FloatCore:
    return FloatCore(network_of(case, credit, **changes), case["weights"])


def dataset_of(case: dict[str, Any], copies: int = 1) -> EventDataset:
    """The events of a case as a data set of `copies` equal samples."""
    steps = case["events"] * copies
    events = np.array([event for step in steps for event in step])
    offsets = np.cumsum([0, *map(len, steps)])
    labels = np.full(copies, case["label"])
    return EventDataset(offsets, events[:, 0], events[:, 1], labels, int(np.prod(case["shape"])), len(case["events"]))


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_unrolled_gradient_equals_autograd(case: dict[str, Any]) -> None:
    gradients = core_of(case).gradient(dataset_of(case), 0)
    for gradient, expected in zip(gradients, case["gradients"], strict=True):
        assert np.abs(np.array(expected)).max() > 0.1
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_forward_pass_equals_torch(case: dict[str, Any]) -> None:
    run = core_of(case).run(dataset_of(case), [0], learn=False)
    n_losses = sum(core_of(case).spec.has_loss(step) for step in range(1, len(case["events"]) + 1))
    np.testing.assert_allclose(run.readout_sums[0], case["readout_sum"], rtol=1e-11)
    np.testing.assert_allclose(run.losses[0] * n_losses, case["cross_entropy"], rtol=1e-11)
    assert run.spikes_per_layer.tolist() == case["spikes"]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_batch_of_two_applies_twice_the_stored_gradient(case: dict[str, Any]) -> None:
    """Two samples as one batch move the weights by twice the gradient."""
    core = core_of(case, batch=2, rate=0.5)
    core.run(dataset_of(case, 2), [0, 1], learn=True)
    for weights, start, gradient in zip(core.weights, case["weights"], case["gradients"], strict=True):
        np.testing.assert_allclose(weights, np.array(start) - gradient, rtol=1e-9, atol=1e-9)


CHANGES: dict[str, dict[str, Any]] = {
    "recurrent": {"reset_path": "exact"},
    "window": {"unroll_steps": 0},
    "window-exact-maps": {"unroll_steps": 3},
    "window-of-one": {"unroll_steps": 2},
    "loss-steps": {"update_every": 1},
    "window-loss-steps-heads": {"loss_start": 1},
    "current-exact": {"reset_path": "detached"},
    "current-window": {"unroll_steps": 0},
}


@pytest.mark.parametrize("name", list(CHANGES))
def test_another_rule_has_another_gradient(name: str) -> None:
    """A core that ignored windows, loss steps or the reset path would fail."""
    case = next(case for case in CASES if case["name"] == name)
    wrong = core_of(case, **CHANGES[name]).gradient(dataset_of(case), 0)[0]
    assert np.abs(wrong - case["gradients"][0]).max() > 1e-3


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_window_of_one_step_is_the_spike_rule(case: dict[str, Any]) -> None:
    """unroll(1) carries nothing; trace rules too are this rule on a sample of one step."""
    data = dataset_of(case)
    unrolled = core_of(case, unroll_steps=1).gradient(data, 0)
    for one, other in zip(unrolled, core_of(case, "spike").gradient(data, 0), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
