"""One point of a map: every rule priced there, or why it cannot run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from neurochip.errors import UserError
from neurochip.estimate import DEFAULT_RATE, MOST_CELLS, Asked, draw_point
from neurochip.listener import Listener
from neurochip.map_axes import RATE, factor
from neurochip.microarch.footprint import footprint_bits
from neurochip.network.named import NamedNetwork
from neurochip.network.shape import layer_shapes
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer, history_section
from neurochip.rules.presets import Rule, find_rule

STEPS_DRAWN = 640  # of all samples of a point together: the share of steps with an error then errs by 3 %
LEAST_SAMPLES = 2
MOST_STEPS = 1 << 20  # up to which the crossing of two footprints is looked for
METRICS = {  # key -> unit, meaning; all of a learned sample
    "energy_pj": ("pJ", "energy per sample, learning on"),
    "latency_cycles": ("cycles", "clock cycles per sample, learning on, stalls included"),
    "memory_bits": ("bits", "bits that the rule's memories hold, on the chip or off it"),
    "energy_delay_pj_us": ("pJ*us", "energy times time of a sample, learning on"),
}
Numbers = dict[str, Any]


class Tasks:
    """Sizes and event rates of the tasks of experiment files, each loaded once."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._known: dict[str, tuple[int, int, float, Any]] = {}

    def sized(self, network: NamedNetwork) -> tuple[NamedNetwork, float | None]:
        """The network with the sizes of its task, and the share of inputs with an event; networks with sizes stay."""
        if network.n_inputs is not None:
            return network, None
        experiment = network.experiment
        key = json.dumps([experiment.to_tables()["task"], experiment.precision.event.bits])
        if key not in self._known:
            self._known[key] = self._load(network)
        n_inputs, n_classes, rate, input_map = self._known[key]
        if input_map is not None and experiment.network.input_shape is None:
            table = experiment.network.model_copy(update={"input_shape": list(input_map)})
            experiment = experiment.model_copy(update={"network": table})
        return replace(network, experiment=experiment, n_inputs=n_inputs, n_classes=n_classes), rate

    def _load(self, network: NamedNetwork) -> tuple[int, int, float, Any]:
        from neurochip.network.shape import sensor_map, uses_map
        from neurochip.setup import task_settings
        from neurochip.tasks import load_task

        experiment = network.experiment
        self._listener.message(f"loading task {experiment.task.name}, {experiment.task.steps} steps")
        settings = task_settings(experiment)
        task = load_task(settings, network.base_dir, experiment.run.seed, self._listener.message)
        cells = max(1, task.train.n_samples * task.n_steps * task.n_inputs)
        input_map = sensor_map(task.sensor_size) if uses_map(experiment) else None
        return task.n_inputs, len(task.classes), task.train.n_events / cells, input_map


def price_point(network: NamedNetwork, asked: Asked, settings: Mapping[str, Any], tasks: Tasks) -> Numbers:
    """One entry of `points` of a map (docs/map.md).

    Raises:
        UserError: anything wrong with network, rules or rates, but not a rule that does not fit its chip.
    """
    network, task_rate = tasks.sized(network)
    asked = _with_rates(network, asked, settings, task_rate)
    if asked.n_samples is None:
        asked = replace(asked, n_samples=_n_samples(network))
    pricers, priced, refused = draw_point(network, asked)
    first, drawn = next(iter(pricers.values()), None), next(iter(priced.values()), None)
    return {
        "settings": dict(settings),
        "n_samples": drawn.activity.n_samples if drawn else 0,
        "rate": list(asked.rates),
        "psi": asked.psi,
        "overflow": first.chip.overflow if first else None,
        **_history(first),
        "rules": {
            name: _entry(find_rule(name), pricers, priced.get(name), refused.get(name)) for name in pricers or refused
        },
    }


def _history(pricer: Pricer | None) -> Numbers:
    """T*, and the first T whose history does not fit the chip; null where no rule can run."""
    section = {} if pricer is None else history_section({"": pricer.spec}, pricer.chip)
    return {key: section.get(key) for key in ("steps_history_equals_weights", "steps_history_leaves_chip")}


def _with_rates(network: NamedNetwork, asked: Asked, settings: Mapping[str, Any], task_rate: float | None) -> Asked:
    """The rates of every layer, where they are measured on the task or a factor times those of the base."""
    rates, by = asked.rates, factor(settings.get(RATE))
    if not rates and network.n_inputs is not None and network.n_classes is not None:
        n_layers = len(layer_shapes(network.experiment, network.n_inputs, network.n_classes))
        first = DEFAULT_RATE if task_rate is None else task_rate
        rates = (first, *(DEFAULT_RATE,) * (n_layers - 1))
    return replace(asked, rates=tuple(min(1.0, rate * by) for rate in rates) if by is not None else rates)


def _n_samples(network: NamedNetwork) -> int:
    """As many samples as have STEPS_DRAWN steps, fewer for a network so large that drawing them would take long."""
    if network.n_inputs is None or network.n_classes is None:
        raise UserError(f"{network.source}: the sizes of its task are not known")
    steps = network.experiment.task.steps
    shapes = layer_shapes(network.experiment, network.n_inputs, network.n_classes)
    most = MOST_CELLS // (sum(shape.n_in + shape.n_out for shape in shapes) * steps)
    return max(1, min(max(LEAST_SAMPLES, -(-STEPS_DRAWN // steps)), most))


def _entry(rule: Rule, pricers: Mapping[str, Pricer], priced: PricedRule | None, why_not: str | None) -> Numbers:
    """What a rule costs at a point; where it cannot run, its metrics are null but for the bits it would store."""
    pricer, base = pricers.get(rule.name), pricers.get(rule.baseline or "")
    entry: Numbers = {
        "group": rule.group,
        "temporal": rule.temporal,
        "baseline": rule.baseline,
        "why_not": why_not if why_not is None or pricer is None else why_not.replace(f"{pricer.chip.file}: ", ""),
        **dict.fromkeys((*METRICS, "energy_low_pj", "energy_high_pj", "latency_us")),
        "off_chip": [],
        "steps_memory_below_bptt": None,
    }
    if pricer is not None:
        entry["memory_bits"] = pricer.footprint()["total"]
        if base is not None and base is not pricer:
            entry["steps_memory_below_bptt"] = steps_of_less_memory(pricer, base)
    if pricer is None or priced is None:
        return entry
    cost = pricer.per_sample(priced.activity, priced.trace)
    return entry | {
        "energy_pj": cost["energy_pj"]["total"],
        "latency_cycles": cost["cycles"],
        "energy_delay_pj_us": cost["energy_delay_pj_us"],
        "energy_low_pj": cost["energy_pj"]["low"],
        "energy_high_pj": cost["energy_pj"]["high"],
        "latency_us": cost["latency_us"],
        "off_chip": sorted(pricer.off_chip()),
    }


def steps_of_less_memory(pricer: Pricer, base: Pricer) -> int | None:
    """The first T from which a rule stores fewer bits than its baseline; exact, from shapes; None: none up to 2^20."""

    def bits(one: Pricer, steps: int) -> int:
        return sum(footprint_bits(replace(one.spec, n_steps=steps)).values())

    return _first(lambda steps: bits(pricer, steps) < bits(base, steps))


def _first(holds: Callable[[int], bool]) -> int | None:
    """The first T at which something holds that holds from there on."""
    high = 1
    while not holds(high):
        high *= 2
        if high > MOST_STEPS:
            return None
    low = high // 2  # does not hold, or 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
