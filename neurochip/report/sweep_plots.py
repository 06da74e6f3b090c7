"""The pictures of a sweep: accuracy against the first numeric key, the Pareto front, heat maps of pairs of keys."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neurochip.report.plots import SETTINGS, WIDTH_INCHES, figure_of, svg_file, svg_of
from neurochip.report.sweep_front_plot import front_plot, is_priced
from neurochip.report.sweep_heat import heat_maps
from neurochip.report.sweep_series import Series, is_geometric, legend_below, numeric_key, row_label, series_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
PIXELS_PER_POINT = 1.5  # at least, on a page
INK, PAPER = "#16202a", "#ffffff"  # the page puts its own in place of them
STYLE: Any = {
    **SETTINGS,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "axes.facecolor": "none",
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "grid.color": "#8a949e",
}
MOST_TICKS = 17
MOST_ROWS = 40  # of the plot by setting
ROW_COLOURS = {"fixed": "#0072B2", "float": INK, "partly": "#D55E00"}
NAMES = ("accuracy", "pareto", "heatmap", "heatmap-2", "heatmap-3")  # all there can be


@dataclass(frozen=True)
class Picture:
    """A drawn picture.

    Attributes:
        name: of its files, without ending.
        title: in words.
        caption: what is drawn how, and what is not.
        svg: without name spaces, to stand in a page.
        png: the same as a bitmap.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes

    @property
    def svg_file(self) -> bytes:
        """The SVG as a file that opens by itself."""
        return svg_file(self.svg).encode()

    @property
    def inline(self) -> str:
        """The SVG in the colours of the page around it, light or dark."""
        svg = self.svg
        box = re.search(r'viewBox="0 0 ([0-9.]+)', svg)
        wide = float(box[1]) if box else 0.0
        # On a narrow page it scrolls rather than shrinks: its smallest letters stay 11 pixels high.
        svg = svg.replace("<svg ", f'<svg style="min-width: {PIXELS_PER_POINT * wide:.0f}px" ', 1)
        return svg.replace(INK, "var(--ink)").replace(PAPER, "var(--paper)")


def sweep_pictures(summary: Mapping[str, Any]) -> list[Picture]:
    """Every picture that the sweep has numbers for; the same summary gives the same bytes."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        made = []
        for name, title, caption, figure in _drawn(summary):
            svg = svg_of(figure, name, title)
            stream = io.BytesIO()
            figure.savefig(stream, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
            made.append(Picture(name, title, caption, svg, stream.getvalue()))
        return made


def _drawn(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Figure]]:
    if any(setting["test"] for setting in summary["settings"]):
        yield "accuracy", *_accuracy(summary)
    if sum(map(is_priced, summary["settings"])) > 1:
        yield "pareto", *front_plot(summary)
    yield from heat_maps(summary)


def _accuracy(summary: Mapping[str, Any]) -> tuple[str, str, Figure]:
    across = numeric_key(summary)
    if across is None:
        return _by_setting(summary)
    figure, axes = figure_of(4.2, WIDTH_INCHES)
    is_fixed = any(setting["arithmetic"] == "fixed" for setting in summary["settings"])
    series = series_of(summary, across, "fixed" if is_fixed else "float")
    for one in series:
        _line(axes, across, one)
    twins = series_of(summary, across, "float") if is_fixed else []
    _ceiling(axes, across, twins, series)
    failed = _mark_failed(axes, across, series)
    values = next(key["values"] for key in summary["keys"] if key["key"] == across)
    _number_axis(axes, values)
    title = next(key["title"] for key in summary["keys"] if key["key"] == across)
    axes.set(xlabel=title, ylabel="accuracy on the test split (%)")
    axes.grid(alpha=0.3)
    legend_below(figure, axes)
    several = len(summary["seeds"]) > 1
    caption = "Lines: means over the seeds; bands from the lowest to the highest; points: seeds." if several else ""
    unnamed = sum(not one.is_named for one in series)
    parts = [caption]
    if unnamed:
        parts.append(f"Grey: the {unnamed} less accurate of {len(series)} lines.")
    if twins:
        parts.append("Dashed: float twin.")
    if failed:
        parts.append(f"Crosses at the bottom: settings of which every seed failed ({failed}).")
    return f"Accuracy against {title}", " ".join(filter(None, parts)), figure


def _line(axes: Axes, across: str, series: Series) -> None:
    """Mean, band and seeds of a series; settings without a result leave a gap."""
    x = [setting["values"][across] for setting in series.settings]
    tests = [setting["test"] or dict.fromkeys(("mean", "min", "max"), float("nan")) for setting in series.settings]
    mean, low, high = ([100 * test[name] for test in tests] for name in ("mean", "min", "max"))
    colour, order = series.colour, 2 if series.is_named else 1
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0, zorder=order)
    axes.plot(
        x, mean, color=colour, marker=series.marker, markersize=4.5, linewidth=1.6 if series.is_named else 0.7,
        label=series.label if series.is_named else None, zorder=order + 1,
    )  # fmt: skip
    for setting in series.settings:
        found = [100 * test for test in setting["test_by_seed"] if test is not None]
        if len(found) > 1 and series.is_named:
            axes.plot(
                [setting["values"][across]] * len(found), found, linestyle="", marker=".", markersize=2.5,
                color=colour, alpha=0.8, zorder=order + 1,
            )  # fmt: skip


def _ceiling(axes: Axes, across: str, twins: Sequence[Series], series: Sequence[Series]) -> None:
    """Float twins as dashed lines: one across the picture where formats do not matter to them, else along the axis."""
    colours = {one.label: one.colour for one in series}
    curves: dict[str, tuple[Series, list[float]]] = {}
    for one in twins:
        means = [100 * setting["test"]["mean"] for setting in one.settings if setting["test"]]
        if means:
            curves.setdefault(repr(sorted(set(means))), (one, means))
    for one, means in curves.values():
        alone = len(curves) == 1
        label = "float twin" if alone else f"float twin, {one.label}"
        style: dict[str, Any] = {
            "color": INK if alone else colours.get(one.label, INK), "linestyle": "--", "linewidth": 1.3, "zorder": 4,
            "label": label,
        }  # fmt: skip
        if len(set(means)) == 1:
            axes.axhline(means[0], **style)
        else:
            axes.plot([s["values"][across] for s in one.settings if s["test"]], means, **style)


def _mark_failed(axes: Axes, across: str, series: Sequence[Series]) -> int:
    """Crosses on the axis where a setting has no result at all; returns how many settings that are."""
    failed = 0
    for one in series:
        x = [setting["values"][across] for setting in one.settings if setting["test"] is None]
        if not x:
            continue
        failed += len(x)
        axes.plot(
            x, [0.015] * len(x), linestyle="", marker="x", markersize=6, color=one.colour, clip_on=False,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    return failed


def _number_axis(axes: Axes, values: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    if is_geometric(values):
        axes.set_xscale("log")
    if len(values) <= MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(sorted(values)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _by_setting(summary: Mapping[str, Any]) -> tuple[str, str, Figure]:
    """Without a numeric key: a row per setting, from the top in the order of the sweep."""
    found = [setting for setting in summary["settings"] if setting["test"]]
    ranked = sorted(found, key=lambda setting: -setting["test"]["mean"])[:MOST_ROWS]
    shown = [setting for setting in found if any(setting is other for other in ranked)]
    figure, axes = figure_of(1.1 + 0.3 * len(shown), WIDTH_INCHES)
    for row, setting in enumerate(shown):
        test = setting["test"]
        colour = ROW_COLOURS[setting["arithmetic"]]
        axes.plot([100 * test["min"], 100 * test["max"]], [row, row], color=colour, alpha=0.35, linewidth=5)
        seeds = [100 * value for value in setting["test_by_seed"] if value is not None]
        axes.plot(seeds, [row] * len(seeds), ".", color=colour, markersize=4)
        axes.plot([100 * test["mean"]], [row], "D", color=colour, markersize=5)
    ceilings = {100 * s["test"]["mean"] for s in found if s["arithmetic"] == "float"}
    if len(ceilings) == 1:
        axes.axvline(ceilings.pop(), color=INK, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(shown)), [_cut(row_label(summary, setting)) for setting in shown])
    axes.invert_yaxis()
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("accuracy on the test split (%)")
    axes.grid(axis="x", alpha=0.3)
    several = len(summary["seeds"]) > 1
    parts = ["Diamonds: means over the seeds; bars from the lowest to the highest; points: seeds."] if several else []
    if any(setting["arithmetic"] != "fixed" for setting in found):
        parts.append("Dark, and the dashed line: float twin. Orange: the twin with one signal quantised.")
    if len(shown) < len(found):
        parts.append(f"The {len(shown)} most accurate of {len(found)} settings.")
    if len(found) < len(summary["settings"]):
        parts.append(f"Absent: {len(summary['settings']) - len(found)} settings of which every seed failed.")
    return "Accuracy by setting", " ".join(parts), figure


def _cut(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
