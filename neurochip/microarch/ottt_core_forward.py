"""Forward phases of `ottt_core`: deliver, fire, trace, history (docs/microarchitecture.md, sections 3 to 5 and 9).

The clocks of deliver, and of fire in hidden layers, are those of the groups (ottt_core_groups.py).
"""

from __future__ import annotations

from neurochip.microarch.footprint import history_words_per_step
from neurochip.microarch.ottt_core_site import Site, Work
from neurochip.microarch.shapes import (
    ceil_div,
    fifo_bits,
    history_groups_bits,
    keeps_trace,
    leak_operations,
    potential_bits,
    readout_sum_bits,
    trace_words,
    values_per_trace,
)
from neurochip.microarch.timing import burst_cycles, read_latency
from neurochip.spec import LEAK_NONE, NETWORK_INPUT

SURROGATE_INDEX_BITS = 6  # 64 entries, semantics section 2


def deliver(site: Site) -> Work:
    """The bias and every input event add their rows of weights to the potentials, tap by tap, word by word."""
    work = Work("deliver", site.index)
    if not site.runs:
        return work
    layer, events = site.layer, site.seen["events"]
    taps = events if layer.conv is None else site.seen["deliver_taps"]
    bias_taps = site.sample_steps * layer.n_blocks if layer.bias else 0
    row_words = (taps + bias_taps) * site.words
    work.add("event_fifo_write", (fifo_bits(site.spec, site.index),), events)
    work.add("event_fifo_read", (fifo_bits(site.spec, site.index),), events)
    work.add(site.access("synapse_read"), site.synapse_word, row_words)
    work.add("neuron_read", site.potential_word, row_words)
    work.add("neuron_write", site.potential_word, row_words)
    potential, graded = potential_bits(site.spec, site.index), _graded_taps(site)
    work.add("ac", (potential,), (taps - graded) * layer.columns)
    work.add("mac", (site.spec.weight_bits, site.spec.event_bits), graded * layer.columns)
    work.add("add", (potential,), bias_taps * layer.columns)
    return work


def _graded_taps(site: Site) -> int:
    """Taps of events with m ≠ 1; in a convolution totals cannot tell them from the others of the network's input."""
    if site.layer.conv is None:
        return site.seen["graded_events"]
    from_network = any(c.source == NETWORK_INPUT for c in site.spec.connections(site.index))
    return site.seen["deliver_taps"] if from_network and site.spec.event_bits > 1 else 0


def fire(site: Site) -> Work:
    """Every step ends with one pass over the potentials of a hidden layer, or over the sums of a readout."""
    if not site.runs:
        return Work("fire", site.index)
    return _read_out(site) if site.is_readout else _fire_hidden(site)


def _fire_hidden(site: Site) -> Work:
    """Threshold, reset, ψ; the word is written back leaked, ready for the next step."""
    work = Work("fire", site.index)
    spec, layer = site.spec, site.layer
    pass_words, neurons = site.sample_steps * site.vector_words, site.sample_steps * layer.n_out
    width = (spec.membrane_bits,)
    work.add("neuron_read", site.potential_word, pass_words)
    work.add("neuron_write", site.potential_word, pass_words)
    work.add("compare", width, neurons)
    work.add_all(leak_operations(layer.leak_kind, spec.membrane_bits), neurons)
    _add_current(site, neurons, work)
    if layer.reset == "subtract":
        work.add("add", width, site.seen["spikes"])
    if site.learning:
        work.add("add", width, neurons)  # u − θ
        work.add("lut", (SURROGATE_INDEX_BITS, spec.surrogate_bits), neurons)
        if not site.unrolls:
            work.add("error_write", site.surrogate_word, pass_words)
    return work


def _read_out(site: Site) -> Work:
    """z is added to Σz (heads have none), and its words are set to 0, or leaked, for the next step."""
    work = Work("fire", site.index)
    spec, layer, pass_words = site.spec, site.layer, site.sample_steps * site.words
    classes = site.sample_steps * layer.n_out
    work.add("neuron_read", site.potential_word, pass_words)
    work.add("neuron_write", site.potential_word, pass_words)
    if layer.leak_kind != LEAK_NONE:
        work.add_all(leak_operations(layer.leak_kind, spec.readout_bits), classes)
    _add_current(site, classes, work)
    if not site.is_head:
        sum_bits = readout_sum_bits(spec)
        sum_word = (site.chip.lanes * sum_bits,)
        work.add("neuron_read", sum_word, pass_words)
        work.add("neuron_write", sum_word, pass_words)
        work.add("add", (sum_bits,), classes)
    # z and Σz are two vectors in one memory: two slots per word.
    slots, slot_words = site.stream(("neuron",)), pass_words * (1 if site.is_head else 2)
    work.cycles = slot_words
    work.stall("port", slot_words * (slots.ii - 1))
    work.stall("latency", site.sample_steps * slots.drain)
    return work


def _add_current(site: Site, outputs: int, work: Work) -> None:
    """The synaptic current of every output goes into its u or z, and leaks."""
    if site.layer.has_current:
        bits = potential_bits(site.spec, site.index)
        work.add("add", (bits,), outputs)
        work.add_all(leak_operations(site.layer.current_leak_kind, bits), outputs)


def trace(site: Site) -> Work:
    """Every trace word that holds a nonzero trace or an event decays and takes its events; f before a."""
    work = Work("trace", site.index)
    if not site.learning or not keeps_trace(site.spec, site.index):
        return work
    chip, layer, bits = site.chip, site.layer, site.spec.trace_bits
    touched, per_word = site.seen["trace_words"], values_per_trace(site.spec, site.index)
    lanes, words = touched * chip.trace_lanes, touched * per_word
    work.add("trace_read", site.trace_word, words)
    work.add("trace_write", site.trace_word, words)
    work.add_all(leak_operations(layer.trace_leak_kind, bits), lanes)
    work.add("add", (bits,), site.seen["events"])
    if per_word == 2:
        work.add_all(leak_operations(layer.filter_leak_kind, bits), lanes)
        work.add("add", (bits,), lanes)  # f
    if site.spec.trace_gate > 0:
        work.add("compare", (bits,), lanes)  # decides the bit of the scanned bitmap
    windows = site.sample_steps * ceil_div(trace_words(layer, chip.trace_lanes), chip.scan_width)
    clears = site.n_samples  # all valid bits at once, one clock
    slots = site.stream(("trace",))
    work.cycles = words + clears
    work.stall("port", words * (slots.ii - 1))
    work.stall("scan", windows * slots.ii)
    work.stall("latency", site.sample_steps * slots.drain)
    return work


def history(site: Site) -> Work:
    """What the reverse pass needs is written once per step and read back once."""
    work = Work("history", site.index)
    if not site.unrolls:
        return work
    word_bits = site.chip.history_word_bits
    for index, bits in history_groups_bits(site.spec):
        if index == site.index:
            words = site.sample_steps * ceil_div(bits, word_bits)
            work.add(site.access("history_write"), (word_bits,), words)
            work.add(site.access("history_read"), (word_bits,), words)
    if site.index == len(site.spec.layers) - 1:  # groups of all layers follow one another: clocks are those of the step
        _history_clocks(site, work)
    return work


def _history_clocks(site: Site, work: Work) -> None:
    per_step = history_words_per_step(site.spec, site.chip)
    if "history" in site.spilled:
        work.stall("dram", 2 * site.sample_steps * burst_cycles(site.chip, per_step, site.chip.history_word_bits))
    else:
        work.cycles = 2 * site.sample_steps * per_step
        work.stall("latency", site.sample_steps * read_latency(site.chip, "history"))
