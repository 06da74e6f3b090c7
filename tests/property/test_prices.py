"""Is energy additive, zero at zero and rising in every price, whatever was counted?"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurochip.chip import Chip, load_chip, load_technology
from neurochip.cost import Energy, price, unit_price
from neurochip.cost.area import area
from neurochip.cost.bounds import at_bound
from neurochip.counters import COUNTER_KEYS, MEMORIES, OPERATIONS, PHASES, Count, is_memory
from neurochip.errors import UserError
from neurochip.technology import KINDS, Bound, FrozenModel, Quantity

_T = TypeVar("_T")
NAMES = ["65nm", "45nm", "28nm", "22nm", "7nm"]
CHIPS = {name: load_chip("ottt-core-28nm").model_copy(update={"technology": load_technology(name)}) for name in NAMES}
WIDTH = {"event_fifo": 12, "synapse": 128, "neuron": 256, "trace": 128, "error": 96, "gradient": 384, "history": 128}
USED = {name: 1000 * width for name, width in WIDTH.items()} | {"event_fifo": 16 * 12}


@st.composite
def counts(draw: st.DrawFn) -> list[Count]:
    rows = []
    for key in draw(st.lists(st.sampled_from(COUNTER_KEYS), max_size=8)):
        n_widths = 1 if is_memory(key) else draw(st.integers(1, 3 if key == "mac" else 2))
        limit = 400 if is_memory(key) else 64
        widths = tuple(draw(st.integers(1, limit)) for _ in range(n_widths))
        number = draw(st.floats(0, 1e9))
        rows.append(Count(key, draw(st.sampled_from(PHASES)), draw(st.integers(0, 3)), widths, number))
    return rows


CYCLES = st.floats(0, 1e9)
CHIP_NAMES = st.sampled_from(NAMES)


def priced(rows: list[Count], cycles: float, chip: Chip) -> Energy:
    return price(rows, cycles, USED, WIDTH, chip)


# ---- the sum ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(name=CHIP_NAMES, one=counts(), other=counts(), cycles=CYCLES, more=CYCLES)
def test_energy_is_additive_in_what_was_counted(
    name: str, one: list[Count], other: list[Count], cycles: float, more: float
) -> None:
    chip = CHIPS[name]
    a, b, both = priced(one, cycles, chip), priced(other, more, chip), priced(one + other, cycles + more, chip)
    for of in ("total_pj", "clock_pj", "leakage_pj", "low_pj", "high_pj", "latency_us"):
        assert getattr(both, of) == pytest.approx(getattr(a, of) + getattr(b, of), rel=1e-9)
    for group in ("by_memory", "by_operation", "by_phase", "by_layer", "by_kind"):
        parts_a, parts_b, parts = getattr(a, group), getattr(b, group), getattr(both, group)
        assert set(parts) == set(parts_a) | set(parts_b)
        for part, pj in parts.items():
            assert pj == pytest.approx(parts_a.get(part, 0.0) + parts_b.get(part, 0.0), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(name=CHIP_NAMES, rows=counts(), cycles=CYCLES)
def test_every_split_adds_up_to_the_total_and_the_interval_holds_it(
    name: str, rows: list[Count], cycles: float
) -> None:
    energy = priced(rows, cycles, CHIPS[name])
    leaves = energy.total_pj - energy.clock_pj - energy.leakage_pj
    rounding = 1e-9 * energy.total_pj
    assert sum(energy.by_layer.values()) == pytest.approx(leaves, abs=rounding)
    assert sum(energy.by_phase.values()) == pytest.approx(leaves, abs=rounding)
    assert sum(energy.by_kind.values()) == pytest.approx(energy.total_pj)
    assert tuple(energy.by_kind) == KINDS
    assert energy.low_pj <= energy.total_pj <= energy.high_pj
    if energy.total_pj > 1e-9:  # above the smallest floats
        assert energy.low_pj < energy.high_pj


@pytest.mark.parametrize("name", NAMES)
def test_nothing_counted_costs_nothing(name: str) -> None:
    rows = [Count(key, "fire", 0, (8, 8), 0.0) for key in COUNTER_KEYS]
    energy = priced(rows, 0.0, CHIPS[name])
    assert (energy.total_pj, energy.low_pj, energy.high_pj, energy.latency_us) == (0.0, 0.0, 0.0, 0.0)


# ---- rising in every price --------------------------------------------------------------------------------------


def with_price(item: _T, key: str, factor: float, path: str = "") -> _T:
    """A chip with the one price at a dotted key of its provenance multiplied."""
    value: Any = item
    if isinstance(value, Quantity):
        return value.model_copy(update={"value": value.value * factor}) if path == key else item
    if isinstance(value, FrozenModel):
        fields = type(value).model_fields
        update = {
            name: with_price(getattr(value, name), key, factor, f"{path}.{field.alias or name}".lstrip("."))
            for name, field in fields.items()
        }
        return value.model_copy(update=update)
    if isinstance(value, tuple) and value and isinstance(value[0], FrozenModel):
        value = tuple(with_price(entry, key, factor, f"{path}[{place(entry)}]") for entry in value)
        return cast(_T, value)
    return item


def place(anchor: Any) -> str:
    width = getattr(anchor, "width_bits", getattr(anchor, "macro_bits", None))
    if not hasattr(anchor, "node_nm"):
        return ""
    return f"{anchor.node_nm:g} nm" + ("" if width is None else f", {width} bits")


PRICES = [
    (name, entry.key, entry.unit)
    for name, chip in CHIPS.items()
    for entry in chip.provenance
    if entry.low < entry.high  # a price; the others have no interval
]
EVERYTHING = [
    *(Count(f"{memory}_{access}", "fire", 0, (width,), 1e3)
      for memory in MEMORIES for access in ("read", "write") for width in (12, 60, 128, 400)),
    *(Count(operation, "fire", 0, (a, b), 1e3)
      for operation in OPERATIONS for a in (2, 8, 20, 48) for b in (3, 32, 60)),
]  # fmt: skip
UNIT_PRICES = {
    name: {(row.key, row.widths_bits): unit_price(row.key, row.widths_bits, chip).pj for row in EVERYTHING}
    for name, chip in CHIPS.items()
}
AREA_UNITS = ("um2", "um2/bit", "um2/um2", "bit/bit")


@pytest.mark.parametrize(("name", "key", "unit"), PRICES, ids=[f"{name} {key}" for name, key, _ in PRICES])
def test_raising_one_price_never_lowers_an_energy_or_an_area(name: str, key: str, unit: str) -> None:
    chip = CHIPS[name]
    dearer = with_price(chip, key, 1.5)
    rises = priced(EVERYTHING, 1e3, dearer).total_pj > priced(EVERYTHING, 1e3, chip).total_pj
    for (counted, widths), before in UNIT_PRICES[name].items():
        assert unit_price(counted, widths, dearer).pj >= before * (1 - 1e-12), (counted, widths)
    before_mm2, after_mm2 = area(chip, WIDTH).total_mm2, area(dearer, WIDTH).total_mm2
    assert after_mm2 >= before_mm2 * (1 - 1e-12)
    # No number is there for nothing: each raises the energy or the area, but for the leakage the chip states itself.
    assert rises == (unit not in ("um2", "um2/bit", "um2/um2") and not key.startswith("technology.sram.leakage"))
    if unit in AREA_UNITS:
        assert after_mm2 > before_mm2


@settings(max_examples=40, deadline=None)
@given(name=CHIP_NAMES, rows=counts(), cycles=CYCLES, factor=st.floats(1.0, 20.0), which=st.integers(0, 10**6))
def test_raising_a_price_never_lowers_the_energy_of_any_counts(
    name: str, rows: list[Count], cycles: float, factor: float, which: int
) -> None:
    chip = CHIPS[name]
    keys = [key for of, key, _ in PRICES if of == name]
    dearer = with_price(chip, keys[which % len(keys)], factor)
    assert priced(rows, cycles, dearer).total_pj >= priced(rows, cycles, chip).total_pj * (1 - 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_interval_moves_every_price_and_nothing_else(name: str) -> None:
    chip = CHIPS[name]
    bounds: tuple[Bound, ...] = ("low", "high")
    for bound in bounds:
        moved = {entry.key: entry.value for entry in at_bound(chip, bound).provenance}
        for entry in chip.provenance:
            assert moved[entry.key] == getattr(entry, bound), entry.key
    points = {
        "voltage",
        "clock",
        "technology.logic.voltage",
        "technology.sram.fit_to",
        "technology.logic.node_exponent",
    }
    assert points <= {entry.key for entry in chip.provenance if entry.low == entry.high}


# ---- missing prices ---------------------------------------------------------------------------------------------

NEEDED_BY = {
    "ac": "add", "mac": "mul", "mul": "mul", "add": "add", "shift": "shift", "compare": "add", "lut": "lut",
    "div": "division", "rng": "rng",
}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(name=CHIP_NAMES, key=st.sampled_from(COUNTER_KEYS), width=st.integers(1, 64), before=counts())
def test_a_count_without_a_price_is_an_error_that_names_file_and_count(
    name: str, key: str, width: int, before: list[Count]
) -> None:
    chip = CHIPS[name]
    technology = chip.technology
    if key == "hop":
        lacking, file = (
            chip.model_copy(update={"technology": technology.model_copy(update={"noc": None})}),
            technology.file,
        )
    elif key.startswith("dram"):
        lacking, file = (
            chip.model_copy(update={"technology": technology.model_copy(update={"dram": None})}),
            technology.file,
        )
    elif is_memory(key):
        memories = {of: memory for of, memory in chip.memories.items() if not key.startswith(of)}
        lacking, file = chip.model_copy(update={"memories": memories}), chip.file
    else:
        empty = None if NEEDED_BY[key] == "division" else ()
        logic = technology.logic.model_copy(update={NEEDED_BY[key]: empty})
        lacking, file = (
            chip.model_copy(update={"technology": technology.model_copy(update={"logic": logic})}),
            technology.file,
        )
    row = Count(key, "fire", 0, (width,), 1.0)
    with pytest.raises(UserError) as caught:
        price([row], 0.0, {}, {}, lacking)
    assert file in str(caught.value)
    assert f"{key} was counted" in str(caught.value)
    with pytest.raises(UserError):
        price([*before, row], 0.0, {}, {}, lacking)  # whatever else was counted
