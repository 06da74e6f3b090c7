"""Every memory of the golden core, allocated once from the specification; its size is what was allocated.

See docs/decisions/0002-footprint.md for what belongs to which memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurochip.errors import UserError
from neurochip.reference.core.arithmetic import initial_register, signed_limits
from neurochip.spec import CoreSpec, LayerSpec

MEMORY_NAMES = ("synapse", "neuron", "trace", "error", "gradient", "history")


def keeps_trace(spec: CoreSpec, layer: LayerSpec) -> bool:
    """Whether the inputs of this layer have a trace."""
    return spec.credit == "trace" and layer.keeps_trace


class Memories:
    """The state of the core, one list per memory and layer; hidden-only lists have no entry for the readout.

    Attributes:
        synapse: weights [layer][row][column]; the bias row is the last one and absent when the layer has no bias.
        potential: u of hidden layers [layer][neuron] (after the reset between steps).
        readout, readout_sum: z and the sum of z over the steps [class].
        trace: a [layer][input], an empty list where no trace is kept.
        psi: surrogate codes of hidden layers [layer][neuron]; empty when the specification does not learn.
        signal: g of hidden layers and e of the readout [layer][neuron].
        delta: carried error of hidden layers [layer][neuron], only for credit "unroll".
        gradient: G, shaped like synapse, only for update "accumulate".
        history_*: what "unroll" keeps of every step [step]...: magnitudes of the input addresses, spikes and codes of
            hidden layers, e of the readout.
        registers: random registers [layer][lane].
    """

    def __init__(self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]]) -> None:
        self.spec = spec
        hidden, readout = spec.layers[:-1], spec.layers[-1]
        learns = spec.credit != "none"
        self.synapse = load_weights(spec, weights)
        self.potential = [[0] * layer.n_out for layer in hidden]
        self.readout = [0] * readout.n_out
        self.readout_sum = [0] * readout.n_out
        self.trace = [[0] * (layer.n_in if keeps_trace(spec, layer) else 0) for layer in spec.layers]
        self.psi = [[0] * layer.n_out for layer in hidden if learns]
        self.signal = [[0] * layer.n_out for layer in spec.layers if learns]
        self.delta = [[0] * layer.n_out for layer in hidden if spec.credit == "unroll"]
        accumulates = learns and spec.update == "accumulate"
        self.gradient = [[[0] * len(row) for row in rows] for rows in self.synapse if accumulates]
        n_kept = spec.n_steps if spec.credit == "unroll" else 0
        self.history_input = [[0] * spec.layers[0].n_in for _ in range(n_kept)]
        self.history_spike = [[[0] * layer.n_out for layer in hidden] for _ in range(n_kept)]
        self.history_psi = [[[0] * layer.n_out for layer in hidden] for _ in range(n_kept)]
        self.history_error = [[0] * readout.n_out for _ in range(n_kept)]
        self.registers = [
            [initial_register(spec.seed, index, lane) for lane in range(spec.rng_lanes)]
            for index in range(len(spec.layers))
        ]

    def start_sample(self) -> None:
        """Set u_after_reset, a, delta and the sum of z to 0."""
        for values in (*self.potential, self.readout_sum, *self.trace, *self.delta):
            values[:] = [0] * len(values)

    def footprint_bits(self) -> dict[str, int]:
        """Bits of each memory: numbers found in the allocated lists times the bits of their format."""
        spec = self.spec
        sum_bits = spec.readout_bits + (spec.n_steps - 1).bit_length()  # + ceil(log2 T)
        bits = dict.fromkeys(MEMORY_NAMES, 0)
        # Under unroll psi comes from the history and g goes into delta at once: neither is stored on the way.
        unrolls = spec.credit == "unroll"
        contents: tuple[tuple[str, int, Any], ...] = (
            ("synapse", spec.weight_bits, self.synapse),
            ("neuron", spec.membrane_bits, self.potential),
            ("neuron", spec.readout_bits, self.readout),
            ("neuron", sum_bits, self.readout_sum),
            ("trace", spec.trace_bits, self.trace),
            ("error", spec.surrogate_bits, [] if unrolls else self.psi),
            ("error", spec.error_bits, self.signal[-1:] if unrolls else self.signal),
            ("error", spec.delta_bits, self.delta),
            ("gradient", spec.gradient_bits, self.gradient),
            ("history", spec.event_bits, self.history_input),
            ("history", 1, self.history_spike),
            ("history", spec.surrogate_bits, self.history_psi),
            ("history", spec.error_bits, self.history_error),
        )
        for name, number_bits, stored in contents:
            bits[name] += number_bits * count_numbers(stored)
        return bits


def count_numbers(stored: Any) -> int:
    """Count the integers in nested lists by walking them."""
    return sum(count_numbers(item) for item in stored) if isinstance(stored, list) else 1


def load_weights(spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]]) -> list[list[list[int]]]:
    """Copy [layer][N_in + 1][N_out] weights into the synapse memory, without the bias row of layers that have none.

    Raises:
        UserError: on a wrong shape, a weight outside its format, or a bias other than 0 where there is none.
    """
    if len(weights) != len(spec.layers):
        raise UserError(f"weights hold {len(weights)} layers; the specification has {len(spec.layers)}")
    lowest, highest = signed_limits(spec.weight_bits)
    synapse = []
    for index, (layer, given) in enumerate(zip(spec.layers, weights, strict=True)):
        rows = [[int(w) for w in row] for row in given]
        if len(rows) != layer.n_in + 1 or any(len(row) != layer.n_out for row in rows):
            raise UserError(f"weights of layer {index} must be {layer.n_in + 1} rows of {layer.n_out} columns")
        if any(not lowest <= w <= highest for row in rows for w in row):
            raise UserError(f"weights of layer {index} must lie in {lowest} to {highest}")
        bias = rows[-1]
        if not layer.bias:
            del rows[-1]
            if any(bias):
                raise UserError(f"layer {index} has no bias: its last row of weights must be 0")
        synapse.append(rows)
    return synapse
