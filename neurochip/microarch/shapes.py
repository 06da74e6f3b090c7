"""Shapes and widths that counts, cycles and footprint share: words of a row, bits of a signal."""

from __future__ import annotations

from neurochip.spec import LEAK_NONE, LEAK_SHIFT, NETWORK_INPUT, CoreSpec, LayerSpec

LEAK_CONSTANT_BITS = 16  # α of the constant leak is a 16-bit fraction


def ceil_div(a: int, b: int) -> int:
    """⌈a/b⌉."""
    return -(-a // b)


def ceil_log2(n: int) -> int:
    """⌈log2 n⌉ for n ≥ 1."""
    return (n - 1).bit_length()


def learns(spec: CoreSpec) -> bool:
    """Whether the rule changes weights."""
    return spec.credit != "none"


def layer_learns(spec: CoreSpec, index: int) -> bool:
    """Whether the rule changes the weights of this layer: not those of `feedback` layers and frozen heads."""
    return learns(spec) and spec.layers[index].learns and spec.layers[index].kind != "feedback"


def is_head(spec: CoreSpec, index: int) -> bool:
    """Whether a layer is a readout that is not the last layer."""
    return spec.layers[index].kind == "readout" and index < len(spec.layers) - 1


def runs_forward(spec: CoreSpec, index: int, learning: bool) -> bool:
    """Whether a layer takes events: `feedback` layers never do, heads only when learning."""
    return spec.layers[index].kind != "feedback" and (learning or not is_head(spec, index))


def is_stored(spec: CoreSpec, index: int) -> bool:
    """Whether a layer lies in the memories: `infer` stores neither heads nor `feedback` layers."""
    return learns(spec) or runs_forward(spec, index, learning=False)


def keeps_trace(spec: CoreSpec, index: int) -> bool:
    """Whether the inputs of layer `index` have a trace."""
    return spec.credit == "trace" and spec.layers[index].keeps_trace and layer_learns(spec, index)


def values_per_trace(spec: CoreSpec, index: int) -> int:
    """φ, trace words under one bit: 2 with a filter (f, then a), else 1; 0 without a trace."""
    if not keeps_trace(spec, index):
        return 0
    return 1 if spec.layers[index].filter_leak_kind == LEAK_NONE else 2


def carries_delta(spec: CoreSpec, index: int) -> bool:
    """Whether the outputs of a layer carry an error back in time: neurons, and leaky readouts, under unroll."""
    layer = spec.layers[index]
    leaky_readout = layer.kind == "readout" and layer.leak_kind != LEAK_NONE
    return spec.credit == "unroll" and (layer.is_hidden or leaky_readout)


def n_rows(layer: LayerSpec) -> int:
    """r, rows of the weight matrix with those of the bias."""
    return layer.n_weight_rows + (layer.n_bias_rows if layer.bias else 0)


def row_words(layer: LayerSpec, lanes: int) -> int:
    """W = ⌈o/L⌉, words of a row and of a block of outputs."""
    return ceil_div(layer.columns, lanes)


def vector_words(layer: LayerSpec, lanes: int) -> int:
    """Ω = B·W, words of a vector over the outputs: every block begins a new one."""
    return layer.n_blocks * row_words(layer, lanes)


def trace_words(layer: LayerSpec, trace_lanes: int) -> int:
    """n_M, M-words of the inputs: those of the channels of a group at a position, or of all inputs."""
    conv = layer.conv
    if conv is None:
        return ceil_div(layer.n_in, trace_lanes)
    return conv.height * conv.width * conv.groups * ceil_div(conv.channels // conv.groups, trace_lanes)


def network_inputs(spec: CoreSpec) -> int:
    """Addresses of the input of the network."""
    layers = range(len(spec.layers))
    return max((c.n_source for i in layers for c in spec.connections(i) if c.source == NETWORK_INPUT), default=0)


def event_bits(spec: CoreSpec, index: int) -> int:
    """Bits of the magnitude of an input event of layer `index`: spikes of hidden layers have m = 1."""
    return spec.event_bits if index == 0 else 1


def presynaptic_bits(spec: CoreSpec, index: int) -> int:
    """pb, bits of p: of a trace, or of the largest m_i (1: the product is an add)."""
    return spec.trace_bits if keeps_trace(spec, index) else spec.highest_magnitude(index).bit_length()


def potential_bits(spec: CoreSpec, index: int) -> int:
    """Bits of u of a hidden layer, of z of a readout."""
    return spec.membrane_bits if spec.layers[index].is_hidden else spec.readout_bits


def values_per_potential(layer: LayerSpec) -> int:
    """Values kept per neuron in a word of potentials: u or z, and with a synaptic current i beside it."""
    return 2 if layer.has_current else 1


def readout_sum_bits(spec: CoreSpec) -> int:
    """Bits of Σz, the prediction: readout.bits + ⌈log2 T⌉."""
    return spec.readout_bits + ceil_log2(spec.n_steps)


def signal_bits(spec: CoreSpec, index: int) -> int:
    """sb, bits of the signal of a layer: e, g, or δ (ε) of what carries one; a `feedback` layer has its readout's."""
    return spec.delta_bits if carries_delta(spec, _signal_source(spec, index)) else spec.error_bits


def values_per_signal(spec: CoreSpec, index: int) -> int:
    """Values kept per output in a word of signals: with a synaptic current δ beside its signal ε, else the signal."""
    source = _signal_source(spec, index)
    return 2 if carries_delta(spec, source) and spec.layers[source].has_current else 1


def _signal_source(spec: CoreSpec, index: int) -> int:
    """The layer whose signal this layer has: a `feedback` layer that of its readout."""
    signal_of = spec.layers[index].signal_of
    return index if signal_of is None else signal_of


def rate_bits(spec: CoreSpec) -> int:
    """Bits of m_η."""
    return spec.rate_multiplier.bit_length()


def fifo_bits(spec: CoreSpec, index: int) -> int:
    """Bits of an event on its way to layer `index`: its address and its magnitude."""
    return ceil_log2(spec.layers[index].n_in) + event_bits(spec, index)


def leak_operations(kind: str, bits: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Operations (key, widths) of one leak of a `bits` wide value: shift and add, or one multiplication."""
    if kind == LEAK_SHIFT:
        return (("shift", (bits,)), ("add", (bits,)))
    return (("mul", (bits, LEAK_CONSTANT_BITS)),)


def history_groups_bits(spec: CoreSpec) -> list[tuple[int, int]]:
    """Per step, (layer, bits) of what `unroll` keeps: input events, spikes and ψ codes per hidden layer, e per readout.

    Each group starts at a word of the history memory.
    """
    groups = [(0, network_inputs(spec) * spec.event_bits)]
    for index, layer in enumerate(spec.layers):
        if layer.is_hidden:
            groups.append((index, layer.n_out * (1 + spec.surrogate_bits)))
        elif layer.kind == "readout" and is_stored(spec, index):
            groups.append((index, layer.n_out * spec.error_bits))
    return groups
