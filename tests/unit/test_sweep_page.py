"""Does the page of a sweep say what its rows say, escape it, and fetch nothing?"""

from __future__ import annotations

import html
import html.parser
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from sweep_points_fixture import ARITHMETIC, BITS, COMMAND, ROUNDING, grid_points, point, result_of, summarised
from sweep_request import sweep_tiny
from tiny_experiment import write_tiny_task

from neurochip.report.sweep_page import FOLDED_FROM, page_text
from neurochip.report.sweep_plots import sweep_pictures
from neurochip.report.sweep_sentences import outstanding_lines, swept_sentence
from neurochip.report.table import number
from neurochip.sweep.point import Computed
from neurochip.sweep.summary import Summary
from neurochip.sweep.table import rows_of

MALICIOUS = "<script>alert('1')</script> \"><img src=x> $\\alpha$"


class Page(html.parser.HTMLParser):
    """Tags, attributes, and the cells of every table as texts; checks that tags are closed in order."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.tables: list[list[list[str]]] = []
        self.values: list[str] = []
        self._open: list[str] = []
        self._in_cell = False
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._in_cell = True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.tables[-1][-1][-1] += data


def page_of(summary: Summary) -> str:
    return page_text(summary, [])


def test_the_table_has_the_numbers_of_the_rows() -> None:
    points = grid_points()
    page = Page(page_of(summarised(points)))
    head, *lines = page.tables[0]
    assert len(lines) == 12
    rows = rows_of(points)
    for place, line in enumerate(lines):
        own, cell = rows[3 * place : 3 * place + 3], dict(zip(head, line, strict=True))
        tests = [row["accuracy_test"] for row in own]
        assert (cell["weight.bits"], cell["weight.rounding"]) == (str(own[0][BITS]), own[0][ROUNDING])
        assert cell["test%"] == f"{100 * fmean(tests):.1f}"
        assert (cell["lowest%"], cell["highest%"]) == (f"{100 * min(tests):.1f}", f"{100 * max(tests):.1f}")
        assert cell["energynJ"] == number(fmean(row["energy_pj"] for row in own) / 1e3, 4)
        assert cell["inferencenJ"] == number(fmean(row["energy_inference_pj"] for row in own) / 1e3, 4)
        assert cell["latencyµs"] == number(fmean(row["latency_us"] for row in own), 4)
        assert (cell["areamm²"], cell["memorykbit"]) == ("4.500", "142.2")
        assert (cell["trace% saturated"], cell["error% saturated"], cell["weight% saturated"]) == (
            "1.25",
            "<0.001",
            "25.0",
        )
        assert cell["error% rounded to 0"] == "3.30"
    values = [value for name, value in page.attributes if name == "data-value"]
    assert repr(fmean(row["accuracy_test"] for row in rows[:3])) in values
    assert [line[head.index("setting")] for line in lines][:2] == ["bits 2, floor", "bits 2, nearest"]
    assert head.index("setting") == 0 and head.index("test%") == 1 and head[-2:] == ["weight.bits", "weight.rounding"]


def test_every_number_says_its_setting_unit_source_and_kind_without_a_script() -> None:
    kinds = {"energy_pj": {"model": 75.0, "assumed": 25.0}, "energy_inference_pj": None, "area_mm2": {"measured": 1.0}}
    points = [replace(one, computed=Computed({**one.computed.result, "by_kind": kinds})) for one in grid_points((2, 3))
              if one.computed.result is not None]  # fmt: skip
    tips = [value for name, value in Page(page_of(summarised(points))).attributes if name == "data-tip"]
    cells = [tip for tip in tips if tip.startswith("weight.bits = 2, weight.rounding = nearest; ")]
    by_title = {tip.partition("; ")[2].partition(":")[0]: tip for tip in cells}
    assert re.search(r"energy: [\d.,]+ nJ\. Per learned sample", by_title["energy"])
    assert re.search(r"Source: .* prices on ottt-core-28nm.*; mean over seeds 1, 2, 3\.", by_title["energy"])
    assert by_title["energy"].endswith("Kind: 75.0 % model, 25.0 % assumed.")
    assert "4.500 mm²" in by_title["area"] and by_title["area"].endswith("Kind: 100.0 % measured.")
    assert "neurochip chips --show" in by_title["inference"]  # a point without kinds
    assert by_title["weight.bits"].endswith("Source: the keys of this sweep. Kind: given.")
    row = Page(page_of(summarised(points))).tables[0][2]
    assert row[0] == "bits 2, nearest"
    assert len(cells) == sum(bool(text) for text in row[1:]) + 1  # and its format


def test_kinds_of_seeds_are_averaged_and_absent_ones_are_none() -> None:
    results = [
        result_of(0.9, 4.0, by_kind={"energy_pj": {"model": one, "assumed": 1.0}, "area_mm2": None})
        for one in (1.0, 3.0)
    ]
    summary = summarised([point({BITS: 4, "run.seed": seed}, result) for seed, result in enumerate(results)])
    assert summary["settings"][0]["by_kind"] == {"energy_pj": {"model": 2.0, "assumed": 1.0}, "area_mm2": {}}
    assert summarised(grid_points((2,), (1,)))["settings"][0]["by_kind"] == {}


def test_it_names_the_best_the_cheapest_within_a_point_and_the_knee() -> None:
    points = [
        point({BITS: bits, "run.seed": seed}, result_of(test + seed / 1000, energy, seed))
        for bits, test, energy in ((2, 0.20, 1e5), (4, 0.945, 2e5), (6, 0.952, 9e5), (7, 0.60, 5e5))
        for seed in (0, 2)
    ]
    summary = summarised(points)
    assert outstanding_lines(summary) == [
        ("best", "weight.bits = 6: 95.3 % test (95.2 to 95.4 over 2 seeds), 900 nJ per learned sample."),
        (
            "cheapest within 1 point",
            "weight.bits = 4: 94.6 % test (94.5 to 94.7 over 2 seeds), 200 nJ per learned sample.",
        ),
        ("knee of the front", "weight.bits = 4: 94.6 % test (94.5 to 94.7 over 2 seeds), 200 nJ per learned sample."),
    ]
    text = html.unescape(page_of(summary))
    for label, sentence in outstanding_lines(summary):
        (behind,) = re.findall(f"<dt>{label}</dt><dd tabindex=.0. data-tip=.(.*).>{re.escape(sentence)}</dd>", text)
        assert behind.startswith("Accuracy: source: seeds 0, 2 of this setting, predictions for the test split of ")
        assert "Energy: source: sum of accesses" in behind and behind.count("; kind: ") == 2
    assert swept_sentence(summary) == (
        "precision.weight.bits over 2, 4, 6, 7; all combinations; seeds 0, 2: 4 settings, 8 points."
    )
    assert swept_sentence(summary) in text and COMMAND in text and "ottt-core-28nm" in text
    head, *lines = Page(text).tables[0]
    assert [line[head.index("front")] for line in lines] == ["yes", "yes", "yes", ""]


def test_area_is_a_third_axis_of_the_second_front() -> None:
    points = [
        point({BITS: bits}, result_of(test, energy, area_mm2=area))
        for bits, test, energy, area in ((2, 0.9, 1e5, 5.0), (4, 0.8, 2e5, 4.0), (6, 0.8, 3e5, 4.0), (8, 0.7, 4e5, 3.0))
    ]
    head, *lines = Page(page_of(summarised(points))).tables[0]
    assert [line[head.index("front")] for line in lines] == ["yes", "", "", ""]
    assert [line[head.index("frontwith area")] for line in lines] == ["yes", "yes", "", "yes"]


def test_a_setting_of_which_a_seed_failed_is_shown_but_does_not_stand_out() -> None:
    points = grid_points((2, 5))
    best = summarised(points)["best"]
    assert best is not None
    failed = replace(points[3 * best], computed=Computed(error=MALICIOUS))
    points[3 * best] = failed
    summary = summarised(points)
    assert summary["best"] != best and best not in summary["front"]
    text = page_of(summary)
    head, *lines = Page(text).tables[0]
    column = head.index("failedseeds")
    assert [line[column] for line in lines] == ["1" if place == best else "" for place in range(6)]
    assert f"<b>1 point:</b> {html.escape(MALICIOUS, quote=False)}".split("alert")[0] in text
    assert f"{ROUNDING} = stochastic, run.seed = 1" in text
    assert "of which 1 failed" in text


def test_a_sweep_of_which_all_failed_has_a_page_of_errors() -> None:
    summary = summarised([point({BITS: bits}, None, f"{bits} is too much") for bits in (98, 99)])
    text = page_of(summary)
    assert "98 is too much" in text and "99 is too much" in text
    assert outstanding_lines(summary) == [("best", "none: no setting went well with every seed.")]


def test_a_single_point_has_a_page_without_ranges() -> None:
    summary = summarised([point({BITS: 4, "run.seed": 1}, result_of(0.9, 1e5))])
    assert outstanding_lines(summary) == [
        ("best", "weight.bits = 4: 90.0 % test, 100 nJ per learned sample."),
    ]
    assert "1 setting, 1 point." in page_of(summary)


def test_the_float_twin_stands_beside_the_best() -> None:
    points = [point({BITS: bits, ARITHMETIC: "fixed"}, result_of(0.8 + bits / 100, 1e5 * bits)) for bits in (4, 6)]
    points += [point({BITS: bits, ARITHMETIC: "float"}, result_of(0.97, None)) for bits in (4, 6)]
    lines = dict(outstanding_lines(summarised(points)))
    assert lines["best"] == "fixed point, weight.bits = 6: 86.0 % test, 600 nJ per learned sample."
    assert lines["float twin"] == "97.0 % test."


def test_formats_are_shown_once_where_they_are_the_same_and_by_setting_and_seed_where_not() -> None:
    text = page_of(summarised(grid_points((2, 3), (1, 3))))
    assert re.search("<dt>trace, in all settings</dt><dd [^>]*Source: calibration[^>]*>u8.7</dd>", text)
    table = Page(text).tables[1]
    assert table[0] == ["setting", "weight"]
    assert table[1] == ["weight.bits = 2, weight.rounding = floor", "s4.1, s4.3 (seed 1); s4.3, s4.3 (seed 3)"]


def test_it_fetches_nothing_and_its_only_script_is_its_own() -> None:
    summary = summarised(grid_points())
    text = page_text(summary, sweep_pictures(summary))
    page = Page(text)
    assert not {"link", "iframe", "img", "object", "embed", "image"} & set(page.tags)
    assert page.tags.count("script") == 1 and page.tags.count("svg") == 3
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset", "data")]
    assert all(link.startswith("#") for link in links)
    assert "http" not in text and "@import" not in text and "fetch(" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    names = [value for name, value in page.attributes if name == "id"]
    assert len(names) == len(set(names))
    assert set(re.findall(r"url\(#([^)]*)\)", text)) | {link[1:] for link in links} <= set(names)


def test_plots_take_the_colours_of_the_page() -> None:
    summary = summarised(grid_points())
    text = page_text(summary, sweep_pictures(summary))
    svg = text[text.index("<svg") : text.rindex("</svg>")]
    assert "var(--ink)" in svg and "var(--paper)" in svg
    assert "#16202a" not in svg and "#ffffff" not in svg
    assert "prefers-color-scheme: dark" in text


def test_hostile_names_are_texts() -> None:
    settings: dict[str, Any] = {"chip.name": MALICIOUS, "run.seed": 1}
    hostile = result_of(0.9, 1e5, rule=MALICIOUS, chip=MALICIOUS, formats={MALICIOUS: [MALICIOUS]}, limit=MALICIOUS)
    other = result_of(0.8, 2e5, formats={MALICIOUS: ["u"]})
    points = [point(settings, hostile), point({**settings, "chip.name": "b"}, other)]
    points += [point({**settings, "chip.name": MALICIOUS + "2"}, None, MALICIOUS)]
    summary = summarised(points, run__name=MALICIOUS)
    summary["command"] = MALICIOUS
    summary["versions"] = {MALICIOUS: MALICIOUS}
    text = page_text(summary, sweep_pictures(summary))
    page = Page(text)
    assert page.tags.count("script") == 1 and "img" not in page.tags
    assert "&lt;script&gt;" in text and "<script>alert" not in text


def test_a_long_sweep_shows_its_front_and_folds_the_rest() -> None:
    n = FOLDED_FROM + 1
    points = [point({BITS: bits}, result_of(0.3 + bits / 1000, 1e6 - bits * (bits < n - 2))) for bits in range(n)]
    summary = summarised(points)
    shown, everything = Page(page_of(summary)).tables[:2]
    assert len(everything) == 1 + n
    assert {line[0] for line in shown[1:]} == {str(place) for place in {*summary["front"], summary["best"]}}
    assert len(shown) < 10
    assert len(Page(page_of(summarised(points[:FOLDED_FROM]))).tables[0]) == 1 + FOLDED_FROM


@pytest.mark.parametrize("strategy", ["grid", "one-at-a-time", "random", "optuna", "from-float"])
def test_every_way_to_choose_points_is_said(strategy: str) -> None:
    assert "; 1 setting, 1 point." not in swept_sentence(summarised(grid_points((2,), (1,))[:1], strategy))


def test_a_real_sweep_has_the_same_page_again_and_its_numbers(tmp_path: Path) -> None:
    write_tiny_task(tmp_path)
    points = sweep_tiny(tmp_path, "out", f"{BITS}=4,6", seeds="1,2", page=True, command="neurochip precision")
    page = (tmp_path / "out" / "sweep.html").read_bytes()
    sweep_tiny(tmp_path, "out", f"{BITS}=4,6", seeds="1,2", page=True, command="neurochip precision")
    assert (tmp_path / "out" / "sweep.html").read_bytes() == page
    assert (tmp_path / "out" / "pareto.png").exists()
    head, *lines = Page(page.decode()).tables[0]
    results = [one.computed.result for one in points]
    for place, line in enumerate(lines):
        own = [result for result in results[2 * place : 2 * place + 2] if result is not None]
        assert line[head.index("test%")] == f"{100 * fmean(one['accuracy']['test'] for one in own):.1f}"
        assert line[head.index("areamm²")] == number(fmean(one["area_mm2"] for one in own), 4)
    sweep_tiny(tmp_path, "out", f"{BITS}=4,6")
    assert not (tmp_path / "out" / "sweep.html").exists() and not (tmp_path / "out" / "pareto.png").exists()
