"""Does the page say of a number what it rests on, and nothing that it does not?"""

from __future__ import annotations

from typing import Any

import pytest
import report_fixture as given

from neurochip.report.glance import bars, pairs
from neurochip.report.origins import column_tips, prices_of, shares, tip
from neurochip.report.stream import STREAM
from neurochip.report.table import HEADLINE, PRICE, STALLS, background, by_rule


@pytest.fixture
def report() -> dict[str, Any]:
    made: dict[str, Any] = given.make_report()
    return made


def tips_of(report: dict[str, Any], rule: str) -> dict[tuple[str, str], str]:
    results = next(one for one in by_rule(report) if one.rule == rule)
    columns = (*HEADLINE, *background(report), *PRICE, *STALLS)
    return {column.title: said for column, said in zip(columns, column_tips(columns, results, report), strict=True)}


def test_an_energy_names_the_kinds_of_its_prices_and_its_spread(report: dict[str, Any]) -> None:
    for result in report["results"]:
        if result["per_sample"]:
            result["per_sample"]["energy_pj"] |= {"low": 150_000.0, "high": 450_600.0}
    tips = tips_of(report, "ottt-o")
    assert tips["energy", "nJ"].startswith("ottt-o, energy: 313 nJ. Energy per sample")
    assert tips["energy", "nJ"].endswith("Kind: 66.4 % model, 25.2 % simulated, 6.3 % assumed, 2.1 % measured.")
    assert "150 to 451 nJ" in tips["energy", "nJ"]
    assert "÷ clock of 150 MHz (a published core)" in tips["latency", "µs"]
    assert tips["latency", "µs"].endswith("clock model.")
    assert "counted exactly" in tips["accesses", "k"]
    assert "cost of ottt-o ÷ cost of bptt-o" in tips["energy", "×BPTT"]
    assert tips["calibrated", "nJ"] == ""  # there is no such number


def test_estimated_cycles_are_not_called_exact(report: dict[str, Any]) -> None:
    assert "all samples. Kind: counted exactly by this run." in tips_of(report, "ottt-o")["cycles", "k"]
    for result in report["results"]:
        if result["per_sample"]:
            result["per_sample"]["cycles_sampled"] = {"n_recorded": 64, "n_samples": 1197, "half_width": 3.0}
    said = tips_of(report, "ottt-o")["cycles", "k"]
    assert "estimated from 64 of 1,197 samples" in said and "exact" not in said


def test_numbers_priced_again_say_so(report: dict[str, Any]) -> None:
    entry = {"rule": "ottt-o", "method": "ratio", "n_recorded": 8, "n_samples": 90}
    report["repriced"] = {"from": "first", "results": [entry]}
    tips = tips_of(report, "ottt-o")
    for title in (("energy", "nJ"), ("latency", "µs"), ("accesses", "k")):
        assert "priced again from the run first (method ratio, 8 of 90 samples recorded)" in tips[title]
    assert "exactly" not in tips["accesses", "k"]


def test_a_part_names_its_own_prices_only(report: dict[str, Any]) -> None:
    unit = {"value": 1.0, "unit": "pJ"}
    report["chip"]["provenance"] = [
        {"key": "technology.logic.register[40 nm, 1 bits].energy", "source": "D", "kind": "simulated", **unit},
        {"key": "technology.logic.add[45 nm, 8 bits].energy", "source": "A", "kind": "model", **unit},
        {"key": "technology.logic.add[45 nm, 8 bits].area", "source": "B", "kind": "assumed", **unit},
        {"key": "technology.sram.macros[22 nm, 32 bits].coefficient", "source": "C", "kind": "model", **unit},
    ]
    assert prices_of("ac", report) == ("technology.logic.add under Physical numbers: A", "model")
    source, kind = prices_of("synapse", report)
    assert source.endswith("technology.logic.register under Physical numbers: C (and 1 more)")
    assert kind == "model, simulated"
    assert prices_of("dram", report)[1] == "as stated there"
    # Only kinds of which the total has a share; "simulated" is a kind of price and of nothing else.
    assert prices_of("synapse", report, {"model": 3.0, "simulated": 0.0})[1] == "model"
    assert prices_of("ac", report, {"model": 0.0, "assumed": 1.0})[1] == "model"
    assert not any("simulated" in tips_of(report, "ottt-o")[title] for title in (("test", "%"), ("cycles", "k")))


def test_every_column_has_an_origin_and_a_cell_without_a_number_has_none(report: dict[str, Any]) -> None:
    for rule in given.RULES:
        for title, said in tips_of(report, rule).items():
            assert said == "" or ("Source: " in said and "Kind: " in said), title
    assert tips_of(report, "infer")["energy", "×BPTT"] == ""
    assert tip("a", "–", "nJ", "", ("b", "c")) == ""
    assert shares({"model": 0.0}, 0.0) == "none: the total is 0"
    assert all(column.title[1] for column in STREAM)


def test_the_glance_sets_each_rule_beside_the_bptt_of_its_group(report: dict[str, Any]) -> None:
    found = {(pair["rule"], pair["baseline"]): pair["cells"] for pair in pairs(report)}
    assert list(found) == [("ottt-o", "bptt-o"), ("ottt-a", "bptt")]
    energy, latency, memory, accuracy = found["ottt-o", "bptt-o"]
    assert (energy["large"], energy["small"], energy["class"]) == ("2.64 ×", "313 against 118 nJ", "worse")
    assert latency["large"] == "2.25 ×"
    assert (memory["large"], memory["class"]) == ("0.965 ×", "better")
    assert (accuracy["large"], accuracy["class"]) == ("+0.3 pt", "better")
    assert [chart["title"] for chart in bars(report)] == ["energy", "latency", "memory", "test accuracy"]
    assert [bar["width"] for bar in bars(report)[0]["bars"]] == ["6.1", "46.5", "17.6", "100.0", "63.0"]
    assert bars(given.make_report(results=[given.float_result("ottt-o")])) == []
    assert pairs(given.make_report(results=[given.fixed_result("ottt-o")])) == []
