"""Do the numbers of a sentence say their unit, source and kind, and do names stay names?"""

from __future__ import annotations

from typing import Any

import pytest
import report_fixture as given

from neurochip.report.sentences import header, verdict
from neurochip.report.told import always, header_told, of_changes, of_costs, told


@pytest.fixture
def report() -> dict[str, Any]:
    made: dict[str, Any] = given.make_report(sensitivity=given.sensitivity())
    return made


@pytest.mark.parametrize(
    ("sentence", "numbers"),
    [
        ("ottt-core-28nm runs 512-128-10 at s8.7 and 28nm.", []),
        ("It takes 1,234.5 nJ, 3 µs and 0.5 %.", ["1,234.5 nJ", "3 µs", "0.5 %"]),
        ("from 1 to 4,096, where 2e-05 and ±0.13 %", ["1", "4,096", "2e-05", "±0.13 %"]),
        ("the 99.9th of 8x8", []),
    ],
)
def test_numbers_by_themselves_are_found_and_the_sentence_stays(sentence: str, numbers: list[str]) -> None:
    pieces = told(sentence, "x", always("a", "b"))
    assert "".join(text for text, _ in pieces) == sentence
    assert [text for text, tip in pieces if tip] == numbers
    assert all(f"x: {text}" in tip and "Source: a. Kind: b." in tip for text, tip in pieces if tip)


@pytest.mark.parametrize(
    ("sentence", "meant"),
    [
        ("No T from 1 to 64", ["1 steps", "64 steps"]),
        ("at T* = 7 it ends", ["7 steps"]),
        ("prices 0.5 to 2 times as high", ["0.5 times", "2 times"]),
        ("11 of them", ["11 (a number)"]),
    ],
)
def test_a_unit_is_that_of_the_range_or_of_what_t_counts(sentence: str, meant: list[str]) -> None:
    assert [tip.partition(". ")[0] for _, tip in told(sentence, "x", always("a", "b")) if tip] == [
        f"x: {text}" for text in meant
    ]


def test_a_verdict_says_of_each_cost_what_the_tables_say(report: dict[str, Any]) -> None:
    tips = {text: tip for line in verdict(report) for text, tip in told(line, "verdict", of_costs(report)) if tip}
    assert tips["118 nJ"].endswith("Kind: 66.4 % model, 25.2 % simulated, 6.3 % assumed, 2.1 % measured.")
    assert "÷ clock of 150 MHz (a published core)" in tips["131 µs"]
    assert "shapes and word widths" in tips["549 kbit"]
    assert "1,137 training, 360 test samples" in tips["94.2 %"]
    assert (
        "cost of ottt-o ÷ cost of bptt-o. Kind: ratio of two costs; the energy of ottt-o: 66.4 % model"
        in tips["2.25 times"]
    )
    assert "priced again" in tips["32"]  # lanes that flip the order


def test_what_the_order_hangs_on_names_the_rule_and_its_kinds(report: dict[str, Any]) -> None:
    line = told("Energy of ottt-o over bptt-o: 2.64.", "x", of_changes(report))
    assert "priced again" in line[1][1] and "prices of the energy of bptt-o: 66.4 % model" in line[1][1]
    assert "Kind: computed by this run." in told("2.5 rows", "x", of_changes(report))[0][1]


def test_the_header_says_where_clock_voltage_and_shapes_are_from(report: dict[str, Any]) -> None:
    lines = {label: {text: tip for text, tip in pieces if tip} for label, pieces in header_told(header(report), report)}
    assert lines["chip"]["150 MHz"].endswith("Source: a published core. Kind: model.")
    assert lines["chip"]["0.9 V"].endswith("Source: design choice. Kind: assumed.")
    assert "360 test samples." in lines["task"]["360 test"]
    assert lines["history"]["463 steps"].endswith("Kind: calculated, exact.")
