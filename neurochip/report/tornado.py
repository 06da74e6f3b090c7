"""The section `sensitivity` of a report as pictures: what the order of the rules hangs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurochip.report.origins import LEARNED, PRICED_AGAIN
from neurochip.report.plots import GUIDE, SETTINGS, figure_of, legend, say, svg_of
from neurochip.report.table import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 8
COLOURS = {"low": "#56B4E9", "high": "#D55E00"}
LABEL_ROOM = 0.45  # beside the bars, for the values, over the length of all bars


def tornado_plots(section: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Return name, title, caption and SVG of one tornado per pair, as `neurochip.report.plots.plots` does."""
    import matplotlib as mpl

    made = []
    with mpl.rc_context(SETTINGS):
        for pair in (section or {}).get("pairs", []):
            bars = [bar for bar in pair["tornado"] if bar["swing"] > 0][:BARS]
            if not bars:
                continue
            name = f"tornado-{pair['rule']}"
            title = f"What the energy of {pair['rule']} over that of {pair['baseline']} hangs on"
            caption = "Each number alone at its low and its high value. Dashed, if in reach: 1, where the order flips."
            svg = svg_of(_tornado(pair, bars), name, title)
            made.append({"name": name, "title": title, "caption": caption, "svg": svg})
    return made


def _tornado(pair: Mapping[str, Any], bars: Sequence[Mapping[str, Any]]) -> Figure:
    figure, axes = figure_of(1.7 + 0.36 * len(bars))
    base = pair["ratio"]
    ratios = [base, *(bar[end]["ratio"] for bar in bars for end in COLOURS if bar[end]["ratio"] is not None)]
    room = LABEL_ROOM * (max(ratios) - min(ratios))
    for row, bar in enumerate(bars):
        # The longer first, so that the shorter of two on the same side stays visible.
        ends = [(end, bar[end]["ratio"]) for end in COLOURS if bar[end]["ratio"] is not None]
        ends.sort(key=lambda end: -abs(end[1] - base))
        for end, ratio in ends:
            (drawn,) = axes.barh(
                row, ratio - base, left=base, height=0.66, color=COLOURS[end], edgecolor="white", linewidth=0.3
            )
            at = f"{bar['label']} {_value(bar, bar[end]['value'])}"
            say(drawn, f"{at}: {number(ratio)} times (now {number(base)}). Source: {PRICED_AGAIN}. Kind: {LEARNED}.")
        for right in (False, True):
            side = [(end, ratio) for end, ratio in ends if (ratio > base) == right]
            if side:
                axes.annotate(
                    ", ".join(_value(bar, bar[end]["value"]) for end, _ in side), (side[0][1], row),
                    xytext=(3 if right else -3, 0), textcoords="offset points", va="center",
                    ha="left" if right else "right",
                )  # fmt: skip
    for end, colour in COLOURS.items():
        axes.barh(0, 0, left=base, color=colour, label=f"{end} value")
    axes.axvline(base, color=GUIDE, linewidth=1)
    axes.set_xlim(min(ratios) - room, max(ratios) + room)
    if axes.get_xlim()[0] < 1 < axes.get_xlim()[1]:
        axes.axvline(1, color=GUIDE, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(bars)), [bar["label"] for bar in bars])
    axes.invert_yaxis()
    axes.set_xlabel(f"energy of {pair['rule']} over {pair['baseline']}")
    axes.grid(axis="x", alpha=0.3)
    legend(figure, axes, 2)
    return figure


def _value(bar: Mapping[str, Any], value: float) -> str:
    if bar["unit"] == "x":
        return f"×{value:.3g}"
    return f"{value:.3g}" if bar["unit"] in ("lanes", "bits") else f"{value:.3g} {bar['unit']}"  # its label says it
