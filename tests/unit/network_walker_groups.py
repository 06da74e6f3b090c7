"""The forward groups of a whole network for the simulation of every clock: which words events lead to, and when."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

from network_walker_state import Moment

from neurochip.spec import CoreSpec, LayerSpec

Event = tuple[int, ...]


def words_of(layer: LayerSpec, lanes: int) -> int:
    return -(-layer.columns // lanes)


def event_words(layer: LayerSpec, address: int, lanes: int) -> Event:
    """The neuron words of the taps of an input address, in order."""
    taps = layer.conv.taps(address) if layer.conv else [(address, 0)]
    w = words_of(layer, lanes)
    return tuple(block * w + word for _, block in taps for word in range(w))


def first_words(spec: CoreSpec, lanes: int) -> list[int]:
    found, address = [], 0
    for index, layer in enumerate(spec.layers):
        found.append(address)
        is_head = layer.kind == "readout" and index < len(spec.layers) - 1
        if layer.kind != "feedback" and not (is_head and spec.credit == "none"):
            address += layer.n_blocks * words_of(layer, lanes)
    return found


def ticked(ticks: ModuleType, spec: CoreSpec, chip: Any, sample: list[Moment], learning: bool) -> Counter[str]:
    """Clocks of all groups of one sample."""
    total: Counter[str] = Counter()
    neuron, synapse = chip.memories["neuron"], chip.memories["synapse"]
    latency = max(neuron.read_latency_cycles, synapse.read_latency_cycles) + chip.pipeline_latency_cycles
    first = first_words(spec, chip.lanes)
    for t in range(spec.n_steps):
        fired: set[int] = set()
        for index, layer in enumerate(spec.layers):
            is_head = layer.kind == "readout" and index < len(spec.layers) - 1
            if layer.kind == "feedback" or (is_head and not learning):
                continue
            connections = spec.connections(index)
            source = connections[0].source
            beside = source >= 0 and not connections[0].delay and source not in fired
            if beside:
                fired.add(source)
            spikes, buffered = events_of(spec, index, sample, t, chip.lanes, beside)
            n_bias = layer.n_blocks * words_of(layer, chip.lanes) if layer.bias else 0
            rules = ticks.Rules(
                ports=neuron.ports,
                delivered_after=latency + (neuron.ports == "1rw" and latency % 2 == 0),
                fired_after=neuron.read_latency_cycles + chip.pipeline_latency_cycles,
                fifo_events=chip.memories["event_fifo"].words,
                first_word=first[index],
                first_word_below=first[source] if beside else 0,
                bank_words=neuron.bank_words,
                bias=tuple(range(n_bias)),
                burst=0,
            )
            total += ticks.run_group(rules, spikes, buffered)
    return total


def events_of(
    spec: CoreSpec, index: int, sample: list[Moment], t: int, lanes: int, beside: bool
) -> tuple[list[list[Event]], list[Event]]:
    """Events per word of the layer that fires, and those that wait in a buffer."""
    layer, connections = spec.layers[index], spec.connections(index)
    arrived = [event_words(layer, address, lanes) for address, _ in sample[t].arrivals[index]]
    if not beside:
        return [], arrived
    first, source = connections[0], spec.layers[connections[0].source]
    per_word: list[list[Event]] = [[] for _ in range(source.n_blocks * words_of(source, lanes))]
    pushed = 0
    for j, spike in enumerate(sample[t].spikes[first.source]):
        address = first.address(j)
        if spike and address is not None:
            word = j // source.columns * words_of(source, lanes) + j % source.columns // lanes
            per_word[word].append(event_words(layer, address, lanes))
            pushed += 1
    return per_word, arrived[pushed:]
