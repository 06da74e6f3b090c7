"""Arrays the kernels work on: what the chip holds, the history of one sample, scratch, input and probes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.core import layout as lay
from neurochip.core.layout import Layout, initial_registers
from neurochip.spec import CoreSpec

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


class State(NamedTuple):
    """What the chip holds. Flat, C-contiguous; offsets are in the layer table."""

    weights: NDArray[Any]  # int8 or int16, rows padded
    gradients: Int32  # like weights if gradients are accumulated, else empty
    potential: Int32  # [total_out] u (after reset between steps); z of the readout
    trace: Int32  # [total_in]
    signal: Int32  # [total_out] g, e, or delta
    error: Int32  # [total_out] d
    registers: NDArray[np.uint32]  # [n_layers, rng_lanes]
    pending: Int64  # [1] samples accumulated since the last apply


class History(NamedTuple):
    """Events, surrogate codes and errors per step: T steps for unroll, one step otherwise."""

    addresses: Int32  # [steps, total_in] events of every layer's inputs
    magnitudes: Int32  # [steps, total_in]
    n_events: Int32  # [steps, n_layers]
    psi: Int32  # [steps, total_out]
    readout_error: Int32  # [steps, padded classes]


class Scratch(NamedTuple):
    """Buffers without meaning between calls."""

    learning_signal: Int32  # [total_out] g before it is carried
    scaled_signal: Int32  # [widest] -m_eta g
    rows: Int32  # [total_in + n_layers] presynaptic rows of every layer, bias row last
    factors: Int32  # [total_in + n_layers]
    n_rows: Int32  # [n_layers]
    touched: NDArray[np.uint8]  # [widest input, padded]
    words: Int32  # first columns of words with a nonzero signal
    readout_sums: Int64  # [classes]


class Events(NamedTuple):
    """Input events of a split, CSR over samples and steps."""

    step_offsets: Int64
    addresses: Int32
    magnitudes: Int32
    labels: Int32


class Probes(NamedTuple):
    """Recorded intermediates of chosen samples, [n_slots, n_steps, width]."""

    slot_of: Int64  # [n_samples in the pass] slot or -1
    potential: Int32
    spike: Int32
    psi: Int32
    trace: Int32
    error: Int32
    signal: Int32


class Output(NamedTuple):
    """What a pass returns."""

    totals: Int64  # [n_steps + 1, n_layers, N_FIELDS]
    predictions: Int32  # [n_samples]
    readout_sums: Int64  # [n_samples, classes]
    n_applies: Int64  # [1]


def new_state(spec: CoreSpec, layout: Layout) -> State:
    """Allocate a state with zero weights and fresh random registers."""
    constants, layers = layout.constants, layout.layers
    n_weights = int(((layers[:, lay.N_IN] + 1) * layers[:, lay.STRIDE]).sum())
    total_in, total_out = int(constants[lay.TOTAL_IN]), int(constants[lay.TOTAL_OUT])
    accumulates = constants[lay.UPDATE] == lay.UPDATE_ACCUMULATE
    return State(
        weights=np.zeros(n_weights, dtype=np.int8 if spec.weight_bits <= 8 else np.int16),
        gradients=np.zeros(n_weights if accumulates else 0, dtype=np.int32),
        potential=np.zeros(total_out, dtype=np.int32),
        trace=np.zeros(total_in, dtype=np.int32),
        signal=np.zeros(total_out, dtype=np.int32),
        error=np.zeros(total_out, dtype=np.int32),
        registers=initial_registers(spec),
        pending=np.zeros(1, dtype=np.int64),
    )


def new_history(layout: Layout) -> History:
    """Allocate the history of one sample."""
    steps = int(layout.constants[lay.HISTORY_STEPS])
    total_in, total_out = int(layout.constants[lay.TOTAL_IN]), int(layout.constants[lay.TOTAL_OUT])
    return History(
        addresses=np.zeros((steps, total_in), dtype=np.int32),
        magnitudes=np.ones((steps, total_in), dtype=np.int32),
        n_events=np.zeros((steps, len(layout.layers)), dtype=np.int32),
        psi=np.zeros((steps, total_out), dtype=np.int32),
        readout_error=np.zeros((steps, int(layout.layers[-1, lay.STRIDE])), dtype=np.int32),
    )


def new_scratch(layout: Layout) -> Scratch:
    """Allocate the scratch buffers."""
    layers = layout.layers
    total_in, total_out = int(layout.constants[lay.TOTAL_IN]), int(layout.constants[lay.TOTAL_OUT])
    widest_out, widest_in = int(layers[:, lay.STRIDE].max()), int(layers[:, lay.N_IN].max())
    return Scratch(
        learning_signal=np.zeros(total_out, dtype=np.int32),
        scaled_signal=np.zeros(widest_out, dtype=np.int32),
        rows=np.zeros(total_in + len(layers), dtype=np.int32),
        factors=np.zeros(total_in + len(layers), dtype=np.int32),
        n_rows=np.zeros(len(layers), dtype=np.int32),
        touched=np.zeros(lay.padded(widest_in), dtype=np.uint8),
        words=np.zeros(widest_out + 1, dtype=np.int32),
        readout_sums=np.zeros(int(layers[-1, lay.N_OUT]), dtype=np.int64),
    )
