"""Is every rounding, saturation and shift that of an independent fixed-point library (apytypes)?"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from apytypes import APyFixed, QuantizationMode, set_fixed_quantization_seed
from apytypes_codes import (
    ROUNDINGS,
    code_of,
    codes,
    counts,
    fixed,
    formatted,
    layer_of,
    rounded,
    saturated,
    spec_of,
)
from hypothesis import example, given
from hypothesis import strategies as st

from neurochip.fixed_point import MAX_FRAC, QFormat, encode_learning_rate, quantise, quantise_scalar
from neurochip.reference.core import arithmetic
from neurochip.reference.core.memory import Memories
from neurochip.reference.core.recording import Recorder
from neurochip.reference.core.update import Plasticity

DETERMINISTIC = ("TRN", "TRN_INF", "TRN_ZERO", "TRN_AWAY", "TRN_MAG", "RND", "RND_ZERO", "RND_INF", "RND_MIN_INF",
                 "RND_CONV", "RND_CONV_ODD", "JAM", "JAM_UNBIASED")  # fmt: skip


def new_weight(old: int, change: int, shift: int, rounding: str, bits: int = 8, register: int = 1) -> int:
    """W of the golden core after P = `change`, rounded at `shift` bits; `register` is the random one before."""
    spec = spec_of(layer_of(), weight_bits=bits, weight_rounding=rounding, rate_shift=shift)
    memory = Memories(spec, [[[old], [0]]])
    memory.registers[0][0] = register
    Plasticity(spec, memory).update(0, {0: [-change]}, 0, Recorder(1, 1, False))
    return memory.synapse[0][0][0]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x, n: arithmetic.round_shift(x, n, "floor"), {"TRN"}),
        (lambda x, n: arithmetic.round_shift(x, n, "nearest"), {"RND_INF"}),
        (lambda x, n: quantise_scalar(x / 2**n, 0), {"RND_INF"}),
        (lambda x, n: int(quantise(np.array([x / 2**n]), QFormat(10, 0, True))[0]), {"RND_INF"}),
        (lambda x, n: new_weight(0, x, n, "floor"), {"TRN"}),
        (lambda x, n: new_weight(0, x, n, "nearest"), {"RND"}),
        (lambda x, n: arithmetic.leak(x, "constant", 1 << (16 - n)), {"TRN_ZERO"}),
        (lambda x, n: x - arithmetic.leak(x, "shift", n), {"TRN_AWAY"}),
    ],
    ids=[
        "floor",
        "nearest",
        "scalar",
        "array",
        "weight floor",
        "weight nearest",
        "leak constant",
        "lost by leak shift",
    ],
)
def test_each_rounding_is_one_mode_and_no_other(ours: Callable[[int, int], int], theirs: set[str]) -> None:
    """All 7-bit codes, all shifts to 7: ties, negatives and exact values are among them."""
    points = [(x, n, ours(x, n)) for n in range(1, 8) for x in range(-64, 64)]
    matching = set()
    for name in DETERMINISTIC:
        mode = getattr(QuantizationMode, name)
        casts = (fixed(x, n).cast(int_bits=10, frac_bits=0, quantization=mode) for x, n, _ in points)
        if all(code_of(cast) == expected for cast, (_, _, expected) in zip(casts, points, strict=True)):
            matching.add(name)
    assert matching == theirs


@given(x=formatted(2, 48), n=st.integers(0, 40), mode=ROUNDINGS)
def test_wide_codes_are_shifted_and_rounded_alike(x: tuple[int, int], n: int, mode: str) -> None:
    assert arithmetic.round_shift(x[1], n, mode) == rounded(fixed(x[1], n), 0, mode)


@given(units=st.integers(-(2**30), 2**30), n=st.integers(1, 30), mode=ROUNDINGS)
def test_ties_are_rounded_alike(units: int, n: int, mode: str) -> None:
    tie = (2 * units + 1) << (n - 1)
    assert arithmetic.round_shift(tie, n, mode) == rounded(fixed(tie, n), 0, mode)


@given(old=codes(8), change=codes(24), shift=st.integers(0, 30), register=st.integers(1, 2**32 - 1))
def test_stochastic_rounding_adds_r_and_truncates(old: int, change: int, shift: int, register: int) -> None:
    r = arithmetic.advance(register) % (1 << shift)
    expected = saturated(fixed(old) + fixed(change, shift) + fixed(r, shift), 8, 0)
    if change:
        assert new_weight(old, change, shift, "stochastic", register=register) == expected


def test_over_all_r_stochastic_rounding_is_unbiased_and_finds_what_theirs_finds() -> None:
    set_fixed_quantization_seed(1)
    for x in range(-20, 21):
        for n in range(1, 5):
            ours = [code_of((fixed(x, n) + fixed(r, n)).cast(int_bits=10, frac_bits=0)) for r in range(1 << n)]
            assert Fraction(sum(ours), 1 << n) == Fraction(x, 1 << n)
            mode = QuantizationMode.STOCH_WEIGHTED
            theirs = {code_of(fixed(x, n).cast(int_bits=10, frac_bits=0, quantization=mode)) for _ in range(200)}
            assert theirs == set(ours)


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_all_small_codes_saturate_alike_and_are_counted(bits: int) -> None:
    for x in range(-70, 71):
        found = counts()
        signed = arithmetic.saturate(x, arithmetic.signed_limits(bits), found, "sat_error")
        assert signed == saturated(fixed(x), bits, 0)
        assert found["sat_error"] == (signed != x)
        unsigned = arithmetic.saturate(abs(x), arithmetic.unsigned_limits(bits), found, "sat_trace")
        assert unsigned == saturated(fixed(abs(x)), bits + 1, 0)  # theirs are signed: one bit more
        assert found["sat_trace"] == (unsigned != abs(x))


@given(x=formatted(2, 48), bits=st.integers(2, 32), signed=st.booleans())
def test_wide_codes_saturate_alike(x: tuple[int, int], bits: int, signed: bool) -> None:
    value = x[1] if signed else abs(x[1])
    limits = arithmetic.signed_limits(bits) if signed else arithmetic.unsigned_limits(bits)
    assert arithmetic.saturate(value, limits, counts(), "sat_error") == saturated(fixed(value), bits + (not signed), 0)
    fmt = QFormat(bits, 0, signed)
    assert limits == (fmt.lowest, fmt.highest)


@given(fmt=st.builds(QFormat, bits=st.integers(2, 16), frac=st.integers(0, MAX_FRAC), signed=st.booleans()),
       code=codes(40), below=st.integers(0, 26))  # fmt: skip
@example(fmt=QFormat(8, 6, True), code=-129, below=7)
def test_real_numbers_are_quantised_alike(fmt: QFormat, code: int, below: int) -> None:
    value = code * 2.0**-below  # exact: 40 bits fit a double
    exact = APyFixed.from_float(value, int_bits=42, frac_bits=26)
    assert quantise_scalar(value, fmt.frac) == rounded(exact, fmt.frac, "nearest")
    if fmt.signed or code >= 0:
        expected = saturated(exact, fmt.bits + (not fmt.signed), fmt.frac, "nearest")
        assert quantise(np.array([value]), fmt).tolist() == [expected]


@given(mantissa=st.integers(1, 2**30), exponent=st.integers(0, 40), rate_bits=st.integers(1, 8))
def test_the_multiplier_of_a_learning_rate_is_rounded_alike(mantissa: int, exponent: int, rate_bits: int) -> None:
    code = encode_learning_rate(mantissa * 2.0**-exponent, rate_bits)
    exact = fixed(mantissa, exponent).cast(int_bits=34, frac_bits=60)
    assert code.multiplier == rounded(exact << code.shift if code.shift >= 0 else exact >> -code.shift, 0, "nearest")


def test_all_8_bit_codes_leak_alike() -> None:
    for x in range(-128, 128):
        for k in range(1, 16):
            factor = fixed((1 << k) - 1, k)
            assert arithmetic.leak(x, "shift", k) == rounded(fixed(x) * factor, 0, "leak")


@given(x=formatted(2, 32), alpha=st.integers(0, 65535), k=st.integers(1, 15))
def test_wide_codes_leak_alike(x: tuple[int, int], alpha: int, k: int) -> None:
    assert arithmetic.leak(x[1], "constant", alpha) == rounded(fixed(x[1]) * fixed(alpha, 16), 0, "leak")
    assert arithmetic.leak(x[1], "shift", k) == rounded(fixed(x[1]) * fixed((1 << k) - 1, k), 0, "leak")
