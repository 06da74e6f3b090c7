"""Are the shares of saturation of a layer with a synaptic current those of all its additions, found by hand?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurochip.activity import FIELD_INDEX
from neurochip.core.engine import Engine
from neurochip.diagnosis.shares import saturation_shares
from neurochip.events import EventDataset
from neurochip.spec import CoreSpec, LayerSpec


def test_what_goes_from_a_current_into_its_membrane_is_an_addition_too() -> None:
    """The same weights into a current that keeps nothing: it saturates at 31 in every step, as u does in steps 2 and 3:
    21 is left of 31 behind the threshold of 10, and does not leak."""
    hidden = LayerSpec(
        "dense", 2, 1, True, "constant", 65536, 10, "subtract", False, "shift", 1, 4, 4, 4, 4, 8,
        current_leak_kind="constant", current_leak_value=0,
    )  # fmt: skip
    readout = replace(
        hidden, kind="readout", n_in=1, n_out=2, bias=False, threshold_q=0, leak_value=60000, frac_potential=6
    )
    spec = CoreSpec(
        (hidden, readout), 3, 1, 8, "nearest", 6, 8, 0, 8, "nearest", 12, 4, "sigmoid", 24, 24, "unroll", "immediate",
        1, 8, 8, 0, "synapse", "detached", 16, 1, 16, 16,
    )  # fmt: skip
    data = EventDataset(np.arange(0, 7, 2), np.tile([0, 1], 3), np.ones(6, int), np.array([0]), 2, 3)
    weights = [np.array([[20], [20], [5]]), np.zeros((2, 2), int)]
    result = Engine(spec, weights).run(data, np.array([0]), learn=False)
    assert saturation_shares(spec, 0, result, None) == {"membrane": (3 + 2) / (9 + 3)}
    wide = replace(spec, deliver="neuron")
    assert saturation_shares(wide, 0, Engine(wide, weights).run(data, np.array([0]), learn=False), None) == {
        "membrane": (3 + 2) / (3 + 3)
    }
    learned = Engine(spec, weights).run(data, np.array([0]), learn=True, probe=[0])
    totals = learned.activity.totals.copy()
    totals[0, :, FIELD_INDEX["sat_delta"]] = 2
    totals[0, 1, FIELD_INDEX["sat_readout"]] = 3
    learned = replace(learned, activity=replace(learned.activity, totals=totals))
    taps = learned.activity.per_layer("deliver_taps")[1]  # events of the readout: 2 columns each
    assert taps > 0
    shares = [saturation_shares(spec, index, learned, None) for index in (0, 1)]
    assert [one["delta"] for one in shares] == [2 / (2 * 3), 2 / (2 * 6)]
    assert shares[1]["readout"] == 3 / (2 * taps + 6)
