"""Do prices follow from their anchors, add up, and fail loudly where one is missing?"""

from __future__ import annotations

import math
from typing import Any

import pytest

from neurochip.chip import Chip, Memory, load_chip, load_technology
from neurochip.cost import check_capacity, clock_price, leakage_mw, price, unit_price
from neurochip.cost.interpolation import weakest
from neurochip.cost.logic import operation_price
from neurochip.cost.sram import leakage_per_bit, leaking_bits, macro_price
from neurochip.counters import MEMORIES, OPERATIONS, Count
from neurochip.errors import UserError

CHIP = load_chip("ottt-core-28nm")
TECH = CHIP.technology
LOGIC_V = 0.9  # supply of the logic anchors


def with_technology(**changes: Any) -> Chip:
    return CHIP.model_copy(update={"technology": TECH.model_copy(update=changes)})


def with_logic(**changes: Any) -> Chip:
    return with_technology(logic=TECH.logic.model_copy(update=changes))


def bank(words: int, ports: str = "1rw", banks: int = 1, storage: str = "sram") -> Memory:
    return Memory(storage=storage, banks=banks, bank_words=words, ports=ports, read_latency_cycles=1)


# ---- the sum ----------------------------------------------------------------------------------------------------

COUNTS = [
    Count("synapse_read", "deliver", 0, (128,), 100.0),
    Count("synapse_read", "error", 1, (128,), 20.0),
    Count("synapse_write", "update", 0, (128,), 30.5),
    Count("event_fifo_write", "deliver", 0, (12,), 7.0),
    Count("dram_read", "history", 0, (64,), 2.0),
    Count("ac", "deliver", 0, (8, 16), 1600.0),
    Count("mac", "error", 1, (8, 8, 24), 320.0),
    Count("lut", "fire", 0, (4,), 128.0),
    Count("history_write", "history", 0, (128,), 0.0),
]


def test_price_of_hand_made_counts() -> None:
    energy = price(COUNTS, 900.0, {"synapse": 1025 * 128, "trace": 0}, {"synapse": 128}, CHIP)
    # a 128-bit macro of 1024 words is 16 kB; log-log from 22 to 32 nm; (0.9 / 0.6)^2 = 2.25
    share = _share(22, 28, 32)
    read = 2.25 * (0.355 * 16**0.626) ** (1 - share) * (0.544 * 16**0.629) ** share
    assert energy.by_memory["synapse"] == pytest.approx(120 * read + 30.5 * 1.22 * read)
    assert energy.by_memory["dram"] == pytest.approx(2 * 64 * 20.3)
    # adders between 7 and 45 nm
    share = _share(7, 28, 45)
    add_8, add_32 = 0.007 ** (1 - share) * 0.03**share, 0.03 ** (1 - share) * 0.1**share
    mul_8 = 0.07 ** (1 - share) * 0.2**share
    assert energy.by_operation["ac"] == pytest.approx(1600 * (add_8 + (add_32 - add_8) / 3))
    assert energy.by_operation["mac"] == pytest.approx(320 * (mul_8 + add_8 + (add_32 - add_8) * 2 / 3))
    # registers: 40 nm anchor moved by the 32-bit adder
    add_40 = 0.03 ** (1 - _share(7, 40, 45)) * 0.1 ** _share(7, 40, 45)
    assert energy.by_memory["event_fifo"] == pytest.approx(7 * 12 * 0.009 * add_32 / add_40)
    assert energy.clock_pj == pytest.approx(900 * 4.5 * (0.9 / 0.5) ** 2)
    assert energy.latency_us == pytest.approx(6.0)  # 900 cycles at 150 MHz
    # 1025 words need two banks of 1024 x 128 bits: 262144 bits * 0.3 nW * 6 us = 471.9 pJ
    assert energy.leakage_pj == pytest.approx(2 * 1024 * 128 * 0.3 * 6.0 * 1e-3)
    assert energy.by_phase["deliver"] == pytest.approx(
        100 * read + energy.by_memory["event_fifo"] + energy.by_operation["ac"]
    )
    assert "history" not in energy.by_memory  # counted 0 times


def _share(low: float, node: float, high: float) -> float:
    return math.log(node / low) / math.log(high / low)


def test_parts_add_up_to_the_total() -> None:
    energy = price(COUNTS, 900.0, {"synapse": 10**6}, {"synapse": 128}, CHIP)
    leaves = sum(energy.by_memory.values()) + sum(energy.by_operation.values())
    assert sum(energy.by_layer.values()) == pytest.approx(leaves, rel=1e-12)
    in_layer_1 = [count for count in COUNTS if count.layer == 1]
    assert energy.by_layer[1] == pytest.approx(
        sum(count.number * unit_price(count.key, count.widths_bits, CHIP).pj for count in in_layer_1)
    )
    in_order = 0.0
    for part in (*energy.by_memory.values(), *energy.by_operation.values(), energy.clock_pj, energy.leakage_pj):
        in_order += part
    assert energy.total_pj == in_order
    assert sum(energy.by_phase.values()) == pytest.approx(leaves, rel=1e-12)
    assert sum(energy.by_kind.values()) == pytest.approx(energy.total_pj, rel=1e-12)
    assert energy.by_kind["assumed"] == pytest.approx(energy.by_operation["lut"] + energy.leakage_pj)
    assert energy.by_kind["measured"] == 0.0  # no default price is a measurement


def test_kinds_follow_the_weakest_number() -> None:
    assert weakest("measured", "assumed", "model") == "assumed"
    assert weakest("measured", "simulated") == "simulated"
    measured = [
        anchor.model_copy(update={"energy": anchor.energy.model_copy(update={"kind": "measured"})})
        for anchor in TECH.logic.add
    ]
    chip = with_logic(add=tuple(measured))
    assert operation_price("add", (8,), chip.technology, LOGIC_V, 45).kind == "measured"
    assert operation_price("add", (9,), chip.technology, LOGIC_V, 45).kind == "model"
    assert operation_price("add", (8,), chip.technology, LOGIC_V, 28).kind == "model"
    assert operation_price("add", (8,), chip.technology, 0.8, 45).kind == "model"


def test_everything_that_can_be_counted_has_a_price() -> None:
    for memory in MEMORIES:
        for access in ("read", "write"):
            assert unit_price(f"{memory}_{access}", (128,), CHIP).pj > 0
    for operation in OPERATIONS:
        assert unit_price(operation, (8, 8), CHIP).pj > 0


def test_nothing_costs_nothing() -> None:
    nothing = price([], 0.0, {}, {}, CHIP)
    assert (nothing.total_pj, nothing.low_pj, nothing.high_pj, nothing.energy_delay_pj_us) == (0.0, 0.0, 0.0, 0.0)
    assert nothing.average_power_mw is None


def test_power_and_energy_delay_product_follow_from_energy_and_latency() -> None:
    energy = price(COUNTS, 900.0, {}, {}, CHIP)
    assert energy.latency_us == pytest.approx(6.0)
    assert energy.average_power_mw == pytest.approx(energy.total_pj / 6.0 / 1000)  # pJ/us = uW
    assert energy.energy_delay_pj_us == pytest.approx(energy.total_pj * 6.0)


def test_the_interval_is_the_energy_at_the_ends_of_every_spread() -> None:
    dram = price([Count("dram_read", "history", 0, (64,), 2.0)], 0.0, {}, {}, CHIP)
    assert (dram.low_pj, dram.high_pj) == (pytest.approx(128 * 20.3), pytest.approx(128 * 40.6))  # stated bounds
    clock = price([], 10.0, {}, {}, CHIP)
    assert clock.low_pj == pytest.approx(clock.total_pj / 1.3)  # a model without stated bounds
    assert clock.high_pj == pytest.approx(clock.total_pj * 1.3)
    look_up = price([Count("lut", "fire", 0, (6, 4), 5.0)], 0.0, {}, {}, CHIP)
    assert look_up.high_pj == pytest.approx(look_up.total_pj * 2)  # an assumption


def test_a_hop_is_priced_per_bit_and_with_the_supply_of_the_mesh() -> None:
    assert unit_price("hop", (32,), CHIP).pj == pytest.approx(32 * 0.0719 * (0.9 / 0.775) ** 2)
    assert unit_price("hop", (24,), CHIP).kind == "model"


def test_clock_energy_moves_with_the_node_and_is_then_assumed() -> None:
    moved = clock_price(CHIP.model_copy(update={"technology": load_technology("22nm")}))
    assert moved.pj == pytest.approx(clock_price(CHIP).pj * (22 / 28) ** 0.647036)
    assert moved.kind == "assumed"


def test_other_lane_counts_scale_the_clock_and_are_assumed() -> None:
    wide = clock_price(CHIP.model_copy(update={"lanes": 32}))
    assert wide.pj == pytest.approx(2 * clock_price(CHIP).pj)
    assert (clock_price(CHIP).kind, wide.kind) == ("model", "assumed")


# ---- missing prices ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chip", "count", "message"),
    [
        (
            with_logic(mul=()),
            Count("mac", "error", 0, (8, 8), 1),
            r"28nm\.toml: logic\.mul is missing.*mac was counted on ottt-core-28nm",
        ),
        (
            with_logic(node_exponent=None),
            Count("shift", "fire", 0, (16,), 1),
            r"28nm\.toml: logic\.node_exponent is missing",
        ),
        (with_technology(noc=None), Count("hop", "deliver", 0, (32,), 1), r"28nm\.toml: noc\.hop is missing.*hop was"),
        (with_logic(add=()), Count("compare", "fire", 0, (16,), 1), r"28nm\.toml: logic\.add is missing"),
        (with_logic(division=None), Count("div", "error", 0, (8,), 1), r"logic\.division is missing"),
        (with_logic(lut=()), Count("lut", "fire", 0, (4,), 1), r"logic\.lut is missing"),
        (with_logic(register_=()), Count("event_fifo_read", "fire", 0, (9,), 1), r"logic\.register is missing"),
        (with_technology(sram=None), Count("trace_read", "trace", 0, (9,), 1), r"28nm\.toml: sram is missing"),
        (with_technology(dram=None), Count("dram_read", "history", 0, (9,), 1), r"28nm\.toml: dram\.energy is missing"),
        (
            CHIP.model_copy(update={"memories": {}}),
            Count("gradient_read", "apply", 0, (384,), 1),
            r"ottt-core-28nm\.toml: memories\.gradient is missing, but gradient_read was counted",
        ),
    ],
)
def test_a_count_without_a_price_is_an_error_that_names_it(chip: Chip, count: Count, message: str) -> None:
    with pytest.raises(UserError, match=message):
        price([count], 0.0, {}, {}, chip)


def test_missing_clock_leakage_and_macro_prices_are_errors() -> None:
    with pytest.raises(UserError, match=r"clock_energy is missing"):
        price([], 1.0, {}, {}, CHIP.model_copy(update={"clock_energy": None}))
    assert TECH.sram is not None
    leakless = with_technology(sram=TECH.sram.model_copy(update={"leakage": ()}))
    with pytest.raises(UserError, match=r"sram_leakage is missing, and .*28nm\.toml has no sram\.leakage"):
        price([], 1.0, {"trace": 8}, {"trace": 128}, leakless.model_copy(update={"sram_leakage": None}))
    with pytest.raises(UserError, match=r"register\.leakage is missing"):
        price([], 1.0, {"event_fifo": 8}, {"event_fifo": 12}, with_technology(register_=None))
    with pytest.raises(UserError, match=r"memories\.gradient is missing, but 8 bits of it are used"):
        price([], 1.0, {"gradient": 8}, {"gradient": 8}, CHIP.model_copy(update={"memories": {}}))
    no_macros = with_technology(sram=TECH.sram.model_copy(update={"macros": ()}))
    with pytest.raises(UserError, match=r"sram\.macros has no anchor of 128 bits"):
        unit_price("synapse_read", (128,), no_macros)


# ---- leakage and capacity ---------------------------------------------------------------------------------------


def test_leaking_bits_are_whole_banks_of_whole_macros() -> None:
    memory = bank(1024, banks=4)
    assert leaking_bits(0, 128, memory) == 0
    assert leaking_bits(1, 128, memory) == leaking_bits(1024, 128, memory) == 1024 * 128
    assert leaking_bits(1025, 128, memory) == 2 * 1024 * 128
    assert leaking_bits(1, 96, memory) == 1024 * 128  # 96 bits lie in a 128-bit macro
    assert leaking_bits(1, 12, bank(16, storage="register")) == 16 * 12
    assert leakage_mw({"synapse": 512 * 1024 * 8}, {"synapse": 128}, CHIP) == pytest.approx(512 * 8192 * 0.3e-6)


def test_a_chip_without_its_own_sram_leakage_takes_that_of_its_technology() -> None:
    own = leakage_per_bit(CHIP.memories["synapse"], CHIP)
    assert (own.value, own.kind) == (0.3, "assumed")
    from_technology = leakage_per_bit(CHIP.memories["synapse"], CHIP.model_copy(update={"sram_leakage": None}))
    share = _share(22, 28, 45)  # 32 nm, where CACTI's figure is an anomaly, is no anchor
    assert from_technology.value == pytest.approx(0.88 ** (1 - share) * 0.64**share)
    assert from_technology.kind == "model"


def test_a_network_that_does_not_fit_is_refused_or_grown() -> None:
    assert check_capacity({"synapse": 32768, "error": 0}, CHIP).added_banks == {}
    message = (
        r"memories\.synapse holds 32768 words \(32 x 1024\) but 32769 are needed; .*"
        r"set chip\.overflow = \"grow\" or \"dram\", set banks = 33 in a copy of the chip file"
    )
    with pytest.raises(UserError, match=message):
        check_capacity({"synapse": 32769}, CHIP)
    grown = check_capacity({"synapse": 34817, "trace": 5}, CHIP.model_copy(update={"overflow": "grow"}))
    assert grown.added_banks == {"synapse": 3}  # 34817 = 34 * 1024 + 1
    assert grown.chip.memories["synapse"].words == 35 * 1024
    assert CHIP.memories["synapse"].banks == 32
    with pytest.raises(UserError, match=r"memories\.gradient is missing, but 3 words"):
        check_capacity({"gradient": 3}, CHIP.model_copy(update={"memories": {}}))


# ---- silicon ----------------------------------------------------------------------------------------------------


def test_clock_energy_is_what_reckon_leaves_after_its_sram_accesses() -> None:
    # One synaptic operation a cycle at 0.5 V, 5.3 pJ: half a 2 kB neuron word read and written, 1/16 of a 64 kB word.
    neuron = [macro_price(128, 128, access, TECH, 0.5).pj for access in ("read", "write")]
    sram_pj = 0.5 * sum(neuron) + macro_price(128, 4096, "read", TECH, 0.5).pj / 16
    assert CHIP.clock_energy is not None
    assert CHIP.clock_energy.energy.value == pytest.approx(5.3 - sram_pj, abs=0.05)


def test_reckons_learning_energy_lies_between_without_and_with_its_arithmetic() -> None:
    # Not used for any price: 178 - 42 = 136 nJ a step at 0.5 V for 8704 cycles and 8192 reads and writes of 64 kB.
    accesses = sum(macro_price(128, 4096, access, TECH, 0.5).pj for access in ("read", "write"))
    without_nj = (8192 * accesses + 8704 * 4.5) / 1000
    each = [((16, 12), "mul"), ((28, 5), "mul"), ((8,), "add")]
    with_nj = without_nj + 131072 * sum(operation_price(op, w, TECH, 0.5).pj for w, op in each) / 1000
    assert without_nj < 136 < with_nj
    assert without_nj > 0.85 * 136
    assert with_nj < 1.15 * 136


def test_cost_never_writes_to_the_chip() -> None:
    before = CHIP.model_dump_json()
    price(COUNTS, 900.0, {"synapse": 10**6}, {"synapse": 128}, CHIP)
    check_capacity({"synapse": 10**6}, CHIP.model_copy(update={"overflow": "grow"}))
    assert CHIP.model_dump_json() == before
