"""Chips, gates, memories and footprints, as tables of docs/microarchitecture.md: from the code that uses them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache

from neurochip.chip import Chip, list_chips, load_chip
from neurochip.config import ChipTable
from neurochip.counters import CONTENTS
from neurochip.estimate import Asked, draw_point
from neurochip.microarch.footprint import (
    footprint_bits,
    history_bits_per_step,
    steps_where_history_equals_weights,
    word_bits,
)
from neurochip.microarch.interface import RMW_CYCLES, ChipTiming, Gates, MemoryPorts
from neurochip.microarch.registry import list_microarchitectures
from neurochip.network.named import named_network
from neurochip.pricing import Pricer
from neurochip.rules.presets import DEFAULT_COMPARISON, NO_LEARNING

DEFAULT_CHIP = ChipTable().name
NETWORK = "512-128-10"
SYMBOL = re.compile(r"^([A-Zρ]\S{0,3})(?: of (\w+))?: (.*)$", re.MULTILINE)
T_STAR_NETWORKS = (NETWORK, "2312-800-10")


@cache
def pricers(network: str) -> Mapping[str, Pricer]:
    """The default rules of a network, at default formats, on the default chip with room for it."""
    return draw_point(named_network(network, ['chip.overflow="grow"']), Asked(n_samples=1))[0]


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    first, *others = (f"| {' | '.join(cells)} |" for cells in lines)
    return "\n".join([first, f"|{'---|' * len(lines[0])}", *others])


def symbol_table() -> str:
    """The symbols that a chip file gives: properties of `ChipTiming` and `MemoryPorts` whose docstring names one."""
    rows = [*_symbols(ChipTiming, "{name}"), *_symbols(MemoryPorts, "memories.{memory}.{name}")]
    slots = ", ".join(f"{cycles} if `{ports}`" for ports, cycles in RMW_CYCLES.items())
    rows.append(("II(m)", f"clocks between two read-modify-writes of memory m: {slots}", "`memories.m.ports`"))
    return table(("symbol", "meaning", "from"), rows)


def _symbols(described: type, key: str) -> Iterator[tuple[str, str, str]]:
    """The paragraphs "SYMBOL: meaning" of docstrings; "SYMBOL of NAME: meaning" where it is that of one memory."""
    for name, member in vars(described).items():
        text = inspect.getdoc(member) or "" if isinstance(member, property) else ""
        for symbol, memory, meaning in SYMBOL.findall(text):
            yield symbol, meaning.rstrip("."), f"`{key.format(memory=memory or 'm', name=name)}`"


def gate_table() -> str:
    """The zero gates, and what each skips."""
    return table(("gate", "skips"), ((f"`{gate.name}`", gate.metadata["skips"]) for gate in fields(Gates)))


def memory_table() -> str:
    """What the memories hold, and the widths they are built with for the default rules."""
    widths = {rule: word_bits(one.spec, one.chip) for rule, one in pricers(NETWORK).items()}
    rows = []
    for memory, contents in CONTENTS.items():
        by_width: dict[int, list[str]] = {}
        for rule in DEFAULT_COMPARISON:
            if memory in widths[rule]:
                by_width.setdefault(widths[rule][memory], []).append(f"`{rule}`")
        texts = [f"{width} ({', '.join(rules)})" for width, rules in by_width.items()]
        only = [str(width) for width in by_width]
        rows.append((f"`{memory}`", contents, "; ".join(texts if len(texts) > 1 else only) or "of the memory spilled"))
    return table(("memory", "holds", f"bits of a word, {NETWORK}"), rows)


def t_star_table() -> str:
    """Where the history of BPTT has as many bits as the weights."""
    rows = []
    for network in T_STAR_NETWORKS:
        spec = pricers(network)[NO_LEARNING].spec
        weights, history = footprint_bits(spec)["synapse"], history_bits_per_step(spec)
        t_star = _grouped(steps_where_history_equals_weights(spec), 1)
        rows.append((network.replace("-", "–"), _grouped(weights), _grouped(history), t_star))
    return table(("network", "synapse bits", "history bits per step", "T\\*"), rows)


def _grouped(number: float, decimals: int = 0) -> str:
    return f"{number:,.{decimals}f}".replace(",", " ")


def chip_table() -> str:
    """The packaged chips, as far as clocks and capacity need them."""
    chips = [load_chip(name) for name in list_chips()]
    rows: list[tuple[object, ...]] = [("microarchitecture", *(f"`{chip.microarchitecture}`" for chip in chips))]
    for title, key in (
        ("lanes L", "lanes"),
        ("trace lanes M", "trace_lanes"),
        ("bits of a history word H", "history_word_bits"),
        ("bits searched per clock K", "scan_width"),
        ("clocks of a division D", "div_cycles"),
        ("clocks of the pipeline P", "pipeline_latency_cycles"),
        ("clock, MHz", "clock_mhz"),
        ("supply, V", "voltage_v"),
        ("overflow", "overflow"),
    ):
        rows.append((title, *(_cell(getattr(chip, key)) for chip in chips)))
    rows.append(("cores", *(_cell(chip.mesh.columns * chip.mesh.rows if chip.mesh else 1) for chip in chips)))
    rows += [(f"`{memory}`", *(_memory(chip, memory) for chip in chips)) for memory in CONTENTS if memory != "dram"]
    rows.append(("DRAM", *(_dram(chip) for chip in chips)))
    return table(("", *(f"`{chip.name}`" for chip in chips)), rows)


def _cell(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _memory(chip: Chip, name: str) -> str:
    if name not in chip.memories:
        return "–"
    memory = chip.memories[name]
    kind = ", registers" if memory.storage == "register" else ""
    return f"{memory.banks} × {memory.bank_words}, `{memory.ports}`, {memory.read_latency_cycles}{kind}"


def _dram(chip: Chip) -> str:
    return "–" if chip.dram is None else f"b = {chip.dram.bus_bits}, δ = {chip.dram.latency_cycles}"


def microarchitecture_table() -> str:
    """Every microarchitecture, and the packaged chips that have it."""
    chips = [load_chip(name) for name in list_chips()]
    rows = []
    for one in list_microarchitectures():
        of_it = ", ".join(f"`{chip.name}`" for chip in chips if chip.microarchitecture == one.name)
        rows.append((f"`{one.name}`", one.summary, of_it or "–"))
    return table(("microarchitecture", "what it is", "packaged chips"), rows)
