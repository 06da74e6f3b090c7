"""Ratio estimate: totals of all samples from those of a few, and how far off it may be (95 % interval)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

NORMAL_QUANTILE = 1.959963984540054  # 97.5 %
# 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom; above, the expansion is exact to 5 digits.
STUDENT_QUANTILES = (12.70620, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139)


def student_quantile(degrees_of_freedom: int) -> float:
    """97.5 % quantile of Student's t (Abramowitz and Stegun, table 26.10 and expansion 26.7.5)."""
    if degrees_of_freedom <= len(STUDENT_QUANTILES):
        return STUDENT_QUANTILES[degrees_of_freedom - 1]
    z, v = NORMAL_QUANTILE, degrees_of_freedom
    first = (z**3 + z) / (4 * v)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    return z + first + second + third


def ratio(x: NDArray[np.int64], y: NDArray[np.int64], total_x: float) -> float:
    """Ŷ = X·Σy/Σx."""
    return float(total_x * (int(y.sum()) / int(x.sum())))


def half_width(x: NDArray[np.int64], y: NDArray[np.int64], total_x: float, n_samples: int) -> float:
    """Half the width of the 95 % interval of `ratio`: t·(X/x̄)·√(s²/n·(1 − n/N)), s² = Σ(y − R̂x)²/(n − 1), R̂ = Σy/Σx.

    Cochran, Sampling Techniques, section 6.4. With n ≥ N the recorded samples cannot be among the N, which then vary
    by themselves too: the factor is 1 + n/N.

    Args:
        x, y: [n], of the recorded samples, n ≥ 2.
        total_x: X, over the N samples they stand for.
        n_samples: N.
    """
    n = len(x)
    residuals = y - (int(y.sum()) / int(x.sum())) * x
    variance = float((residuals**2).sum()) / (n - 1)
    finite = 1 - n / n_samples if n < n_samples else 1 + n / n_samples
    return student_quantile(n - 1) * total_x / float(x.mean()) * math.sqrt(variance / n * finite)
