"""Which neurons, synapses and clocks of a replayed sample are shown: as asked for, or the busiest."""

from __future__ import annotations

import re

from neurochip.errors import UserError
from neurochip.replay import Replay
from neurochip.spec import CoreSpec

SHOWN_NEURONS = 4  # of a layer, where none are chosen
Neuron = tuple[int, int]  # layer, index
Synapse = tuple[int, int, int]  # layer, input address, neuron


def parse_neurons(text: str, spec: CoreSpec) -> list[Neuron]:
    """Neurons out of "layer:index,layer:index".

    Raises:
        UserError: another form, or a neuron that the network does not have.
    """
    found = []
    for part in text.split(","):
        layer, index = _numbers(part, 2, "--neurons", "LAYER:INDEX, as in 0:3,1:5", spec)
        _check_index("--neurons", part, layer, index, spec.layers[layer].n_out, "neurons")
        found.append((layer, index))
    return list(dict.fromkeys(found))


def parse_synapses(text: str, spec: CoreSpec) -> list[Synapse]:
    """Synapses out of "layer:input:neuron,...".

    Raises:
        UserError: another form, or a synapse that the network does not have.
    """
    found = []
    for part in text.split(","):
        layer, address, neuron = _numbers(part, 3, "--synapses", "LAYER:INPUT:NEURON, as in 0:12:5", spec)
        shape = spec.layers[layer]
        _check_index("--synapses", part, layer, address, shape.n_in, "inputs")
        _check_index("--synapses", part, layer, neuron, shape.n_out, "neurons")
        if weight_number(spec, (layer, address, neuron)) is None:
            raise UserError(
                f"--synapses {part}: layer {layer} is a convolution, and no weight of it joins input {address} and "
                f"neuron {neuron}"
            )
        found.append((layer, address, neuron))
    return list(dict.fromkeys(found))


def _numbers(part: str, n: int, option: str, form: str, spec: CoreSpec) -> list[int]:
    if not re.fullmatch(":".join([r"[0-9]{1,9}"] * n), part.strip()):
        raise UserError(f"{option} {part!r} is not understood; allowed is {form}")
    numbers = [int(number) for number in part.split(":")]
    if numbers[0] >= len(spec.layers):
        raise UserError(f"{option} {part}: the rule has layers 0 to {len(spec.layers) - 1}")
    return numbers


def _check_index(option: str, part: str, layer: int, index: int, n: int, what: str) -> None:
    if index >= n:
        raise UserError(f"{option} {part}: layer {layer} has {n} {what}; allowed is 0 to {n - 1}")


def parse_cycles(text: str) -> tuple[int, int]:
    """First clock and the one behind the last out of "FIRST:END".

    Raises:
        UserError: another form, or no clock.
    """
    if not re.fullmatch(r"[0-9]{1,12}:[0-9]{1,12}", text):
        raise UserError(f"--cycles {text!r} is not understood; allowed is FIRST:END, as in 0:2000, END not included")
    first, end = (int(number) for number in text.split(":"))
    if end <= first:
        raise UserError(f"--cycles {text}: holds no clock; END must be larger than FIRST")
    return first, end


def weight_number(spec: CoreSpec, synapse: Synapse) -> int | None:
    """Which number of the weight matrix, row by row, a synapse is; None if there is no such synapse."""
    layer, address, neuron = synapse
    shape = spec.layers[layer]
    block, column = divmod(neuron, shape.columns)
    taps = [(address, 0)] if shape.conv is None else shape.conv.taps(address)
    row = next((row for row, target in taps if target == block), None)
    return None if row is None else row * shape.columns + column


def chosen(
    one: Replay, neurons: list[Neuron] | None, synapses: list[Synapse] | None
) -> tuple[list[Neuron], list[Synapse]]:
    """The neurons and synapses asked for.

    Without neurons those of every layer that fire most in this sample, of the readout the first; without synapses those
    from the input with most events to the neurons.
    """
    picked = _busiest_neurons(one) if neurons is None else neurons
    if synapses is not None:
        return picked, synapses
    return picked, [synapse for neuron in picked if (synapse := _busiest_synapse(one, neuron)) is not None]


def _busiest_neurons(one: Replay) -> list[Neuron]:
    picked, probes = [], one.result.probes
    for layer, shape in enumerate(one.spec.layers):
        if shape.kind == "feedback" or f"potential/{layer}" not in probes:
            continue
        spikes = probes[f"spike/{layer}"][0].sum(axis=0).tolist() if shape.is_hidden else [0] * shape.n_out
        busiest = sorted((-n, index) for index, n in enumerate(spikes))[:SHOWN_NEURONS]
        picked += [(layer, index) for index in sorted(index for _, index in busiest)]
    return picked


def _busiest_synapse(one: Replay, neuron: Neuron) -> Synapse | None:
    """From the input address whose events of this sample are most; None if no event reaches the neuron."""
    layer, index = neuron
    events = _events_at(one, layer)
    for address in sorted(events, key=lambda address: (-events[address], address)):
        if weight_number(one.spec, (layer, address, index)) is not None:
            return layer, address, index
    return None


def _events_at(one: Replay, layer: int) -> dict[int, int]:
    """Input address of a layer -> steps of the sample with an event there."""
    found: dict[int, int] = {}
    for connection in one.spec.connections(layer):
        name = f"event/{connection.source + 1}"
        for source, n in enumerate(one.trace.bitmaps[name][0].sum(axis=0).tolist()):
            address = connection.address(source) if n else None
            if address is not None:
                found[address] = found.get(address, 0) + n
    return found


__all__ = ["Neuron", "Synapse", "chosen", "parse_cycles", "parse_neurons", "parse_synapses", "weight_number"]
