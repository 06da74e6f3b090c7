"""Graphs that the core does not have are refused with one sentence that names the node."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
from nir_graphs import DT, chain, conv, cuba, flatten, imported, lif, parsed, small_chain

from neurochip.errors import UserError


def refused(nodes: dict[str, Any], edges: list[tuple[str, str]], **table: Any) -> str:
    with pytest.raises(UserError) as caught:
        imported(parsed(nodes, edges), **table)
    return str(caught.value)


REFUSED: dict[str, tuple[tuple[dict[str, Any], list[tuple[str, str]]], dict[str, Any], str]] = {
    "no dt": (small_chain(), {"dt": None}, "node '1' (LIF) has tau"),
    "dt above tau": (small_chain(), {"dt": 1.0}, "forward Euler needs a dt up to tau"),
    "tau below 0": (
        chain(nir.Linear(np.ones((2, 4))), cuba((2,), -DT), nir.Linear(np.ones((2, 2)))),
        {}, "node '1' (CubaLIF) has tau_syn = -0.000976562; allowed are numbers above 0",
    ),
    "leaks differ": (
        chain(nir.Linear(np.ones((2, 4))), lif((2,), tau=[4 * DT, 5 * DT]), nir.Linear(np.ones((2, 2)))),
        {}, "node '1' (LIF) has leaks from 0.75 to 0.8",
    ),
    "currents differ": (
        chain(nir.Linear(np.ones((2, 4))), cuba((2,), [2 * DT, 4 * DT]), nir.Linear(np.ones((2, 2)))),
        {}, "node '1' (CubaLIF) has synaptic currents with leaks from 0.5 to 0.75 per step; allowed is one for all",
    ),
    "a current of one neuron": (
        chain(nir.Linear(np.ones((2, 4))), cuba((2,), [2 * DT, DT]), nir.Linear(np.ones((2, 2)))),
        {}, "node '1' (CubaLIF) has synaptic currents with leaks from 0 to 0.5 per step",
    ),
    "v_leak beside a current": (
        chain(nir.Linear(np.ones((2, 4))), cuba((2,), 2 * DT, v_leak=[0.0, 0.5]), nir.Linear(np.ones((2, 2)))),
        {}, "node '1' (CubaLIF) has v_leak = 0.5 and a synaptic current, through which alone the core adds constants; "
            "allowed are v_leak = 0, and network.nir.synapse = 'instant', which drops the current",
    ),
    "v_leak beside the last current": (
        chain(nir.Linear(np.ones((2, 4))), cuba((2,), 2 * DT, v_leak=0.5, tau_mem=DT)),
        {}, "node '1' (CubaLIF) has v_leak = 0.5 and a synaptic current",
    ),
    "threshold 0": (
        chain(nir.Linear(np.ones((2, 4))), lif((2,), v_threshold=0.0), nir.Linear(np.ones((2, 2)))),
        {}, "node '1' (LIF) has v_threshold = 0",
    ),
    "v_reset": (
        chain(nir.Linear(np.ones((2, 4))), lif((2,), v_reset=0.5), nir.Linear(np.ones((2, 2)))),
        {}, "node '1' (LIF) has a v_reset other than 0",
    ),
    "dilation": (
        chain(conv(np.ones((1, 1, 2, 2)), dilation=(2, 2)), lif((1, 2, 2)), shape=(1, 4, 4)),
        {}, "node '0' (Conv2d) has dilation = [2, 2]",
    ),
    "padding same": (
        chain(conv(np.ones((1, 1, 2, 2)), padding="same"), lif((1, 4, 4)), shape=(1, 4, 4)),
        {}, "node '0' (Conv2d) has padding = 'same'",
    ),
    "overlapping pool": (
        chain(nir.SumPool2d(np.array([2, 2]), np.array([1, 1]), np.zeros(2, int)), conv(np.ones((1, 1, 2, 2))),
              lif((1, 2, 2)), flatten(), nir.Linear(np.ones((2, 4))), shape=(1, 4, 4)),
        {}, "node '0' (SumPool2d) has windows that overlap",
    ),
    "average of three": (
        chain(nir.AvgPool2d(np.array([3, 1]), np.array([3, 1]), np.zeros(2, int)), conv(np.ones((1, 1, 1, 1))),
              lif((1, 1, 4)), flatten(), nir.Linear(np.ones((2, 4))), shape=(1, 4, 4)),
        {}, "node '0' (AvgPool2d) averages 3 x 1 values",
    ),
    "unlike per place": (
        chain(conv(np.ones((1, 1, 1, 1))), lif((1, 1, 4), v_threshold=[[[1.0, 1.0, 1.0, 2.0]]]),
              flatten(), nir.Linear(np.ones((2, 4))), shape=(1, 1, 4)),
        {}, "node '1' (LIF) has gains and thresholds that differ within a channel",
    ),
    "convolution last": (
        chain(conv(np.ones((1, 1, 1, 1))), lif((1, 1, 4)), shape=(1, 1, 4)),
        {}, "node '0' (Conv2d) is the last with weights",
    ),
    "weights twice": (
        chain(nir.Linear(np.ones((2, 4))), nir.Linear(np.ones((2, 2)))), {}, "node '0' (Linear) leads to '1' (Linear)",
    ),
    "neurons without weights": (chain(lif((4,)), nir.Linear(np.ones((2, 4)))), {}, "node '0' (LIF) takes spikes"),
    "two branches": (
        (small_chain()[0] | {"3": nir.Linear(np.ones((3, 4)))}, [*small_chain()[1], ("input", "3"), ("3", "1")]),
        {}, "node 'input' (Input) leads to 2 weights at once",
    ),
    "other size": (
        chain(nir.Linear(np.ones((3, 5))), lif((3,))), {}, "node '0' (Linear) has 5 inputs and gets an array of shape",
    ),
    "not reached": ((small_chain()[0] | {"x": lif((3,))}, small_chain()[1]), {}, "node 'x' (LIF) is not reached"),
    "cycle without neurons": (
        (chain(nir.Linear(np.ones((4, 4))), nir.Linear(np.ones((4, 4))))[0],
         [("input", "0"), ("0", "1"), ("1", "0"), ("1", "output")]),
        {}, "node '0' (Linear) takes what comes later, from '1'; allowed are spikes of earlier layers",
    ),
    "feedback from a later layer": (
        (small_chain()[0] | {"3": lif((2,)), "4": nir.Linear(np.ones((3, 2))), "5": nir.Linear(np.ones((2, 2)))},
         [("input", "0"), ("0", "1"), ("1", "2"), ("2", "3"), ("3", "4"), ("4", "1"), ("3", "5"), ("5", "output")]),
        {}, "node '1' (LIF) takes what comes from '3', which lies behind it, back through '4'; the core has feedback "
            "from a population to itself alone",
    ),
    "name with a slash": (
        ({"input": nir.Input(np.array([4])), "c/d": nir.Linear(np.ones((2, 4))), "output": nir.Output(np.array([2]))},
         [("input", "c/d"), ("c/d", "output")]),
        {}, "node 'c' has no type; allowed are types of NIR, and names of nodes without '/'",
    ),
    "delay": (chain(nir.Delay(np.ones(4)), nir.Linear(np.ones((3, 4)))), {}, "node '0' is of type 'Delay'"),
    "silent neurons": (
        chain(nir.Linear(np.ones((3, 4))), nir.LI(np.ones(3), np.ones(3), np.zeros(3)), nir.Linear(np.ones((2, 3)))),
        {}, "node '1' (LI) never fires and is not the last",
    ),
    "outputs": (small_chain(), {"outputs": [0, 2]}, "network.nir.outputs = [0, 2] needs different numbers from 0 to 1"),
    "outputs twice": (small_chain(), {"outputs": [1, 1]}, "network.nir.outputs = [1, 1]"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_core_does_not_have_is_refused_by_name(case: str) -> None:
    (nodes, edges), table, expected = REFUSED[case]
    message = refused(nodes, edges, **table)
    assert message.startswith("test.nir: ")
    assert expected in message
    assert "\n" not in message
