"""Every memory of the golden core, allocated once from the specification; its size is what was allocated.

See docs/decisions/0002-footprint.md for what belongs to which memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurochip.errors import UserError
from neurochip.reference.core.arithmetic import initial_register, signed_limits
from neurochip.reference.core.wiring import network_inputs, stores_partial_error
from neurochip.spec import LEAK_NONE, CoreSpec, LayerSpec

MEMORY_NAMES = ("synapse", "neuron", "trace", "error", "gradient", "history")
PARTIAL_SUM_BITS = 32


def learns(layer: LayerSpec) -> bool:
    """Whether the rule changes the weights of this layer: not those of feedback layers and frozen heads."""
    return layer.learns and layer.kind != "feedback"


def keeps_trace(spec: CoreSpec, layer: LayerSpec) -> bool:
    """Whether the inputs of this layer have a trace."""
    return spec.credit == "trace" and layer.keeps_trace and learns(layer)


def has_filter(spec: CoreSpec, layer: LayerSpec) -> bool:
    """Whether the trace of this layer has a second value, f."""
    return keeps_trace(spec, layer) and layer.filter_leak_kind != LEAK_NONE


def carries_delta(spec: CoreSpec, layer: LayerSpec) -> bool:
    """Whether the outputs of this layer carry an error back in time: neurons, and leaky readouts."""
    return spec.credit == "unroll" and (layer.is_hidden or (layer.kind == "readout" and layer.leak_kind != LEAK_NONE))


class Memories:
    """The state of the core: one list per memory and layer, empty where a layer has nothing there.

    Attributes:
        synapse: weights [layer][row][column]; the bias rows are the last ones and absent where there is no bias.
        potential: u of hidden layers [layer][neuron] (after the reset between steps).
        readout: z of readouts [layer][class].
        current: i of layers with a synaptic current, beside their u or z [layer][output].
        readout_sum: the sum of z of the last layer over the steps [class].
        trace, trace_filter: a and f [layer][input].
        bias_trace, bias_filter: the same of an address with an event in every step [layer][0], where bias rows have a
            trace; a register, not a memory.
        psi: surrogate codes of hidden layers [layer][neuron]; empty when the specification does not learn.
        signal: g of hidden layers and e of readouts [layer][neuron].
        delta: carried error of u or z of hidden layers and leaky readouts [layer][neuron], only for credit "unroll".
        delta_current: eps, that of i, beside the delta of layers with a synaptic current [layer][neuron].
        partial_error: X of connections whose error is not formed at once [layer][connection][input address].
        gradient, velocity: G and V, shaped like synapse, of the layers that learn; only for update "accumulate".
        history_*: what "unroll" keeps of every step of a window [step]...: magnitudes of the input of the network,
            spikes and codes of hidden layers, e of readouts.
        registers: random registers [layer][lane].
    """

    def __init__(self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]]) -> None:
        self.spec = spec
        layers, learning = spec.layers, spec.credit != "none"
        self.synapse = load_weights(spec, weights)
        self.potential = [[0] * (layer.n_out if layer.is_hidden else 0) for layer in layers]
        self.readout = [[0] * (layer.n_out if self._is_read(index) else 0) for index, layer in enumerate(layers)]
        self.current = [
            [0] * len(u or z) if layer.has_current else []
            for layer, u, z in zip(layers, self.potential, self.readout, strict=True)
        ]
        self.readout_sum = [0] * layers[-1].n_out
        self.trace = [[0] * (layer.n_in if keeps_trace(spec, layer) else 0) for layer in layers]
        self.trace_filter = [[0] * (layer.n_in if has_filter(spec, layer) else 0) for layer in layers]
        self.bias_trace = [[0] * (1 if spec.bias_trace and keeps_trace(spec, layer) else 0) for layer in layers]
        self.bias_filter = [[0] * (1 if spec.bias_trace and has_filter(spec, layer) else 0) for layer in layers]
        self.psi = [[0] * (layer.n_out if learning and layer.is_hidden else 0) for layer in layers]
        self.signal = [[0] * (layer.n_out if learning and layer.kind != "feedback" else 0) for layer in layers]
        self.delta = [[0] * (layer.n_out if carries_delta(spec, layer) else 0) for layer in layers]
        self.delta_current = [
            [0] * len(delta) if layer.has_current else [] for layer, delta in zip(layers, self.delta, strict=True)
        ]
        self.partial_error = [
            [[0] * (c.n_addresses if stores_partial_error(spec, i, c) else 0) for c in spec.connections(i)]
            for i in range(len(layers))
        ]
        self.gradient = self._plastic(learning and spec.update == "accumulate")
        self.velocity = self._plastic(learning and spec.update == "accumulate" and spec.momentum_shift > 0)
        n_kept = spec.window_steps if spec.credit == "unroll" else 0
        self.history_input = [[0] * network_inputs(spec) for _ in range(n_kept)]
        self.history_spike = [[[0] * len(u) for u in self.potential] for _ in range(n_kept)]
        self.history_psi = [[[0] * len(u) for u in self.potential] for _ in range(n_kept)]
        self.history_error = [[[0] * len(z) for z in self.readout] for _ in range(n_kept)]
        self.registers = [
            [initial_register(spec.seed, index, lane) for lane in range(spec.rng_lanes)] for index in range(len(layers))
        ]

    def _is_read(self, index: int) -> bool:
        """Whether a layer has a z: the last one, and with a rule that learns the heads."""
        last = index == len(self.spec.layers) - 1
        return last or (self.spec.layers[index].kind == "readout" and self.spec.credit != "none")

    def _plastic(self, stored: bool) -> list[list[list[int]]]:
        """Zeros shaped like the weights of the layers that learn; nothing at all unless `stored`."""
        if not stored:
            return []
        return [
            [[0] * len(row) for row in rows] if learns(layer) else []
            for layer, rows in zip(self.spec.layers, self.synapse, strict=True)
        ]

    def start_sample(self) -> None:
        """Set u_after_reset, z, i, a, f, delta, eps and the sum of z to 0."""
        traces = (*self.trace, *self.trace_filter, *self.bias_trace, *self.bias_filter)
        carried = (*self.delta, *self.delta_current)
        for values in (*self.potential, *self.readout, *self.current, *traces, *carried, self.readout_sum):
            values[:] = [0] * len(values)

    def start_reverse(self) -> None:
        """Delta and eps past the end of a window are 0."""
        for values in (*self.delta, *self.delta_current):
            values[:] = [0] * len(values)

    def footprint_bits(self) -> dict[str, int]:
        """Bits of each memory: numbers found in the allocated lists times the bits of their format."""
        spec = self.spec
        sum_bits = spec.readout_bits + (spec.n_steps - 1).bit_length()  # + ceil(log2 T)
        bits = dict.fromkeys(MEMORY_NAMES, 0)
        # Heads and feedback layers do nothing without learning: their weights are held here only to be given back.
        used = [rows for index, rows in enumerate(self.synapse) if spec.layers[index].is_hidden or self._runs(index)]
        # Under unroll psi and e come from the history, and g and the e of a leaky readout go into delta at once.
        unrolls = spec.credit == "unroll"
        signal = [
            values
            for layer, values in zip(spec.layers, self.signal, strict=True)
            if not (unrolls and (layer.is_hidden or carries_delta(spec, layer)))
        ]
        contents: tuple[tuple[str, int, Any], ...] = (
            ("synapse", spec.weight_bits, used),
            ("neuron", spec.membrane_bits, [self.potential, self._currents(hidden=True)]),
            ("neuron", spec.readout_bits, [self.readout, self._currents(hidden=False)]),
            ("neuron", sum_bits, self.readout_sum),
            ("trace", spec.trace_bits, [self.trace, self.trace_filter]),
            ("error", spec.surrogate_bits, [] if unrolls else self.psi),
            ("error", spec.error_bits, signal),
            ("error", spec.delta_bits, [self.delta, self.delta_current]),
            ("error", PARTIAL_SUM_BITS, self.partial_error),
            ("gradient", spec.gradient_bits, [self.gradient, self.velocity]),
            ("history", spec.event_bits, self.history_input),
            ("history", 1, self.history_spike),
            ("history", spec.surrogate_bits, self.history_psi),
            ("history", spec.error_bits, self.history_error),
        )
        for name, number_bits, stored in contents:
            bits[name] += number_bits * count_numbers(stored)
        return bits

    def _currents(self, hidden: bool) -> list[list[int]]:
        """i of the hidden layers, which has the format of u, or of the readouts, which has that of z."""
        return [i for layer, i in zip(self.spec.layers, self.current, strict=True) if layer.is_hidden == hidden]

    def _runs(self, index: int) -> bool:
        return self.spec.credit != "none" or index == len(self.spec.layers) - 1


def count_numbers(stored: Any) -> int:
    """Count the integers in nested lists by walking them."""
    return sum(count_numbers(item) for item in stored) if isinstance(stored, list) else 1


def load_weights(spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]]) -> list[list[list[int]]]:
    """Copy [layer][rows and bias rows][columns] weights into the synapse memory, without absent bias rows.

    Raises:
        UserError: on a wrong shape, a weight outside its format, or a bias other than 0 where there is none.
    """
    if len(weights) != len(spec.layers):
        raise UserError(f"weights hold {len(weights)} layers; the specification has {len(spec.layers)}")
    lowest, highest = signed_limits(spec.weight_bits)
    synapse = []
    for index, (layer, given) in enumerate(zip(spec.layers, weights, strict=True)):
        rows = [[int(w) for w in row] for row in given]
        n_rows = layer.n_weight_rows + layer.n_bias_rows
        if len(rows) != n_rows or any(len(row) != layer.columns for row in rows):
            raise UserError(f"weights of layer {index} must be {n_rows} rows of {layer.columns} columns")
        if any(not lowest <= w <= highest for row in rows for w in row):
            raise UserError(f"weights of layer {index} must lie in {lowest} to {highest}")
        if not layer.bias:
            if any(w for row in rows[layer.n_weight_rows :] for w in row):
                raise UserError(f"layer {index} has no bias: its last row of weights must be 0")
            del rows[layer.n_weight_rows :]
        synapse.append(rows)
    return synapse
