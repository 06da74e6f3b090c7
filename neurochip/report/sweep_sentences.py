"""What a sweep says in words: what was varied, and which settings stand out. For the terminal and the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from neurochip.report.table import number

STRATEGIES = {
    "grid": "all combinations",
    "one-at-a-time": "one key at a time around the experiment",
    "random": "combinations drawn at random",
    "from-float": "one quantiser at a time in the float twin",
    "optuna": "combinations that optuna's sampler asked for",
}
ARITHMETIC_KEYS = ("precision.arithmetic", "precision.quantisers")
MOST_VALUES = 12  # that a sentence lists
Summary = Mapping[str, Any]
Setting = Mapping[str, Any]


def word(value: Any) -> str:
    """A value of a key as in an experiment file, words without quotes."""
    if value is None:
        return "unset"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plural(n: int, noun: str) -> str:
    """A number and its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def swept_sentence(summary: Summary) -> str:
    """Say what was varied around what, and how many points that were."""
    method, twin, _ = summary["strategy"].partition("+")
    swept = [key for key in summary["keys"] if not twin or key["key"] != ARITHMETIC_KEYS[0]]
    keys = [f"{key['key']} over {_listed(key['values'])}" for key in swept]
    seeds = summary["seeds"]
    n_failed = sum(len(failure["settings"]) for failure in summary["failures"])
    opening = " × ".join(keys) if keys else "the experiment as it is"
    return (
        f"{opening}; {STRATEGIES[method]}{', and their float twins' if twin else ''}; "
        f"{'seeds' if len(seeds) > 1 else 'seed'} {_listed(seeds)}: "
        f"{plural(len(summary['settings']), 'setting')}, {plural(summary['n_points'], 'point')}"
        f"{f', of which {n_failed:,} failed' if n_failed else ''}."
    )


def around_sentence(summary: Summary) -> str:
    """Say on which task, chip and with which rule."""
    rules, chips = summary["rules"], summary["chips"]
    return (
        f"{'rules' if len(rules) > 1 else 'rule'} {', '.join(rules)} on task {summary['task']}, "
        f"{'chips' if len(chips) > 1 else 'chip'} {', '.join(chips)}"
    )


def _listed(values: Sequence[Any]) -> str:
    whole = all(type(value) is int for value in values)
    if whole and len(values) > 2 and list(values) == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    words = [word(value) for value in values]
    if len(words) > MOST_VALUES:
        return f"{', '.join(words[: MOST_VALUES - 2])}, ..., {words[-1]} ({len(words):,} values)"
    return ", ".join(words)


def outstanding_lines(summary: Summary) -> list[tuple[str, str]]:
    """Return (label, sentence) of the best setting, the cheapest within a point of it, the knee, and the float twin."""
    settings = summary["settings"]
    if summary["best"] is None:
        return [("best", "none: no setting went well with every seed.")]
    best = settings[summary["best"]]
    lines = [("best", described(summary, best))]
    n_fixed = sum(setting["arithmetic"] == "fixed" for setting in settings)
    if summary["cheapest"] is not None and n_fixed > 1:
        same = "the best itself: " if summary["cheapest"] == summary["best"] else ""
        lines.append(("cheapest within 1 point", same + described(summary, settings[summary["cheapest"]])))
    if summary["front"] and n_fixed > 1:
        lines.append(("knee of the front", _knee(summary)))
    return lines if best["arithmetic"] != "fixed" else [*lines, *_beside(summary)]


def _beside(summary: Summary) -> list[tuple[str, str]]:
    """The float twin, and the quantiser that costs it most; values that change nothing in the twin are not named."""
    lines = []
    for label, kind, choose in (("float twin", "float", max), ("quantiser that costs most", "partly", min)):
        found = [setting for setting in summary["settings"] if setting["arithmetic"] == kind and setting["test"]]
        if found:
            chosen = choose(found, key=_mean)
            is_one = kind == "float" and len({_mean(setting) for setting in found}) == 1
            lines.append((label, measured(chosen) if is_one else described(summary, chosen)))
    return lines


def _mean(setting: Setting) -> float:
    return float(setting["test"]["mean"])


def _knee(summary: Summary) -> str:
    n_front = len(summary["front"])
    if summary["knee"] is not None:
        return described(summary, summary["settings"][summary["knee"]])
    if n_front < 3:
        return f"none: the front has {plural(n_front, 'setting')}, a knee needs 3."
    return "none: no setting of the front lies above the line between its ends."


def described(summary: Summary, setting: Setting) -> str:
    """A setting with its accuracy and energy."""
    return f"{setting_text(summary, setting)}: {measured(setting)}"


def measured(setting: Setting) -> str:
    """Accuracy, its range over the seeds, and energy of a setting."""
    test, n_seeds, energy = setting["test"], len(setting["seeds"]) - setting["n_failed"], setting["energy_pj"]
    low, high = percent(test["min"]), percent(test["max"])
    spread = f" ({low} to {high} over {n_seeds} seeds)" if low != high else ""
    if n_seeds > 1 and low == high:
        spread = f" (with each of {n_seeds} seeds)"
    cost = "" if energy is None else f", {number(energy / 1e3)} nJ per learned sample"
    return f"{percent(test['mean'])} % test{spread}{cost}."


def percent(share: float) -> str:
    """A fraction in percent."""
    return f"{100 * share:.1f}"


def setting_text(summary: Summary, setting: Setting) -> str:
    """Keys and values, weight.bits = 5, weight.rounding = floor; the arithmetic in words where that varies."""
    keys = [key for key in summary["keys"] if key["key"] not in ARITHMETIC_KEYS]
    if setting["arithmetic"] == "float":  # keys that it does not have
        keys = [key for key in keys if setting["values"][key["key"]] is not None]
    parts = [f"{key['title']} = {word(setting['values'][key['key']])}" for key in keys]
    return ", ".join([*arithmetic_words(summary, setting), *parts]) or "the experiment"


def arithmetic_words(summary: Summary, setting: Setting) -> list[str]:
    """Fixed point, float twin, or the twin and what is quantised; nothing where the arithmetic does not vary."""
    if all(key["key"] not in ARITHMETIC_KEYS for key in summary["keys"]):
        return []
    if setting["arithmetic"] == "partly":
        return [f"float twin with {', '.join(setting['values'].get(ARITHMETIC_KEYS[1]) or [])} quantised"]
    return [{"fixed": "fixed point", "float": "float twin"}[setting["arithmetic"]]]
