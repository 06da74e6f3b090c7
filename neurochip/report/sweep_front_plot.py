"""The picture of accuracy against energy: all settings, the Pareto front through the best of them, its knee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurochip.report.plots import WIDTH_INCHES, figure_of
from neurochip.report.sweep_sentences import ARITHMETIC_KEYS
from neurochip.report.sweep_series import legend_below, numeric_key, other_keys, series_of, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

Summary = Mapping[str, Any]
Setting = Mapping[str, Any]
INK = "#16202a"
MOST_LABELS = 16
OFFSETS = (
    (6, -9), (-6, 8), (6, 8), (-6, -9), (9, -20), (-9, 19), (9, 19), (-9, -20), (14, -32), (-14, 31), (14, 31),
    (-14, -32), (20, -44), (-20, 43),
)  # fmt: skip
KNEE_SIZE, MARK_SIZE = 12, 5
ROLES = {"best": "best", "cheapest": "within 1 point", "knee": "knee"}
NEAR_POINTS = 10  # a name farther away has a line to its point
LOG_FROM = 3.0  # a ratio of highest to lowest
LEAST_ERROR = 0.001
ACCURACY_TICKS = (50, 90, 99, 99.9, 0, 95, 80, 98, 99.5, 97, 70, 96, 85, 60, 20, 94, 92, 40, 30, 10)  # by importance
TICK_DISTANCE = 0.055  # of the height


def front_plot(summary: Summary) -> tuple[str, str, Figure]:
    """Title, caption and picture; points have the colours of the lines of accuracy."""
    figure, axes = figure_of(4.6, WIDTH_INCHES)
    across = _along(summary)
    settings = summary["settings"]
    energies: list[float] = []
    accuracies: list[float] = []
    series = series_of(summary, across)
    for one in series:
        shown = [s for s in one.settings if is_priced(s)]
        if not shown:
            continue
        energies += [s["energy_pj"] for s in shown]
        accuracies += [s["test"]["mean"] for s in shown]
        axes.plot(
            *zip(*map(_place, shown), strict=True), linestyle="", marker=one.marker, markersize=MARK_SIZE,
            color=one.colour, alpha=0.85, label=one.label if one.is_named else None,
        )  # fmt: skip
    front = [settings[place] for place in summary["front"]]
    x, y = [s["energy_pj"] / 1e3 for s in front], [100 * s["test"]["mean"] for s in front]
    axes.plot(x, y, drawstyle="steps-post", color=INK, linewidth=1.1, label="front", zorder=1.5)
    if summary["knee"] is not None:
        at = settings[summary["knee"]]
        axes.plot(
            [at["energy_pj"] / 1e3], [100 * at["test"]["mean"]], linestyle="", marker="o", markersize=KNEE_SIZE,
            markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.4, label="knee",
        )  # fmt: skip
    _energy_axis(axes, min(energies), max(energies))
    _accuracy_axis(axes, accuracies)
    axes.set(xlabel="energy per learned sample (nJ)", ylabel="accuracy on the test split (%)")
    axes.margins(x=0.1, y=0.09)
    axes.grid(alpha=0.3)
    legend_below(figure, axes)
    n_labels = _label_front(summary, figure, axes)
    parts = ["Means over the seeds." if len(summary["seeds"]) > 1 else "", "Line: no setting is better and cheaper."]
    if not all(one.is_named for one in series):
        parts.append("Grey: the less accurate combinations.")
    if n_labels < len(front):
        parts.append(f"{n_labels} of the {len(front)} settings of the front have their name; the table has all.")
    return "Accuracy against energy", " ".join(filter(None, parts)), figure


def _along(summary: Summary) -> str | None:
    """The key whose values share a colour: that of the axis of accuracies, else the last of several."""
    keys = [key["key"] for key in other_keys(summary, None)]
    return numeric_key(summary) or (keys[-1] if len(keys) > 1 else None)


def _energy_axis(axes: Axes, lowest: float, highest: float) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if highest / lowest >= LOG_FROM:
        axes.set_xscale("log")
        marks = (1, 2, 3, 5, 7) if highest / lowest < 30 else (1, 3) if highest / lowest < 3000 else (1,)
        axes.xaxis.set_major_locator(LogLocator(subs=marks))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))


def _accuracy_axis(axes: Axes, accuracies: Sequence[float]) -> None:
    """The error is logarithmic where it differs by much, so that the good settings do not lie on each other."""
    import numpy as np
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    errors = [max(1 - accuracy, LEAST_ERROR) for accuracy in accuracies]
    if max(errors) / min(errors) < LOG_FROM:
        return

    def forward(percent: Any) -> Any:
        return -np.log(np.maximum(1 - np.asarray(percent) / 100, LEAST_ERROR))

    def inverse(height: Any) -> Any:
        return 100 * (1 - np.exp(-np.asarray(height)))

    axes.set_yscale("function", functions=(forward, inverse))
    low, high = forward(100 * (1 - max(errors))), forward(100 * (1 - min(errors)))
    axes.yaxis.set_major_locator(FixedLocator(_spread([(float(forward(at)), at) for at in ACCURACY_TICKS], low, high)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _spread(ticks: Sequence[tuple[float, float]], low: float, high: float) -> list[float]:
    """Values whose heights keep their distance, the first of those that are too near each other; (height, value)."""
    apart = TICK_DISTANCE * (high - low)
    kept: list[tuple[float, float]] = []
    for height, value in ticks:
        is_inside = low - 0.2 * (high - low) <= height <= high + 0.2 * (high - low)
        if is_inside and all(abs(height - other) >= apart for other, _ in kept):
            kept.append((height, value))
    return sorted(value for _, value in kept)


def _label_front(summary: Summary, figure: Figure, axes: Axes) -> int:
    """Name the settings of the front where there is room, the outstanding first; returns how many have a name."""
    front = list(summary["front"])
    named = {summary[name]: name for name in ("cheapest", "best", "knee")}
    order = list(dict.fromkeys(place for place in [*named, front[0], front[-1], *front] if place in front))
    figure.draw_without_rendering()  # places everything, so that extents are known
    taken: list[Bbox] = _marks(summary, axes)
    inside = axes.get_window_extent()
    placed = 0
    for place in order[:MOST_LABELS]:
        setting, role = summary["settings"][place], named.get(place)
        placed += _placed(axes, _name(summary, setting, role), _place(setting), taken, inside, role is not None)
    return placed


def _name(summary: Summary, setting: Setting, role: str | None) -> str:
    """An outstanding setting by all its keys; any other by that of the axis alone, as its colour says the rest."""
    across = _along(summary)
    several = other_keys(summary, None) or [key for key in summary["keys"] if key["key"] not in ARITHMETIC_KEYS]
    if role is None and across is not None:
        return short_label(summary, [key for key in several if key["key"] == across], setting)
    name = short_label(summary, several, setting)
    return ": ".join(filter(None, (ROLES.get(role or ""), name)))


def _place(setting: Setting) -> tuple[float, float]:
    return setting["energy_pj"] / 1e3, 100 * setting["test"]["mean"]


def _marks(summary: Summary, axes: Axes) -> list[Bbox]:
    """Boxes around the points, which no name may cover."""
    from matplotlib.transforms import Bbox

    found = []
    for index, setting in enumerate(summary["settings"]):
        if is_priced(setting):
            x, y = axes.transData.transform(_place(setting))
            half = KNEE_SIZE / 2 + 5 if index == summary["knee"] else MARK_SIZE / 2
            found.append(Bbox.from_extents(x - half, y - half, x + half, y + half))
    return found


def is_priced(setting: Setting) -> bool:
    """Whether a setting has a place in the picture."""
    return setting["test"] is not None and (setting["energy_pj"] or 0) > 0


def _placed(axes: Axes, text: str, anchor: Sequence[float], taken: list[Bbox], inside: Bbox, line: bool) -> bool:
    """Put a name at the first place around its point that is free, far ones with a line; False where there is none."""
    at = (anchor[0], anchor[1])
    for dx, dy in OFFSETS:
        name = axes.annotate(
            text, at, xytext=(dx, dy), textcoords="offset points", fontsize=7.5, ha="left" if dx > 0 else "right",
            va="center", zorder=5,
        )  # fmt: skip
        name.set_in_layout(False)
        box = name.get_window_extent().padded(1.5)
        is_inside = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
        if is_inside and not any(box.overlaps(other) for other in taken):
            taken.append(box)
            if line or abs(dy) > NEAR_POINTS:
                style = {"arrowstyle": "-", "color": INK, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
                leader = axes.annotate("", at, xytext=(dx, dy), textcoords="offset points", arrowprops=style)
                leader.set_in_layout(False)
            return True
        name.remove()
    return False
