"""The activity fields of recorded samples, from their bitmaps: docs/semantics.md, section 5, for whole networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import FIELD_INDEX, N_FIELDS, SampleTrace
from neurochip.errors import UserError
from neurochip.microarch import taps
from neurochip.microarch.shapes import keeps_trace, learns
from neurochip.microarch.taps import words_with_any
from neurochip.spec import NETWORK_INPUT, CoreSpec
from neurochip.topology import Connection

Bitmap = NDArray[np.bool_]
Integers = NDArray[np.int64]
Arrivals = NDArray[np.int32]
Fields = dict[str, Integers]


def per_sample_totals(trace: SampleTrace, spec: CoreSpec, lanes: int, trace_lanes: int, learning: bool) -> Integers:
    """Recompute the fields of semantics section 5 for every recorded sample.

    Args:
        trace: bitmaps "event/0", events of the network's input, "event/<l + 1>", spikes of hidden layer l; "graded/0"
            if events have more than one bit; when learning also "psi/<l>" of hidden layers, "signal/<l>", "trace/<l>"
            of layers that keep one and, with trace.gate > 0, their "presynaptic/<l>".
        spec: the network and rule of the recording; its own word widths are not used.
        lanes: L, columns in a synapse, neuron and signal word.
        trace_lanes: M, traces in a trace word.
        learning: whether the recorded pass learned.

    Returns:
        int64 [n_samples, n_steps + 1, n_layers, N_FIELDS]; saturations, underflows and the row of the applies are 0. In
        a convolution, `weight_words` and `random_advances` count every word that some product p·g ≠ 0 falls into, as
        if no sum over positions cancelled.

    Raises:
        UserError: a bitmap that is missing or has another shape.
    """
    learning = learning and learns(spec)
    totals = np.zeros((len(trace.sample_indices), spec.n_steps + 1, len(spec.layers), N_FIELDS), dtype=np.int64)
    for index, layer in enumerate(spec.layers):
        runs = layer.kind != "feedback" and (learning or layer.is_hidden or index == len(spec.layers) - 1)
        at = {name: totals[:, :-1, index, place] for name, place in FIELD_INDEX.items()}
        arrivals = arrivals_of(trace, spec, index) if runs else None
        if arrivals is not None:
            _add_forward(at, trace, spec, index, arrivals)
        if learning:
            _add_learning(at, trace, spec, index, arrivals, lanes, trace_lanes)
    return totals


def arrivals_of(trace: SampleTrace, spec: CoreSpec, index: int) -> Arrivals:
    """Events that came to every input address of a layer, [n_samples, n_steps, n_in]."""
    layer = spec.layers[index]
    total = np.zeros((len(trace.sample_indices), spec.n_steps, layer.n_in), dtype=np.int32)  # maps can be large
    for connection in spec.connections(index):
        total += taps.arrived(connection, layer.n_in, _sent(trace, connection, spec, "event"))
    return total


def _sent(trace: SampleTrace, connection: Connection, spec: CoreSpec, kind: str) -> Bitmap:
    """A bitmap of the source of a connection, one step late where it is delayed."""
    index = 0 if kind == "graded" else connection.source + 1
    bitmap = bitmap_of(trace, spec, f"{kind}/{index}", connection.n_source)
    if connection.delay == 0:
        return bitmap
    late = np.zeros_like(bitmap)
    late[:, 1:] = bitmap[:, :-1]
    return late


def _add_forward(at: Fields, trace: SampleTrace, spec: CoreSpec, index: int, arrivals: Arrivals) -> None:
    layer = spec.layers[index]
    shape = taps.map_of(layer)
    at["events"][...] = arrivals.sum(-1)
    per_position = taps.input_blocks(shape, arrivals).sum(-1)
    at["deliver_taps"][...] = (per_position * taps.reach(shape)).sum(axis=(-1, -2, -3))
    if spec.event_bits > 1:
        for connection in spec.connections(index):
            if connection.source == NETWORK_INPUT:
                graded = _sent(trace, connection, spec, "graded")
                at["graded_events"][...] += graded[..., taps.address_map(connection) >= 0].sum(-1)
    if layer.is_hidden:
        at["spikes"][...] = bitmap_of(trace, spec, f"event/{index + 1}", layer.n_out).sum(-1)


def _add_learning(
    at: Fields,
    trace: SampleTrace,
    spec: CoreSpec,
    index: int,
    arrivals: Arrivals | None,
    lanes: int,
    trace_lanes: int,
) -> None:
    """The fields of one layer that only learning fills; `at`: field -> view [n_samples, n_steps]."""
    layer = spec.layers[index]
    shape = taps.map_of(layer)
    if layer.is_hidden:
        at["psi_nonzero"][...] = bitmap_of(trace, spec, f"psi/{index}", layer.n_out).sum(-1)
    if keeps_trace(spec, index) and arrivals is not None:
        after = bitmap_of(trace, spec, f"trace/{index}", layer.n_in)
        touched = arrivals > 0
        touched[:, 1:] |= after[:, :-1]  # not 0 before a step: not 0 after the step before; traces start at 0
        at["trace_words"][...] = words_with_any(taps.input_blocks(shape, touched), trace_lanes).sum(
            axis=(-1, -2, -3, -4)
        )
        at["trace_nonzero"][...] = after.sum(-1)
    signal = signal_of(trace, spec, index)
    blocks = taps.output_blocks(shape, signal)
    nonzero, words = blocks.sum(-1), words_with_any(blocks, lanes).sum(-1)
    everywhere = np.broadcast_to(np.int64(shape.channels // shape.groups), (shape.height, shape.width, shape.groups))
    at["signal_nonzero"][...], at["signal_words"][...] = _sum(nonzero), _sum(words)
    at["signal_steps"][...] = at["signal_nonzero"] > 0
    at["all_tap_words"][...] = taps.pair_sum(shape, everywhere, words)
    at["all_tap_products"][...] = taps.pair_sum(shape, everywhere, nonzero)
    _add_error(at, trace, spec, index, signal, lanes)
    if layer.learns and layer.kind != "feedback" and arrivals is not None:
        _add_update(at, trace, spec, index, arrivals, blocks, lanes, trace_lanes)


def _add_error(at: Fields, trace: SampleTrace, spec: CoreSpec, index: int, signal: Bitmap, lanes: int) -> None:
    layer = spec.layers[index]
    needed = np.zeros((len(trace.sample_indices), spec.n_steps, layer.n_in), dtype=np.bool_)
    back = [one for one in spec.connections(index) if one.carries_error and one.delay == 0 and one.source >= 0]
    for connection in back:
        psi = bitmap_of(trace, spec, f"psi/{connection.source}", connection.n_source)
        needed |= taps.arrived(connection, layer.n_in, psi) > 0
    if back:
        _count_error(at, spec, index, needed, signal, lanes)
    recurrent = spec.recurrent_connection(index)
    if recurrent is not None and spec.credit == "unroll":
        psi = bitmap_of(trace, spec, f"psi/{index}", layer.n_out)
        _count_error(at, spec, index, taps.arrived(recurrent, layer.n_in, psi) > 0, _later(signal, spec), lanes)


def _later(signal: Bitmap, spec: CoreSpec) -> Bitmap:
    """The signal of the step after, nothing past the end of a window."""
    later = np.zeros_like(signal)
    later[:, :-1] = signal[:, 1:]
    later[:, spec.window_steps - 1 :: spec.window_steps] = False
    return later


def _count_error(at: Fields, spec: CoreSpec, index: int, needed: Bitmap, signal: Bitmap, lanes: int) -> None:
    shape = taps.map_of(spec.layers[index])
    needed = needed & learning_steps(spec)[:, None]
    rows = taps.input_blocks(shape, needed).sum(-1)
    blocks = taps.output_blocks(shape, signal)
    at["psi_rows"][...] += _sum(rows)
    at["psi_taps"][...] += (rows * taps.reach(shape)).sum(axis=(-1, -2, -3))
    at["error_rows"][...] += _sum(rows) * signal.any(-1)
    at["error_words"][...] += taps.pair_sum(shape, rows, words_with_any(blocks, lanes).sum(-1))
    at["error_products"][...] += taps.pair_sum(shape, rows, blocks.sum(-1))


def _add_update(
    at: Fields,
    trace: SampleTrace,
    spec: CoreSpec,
    index: int,
    arrivals: Arrivals,
    signal: Bitmap,
    lanes: int,
    trace_lanes: int,
) -> None:
    layer = spec.layers[index]
    shape = taps.map_of(layer)
    factors = taps.input_blocks(shape, presynaptic(trace, spec, index, arrivals) & learning_steps(spec)[:, None])
    rows, tiles = factors.sum(-1), words_with_any(factors, trace_lanes).sum(-1)
    nonzero, words = signal.sum(-1), words_with_any(signal, lanes).sum(-1)
    steps = learning_steps(spec) * layer.bias
    at["presynaptic_rows"][...] = _sum(rows) + steps * layer.n_bias_rows
    at["presynaptic_taps"][...] = (rows * taps.reach(shape)).sum(axis=(-1, -2, -3)) + steps * layer.n_blocks
    at["update_rows"][...] = at["presynaptic_rows"] * at["signal_steps"]
    at["update_tiles"][...] = taps.pair_sum(shape, tiles, words)
    at["update_words"][...] = taps.pair_sum(shape, rows, words) + layer.bias * _sum(words)
    at["update_products"][...] = taps.pair_sum(shape, rows, nonzero) + layer.bias * _sum(nonzero)
    draws = spec.update == "immediate" and spec.weight_rounding == "stochastic"
    if layer.conv is None:
        at["weight_words"][...] = at["update_words"]
        if draws:
            at["random_advances"][...] = at["update_rows"] * words_with_any(signal, spec.rng_lanes).sum(
                axis=(-1, -2, -3, -4)
            )
        return
    at["weight_words"][...] = words_met(spec, index, factors, signal, lanes)
    if draws:
        at["random_advances"][...] = words_met(spec, index, factors, signal, spec.rng_lanes)


def words_met(spec: CoreSpec, index: int, factors: Bitmap, signal: Bitmap, lanes: int) -> Integers:
    """Words of `lanes` columns of a row that some product p·g ≠ 0 falls into, [n_samples, n_steps]."""
    layer = spec.layers[index]
    shape = taps.map_of(layer)
    met = np.zeros(factors.shape[:2], dtype=np.int64)
    words = words_with_any(signal, lanes)
    for cell in np.ndindex(*met.shape):
        met[cell] = np.count_nonzero(taps.met_rows(shape, factors[cell][None], words[cell][None]))
        met[cell] += int(layer.bias) * np.count_nonzero(words[cell].any(axis=(0, 1)))
    return met


def presynaptic(trace: SampleTrace, spec: CoreSpec, index: int, arrivals: Arrivals | None = None) -> Bitmap:
    """Input addresses of layer `index` with p ≠ 0, the bias left out, [n_samples, n_steps, n_in].

    With trace.gate > 0 the addresses with 0 < a < gate have p = 0, which "trace/<l>" does not tell: there is a bitmap
    of its own.
    """
    if not keeps_trace(spec, index):
        found: Bitmap = (arrivals if arrivals is not None else arrivals_of(trace, spec, index)) > 0
        return found
    name = "presynaptic" if spec.trace_gate > 0 else "trace"
    return bitmap_of(trace, spec, f"{name}/{index}", spec.layers[index].n_in)


def signal_of(trace: SampleTrace, spec: CoreSpec, index: int) -> Bitmap:
    """Outputs of layer `index` with a signal ≠ 0; a feedback layer has that of its readout."""
    readout = spec.layers[index].signal_of
    return bitmap_of(trace, spec, f"signal/{index if readout is None else readout}", spec.layers[index].n_out)


def learning_steps(spec: CoreSpec) -> Bitmap:
    """Which steps t = 1 ... T form errors and updates: those with a loss, under unroll all."""
    steps = range(1, spec.n_steps + 1)
    return np.array([spec.credit == "unroll" or spec.has_loss(step) for step in steps], dtype=np.bool_)


def _sum(per_block: Integers) -> Integers:
    total: Integers = per_block.sum(axis=(-1, -2, -3))
    return total


def bitmap_of(trace: SampleTrace, spec: CoreSpec, name: str, width: int) -> Bitmap:
    """A bitmap of the recording, [n_samples, n_steps, width].

    Raises:
        UserError: it is missing or has another shape.
    """
    shape = (len(trace.sample_indices), spec.n_steps, width)
    if name not in trace.bitmaps:
        raise UserError(f"the recorded samples have no bitmap {name}; run the experiment again to record it")
    bitmap = trace.bitmaps[name]
    if bitmap.shape != shape:
        raise UserError(f"bitmap {name} of the recorded samples has shape {bitmap.shape}, not {shape}")
    return bitmap
