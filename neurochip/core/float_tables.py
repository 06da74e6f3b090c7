"""The network and the rule of the float twin as tables of numbers, the form in which its kernels read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.core.float_grid import MEMBRANE, Grid, new_grid
from neurochip.core.float_spec import APPLIES, CREDITS, KINDS, SURROGATES, UPDATES, FloatLayerSpec, FloatSpec
from neurochip.errors import UserError

Array = NDArray[Any]
Reals = NDArray[np.floating[Any]]

# Columns of Network.sizes. The *_AT are places in the flat arrays; connections and errors are ranges of their tables.
KIND, N_IN, N_OUT, COLUMNS, N_ROWS, WEIGHT_AT, OUTPUT_AT, INPUT_AT, EVENT_AT = range(9)
CONNECTIONS_AT, CONNECTIONS_END, ERRORS_AT, ERRORS_END = range(9, 13)
KEEPS_TRACE, HAS_FILTER, HAS_BIAS, RESET_ZERO, LEARNS, BIAS_TRACE, SIGNAL_OF, HAS_CURRENT = range(13, 21)
# Columns of Network.reals.
LEAK, THRESHOLD, TRACE_LEAK, FILTER_LEAK, TRACE_GATE, EVENT_SCALE, STATE_FLOOR, TRACE_FLOOR = range(8)
GAIN, RATE_SCALE, CURRENT_LEAK = range(8, 11)
# Columns of Network.connections and Network.errors; MAP_AT is where the input addresses of the source start in `maps`.
SOURCE, DELAY, MAP_AT, N_SOURCE = range(4)
CONSUMER, ERROR_DELAY, ERROR_MAP_AT = range(3)
# Columns of Network.shapes, 0 for layers that are no convolution.
MAP_HEIGHT, MAP_WIDTH, MAP_CHANNELS, GROUPS, KERNEL_Y, KERNEL_X = range(6)
STRIDE_Y, STRIDE_X, PADDING_Y, PADDING_X, OUT_HEIGHT, OUT_WIDTH = range(6, 12)

DENSE, CONV, READOUT, FEEDBACK = range(len(KINDS))
CREDIT_NONE, CREDIT_TRACE, CREDIT_SPIKE, CREDIT_UNROLL = range(len(CREDITS))
UPDATE_NONE, UPDATE_IMMEDIATE, UPDATE_ACCUMULATE = range(len(UPDATES))
APPLY_SAMPLE, APPLY_DEFERRED, APPLY_WINDOW = range(len(APPLIES))
APPLY_NEVER = len(APPLIES)
SIGMOID, TRIANGLE, RECTANGLE = range(len(SURROGATES))

# Floors keep denormal numbers, which are slow, out of the loops. What is dropped of a trace is below the
# rounding error of its first value, 1 or the share of an average pool; 2^-100 is far above the denormals of float32.
MEMBRANE_FLOOR = 2.0**-100
PRESYNAPTIC_FLOOR = 2.0**-60


class Network(NamedTuple):
    """The layers: tables (one row per layer, connection or path of an error) and flat weights, row by row."""

    sizes: Array  # int64 [L, 21]
    reals: Array  # [L, 11]
    shapes: Array  # int64 [L, 12]
    connections: Array  # int64 [C, 4]
    errors: Array  # int64 [E, 3]
    maps: Array  # int64, input address of every source address, -1 where a pool drops it
    weights: Array
    gradients: Array
    velocity: Array  # empty without momentum
    grid: Grid  # of the quantisers


class Rule(NamedTuple):
    """The learning rule as codes and numbers."""

    credit: int
    update: int
    apply_when: int
    apply_every: int
    batch: int
    window: int
    loss_start: int
    update_every: int
    surrogate: int
    reset_exact: int
    rate: float
    momentum: float
    mse_share: float
    standardise_every: int


def new_rule(spec: FloatSpec) -> Rule:
    """Encode the rule; rules that are not unrolled have windows of one step, inference has one window."""
    windows = {"unroll": spec.window_steps, "none": spec.n_steps}
    return Rule(
        credit=CREDITS.index(spec.credit),
        update=UPDATES.index(spec.update),
        apply_when=APPLIES.index(spec.apply_when),
        apply_every=spec.apply_every,
        batch=spec.batch,
        window=windows.get(spec.credit, 1),
        loss_start=spec.loss_start,
        update_every=spec.update_every,
        surrogate=SURROGATES.index(spec.surrogate),
        reset_exact=int(spec.reset_path == "exact"),
        rate=float(spec.rate),
        momentum=float(spec.momentum),
        mse_share=float(spec.mse_share),
        standardise_every=spec.standardise_every,
    )


def weight_shape(layer: FloatLayerSpec) -> tuple[int, int]:
    """Rows, those of the bias included, and columns of the weights of a layer."""
    return layer.n_weight_rows + layer.n_bias_rows, layer.columns


def flat_views(spec: FloatSpec, dtype: np.dtype[Any]) -> tuple[Reals, list[Reals]]:
    """Return one zeroed flat array and, per layer, a view of the shape of its weights into it."""
    shapes = [weight_shape(layer) for layer in spec.layers]
    sizes = [rows * columns for rows, columns in shapes]
    flat = np.zeros(sum(sizes), dtype)
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return flat, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def check_weights(spec: FloatSpec, weights: Sequence[Any]) -> None:
    """Raise UserError unless there is one array per layer, of its shape."""
    if len(weights) != len(spec.layers):
        raise UserError(f"{len(weights)} weight arrays were given for {len(spec.layers)} layers")
    for index, (layer, values) in enumerate(zip(spec.layers, weights, strict=True)):
        if np.shape(values) != weight_shape(layer):
            shape = weight_shape(layer)
            raise UserError(f"weights of layer {index} have shape {np.shape(values)}; it must be {shape}")


def new_network(spec: FloatSpec, weights: Reals, gradients: Reals, velocity: Reals) -> Network:
    """Describe layers, connections and paths of errors by tables."""
    connections, maps = _connection_rows(spec)
    errors = _error_rows(spec, connections)
    sizes = _size_rows(spec, [len(rows) for rows in connections], [len(rows) for rows in errors])
    reals = np.array([_real_row(layer) for layer in spec.layers], weights.dtype)
    grid = new_grid(spec.quantisers, gradients)
    if spec.quantisers is not None and grid.on[MEMBRANE]:
        codes = np.array([layer.threshold_q for layer in spec.quantisers.formats.layers])
        reals[:, THRESHOLD] = codes / grid.units[:, MEMBRANE]
    return Network(
        sizes=np.array(sizes, np.int64),
        reals=reals,
        shapes=np.array([_shape_row(layer) for layer in spec.layers], np.int64),
        connections=np.array([row for rows in connections for row in rows], np.int64).reshape(-1, 4),
        errors=np.array([row for rows in errors for row in rows], np.int64).reshape(-1, 3),
        maps=maps,
        weights=weights,
        gradients=gradients,
        velocity=velocity,
        grid=grid,
    )


def _connection_rows(spec: FloatSpec) -> tuple[list[list[tuple[int, ...]]], Array]:
    """Rows of Network.connections per layer, and the address maps."""
    rows: list[list[tuple[int, ...]]] = []
    maps: list[int] = []
    for index in range(len(spec.layers)):
        rows.append([])
        for connection in spec.connections(index):
            rows[-1].append((connection.source, connection.delay, len(maps), connection.n_source))
            addresses = map(connection.address, range(connection.n_source))
            maps.extend(-1 if address is None else address for address in addresses)
    return rows, np.array(maps, np.int64)


def _error_rows(spec: FloatSpec, connections: list[list[tuple[int, ...]]]) -> list[list[tuple[int, ...]]]:
    """Rows of Network.errors per hidden layer: the connections from it that bring its error, and its delayed one."""
    rows: list[list[tuple[int, ...]]] = [[] for _ in spec.layers]
    for consumer, table in enumerate(connections):
        for connection, (source, delay, map_at, _) in zip(spec.connections(consumer), table, strict=True):
            if source >= 0 and (delay or connection.carries_error):
                rows[source].append((consumer, delay, map_at))
    return rows


def _size_rows(spec: FloatSpec, n_connections: list[int], n_errors: list[int]) -> list[tuple[int, ...]]:
    rows: list[tuple[int, ...]] = []
    weight_at = output_at = input_at = event_at = connection = error = 0
    for index, layer in enumerate(spec.layers):
        n_rows, columns = weight_shape(layer)
        shape = KINDS.index(layer.kind), layer.n_in, layer.n_out, columns, layer.n_weight_rows
        places = weight_at, output_at, input_at, event_at
        ranges = connection, connection + n_connections[index], error, error + n_errors[index]
        keeps_trace = layer.keeps_trace and spec.credit == "trace"
        bias_trace = keeps_trace and layer.bias_trace
        flags = keeps_trace, layer.trace_filter is not None, layer.bias, layer.reset == "zero", layer.learns, bias_trace
        signal_of = -1 if layer.signal_of is None else layer.signal_of
        has_current = int(layer.current_leak is not None)
        rows.append((*shape, *places, *ranges, *map(int, flags), signal_of, has_current))
        weight_at += n_rows * columns
        output_at += layer.n_out
        input_at += layer.n_in
        event_at += sum(source.n_source for source in spec.connections(index))
        connection, error = ranges[1], ranges[3]
    return rows


def _real_row(layer: FloatLayerSpec) -> tuple[float, ...]:
    filter_leak = 0.0 if layer.trace_filter is None else layer.trace_filter
    leaks = layer.state_leak, layer.threshold, layer.trace_leak, filter_leak
    floors = MEMBRANE_FLOOR, PRESYNAPTIC_FLOOR
    return *leaks, layer.trace_gate, layer.event_scale, *floors, layer.gain, layer.rate_scale, layer.current_leak or 0.0


def _shape_row(layer: FloatLayerSpec) -> tuple[int, ...]:
    conv = layer.conv
    if conv is None:
        return (0,) * 12
    inputs = conv.height, conv.width, conv.channels, conv.groups, conv.kernel_height, conv.kernel_width
    return *inputs, conv.stride_y, conv.stride_x, conv.padding_y, conv.padding_x, conv.out_height, conv.out_width
