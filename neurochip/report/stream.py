"""What the report shows of a stream: its table, and the accuracy along it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from neurochip.report.origins import LEARNED
from neurochip.report.plots import GUIDE, SETTINGS, figure_of, legend, rule_style, say, svg_of
from neurochip.report.table import NOTHING, Column, Result, RuleResults, by_rule, look_up, not_empty, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = (("fixed", "-", 1.6), ("float_twin", "--", 1.0))


def stream_tables(report: Mapping[str, Any]) -> list[tuple[Column, ...]]:
    """The table of a stream; none in a report of epochs."""
    return not_empty((STREAM,), report)


def _accuracy(results: RuleResults, twin: bool = False) -> str:
    value = look_up(results.float_twin if twin else results.fixed, "stream", "accuracy")
    return NOTHING if value is None else f"{100 * value:.1f}"


def _mean_window(key: str, first: int) -> Callable[[RuleResults], str]:
    """Mean of a window over the segments from `first` on."""

    def text(results: RuleResults) -> str:
        values = [segment[key] for segment in (look_up(results.any, "stream", "segments") or [])[first:]]
        return f"{100 * sum(values) / len(values):.1f}" if values else NOTHING

    return text


def _recoveries(results: RuleResults) -> list[int | None]:
    return [segment["samples_to_recover"] for segment in (look_up(results.any, "stream", "segments") or [])[1:]]


def _samples_to_recover(results: RuleResults) -> str:
    found = [samples for samples in _recoveries(results) if samples is not None]
    return f"{sum(found) / len(found):,.0f}" if found else NOTHING


def _recovered(results: RuleResults) -> str:
    drifts = _recoveries(results)
    return f"{sum(samples is not None for samples in drifts)}/{len(drifts)}" if drifts else NOTHING


def _labelled(results: RuleResults) -> str:
    stream = look_up(results.any, "stream")
    return NOTHING if stream is None else f"{stream['n_labelled']:,}"


def energy_per_stream_sample_pj(result: Result | None) -> float | None:
    """Mean energy of a sample of the stream: its inference, and the learning of those with a label."""
    stream = look_up(result, "stream")
    learning = look_up(result, "per_sample", "energy_pj", "total")
    inference = look_up(result, "per_sample_inference", "energy_pj", "total")
    if stream is None or learning is None or inference is None:
        return None
    return float(inference + learning * stream["n_labelled"] / stream["n_samples"])


def _energy(results: RuleResults) -> str:
    energy = energy_per_stream_sample_pj(results.fixed)
    return number(None if energy is None else energy / 1e3)


STREAM: tuple[Column, ...] = (
    Column(("labelled", "samples"), "samples of the stream that had a label and were learned", _labelled),
    Column(
        ("predicted", "%"),
        "samples of the stream predicted rightly before they were learned, with the chip's arithmetic, per cent",
        _accuracy,
    ),
    Column(
        ("predicted", "float %"),
        "the same without quantisation, per cent",
        lambda results: _accuracy(results, twin=True),
    ),
    Column(
        ("after drift", "%"),
        "of these, in the first window after a drift, mean over the drifts, per cent",
        _mean_window("first_window", 1),
    ),
    Column(
        ("settled", "%"),
        "of these, in the last window before a drift and before the end, mean, per cent",
        _mean_window("last_window", 0),
    ),
    Column(
        ("recovery", "samples"),
        "samples from a drift until a window reached 90 per cent of the accuracy before it, mean over the drifts after "
        "which one did",
        _samples_to_recover,
    ),
    Column(("recovered", "drifts"), "drifts after which a window reached 90 per cent of that, of all", _recovered),
    Column(
        ("energy", "nJ/sample"),
        "mean energy of a sample of the stream in nJ: its inference, and the learning of those with a label",
        _energy,
    ),
)


def stream_plots(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Title, caption and SVG of the accuracy along the stream; none in a report of epochs."""
    import matplotlib as mpl

    title = "Accuracy along the stream"
    caption = "Samples predicted rightly before they were learned, window by window. Solid: the chip's arithmetic. "
    caption += "Dashed: float twin. Vertical lines: drifts."
    with mpl.rc_context(SETTINGS):
        figure = _figure(report)
        if figure is None:
            return []
        return [{"name": "stream", "title": title, "caption": caption, "svg": svg_of(figure, "stream", title)}]


def _figure(report: Mapping[str, Any]) -> Figure | None:
    rules = by_rule(report)
    streams = [look_up(results.any, "stream") for results in rules]
    if not any(streams):
        return None
    names = [results.rule for results in rules]
    figure, axes = figure_of(4.0)
    for results in rules:
        colour, _ = rule_style(results.rule, names)
        for which, line, width in LINES:
            result = getattr(results, which)
            windows = look_up(result, "stream", "windows") or []
            (curve,) = axes.plot(
                [window["end"] for window in windows],
                [100 * window["accuracy"] for window in windows],
                line,
                color=colour,
                linewidth=width,
                label=results.rule if result is results.any else None,
            )
            points = ", ".join(f"{window['end']:,}: {100 * window['accuracy']:.1f} %" for window in windows)
            of = "float twin" if which == "float_twin" else "chip's arithmetic"
            say(curve, f"{results.rule}, {of}, up to sample {points}. Source: samples of the stream. Kind: {LEARNED}.")
    for segment in streams[0]["segments"][1:]:
        axes.axvline(segment["start"], color=GUIDE, linewidth=0.8)
    axes.set(xlabel="samples of the stream", ylabel="predicted rightly (%)", ylim=(0, 100))
    axes.grid(alpha=0.3)
    legend(figure, axes, 3)
    return figure
