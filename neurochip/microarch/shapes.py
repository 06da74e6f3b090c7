"""Shapes and widths that counts, cycles and footprint share: words of a row, bits of a signal."""

from __future__ import annotations

from neurochip.spec import LEAK_SHIFT, CoreSpec, LayerSpec

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


def keeps_trace(spec: CoreSpec, index: int) -> bool:
    """Whether the inputs of layer `index` have a trace."""
    return spec.credit == "trace" and spec.layers[index].keeps_trace


def n_rows(layer: LayerSpec) -> int:
    """Rows of the weight matrix: one per input, and the bias row."""
    return layer.n_in + (1 if layer.bias else 0)


def event_bits(spec: CoreSpec, index: int) -> int:
    """Bits of the magnitude of an input event of layer `index`: spikes of hidden layers have m = 1."""
    return spec.event_bits if index == 0 else 1


def potential_bits(spec: CoreSpec, index: int) -> int:
    """Bits of u of a hidden layer, of z for the readout."""
    return spec.membrane_bits if index < len(spec.layers) - 1 else spec.readout_bits


def readout_sum_bits(spec: CoreSpec) -> int:
    """Bits of Σz, the prediction: readout.bits + ⌈log2 T⌉."""
    return spec.readout_bits + ceil_log2(spec.n_steps)


def signal_bits(spec: CoreSpec, index: int) -> int:
    """Bits of the signal the update of layer `index` uses: e, g, or δ for hidden layers under unroll."""
    is_hidden = index < len(spec.layers) - 1
    return spec.delta_bits if spec.credit == "unroll" and is_hidden else spec.error_bits


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
    """Per step, (layer, bits) of what `unroll` keeps: input events, spikes and ψ codes per hidden layer, e.

    Each group starts at a word of the history memory.
    """
    groups = [(0, spec.layers[0].n_in * spec.event_bits)]
    groups += [(index, layer.n_out * (1 + spec.surrogate_bits)) for index, layer in enumerate(spec.layers[:-1])]
    groups.append((len(spec.layers) - 1, spec.layers[-1].n_out * spec.error_bits))
    return groups
