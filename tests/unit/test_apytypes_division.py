"""Does the golden core divide as apytypes does: softmax, the share of squared error, and standardised columns?

apytypes divides to as many fractional bits as the divisor has bits, sign included, so no quotient of whole numbers that
is not a whole number or a tie itself is taken for one.
"""

from __future__ import annotations

from apytypes import APyFixed
from apytypes_codes import ROUNDINGS, codes, counts, fixed, layer_of, rounded, saturated, spec_of
from hypothesis import example, given
from hypothesis import strategies as st

from neurochip.reference.core.arithmetic import exponential_table
from neurochip.reference.core.error import divide, readout_error, softmax
from neurochip.reference.core.standardise import standardise_column

TABLE = exponential_table()
POTENTIALS = st.lists(codes(24), min_size=2, max_size=6)


def quotient(x: APyFixed, divisor: int) -> APyFixed:
    """x / divisor, exact enough for every rounding to whole numbers."""
    return x / fixed(divisor)


def test_all_small_numbers_and_all_ties_are_divided_alike() -> None:
    for divisor in (2, 4, 6, 10, 256, 768):
        for x in range(-3 * divisor, 3 * divisor + 1):
            exact = quotient(fixed(x), divisor)
            assert divide(x, divisor, "floor") == rounded(exact, 0, "floor"), (x, divisor)
            assert divide(x, divisor, "nearest") == rounded(exact, 0, "nearest"), (x, divisor)


@given(x=codes(48), half=st.integers(1, 2**20), mode=ROUNDINGS)
def test_wide_numbers_are_divided_alike(x: int, half: int, mode: str) -> None:
    assert divide(x, 2 * half, mode) == rounded(quotient(fixed(x), 2 * half), 0, mode)


@given(units=st.integers(-(2**20), 2**20), half=st.integers(1, 2**20))
def test_ties_are_divided_alike(units: int, half: int) -> None:
    x = (2 * units + 1) * half
    assert divide(x, 2 * half, "nearest") == rounded(quotient(fixed(x), 2 * half), 0, "nearest")


def probabilities(z: list[int], frac_z: int, f: int) -> list[int]:
    """Codes of the shares E_c / sum(E), to nearest, ties up; only an even sum has ties."""
    distances = [rounded(fixed(max(z) - z_c, frac_z), 4, "floor") for z_c in z]
    terms = [TABLE[min(255, k)] for k in distances]
    return [rounded(quotient(fixed(e, -f), sum(terms)), 0, "nearest weight") for e in terms]


@given(z=POTENTIALS, frac_z=st.integers(0, 22), f=st.integers(0, 15))
@example(z=[0, 0], frac_z=4, f=0)  # two halves: ties
@example(z=[0, 0, 0, 0], frac_z=4, f=1)
def test_softmax_is_divided_alike(z: list[int], frac_z: int, f: int) -> None:
    assert softmax(z, frac_z, f, TABLE) == probabilities(z, frac_z, f)


@given(z=POTENTIALS, frac_z=st.integers(0, 22), f=st.integers(0, 10), share=st.integers(1, 256), mode=ROUNDINGS,
       label=st.integers(0, 5))  # fmt: skip
def test_a_share_of_squared_error_is_divided_alike(
    z: list[int], frac_z: int, f: int, share: int, mode: str, label: int
) -> None:
    n, label = len(z), label % len(z)
    layer = layer_of(n_out=n, frac_potential=frac_z, frac_error=f)
    spec, found = spec_of(layer, mse_share_q=share, error_rounding=mode, error_bits=10), counts()
    expected, n_outside = [], 0
    for c, p in enumerate(probabilities(z, frac_z, f)):
        target = (c == label) << f
        squared = fixed(rounded(fixed(z[c], frac_z), f, mode)) - fixed(target)
        mixed = fixed((256 - share) * n) * (fixed(p) - fixed(target)) + fixed(2 * share) * squared
        exact = quotient(mixed, 256 * n)
        expected.append(saturated(exact, 10, 0, mode))
        n_outside += expected[-1] != rounded(exact, 0, mode)
    assert readout_error(spec, z, label, TABLE, found) == expected
    assert found["sat_error"] == n_outside


@given(column=st.lists(codes(4), min_size=2, max_size=4), constant=st.integers(1, 2**61), p=st.integers(0, 20))
@example(column=[1, -1], constant=2**33, p=0)  # R = 2: F does not fit
@example(column=[1, -1], constant=2**32 - 1, p=0)  # the largest that fits
def test_the_factor_of_a_column_is_divided_and_saturated_alike(column: list[int], constant: int, p: int) -> None:
    k, s1 = len(column), sum(column)
    v = k * sum(w * w for w in column) - s1 * s1
    root = next(n for n in range(v + 1, -1, -1) if n * n <= v)
    if root:
        factor = saturated(quotient(fixed(constant), root), 32, 0)
        expected = [rounded(fixed(k * w - s1) * fixed(factor, p), 0, "nearest") for w in column]
        assert standardise_column(column, constant, p) == expected
