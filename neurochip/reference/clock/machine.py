"""The clock of the core: it runs one unit after the other, one call of `tick` per clock, and counts what happens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from neurochip.counters import PHASES, STALL_CAUSES
from neurochip.reference.clock.dram import Burst, DramSpace
from neurochip.reference.clock.lanes import RandomRegisters
from neurochip.reference.clock.layout import Layout, Region, Space
from neurochip.reference.clock.network import Gates, taps_of
from neurochip.reference.clock.observer import Observer
from neurochip.reference.clock.shapes import ChipShape
from neurochip.reference.clock.step_buffer import StepBuffer
from neurochip.reference.core.arithmetic import exponential_table, initial_register, surrogate_table
from neurochip.spec import CoreSpec
from neurochip.topology import Tap

_Operands = TypeVar("_Operands")


class Unit(Protocol):
    """A part of the core that has the clock until it is done."""

    @property
    def phase(self) -> str:
        """The phase the next clock belongs to."""
        ...

    @property
    def done(self) -> bool:
        """Whether it needs no further clock."""
        ...

    def tick(self, now: int) -> None:
        """One clock."""
        ...

    def check_empty(self) -> None:
        """Raise if something is still under way."""
        ...


class Machine:
    """The core: memories, registers, and the clock that its units share.

    Attributes:
        now: the clock, counted from 0 over all runs.
        step: of the sample under way, counted from 0; None behind the last one.
        waited: how many clocks of `event_wait` ended when DELIVER last looked at an event: only then do they count.
        observer: who is told of every clock; None: nobody.
    """

    def __init__(
        self, spec: CoreSpec, weights: Sequence[Sequence[Sequence[int]]], chip: ChipShape, gates: Gates
    ) -> None:
        self.spec, self.chip, self.gates = spec, chip, gates
        self.layout = Layout(spec, weights, chip)
        self.buffer = StepBuffer(spec, self.layout)
        self.random = [
            RandomRegisters([initial_register(spec.seed, index, lane) for lane in range(spec.rng_lanes)])
            for index in range(len(spec.layers))
        ]
        self.surrogate_table = surrogate_table(spec.surrogate, spec.surrogate_bits)
        self.exponential_table = exponential_table()
        self._taps: dict[tuple[int, int], list[Tap]] = {}
        self.now = 0
        self.step: int | None = None
        self.waited = 0
        self.observer: Observer | None = None
        self.start_counting()

    def start_counting(self) -> None:
        """Set every counter to 0; memories and registers keep what they hold."""
        self.ticks = dict.fromkeys(PHASES, 0)
        self.stalls = dict.fromkeys(STALL_CAUSES, 0)
        for counted in (self.layout.fifo, *self.layout.spaces.values()):
            counted.start_counting()

    def run(self, unit: Unit, layer: int | None = None, fires: int | None = None) -> None:
        """Give the clock to a unit until it is done.

        An observer is told that it works for `layer`, and in phase `fire` for `fires` if FIRE of that layer is beside.
        """
        while not unit.done:
            phase = unit.phase
            if self.observer is not None:
                worked_for = fires if phase == "fire" and fires is not None else layer
                self.observer.clock(self, type(unit).__name__, phase, worked_for)
            self.ticks[phase] += 1
            unit.tick(self.now)
            self.now += 1
        unit.check_empty()

    def taps(self, layer: int, address: int) -> list[Tap]:
        """The taps of an input address of a layer, in order."""
        key = (layer, address)
        if key not in self._taps:
            self._taps[key] = taps_of(self.spec.layers[layer], address)
        return self._taps[key]

    def latency(self, memory: Space, *others: Space, interval: int = 0) -> int:
        """lambda: clocks from the reads of a read-modify-write to the write, odd where reads take the even clocks."""
        clocks = max(space.read_latency_cycles for space in (memory, *others)) + self.chip.pipeline_latency_cycles
        return clocks + 1 if (interval or memory.interval) == 2 and clocks % 2 == 0 else clocks


class Pipeline(Generic[_Operands]):
    """Registers between the operands and the result: what enters in clock c leaves `latency` clocks later."""

    def __init__(self, latency: int) -> None:
        self.latency = latency
        self._stages: deque[tuple[int, _Operands]] = deque()

    def enter(self, now: int, operands: _Operands) -> None:
        """Take the operands of one word."""
        self._stages.append((now + self.latency, operands))

    def leave(self, now: int) -> _Operands | None:
        """What is finished in this clock."""
        if self._stages and self._stages[0][0] == now:
            return self._stages.popleft()[1]
        return None

    def check_empty(self) -> None:
        """Raise if a word is still under way: the control did not wait long enough."""
        if self._stages:
            raise RuntimeError(f"{len(self._stages)} words are still in a pipeline of {self.latency} clocks")


class Step(Protocol):
    """One step of a sequencer: takes the clock until it returns true."""

    def clock(self, now: int) -> bool:
        """One clock; true in the last."""
        ...


Action = Callable[[int], None]


class Slot:
    """`clocks` clocks; `begin` acts in the first, `end` in the last; `first` and `rest` say what they wait for."""

    __slots__ = ("_begin", "_cause", "_clocks", "_end", "_left", "_rest", "_stalls")

    def __init__(
        self, stalls: dict[str, int], clocks: int, begin: Action | None, end: Action | None, first: str, rest: str
    ) -> None:
        self._stalls, self._clocks, self._left = stalls, clocks, clocks
        self._begin, self._end, self._cause, self._rest = begin, end, first, rest

    def clock(self, now: int) -> bool:
        """One clock; true in the last."""
        if self._left == self._clocks and self._begin is not None:
            self._begin(now)
        if self._cause:
            self._stalls[self._cause] += 1
        self._cause = self._rest
        self._left -= 1
        if self._left > 0:
            return False
        if self._end is not None:
            self._end(now)
        return True


class Sequencer(ABC, Generic[_Operands]):
    """A unit that works through its program, step after step, while its pipeline runs on beside.

    A subclass says in `program` what to do and, if words enter its pipeline, in `finish` what they become.
    """

    def __init__(self, machine: Machine, phase: str, latency: int = 0, interval: int = 1) -> None:
        self.machine, self.phase, self.interval = machine, phase, interval
        self.pipeline: Pipeline[_Operands] = Pipeline(latency)
        self._program: Iterator[Step] = iter(())
        self._step: Step | None = None
        self._started = False

    @abstractmethod
    def program(self) -> Iterator[Step]:
        """The steps in order; none takes 0 clocks."""

    def finish(self, now: int, operands: _Operands) -> None:
        """Compute and write the word whose operands leave the pipeline in this clock."""
        raise RuntimeError(f"{type(self).__name__} put a word into its pipeline and does not say what becomes of it")

    @property
    def done(self) -> bool:
        """Whether the program has ended."""
        if not self._started:  # not before: the program reads registers that the unit before it writes
            self._started = True
            self._program = self.program()
            self._step = next(self._program, None)
        return self._step is None

    def tick(self, now: int) -> None:
        """One clock: what leaves the pipeline is written, and the step under way goes on."""
        operands = self.pipeline.leave(now)
        if operands is not None:
            self.finish(now, operands)
        if self._step is not None and self._step.clock(now):
            self._step = next(self._program, None)

    def check_empty(self) -> None:
        """Raise if something is still under way."""
        self.pipeline.check_empty()

    def work(self, begin: Action, clocks: int = 0, end: Action | None = None) -> Slot:
        """A slot in which work begins; its second clock, if it has one, goes by for the port."""
        return Slot(self.machine.stalls, clocks or self.interval, begin, end, "", "port")

    def scan(self, clocks: int = 0) -> Slot:
        """A slot in which a scanner loads a window."""
        return Slot(self.machine.stalls, clocks or self.interval, None, None, "scan", "scan")

    def wait(self, clocks: int, end: Action | None = None) -> Slot:
        """Clocks in which only the pipeline works."""
        return Slot(self.machine.stalls, clocks, None, end, "latency", "latency")

    def drain(self) -> Iterator[Slot]:
        """The d clocks after the last slot of a stream."""
        clocks = max(0, self.pipeline.latency + 1 - self.interval)
        if clocks > 0:
            yield self.wait(clocks)

    def burst(self, region: Region, row: int, is_write: bool, beside: bool = False) -> Burst:
        """Bring a row of a spilled matrix into its row buffer, or back to DRAM; `beside`: the row there stays."""
        space = region.space
        if not isinstance(space, DramSpace):
            raise TypeError(f"the {space.name} memory is on the chip; only DRAM has bursts")
        words = region.row_words
        tags = [region.tag(self.phase)] * words
        return Burst(space, region.base + row * words, tags, is_write, self.machine.stalls, beside)
