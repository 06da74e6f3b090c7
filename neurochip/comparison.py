"""The content of report.json from finished runs: results, ratios inside each group and to inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neurochip.activity import Activity
from neurochip.break_even import flip_sentence
from neurochip.chip import Chip
from neurochip.microarch.interface import Gates
from neurochip.network.resolve import rate_code
from neurochip.network.rule_layers import rule_layers
from neurochip.number_formats import formats_section, ranges_section
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer, history_section, numerics, ratios
from neurochip.rules.presets import NO_LEARNING, Rule, find_rule
from neurochip.run_notes import run_notes
from neurochip.sensitivity import sensitivity
from neurochip.setup import Run, Setup
from neurochip.training import Outcome, Recorded
from neurochip.versions import versions

SCHEMA = "neurochip-report/1"
Numbers = dict[str, Any]
COST_KEYS = (
    "footprint_bits",
    "per_sample",
    "per_sample_inference",
    "numerics",
    "formats",
    "ratio_to_bptt",
    "ratio_to_inference",
    "energy_to_accuracy",
    "area_mm2",
)


def build_report(setup: Setup, outcomes: Mapping[str, Outcome], diagnoses: Mapping[str, Numbers]) -> Numbers:
    """Assemble the report; the same experiment and seed give the same content.

    Args:
        setup: what was run.
        outcomes: key of a run -> what became of it.
        diagnoses: key of a run -> what limits it, where that was measured.
    """
    results = [{**_result(setup, run, outcomes[run.key]), "diagnosis": diagnoses.get(run.key)} for run in setup.runs]
    add_ratios(results)
    specs = {rule.name: setup.spec(rule) for rule in setup.rules}
    return {
        "schema": SCHEMA,
        "name": setup.name,
        "experiment": _experiment_tables(setup),
        "task": _task_section(setup),
        "network": _network_section(setup),
        "chip": chip_section(setup.chip, setup.gates, {rule.name: setup.pricer(rule) for rule in setup.rules}),
        "versions": versions(),
        "history": history_section(specs, setup.chip),
        "target_accuracy": setup.resolved.run.target_accuracy,
        "flips": flips(results, _last_activities(setup, outcomes)),
        "sensitivity": sensitivity_section(_priced_rules(setup, outcomes)),
        "notes": [*run_notes(setup), *clock_notes(results)],
        "results": results,
    }


def _priced_rules(setup: Setup, outcomes: Mapping[str, Outcome]) -> list[PricedRule]:
    """Every rule in fixed point with its pricer and the activity of its last epoch."""
    rules = []
    for run in setup.runs:
        recorded = outcomes[run.key].recorded
        if run.precision == "fixed" and recorded.epochs:
            rules.append(PricedRule(run.rule, setup.pricer(run.rule), recorded.epochs[-1], recorded.subset))
    return rules


def sensitivity_section(rules: Sequence[PricedRule]) -> Numbers | None:
    """What the order of the rules hangs on; None where no rule has a baseline beside it."""
    names = {priced.rule.name for priced in rules}
    if not any(priced.rule.baseline in names - {priced.rule.name} for priced in rules):
        return None
    return sensitivity(rules)


def clock_notes(results: Sequence[Numbers]) -> list[str]:
    """How well the cycles are known."""
    costs = [cost for result in results for cost in (result["per_sample"], result["per_sample_inference"]) if cost]
    sampled = [(cost["cycles_sampled"], cost["cycles"]) for cost in costs if cost["cycles_sampled"]]
    if not sampled:
        return ["Cycles and stalls are exact for every sample: no phase was estimated."] if costs else []
    recorded = sorted({one["n_recorded"] for one, _ in sampled})
    widest = max((one["half_width"] or 0.0) / cycles for one, cycles in sampled if cycles)
    return [
        "Cycles and stalls that depend on where spikes fall were gone through clock by clock for "
        f"{' or '.join(map(str, recorded))} recorded samples and estimated for the others: 95 % interval of the cycles "
        f"at most ±{100 * widest:.2g} %. All other counts are of every sample."
    ]


def _last_activities(setup: Setup, outcomes: Mapping[str, Outcome]) -> dict[str, Activity]:
    """The last epoch's activity of every rule in fixed point."""
    last = {run.rule.name: outcomes[run.key].epochs[-1].activity for run in setup.runs if run.precision == "fixed"}
    return {rule: activity for rule, activity in last.items() if activity is not None}


def flips(results: Sequence[Numbers], activities: Mapping[str, Activity]) -> list[str]:
    """What would turn the order in energy between rules that keep a trace and the BPTT of their group.

    Args:
        results: those of report.json; the ones without a cost are passed over.
        activities: rule -> activity of the last epoch.
    """
    costs = {result["rule"]: result["per_sample"] for result in results if result["per_sample"] is not None}
    sentences = []
    for name, activity in activities.items():
        rule = find_rule(name)
        if rule.temporal == "trace" and rule.baseline is not None and {name, rule.baseline} <= costs.keys():
            sentences.append(flip_sentence(name, rule.baseline, costs[name], costs[rule.baseline], activity))
    return sentences


def _experiment_tables(setup: Setup) -> Numbers:
    """The resolved experiment; files by name alone, as their folders belong to a machine and not to the experiment."""
    tables = setup.resolved.to_tables()
    tables["chip"]["name"] = Path(tables["chip"]["name"]).name
    if "path" in tables["task"]:
        tables["task"]["path"] = Path(tables["task"]["path"]).name
    return tables


def _task_section(setup: Setup) -> Numbers:
    task = setup.task
    path = setup.asked.task.path
    provenance = {key: Path(path).name if path and text == path else text for key, text in task.provenance.items()}
    return {
        "name": task.name,
        "n_inputs": task.n_inputs,
        "n_steps": task.n_steps,
        "classes": list(task.classes),
        "n_train": task.train.n_samples,
        "n_validation": task.validation.n_samples,
        "n_test": task.test.n_samples,
        "events_per_sample": task.train.n_events / max(1, task.train.n_samples),
        "provenance": provenance,
    }


def _network_section(setup: Setup) -> Numbers:
    sizes = [setup.task.n_inputs, *(shape.n_out for shape in setup.shapes)]
    return {
        "layers": [{"kind": shape.kind, "n_in": shape.n_in, "n_out": shape.n_out} for shape in setup.shapes],
        "shape": "-".join(str(size) for size in sizes),
        "n_weights": sum(shape.n_weights for shape in setup.shapes),
    }


def chip_section(chip: Chip, gates: Gates, pricers: Mapping[str, Pricer]) -> Numbers:
    """The chip of a report; `pricers`: rule -> the pricer of each rule that runs on it."""
    notes = []
    for rule, pricer in pricers.items():
        for memory, banks in pricer.check().items():
            notes.append(f"{rule}: the {memory} memory was enlarged by {banks} banks to fit")
        if off_chip := sorted(pricer.off_chip()):
            notes.append(f"{rule}: {' and '.join(off_chip)} in DRAM")
        if chip.mesh is not None:
            notes.append(f"{rule}: on {pricer.n_cores()} of {chip.mesh.columns * chip.mesh.rows} cores")
    return {
        **chip.summary,
        "provenance": [asdict(entry) for entry in chip.provenance],
        "gates": asdict(gates),
        "notes": notes,
    }


def _result(setup: Setup, run: Run, outcome: Outcome) -> Numbers:
    has_epochs = run.rule.group != NO_LEARNING and outcome.stream is None
    last = outcome.epochs[-1]
    result: Numbers = {
        "rule": run.rule.name,
        "precision": run.precision,
        "group": run.rule.group,
        "summary": run.rule.summary,
        "learning_rate": _learning_rate(setup, run.rule),
        "accuracy": {
            "train": last.train,
            "validation": last.validation,
            "test": outcome.test,
            "per_epoch": [
                {"epoch": index + 1, "train": epoch.train, "validation": epoch.validation}
                for index, epoch in enumerate(outcome.epochs)
            ]
            if has_epochs
            else [],
        },
    }
    if outcome.stream is not None:
        result["stream"] = outcome.stream.section()
    result |= dict.fromkeys(COST_KEYS)  # the float twin has no cost
    if run.precision == "fixed":
        validation = [epoch.validation for epoch in outcome.epochs] if has_epochs else None
        target = setup.resolved.run.target_accuracy
        pricer = setup.pricer(run.rule)
        result |= costs(pricer, outcome.recorded, validation, target)
        layers = rule_layers(setup.resolved, run.rule, setup.shapes)
        result["ranges"] = ranges_section(pricer.spec, layers, setup.resolved.precision)
    return result


def _learning_rate(setup: Setup, rule: Rule) -> Numbers:
    if rule.group == NO_LEARNING:
        return {"asked": None, "realised_per_step": None, "multiplier": None, "shift": None}
    code = rate_code(setup.resolved, rule)
    return {
        "asked": setup.learning_rate(rule),
        "realised_per_step": code.value,
        "multiplier": code.multiplier,
        "shift": code.shift,
    }


def costs(
    pricer: Pricer, recorded: Recorded, validation: Sequence[float | None] | None, target_accuracy: float
) -> Numbers:
    """The entries of a result that depend on the chip.

    Args:
        pricer: the chip, and the specification of the rule.
        recorded: activity at the word widths of the chip, and bitmaps.
        validation: accuracy per epoch; None for a rule that does not learn, and for a stream, which has no epochs.
        target_accuracy: of `energy_to_accuracy`.
    """
    last, test = recorded.epochs[-1], recorded.test
    return {
        "footprint_bits": pricer.footprint(),
        "per_sample": pricer.per_sample(last, recorded.subset, recorded.clocked),
        "per_sample_inference": pricer.per_sample(test, recorded.test_subset, recorded.test_clocked) if test else None,
        "numerics": numerics(last, pricer.spec),
        "formats": formats_section(pricer.spec),
        "energy_to_accuracy": None
        if validation is None
        else pricer.energy_to_accuracy(recorded.epochs, validation, target_accuracy, recorded.subset),
        "area_mm2": _area(pricer),
    }


def _area(pricer: Pricer) -> Numbers | None:
    """Area of the chip with the memories of the rule; None for a chip whose datapath is not described."""
    if not pricer.chip.datapath:
        return None
    area = pricer.area()
    return {
        "total": area.total_mm2,
        "low": area.low_mm2,
        "high": area.high_mm2,
        "by_part": dict(area.by_part),
        "by_kind": dict(area.by_kind),
    }


def add_ratios(results: Sequence[Numbers]) -> None:
    """Set the ratios of every fixed-point result to those of its baselines, None where either has no cost."""
    fixed = {result["rule"]: result for result in results if result["precision"] == "fixed"}
    for result in fixed.values():
        baseline = find_rule(result["rule"]).baseline
        result["ratio_to_bptt"] = _ratio(result, baseline, fixed.get(baseline)) if baseline else None
        if result["rule"] == NO_LEARNING:
            result["ratio_to_inference"] = None
        elif NO_LEARNING in fixed:
            result["ratio_to_inference"] = _ratio(result, NO_LEARNING, fixed[NO_LEARNING])
        elif result["per_sample"] is not None:
            own = {"per_sample": result["per_sample_inference"], "footprint_bits": _inference_footprint(result)}
            result["ratio_to_inference"] = _ratio(result, "own inference", own)


def _inference_footprint(result: Numbers) -> dict[str, int]:
    bits = result["footprint_bits"]
    return {"total": bits["synapse"] + bits["neuron"]}


def _ratio(result: Numbers, name: str, base: Numbers | None) -> Numbers | None:
    if base is None or base["per_sample"] is None or result["per_sample"] is None:
        return None
    values = ratios(result["per_sample"], result["footprint_bits"], base["per_sample"], base["footprint_bits"])
    return {"baseline": name, **values}
