"""`neurochip cost --activity`: the activity of a finished run -> counts -> price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurochip.activity import Activity
from neurochip.errors import UserError
from neurochip.estimate_document import cost_document
from neurochip.microarch.interface import Gates
from neurochip.microarch.replay import at_word_widths, replayed_epoch
from neurochip.network.resolve import Lanes
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer
from neurochip.repricing import SavedRun
from neurochip.rules.presets import find_rule
from neurochip.setup import chip_of

Numbers = dict[str, Any]


def cost_of_run(run: SavedRun, rules: Sequence[str] | None, chip_name: str | None) -> Numbers:
    """Price the activity of a finished run; on its own chip the costs are those of its report.json.

    Args:
        run: the finished run.
        rules: those of the run to price (default: all).
        chip_name: another chip than that of the run.

    Raises:
        UserError: a rule that was not run, or a chip that cannot run one.
    """
    experiment = run.experiment
    known = [result["rule"] for result in run.report["results"] if result["precision"] == "fixed"]
    for name in rules or ():
        if name not in known:
            raise UserError(f"--rules {name}: is not in the run {run.directory}; allowed are {', '.join(known)}")
    if rules is not None and len(set(rules)) < len(rules):
        raise UserError(f"--rules {','.join(rules)}: a rule stands there twice; allowed is every rule once")
    if chip_name is not None:
        chip_table = experiment.chip.model_copy(update={"name": chip_name})
        experiment = experiment.model_copy(update={"chip": chip_table})
    table = experiment.chip
    chip, gates = chip_of(experiment), Gates(table.gate_zero_trace, table.gate_zero_error, table.gate_zero_surrogate)
    priced, inference = [], {}
    for name in rules or known:
        pricer = Pricer(chip, gates, run.spec(name, Lanes(chip.lanes, chip.trace_lanes)))
        try:
            pricer.check()
        except UserError as error:
            raise UserError(f"{run.directory}, rule {name}: {error}") from error
        recorded = run.recorded_of(name)
        activity = activity_on_chip(recorded.epochs[-1], recorded.subset, pricer, run)
        priced.append(PricedRule(find_rule(name), pricer, activity, recorded.subset))
        if recorded.test is not None:
            test = activity_on_chip(recorded.test, recorded.test_subset, pricer, run)
            inference[name] = pricer.per_sample(test, recorded.test_subset)
    activity_section = {"source": "run", "run": run.report["name"], "n_samples": priced[0].activity.n_samples}
    return cost_document(experiment, priced, inference, activity_section)


def activity_on_chip(activity: Activity, trace: Any, pricer: Pricer, run: SavedRun) -> Activity:
    """The activity in the words of the chip; another microarchitecture counts the recorded samples alone."""
    lanes = (pricer.chip.lanes, pricer.chip.trace_lanes)
    other = pricer.chip.microarchitecture != run.report["chip"]["microarchitecture"]
    if not other and (not activity.learning or lanes == (activity.synapse_lanes, activity.trace_lanes)):
        return activity
    if trace is None:
        raise UserError(
            f"{run.directory}: no sample was recorded (run.activity_samples = 0), which {pricer.chip.name} needs"
        )
    return (replayed_epoch if other else at_word_widths)(activity, trace, pricer.spec, *lanes)
