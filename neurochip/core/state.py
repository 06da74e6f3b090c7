"""Arrays the kernels work on: what the chip holds, the history of one window, scratch, input and probes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.core import columns as col
from neurochip.core.convolution_errors import copy_sizes
from neurochip.core.convolution_geometry import GROUPS, HEIGHT, OUT_WIDTH, WIDTH
from neurochip.core.convolution_products import TILE_ENTRIES, pair_sizes
from neurochip.core.layout import Layout, initial_registers, padded
from neurochip.spec import CoreSpec

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

CACHE_LINE = 64  # bytes


class State(NamedTuple):
    """What the chip holds. Flat, C-contiguous; offsets are in the layer table."""

    weights: NDArray[Any]  # int8 or int16, rows padded
    gradients: Int32  # like weights if gradients are accumulated, else empty
    velocities: Int32  # like weights with momentum, else empty
    changed_rows: NDArray[np.uint8]  # [total_rows] whether a row of gradients was added to since the last apply
    potential: Int32  # [total_out] u (after reset between steps); z of a readout
    current: Int32  # [total_out] i of layers with a synaptic current; empty if no layer has one
    trace: Int32  # [total_in] a
    filtered: Int32  # [total_in] f, the first of the two values of a filtered trace
    signal: Int32  # [total_out] g, e, or under unroll delta, with a synaptic current epsilon
    delta: Int32  # [total_out] delta beside an epsilon; empty if no layer has one
    error: Int32  # [total_out] d
    registers: NDArray[np.uint32]  # [n_layers, rng_lanes]
    pending: Int64  # [2] samples accumulated since the last apply, samples learned since the last standardisation


class History(NamedTuple):
    """Events, surrogate codes and errors per slot: slot 0 is the step before the window, then the steps of a window.

    A window has min(K, T) steps for unroll, one step otherwise. Events are those of the sources: the input of the
    network, then the spikes of every hidden layer.
    """

    addresses: Int32  # [steps + 1, total_events]
    magnitudes: Int32  # [steps + 1, total_events]
    n_events: Int32  # [steps + 1, n_layers + 1]
    psi: Int32  # [steps + 1, total_out]
    readout_error: Int32  # [steps + 1, total_errors]


class Scratch(NamedTuple):
    """Buffers without meaning between calls."""

    learning_signal: Int32  # [widest output] g before it is carried
    scaled_signal: Int32  # [widest row] -m_eta g
    rows: Int32  # [total_in + n_layers] presynaptic rows of every dense layer, bias row last
    factors: Int32  # [total_in + n_layers]; of a convolution p of all its inputs
    n_rows: Int32  # [n_layers]
    touched: NDArray[np.uint8]  # [widest input, padded]
    words: Int32  # first columns of words with a nonzero signal
    signal_words: Int64  # [n_layers]
    signal_nonzero: Int64  # [n_layers]
    readout_sums: Int64  # [classes]
    event_addresses: Int32  # [most events of a layer] events at its input, in the order of delivery
    event_magnitudes: Int32
    summed: Int32  # [widest input] m of every input address; 0 between calls
    input_addresses: Int32  # [widest input] those with m > 0, ascending
    input_magnitudes: Int32
    needed: Int32  # [widest input] whether the error sum of an address is asked for
    sums: Int64  # [total_in] error sums X of every layer that gives error
    rounded: Int64  # [widest input]
    is_nonzero: Int32  # [widest input] whether X is not 0
    error_sum: Int64  # [widest output] sum of the rounded X
    some_nonzero: Int32  # [widest output] whether some X is not 0
    products: Int32  # [rows * stride of the largest convolution] D
    blocks: Int64  # of the counts of a convolution
    columns: Int64
    reach: Int64
    nonzero_at: Int32  # [most positions * groups] nonzero p or needed sums of an input position and group
    signals_16: NDArray[np.int16]  # of the error sums of a convolution
    rows_16: NDArray[np.int16]
    p_pairs: Int32  # of the sums of products of a convolution
    signal_pairs: Int32
    tile: Int32  # [128]
    all_rows: Int32  # [most rows of a convolution] 0, 1, 2, ...
    factor: Int32  # [1]
    column_sums: Int64  # [3, widest row] of a standardisation


class Events(NamedTuple):
    """Input events of a split, CSR over samples and steps."""

    step_offsets: Int64
    addresses: Int32
    magnitudes: Int32
    labels: Int32


class Probes(NamedTuple):
    """Recorded intermediates of chosen samples, [n_slots * n_steps, width]."""

    slot_of: Int64  # [n_samples in the pass] slot or -1
    potential: Int32
    current: Int32  # [0, 0] if no layer has a synaptic current
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
    n_standardisations: Int64  # [1]


def aligned_zeros(size: int, dtype: Any) -> NDArray[Any]:
    """Zeros that start on a cache line: vector loads of whole words then never touch two."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(size * item + CACHE_LINE, dtype=np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size * item].view(dtype)


def has_currents(layout: Layout) -> bool:
    """Return whether some layer has a synaptic current."""
    return bool((layout.layers[:, col.CURRENT_LEAK] != col.LEAK_IS_NONE).any())


def new_state(spec: CoreSpec, layout: Layout) -> State:
    """Allocate a state with zero weights and fresh random registers."""
    constants = layout.constants
    n_weights, total_out = int(constants[col.TOTAL_WEIGHTS]), int(constants[col.TOTAL_OUT])
    total_in = int(constants[col.TOTAL_IN])
    accumulates = constants[col.UPDATE] == col.UPDATE_ACCUMULATE
    has_momentum = accumulates and spec.momentum_shift > 0
    is_filtered = (layout.layers[:, col.FILTER_LEAK] != col.LEAK_IS_NONE).any()
    has_current = has_currents(layout)
    carries_two = has_current and spec.credit == "unroll"
    return State(
        weights=aligned_zeros(n_weights, np.int8 if spec.weight_bits <= 8 else np.int16),
        gradients=np.zeros(n_weights if accumulates else 0, dtype=np.int32),
        velocities=np.zeros(n_weights if has_momentum else 0, dtype=np.int32),
        changed_rows=np.zeros(int(constants[col.TOTAL_ROWS]), dtype=np.uint8),
        potential=aligned_zeros(total_out, np.int32),
        current=aligned_zeros(total_out if has_current else 0, np.int32),
        trace=aligned_zeros(total_in, np.int32),
        filtered=np.zeros(total_in if is_filtered else 0, dtype=np.int32),
        signal=aligned_zeros(total_out, np.int32),
        delta=aligned_zeros(total_out if carries_two else 0, np.int32),
        error=aligned_zeros(total_out, np.int32),
        registers=initial_registers(spec),
        pending=np.zeros(2, dtype=np.int64),
    )


def new_history(layout: Layout) -> History:
    """Allocate the history of one window and of the step before it."""
    constants = layout.constants
    slots = int(constants[col.WINDOW_STEPS]) + 1
    total_events, total_out = int(constants[col.TOTAL_EVENTS]), int(constants[col.TOTAL_OUT])
    return History(
        addresses=np.zeros((slots, total_events), dtype=np.int32),
        magnitudes=np.ones((slots, total_events), dtype=np.int32),
        n_events=np.zeros((slots, len(layout.layers) + 1), dtype=np.int32),
        psi=np.zeros((slots, total_out), dtype=np.int32),
        readout_error=np.zeros((slots, int(constants[col.TOTAL_ERRORS])), dtype=np.int32),
    )


def _most_events(layout: Layout) -> int:
    """The most events that are gathered for a layer: one per entry of the maps of its connections."""
    starts = np.append(layout.connections[:, col.MAP_AT], len(layout.maps))
    first, count = layout.layers[:, col.FIRST_CONNECTION], layout.layers[:, col.N_CONNECTIONS]
    return int((starts[first + count] - starts[first]).max())


def new_scratch(layout: Layout) -> Scratch:
    """Allocate the scratch buffers."""
    layers, geometry = layout.layers, layout.geometry
    total_in = int(layout.constants[col.TOTAL_IN])
    widest_in, widest_out = padded(int(layers[:, col.N_IN].max())), int(layers[:, col.WIDTH].max())
    widest_row = int(layers[:, col.STRIDE].max())
    is_conv = layers[:, col.KIND] == col.CONV
    n_rows = (layers[:, col.N_ROWS] + layers[:, col.N_BIAS_ROWS]) * is_conv
    positions = geometry[:, HEIGHT] * geometry[:, WIDTH] * geometry[:, GROUPS]
    most_events = _most_events(layout)
    convolutions = [geometry[index] for index in np.flatnonzero(is_conv)]
    copies = np.max([(0, 0), *(copy_sizes(row) for row in convolutions)], axis=0)
    pairs = np.max([(0, 0), *(pair_sizes(row) for row in convolutions)], axis=0)

    def int32(size: int) -> Int32:
        return np.zeros(size, dtype=np.int32)

    return Scratch(
        learning_signal=int32(widest_out),
        scaled_signal=int32(widest_row),
        rows=int32(total_in + len(layers)),
        factors=int32(total_in + len(layers)),
        n_rows=int32(len(layers)),
        touched=np.zeros(widest_in, dtype=np.uint8),
        words=int32(widest_row + 1),
        signal_words=np.zeros(len(layers), dtype=np.int64),
        signal_nonzero=np.zeros(len(layers), dtype=np.int64),
        readout_sums=np.zeros(int(layers[-1, col.N_OUT]), dtype=np.int64),
        event_addresses=int32(most_events + 1),
        event_magnitudes=int32(most_events + 1),
        summed=int32(widest_in),
        input_addresses=int32(widest_in + 1),
        input_magnitudes=int32(widest_in + 1),
        needed=int32(widest_in),
        sums=np.zeros(total_in, dtype=np.int64),
        rounded=np.zeros(widest_in, dtype=np.int64),
        is_nonzero=int32(widest_in),
        error_sum=np.zeros(widest_out, dtype=np.int64),
        some_nonzero=int32(widest_out),
        products=aligned_zeros(int((n_rows * layers[:, col.STRIDE]).max()), np.int32),
        blocks=np.zeros(int((layers[:, col.N_BLOCKS] * is_conv).max()), dtype=np.int64),
        columns=np.zeros(int((geometry[:, OUT_WIDTH] * geometry[:, GROUPS]).max()), dtype=np.int64),
        reach=np.zeros(int(positions.max()), dtype=np.int64),
        nonzero_at=int32(int(positions.max())),
        signals_16=aligned_zeros(copies[0], np.int16),
        rows_16=aligned_zeros(copies[1], np.int16),
        p_pairs=aligned_zeros(pairs[0], np.int32),
        signal_pairs=aligned_zeros(pairs[1], np.int32),
        tile=aligned_zeros(TILE_ENTRIES, np.int32),
        all_rows=np.arange(int(n_rows.max()), dtype=np.int32),
        factor=int32(1),
        column_sums=np.zeros((3, widest_row), dtype=np.int64),
    )
