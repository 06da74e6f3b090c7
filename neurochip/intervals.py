"""How well costs are known that were found from recorded samples: half the widths of 95 % intervals.

Costs are linear in the activity, so the costs of single samples tell how much their mean may be off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from neurochip.activity import Activity, SampleTrace
from neurochip.microarch.replay import activities_of_samples, at_word_widths
from neurochip.microarch.sampling import student_quantile
from neurochip.pricing import Pricer

INTERVAL_KEYS = ("energy_pj", "cycles", "latency_us", "memory_accesses", "bits_moved")
SCALE = 1 << 12  # a sample counted so many times keeps the fractions of its words


def half_widths_of_samples(pricer: Pricer, trace: SampleTrace, run: Activity) -> dict[str, float] | None:
    """Half the 95 % intervals of mean costs over the recorded samples of a pass.

    Args:
        pricer: the chip.
        trace: the recorded samples.
        run: the pass they were drawn from; its applies are known for all samples and have no part in the interval.

    Returns:
        Key of `INTERVAL_KEYS` -> half width per sample; 0 if all samples were recorded, None if only one was.
    """
    lanes = (pricer.chip.lanes, pricer.chip.trace_lanes)
    samples = activities_of_samples(trace, pricer.spec, *lanes, run.learning)
    values = [_costs(pricer.per_sample(activity, bitmaps)) for activity, bitmaps in samples]
    return half_widths(values, run.n_samples)


def half_widths_of_ratio(pricer: Pricer, run: Activity, trace: SampleTrace) -> dict[str, float] | None:
    """The same for `replay.at_word_widths`, from the residuals of the ratio estimate: z_i = C(y_i) - C(R x_i).

    y_i and x_i are the activity of recorded sample i at the word widths of the chip and at those of the run. R moves
    the words of x_i, and its clocks, in the proportion of all recorded samples. Source: Cochran, Sampling Techniques,
    section 6.4.
    """
    lanes = (pricer.chip.lanes, pricer.chip.trace_lanes)
    there = activities_of_samples(trace, pricer.spec, *lanes, run.learning)
    here = activities_of_samples(trace, pricer.spec, run.synapse_lanes, run.trace_lanes, run.learning)
    residuals = []
    for (own, bitmaps), (x, _) in zip(there, here, strict=True):
        scaled = replace(x, totals=x.totals * SCALE, n_samples=SCALE)
        expected = _costs(pricer.per_sample(at_word_widths(scaled, trace, pricer.spec, *lanes), trace))
        found = _costs(pricer.per_sample(own, bitmaps))
        residuals.append({key: found[key] - expected[key] for key in INTERVAL_KEYS})
    return half_widths(residuals, run.n_samples)


def half_widths(values: Sequence[Mapping[str, float]], n_samples: int) -> dict[str, float] | None:
    """t·√(s²/n·(1 - n/N)) per key of `INTERVAL_KEYS`; None for one sample of several, which gives no interval."""
    n = len(values)
    if n >= n_samples:
        return dict.fromkeys(INTERVAL_KEYS, 0.0)
    if n < 2:
        return None
    found = {}
    for key in INTERVAL_KEYS:
        column = [value[key] for value in values]
        mean = math.fsum(column) / n
        variance = math.fsum((value - mean) ** 2 for value in column) / (n - 1)
        found[key] = student_quantile(n - 1) * math.sqrt(variance / n * (1 - n / n_samples))
    return found


def _costs(per_sample: Mapping[str, Any]) -> dict[str, float]:
    totals = per_sample["totals"]
    return {
        "energy_pj": float(per_sample["energy_pj"]["total"]),
        "cycles": float(per_sample["cycles"]),
        "latency_us": float(per_sample["latency_us"]),
        "memory_accesses": float(totals["memory_accesses"]),
        "bits_moved": float(totals["bits_moved"]),
    }
