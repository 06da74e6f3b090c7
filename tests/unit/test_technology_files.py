"""Is every technology file complete, sourced, of one mind with the others, and ordered by node?"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from neurochip._data import data_folder
from neurochip.chip import Provenance, load_chip, load_technology
from neurochip.cost.interpolation import weakest
from neurochip.cost.logic import operation_price, register_price
from neurochip.cost.sram import access_price, bit_area_um2, leakage_per_bit, macro_price
from neurochip.counters import OPERATIONS
from neurochip.errors import UserError
from neurochip.technology import KINDS, PRICE_UNITS, SPREAD_FACTOR, Quantity, Technology

FILES = sorted((data_folder("hw_models") / "technology").glob("*.toml"))
NAMES = ["65nm", "45nm", "28nm", "22nm", "7nm"]  # coarse to fine
TECHNOLOGIES = {name: load_technology(name) for name in NAMES}
CHIP = load_chip("ottt-core-28nm")
MACROS = [(bits, words) for bits in (32, 64, 128) for words in (64, 256, 1024, 4096, 2**20 * 8 // bits)]  # up to 1 MB
SUPPLY_V = 0.9


def numbers_of(technology: Technology) -> list[Provenance]:
    provenance = CHIP.model_copy(update={"technology": technology}).provenance
    return [entry for entry in provenance if entry.key.startswith("technology.")]


def test_the_packaged_files_are_these() -> None:
    assert {path.stem for path in FILES} == set(NAMES)
    assert all(technology.name == name for name, technology in TECHNOLOGIES.items())
    assert [technology.node_nm for technology in TECHNOLOGIES.values()] == [65, 45, 28, 22, 7]


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_a_source_a_kind_a_unit_and_an_interval(name: str) -> None:
    numbers = numbers_of(TECHNOLOGIES[name])
    assert len(numbers) > 40
    for entry in numbers:
        assert len(entry.source) > 5, entry.key
        assert entry.kind in KINDS, entry.key
        assert entry.unit, entry.key
        assert entry.low <= entry.value <= entry.high, entry.key
        if entry.unit in PRICE_UNITS:
            assert entry.low < entry.high, entry.key
    assert len({entry.key for entry in numbers}) == len(numbers)


def test_the_same_anchor_is_the_same_number_in_every_file() -> None:
    seen: dict[tuple[object, ...], Quantity] = {}
    for technology in TECHNOLOGIES.values():
        for operation in ("add", "mul", "register_", "shift", "rng", "lut"):
            for anchor in getattr(technology.logic, operation):
                place = (operation, anchor.node_nm, anchor.width_bits)
                assert seen.setdefault((*place, "energy"), anchor.energy) == anchor.energy, place
                if anchor.area is not None:
                    assert seen.setdefault((*place, "area"), anchor.area) == anchor.area, place
        assert technology.sram is not None
        for macro in technology.sram.macros:
            place = ("sram", macro.node_nm, macro.macro_bits)
            assert seen.setdefault(place, macro) == macro, place
        for group in ("area", "leakage"):
            for per_bit in getattr(technology.sram, group):
                assert seen.setdefault((group, per_bit.node_nm), per_bit.per_bit) == per_bit.per_bit


def test_the_node_exponent_is_the_slope_of_the_adder() -> None:
    ratio = 0.03 / 0.1  # 32-bit adder, 7 over 45 nm
    for name in ("45nm", "28nm", "22nm", "7nm"):
        logic = TECHNOLOGIES[name].logic
        assert logic.node_exponent is not None
        assert (7 / 45) ** logic.node_exponent.value == pytest.approx(ratio, rel=1e-5)
        assert (logic.exponent_from_nm, logic.exponent_to_nm) == (7, 45)
    technology = TECHNOLOGIES["28nm"]
    ends = [operation_price("add", (32,), technology, SUPPLY_V, node).pj for node in (7, 45)]
    assert ends[0] / ends[1] == pytest.approx(ratio)


# ---- complete ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_has_a_price_at_every_width(name: str) -> None:
    technology = TECHNOLOGIES[name]
    for operation in OPERATIONS:
        prices = [operation_price(operation, (width, width), technology, SUPPLY_V).pj for width in range(1, 65)]
        assert prices[0] > 0, operation
        assert all(low < high for low, high in itertools.pairwise(prices)), operation
    assert register_price(1, technology, SUPPLY_V).pj > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_macro_has_a_price_an_area_and_leakage(name: str) -> None:
    technology = TECHNOLOGIES[name]
    for bits, words in MACROS:
        for access in ("read", "write"):
            assert macro_price(bits, words, access, technology, SUPPLY_V).pj > 0
    assert bit_area_um2(technology)[0] > 0
    chip = CHIP.model_copy(update={"technology": technology, "sram_leakage": None})
    assert 0 < leakage_per_bit(chip.memories["synapse"], chip).value < 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("words", [64, 128, 1024, 8192])
def test_a_wider_word_is_never_cheaper(name: str, words: int) -> None:
    memory = CHIP.memories["synapse"].model_copy(update={"bank_words": words})
    prices = [access_price(width, memory, "read", TECHNOLOGIES[name], SUPPLY_V).pj for width in range(1, 300)]
    assert prices == sorted(prices)


def test_the_65_nm_logic_is_assumed_and_so_are_the_sram_widths_that_were_not_swept() -> None:
    coarse = TECHNOLOGIES["65nm"]
    assert operation_price("add", (8,), coarse, SUPPLY_V).kind == "assumed"
    kinds = {bits: macro_price(bits, 1024, "read", coarse, 0.8).kind for bits in (32, 64, 128)}
    assert kinds == {32: "assumed", 64: "model", 128: "assumed"}


# ---- ordered ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("coarse", "fine"), list(itertools.pairwise(NAMES)))
def test_at_one_supply_a_finer_node_is_never_dearer(coarse: str, fine: str) -> None:
    one, other = TECHNOLOGIES[coarse], TECHNOLOGIES[fine]
    for operation in OPERATIONS:
        for width in (1, 4, 8, 16, 24, 32, 64):
            finer = operation_price(operation, (width, width), other, SUPPLY_V).pj
            assert finer < operation_price(operation, (width, width), one, SUPPLY_V).pj, (operation, width)
    assert register_price(8, other, SUPPLY_V).pj < register_price(8, one, SUPPLY_V).pj
    assert bit_area_um2(other)[0] < bit_area_um2(one)[0]
    if fine != "7nm":
        for bits, words in MACROS:
            for access in ("read", "write"):
                finer = macro_price(bits, words, access, other, SUPPLY_V).pj
                assert finer < macro_price(bits, words, access, one, SUPPLY_V).pj, (bits, words, access)


def test_the_one_exception_is_the_7_nm_sram_which_is_a_cache() -> None:
    # docs/decisions/0003-prices.md, section 7: dearer than 22 nm for small macros, cheaper for large ones.
    fine, coarse = TECHNOLOGIES["7nm"], TECHNOLOGIES["22nm"]
    dearer = [words for words in (64, 1024, 4096, 2**17) if at(fine, words) > at(coarse, words)]
    assert dearer == [64, 1024, 4096]


def at(technology: Technology, words: int) -> float:
    return macro_price(64, words, "read", technology, SUPPLY_V).pj


# ---- sources that are quoted at points ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "supply_v", "words", "read_pj", "tolerance"),
    [  # 64-bit macros: CACTI sweep points, and the three SRAMs of the 7 nm table
        ("22nm", 0.6, 1024, 1.02, 0.14),
        ("22nm", 0.6, 8192, 3.65, 0.14),
        ("22nm", 0.6, 131072, 13.4, 0.14),
        ("45nm", 0.7, 1024, 3.16, 0.14),
        ("45nm", 0.7, 8192, 11.9, 0.14),
        ("45nm", 0.7, 131072, 48.4, 0.14),
        ("7nm", 0.75, 1024, 7.5, 0.04),
        ("7nm", 0.75, 4096, 8.5, 0.04),
        ("7nm", 0.75, 131072, 14.0, 0.04),
    ],
)
def test_fits_pass_through_their_points(
    name: str, supply_v: float, words: int, read_pj: float, tolerance: float
) -> None:
    assert macro_price(64, words, "read", TECHNOLOGIES[name], supply_v).pj == pytest.approx(read_pj, rel=tolerance)


def test_cactis_devices_agree_at_one_supply_within_the_stated_spread() -> None:
    # 64 kB, 64 bits, 22 nm: LOP 3.65 pJ at 0.6 V; HP 5.15 and LSTP 6.19 pJ at 0.8 V, which no price is made from.
    technology = TECHNOLOGIES["22nm"]
    sram = technology.sram
    assert sram is not None
    coefficient = next(macro.coefficient for macro in sram.macros if macro.macro_bits == 64)
    price = macro_price(64, 8192, "read", technology, 0.8).pj
    low, high = (price * coefficient.at(bound) / coefficient.value for bound in ("low", "high"))
    assert low * 0.95 < 5.15 < high
    assert low < 6.19 < high


# ---- intervals and refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_unstated_bound_follows_from_the_kind(kind: str) -> None:
    quantity = Quantity(value=6.0, unit="pJ", source="here", kind=kind, high=6.5 if kind == "measured" else None)
    factor = SPREAD_FACTOR[quantity.kind]
    assert quantity.at("low") == pytest.approx(6.0 / factor)
    assert quantity.at("high") == pytest.approx(6.5 if kind == "measured" else 6.0 * factor)


def test_weaker_kinds_have_wider_spreads() -> None:
    assert sorted(KINDS, key=lambda kind: SPREAD_FACTOR[kind]) == list(KINDS)
    assert weakest(*KINDS) == KINDS[-1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "low = 20.3",
            "low = 21",
            r"dram\.energy: low, value, high are 21\.0, 20\.3, 40\.6; allowed is a rising order",
        ),
        ("high = 40.6", "high = 20", r"dram\.energy: low, value, high"),
        ("value = 1.7", "value = 0.7", r"area_overhead: low, value, high"),
        ("low = 1.58", "low = 0.9", r"area_overhead: low is 0\.9; allowed is 1 or more"),
        ("node_nm = 28", "node_nm = 65", None),
        (
            "[[sram.area]]\nnode_nm = 32",
            "[[sram.area]]\nnode_nm = 22",
            r"sram\.area: two anchors have the same node_nm",
        ),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, old: str, new: str, message: str | None) -> None:
    text = (data_folder("hw_models") / "technology" / "28nm.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    if message is None:  # a node outside the anchors: refused at the first price
        technology = load_technology(path)
        for price in (
            lambda: operation_price("add", (8,), technology, SUPPLY_V),
            lambda: operation_price("shift", (8,), technology, SUPPLY_V),
            lambda: macro_price(64, 1024, "read", technology, SUPPLY_V),
            lambda: bit_area_um2(technology),
        ):
            with pytest.raises(UserError, match=r"node_nm is 65; .*mine\.toml.* allowed is a node between"):
                price()
        return
    with pytest.raises(UserError, match=rf"mine\.toml: {message}"):
        load_technology(path)


def test_another_node_is_one_changed_line(tmp_path: Path) -> None:
    text = (data_folder("hw_models") / "chips" / "ottt-core-28nm.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('technology = "28nm"', 'technology = "22nm"', 1), encoding="utf-8")
    chip = load_chip(path)
    assert chip.technology.node_nm == 22
    assert (chip.voltage_v, chip.clock_mhz) == (CHIP.voltage_v, CHIP.clock_mhz)  # its own, not the technology's
