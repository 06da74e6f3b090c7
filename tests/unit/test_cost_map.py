"""A map: every point is what `cost` says of it; winners, borders and what moves them; points that do not fit; axes."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pytest

from neurochip.cost_map import CSV_COLUMNS, cost_map, map_csv
from neurochip.errors import UserError
from neurochip.estimate import Asked, cost_from_rates
from neurochip.listener import Silent
from neurochip.map_axes import Axis, at_point, default_sheets, nonzero_codes, parse_axis, position
from neurochip.map_borders import cheapest, crossings, interpolated, verdicts
from neurochip.map_point import METRICS
from neurochip.network.named import named_network
from neurochip.report.map_lines import side
from neurochip.report.map_plot import _moves, border_lines

SIZES = "40-20-4"
RULES = ('run.rules=["sltt-o","ottt-o","bptt-o","ottt-a","bptt"]',)
FEW = Asked(n_samples=2)
Numbers = dict[str, Any]


class Unpriced(Silent):
    """Fails as soon as a point is priced."""

    def begin(self, *_: object) -> None:
        raise AssertionError("a point was about to be priced")


def point_of(document: Numbers, **settings: Any) -> Numbers:
    """The point with these settings."""
    found: list[Numbers] = [
        point for point in document["points"] if all(point["settings"][key] == value for key, value in settings.items())
    ]
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def grid() -> Numbers:
    """Two by two by two points of a tiny network."""
    axes = [parse_axis(text) for text in ("steps=2,6", "rate=0.05,0.2", "precision.trace.bits=3,8")]
    return cost_map(SIZES, RULES, axes, FEW)


def test_every_point_of_a_grid_is_what_cost_says_of_it_to_the_digit(
    grid: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurochip.estimate_document.sensitivity", lambda rules: {})  # no number of a map is in it
    assert len(grid["points"]) == 8
    for point in grid["points"]:
        at = point["settings"]
        changes = (f"task.steps={at['steps']}", f"precision.trace.bits={at['precision.trace.bits']}")
        network = named_network(SIZES, (*RULES, *changes))
        alone = cost_from_rates(network, Asked(rates=(at["rate"],), n_samples=2))
        assert list(point["rules"]) == [result["rule"] for result in alone["results"]]
        for result in alone["results"]:
            entry = point["rules"][result["rule"]]
            assert entry["energy_pj"] == result["per_sample"]["energy_pj"]["total"]
            assert entry["latency_cycles"] == result["per_sample"]["cycles"]
            assert entry["energy_delay_pj_us"] == result["per_sample"]["energy_delay_pj_us"]
            assert entry["memory_bits"] == result["footprint_bits"]["total"]
            against = result["ratio_to_bptt"]
            if against is not None and result["rule"] != against["baseline"]:
                for metric, key in (("energy_pj", "energy"), ("memory_bits", "footprint")):
                    ratio = point["cheapest"][metric]["ratio_to_bptt"][result["rule"]]
                    assert ratio == pytest.approx(against[key], rel=1e-12)
        assert point["steps_history_equals_weights"] == alone["history"]["steps_history_equals_weights"]


def test_width_and_per_layer_rates_reach_the_network() -> None:
    axes = [parse_axis("width=10,x2,30"), parse_axis("rate=0.1:0.3,x1")]
    document = cost_map(SIZES, ('run.rules=["ottt-o"]',), axes, FEW)
    for width, neurons in ((10, 10), ("x2", 40), (30, 30)):
        network = named_network(f"40-{neurons}-4", ('run.rules=["ottt-o"]',))
        expected = cost_from_rates(network, Asked(n_samples=1))["results"][0]["footprint_bits"]["total"]
        point = point_of(document, width=width, rate=[0.1, 0.3])
        assert point["rules"]["ottt-o"]["memory_bits"] == expected
        assert point["rate"] == [0.1, 0.3]
        assert point_of(document, width=width, rate="x1")["rate"] == [0.1, 0.1]


def test_the_share_of_surrogates_follows_the_codes_that_are_not_0() -> None:
    codes = {}
    for surrogate in ("sigmoid", "triangle", "rectangle"):
        network, asked = at_point(SIZES, (), FEW, {"learning.surrogate": surrogate})
        codes[surrogate] = nonzero_codes(network.experiment)
        assert asked.psi == pytest.approx(0.4 * codes[surrogate] / codes["sigmoid"])
    assert codes == {"sigmoid": 38, "triangle": 32, "rectangle": 16}  # |u - theta| < 1.1875, 1 and 0.5, by 1/16
    _, asked = at_point(SIZES, (), FEW, {"learning.surrogate": "rectangle", "psi": 0.3})
    assert asked.psi == 0.3
    _, asked = at_point(SIZES, ("learning.surrogate=rectangle",), Asked(psi=0.9), {"learning.surrogate": "sigmoid"})
    assert asked.psi == 1.0


def test_the_first_place_is_shared_by_equal_values() -> None:
    assert cheapest({"a": 3.0, "b": 2.0, "c": 2.0, "d": None}) == {
        "rules": ["b", "c"], "value": 2.0, "next": "a", "factor": 1.5, "draw": True,
    }  # fmt: skip
    assert cheapest({"a": 2.0, "b": 2.0}) == {
        "rules": ["a", "b"], "value": 2.0, "next": None, "factor": None, "draw": True,
    }  # fmt: skip
    alone = cheapest({"a": 2.0, "b": 3.0})
    assert alone is not None
    assert (alone["rules"], alone["factor"], alone["draw"]) == (["a"], 1.5, False)
    assert cheapest({"a": None}) is None


def entry(value: float | None, group: str, baseline: str, temporal: str, why_not: str | None = None) -> Numbers:
    """A rule at a made-up point."""
    return {"m": value, "group": group, "baseline": baseline, "temporal": temporal, "why_not": why_not}


def test_verdicts_keep_groups_and_rules_that_do_not_fit_apart() -> None:
    entries = {
        "s": entry(1.0, "without", "b", "spike"),
        "o": entry(3.0, "without", "b", "trace"),
        "b": entry(2.0, "without", "b", "unroll"),
        "x": entry(0.5, "with", "y", "trace", "does not fit"),
        "y": entry(5.0, "with", "y", "unroll"),
    }
    found = verdicts(entries, "m")
    assert found["overall"]["rules"] == ["s"]
    assert found["through_time"]["rules"] == ["b"]
    assert found["through_time"]["factor"] == 1.5
    assert {group: one["rules"] for group, one in found["groups"].items()} == {"without": ["s"], "with": ["y"]}
    assert found["ratio_to_bptt"] == {"s": 0.5, "o": 1.5, "x": None}


def test_a_border_is_where_the_log_linear_line_passes_1() -> None:
    assert interpolated(10.0, 1000.0, 0.5, 2.0) == pytest.approx(100.0)
    assert interpolated(2.0, 8.0, 1 / 4, 2.0) == pytest.approx(2.0 * 4.0 ** (2 / 3))
    found = crossings([1.0, 10.0, 1000.0, 2000.0, 4000.0], [0.5, 0.5, 2.0, None, 0.7])
    assert [(one["index"], one["how"]) for one in found] == [(1, "interpolated"), (2, "fits"), (3, "fits")]
    assert found[0]["at"] == pytest.approx(100.0)
    assert math.isclose(found[0]["before"], 0.5)
    assert found[1]["at"] is None
    assert crossings([1.0, 2.0, 3.0], [1.0, 1.5, 1.1]) == []


def test_the_border_of_the_memory_in_steps_is_exact_and_moves_with_the_width() -> None:
    axes = [parse_axis("steps=1,64"), parse_axis("width=8,20,30")]
    overrides = (*RULES, "precision.trace.bits=16")  # large traces, so that the border lies beyond the first steps
    document = cost_map(SIZES, overrides, axes, Asked(n_samples=1))
    borders = [
        one for one in document["borders"]
        if one["metric"] == "memory_bits" and one["rule"] == "ottt-o" and one["axis"] == "steps"
    ]  # fmt: skip
    assert [one["fixed"]["width"] for one in borders] == [8, 20, 30]
    assert all(one["how"] == "exact" for one in borders)
    for border in borders:
        for steps, less in ((border["at"] - 1, False), (border["at"], True)):
            one = cost_map(SIZES, overrides, [Axis("steps", (steps,)), Axis("width", (border["fixed"]["width"],))], FEW)
            rules = one["points"][0]["rules"]
            assert (rules["ottt-o"]["memory_bits"] < rules["bptt-o"]["memory_bits"]) == less
    moved = [one for one in document["moves"] if one["metric"] == "memory_bits" and one["rule"] == "ottt-o"]
    assert [row["borders"][0]["at"] for row in moved] == [one["at"] for one in borders]
    assert borders[0]["at"] > borders[-1]["at"]  # a wider layer stores more history per step, and no more input traces


def test_a_rule_that_does_not_fit_is_recorded_and_cannot_win() -> None:
    axes = [parse_axis("steps=2,4000"), parse_axis("chip.overflow=refuse,grow")]
    document = cost_map(SIZES, ('run.rules=["ottt-o","bptt-o"]',), axes, Asked(n_samples=1))
    refused = point_of(document, steps=4000, **{"chip.overflow": "refuse"})
    assert refused["rules"]["bptt-o"]["why_not"].startswith("memories.history holds")  # no path of this machine
    assert refused["rules"]["bptt-o"]["energy_pj"] is None
    assert refused["rules"]["bptt-o"]["memory_bits"] > refused["rules"]["ottt-o"]["memory_bits"]
    assert refused["rules"]["ottt-o"]["energy_pj"] > 0
    for metric in METRICS:
        assert refused["cheapest"][metric]["overall"]["rules"] == ["ottt-o"]
        assert refused["cheapest"][metric]["ratio_to_bptt"] == {"ottt-o": None}
    grown = point_of(document, steps=4000, **{"chip.overflow": "grow"})
    assert grown["rules"]["bptt-o"]["why_not"] is None
    assert [one["how"] for one in document["borders"] if one["fixed"] == {"chip.overflow": "refuse"}].count("fits") == 4


def test_a_map_of_nothing_but_refusals_is_refused() -> None:
    with pytest.raises(UserError, match="no rule can run at any point"):
        cost_map("3000-800-10", ("chip.overflow=refuse",), [parse_axis("steps=2")], FEW)


def test_csv_and_json_hold_the_same_numbers(grid: Numbers) -> None:
    again = json.loads(json.dumps(grid, allow_nan=False))
    assert again == grid
    rows = list(csv.DictReader(io.StringIO(map_csv(grid))))
    assert list(rows[0]) == ["steps", "rate", "precision.trace.bits", *CSV_COLUMNS]
    assert len(rows) == 8 * 5 * len(METRICS)
    for row in rows:
        keys = {"steps": int(row["steps"]), "rate": float(row["rate"])}
        point = point_of(grid, **keys, **{"precision.trace.bits": int(row["precision.trace.bits"])})
        assert float(row["value"]) == point["rules"][row["rule"]][row["metric"]]
        best = point["cheapest"][row["metric"]]
        assert (row["cheapest"] == "1") == (row["rule"] in best["overall"]["rules"])
        ratio = best["ratio_to_bptt"].get(row["rule"])
        assert row["ratio_to_bptt"] == ("" if ratio is None else str(ratio))
    assert sum(row["cheapest"] == "1" for row in rows) >= 8 * len(METRICS)


def test_infer_is_left_out_and_alone_refused() -> None:
    document = cost_map(SIZES, ('run.rules=["infer","ottt-o"]',), [parse_axis("steps=2")], FEW)
    assert [rule["name"] for rule in document["rules"]] == ["ottt-o"]
    with pytest.raises(UserError, match="--rules infer"):
        cost_map(SIZES, ('run.rules=["infer"]',), [parse_axis("steps=2")], FEW)


def test_the_default_map_goes_through_its_base_on_every_sheet() -> None:
    overrides = ('run.rules=["ottt-o","bptt-o"]', "task.steps=3", "learning.batch=2", "precision.trace.bits=5")
    document = cost_map("12-6-3", overrides, (), Asked(rates=(0.07,), n_samples=1))
    base = document["base"]
    assert (base["steps"], base["rate"], base["learning.batch"], base["precision.trace.bits"]) == (3, 0.07, 2, 5)
    assert base["chip.overflow"] == "grow"
    assert [sum(len(values) > 1 for values in sheet.values()) for sheet in document["sheets"]] == [2] * 8
    for sheet in document["sheets"][:-1]:
        assert all(base[key] in values for key, values in sheet.items())
    assert document["sheets"][-1]["chip.overflow"] == ["dram"]
    keys = {json.dumps(point["settings"], sort_keys=True) for point in document["points"]}
    assert len(keys) == len(document["points"])
    assert json.dumps(base, sort_keys=True) in keys


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps", "is not KEY=V1,V2"),
        ("=3", "is not KEY=V1,V2"),
        ("size=3", "--axis size: is not an axis"),
        ("run.seed=3", "--axis run.seed: is not an axis"),
        ("learning.rule=bptt", "--axis learning.rule: is not an axis"),
        ("steps=", "a value is missing"),
        ("steps=2,,3", "a value is missing"),
        ("steps=2,3,2", "the value 2 stands there twice"),
        ("steps=0", "--axis steps: 0 is not allowed; allowed are whole numbers"),
        ("steps=2.5", "--axis steps: 2.5 is not allowed"),
        ("rate=1.5", "--axis rate: 1.5 is not allowed; allowed are fractions"),
        ("rate=many", "--axis rate: many is not allowed"),
        ("psi=nan", "--axis psi: nan is not allowed"),
        ("width=x0", "--axis width: x0 is not allowed"),
        ("width=3.5", "--axis width: 3.5 is not allowed"),
        ("signal-steps=0.1:0.2:0.3", "--axis signal-steps: 0.1:0.2:0.3 is not allowed; allowed is one fraction"),
        ("rate=x1,x1.0", "the value x1.0 stands there twice"),
    ],
)
def test_a_bad_axis_is_one_sentence(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_axis(text)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        (["precision.trace.bits=8,99"], "--axis precision.trace.bits: precision.trace.bits = 99 is not allowed"),
        (["precision.trace.size=8"], "--axis precision.trace.size: precision.trace.size = 8 is not a known key"),
        (["learning.surrogate=round"], "--axis learning.surrogate: learning.surrogate = 'round' is not allowed"),
        (["chip.name=abacus"], "--axis chip.name: .*abacus"),
        (["width=3:4"], "^--axis width: 3:4 has 2 widths; allowed is one$"),
        (["steps=1,2,5", "rate=0.1,0.1:0.1:0.1"], "^--axis rate: 0.1:0.1:0.1 has 3 values; allowed is one, or one for"),
        (["steps=1,2", "psi=0.1,0.1:0.2"], "^--axis psi: 0.1:0.2 has 2 values; allowed is one, or"),
        (["steps=1,2", "signal=0.1,0.1:0.2:0.3"], "^--axis signal: 0.1:0.2:0.3 has 3 values; allowed are one or two"),
        (
            ["learning.loss_start=1,5", "steps=10,2"],
            "^--axis learning.loss_start=5, --axis steps=2: .*learning.loss_start = 5",
        ),
        (["steps=2", "steps=3"], "--axis steps is given twice"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_before_anything_is_priced(axes: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        cost_map(SIZES, RULES, [parse_axis(text) for text in axes], FEW, Unpriced())


def test_what_clashes_with_the_default_map_is_named_with_its_value() -> None:
    with pytest.raises(UserError, match=r"^--network 40-20-4 at steps=1: .*learning.loss_start = 5"):
        cost_map(SIZES, (*RULES, "learning.loss_start=5"), (), FEW, Unpriced())


def test_a_network_without_hidden_layers_has_no_width() -> None:
    with pytest.raises(UserError, match=r"^--axis width: --network 20-4 has no hidden layer; allowed are other axes"):
        cost_map("20-4", RULES, [parse_axis("width=x2,x1")], FEW, Unpriced())
    sheets, base = default_sheets(named_network("20-4", ()), FEW)
    assert "width" not in base
    assert all(axis.key != "width" for sheet in sheets for axis in sheet)


def test_the_border_of_a_picture_ignores_what_is_equal_within_2_percent() -> None:
    assert [side(ratio) for ratio in (0.97, 0.99, 1.0, 1.01, 1.03, None)] == [-1, 0, 0, 0, 1, None]
    assert border_lines([[1.00, 0.99, 1.01], [1.01, 0.999, 1.0]]) == []
    assert border_lines([[0.99, 1.01, 1.5], [0.9, 1.0, None]]) == [
        ([-0.5, 0.5], [0.5, 0.5]),  # between 0.99 and 0.9
        ([1.5, 1.5], [-0.5, 0.5]),  # between 1.01 and 1.5
        ([0.5, 0.5], [0.5, 1.5]),  # between 0.9 and 1.0
    ]
    assert border_lines([[0.9, 1.5]]) == [([0.5, 0.5], [-0.5, 0.5])]


def test_no_legend_of_the_curves_lies_in_a_panel_with_curves() -> None:
    axes = [parse_axis("steps=1,20,200"), parse_axis("precision.trace.bits=2,3,4,6,8,12")]
    document = cost_map("40-20-4", ('run.rules=["ottt-o","bptt-o"]',), axes, Asked(n_samples=1))
    figure = _moves(document)
    assert figure is not None
    legends = [(legend, panel) for panel in figure.axes if (legend := panel.get_legend()) is not None]
    assert [len(legend.get_texts()) for legend, _ in legends] == [6]
    assert all(not panel.lines for _, panel in legends)


def test_positions_of_values() -> None:
    assert [position(value) for value in (3, 0.5, "x2", "sigmoid", [1, 2], True)] == [3.0, 0.5, 2.0, None, None, None]
    assert Axis("rate", (0.0, 0.1)).positions is None
    assert Axis("width", ("x0.5", 2)).positions == (0.5, 2.0)
