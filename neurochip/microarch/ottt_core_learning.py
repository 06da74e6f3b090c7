"""Learning of `ottt_core` after the errors: update and apply (docs/microarchitecture.md, sections 7 and 8)."""

from __future__ import annotations

from neurochip.microarch.ottt_core_convolution import update_convolution
from neurochip.microarch.ottt_core_site import Site, Work
from neurochip.microarch.shapes import (
    ceil_div,
    keeps_trace,
    layer_learns,
    n_rows,
    presynaptic_bits,
    rate_bits,
)


def update_rows(site: Site) -> tuple[int, int, int]:
    """Rows, (row, word) pairs and products of the update of this layer, for the gates of the site."""
    gates, seen = site.gates, site.seen
    n_out = site.layer.n_out
    all_rows = site.error_steps * n_rows(site.layer)
    if gates.zero_trace and gates.zero_error:
        return seen["update_rows"], seen["update_words"], seen["update_products"]
    if gates.zero_trace:
        active_rows = seen["presynaptic_rows"]
        return active_rows, active_rows * site.words, active_rows * n_out
    if gates.zero_error:
        per_step = n_rows(site.layer)
        return per_step * seen["signal_steps"], per_step * seen["signal_words"], per_step * seen["signal_nonzero"]
    return all_rows, all_rows * site.words, all_rows * n_out


def update(site: Site) -> Work:
    """p·g of every row and word the gates leave, into the weights (immediate) or the gradients (accumulate)."""
    work = Work("update", site.index)
    if not site.learning or not layer_learns(site.spec, site.index):
        return work
    if site.layer.conv is not None:
        update_convolution(site, site.layer.conv, work)
        return work
    rows, row_words, products = update_rows(site)
    visited_steps = site.visited_steps
    immediate = site.spec.update == "immediate"
    memory = "synapse" if immediate else "gradient"
    word = site.synapse_word if immediate else site.gradient_word
    moved = rows * site.words if memory in site.spilled else row_words
    work.add(site.access(f"{memory}_read"), word, moved)
    work.add(site.access(f"{memory}_write"), word, moved)
    work.add("error_read", site.signal_word, row_words)
    if keeps_trace(site.spec, site.index):
        bias_rows = visited_steps if site.layer.bias else 0  # p of the bias row is a constant
        work.add("trace_read", site.trace_word, rows - bias_rows)
    if immediate:
        _immediate_operations(site, products, work)
    else:
        _accumulate_operations(site, products, work)
    slots = site.stream((memory,), ("error", "trace") if keeps_trace(site.spec, site.index) else ("error",))
    work.cycles = row_words
    work.stall("port", row_words * (slots.ii - 1))
    work.stall("scan", visited_steps * ceil_div(n_rows(site.layer), site.chip.scan_width) * slots.ii)
    if memory in site.spilled:  # every row is fetched, changed, drained and put back
        work.stall("latency", rows * slots.drain)
        work.stall("dram", 2 * rows * site.burst(word))
    else:
        work.stall("latency", visited_steps * slots.drain)
    return work


def _immediate_operations(site: Site, products: int, work: Work) -> None:
    """m_η·g once per signal, then p times that, shifted into the weight."""
    spec = site.spec
    scaled_bits = site.signal_bits + rate_bits(spec)
    signals = site.seen["signal_nonzero"] if site.gates.zero_error else site.error_steps * site.layer.n_out
    work.add("mul", (rate_bits(spec), site.signal_bits), signals)
    p_bits = presynaptic_bits(spec, site.index)
    if p_bits > 1:
        work.add("mac", (p_bits, scaled_bits), products)
        work.add("shift", (p_bits + scaled_bits,), products)
    else:
        work.add("ac", (scaled_bits,), products)
        work.add("shift", (scaled_bits,), products)
    work.add_random_advances(site, site.seen["random_advances"])


def _accumulate_operations(site: Site, products: int, work: Work) -> None:
    spec = site.spec
    p_bits = presynaptic_bits(spec, site.index)
    if p_bits > 1:
        work.add("mac", (p_bits, site.signal_bits, spec.gradient_bits), products)
    else:
        work.add("ac", (spec.gradient_bits,), products)
    if spec.gradient_shift(site.index) > 0:  # 0 unless gradient.frac was set by hand
        product_bits = site.signal_bits + (p_bits if p_bits > 1 else 0)
        work.add("shift", (product_bits,), products)


def apply(site: Site) -> Work:
    """Every gradient word that holds something is read, cleared, and taken into its weight word, through V or not."""
    work = Work("apply", site.index)
    if not site.learning or site.spec.update != "accumulate" or not layer_learns(site.spec, site.index):
        return work
    spec, chip = site.spec, site.chip
    words, products = site.applied["update_words"], site.applied["update_products"]
    row_steps, with_velocity = site.n_applies * n_rows(site.layer), spec.momentum_shift > 0
    for memory, width, values in (
        ("gradient", site.gradient_word, 2 if with_velocity else 1),
        ("synapse", site.synapse_word, 1),
    ):
        in_dram = memory in site.spilled
        moved = values * (row_steps * site.words if in_dram else words)
        work.add(site.access(f"{memory}_read"), width, moved)
        work.add(site.access(f"{memory}_write"), width, moved)
        if in_dram:
            work.stall("dram", 2 * values * row_steps * site.burst(width))
    if with_velocity:
        work.add("shift", (spec.gradient_bits,), words * chip.lanes)
        work.add("add", (spec.gradient_bits,), 2 * words * chip.lanes)
    work.add("mac", (spec.gradient_bits, rate_bits(spec)), products)
    work.add("shift", (spec.gradient_bits + rate_bits(spec),), products)
    work.add_random_advances(site, site.applied["random_advances"])
    _apply_clocks(site, words, row_steps, work)
    return work


def _apply_clocks(site: Site, words: int, row_steps: int, work: Work) -> None:
    """A stream over both memories; with momentum a word takes two slots, the other for V.

    Both slots have the same clocks, so that reads of a 1rw memory stay on even clocks of the stream.
    """
    slots = site.stream(("gradient", "synapse"))
    begun = words * (2 if site.spec.momentum_shift > 0 else 1)
    work.cycles += begun
    work.stall("port", begun * (slots.ii - 1))
    if site.spilled & {"gradient", "synapse"}:  # all rows in turn, no scanner
        work.stall("latency", row_steps * slots.drain)
    else:
        windows = ceil_div(n_rows(site.layer) * site.words, site.chip.scan_width)
        work.stall("scan", site.n_applies * windows * slots.ii)
        work.stall("latency", site.n_applies * slots.drain)
