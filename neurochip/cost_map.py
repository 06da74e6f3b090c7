"""The story of `neurochip cost --map`: axes -> points -> costs of every rule -> cheapest rules and borders.

Which rule is cheapest in energy, latency, memory and energy-delay product, by how much, where that changes, and what
moves the change. The document is described in docs/map.md.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neurochip._version import __version__
from neurochip.errors import UserError
from neurochip.estimate import Asked
from neurochip.listener import Listener, Silent
from neurochip.map_axes import OVERFLOW, SURROGATE, Axis, Settings, default_sheets
from neurochip.map_borders import Sheet, borders, moves, verdicts, winner_changes
from neurochip.map_check import checked_at, network_at
from neurochip.map_point import METRICS, STEPS_DRAWN, Tasks, price_point
from neurochip.network.named import NamedNetwork, named_network
from neurochip.rules.presets import NO_LEARNING, find_rule
from neurochip.setup import chip_of

SCHEMA = "neurochip-map/1"
DEFAULT_RULES = ("sltt-o", "ottt-o", "bptt-o", "sltt", "ottt-a", "bptt")
CSV_COLUMNS = ("rule", "group", "metric", "unit", "value", "ratio_to_bptt", "cheapest", "cheapest_of_group", "why_not")
Numbers = dict[str, Any]


def cost_map(
    text: str,
    overrides: Sequence[str] = (),
    axes: Sequence[Axis] = (),
    asked: Asked | None = None,
    listener: Listener | None = None,
) -> Numbers:
    """Price every rule at every point of a grid; returns the document of docs/map.md.

    Args:
        text: the network, as `neurochip.network.named.named_network` reads it.
        overrides: KEY=VALUE of the experiment; `run.rules` are the rules (default: DEFAULT_RULES).
        axes: of one full grid; none: the default map, steps against every other axis alone.
        asked: what is assumed where no axis says it.

    Raises:
        UserError: one sentence that names axis or option, value and what is allowed; no point can run.
    """
    asked, listener = asked or Asked(), listener or Silent()
    overrides = (*overrides, f"run.rules={json.dumps(_rules(text, overrides))}")
    network = _checked(text, overrides, asked, axes)
    sheets, base = default_sheets(network, asked) if not axes else ([tuple(axes)], {})
    points = _points(sheets, base, lambda settings: network_at(text, overrides, asked, settings, axes), listener)
    for point in points.values():
        point["cheapest"] = {metric: verdicts(point["rules"], metric) for metric in METRICS}
    return _document(network, asked, sheets, base, points)


def _rules(text: str, overrides: Sequence[str]) -> list[str]:
    """The rules of the experiment without inference, which is no rule to learn by."""
    rules = named_network(text, overrides).experiment.run.rules or DEFAULT_RULES
    learning = [rule for rule in rules if rule != NO_LEARNING]
    if not learning:
        raise UserError(f"--rules {NO_LEARNING}: learns nothing; a map needs one rule that learns or more")
    return learning


def _checked(text: str, overrides: Sequence[str], asked: Asked, axes: Sequence[Axis]) -> NamedNetwork:
    """The network without any axis; refuses what is wrong with it."""
    keys = [axis.key for axis in axes]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise UserError(f"--axis {twice[0]} is given twice; give all its values in one, --axis {twice[0]}=V1,V2")
    return checked_at(text, overrides, asked, {})[0]


def _points(
    sheets: Sequence[Sheet], base: Settings, at: Callable[[Settings], tuple[NamedNetwork, Asked]], listener: Listener
) -> dict[str, Numbers]:
    """Every point of every sheet, priced once; a value that is not allowed is refused before anything is priced."""
    settings: dict[str, Settings] = {}
    for sheet in sheets:
        for one in _grid(sheet, base):
            settings.setdefault(_name(one), one)
    networks = {name: at(one) for name, one in settings.items()}
    tasks, points = Tasks(listener), {}
    listener.begin("map", "map", len(settings))
    for number, (name, one) in enumerate(settings.items(), start=1):
        points[name] = price_point(*networks[name], one, tasks)
        listener.advance("map", 1, f"{number} of {len(settings)} points")
    listener.end("map")
    reasons = [entry["why_not"] for point in points.values() for entry in point["rules"].values()]
    if all(reason is not None for reason in reasons):
        raise UserError(f"no rule can run at any point of the map; the first: {reasons[0]}")
    return points


def _grid(sheet: Sheet, base: Settings) -> list[Settings]:
    found: list[Settings] = [dict(base)]
    for axis in sheet:
        found = [{**one, axis.key: value} for one in found for value in axis.values]
    return found


def _name(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def _document(
    network: NamedNetwork, asked: Asked, sheets: Sequence[Sheet], base: Settings, points: Mapping[str, Numbers]
) -> Numbers:
    def find(settings: Settings) -> Numbers:
        return points[_name(settings)]

    experiment, chip = network.experiment, chip_of(network.experiment)
    tables = experiment.to_tables()
    tables["chip"]["name"] = Path(tables["chip"]["name"]).name
    axes = {axis.key: axis for sheet in reversed(sheets) for axis in sheet}
    return {
        "schema": SCHEMA,
        "name": network.source.removeprefix("--network ").partition(" with --set")[0],
        "versions": {"neurochip": __version__},
        "experiment": tables,
        "chip": chip.summary,
        "assumed": {
            "rates": list(asked.rates),
            "psi": asked.psi,
            "signal_steps": asked.signal_steps,
            "signal": list(asked.signal),
            "seed": asked.seed,
        },
        "metrics": {key: {"unit": unit, "meaning": meaning} for key, (unit, meaning) in METRICS.items()},
        "rules": [_rule(name) for name in experiment.run.rules or ()],
        "axes": [
            {"key": axis.key, "label": axis.label, "values": list(axis.values), "base": base.get(axis.key)}
            for axis in sorted(axes.values(), key=lambda axis: list(base or axes).index(axis.key))
        ],
        "sheets": [{axis.key: list(axis.values) for axis in sheet} for sheet in sheets],
        "base": base,
        "points": list(points.values()),
        "borders": borders(sheets, base, find, METRICS),
        "winner_changes": winner_changes(sheets, base, find, METRICS),
        "moves": moves(sheets, base, find, METRICS),
        "notes": _notes(asked, axes),
    }


def _rule(name: str) -> Numbers:
    rule = find_rule(name)
    return {"name": name, "group": rule.group, "baseline": rule.baseline, "temporal": rule.temporal}


def _notes(asked: Asked, axes: Mapping[str, Axis]) -> list[str]:
    drawn = f"at least {STEPS_DRAWN} steps" if asked.n_samples is None else f"{asked.n_samples} samples"
    notes = [
        "Energy is what the model of the chip gives, not a measurement. Nothing was trained: at every point "
        f"independent events were drawn ({drawn}, seed {asked.seed}); accuracy is not in these numbers.",
        f"Assumed where no axis says otherwise: {_listed(asked.psi)} of the neurons have a surrogate, "
        f"{asked.signal_steps:g} of the steps an error; in these {_listed(asked.signal[:-1])} of the neurons with a "
        f"surrogate have a signal, and {asked.signal[-1]:g} of the outputs an error.",
        "A border between two points is interpolated log-linearly; that of the memory in T is exact.",
    ]
    if (SURROGATE in axes or "precision.surrogate.bits" in axes) and "psi" not in axes:
        notes.append(
            "Assumed of other surrogates: potentials are spread evenly around the threshold, so the share of neurons "
            "with a surrogate goes as the number of its codes that are not 0."
        )
    if OVERFLOW in axes:
        notes.append(f"{OVERFLOW} = refuse: a rule that does not fit is recorded as such and cannot be cheapest.")
    return notes


def _listed(numbers: float | Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in (numbers if isinstance(numbers, Sequence) else [numbers]))


def map_csv(document: Mapping[str, Any]) -> str:
    """One row per point, rule and metric; the columns of the axes come first, lists joined by colons."""
    keys = [axis["key"] for axis in document["axes"]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*keys, *CSV_COLUMNS])
    for point in document["points"]:
        place = [_cell(point["settings"][key]) for key in keys]
        for rule, entry in point["rules"].items():
            for metric, about in document["metrics"].items():
                verdict = point["cheapest"][metric]
                writer.writerow(
                    [
                        *(*place, rule, entry["group"], metric, about["unit"], _cell(entry[metric])),
                        *(_cell(verdict["ratio_to_bptt"].get(rule)), _leads(verdict["overall"], rule)),
                        *(_leads(verdict["groups"][entry["group"]], rule), entry["why_not"] or ""),
                    ]
                )
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return ":".join(map(repr, value)) if isinstance(value, list) else str(value)


def _leads(verdict: Mapping[str, Any] | None, rule: str) -> int:
    return int(verdict is not None and rule in verdict["rules"])
