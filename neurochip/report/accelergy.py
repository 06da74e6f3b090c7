"""Action counts and energy reference tables as Accelergy reads them, one folder per rule and pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurochip.report.yaml_text import yaml_text

ACTION_COUNTS_VERSION, ERT_VERSION = 0.2, 0.3
DESIGN = "neurochip"
ORDER = "sum per component, then over components in the order of the file"  # another one rounds otherwise


def accelergy_files(records: Mapping[str, Any]) -> dict[str, str]:
    """<rule>/<pass>/action_counts.yaml and ERT.yaml; `records`: as `neurochip.action_records` gives them."""
    files = {}
    for one in records["passes"]:
        folder = f"{one['rule']}/{one['pass']}"
        what = f"run {records['name']}, rule {one['rule']}, {one['pass']}, chip {records['chip']}"
        total = f"energy in pJ; counts times energy, {ORDER}: {one['energy_pj']!r} pJ"
        counts = {"action_counts": {"version": ACTION_COUNTS_VERSION, "subtree": [_design(one["actions"])]}}
        files[f"{folder}/action_counts.yaml"] = yaml_text(counts, [what, f"counts of a mean sample; {total}"])
        tables = {"ERT": {"version": ERT_VERSION, "tables": _tables(one["actions"])}}
        files[f"{folder}/ERT.yaml"] = yaml_text(tables, [what, "energy of an action in pJ"])
    return files


def _by_component(actions: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    components: dict[str, list[Mapping[str, Any]]] = {}
    for action in actions:
        components.setdefault(action["component"], []).append(action)
    return components


def _design(actions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every count by itself, in the order of the report: one entry per phase and layer, alike or not."""
    local = [
        {
            "name": component,
            "action_counts": [{**_name(action), "counts": _whole(action["counts"])} for action in parts],
        }
        for component, parts in _by_component(actions).items()
    ]
    return {"name": DESIGN, "local": local}


def _tables(actions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    tables = []
    for component, parts in _by_component(actions).items():
        entries = []
        for action in parts:
            entry = {"name": action["action"], "arguments": dict(action["arguments"]), "energy": action["energy_pj"]}
            if entry not in entries:
                entries.append(entry)
        tables.append({"name": f"{DESIGN}.{component}", "actions": entries})
    return tables


def _name(action: Mapping[str, Any]) -> dict[str, Any]:
    """Name and, where there are some, arguments: with none at all Accelergy takes the first energy of the name."""
    named = {"name": action["action"]}
    return {**named, "arguments": dict(action["arguments"])} if action["arguments"] else named


def _whole(number: float) -> float:
    """A count without its `.0` where it is a whole number."""
    return int(number) if number == int(number) else number
