"""Fixed-point formats and the learning-rate code (docs/semantics.md, sections 1 and 2).

Plain Python integers; numba is never imported here. The kernels of `neurochip.core` and the golden core of
`neurochip.reference` have their own arithmetic; this module serves configuration, quantisation of initial
weights and calibration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_FRAC = 24


@dataclass(frozen=True)
class QFormat:
    """A fixed-point format: value = q * 2**-frac, saturating at its range."""

    bits: int
    frac: int
    signed: bool

    @property
    def lowest(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}.{self.frac}"


def quantise(values: NDArray[np.floating[Any]], fmt: QFormat) -> NDArray[np.int64]:
    """Round real values to the format: q = sat(sign(x) * floor(|x| * 2**frac + 1/2)).

    Ties go away from zero. Works on arrays of any shape and returns int64 of the same shape.
    """
    import numpy as np

    x = np.asarray(values, dtype=np.float64)
    q = np.sign(x) * np.floor(np.abs(x) * float(1 << fmt.frac) + 0.5)
    kept: NDArray[np.int64] = np.clip(q, fmt.lowest, fmt.highest).astype(np.int64)
    return kept


def quantise_scalar(value: float, frac: int) -> int:
    """Round one real value to `frac` fractional bits, ties away from zero, without saturation."""
    q = math.floor(abs(value) * (1 << frac) + 0.5)
    return -q if value < 0 else q


def frac_for(magnitude: float, highest: int) -> int:
    """Return the largest frac in 0..24 for which magnitude * 2**frac <= highest (0 if there is none)."""
    if not magnitude > 0:
        return MAX_FRAC
    # Scaling by a power of two is exact; a quotient highest / magnitude would round, and overflow for tiny magnitudes.
    fitting = (frac for frac in range(MAX_FRAC, 0, -1) if magnitude * 2.0**frac <= highest)
    return next(fitting, 0)


@dataclass(frozen=True)
class LearningRateCode:
    """A learning rate per step realised as multiplier * 2**-shift."""

    multiplier: int
    shift: int

    @property
    def value(self) -> float:
        return self.multiplier * 2.0 ** (-self.shift)


def encode_learning_rate(rate: float, rate_bits: int) -> LearningRateCode:
    """Return the nearest m * 2**-s with 2**(rate_bits-1) <= m < 2**rate_bits (never 0); rate > 0."""
    _, exponent = math.frexp(rate)  # floor(log2 rate) = exponent - 1
    shift = rate_bits - exponent
    multiplier = math.floor(math.ldexp(rate, shift) + 0.5)
    if multiplier == 1 << rate_bits:
        multiplier >>= 1
        shift -= 1
    return LearningRateCode(multiplier, shift)
