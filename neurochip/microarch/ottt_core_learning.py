"""Learning phases of `ottt_core`: error, update, apply (docs/microarchitecture.md, sections 6 to 8)."""

from __future__ import annotations

from neurochip.microarch.ottt_core_site import Site, Work
from neurochip.microarch.shapes import (
    ceil_div,
    ceil_log2,
    event_bits,
    keeps_trace,
    leak_operations,
    n_rows,
    rate_bits,
)
from neurochip.microarch.timing import read_latency, slot_cycles

EXPONENTIAL_INDEX_BITS = 8  # 256 entries of 2^15·e^(−k/16), semantics section 2
EXPONENTIAL_BITS = 16
ERROR_ACCUMULATOR_BITS = 32
RANDOM_REGISTER_BITS = 32


def error(site: Site) -> Work:
    """e at the readout; then through the weights of this layer to the neurons of the layer below."""
    work = Work("error", site.index)
    if not site.learning:
        return work
    if site.is_readout:
        _softmax(site, work)
    if site.below is not None:
        _back_in_space(site, site.below, work)
        if site.unrolls:
            _back_in_time(site, site.below, work)
    return work


def _softmax(site: Site, work: Work) -> None:
    """Maximum, difference and table, sum, division, minus the label: four passes over the classes and a divider."""
    spec, chip = site.spec, site.chip
    n_classes = site.layer.n_out
    classes = site.sample_steps * n_classes
    z_bits, sum_bits = spec.readout_bits, EXPONENTIAL_BITS + ceil_log2(n_classes)
    work.add("compare", (z_bits,), classes)
    work.add("add", (z_bits,), classes)
    work.add("shift", (z_bits,), classes)
    work.add("lut", (EXPONENTIAL_INDEX_BITS, EXPONENTIAL_BITS), classes)
    work.add("add", (sum_bits,), classes)
    work.add("div", (EXPONENTIAL_BITS + site.layer.frac_error, sum_bits), classes)
    work.add("add", (spec.error_bits,), classes)
    divisions = 1
    if spec.mse_share_q > 0:
        factor_bits = 9 + ceil_log2(n_classes)  # (256 − A)·C
        work.add("mul", (z_bits, factor_bits), 3 * classes)
        work.add("add", (z_bits + factor_bits,), 2 * classes)
        work.add("div", (z_bits + factor_bits, factor_bits), classes)
        divisions = 2
    work.add("error_write", site.error_word, site.sample_steps * site.words)
    passes = 5 if site.unrolls else 4  # e goes to the history, and is written here after it has been read back
    work.cycles += site.sample_steps * (passes * site.words + divisions * n_classes * chip.div_cycles)
    work.stall("latency", site.sample_steps * chip.pipeline_latency_cycles)


def _back_in_space(site: Site, below: Site, work: Work) -> None:
    """d = W g for the rows the gates leave, then g = d·ψ; rows of this layer are neurons of the layer below."""
    spec, chip = site.spec, site.chip
    rows, row_words, products = error_rows(site, below)
    in_dram = "synapse" in site.spilled
    fetched = rows_fetched(site, below) if in_dram else 0
    work.add(site.access("synapse_read"), site.synapse_word, fetched * site.words if in_dram else row_words)
    work.add("error_read", site.signal_word, row_words)
    work.add("mac", (spec.weight_bits, site.signal_bits, ERROR_ACCUMULATOR_BITS), products)
    work.add("mul", (spec.error_bits, spec.surrogate_bits), rows, below.index)
    work.add("shift", (ERROR_ACCUMULATOR_BITS,), rows, below.index)
    work.add("shift", (spec.error_bits + spec.surrogate_bits,), rows, below.index)
    vector_words = site.sample_steps * below.words
    if not site.unrolls:  # under unroll ψ comes from the history and g goes straight into δ
        work.add("error_read", below.surrogate_word, vector_words, below.index)
        work.add("error_write", below.error_word, vector_words, below.index)
    slot = slot_cycles(chip, "error")
    work.cycles += row_words + vector_words
    work.stall("scan", site.sample_steps * below.windows_of_outputs)
    work.stall("port", vector_words * (slot - 1))
    work.stall("latency", site.sample_steps * _flush_slots(site, slot) * slot)
    if in_dram:
        work.stall("dram", fetched * site.burst(site.synapse_word))


def _flush_slots(site: Site, slot: int) -> int:
    """q = ⌈λ_E/II⌉: slots from a row word to its g, through lanes, adder tree and the product with ψ."""
    chip = site.chip
    reads = max(read_latency(chip, "synapse", site.spilled), read_latency(chip, "error"))
    return ceil_div(reads + ceil_log2(chip.lanes) + 2 * chip.pipeline_latency_cycles, slot)


def _back_in_time(site: Site, below: Site, work: Work) -> None:
    """δ of the layer below: leak, plus g, and minus the path through the reset if it is exact."""
    spec = site.spec
    neurons, vector_words = site.sample_steps * below.layer.n_out, site.sample_steps * below.words
    work.add("error_read", below.signal_word, vector_words, below.index)
    work.add("error_write", below.signal_word, vector_words, below.index)
    work.add_all(leak_operations(below.layer.leak_kind, spec.delta_bits), neurons, below.index)
    work.add("add", (spec.delta_bits,), neurons, below.index)
    if spec.reset_path == "exact":
        rows, _, _ = error_rows(site, below)
        factor_bits = spec.membrane_bits + spec.surrogate_bits
        work.add("mul", (spec.membrane_bits, spec.surrogate_bits), rows, below.index)
        work.add("mul", (factor_bits, spec.delta_bits), rows, below.index)
        work.add("shift", (factor_bits + spec.delta_bits,), rows, below.index)
        work.add("add", (spec.delta_bits,), rows, below.index)
    clears = site.n_samples  # δ[T+1] = 0: all valid bits at once, one clock
    work.cycles += clears


def error_rows(site: Site, below: Site) -> tuple[int, int, int]:
    """Rows, (row, word) pairs and products of the way back through this layer, for the gates of the site."""
    gates, seen = site.gates, site.seen
    n_out = site.layer.n_out
    all_rows = site.sample_steps * below.layer.n_out
    active_rows = below.seen["psi_nonzero"]
    if gates.zero_surrogate and gates.zero_error:
        return active_rows, seen["error_words"], seen["error_products"]
    if gates.zero_surrogate:
        return active_rows, active_rows * site.words, active_rows * n_out
    if gates.zero_error:
        n_below = below.layer.n_out
        return all_rows, n_below * seen["signal_words"], n_below * seen["signal_nonzero"]
    return all_rows, all_rows * site.words, all_rows * n_out


def rows_fetched(site: Site, below: Site) -> int:
    """Rows of this layer that come from DRAM on the way back: with zero_error only in steps with a signal."""
    if not site.gates.zero_error:
        return error_rows(site, below)[0]
    if site.gates.zero_surrogate:
        return site.seen["error_rows"]
    return below.layer.n_out * site.seen["signal_steps"]


def update_rows(site: Site) -> tuple[int, int, int]:
    """Rows, (row, word) pairs and products of the update of this layer, for the gates of the site."""
    gates, seen = site.gates, site.seen
    n_out = site.layer.n_out
    all_rows = site.sample_steps * n_rows(site.layer)
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
    if not site.learning:
        return work
    rows, row_words, products = update_rows(site)
    # A flag set with the errors tells a step without any signal; the gate then visits no row.
    visited_steps = site.seen["signal_steps"] if site.gates.zero_error else site.sample_steps
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
    signals = site.seen["signal_nonzero"] if site.gates.zero_error else site.sample_steps * site.layer.n_out
    work.add("mul", (rate_bits(spec), site.signal_bits), signals)
    p_bits = presynaptic_bits(site)
    if p_bits > 1:
        work.add("mac", (p_bits, scaled_bits), products)
        work.add("shift", (p_bits + scaled_bits,), products)
    else:
        work.add("ac", (scaled_bits,), products)
        work.add("shift", (scaled_bits,), products)
    _count_random_advances(site, site.seen["random_advances"], work)


def _accumulate_operations(site: Site, products: int, work: Work) -> None:
    spec = site.spec
    p_bits = presynaptic_bits(site)
    if p_bits > 1:
        work.add("mac", (p_bits, site.signal_bits, spec.gradient_bits), products)
    else:
        work.add("ac", (spec.gradient_bits,), products)
    if spec.gradient_shift(site.index) > 0:  # 0 unless gradient.frac was set by hand
        product_bits = site.signal_bits + (p_bits if p_bits > 1 else 0)
        work.add("shift", (product_bits,), products)


def presynaptic_bits(site: Site) -> int:
    """Bits of p: of a trace, or of an event (1: the product is an add)."""
    return site.spec.trace_bits if keeps_trace(site.spec, site.index) else event_bits(site.spec, site.index)


def _count_random_advances(site: Site, advances: int, work: Work) -> None:
    if site.spec.weight_rounding == "stochastic":
        work.add("rng", (RANDOM_REGISTER_BITS,), advances * site.spec.rng_lanes)


def apply(site: Site) -> Work:
    """Every gradient word that holds something is read, cleared, and taken into its weight word."""
    work = Work("apply", site.index)
    if not site.learning or site.spec.update != "accumulate":
        return work
    spec, chip = site.spec, site.chip
    words, products = site.applied["update_words"], site.applied["update_products"]
    row_steps = site.n_applies * n_rows(site.layer)
    for memory, width in (("gradient", site.gradient_word), ("synapse", site.synapse_word)):
        in_dram = memory in site.spilled
        moved = row_steps * site.words if in_dram else words
        work.add(site.access(f"{memory}_read"), width, moved)
        work.add(site.access(f"{memory}_write"), width, moved)
        if in_dram:
            work.stall("dram", 2 * row_steps * site.burst(width))
    work.add("mac", (spec.gradient_bits, rate_bits(spec)), products)
    work.add("shift", (spec.gradient_bits + rate_bits(spec),), products)
    _count_random_advances(site, site.applied["random_advances"], work)
    slots = site.stream(("gradient", "synapse"))
    work.cycles += words
    work.stall("port", words * (slots.ii - 1))
    if site.spilled & {"gradient", "synapse"}:  # all rows in turn, no scanner
        work.stall("latency", row_steps * slots.drain)
    else:
        windows = ceil_div(n_rows(site.layer) * site.words, chip.scan_width)
        work.stall("scan", site.n_applies * windows * slots.ii)
        work.stall("latency", site.n_applies * slots.drain)
    return work
