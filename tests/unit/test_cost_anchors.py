"""Do unit prices hit their published anchors, and move the right way with width, capacity, node and voltage?"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from neurochip.chip import Memory, load_chip
from neurochip.cost import clock_price
from neurochip.cost.interpolation import Price, at_node
from neurochip.cost.logic import operation_price, register_price
from neurochip.cost.sram import access_price, macro_price, macros_of_word
from neurochip.counters import OPERATIONS
from neurochip.errors import UserError

CHIP = load_chip("ottt-core-28nm")
TECH = CHIP.technology
LOP_V = 0.6  # supply of the CACTI anchors
LOGIC_V = 0.9  # supply of the logic anchors


def bank(words: int, ports: str = "1rw") -> Memory:
    return Memory(storage="sram", banks=1, bank_words=words, ports=ports, read_latency_cycles=1)


# ---- interpolation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node_nm", "macro_bits", "kb", "read_pj", "write_pj"),
    [  # hardware fits: k * kB^p and its write/read ratio
        (22, 32, 4, 0.316 * 4**0.482, 0.316 * 4**0.482 * 0.73),
        (22, 64, 8, 0.310 * 8**0.558, 0.310 * 8**0.558 * 0.92),
        (22, 128, 64, 0.355 * 64**0.626, 0.355 * 64**0.626 * 1.22),
        (32, 32, 32, 0.495 * 32**0.493, 0.495 * 32**0.493 * 0.75),
        (32, 64, 2, 0.805 * 2**0.476, 0.805 * 2**0.476 * 0.78),
        (32, 128, 16, 0.544 * 16**0.629, 0.544 * 16**0.629 * 1.22),
    ],
)
def test_sram_hits_its_anchors(node_nm: int, macro_bits: int, kb: int, read_pj: float, write_pj: float) -> None:
    words = kb * 1024 * 8 // macro_bits
    assert macro_price(macro_bits, words, "read", TECH, LOP_V, node_nm).pj == pytest.approx(read_pj, rel=1e-12)
    assert macro_price(macro_bits, words, "write", TECH, LOP_V, node_nm).pj == pytest.approx(write_pj, rel=1e-12)


@pytest.mark.parametrize(
    ("node_nm", "operation", "widths", "pj"),
    [
        (45, "add", (8,), 0.03),
        (45, "add", (32,), 0.1),
        (45, "mul", (8, 8), 0.2),
        (45, "mul", (32, 32), 3.1),
        (7, "add", (8,), 0.007),
        (7, "add", (32,), 0.03),
        (7, "mul", (8, 8), 0.07),
        (7, "mul", (32, 32), 1.48),
        (45, "add", (20,), 0.065),  # half way between 8 and 32 bits
        (45, "compare", (20,), 0.065),
        (45, "ac", (8, 20), 0.065),  # the accumulator is the wider
        (45, "mac", (8, 8, 32), 0.2 + 0.1),
        (45, "mac", (8, 8), 0.2 + 0.03 + 0.07 * 8 / 24),  # accumulator of 8 + 8 bits
        (45, "mul", (8, 32), (0.2 * 3.1) ** 0.5),  # a*b is the geometric mean of 8*8 and 32*32
        (40, "shift", (16,), 0.417 / 2),
        (40, "rng", (32,), 3 * 0.018 + 32 * 0.009),
        (40, "lut", (6, 4), 4 * 0.018),
    ],
)
def test_logic_hits_its_anchors(node_nm: int, operation: str, widths: tuple[int, ...], pj: float) -> None:
    assert operation_price(operation, widths, TECH, LOGIC_V, node_nm).pj == pytest.approx(pj, rel=1e-12)


@pytest.mark.parametrize(
    ("operation", "widths", "pj"),
    [
        ("add", (4,), 0.03 / 2),  # below the narrowest anchor: proportional, so never 0 or less
        ("add", (64,), 0.1 * 2),
        ("mul", (4, 4), 0.2 / 4),
        ("mul", (4, 16), 0.2),
        ("mul", (64, 32), 3.1 * 2),
    ],
)
def test_outside_the_anchor_widths_logic_is_proportional(operation: str, widths: tuple[int, ...], pj: float) -> None:
    assert operation_price(operation, widths, TECH, LOGIC_V, 45).pj == pytest.approx(pj)


def test_division_is_one_subtraction_and_two_register_bits_per_bit() -> None:
    # at 45 nm: 32-bit adder 0.1 pJ; registers move from 40 to 45 nm as the 32-bit adder does
    at_40 = operation_price("add", (32,), TECH, LOGIC_V, 40).pj
    step = 0.1 + 2 * 32 * 0.009 * 0.1 / at_40
    assert operation_price("div", (23, 32), TECH, LOGIC_V, 45).pj == pytest.approx(23 * step)


@pytest.mark.parametrize("node_nm", [5, 65])
@pytest.mark.parametrize(
    "at",
    [
        lambda node: operation_price("add", (8,), TECH, LOGIC_V, node),
        lambda node: operation_price("shift", (8,), TECH, LOGIC_V, node),  # moved by the exponent, which ends there too
        lambda node: operation_price("hop", (8,), TECH, LOGIC_V, node),
        lambda node: macro_price(64, 1024, "read", TECH, LOGIC_V, node),
    ],
)
def test_no_price_is_extrapolated_beyond_its_nodes(node_nm: int, at: Callable[[int], Price]) -> None:
    with pytest.raises(UserError, match=r"28nm\.toml|node_nm is"):
        at(node_nm)


def test_between_nodes_the_logarithms_are_linear() -> None:
    middle = (22 * 32) ** 0.5
    points = {22.0: Price(2.0, "measured"), 32.0: Price(8.0, "simulated")}
    assert at_node(points, middle, "x").pj == pytest.approx(4.0)
    assert at_node(points, middle, "x").kind == "model"
    assert at_node(points, 22.0, "x") == Price(2.0, "measured")
    with pytest.raises(UserError, match="node_nm is 16; x has anchors at 22, 32 nm"):
        at_node(points, 16, "x")


def test_default_prices_lie_between_their_anchor_nodes() -> None:
    for low, high, at in (
        (22, 32, lambda node: macro_price(128, 1024, "read", TECH, LOGIC_V, node).pj),
        (7, 45, lambda node: operation_price("mac", (8, 8), TECH, LOGIC_V, node).pj),
    ):
        assert at(low) < at(28) < at(high)


def test_dynamic_energy_is_quadratic_in_voltage() -> None:
    for at in (
        lambda v: macro_price(64, 1024, "write", TECH, v).pj,
        lambda v: operation_price("mac", (8, 8), TECH, v).pj,
        lambda v: register_price(12, TECH, v).pj,
        lambda v: clock_price(CHIP.model_copy(update={"voltage": CHIP.voltage.model_copy(update={"value": v})})).pj,
    ):
        assert at(1.0) / at(0.5) == pytest.approx(4.0)


# ---- shapes -----------------------------------------------------------------------------------------------------


def test_words_are_covered_by_macros() -> None:
    assert macros_of_word(4) == (32,)
    assert macros_of_word(32) == (32,)
    assert macros_of_word(33) == macros_of_word(64) == (64,)
    assert macros_of_word(65) == (128,)
    assert macros_of_word(128) == (128,)
    assert macros_of_word(160) == (128, 32)
    assert macros_of_word(384) == (128, 128, 128)
    with pytest.raises(ValueError, match="allowed is 1 or more"):
        macros_of_word(0)


@pytest.mark.parametrize("words", [16, 64, 256, 1024, 8192])
@pytest.mark.parametrize("access", ["read", "write"])
def test_sram_energy_never_falls_with_width(words: int, access: str) -> None:
    prices = [access_price(width, bank(words), access, TECH, LOGIC_V).pj for width in range(1, 400)]
    assert prices == sorted(prices)
    assert prices[0] < prices[40] < prices[100] < prices[200]


@pytest.mark.parametrize("width", [8, 64, 128, 384])
def test_sram_energy_rises_with_capacity(width: int) -> None:
    prices = [access_price(width, bank(2**k), "read", TECH, LOGIC_V).pj for k in range(6, 17)]
    assert all(low < high for low, high in itertools.pairwise(prices))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_energy_rises_with_width(operation: str) -> None:
    prices = [operation_price(operation, (width, width), TECH, LOGIC_V).pj for width in range(1, 41)]
    assert prices[0] > 0
    assert all(low < high for low, high in itertools.pairwise(prices))


def test_sram_outside_the_fitted_range_is_assumed() -> None:
    kinds = {words: access_price(128, bank(words), "read", TECH, LOGIC_V).kind for words in (127, 128, 65536, 65537)}
    assert kinds == {127: "assumed", 128: "model", 65536: "model", 65537: "assumed"}  # 2 kB and 1 MB at 16 bytes
    assert access_price(128, bank(1024, "1r1w"), "read", TECH, LOGIC_V).kind == "assumed"
    shallow = [access_price(32, bank(words), "read", TECH, LOGIC_V).pj for words in (1, 64, 65)]
    assert shallow[0] == shallow[1] < shallow[2]
