"""What the rounding of weight updates does: how many vanish, what is left of the learning rate, and its bias."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.diagnosis.updates import WeightUpdate


@dataclass(frozen=True)
class Rounding:
    """The updates of a layer with P != 0, rounded; of stochastic rounding the expectation over its random numbers.

    Attributes:
        n_updates: how many weights were to change, over all times.
        unchanged_share: share of them that rounds to no change.
        rate_lost: 1 - sum(dW P) / sum(P^2 2^-S): the share of the learning rate that does not arrive; below 0, if more
            arrives than was asked for.
        bias_lsb: mean of dW - P 2^-S, in units of the last bit of the weights.
        bias_share: |sum(dW - P 2^-S)| / sum(|P| 2^-S), the drift against all that was asked for.
    """

    n_updates: int
    unchanged_share: float
    rate_lost: float
    bias_lsb: float
    bias_share: float


def rounded(scaled: NDArray[np.int64], shift: int, rounding: str) -> NDArray[np.float64]:
    """The change of the weights that P makes, dW = (P + c) >> S; of stochastic rounding its mean, P 2^-S."""
    if rounding == "stochastic":
        return np.asarray(scaled * 2.0**-shift, dtype=np.float64)
    half = 1 << (shift - 1) if rounding == "nearest" and shift > 0 else 0
    return ((scaled + half) >> shift).astype(np.float64)


def unchanged(scaled: NDArray[np.int64], shift: int, rounding: str) -> NDArray[np.float64]:
    """The probability that P makes no change: of stochastic rounding max(0, 1 - |P| 2^-S), else 0 or 1."""
    if rounding == "stochastic":
        return np.asarray(np.maximum(0.0, 1.0 - np.abs(scaled) * 2.0**-shift), dtype=np.float64)
    return np.asarray(rounded(scaled, shift, rounding) == 0, dtype=np.float64)


def rounding_of(updates: Iterable[WeightUpdate], rounding: str, n_layers: int) -> list[Rounding | None]:
    """Sum up the updates per layer; None for a layer without any."""
    sums = np.zeros((n_layers, 6))
    for update in updates:
        scaled = update.scaled[update.scaled != 0]
        asked, given = scaled * 2.0**-update.shift, rounded(scaled, update.shift, rounding)
        sums[update.layer] += (
            len(scaled),
            unchanged(scaled, update.shift, rounding).sum(),
            (given * asked).sum(),
            (asked * asked).sum(),
            (given - asked).sum(),
            np.abs(asked).sum(),
        )
    return [_summed(row) for row in sums.tolist()]


def _summed(row: list[float]) -> Rounding | None:
    n_updates, n_unchanged, product, square, bias, asked = row
    if n_updates == 0:
        return None
    return Rounding(
        int(n_updates), n_unchanged / n_updates, 1.0 - product / square, bias / n_updates, abs(bias) / asked
    )
