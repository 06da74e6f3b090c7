"""What chosen neurons and synapses of a replayed sample held in every clock: the records of waveforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurochip.errors import UserError
from neurochip.listener import Listener
from neurochip.replay import Record, Replay, counted, open_run, replay
from neurochip.replay_choice import (
    Neuron,
    Synapse,
    chosen,
    parse_cycles,
    parse_neurons,
    parse_synapses,
    weight_number,
)
from neurochip.replay_clocks import tick_model, tick_through

Look = Callable[[], int]


@dataclass
class Signal:
    """One waveform: `look` finds its value; `changes` are [clock, value].

    `bits` is its width; 0: a text. `frac`: binary places of a number, None where it is none.
    """

    scope: str
    name: str
    bits: int
    is_signed: bool
    look: Look = field(repr=False)
    frac: int | None = None
    changes: list[list[int]] = field(default_factory=list)

    def record(self) -> Record:
        """As plain data."""
        names = ("scope", "name", "bits", "is_signed", "frac", "changes")
        return {name: getattr(self, name) for name in names}


class Waves:
    """An observer that writes down every change of its signals between two clocks.

    Attributes:
        signals: what is looked at.
        phases, layers, steps: [clock, value] where they change; -1 for no single layer, or behind the last step.
    """

    def __init__(self, signals: Sequence[Signal], first: int, end: int | None) -> None:
        self.signals = signals
        self.phases: list[tuple[int, str]] = []
        self.layers: list[tuple[int, int]] = []
        self.steps: list[tuple[int, int]] = []
        self._first, self._end = first, end
        self._looks = [signal.look for signal in signals]
        self._last: list[int | None] = [None] * len(signals)

    def clock(self, machine: Any, unit: str, phase: str, layer: int | None) -> None:
        """A clock begins: its reads would find what is written down."""
        now = machine.now
        if now < self._first or (self._end is not None and now >= self._end):
            return
        _note(self.phases, now, phase)
        _note(self.layers, now, -1 if layer is None else layer)
        _note(self.steps, now, -1 if machine.step is None else machine.step)
        self.look(now)

    def look(self, now: int) -> None:
        """Note what changed."""
        for place, look in enumerate(self._looks):
            value = look()
            if value != self._last[place]:
                self._last[place] = value
                self.signals[place].changes.append([now, value])


def _note(changes: list[tuple[int, Any]], now: int, value: Any) -> None:
    if not changes or changes[-1][1] != value:
        changes.append((now, value))


def number_in(machine: Any, content: str, layer: int, number: int, *, second: bool = False) -> Look:
    """Looks at one number of a region (with `second` at what is paired with it), 0 where its word was never written."""
    region = machine.layout.region(content, layer)
    word, peek = region.word_of(number), region.space.peek
    numbers = region.numbers(word)
    address, column = region.base + word, number - numbers.start
    if second:  # first ones of the columns of a word, then the second ones
        column += numbers.stop - numbers.start

    def look() -> int:
        held = peek(address)
        return int(held[column]) if held else 0

    return look


def valid_in(machine: Any, content: str, layer: int, number: int, bitmap: str) -> Look:
    """The same, 0 where the bitmap of the step buffer says that the word holds nothing."""
    look, word = number_in(machine, content, layer, number), machine.layout.region(content, layer).word_of(number)
    bitmaps = getattr(machine.buffer, bitmap)

    def look_if_valid() -> int:
        return look() if bitmaps[layer][word] else 0

    return look_if_valid


def signals_of(one: Replay, machine: Any, neurons: Sequence[Neuron], synapses: Sequence[Synapse]) -> list[Signal]:
    """What these neurons and synapses hold on this chip under this rule."""
    found: dict[tuple[str, str], Signal] = {}
    for layer, index in neurons:
        for signal in _of_neuron(one, machine, layer, index):
            found[signal.scope, signal.name] = signal
    for synapse in synapses:
        for signal in _of_synapse(one, machine, synapse):
            found[signal.scope, signal.name] = signal
    return list(found.values())


def _of_neuron(one: Replay, machine: Any, layer: int, index: int) -> list[Signal]:
    spec, shape, scope = one.spec, one.spec.layers[layer], f"layer{layer}"
    find, found = machine.layout.find, []
    is_readout = shape.kind == "readout"
    bits = spec.readout_bits if is_readout else spec.membrane_bits
    if find("potential", layer) is not None:
        name = f"{'z' if is_readout else 'u'}_{index}"
        look = number_in(machine, "potential", layer, index)
        found.append(Signal(scope, name, bits, True, look, shape.frac_potential))
        if shape.has_current:
            look = number_in(machine, "potential", layer, index, second=True)
            found.append(Signal(scope, f"i_{index}", bits, True, look, shape.frac_potential))
    if find("sum", layer) is not None:
        sum_bits = bits + (spec.n_steps - 1).bit_length()
        look = number_in(machine, "sum", layer, index)
        found.append(Signal(scope, f"sum_{index}", sum_bits, True, look, shape.frac_potential))
    if shape.is_hidden:

        def spike() -> int:
            return int(machine.buffer.spikes[layer][index])

        found.append(Signal(scope, f"spike_{index}", 1, False, spike))
    if one.learn and find("signal", layer) is not None:
        is_delta = spec.credit == "unroll" and (shape.is_hidden or shape.leak_kind != "none")
        width = spec.delta_bits if is_delta else spec.error_bits
        look = valid_in(machine, "signal", layer, index, "signal_words")
        found.append(Signal(scope, f"signal_{index}", width, True, look, shape.frac_error))
    return found


def _of_synapse(one: Replay, machine: Any, synapse: Synapse) -> list[Signal]:
    layer, address, neuron = synapse
    spec, shape, scope = one.spec, one.spec.layers[layer], f"layer{layer}"
    number = weight_number(spec, synapse)
    if number is None or machine.layout.find("synapse", layer) is None:
        return []
    look = number_in(machine, "synapse", layer, number)
    found = [Signal(scope, f"w_{address}_{neuron}", spec.weight_bits, True, look, shape.frac_weight)]
    if one.learn and machine.layout.find("gradient", layer) is not None:
        look = number_in(machine, "gradient", layer, number)
        found.append(Signal(scope, f"grad_{address}_{neuron}", spec.gradient_bits, True, look, shape.frac_gradient))
    if one.learn and machine.layout.find("trace", layer) is not None:
        look = valid_in(machine, "trace", layer, address, "valid_traces")
        found.append(Signal(scope, f"trace_{address}", spec.trace_bits, False, look, shape.frac_trace))
    return found


def wave_records(
    directory: Path,
    chip: str | None = None,
    sample: int | None = None,
    *,
    split: str | None = None,
    rule: str | None = None,
    neurons: str | None = None,
    synapses: str | None = None,
    cycles: str | None = None,
    listener: Listener | None = None,
) -> Record:
    """Return what waveforms show of one sample: what `Replay.about` says, and

    * `first_clock`, `end_clock`: the clocks shown, the last not included;
    * `phases` ([clock, name]), `active_layers` and `steps` ([clock, index]; -1: none) where they change;
    * `signals`: `scope`, `name`, `bits`, `is_signed`, `frac`, and `changes` as [clock, value]: what a read in this
      clock would find.

    Args:
        directory, chip, sample, split, rule, listener: as of `neurochip.replay.open_run` and `replay`.
        neurons: "layer:index,..."; None: see `chosen`.
        synapses: "layer:input:neuron,..."; None: see `chosen`.
        cycles: "first:end" in clocks of the sample; None: all.

    Raises:
        UserError: as those, a choice that the network does not have, or a chip without a tick model.
    """
    first, end = (0, None) if cycles is None else parse_cycles(cycles)
    run = open_run(directory, chip, rule)
    run.check_clocked()
    asked = (
        None if neurons is None else parse_neurons(neurons, run.spec),
        None if synapses is None else parse_synapses(synapses, run.spec),
    )
    one = replay(run, sample, listener, split=split)
    clocks = int(counted(one).cycles)
    if first >= clocks:
        raise UserError(f"--cycles {cycles}: the sample takes {clocks:,} clocks; FIRST must be below that")
    model = tick_model(one)
    waves = Waves(signals_of(one, model.machine, *chosen(one, *asked)), first, end)
    tick_through(one, model, waves, listener)
    if end is None or end >= clocks:
        end = clocks
        waves.look(clocks)  # what the last clock wrote
    return one.about() | {
        "first_clock": first,
        "end_clock": end,
        "phases": waves.phases,
        "active_layers": waves.layers,
        "steps": waves.steps,
        "signals": [signal.record() for signal in waves.signals],
    }


__all__ = ["Signal", "Waves", "signals_of", "wave_records"]
