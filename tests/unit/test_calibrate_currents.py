"""Do formats of layers with a synaptic current hold what calibration saw of their states and traces?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip.core.float_core import FloatCore
from neurochip.core.float_spec import FloatSpec
from neurochip.encoding.event_steps import bin_events
from neurochip.events import EventDataset
from neurochip.fixed_point import frac_for
from neurochip.network.calibrate import epoch_order, prepare
from neurochip.network.resolve import float_layers
from neurochip.network.shape import layer_shapes


def frames_of(data: EventDataset) -> np.ndarray:
    """[samples, T, inputs]."""
    frames = np.zeros((data.n_samples * data.n_steps, data.n_inputs))
    rows = np.repeat(np.arange(len(frames)), np.diff(data.step_offsets))
    np.add.at(frames, (rows, data.addresses), data.magnitudes)
    return frames.reshape(data.n_samples, data.n_steps, data.n_inputs)


def test_membranes_are_measured_with_their_currents_and_traces_with_both_leaks() -> None:
    layers: list[dict[str, Any]] = [
        {"kind": "dense", "neurons": 7, "leak_shift": 1, "current_leak_shift": 3, "reset": "zero"},
        {"kind": "dense", "neurons": 5, "current_leak_constant": 50000},
        {"kind": "readout", "leak_shift": 2, "current_leak_shift": 1},
    ]
    experiment = tiny.tiny_experiment(network__layers=layers)
    data = bin_events(tiny.tiny_recordings(20, 0), tiny.N_STEPS, "once", (2, 4, 7), 1)
    shapes = layer_shapes(experiment, data.n_inputs, 3)
    result = prepare(experiment, shapes, data)
    taken = data.take(epoch_order(3, 0, data.n_samples)[:8])
    core = FloatCore(FloatSpec(float_layers(shapes, "none"), tiny.N_STEPS), result.weights)
    probes = core.run(taken, np.arange(8), learn=False, probe_slots=np.arange(8)).probes

    def percentile(*values: np.ndarray) -> float:
        magnitudes = np.abs(np.concatenate([one.ravel() for one in values]))
        return float(np.percentile(magnitudes[magnitudes > 0], 99.9))

    assert result.calibrated is not None and result.calibrated.membrane is not None
    assert result.calibrated.trace is not None
    membranes, traces = result.calibrated.membrane.magnitude, result.calibrated.trace.magnitude
    assert membranes is not None and traces is not None
    for k in range(2):
        together = percentile(probes[f"potential/{k}"], probes[f"current/{k}"])
        assert membranes[k] == pytest.approx(together, rel=1e-12)
        assert result.fracs.membrane[k] == frac_for(together * 2**2, 2**15 - 1)
        assert abs(together - percentile(probes[f"potential/{k}"])) > 1e-3
    for k, (current, leak) in enumerate(((0.875, 0.5), (50000 / 65536, 0.5), (0.5, 0.75))):
        events = frames_of(taken) if k == 0 else probes[f"spike/{k - 1}"].astype(float)
        first, second = np.zeros(events.shape[::2]), np.zeros(events.shape[::2])
        seen = []
        for t in range(tiny.N_STEPS):
            first = current * first + events[:, t]
            second = leak * second + first
            seen.append(second)
        assert traces[k] == pytest.approx(percentile(*seen), rel=1e-12)
