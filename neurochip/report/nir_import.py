"""What the page says of a network out of a NIR graph: how it was read, what integers changed, accuracy before learning.

The section `nir_import` of a report is described in docs/nir.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurochip.report.detail import Table, table_of
from neurochip.report.origins import LEARNED, tip
from neurochip.report.table import NOTHING, number

FILE = "nir_import.json"
READ = ("sha256", "dt", "scheme", "reset", "comparator", "synapse", "outputs", "task_step_us")
CURRENTS = ("beta", "current_leak")
LEAKS = ("alpha", "leak", *CURRENTS)  # they differ late
Section = Mapping[str, Any]
# Title, key, unit, meaning.
LAYER_COLUMNS = (
    ("largest weight", "max_weight", "", "magnitude of the largest weight, in thresholds where they count as 1"),
    ("largest error", "max_weight_error", "", "largest difference between a weight and its code"),
    ("clipped (%)", "clipped_fraction", "%", "weights beyond the range of the format, of all"),
    ("λ of the graph", "alpha", "", "factor of the potential per step, as the graph says"),
    ("λ of the core", "leak", "", "factor of the potential per step, as the core has it"),
    ("λ of the current, graph", "beta", "", "factor of the synaptic current per step, as the graph says"),
    ("λ of the current, core", "current_leak", "", "factor of the synaptic current per step, as the core has it"),
    ("threshold off by", "threshold_error", "", "what rounding, and firing above a threshold, add to it"),
)
FORM_COLUMNS = (
    ("format", "", "bits", "bits of a weight, and how many of them lie behind the binary point"),
    ("counts as 1", "", "potential of the graph", "threshold of the graph by which weights and biases were divided"),
)
SPIKE_COLUMNS = (
    ("spikes of the graph", "graph_spikes", "spikes", "of the graph in real numbers"),
    ("spikes of the core", "core_spikes", "spikes", "of the integer core"),
    ("in one alone", "differing", "(neuron, step)", "places in which only one of them fired"),
    ("their share (%)", "differing_share", "%", "of the spikes of both"),
)


def nir_import(report: Section) -> dict[str, Any] | None:
    """The texts and tables of the section; None for a network that comes from no graph."""
    section = report.get("nir_import")
    if section is None:
        return None
    return {
        "file": FILE,
        "read": [(key, str(section[key])) for key in READ if key in section],
        "before": _before(section),
        "notes": section["notes"],
        "layers": _layers(section),
        "spikes": _spikes(section),
    }


def _before(section: Section) -> list[str]:
    accuracy, spikes = section["accuracy"], section["spikes"]
    found = [
        f"Before it learned, {100 * accuracy['fixed']:.2f} % of the {accuracy['samples']:,} {accuracy['split']} "
        f"samples were right in integers, {100 * accuracy['float']:.2f} % with the same layers in real numbers.",
        f"Of the first {spikes['samples']:,} {spikes['split']} samples, the graph itself had {spikes['graph_right']:,} "
        f"right and the integer core {spikes['core_right']:,}; {spikes['same_answers']:,} answers are the same.",
    ]
    if (fired := spikes.get("last_spikes_per_sample")) is None:
        return found
    silent = spikes.get("last_silent_samples", 0)
    without = f"; it is silent in {silent:,} of them, whose answer there is the first output" if silent else ""
    last = f"The last population of the graph, {spikes.get('last_population', NOTHING)}"
    return [*found, f"{last}, has {number(fired, 4)} spikes per sample on these samples{without}."]


def _layers(section: Section) -> Table:
    """Columns on synaptic currents are left out where no layer has one."""
    with_current = any("beta" in layer for layer in section["layers"])
    columns = [column for column in LAYER_COLUMNS if with_current or column[1] not in CURRENTS]
    rows, tips = [], []
    for layer in section["layers"]:
        name = layer["weights"] if layer["population"] is None else f"{layer['weights']} → {layer['population']}"
        texts = [_text(layer, key, unit) for _, key, unit, _ in columns]
        form = f"s{layer['weight_bits']}.{layer['weight_frac']}"
        rows.append([name, layer["kind"], form, _unit(layer), *texts])
        tips.append(["", *_tips(name, FORM_COLUMNS, (form, _unit(layer))), *_tips(name, columns, texts)])
    head = ["nodes", "kind", "format", "counts as 1", *(title for title, *_ in columns)]
    return table_of(head, rows, tips)


def _spikes(section: Section) -> Table:
    rows, tips = [], []
    for population in section["spikes"]["populations"]:
        name = str(population["population"])
        texts = [_text(population, key, unit) for _, key, unit, _ in SPIKE_COLUMNS]
        rows.append([name, *texts])
        tips.append(_tips(name, SPIKE_COLUMNS, texts))
    return table_of(["population", *(title for title, *_ in SPIKE_COLUMNS)], rows, tips)


def _unit(layer: Section) -> str:
    """The threshold of the graph by which weights were divided."""
    ends = [number(value, 4) for value in layer.get("unit", ())]
    return " … ".join(dict.fromkeys(ends)) if ends else NOTHING


def _text(row: Section, key: str, unit: str) -> str:
    value = row.get(key)
    if isinstance(value, int):
        return f"{value:,}"
    digits = 6 if key in LEAKS else 4
    return number(value if value is None or unit != "%" else 100 * value, digits)


def _tips(name: str, columns: Sequence[tuple[str, str, str, str]], texts: Sequence[str]) -> list[str]:
    origin = (f"import report, {FILE}", LEARNED)
    return [
        tip(f"{name}, {title}", text, unit, meaning, origin)
        for (title, _, unit, meaning), text in zip(columns, texts, strict=True)
    ]


__all__ = ["nir_import"]
