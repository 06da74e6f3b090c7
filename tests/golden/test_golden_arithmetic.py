"""Are the primitives of the golden core those of docs/semantics.md, section 2? Expected values are worked out here."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal, localcontext

import pytest

from neurochip.errors import UserError
from neurochip.reference.core import arithmetic
from neurochip.reference.core.error import softmax

GAMMA = 0x9E3779B97F4A7C15


@pytest.mark.parametrize(
    ("x", "n", "floor", "nearest"),
    [
        (5, 1, 2, 3),  # 2.5: a tie goes away from zero
        (-5, 1, -3, -3),
        (6, 2, 1, 2),  # 1.5
        (-6, 2, -2, -2),
        (-1, 2, -1, 0),  # -0.25: floor injects an error of one, nearest does not
        (1, 1, 0, 1),
        (-7, 0, -7, -7),
        (0, 5, 0, 0),
    ],
)
def test_right_shift_rounds_as_named(x: int, n: int, floor: int, nearest: int) -> None:
    assert arithmetic.round_shift(x, n, "floor") == floor
    assert arithmetic.round_shift(x, n, "nearest") == nearest


def test_stochastic_is_not_a_rounding_of_errors() -> None:
    with pytest.raises(UserError, match="stochastic"):
        arithmetic.round_shift(3, 1, "stochastic")


@pytest.mark.parametrize(
    ("x", "kind", "value", "expected"),
    [
        (5, "shift", 1, 2),  # 5 - ceil(5 / 2)
        (-5, "shift", 1, -2),
        (16, "shift", 4, 15),  # 16 - 1
        (17, "shift", 4, 15),  # 17 - ceil(17 / 16)
        (1, "shift", 15, 0),
        (100, "constant", 45875, 69),  # 69.9997
        (-100, "constant", 45875, -69),
        (65536, "constant", 65535, 65535),
        (65537, "constant", 65536, 65537),
        (40, "constant", 0, 0),
    ],
)
def test_leak_by_hand(x: int, kind: str, value: int, expected: int) -> None:
    assert arithmetic.leak(x, kind, value) == expected


@pytest.mark.parametrize(
    ("kind", "value"), [("shift", k) for k in range(1, 16)] + [("constant", a) for a in (0, 1, 32768, 45875, 65535)]
)
def test_leak_always_comes_closer_to_zero_and_reaches_it(kind: str, value: int) -> None:
    for m in [*range(1, 2000), 2**15 - 1, 2**15, 2**23 - 1, 2**23]:
        smaller = arithmetic.leak(m, kind, value)
        assert 0 <= smaller < m
        assert arithmetic.leak(-m, kind, value) == -smaller
    x = -1000
    for _ in range(1000):
        x = arithmetic.leak(x, kind, value)
    assert x == 0


def test_saturate_clamps_and_counts_only_what_was_outside() -> None:
    counts = {"sat_weight": 0}
    limits = arithmetic.signed_limits(8)
    assert [arithmetic.saturate(x, limits, counts, "sat_weight") for x in (-129, -128, 127, 128)] == [
        -128,
        -128,
        127,
        127,
    ]
    assert counts == {"sat_weight": 2}
    assert arithmetic.unsigned_limits(4) == (0, 15)


def test_sigmoid_table_is_the_printed_one() -> None:
    half = [0] * 13 + [1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 9, 10, 12, 13, 15, 15, 15]
    assert arithmetic.surrogate_table("sigmoid", 4) == half + half[::-1]


def test_triangle_and_rectangle_tables_at_their_edges() -> None:
    triangle = arithmetic.surrogate_table("triangle", 4)
    # idx 15: x = 31/32, psi = 1/32, 16 / 32 + 1/2 = 1; idx 16: x = 33/32, psi = 0; idx 0: 15.5 + 0.5 = 16, clipped.
    assert [triangle[32 + idx] for idx in (-17, -16, -1, 0, 7, 15, 16, 31)] == [0, 1, 15, 15, 9, 1, 0, 0]
    rectangle = arithmetic.surrogate_table("rectangle", 3)
    # Bin centres 15/32 and 17/32 lie on either side of 1/2.
    assert rectangle == [0] * 24 + [7] * 16 + [0] * 24
    assert arithmetic.surrogate_table("rectangle", 1)[32] == 1


def test_exponential_table_against_decimal_arithmetic() -> None:
    with localcontext() as context:
        context.prec = 40
        exact = [2**15 * (Decimal(-k) / 16).exp() + Decimal("0.5") for k in range(256)]
    expected = [int(value.to_integral_value(rounding=ROUND_FLOOR)) for value in exact]
    table = arithmetic.exponential_table()
    assert table == expected
    assert (table[0], table[16], table[255]) == (32768, 12055, 0)  # 2**15, 2**15 / e = 12054.7, 0.004


def test_softmax_by_hand() -> None:
    table = arithmetic.exponential_table()
    # Three equal classes: ((2**15 << 7) + 49152) // 98304 = 43.2.
    assert softmax([5, 5, 5], 4, 7, table) == [43, 43, 43]
    # One unit apart: E = 32768, 12055; sum 44823; (4194304 + 22411) / 44823 = 94.07, (1543040 + 22411) / 44823 = 34.9.
    assert softmax([16, 0], 4, 7, table) == [94, 34]
    # The same distance in other formats: frac_z = 6 shifts right by 2, frac_z = 2 shifts left by 2.
    assert softmax([64 + 3, 0], 6, 7, table) == [94, 34]
    assert softmax([0, -4], 2, 7, table) == [94, 34]
    # Far apart: k is clamped to 255, where E is 0, and p of the winner is exactly 1.
    assert softmax([8000, -8000], 4, 7, table) == [128, 0]


def test_xorshift_gives_marsaglias_sequence() -> None:
    # G. Marsaglia, "Xorshift RNGs", J. Stat. Softw. 8(14), 2003: seed 2463534242, shifts 13, 17, 5.
    x, sequence = 2463534242, []
    for _ in range(3):
        x = arithmetic.advance(x)
        sequence.append(x)
    assert sequence == [723471715, 2497366906, 2064144800]


def test_xorshift_on_bit_lists() -> None:
    def bits_of(x: int) -> list[int]:
        return [(x >> k) & 1 for k in range(32)]

    def advance_bits(bits: list[int]) -> list[int]:
        bits = [b ^ (bits[k - 13] if k >= 13 else 0) for k, b in enumerate(bits)]
        bits = [b ^ (bits[k + 17] if k + 17 < 32 else 0) for k, b in enumerate(bits)]
        return [b ^ (bits[k - 5] if k >= 5 else 0) for k, b in enumerate(bits)]

    for x in (1, 2**31, 2**32 - 1, 0xDEADBEEF, 12345):
        assert bits_of(arithmetic.advance(x)) == advance_bits(bits_of(x))


def test_split_mix_gives_the_published_sequence_of_seed_0() -> None:
    # SplitMix64 from state 0 advances its state by GAMMA per output (S. Vigna, splitmix64.c).
    outputs = [arithmetic.split_mix(k * GAMMA) for k in range(3)]
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def undo_split_mix(h: int) -> int:
    """Inverse of h(x), from the inverses of its steps."""

    def undo_shift(z: int, n: int) -> int:
        x = z
        for _ in range(64 // n + 1):
            x = z ^ (x >> n)
        return x

    z = undo_shift(h, 31)
    z = undo_shift(z * pow(0x94D049BB133111EB, -1, 2**64) % 2**64, 27)
    z = undo_shift(z * pow(0xBF58476D1CE4E5B9, -1, 2**64) % 2**64, 30)
    return (z - GAMMA) % 2**64


def test_register_start_is_built_from_seed_layer_and_lane() -> None:
    h = arithmetic.split_mix
    assert arithmetic.initial_register(7, 2, 3) == h((h((h(7) + 2) % 2**64) + 3) % 2**64) % 2**32
    starts = [arithmetic.initial_register(1, layer, lane) for layer in range(4) for lane in range(64)]
    assert len(set(starts)) == len(starts)


def test_a_register_never_starts_at_zero() -> None:
    # Search backwards for the seed whose (layer 2, lane 3) would start at 0.
    seed = undo_split_mix((undo_split_mix((undo_split_mix(0) - 3) % 2**64) - 2) % 2**64)
    h = arithmetic.split_mix
    assert h(h(h(seed) + 2) + 3) == 0
    assert arithmetic.initial_register(seed, 2, 3) == 1
