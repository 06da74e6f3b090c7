"""Standardisation of `ottt_core`: work, clocks and the widths it needs (docs/microarchitecture.md, section 8.1)."""

from __future__ import annotations

from neurochip.microarch.ottt_core_site import Site, Work
from neurochip.microarch.shapes import ceil_log2, layer_learns
from neurochip.microarch.timing import read_latency
from neurochip.spec import CoreSpec

FACTOR_BITS = 32  # F is below 2^31, and signed like what it multiplies

Operation = tuple[str, tuple[int, ...]]


def standardise(site: Site) -> Work:
    """Two passes over the rows of every word, and root and quotient of its columns between them."""
    work = Work("standardise", site.index)
    if not site.learning or not is_standardised(site.spec, site.index):
        return work
    layer, times = site.layer, site.n_standardisations
    rows, words = times * layer.n_weight_rows, times * site.words
    weights, columns = rows * layer.columns, times * layer.columns
    work.add("synapse_read", site.synapse_word, 2 * rows * site.words)
    work.add("synapse_write", site.synapse_word, rows * site.words)
    work.add_all(weight_operations(site.spec, site.index), weights)
    work.add_all(column_operations(site.spec, site.index), columns)
    slots = site.stream(("synapse",))
    read_out = read_latency(site.chip, "synapse") + site.chip.pipeline_latency_cycles
    work.cycles = 2 * rows * site.words + 2 * site.chip.div_cycles * columns
    work.stall("port", rows * site.words * (slots.ii - 1))
    work.stall("latency", words * (read_out + slots.drain))
    return work


def is_standardised(spec: CoreSpec, index: int) -> bool:
    """Whether a layer is brought back while the rule of `spec` learns."""
    return spec.is_standardised(index) and layer_learns(spec, index)


def weight_operations(spec: CoreSpec, index: int) -> tuple[Operation, ...]:
    """Operations per weight: its part in S1 and S2, then K·W − S1, times F, shifted by p."""
    b, k = spec.weight_bits, ceil_log2(spec.layers[index].n_weight_rows)
    return (
        ("add", (b + k,)),
        ("mac", (b, b, 2 * b + k)),
        ("mac", (k + 1, b, b + k + 1)),
        ("mul", (b + k + 1, FACTOR_BITS)),
        ("shift", (b + k + 1 + FACTOR_BITS,)),
    )


def column_operations(spec: CoreSpec, index: int) -> tuple[Operation, ...]:
    """Operations per column: K·S2, S1², V, its root R, and C/R."""
    layer, b = spec.layers[index], spec.weight_bits
    k = ceil_log2(layer.n_weight_rows)
    return (
        ("mul", (k + 1, 2 * b + k)),
        ("mul", (b + k, b + k)),
        ("add", (2 * b + 2 * k,)),
        ("div", (2 * b + 2 * k, b + k)),
        ("div", (layer.standardise_constant.bit_length(), b + k)),
    )


def units(spec: CoreSpec) -> dict[tuple[str, str], tuple[int, ...]]:
    """Widest operands of the units that standardisation takes: (operation, "lane" or "core") -> widths in bits.

    The divider is that of the core; all else is done in the lanes. Empty without standardisation.
    """
    widest: dict[tuple[str, str], tuple[int, ...]] = {}
    for index in range(len(spec.layers)):
        if not is_standardised(spec, index):
            continue
        for key, widths in (*weight_operations(spec, index), *column_operations(spec, index)):
            # The wider operand first; the dividend and the accumulator of a sum keep their places.
            operands = widths if key == "div" else (*sorted(widths[:2], reverse=True), *widths[2:])
            place = (key, "core" if key == "div" else "lane")
            before = widest.get(place, (0,) * len(operands))
            widest[place] = tuple(map(max, before, operands))
    return widest
