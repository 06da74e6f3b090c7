"""A saved run on another chip, without simulating it again: activity.h5 -> counts -> price -> report.

Per rule one of three methods, named in the report:

* `totals`: the chip has the word widths of the run; the totals of all samples are counted as in the run itself.
* `ratio`: other word widths; the fields that count words are moved to them by what the recorded samples have at both
  widths, all others stay exact (`neurochip.microarch.replay.at_word_widths`).
* `samples`: another microarchitecture; means over the recorded samples.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurochip._version import __version__
from neurochip.activity import Activity, SampleTrace
from neurochip.chip import Chip
from neurochip.comparison import COST_KEYS, add_ratios, chip_section, clock_notes, costs, flips, sensitivity_section
from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.intervals import half_widths_of_ratio, half_widths_of_samples
from neurochip.microarch.interface import Gates
from neurochip.microarch.replay import at_word_widths, replayed_epoch
from neurochip.network.formats import fracs_of
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import layer_shapes
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer, history_section
from neurochip.report.json_file import read_report_json
from neurochip.rules.presets import NO_LEARNING, find_rule
from neurochip.run_directory import ACTIVITY, REPORT_JSON, read_activity, read_experiment
from neurochip.setup import chip_of
from neurochip.spec import CoreSpec
from neurochip.training import Recorded

Numbers = dict[str, Any]
ABOUT_CLOCKS = "Cycles and stalls"  # how `clock_notes` begin, whichever version wrote the run
TOTALS, RATIO, SAMPLES = "totals", "ratio", "samples"


@dataclass(frozen=True, eq=False)
class SavedRun:
    """What a run directory holds of a finished run."""

    directory: Path
    experiment: Experiment
    report: Numbers
    recorded: Mapping[str, Recorded]

    def recorded_of(self, rule: str) -> Recorded:
        """The activity of a rule in fixed point."""
        key = find_rule(rule).key if len(self.experiment.run.rules or []) > 1 else "."
        if key not in self.recorded or not self.recorded[key].epochs:
            raise UserError(f"{self.directory / ACTIVITY}: has no activity of {rule}; run the experiment again")
        return self.recorded[key]

    def spec(self, rule: str, lanes: Lanes) -> CoreSpec:
        """The integer specification of a rule at the word widths of a chip."""
        shapes = layer_shapes(self.experiment, self.report["task"]["n_inputs"], len(self.report["task"]["classes"]))
        try:
            fracs = fracs_of(self.experiment)
        except UserError as error:
            raise UserError(f"{self.directory}: {error}") from error
        return core_spec(self.experiment, find_rule(rule), shapes, fracs, lanes)


def load_run(directory: Path) -> SavedRun:
    """Read a finished run.

    Raises:
        UserError: no run directory, an unfinished run, or files that are damaged or of another version.
    """
    experiment = read_experiment(directory)
    report = read_report_json(directory / REPORT_JSON)
    fixed = [result["rule"] for result in report["results"] if result["precision"] == "fixed"]
    if not fixed:
        raise UserError(f"{directory}: the run has no fixed-point results, and real numbers have no cost on a chip")
    run = SavedRun(directory, experiment, report, read_activity(directory))
    for rule in fixed:
        run.recorded_of(rule)
    return run


def reprice(run: SavedRun, chip_name: str) -> Numbers:
    """Return the report of a saved run on another chip; accuracies, tasks and weights are those of the run.

    Args:
        run: the saved run.
        chip_name: name of a packaged chip, or path of a chip file.

    Raises:
        UserError: an unknown or unusable chip, or no rule of the run can be counted and priced on it.
    """
    table = run.experiment.chip.model_copy(update={"name": chip_name})
    chip = chip_of(run.experiment.model_copy(update={"chip": table}), "--chip")
    gates = Gates(table.gate_zero_trace, table.gate_zero_error, table.gate_zero_surrogate)
    report = copy.deepcopy(run.report)
    pricers: dict[str, Pricer] = {}
    entries: list[Numbers] = []
    for result in report["results"]:
        if result["precision"] != "fixed":
            continue
        rule = result["rule"]
        kept = {key: result[key] for key in ("numerics", "formats", "energy_to_accuracy")}
        result |= dict.fromkeys(COST_KEYS)
        result.pop("refused", None)
        try:
            pricer = Pricer(chip, gates, run.spec(rule, Lanes(chip.lanes, chip.trace_lanes)))
            priced, how = _costs(run, result, pricer, kept)
        except UserError as error:
            result |= {"numerics": kept["numerics"], "formats": kept["formats"]}
            result["refused"] = str(error).replace(chip.file, Path(chip.file).name)  # folders belong to a machine
        else:
            result |= priced
            pricers[rule] = pricer
            entries.append({"rule": rule, **how})
    if not pricers:
        raise UserError(f"{run.directory}: no rule of this run can be priced again: {_refusals(report)[0][1]}")
    return _completed(report, run, chip, chip_name, gates, pricers, entries)


def _completed(
    report: Numbers,
    run: SavedRun,
    chip: Chip,
    chip_name: str,
    gates: Gates,
    pricers: Mapping[str, Pricer],
    entries: list[Numbers],
) -> Numbers:
    """Set all sections that follow from the costs of the rules."""
    add_ratios(report["results"])
    report["chip"] = chip_section(chip, gates, pricers)
    report["experiment"]["chip"]["name"] = Path(chip_name).name
    report["history"] = history_section({rule: pricer.spec for rule, pricer in pricers.items()}, chip)
    report["flips"] = flips(report["results"], {rule: run.recorded_of(rule).epochs[-1] for rule in pricers})
    original = run.report["chip"]["name"]
    report["repriced"] = {
        "from": run.report["name"],
        "chip": original,
        "neurochip": __version__,
        "results": entries,
    }
    report["notes"] = [
        f"Re-priced from the run {run.report['name']} on chip {original}, without simulating again.",
        *_sentences(entries, report),
        *(note for note in run.report["notes"] if not note.startswith(ABOUT_CLOCKS)),
        *clock_notes(report["results"]),
    ]
    report["sensitivity"] = _sensitivity(run, chip, pricers)
    return report


def _sensitivity(run: SavedRun, chip: Chip, pricers: Mapping[str, Pricer]) -> Numbers | None:
    """What the order hangs on, on this chip; None on another microarchitecture, where totals do not give the counts."""
    if chip.microarchitecture != run.report["chip"]["microarchitecture"]:
        return None
    rules = []
    for name, pricer in pricers.items():
        recorded = run.recorded_of(name)
        activity = _moved(recorded.epochs[-1], recorded.subset, pricer)
        rules.append(PricedRule(find_rule(name), pricer, activity, recorded.subset))
    return sensitivity_section(rules)


def _costs(run: SavedRun, result: Numbers, pricer: Pricer, kept: Numbers) -> tuple[Numbers, Numbers]:
    """Costs of one rule on the chip, and how they were found."""
    rule, recorded = result["rule"], run.recorded_of(result["rule"])
    has_epochs = find_rule(rule).group != NO_LEARNING and "stream" not in result
    validation = [epoch["validation"] for epoch in result["accuracy"]["per_epoch"]] if has_epochs else None
    target = run.report["target_accuracy"]
    last, lanes = recorded.epochs[-1], (pricer.chip.lanes, pricer.chip.trace_lanes)
    if pricer.chip.microarchitecture != run.report["chip"]["microarchitecture"]:
        return _costs_of_samples(pricer, recorded, kept)
    same = lanes == (last.synapse_lanes, last.trace_lanes)
    if not same and last.learning and recorded.subset is None:
        raise UserError(
            f"its words are {_widths(*lanes)} wide, those of the run {_widths(last.synapse_lanes, last.trace_lanes)}, "
            "and no sample was recorded to count them again (run.activity_samples = 0)"
        )
    moved = replace(
        recorded,
        epochs=tuple(_moved(epoch, recorded.subset, pricer) for epoch in recorded.epochs),
        test=recorded.test and _moved(recorded.test, recorded.test_subset, pricer),
    )
    priced = costs(pricer, moved, validation, target)
    how: Numbers = {"method": TOTALS if same or not last.learning else RATIO, "approximate": [], "half_width": None}
    if how["method"] == RATIO and recorded.subset is not None:
        how["half_width"] = half_widths_of_ratio(pricer, last, recorded.subset)
        _set_cycles_sampled(priced, how["half_width"], recorded)
        if last.n_applies:
            how["approximate"].append("gradient words applied: their sums are not recorded")
    return priced, how | _recorded_numbers(recorded) | {"inference_half_width": None}


def _recorded_numbers(recorded: Recorded) -> Numbers:
    return {
        "n_samples": recorded.epochs[-1].n_samples,
        "n_recorded": len(recorded.subset.sample_indices) if recorded.subset else 0,
        "n_recorded_inference": len(recorded.test_subset.sample_indices) if recorded.test_subset else 0,
    }


def _set_cycles_sampled(priced: Numbers, half_width: Mapping[str, float] | None, recorded: Recorded) -> None:
    """Cycles rest on the recorded samples as a whole, not only those of deliver and fire."""
    numbers = _recorded_numbers(recorded)
    if numbers["n_recorded"] < numbers["n_samples"]:
        width = None if half_width is None else half_width["cycles"]
        sampled = {"n_recorded": numbers["n_recorded"], "n_samples": numbers["n_samples"], "half_width": width}
        priced["per_sample"]["cycles_sampled"] = sampled


def _widths(lanes: int, trace_lanes: int) -> str:
    return f"{lanes} weights and {trace_lanes} traces"


def _moved(run: Activity, trace: SampleTrace | None, pricer: Pricer) -> Activity:
    """The activity at the word widths of the chip; inference has no field that depends on them."""
    lanes, trace_lanes = pricer.chip.lanes, pricer.chip.trace_lanes
    if not run.learning or trace is None:
        return replace(run, synapse_lanes=lanes, trace_lanes=trace_lanes)
    return at_word_widths(run, trace, pricer.spec, lanes, trace_lanes)


def _costs_of_samples(pricer: Pricer, recorded: Recorded, kept: Numbers) -> tuple[Numbers, Numbers]:
    """Means over the recorded samples: another microarchitecture may need more than totals."""
    last = recorded.epochs[-1]
    if recorded.subset is None:
        raise UserError(
            "another microarchitecture needs the events of single samples, and the run recorded none "
            "(run.activity_samples = 0)"
        )
    lanes = (pricer.chip.lanes, pricer.chip.trace_lanes)
    epoch = replayed_epoch(last, recorded.subset, pricer.spec, *lanes)
    test = None
    if recorded.test is not None and recorded.test_subset is not None:
        test = replayed_epoch(recorded.test, recorded.test_subset, pricer.spec, *lanes)
    priced = costs(pricer, Recorded((epoch,), recorded.subset, test, recorded.test_subset), None, 0.0)
    priced["numerics"] = {**kept["numerics"], "gated": {}}  # the gates belong to the chip of the run
    if kept["energy_to_accuracy"] is not None:  # only the last epoch has recorded samples
        priced["energy_to_accuracy"] = {**kept["energy_to_accuracy"], "energy_uj": None}
    how: Numbers = {"method": SAMPLES, "approximate": []}
    how |= _recorded_numbers(recorded)
    how["half_width"] = half_widths_of_samples(pricer, recorded.subset, last)
    _set_cycles_sampled(priced, how["half_width"], recorded)
    how["inference_half_width"] = None
    if recorded.test is not None and recorded.test_subset is not None:
        how["inference_half_width"] = half_widths_of_samples(pricer, recorded.test_subset, recorded.test)
    return priced, how


def _refusals(report: Numbers) -> list[tuple[str, str]]:
    return [(result["rule"], result["refused"]) for result in report["results"] if "refused" in result]


def _sentences(entries: Sequence[Numbers], report: Numbers) -> list[str]:
    """Why a rule has no cost, and what a reader must know of each method."""
    energies = {result["rule"]: result["per_sample"] for result in report["results"] if result["per_sample"]}
    sentences = [f"{rule} has no cost on this chip: {reason}." for rule, reason in _refusals(report)]
    alike: dict[str, list[str]] = {}  # what is true of several rules is said once
    widths: dict[str, float] = {}
    for entry in entries:
        rule = entry["rule"]
        few = entry["n_recorded"] < entry["n_samples"]
        if entry["method"] == TOTALS or not (few or entry["approximate"]):
            continue
        what = "are means over" if entry["method"] == SAMPLES else "follow, where they count words, from"
        text = f"costs {what} {entry['n_recorded']:,} recorded of {entry['n_samples']:,} samples"
        text += "".join(f"; approximate: {what}" for what in entry["approximate"])
        alike.setdefault(text, []).append(rule)
        if few and entry["half_width"] is not None:
            widths[rule] = entry["half_width"]["energy_pj"] / energies[rule]["energy_pj"]["total"]
    for text, rules in alike.items():
        wide = "; ".join(f"±{100 * widths[rule]:.2g} % ({rule})" for rule in rules if rule in widths)
        interval = f"; 95 % intervals of the energy {wide}" if wide else ""
        sentences.append(f"{', '.join(rules)}: {text}{interval}.")
    return sentences


__all__ = ["SavedRun", "load_run", "reprice"]
