"""How the settings of a sweep become points, lines and labels: the axis, the series, short names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from neurochip.report.plots import WIDTH_INCHES, legend
from neurochip.report.sweep_sentences import ARITHMETIC_KEYS, arithmetic_words, word

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_INCHES = 0.21
LETTER_INCHES, MARK_INCHES, GAP_INCHES = 0.066, 0.39, 0.28
QUANTISERS = ARITHMETIC_KEYS[1]
ALONE = {"fixed": "fixed point", "float": "float twin"}  # the only line
# Okabe and Ito's palette without black and yellow, which vanish on dark and on white.
STYLES = (
    ("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#E69F00", "P"),
    ("#8C6D00", "X"), ("#5B8FF9", "h"), ("#7F7F7F", "*"), ("#A05195", "<"),
)  # fmt: skip
OTHERS = ("#9AA3AD", ".")  # what is drawn without a name
Summary = Mapping[str, Any]
Setting = Mapping[str, Any]
Key = Mapping[str, Any]


@dataclass(frozen=True)
class Series:
    """Settings that differ in the key of the axis alone, in its order.

    Attributes:
        label: values of the other keys.
        settings: in the order of the axis.
        colour: of line and points.
        marker: of points.
        is_named: whether it stands in the legend.
    """

    label: str
    settings: tuple[Setting, ...]
    colour: str
    marker: str
    is_named: bool = True


def numeric_key(summary: Summary) -> str | None:
    """The first key of the sweep with two or more numbers and nothing else; None where quantisers are ablated."""
    if any(setting["arithmetic"] == "partly" for setting in summary["settings"]):
        return None
    return next((key["key"] for key in summary["keys"] if len(key["values"]) > 1 and _are_numbers(key)), None)


def _are_numbers(key: Key) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in key["values"])


def other_keys(summary: Summary, across: str | None) -> list[Key]:
    """Keys with several values other than that of the axis and the arithmetic, whose float points are the ceiling."""
    return [key for key in summary["keys"] if key["key"] not in (across, *ARITHMETIC_KEYS) and len(key["values"]) > 1]


def short_label(summary: Summary, keys: Sequence[Key], setting: Setting) -> str:
    """Values of some keys: words alone, all else behind the last word of its key, or the key if that is not clear."""
    last = [key["key"].rpartition(".")[2] for key in summary["keys"]]
    parts = []
    for key in keys:
        name, value = key["key"].rpartition(".")[2], setting["values"][key["key"]]
        if value is None:
            continue
        is_clear = last.count(name) == 1
        parts.append(
            word(value)
            if isinstance(value, str) and is_clear
            else f"{name if is_clear else key['title']} {word(value)}"
        )
    return ", ".join(parts)


def ordered_values(key: Key) -> list[Any]:
    """Numbers by size, all else as it was given."""
    return sorted(key["values"]) if _are_numbers(key) else list(key["values"])


def row_label(summary: Summary, setting: Setting) -> str:
    """The name of a setting beside its row: its arithmetic where that varies, and its values of all other keys."""
    words = arithmetic_words(summary, setting)
    rest = [key for key in summary["keys"] if key["key"] not in ARITHMETIC_KEYS]
    if setting["arithmetic"] == "partly":  # formats of the other signals do not matter to it
        quantised = setting["values"].get(QUANTISERS) or []
        words, rest = [", ".join(quantised)], [key for key in rest if key["key"].split(".")[1] in quantised]
    label = short_label(summary, rest, setting) if setting["arithmetic"] != "float" or not words else ""
    return ", ".join(filter(None, (*words, label))) or "the experiment"


def series_of(summary: Summary, across: str | None, arithmetic: str = "fixed") -> list[Series]:
    """A series per combination of the other keys; past the styles there are, the most accurate are named.

    Args:
        summary: of the sweep.
        across: the key that varies along a series; None: every combination is on its own.
        arithmetic: of the settings in the series; "float" are those of the float twin.
    """
    keys = other_keys(summary, across)
    places = {key["key"]: [repr(value) for value in ordered_values(key)] for key in summary["keys"]}

    def place_of(setting: Setting, key: str) -> int:
        value = repr(setting["values"][key])
        return places[key].index(value) if value in places[key] else -1  # a twin, which has none

    groups: dict[tuple[int, ...], list[Setting]] = {}
    for setting in summary["settings"]:
        if setting["arithmetic"] == arithmetic:
            groups.setdefault(tuple(place_of(setting, key["key"]) for key in keys), []).append(setting)
    ranked = sorted(
        sorted(groups), key=lambda one: -max((s["test"]["mean"] for s in groups[one] if s["test"]), default=-1)
    )
    named = sorted(ranked[: len(STYLES)])
    made = []
    for one in sorted(groups):
        group = groups[one] if across is None else sorted(groups[one], key=lambda setting: place_of(setting, across))
        colour, marker = STYLES[named.index(one)] if one in named else OTHERS
        label = short_label(summary, keys, group[0]) or ALONE[arithmetic]
        made.append(Series(label, tuple(group), colour, marker, one in named))
    return made


def legend_columns(labels: Sequence[str]) -> int:
    """The most columns, up to five, of a legend of these names that fits the width of a picture."""
    for n in range(min(5, len(labels)), 1, -1):
        ends = [place * (len(labels) // n) + min(place, len(labels) % n) for place in range(n + 1)]  # column by column
        widest = [max(map(len, labels[first:end])) for first, end in pairwise(ends)]
        if sum(LETTER_INCHES * most + MARK_INCHES + GAP_INCHES for most in widest) - GAP_INCHES <= WIDTH_INCHES:
            return n
    return 1


def legend_below(figure: Figure, axes: Axes) -> None:
    """The legend below the picture, which grows by the lines of it."""
    labels = axes.get_legend_handles_labels()[1]
    columns = legend_columns(labels)
    legend(figure, axes, columns)
    figure.set_figheight(figure.get_figheight() + LINE_INCHES * (-(-len(labels) // columns) - 1))


def is_geometric(values: Sequence[float]) -> bool:
    """Whether positive values are spaced more evenly by their ratios than by their differences."""
    ordered = sorted(set(values))
    if len(ordered) < 3 or ordered[0] <= 0:
        return False
    gaps = [after - before for before, after in pairwise(ordered)]
    ratios = [math.log(after / before) for before, after in pairwise(ordered)]
    return max(ratios) / min(ratios) < max(gaps) / min(gaps)
