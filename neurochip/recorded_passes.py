"""The passes of a finished run with who counts and prices them: what other formats than report.json are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurochip.activity import Activity, SampleTrace
from neurochip.cost_of_run import activity_on_chip
from neurochip.errors import UserError
from neurochip.microarch.interface import Gates
from neurochip.network.resolve import Lanes
from neurochip.pricing import Pricer
from neurochip.repricing import SavedRun
from neurochip.setup import chip_of

LEARNING, INFERENCE = "per_sample", "per_sample_inference"  # as report.json names them


@dataclass(frozen=True, eq=False)
class RecordedPass:
    """A pass over samples and its price.

    Attributes:
        rule: its rule.
        name: "per_sample", the last epoch with learning on, or "per_sample_inference".
        pricer: chip, gates and specification.
        activity: totals of all its samples, in the words of the chip.
        trace: recorded samples of it; None if there are none.
        known: what report.json says of this pass; None on another chip.
    """

    rule: str
    name: str
    pricer: Pricer
    activity: Activity
    trace: SampleTrace | None
    known: Mapping[str, Any] | None


def pricers_of(run: SavedRun, chip_name: str | None) -> dict[str, Pricer]:
    """The pricer of every rule on the chip of the run, or on another one; rules that it cannot run are left out.

    Raises:
        UserError: an unknown chip, or one that can run no rule.
    """
    experiment = run.experiment
    if chip_name is not None:
        table = experiment.chip.model_copy(update={"name": chip_name})
        experiment = experiment.model_copy(update={"chip": table})
    chip, table = chip_of(experiment, "--chip" if chip_name is not None else "chip.name"), experiment.chip
    gates = Gates(table.gate_zero_trace, table.gate_zero_error, table.gate_zero_surrogate)
    pricers, refusals = {}, []
    for result in run.report["results"]:
        if result["precision"] != "fixed":
            continue
        try:
            pricer = Pricer(chip, gates, run.spec(result["rule"], Lanes(chip.lanes, chip.trace_lanes)))
            pricer.check()
            pricers[result["rule"]] = pricer
        except UserError as error:
            refusals.append(str(error).replace(chip.file, Path(chip.file).name))
    if not pricers:
        raise UserError(f"{run.directory}: no rule of this run can be priced on this chip: {refusals[0]}")
    return pricers


def recorded_passes(run: SavedRun, chip_name: str | None) -> list[RecordedPass]:
    """The passes of every rule, learning before inference.

    Raises:
        UserError: as `pricers_of`; a chip of other words, or another microarchitecture, and no sample was recorded.
    """
    known = {result["rule"]: result for result in run.report["results"] if result["precision"] == "fixed"}
    passes = []
    for rule, pricer in pricers_of(run, chip_name).items():
        recorded = run.recorded_of(rule)
        parts = [(LEARNING, recorded.epochs[-1], recorded.subset)]
        if recorded.test is not None:
            parts.append((INFERENCE, recorded.test, recorded.test_subset))
        for name, activity, trace in parts:
            moved = activity_on_chip(activity, trace, pricer, run)
            passes.append(
                RecordedPass(rule, name, pricer, moved, trace, known[rule][name] if chip_name is None else None)
            )
    return passes


__all__ = ["INFERENCE", "LEARNING", "RecordedPass", "pricers_of", "recorded_passes"]
