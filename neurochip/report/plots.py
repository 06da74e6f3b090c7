"""The pictures of the page, as inline SVG: the same report gives the same bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurochip.counters import MEMORIES
from neurochip.report.origins import LEARNED, SHAPES, prices_of
from neurochip.report.table import BASELINES, by_rule, look_up, number

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which readers with any kind of colour blindness can tell apart; grey in place of its black,
# which dark pages would hide.
RULE_STYLES: dict[str, tuple[str, str]] = {  # colour, marker
    "infer": ("#767676", "x"),
    "sltt-o": ("#56B4E9", "v"),
    "ottt-o": ("#D55E00", "o"),
    "bptt-o": ("#0072B2", "s"),
    "sltt": ("#CC79A7", "^"),
    "ottt-a": ("#E69F00", "D"),
    "bptt": ("#009E73", "P"),
}
OTHER_STYLES = (("#8C6D00", "*"), ("#B0524C", "h"), ("#8168B3", "d"))
PART_STYLES: dict[str, tuple[str, str]] = {  # colour, hatch
    "synapse": ("#0072B2", ""),
    "neuron": ("#56B4E9", ""),
    "trace": ("#D55E00", ""),
    "error": ("#E69F00", ""),
    "gradient": ("#009E73", ""),
    "history": ("#CC79A7", ""),
    "event_fifo": ("#F0E442", ""),
    "dram": ("#000000", ""),
    "ac": ("#4D4D4D", ""),
    "mac": ("#7A7A7A", ""),
    "other operations": ("#A6A6A6", ""),
    "clock": ("#C4C4C4", "///"),
    "leakage": ("#EDEDED", "\\\\\\"),
}
NAMED_OPERATIONS = ("ac", "mac")  # the others together are one part of a bar
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "neurochip",
    "font.family": "sans-serif",
    "text.parse_math": False,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.6,
}
SAYS = "says:"  # beginning of the identifier of what has a text
GUIDE = "#7A7A7A"  # lines that mark a value: seen on white and on black
LEAST_SPAN = 4.0  # largest over smallest value of a logarithmic axis
NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
ON_WHITE = 'style="background: #ffffff; color: #000000"'
WIDTH_INCHES = 5.4
PAGE_INCHES = 4.6  # of the pictures of a report: at 390 pixels their letters are 11 pixels high
Part = tuple[str, str, float]  # label of the row, name of the part, length
Behind = Callable[[str, str], tuple[str, str]]  # (row, part) -> source, kind


def rule_style(rule: str, rules: Sequence[str]) -> tuple[str, str]:
    """Colour and marker of a rule; named rules have the same in every report."""
    if rule in RULE_STYLES:
        return RULE_STYLES[rule]
    others = [name for name in rules if name not in RULE_STYLES]
    return OTHER_STYLES[others.index(rule) % len(OTHER_STYLES)]


def plots(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return title, caption and SVG of every picture the report has numbers for."""
    import matplotlib as mpl

    made = []
    with mpl.rc_context(SETTINGS):
        for name, title, caption, draw in (
            (
                "curves",
                "Learning curves",
                "Solid: the chip's arithmetic. Dashed, hollow: float twin.",
                _learning_curves,
            ),
            (
                "energy",
                "Energy per sample, learning on",
                "Accesses by memory, all operations, clock and control, leakage.",
                _energy,
            ),
            ("footprint", "On-chip memory", "Bits that each memory must hold.", _footprint),
            (
                "steps",
                "On-chip memory against the number of steps",
                "Lines: T here; T* (history of BPTT as large as the weights); the first T whose history does not fit.",
                _footprint_by_steps,
            ),
        ):
            figure = draw(report)
            if figure is not None:
                made.append({"name": name, "title": title, "caption": caption, "svg": svg_of(figure, name, title)})
    return made


def figure_of(height_inches: float, width_inches: float = PAGE_INCHES) -> tuple[Figure, Axes]:
    """An empty picture, as wide as those of a report."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    return figure, figure.subplots()


def svg_of(figure: Figure, name: str, title: str) -> str:
    """Render without date, size and name spaces, and with identifiers that no other picture of the page has.

    `title` is escaped, and a name is a part of identifiers: rules and keys of an experiment may be called anything.
    """
    import html

    text = drawn_svg(figure)
    text = text[text.index("<svg") :]
    name, label = re.sub(r"[^A-Za-z0-9]", "-", name), html.escape(title)
    head = re.search(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', text)
    if head:
        text = f'<svg {head[1]} role="img" aria-label="{label}">{text[head.end() :]}'
    text = re.sub(rf'<g id="{SAYS}([^"]*)">', r"<g><title>\1</title>", text)
    text = re.sub(r"\b(fill|stroke): #000000", r"\1: currentColor", text)  # dark pages have light letters and axes
    text = re.sub(r'\b(id="|xlink:href="#)', rf"\1{name}-", text).replace("url(#", f"url(#{name}-")
    return "\n".join(line.rstrip() for line in text.splitlines())


def drawn_svg(figure: Figure) -> str:
    """What matplotlib draws; letters that its own font lacks are no matter, as the viewer's fonts show the text."""
    import io
    import warnings

    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return stream.getvalue()


def svg_file(svg: str) -> str:
    """What `svg_of` gave, as a file that opens by itself, on white: the page around it may be dark."""
    return f"{svg.replace('<svg ', f'<svg {NAMESPACES} {ON_WHITE} ', 1)}\n"


def say(artist: Artist, text: str) -> None:
    """Let a bar or a line of a picture say this on hover; matplotlib escapes it."""
    artist.set_gid(f"{SAYS}{' '.join(text.split())}")


def legend(figure: Figure, axes: Axes, columns: int) -> None:
    """The legend below the picture."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)


def _learning_curves(report: Mapping[str, Any]) -> Figure | None:
    from matplotlib.ticker import MaxNLocator

    figure, axes = figure_of(4.0)
    rules = [results.rule for results in by_rule(report)]
    drawn = False
    for place, results in enumerate(by_rule(report)):
        colour, marker = rule_style(results.rule, rules)
        above = len(rules) - 1 - place  # equal curves overlap: each is drawn wider than those above it
        for result, line, fill, wider in ((results.fixed, "-", colour, 0), (results.float_twin, "--", "none", 4)):
            epochs = [e for e in look_up(result, "accuracy", "per_epoch") or [] if e["validation"] is not None]
            if epochs:
                drawn = True
                x, y = [e["epoch"] for e in epochs], [100 * e["validation"] for e in epochs]
                (curve,) = axes.plot(
                    x, y, line, color=colour, marker=marker, markerfacecolor=fill, linewidth=1.2 + 0.5 * above,
                    markersize=4.5 + above + wider, zorder=3 if result is results.fixed else 2.5,
                    label=results.rule if result is results.any else None,
                )  # fmt: skip
                points = ", ".join(f"epoch {epoch} {share:.1f} %" for epoch, share in zip(x, y, strict=True))
                which = "float twin" if result is results.float_twin else "chip's arithmetic"
                say(curve, f"{results.rule}, {which}, validation accuracy: {points}. {_samples(report)}")
    axes.set(xlabel="epoch", ylabel="validation accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    legend(figure, axes, 4)
    return figure if drawn else None


def _samples(report: Mapping[str, Any]) -> str:
    return f"Source: {report['task']['n_validation']:,} validation samples. Kind: {LEARNED}."


def _energy(report: Mapping[str, Any]) -> Figure | None:
    parts: list[Part] = []
    for results in by_rule(report):
        energy = look_up(results.fixed, "per_sample", "energy_pj")
        if energy is not None:
            row = [(name, energy["by_memory"].get(name, 0)) for name in MEMORIES]
            operations = energy["by_operation"]
            row += [(name, operations.get(name, 0)) for name in NAMED_OPERATIONS]
            row += [("other operations", pj) for name, pj in operations.items() if name not in NAMED_OPERATIONS]
            row += [("clock", energy["clock"]), ("leakage", energy["leakage"])]
            parts += [(results.rule, name, pj / 1e3) for name, pj in row]
    rules = {results.rule: look_up(results.fixed, "per_sample", "energy_pj") or {} for results in by_rule(report)}

    def behind(rule: str, part: str) -> tuple[str, str]:
        return prices_of(part, report, rules[rule].get("by_kind"))

    return _stacked(parts, "energy per sample (nJ)", behind)


def _footprint(report: Mapping[str, Any]) -> Figure | None:
    parts: list[Part] = []
    for results in by_rule(report):
        bits = look_up(results.fixed, "footprint_bits")
        if bits is not None:
            parts += [(results.rule, name, bits.get(name, 0) / 1e3) for name in MEMORIES]
    return _stacked(parts, "memory (kbit)", lambda rule, part: SHAPES)


def _stacked(parts: Sequence[Part], label: str, behind: Behind) -> Figure | None:
    """Horizontal bars, one per row in the order given from the top, parts from left to right; a row keeps its zeros."""
    if not parts:
        return None
    ends = dict.fromkeys((row for row, _, _ in parts), 0.0)
    figure, axes = figure_of(1.7 + 0.36 * len(ends))
    named: set[str] = set()
    unit = label[label.index("(") + 1 : -1]
    for row, name, length in parts:
        if length == 0:
            continue
        colour, hatch = PART_STYLES[name]
        source, kind = behind(row, name)
        (bar,) = axes.barh(
            list(ends).index(row), length, left=ends[row], height=0.66, color=colour, hatch=hatch,
            edgecolor="#444444" if hatch else "white", linewidth=0.3, label=None if name in named else name,
        )  # fmt: skip
        say(bar, f"{row}, {name}: {number(length)} {unit}. Source: {source}. Kind: {kind}.")
        ends[row] += length
        named.add(name)
    axes.set_yticks(range(len(ends)), list(ends))
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    legend(figure, axes, 3)
    return figure


def _at_least(span: float, low: float, high: float) -> tuple[float, float]:
    """Ends of a logarithmic axis, so far apart that a change of some per mille does not look steep."""
    middle, half = math.sqrt(low * high), math.sqrt(span)
    return min(low, middle / half), max(high, middle * half)


def _footprint_by_steps(report: Mapping[str, Any]) -> Figure | None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    history = report["history"]
    steps, rules = history["footprint_by_steps"]["steps"], history["footprint_by_steps"]["rules"]
    if not steps or not rules:
        return None
    figure, axes = figure_of(4.0)
    run = {results.rule for results in by_rule(report)}
    for place, (rule, bits) in enumerate(rules.items()):
        colour, marker = rule_style(rule, list(rules))
        # Rules of nearly equal footprint overlap: the first is drawn widest, so that each stays visible.
        width = 1.2 + 0.8 * (len(rules) - 1 - place)
        (curve,) = axes.plot(
            steps, [b / 1e3 for b in bits], "-" if rule in run else "--", color=colour, marker=marker, markersize=4,
            linewidth=width, label=rule if rule in run else f"{rule} (not run)",
        )  # fmt: skip
        points = ", ".join(f"T = {t:,} {number(b / 1e3)} kbit" for t, b in zip(steps, bits, strict=True))
        say(curve, f"{rule}: {points}. Source: {SHAPES[0]}. Kind: {SHAPES[1]}.")
    axes.set(xscale="log", yscale="log", xlabel="steps T", ylabel="memory (kbit)")
    axes.set_ylim(*_at_least(LEAST_SPAN, *axes.get_ylim()))
    for axis, marks in ((axes.xaxis, (1,)), (axes.yaxis, (1, 2, 5))):
        axis.set_major_locator(LogLocator(subs=marks))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")
    equal, leaves = history["steps_history_equals_weights"], history["steps_history_leaves_chip"]
    has_history = not rules.keys().isdisjoint(BASELINES)
    for text, other, line, value in (  # the last two lines may nearly coincide: each has its text on its own side
        ("this T", None, "-", report["task"]["n_steps"]),
        ("T*", leaves, "--", equal if has_history else None),
        ("does not fit", equal, ":", leaves if has_history else None),
    ):
        if value:
            is_left = other is not None and value < other
            axes.axvline(value, color=GUIDE, linestyle=line, linewidth=1)
            axes.annotate(
                text, (value, 1.0), xycoords=("data", "axes fraction"), xytext=(-3 if is_left else 3, -2),
                textcoords="offset points", rotation=90, va="top", ha="right" if is_left else "left", color=GUIDE,
            )  # fmt: skip
    legend(figure, axes, 4)
    return figure
