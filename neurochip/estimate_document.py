"""The document of `neurochip cost`: what was priced, its costs per rule, and what was assumed (docs/cost.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurochip._version import __version__
from neurochip.comparison import add_ratios, chip_section
from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer, history_section
from neurochip.sensitivity import sensitivity
from neurochip.spec import CoreSpec

SCHEMA = "neurochip-cost/1"
Numbers = dict[str, Any]


def cost_document(
    experiment: Experiment, priced: Sequence[PricedRule], inference: dict[str, Numbers], activity: Numbers
) -> Numbers:
    """Assemble the document from priced rules, the cost of their inference, and where the activity came from."""
    chip, gates, spec = priced[0].pricer.chip, priced[0].pricer.gates, priced[0].pricer.spec
    results = [_result(one, inference.get(one.rule.name)) for one in priced]
    add_ratios(results)
    tables = experiment.to_tables()
    tables["chip"]["name"] = Path(tables["chip"]["name"]).name
    network = _network_section(spec)
    return {
        "schema": SCHEMA,
        "name": network["shape"],
        "experiment": tables,
        "network": network,
        "n_steps": spec.n_steps,
        "chip": chip_section(chip, gates, {one.rule.name: one.pricer for one in priced}),
        "versions": {"neurochip": __version__},
        "activity": activity,
        "history": history_section({one.rule.name: one.pricer.spec for one in priced}, chip),
        "results": results,
        "sensitivity": sensitivity(priced),
        "notes": _notes(activity),
    }


def _result(priced: PricedRule, inference: Numbers | None) -> Numbers:
    rule, pricer = priced.rule, priced.pricer
    return {
        "rule": rule.name,
        "precision": "fixed",
        "group": rule.group,
        "summary": rule.summary,
        "footprint_bits": pricer.footprint(),
        "per_sample": pricer.per_sample(priced.activity, priced.trace),
        "per_sample_inference": inference,
        "area_mm2": _area_section(pricer),
    }


def _area_section(pricer: Pricer) -> Numbers | None:
    try:
        area = pricer.area()
    except UserError:  # the chip or its technology states no areas
        return None
    return {
        "total": area.total_mm2,
        "low": area.low_mm2,
        "high": area.high_mm2,
        "by_part": dict(area.by_part),
        "by_kind": dict(area.by_kind),
    }


def _network_section(spec: CoreSpec) -> Numbers:
    """The layers every rule has: heads and feedback layers of a rule are no part of the network."""
    last = len(spec.layers) - 1
    layers = [layer for index, layer in enumerate(spec.layers) if layer.is_hidden or index == last]
    sizes = [spec.n_inputs, *(layer.n_out for layer in layers)]
    return {
        "layers": [{"kind": layer.kind, "n_in": layer.n_in, "n_out": layer.n_out} for layer in layers],
        "shape": "-".join(str(size) for size in sizes),
        "n_weights": sum(
            (layer.n_weight_rows + int(layer.bias) * layer.n_bias_rows) * layer.columns for layer in layers
        ),
    }


def _counted(n_samples: int) -> str:
    """1 sample, 16 samples."""
    return f"{n_samples} sample{'s' if n_samples != 1 else ''}"


def _listed(numbers: float | Sequence[float]) -> str:
    values = numbers if isinstance(numbers, Sequence) else [numbers]
    return ", ".join(f"{value:.3g}" for value in values)


def _notes(activity: Numbers) -> list[str]:
    notes = ["Energy is what the model of the chip gives, not a measurement."]
    if activity["source"] == "run":
        return notes
    if activity["source"] == "rates-of-run":
        return [*notes, *_notes_of_rates(activity)]
    psi, steps, signal = activity["psi"], activity["signal_steps"], activity["signal"]
    rates = _listed(activity["rate"])
    return [
        *notes,
        f"Nothing was trained: {_counted(activity['n_samples'])} of independent events were drawn "
        f"(seed {activity['seed']}). Rates ({activity['rate_source']}): {rates} events per input and step, of the "
        f"inputs and the hidden layers. Assumed of learning: {_listed(psi)} of the neurons have a surrogate, "
        f"{steps:.3g} of the steps an error; in these {_listed(signal[:-1])} of the neurons with a surrogate have a "
        f"signal, and {signal[-1]:.3g} of the outputs an error.",
        "Accuracy, and what a rule makes of the spikes while it learns, are not in these numbers: "
        "run `neurochip compare`.",
    ]


def _notes_of_rates(activity: Numbers) -> list[str]:
    """What was drawn, and which rules have rates of their own."""
    entries = activity["rates_of_rules"]
    own = [entry["rule"] for entry in entries if entry["measured_on"] == entry["rule"]]
    others: dict[str, list[str]] = {}
    for entry in entries:
        if entry["rule"] not in own:
            others.setdefault(entry["measured_on"], []).append(entry["rule"])
    sources = [f"{', '.join(own)} at rates of their own"] if own else []
    sources += [
        f"{', '.join(names)} at those of {source}, as the run has none of theirs" for source, names in others.items()
    ]
    return [
        f"Nothing was simulated: {_counted(activity['n_samples'])} of independent events, surrogates and errors were "
        f"drawn (seed {activity['seed']}) at the mean rates of every layer and step of the run {activity['run']}: "
        f"{'; '.join(sources)}. Which neurons fire again and again is not in mean rates: traces are shared by too "
        "many inputs.",
    ]
