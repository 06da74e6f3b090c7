"""A rule with all that its costs follow from: who counts and prices it, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from neurochip.activity import Activity, SampleTrace
from neurochip.errors import UserError
from neurochip.microarch.interface import Counted, per_sample
from neurochip.microarch.replay import at_word_widths
from neurochip.pricing import Pricer
from neurochip.rules.presets import Rule


@dataclass(frozen=True, eq=False)
class PricedRule:
    """A rule, its chip and its activity with learning on.

    Attributes:
        rule: the rule.
        pricer: its chip, gates and specification.
        activity: totals of all samples.
        trace: recorded samples of the same pass; None if there are none.
    """

    rule: Rule
    pricer: Pricer
    activity: Activity
    trace: SampleTrace | None = None

    def counted(self, pricer: Pricer | None = None) -> Counted:
        """Counts and cycles of a mean sample, by this pricer or another one; other word widths need the trace.

        Raises:
            UserError: other word widths are asked for and no sample was recorded.
        """
        counts_by = pricer or self.pricer
        chip, activity = counts_by.chip, self.activity
        widths = (chip.lanes, chip.trace_lanes)
        if activity.learning and widths != (activity.synapse_lanes, activity.trace_lanes):
            if self.trace is None:
                raise UserError(f"{self.rule.name}: no recorded samples, so another number of lanes cannot be counted")
            activity = at_word_widths(activity, self.trace, counts_by.spec, *widths)
        return per_sample(counts_by.count(activity, self.trace), activity.n_samples)

    def with_pricer(self, **changes: Any) -> PricedRule:
        """The same activity on another chip, with other gates or specification."""
        return replace(self, pricer=replace(self.pricer, **changes))
