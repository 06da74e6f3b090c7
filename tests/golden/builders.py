"""Small specifications and one-line runs of the golden core, for the tests beside this file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from neurochip.activity import FIELD_INDEX
from neurochip.reference.core import GoldenCore, GoldenRun, GoldenSample
from neurochip.spec import CoreSpec, LayerSpec

# Integers below are in units of 2**-4 unless a test changes a format.
HIDDEN = LayerSpec(
    kind="dense",
    n_in=1,
    n_out=1,
    bias=False,
    leak_kind="shift",
    leak_value=1,
    threshold_q=16,
    reset="subtract",
    keeps_trace=False,
    trace_leak_kind="shift",
    trace_leak_value=1,
    frac_weight=4,
    frac_potential=4,
    frac_trace=2,
    frac_error=4,
    frac_gradient=4,
)
READOUT = replace(HIDDEN, kind="readout", n_out=2, leak_kind="none", leak_value=0, threshold_q=0)


def make_spec(*layers: LayerSpec, **changes: Any) -> CoreSpec:
    """A specification with 8-bit formats, one step, floor in the weights and nearest in the errors."""
    settings: dict[str, Any] = {
        "layers": layers or (HIDDEN, READOUT),
        "n_steps": 1,
        "event_bits": 2,
        "weight_bits": 8,
        "weight_rounding": "floor",
        "membrane_bits": 8,
        "trace_bits": 4,
        "trace_gate": 0,
        "error_bits": 8,
        "error_rounding": "nearest",
        "delta_bits": 8,
        "surrogate_bits": 4,
        "surrogate": "sigmoid",
        "gradient_bits": 16,
        "readout_bits": 8,
        "credit": "spike",
        "update": "immediate",
        "batch": 1,
        "rate_multiplier": 5,
        "rate_shift": 3,
        "mse_share_q": 0,
        "deliver": "synapse",
        "reset_path": "detached",
        "rng_lanes": 2,
        "seed": 1,
        "synapse_lanes": 2,
        "trace_lanes": 2,
    }
    return CoreSpec(**(settings | changes))


def run(spec: CoreSpec, weights: Any, steps: Any, label: int = 0, learn: bool = True) -> tuple[GoldenCore, GoldenRun]:
    core = GoldenCore(spec, weights)
    return core, core.run([GoldenSample(steps, label)], learn, record_draws=True)


def total(result: GoldenRun, field: str, layer: int) -> int:
    return sum(step[layer][FIELD_INDEX[field]] for step in result.activity)


# One hidden neuron that stays one unit below its threshold: idx = -1, psi = 15, no spike. Both classes have z = 0,
# so p = ((32768 << 4) + 32768) // 65536 = 8 and, for label 0, e = [8 - 16, 8] = [-8, 8].
BELOW = [[[15], [0]], [[3, -5], [0, 0]]]
ONE_EVENT = [[(0, 1)]]
