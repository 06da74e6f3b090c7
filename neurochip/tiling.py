"""Several cores as one chip to price: the banks of all, and n times the clock tree (docs/multicore.md, section 6)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace

from neurochip.chip import Chip
from neurochip.cost.area import Area
from neurochip.errors import UserError
from neurochip.microarch.interface import ChipTiming
from neurochip.microarch.registry import CoreContents, CoresFunction
from neurochip.spec import CoreSpec
from neurochip.technology import Quantity

MAX_STEPS = 1 << 16


def tiled(chip: Chip, n_cores: int) -> Chip:
    """The chip with the clock and control energy of `n_cores` cores in every cycle.

    All of them are clocked until the slowest ends a stage: waiting cores are not clock-gated.
    """
    clock = chip.clock_energy
    if clock is None:
        return chip
    return chip.model_copy(update={"clock_energy": clock.model_copy(update={"energy": _times(clock.energy, n_cores)})})


def _times(quantity: Quantity, factor: int) -> Quantity:
    spread = {name: getattr(quantity, name) for name in ("value", "low", "high")}
    return quantity.model_copy(update={name: number * factor for name, number in spread.items() if number is not None})


def used_bits(cores: Sequence[CoreContents], word_bits: Mapping[str, int], chip: Chip) -> dict[str, int]:
    """Bits of the banks that hold something, over all cores: a bank that is used in part leaks as a whole."""
    bits = dict.fromkeys(word_bits, 0)
    for core in cores:
        for name, words in core.words.items():
            if words:
                bank_words = chip.memories[name].bank_words
                bits[name] += -(-words // bank_words) * bank_words * word_bits[name]
    return bits


def tiled_area(core: Area, n_cores: int) -> Area:
    """Area of `n_cores` equal cores; routers and links are not modelled."""
    return replace(
        core,
        by_part={part: mm2 * n_cores for part, mm2 in core.by_part.items()},
        by_kind={kind: mm2 * n_cores for kind, mm2 in core.by_kind.items()},
        low_mm2=core.low_mm2 * n_cores,
        high_mm2=core.high_mm2 * n_cores,
    )


def steps_where_history_leaves_cores(spec: CoreSpec, chip: ChipTiming, cores: CoresFunction) -> int | None:
    """The smallest T at which unrolling this network, without gradient memory, needs more cores than the chip has.

    None if it fits for every T up to 65536, or if the chip has no history memory.
    """
    if "history" not in chip.memories:
        return None

    def does_not_fit(steps: int) -> bool:
        try:
            cores(replace(spec, credit="unroll", update="immediate", n_steps=steps), chip)
        except UserError:
            return True
        return False

    first = 1 + bisect_right(range(1, MAX_STEPS + 1), False, key=does_not_fit)
    return first if first <= MAX_STEPS else None
