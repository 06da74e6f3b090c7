"""Columns of weights back to mean 0 and their first variance (docs/semantics.md, section 3.8)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neurochip.reference.core.arithmetic import round_shift, saturate, signed_limits
from neurochip.reference.core.memory import Memories, learns
from neurochip.reference.core.recording import Recorder
from neurochip.spec import CoreSpec

MAX_FACTOR = 2**31 - 1


def standardise(spec: CoreSpec, memory: Memories, rec: Recorder) -> None:
    """Section 3.8: every column of the layers that are standardised and learn, last layer to first; bias rows stay."""
    limits = signed_limits(spec.weight_bits)
    for index, layer in reversed(list(enumerate(spec.layers))):
        if not (spec.is_standardised(index) and learns(layer)):
            continue
        rows = memory.synapse[index][: layer.n_weight_rows]
        counts = rec.counts(spec.n_steps, index)
        for j in range(layer.columns):
            column = [row[j] for row in rows]
            brought_back = standardise_column(column, layer.standardise_constant, layer.standardise_shift)
            for row, w in zip(rows, brought_back, strict=True):
                row[j] = saturate(w, limits, counts, "sat_weight")
    rec.n_standardisations += 1


def standardise_column(column: Sequence[int], constant: int, shift: int) -> list[int]:
    """round((K W - S1) F, p) of the K weights W of a column, not saturated yet; the same weights where R = 0.

    Args:
        column: its weights, without the bias.
        constant: C.
        shift: p.
    """
    k, s1, s2 = len(column), sum(column), sum(w * w for w in column)
    root = math.isqrt(k * s2 - s1 * s1)
    if root == 0:
        return list(column)
    factor = min(MAX_FACTOR, constant // root)
    return [round_shift((k * w - s1) * factor, shift, "nearest") for w in column]
