"""Are formats, quantisation, calibration exponents and the learning-rate code what semantics sections 1 and 2 say?"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurochip.fixed_point import MAX_FRAC, QFormat, encode_learning_rate, frac_for, quantise, quantise_scalar

FORMATS = st.builds(QFormat, bits=st.integers(2, 16), frac=st.integers(0, MAX_FRAC), signed=st.booleans())
HALF = Fraction(1, 2)


def rounded(value: float, frac: int) -> int:
    """sign(x) * floor(|x| * 2**frac + 1/2) in exact arithmetic."""
    q = math.floor(Fraction(abs(value)) * 2**frac + HALF)
    return -q if value < 0 else q


@given(bits=st.integers(2, 32), frac=st.integers(0, MAX_FRAC))
def test_ranges_are_two_s_complement_and_plain_binary(bits: int, frac: int) -> None:
    signed, unsigned = QFormat(bits, frac, True), QFormat(bits, frac, False)
    assert (signed.lowest, signed.highest) == (-(2**bits) // 2, 2**bits // 2 - 1)
    assert (unsigned.lowest, unsigned.highest) == (0, 2**bits - 1)
    assert (str(signed), str(unsigned)) == (f"s{bits}.{frac}", f"u{bits}.{frac}")


@given(fmt=FORMATS, units=st.integers(-(2**17), 2**17))
def test_ties_are_quantised_away_from_zero(fmt: QFormat, units: int) -> None:
    tie = (2 * units + 1) * 2.0 ** -(fmt.frac + 1)
    away = units + 1 if units >= 0 else units
    assert quantise_scalar(tie, fmt.frac) == away
    assert quantise(np.array([tie]), fmt)[0] == min(max(away, fmt.lowest), fmt.highest)


@given(fmt=FORMATS, value=st.floats(-(2.0**20), 2.0**20))
def test_quantising_rounds_to_nearest_and_saturates(fmt: QFormat, value: float) -> None:
    exact = rounded(value, fmt.frac)
    assert quantise_scalar(value, fmt.frac) == exact
    values = quantise(np.array([[value]]), fmt)
    assert values.dtype == np.int64
    assert values.shape == (1, 1)
    assert values[0, 0] == min(max(exact, fmt.lowest), fmt.highest)


@given(magnitude=st.floats(0.0, allow_infinity=False), bits=st.integers(2, 24))
@example(magnitude=5e-324, bits=8)
@example(magnitude=math.nextafter(127 / 2**7, 2), bits=8)
@example(magnitude=math.nextafter(127 / 2**7, 0), bits=8)
@example(magnitude=math.nextafter(2.0**-6, 1), bits=2)
@example(magnitude=127 / 2**10, bits=8)  # fits exactly
@example(magnitude=1e308, bits=8)
def test_frac_for_is_the_largest_that_fits(magnitude: float, bits: int) -> None:
    highest = 2 ** (bits - 1) - 1
    frac = frac_for(magnitude, highest)
    assert 0 <= frac <= MAX_FRAC
    exact = Fraction(magnitude)
    assert frac == 0 or exact * 2**frac <= highest
    assert frac == MAX_FRAC or exact * 2 ** (frac + 1) > highest


@given(rate=st.floats(2.0**-40, 2.0**12), rate_bits=st.integers(1, 8))
@example(rate=0.999, rate_bits=4)  # rounds up to the next power of two
@example(rate=1.5, rate_bits=1)
@example(rate=0.5 / 20, rate_bits=4)
def test_the_learning_rate_code_is_the_nearest_of_all_codes(rate: float, rate_bits: int) -> None:
    code = encode_learning_rate(rate, rate_bits)
    low, high = 1 << (rate_bits - 1), 1 << rate_bits
    assert low <= code.multiplier < high
    every = [Fraction(m) / Fraction(2) ** s for s in range(-14, 52) for m in range(low, high)]
    nearest = min(abs(value - Fraction(rate)) for value in every)
    realised = Fraction(code.multiplier) / Fraction(2) ** code.shift
    assert abs(realised - Fraction(rate)) == nearest
    assert Fraction(code.value) == realised


def test_a_code_between_two_takes_the_larger() -> None:
    code = encode_learning_rate(8.5 * 2.0**-10, 4)
    assert (code.multiplier, code.shift) == (9, 10)


@pytest.mark.parametrize("rate_bits", range(1, 9))
def test_every_code_encodes_itself(rate_bits: int) -> None:
    for multiplier in range(1 << (rate_bits - 1), 1 << rate_bits):
        code = encode_learning_rate(multiplier * 2.0**-13, rate_bits)
        assert (code.multiplier, code.shift) == (multiplier, 13)
