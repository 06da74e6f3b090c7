"""Energy against the number of steps T: the work of every step, and the history, which one day leaves the chip."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from neurochip.chip import Chip, Memory
from neurochip.errors import UserError
from neurochip.microarch.footprint import footprint_words
from neurochip.microarch.interface import Counted
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer

Numbers = dict[str, Any]
STEPS = tuple(2**k for k in range(13))
ONCE_PER_SAMPLE = ("apply", "standardise")  # all other phases do the same work in every step


class EnergyOfSteps:
    """Energy per sample at T steps: memories of T steps, history on the chip or in DRAM, and the work of T steps.

    Fewer steps than the run: the work of its first T. More: its work, and the mean step of its second half, in which
    traces have filled up, for each step beyond.
    """

    def __init__(self, priced: PricedRule, counted: Counted) -> None:
        self.priced = priced
        self._counted = counted
        self._windows: dict[tuple[int, int, str, Memory | None], Counted] = {}
        self._known: dict[int, float | None] = {}

    def __call__(self, steps: int) -> float | None:
        """Energy in pJ; None if the chip cannot hold the history and has no DRAM."""
        if steps not in self._known:
            try:
                self._known[steps] = self._energy_pj(steps)
            except UserError:
                self._known[steps] = None
        return self._known[steps]

    def _energy_pj(self, steps: int) -> float:
        pricer = self.priced.pricer
        spec = replace(pricer.spec, n_steps=steps)
        if self.history_fits(steps) or pricer.chip.overflow == "grow":
            return replace(pricer, spec=spec).energy(self._work(steps, self._with_history_on_chip())).total_pj
        counted = self._work(steps, self._with_history_in_dram())
        return replace(pricer, spec=spec, chip=_spilling(pricer.chip)).energy(counted).total_pj

    def history_fits(self, steps: int) -> bool:
        """Whether the history of T steps fits the history memory; a rule without history always does."""
        pricer = self.priced.pricer
        spec = replace(pricer.spec, n_steps=steps)
        words = footprint_words(spec, pricer.chip)["history"]
        if words and pricer.chip.mesh is not None:  # its cores share the history
            return _fits(replace(pricer, spec=spec))
        return words == 0 or ("history" in pricer.chip.memories and words <= pricer.chip.memories["history"].words)

    def _with_history_on_chip(self) -> Pricer:
        """Who counts at any T of the run or less, with memories that are large enough."""
        pricer = self.priced.pricer
        fits = pricer.chip.overflow != "dram" or self.history_fits(pricer.spec.n_steps)
        return pricer if fits else replace(pricer, chip=pricer.chip.model_copy(update={"overflow": "grow"}))

    def _with_history_in_dram(self) -> Pricer:
        """Who counts at any T of the run or less, with a history memory too small for it."""
        chip = _spilling(self.priced.pricer.chip)
        history = chip.memories["history"].model_copy(update={"banks": 1, "bank_words": 1})
        memories: dict[str, Memory] = {**chip.memories, "history": history}
        return replace(self.priced.pricer, chip=chip.model_copy(update={"memories": memories}))

    def _work(self, steps: int, pricer: Pricer) -> Counted:
        now = pricer.spec.n_steps
        if pricer.chip.mesh is not None:  # fewer steps would be split over its cores in another way
            return _times(self._of_steps(0, now, pricer), steps / now)
        if steps <= now:
            return self._of_steps(0, steps, pricer)
        half = now // 2
        return _plus(
            self._of_steps(0, now, pricer),
            _times(self._of_steps(half, now, pricer), (steps - now) / (now - half)),
        )

    def _of_steps(self, first: int, last: int, pricer: Pricer) -> Counted:
        """Counts of the steps from `first` to before `last` of a mean sample, with what comes once per sample."""
        now, chip = pricer.spec.n_steps, pricer.chip
        key = (first, last, chip.overflow, chip.memories.get("history"))
        if (first, last) == (0, now) and pricer is self.priced.pricer:
            return self._counted
        if key not in self._windows:
            activity, trace = self.priced.activity, self.priced.trace
            totals = np.concatenate([activity.totals[first:last], activity.totals[-1:]])
            seen = trace and replace(trace, bitmaps={k: v[:, first:last] for k, v in trace.bitmaps.items()})
            window = replace(self.priced, activity=replace(activity, totals=totals), trace=seen)
            self._windows[key] = window.counted(replace(pricer, spec=replace(pricer.spec, n_steps=last - first)))
        return self._windows[key]


def _fits(pricer: Pricer) -> bool:
    try:
        pricer.check()
    except UserError:
        return False
    return True


def _spilling(chip: Chip) -> Chip:
    if chip.dram is None or "history" not in chip.memories:
        raise UserError(f"{chip.file}: history does not fit, and there is no table dram")
    return chip.model_copy(update={"overflow": "dram"})


def _times(counted: Counted, factor: float) -> Counted:
    """The work of all phases but those of ONCE_PER_SAMPLE, times a factor."""

    def of(phase: str, number: float) -> float:
        return number if phase in ONCE_PER_SAMPLE else number * factor

    cycles = {phase: of(phase, number) for phase, number in counted.cycles_by_phase.items()}
    counts = tuple(replace(count, number=of(count.phase, count.number)) for count in counted.counts)
    return replace(counted, counts=counts, cycles_by_phase=cycles, cycles=sum(cycles.values()))


def _plus(counted: Counted, more: Counted) -> Counted:
    """Both together, but what is done once per sample of the first alone."""
    added = tuple(count for count in more.counts if count.phase not in ONCE_PER_SAMPLE)
    cycles = {
        phase: number + (0 if phase in ONCE_PER_SAMPLE else more.cycles_by_phase[phase])
        for phase, number in counted.cycles_by_phase.items()
    }
    return replace(counted, counts=counted.counts + added, cycles_by_phase=cycles, cycles=sum(cycles.values()))


def steps_flip(energy: EnergyOfSteps, base: EnergyOfSteps) -> Numbers:
    """Ratio of the energies of a rule and its baseline against T, and the T at which their order flips.

    Returns:
        steps[], ratio[] (null where the chip cannot hold the history), `now`, `ratio_now`, `flip` (the nearest such T;
        null: none up to the last of `steps`), `leaves_chip`: the first T whose history does not fit the chip (null:
        none).
    """
    now = energy.priced.pricer.spec.n_steps

    def ratio(steps: int) -> float | None:
        own, other = energy(steps), base(steps)
        return None if own is None or other is None else own / other

    ratio_now = ratio(now)

    def flipped(steps: int) -> bool:
        value = ratio(steps)
        return value is not None and ratio_now is not None and (value > 1) != (ratio_now > 1)

    def outside(steps: int) -> bool:
        return not base.history_fits(steps)

    flips = [
        _first(flipped, now, [steps for steps in STEPS if steps > now]),
        _first(flipped, now, [steps for steps in reversed(STEPS) if steps < now]),
    ]
    found = [steps for steps in flips if steps is not None]
    return {
        "steps": list(STEPS),
        "ratio": [ratio(steps) for steps in STEPS],
        "now": now,
        "ratio_now": ratio_now,
        "flip": min(found, key=lambda steps: abs(math.log(steps / now))) if found else None,
        "leaves_chip": _first(outside, 0, list(STEPS)),
    }


def _first(holds: Callable[[int], bool], start: int, others: list[int]) -> int | None:
    """The first of the whole numbers, walking from `start` over `others`, at which `holds`; it then holds on."""
    before = start
    for number in others:
        if holds(number):
            while abs(number - before) > 1:
                middle = (number + before) // 2
                before, number = (before, middle) if holds(middle) else (middle, number)
            return number
        before = number
    return None
