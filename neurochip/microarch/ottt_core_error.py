"""ERROR of `ottt_core`: softmax, back in space, GATE, back in time (docs/microarchitecture.md, section 6)."""

from __future__ import annotations

from neurochip.microarch.error_paths import (
    ErrorPath,
    delayed_path,
    forward_paths,
    input_addresses,
    is_gated_apart,
    kept_words,
    n_taps,
    paths_to,
    x_words,
)
from neurochip.microarch.ottt_core_site import Site, Work
from neurochip.microarch.shapes import ceil_div, ceil_log2, leak_operations, vector_words
from neurochip.microarch.timing import read_latency, slot_cycles

EXPONENTIAL_INDEX_BITS = 8  # 256 entries of 2^15·e^(−k/16), semantics section 2
EXPONENTIAL_BITS = 16
ERROR_ACCUMULATOR_BITS = 32


def error(site: Site) -> Work:
    """e at a readout; then back through the weights of this layer, and out of x words into its own g."""
    work = Work("error", site.index)
    if not site.learning:
        return work
    if site.is_readout:
        _softmax(site, work)
        _write_error(site, work)
    passes = error_passes(site)
    if passes:
        _read_rows(site, passes, work)
    for paths in passes:
        if paths[0].direct:
            _direct(site, paths[0], work)
        else:
            _partial_sums(site, paths, work)
    if site.layer.is_hidden and is_gated_apart(site.spec, site.index):
        _gate(site, work)
    return work


def error_passes(site: Site) -> list[list[ErrorPath]]:
    """Passes over rows of this layer: of all its connections that carry error, and of the delayed one."""
    paths, delayed = forward_paths(site.spec, site.index), delayed_path(site.spec, site.index)
    return [one for one in (paths, [delayed] if delayed is not None else []) if one]


def _softmax(site: Site, work: Work) -> None:
    """Maximum, difference and table, sum, division, minus the label: four passes over the classes and a divider."""
    spec, chip = site.spec, site.chip
    n_classes = site.layer.n_out
    classes = site.loss_steps * n_classes
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
    work.cycles += site.loss_steps * (4 * site.words + divisions * n_classes * chip.div_cycles)
    work.stall("latency", site.loss_steps * chip.pipeline_latency_cycles)


def _write_error(site: Site, work: Work) -> None:
    """e is written as it is formed; under unroll, where it goes to the history, after that has been read back."""
    words, classes = site.error_steps * site.words, site.error_steps * site.layer.n_out
    if not site.carries_delta:
        work.add("error_write", site.error_word, words)
        work.cycles += words if site.unrolls else 0
        return
    work.add("error_read", site.signal_word, words)
    work.add("error_write", site.signal_word, words)
    _carry(site, site.index, classes, work)
    slots = site.stream(("error",))
    work.cycles += words + _clears(site)
    work.stall("port", words * (slots.ii - 1))
    work.stall("latency", site.error_steps * slots.drain)


def _carry(site: Site, index: int, outputs: int, work: Work) -> None:
    """δ of layer `index` leaks and takes its error; with a synaptic current ε leaks and takes δ."""
    layer, bits = site.spec.layers[index], site.spec.delta_bits
    kinds = (layer.leak_kind, layer.current_leak_kind) if layer.has_current else (layer.leak_kind,)
    for kind in kinds:
        work.add_all(leak_operations(kind, bits), outputs, index)
        work.add("add", (bits,), outputs, index)


def _clears(site: Site) -> int:
    """δ past the end of a window is 0: all valid bits of a layer at once, one clock per window."""
    return site.n_samples * ceil_div(site.spec.n_steps, site.spec.window_steps)


def _read_rows(site: Site, passes: list[list[ErrorPath]], work: Work) -> None:
    """X = Σ W·signal over the taps of the rows the gates leave; the fields hold all passes over rows of this layer."""
    paths = [path for one in passes for path in one]
    _, row_words, products = error_rows(site, paths)
    in_dram = "synapse" in site.spilled
    fetched = rows_fetched(site, paths) if in_dram else 0
    work.add(site.access("synapse_read"), site.synapse_word, fetched * site.words if in_dram else row_words)
    work.add("error_read", site.signal_word, row_words)
    work.add("mac", (site.spec.weight_bits, site.signal_bits, ERROR_ACCUMULATOR_BITS), products)
    work.cycles += row_words
    if in_dram:
        work.stall("dram", fetched * site.burst(site.synapse_word))


def _direct(site: Site, path: ErrorPath, work: Work) -> None:
    """d and then g = d·ψ of the source in the flow, word by word of its outputs."""
    source = path.source
    rows = _gated_rows(site, source)
    words = site.error_steps * vector_words(site.spec.layers[source], site.chip.lanes)
    _form(site, source, rows, rows, words, work)
    _slot_clocks(site, [path], words, 2 * site.chip.pipeline_latency_cycles, work)


def _partial_sums(site: Site, paths: list[ErrorPath], work: Work) -> None:
    """X goes into x words, connection by connection; nothing is read in their slots."""
    words = site.error_steps * sum(x_words(site.spec, path, site.chip.lanes) for path in paths)
    work.add("error_write", site.partial_sum_word, words)
    _slot_clocks(site, paths, words, site.chip.pipeline_latency_cycles, work)


def _slot_clocks(site: Site, paths: list[ErrorPath], words: int, after_tree: int, work: Work) -> None:
    """A slot per word and q = ⌈λ_E/II⌉ to flush: λ_E from a row word through lanes, adder tree and what comes after."""
    slot = slot_cycles(site.chip, "error")
    reads = max(read_latency(site.chip, "synapse", site.spilled), read_latency(site.chip, "error"))
    flush = ceil_div(reads + ceil_log2(site.chip.lanes) + after_tree, slot)
    work.cycles += words
    work.stall("scan", site.error_steps * ceil_div(len(input_addresses(paths)), site.chip.scan_width))
    work.stall("port", words * (slot - 1))
    work.stall("latency", site.error_steps * flush * slot)


def _gate(site: Site, work: Work) -> None:
    """Per word of this layer: its x words are added to d, which becomes g."""
    paths, lanes = paths_to(site.spec, site.index), site.chip.lanes
    rows, words = _gated_rows(site, site.index), site.error_steps * site.vector_words
    kept = sum(kept_words(site.spec, path, lanes) for path in paths)
    work.add("error_read", site.partial_sum_word, site.error_steps * kept)
    if len(paths) > 1:
        work.add("add", (ERROR_ACCUMULATOR_BITS,), rows * (len(paths) - 1))
    _form(site, site.index, rows, rows * len(paths), words, work)
    ii = slot_cycles(site.chip, "error")
    slot = len(paths) + ii
    latency = read_latency(site.chip, "error") + 2 * site.chip.pipeline_latency_cycles
    work.cycles += words * (slot - ii + 1)
    work.stall("port", words * (ii - 1))
    work.stall("latency", site.error_steps * ceil_div(latency, slot) * slot)


def _gated_rows(site: Site, source: int) -> int:
    """Neurons of a hidden layer for which g is formed."""
    if site.gates.zero_surrogate:
        return site.psi_nonzero[source]
    return site.error_steps * site.spec.layers[source].n_out


def _form(site: Site, source: int, rows: int, sums: int, words: int, work: Work) -> None:
    """g of hidden layer `source` from `sums` values X shifted to d, beside its ψ; under unroll straight into δ."""
    spec, lanes = site.spec, site.chip.lanes
    work.add("mul", (spec.error_bits, spec.surrogate_bits), rows, source)
    work.add("shift", (ERROR_ACCUMULATOR_BITS,), sums, source)
    work.add("shift", (spec.error_bits + spec.surrogate_bits,), rows, source)
    if site.unrolls:
        _back_in_time(site, source, rows, words, work)
    else:
        work.add("error_read", (lanes * spec.surrogate_bits,), words, source)
        work.add("error_write", (lanes * spec.error_bits,), words, source)


def _back_in_time(site: Site, source: int, rows: int, words: int, work: Work) -> None:
    """δ of a hidden layer: leak, plus g, and minus the path through the reset if it is exact; ε where it has one."""
    spec, delta_word = site.spec, site.signal_word_of(source)
    work.add("error_read", delta_word, words, source)
    work.add("error_write", delta_word, words, source)
    _carry(site, source, site.error_steps * spec.layers[source].n_out, work)
    if spec.reset_path == "exact":
        factor_bits = spec.membrane_bits + spec.surrogate_bits
        work.add("mul", (spec.membrane_bits, spec.surrogate_bits), rows, source)
        work.add("mul", (factor_bits, spec.delta_bits), rows, source)
        work.add("shift", (factor_bits + spec.delta_bits,), rows, source)
        work.add("add", (spec.delta_bits,), rows, source)
    work.cycles += _clears(site)


def error_rows(site: Site, paths: list[ErrorPath]) -> tuple[int, int, int]:
    """Rows, (tap, word) pairs and products of the way back through this layer, for the gates of the site."""
    gates, seen, layer = site.gates, site.seen, site.layer
    addresses = input_addresses(paths)
    all_rows = site.error_steps * len(addresses)
    if gates.zero_surrogate and gates.zero_error:
        return seen["psi_rows"], seen["error_words"], seen["error_products"]
    if gates.zero_surrogate:
        taps = seen["psi_rows"] if layer.conv is None else seen["psi_taps"]
        return seen["psi_rows"], taps * site.words, taps * layer.columns
    if gates.zero_error and layer.conv is None:
        return all_rows, len(addresses) * seen["signal_words"], len(addresses) * seen["signal_nonzero"]
    if gates.zero_error:
        return all_rows, seen["all_tap_words"], seen["all_tap_products"]
    all_taps = site.error_steps * n_taps(site.spec, site.index, addresses)
    return all_rows, all_taps * site.words, all_taps * layer.columns


def rows_fetched(site: Site, paths: list[ErrorPath]) -> int:
    """Rows of this layer that come from DRAM on the way back: with zero_error only in steps with a signal."""
    if not site.gates.zero_error:
        return error_rows(site, paths)[0]
    if site.gates.zero_surrogate:
        return site.seen["error_rows"]
    return len(input_addresses(paths)) * site.seen["signal_steps"]
