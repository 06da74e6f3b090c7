"""What a verdict may hang on: prices, operating point, memories, widths and lanes of a chip, each turned alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel

from neurochip.chip import PER_LANE, Chip, Memory
from neurochip.pricing import Pricer
from neurochip.technology import Quantity

_T = TypeVar("_T")
WIDEST_FACTOR = 16.0
FACTORS = tuple(2.0**k for k in range(-4, 5))
# "price": energy is affine in the value. "smooth": energy moves without jumps. "steps": only `values` exist.
Course = Literal["price", "smooth", "steps"]
# "price": counts stay. "widths": counts change, cycles stay. "lanes": the recorded samples are replayed.
Needs = Literal["price", "widths", "lanes"]


@dataclass(frozen=True)
class Knob:
    """One number of chip or formats that is turned while all others stay.

    Attributes:
        key: name in the report.
        label: what it is, in words.
        base: its value now; factors have the base 1.
        low, high: the two values of the tornado.
        values: the values at which an order may flip: all of them ("steps"), or the ends of a range.
        unit: of the values; "x" for factors.
        turn: pricer and value -> the pricer that has the value.
        note: what the reader must know about it.
    """

    key: str
    label: str
    base: float
    low: float
    high: float
    values: tuple[float, ...]
    unit: str
    turn: Callable[[Pricer, float], Pricer]
    course: Course = "price"
    needs: Needs = "price"
    note: str = ""


def knobs_of(pricer: Pricer) -> list[Knob]:
    """The knobs of a chip and the formats of a specification; those a chip does not have are left out."""
    chip = pricer.chip
    leakage, dram = _spread(_leakage(chip)), _spread(_dram(chip))
    prices = {
        "clock": ("clock and control energy per cycle", (0.5, 2.0), "scaled; 2 is the spread of an assumed number"),
        "sram": ("SRAM access energies", (0.5, 2.0), ""),
        "logic": ("energies of arithmetic and registers", (0.5, 2.0), ""),
        "leakage": ("leakage per bit", leakage, "low and high end of its spread"),
        "dram": ("DRAM energy per bit", dram, "low and high end of its spread; matters only with overflow = dram"),
    }
    ends = (1 / WIDEST_FACTOR, WIDEST_FACTOR)
    knobs = [
        Knob(key, label, 1.0, *bounds, ends, "x", _price_turn(key), note=note)
        for key, (label, bounds, note) in prices.items()
        if bounds is not None
    ]
    knobs += [
        Knob(
            "clock_mhz", "clock frequency", chip.clock_mhz, chip.clock_mhz / 2, chip.clock_mhz * 2,
            (chip.clock_mhz / WIDEST_FACTOR, chip.clock_mhz * WIDEST_FACTOR), "MHz", _turn_clock, "smooth",
            note="at the same voltage: only leakage changes",
        ),
        Knob(
            "voltage_v", "supply voltage", chip.voltage_v, 0.9 * chip.voltage_v, 1.1 * chip.voltage_v,
            (0.5 * chip.voltage_v, 1.5 * chip.voltage_v), "V", _turn_voltage, "smooth",
            note="dynamic energy on the chip follows its square; clock and leakage stay",
        ),
        Knob(
            "bank_words", "words of an SRAM bank", 1.0, 0.25, 4.0, FACTORS, "x", _turn_banks, "steps",
            note="same capacity; the banks of the neuron memory, which decide stalls, stay",
        ),
        *_width_knobs(pricer),
        Knob(
            "lanes", "lanes", chip.lanes, max(1, chip.lanes // 2), chip.lanes * 2,
            tuple(sorted({max(1, chip.lanes // 2), chip.lanes, chip.lanes * 2})), "lanes", _turn_lanes, "steps",
            "lanes", note="words of trace memory with them; the recorded samples replayed, memories of the same bits",
        ),
    ]  # fmt: skip
    return knobs


def _width_knobs(pricer: Pricer) -> list[Knob]:
    note = "widths of memories and operations only, with the same activity: what the learning makes of it is not in it"
    knobs = []
    for key, label, widest in (("trace_bits", "bits of a trace", 16), ("surrogate_bits", "bits of a surrogate", 8)):
        base = getattr(pricer.spec, key)
        least = 2 if key == "trace_bits" else 1
        low, high = max(least, base - 2), min(widest, base + 2)
        values = tuple(float(bits) for bits in range(least, widest + 1))
        turn = _width_turn(key)
        knobs.append(Knob(key, label, base, low, high, values, "bits", turn, "steps", "widths", note))
    return knobs


def _price_turn(key: str) -> Callable[[Pricer, float], Pricer]:
    return lambda pricer, factor: replace(pricer, chip=scale_prices(pricer.chip, key, factor))


def _width_turn(key: str) -> Callable[[Pricer, float], Pricer]:
    def turn(pricer: Pricer, bits: float) -> Pricer:
        width: dict[str, Any] = {key: int(bits)}
        return replace(pricer, spec=replace(pricer.spec, **width))

    return turn


def scale_prices(chip: Chip, key: str, factor: float) -> Chip:
    """The chip with one group of prices times a factor: "clock", "sram", "logic", "leakage" or "dram"."""
    technology = chip.technology
    if key == "clock":
        return chip.model_copy(
            update={name: _scaled(getattr(chip, name), "pJ/cycle", factor) for name in ("clock_energy", "calibrated")}
        )
    if key == "leakage":
        return _scaled(chip, "nW/bit", factor)
    unit = "pJ/bit" if key == "dram" else "pJ"
    table = _scaled(getattr(technology, key), unit, factor)
    return chip.model_copy(update={"technology": technology.model_copy(update={key: table})})


def _scaled(item: _T, unit: str, factor: float) -> _T:
    """Every quantity of a unit inside a table times a factor, its spread with it."""
    moved: Any = item
    if isinstance(item, Quantity):
        if item.unit == unit:
            numbers = {name: getattr(item, name) for name in ("value", "low", "high")}
            moved = item.model_copy(update={k: None if v is None else v * factor for k, v in numbers.items()})
    elif isinstance(item, BaseModel):
        fields = {name: getattr(item, name) for name in type(item).model_fields}
        moved = item.model_copy(update={name: _scaled(value, unit, factor) for name, value in fields.items()})
    elif isinstance(item, tuple):
        moved = tuple(_scaled(entry, unit, factor) for entry in item)
    elif isinstance(item, dict):
        moved = {key: _scaled(value, unit, factor) for key, value in item.items()}
    return cast(_T, moved)


def _leakage(chip: Chip) -> Quantity | None:
    if chip.sram_leakage is not None:
        return chip.sram_leakage
    anchors = chip.technology.sram.leakage if chip.technology.sram is not None else ()
    return anchors[0].per_bit if anchors else None


def _dram(chip: Chip) -> Quantity | None:
    return None if chip.technology.dram is None else chip.technology.dram.energy


def _spread(quantity: Quantity | None) -> tuple[float, float] | None:
    """Low and high end of a price over its value."""
    if quantity is None or quantity.value == 0:
        return None
    return quantity.at("low") / quantity.value, quantity.at("high") / quantity.value


def _turn_clock(pricer: Pricer, mhz: float) -> Pricer:
    clock = pricer.chip.clock.model_copy(update={"value": mhz})
    return replace(pricer, chip=pricer.chip.model_copy(update={"clock": clock}))


def _turn_voltage(pricer: Pricer, volt: float) -> Pricer:
    voltage = pricer.chip.voltage.model_copy(update={"value": volt})
    return replace(pricer, chip=pricer.chip.model_copy(update={"voltage": voltage}))


def _turn_banks(pricer: Pricer, factor: float) -> Pricer:
    """Banks of `factor` times the words, never deeper than the memory, and as many as the capacity needs."""

    def turned(name: str, memory: Memory) -> Memory:
        if memory.storage != "sram" or name == "neuron":
            return memory
        deep = min(memory.words, max(1, round(memory.bank_words * factor)))
        return memory.model_copy(update={"bank_words": deep, "banks": -(-memory.words // deep)})

    return _with_memories(pricer, {name: turned(name, memory) for name, memory in pricer.chip.memories.items()})


def _turn_lanes(pricer: Pricer, lanes: float) -> Pricer:
    """L and M in proportion; memories keep their bits, and history its words."""
    factor = lanes / pricer.chip.lanes
    trace_lanes = max(1, round(pricer.chip.trace_lanes * factor))
    memories = {
        name: memory.model_copy(update={"banks": -(-int(memory.words / factor) // memory.bank_words)})
        if name in PER_LANE and factor != 1
        else memory
        for name, memory in pricer.chip.memories.items()
    }
    chip = pricer.chip.model_copy(update={"lanes": int(lanes), "trace_lanes": trace_lanes})
    spec = replace(pricer.spec, synapse_lanes=int(lanes), trace_lanes=trace_lanes)
    return _with_memories(replace(pricer, chip=chip, spec=spec), memories)


def _with_memories(pricer: Pricer, memories: Mapping[str, Memory]) -> Pricer:
    return replace(pricer, chip=pricer.chip.model_copy(update={"memories": dict(memories)}))
