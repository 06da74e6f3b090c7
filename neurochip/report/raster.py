"""A replayed sample as a picture: input events, spikes, membrane potentials and readout sums over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurochip.report.plots import RULE_STYLES, SETTINGS, drawn_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES = 7.2
RASTER_INCHES, LINES_INCHES = 1.5, 1.9
MOST_MARKS = 20_000  # of a panel that are drawn as shapes; more are drawn as one image
MOST_NAMED = 10
COLOURS = tuple(colour for colour, _ in RULE_STYLES.values())
DASHES = ("-", "--", ":", "-.")
INK = "#222222"
Panel = tuple[str, Mapping[str, Any] | None]  # kind, layer


def raster_svg(records: Mapping[str, Any]) -> str:
    """Return the picture as an SVG file; the same records give the same bytes."""
    import matplotlib as mpl

    with mpl.rc_context(SETTINGS | {"font.size": 9}):
        return _drawn(records)


def _drawn(records: Mapping[str, Any]) -> str:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    panels: list[Panel] = [("inputs", None)]
    for layer in records["hidden"]:
        panels.append(("spikes", layer))
        if layer["potentials"]:
            panels.append(("potentials", layer))
    panels.append(("readout", None))
    heights = [LINES_INCHES if kind in ("potentials", "readout") else RASTER_INCHES for kind, _ in panels]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 0.6), layout="constrained", dpi=150)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for (kind, layer), one in zip(panels, axes, strict=True):
        if kind == "inputs":
            _raster(one, records["inputs"]["events"], records["inputs"]["n"], ("input address", "events"))
        elif kind == "readout":
            _readout(one, records)
        elif layer is not None and kind == "spikes":
            _raster(one, layer["spikes"], layer["n"], (f"{_short(layer)}\nneuron", "spikes"))
        elif layer is not None:
            _potentials(one, layer)
    axes[-1].set(xlabel="step", xlim=(0.5, records["n_steps"] + 0.5))
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.suptitle(_title(records), fontsize=9)
    return "\n".join(line.rstrip() for line in drawn_svg(figure).splitlines()) + "\n"


def _title(records: Mapping[str, Any]) -> str:
    return (
        f"{records['name']}, {records['rule']}: sample {records['sample']} of the {records['split']} split, "
        f"label {records['label']}, predicted {records['prediction']}"
    )


def _short(layer: Mapping[str, Any]) -> str:
    return f"layer {layer['layer']}"


def _raster(axes: Axes, events: Sequence[Sequence[int]], n: int, labels: tuple[str, str]) -> None:
    """A mark per event; steps count from 1."""
    size = max(2.0, min(30.0, 3000.0 / max(1, n)))
    axes.scatter(
        [step + 1 for step, _ in events], [index for _, index in events], marker="|", s=size, linewidth=0.9,
        color=INK, rasterized=len(events) > MOST_MARKS,
    )  # fmt: skip
    axes.set(ylabel=labels[0], ylim=(-0.5 - 0.02 * n, n - 0.5 + 0.02 * n))
    count = f"{len(events):,} {labels[1]}"
    axes.annotate(count, (1.0, 1.0), xycoords="axes fraction", ha="right", va="bottom", fontsize=8, color=INK)


def _potentials(axes: Axes, layer: Mapping[str, Any]) -> None:
    """Each potential before its reset; a dot where it fired."""
    spikes = {(step, index) for step, index in layer["spikes"]}
    for place, one in enumerate(layer["potentials"]):
        colour, dash, steps = *_style(place), range(1, len(one["values"]) + 1)
        axes.plot(steps, one["values"], dash, color=colour, linewidth=1.1, label=f"neuron {one['index']}")
        fired = [step for step in steps if (step - 1, one["index"]) in spikes]
        axes.plot(fired, [one["values"][step - 1] for step in fired], "o", color=colour, markersize=3)
    axes.axhline(layer["threshold"], color=INK, linestyle=(0, (4, 3)), linewidth=0.9, label="threshold")
    axes.set_ylabel(f"{_short(layer)}\npotential")
    _legend(axes)


def _readout(axes: Axes, records: Mapping[str, Any]) -> None:
    """The sum of every class; the one that wins is the thickest."""
    for place, one in enumerate(records["readout"]):
        colour, dash = _style(place)
        width = 2.2 if one["name"] == records["prediction"] else 1.0
        name = f"class {one['name']}" if place < MOST_NAMED else None
        axes.plot(range(1, len(one["sums"]) + 1), one["sums"], dash, color=colour, linewidth=width, label=name)
    axes.set_ylabel("readout\nsum of z")
    _legend(axes)


def _style(place: int) -> tuple[str, str]:
    """Colours in turn, then the same ones dashed."""
    return COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]


def _legend(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, frameon=False)


__all__ = ["raster_svg"]
