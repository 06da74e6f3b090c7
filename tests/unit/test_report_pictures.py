"""Do the pictures of the page show what the numbers say, on white and on black, and hide nothing?"""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
import report_fixture as given

from neurochip.report.plots import (
    LEAST_SPAN,
    RULE_STYLES,
    _footprint_by_steps,
    _learning_curves,
    figure_of,
    plots,
    rule_style,
    svg_of,
)
from neurochip.report.raster import raster_svg

STEPS = [1, 4, 16, 64, 256, 1024]


def footprint(rules: dict[str, list[int]], *run: str) -> Any:
    report = given.make_report(results=[given.fixed_result(rule) for rule in run])
    report["history"]["footprint_by_steps"] = {"steps": STEPS, "rules": rules}
    figure = _footprint_by_steps(report)
    assert figure is not None
    return figure.axes[0]


def test_a_footprint_that_hardly_moves_does_not_look_steep() -> None:
    bits = [543_870 + 24 * place for place in range(6)]
    low, high = footprint({"ottt-o": bits}, "ottt-o").get_ylim()
    assert high / low >= LEAST_SPAN
    assert low * 1e3 < bits[0] and bits[-1] < high * 1e3


def test_bptt_that_was_not_run_stands_beside_the_rule_dashed_and_named() -> None:
    rules = {"ottt-o": [549_000] * 6, "bptt-o": [543_900 + 1_250 * t for t in STEPS]}
    axes = footprint(rules, "ottt-o")
    curves = {line.get_label(): line.get_linestyle() for line in axes.lines[:2]}
    assert curves == {"ottt-o": "-", "bptt-o (not run)": "--"}
    assert {text.get_text() for text in axes.texts} == {"this T", "T*", "does not fit"}


def test_the_lines_of_a_history_stand_only_beside_a_curve_of_bptt() -> None:
    axes = footprint({"infer": [537_000] * 6}, "infer")
    assert [text.get_text() for text in axes.texts] == ["this T"]


def test_equal_curves_stay_visible() -> None:
    report = given.make_report()
    for result in report["results"]:
        result["accuracy"]["per_epoch"] = [{"epoch": 1, "train": 0.5, "validation": 0.5}]
    figure = _learning_curves(report)
    assert figure is not None
    drawn = sorted(figure.axes[0].lines, key=lambda line: line.get_zorder())  # equal: as they were added
    sizes = [line.get_markersize() for line in drawn]
    fixed = [line for line in drawn if line.get_linestyle() == "-"]
    assert len(drawn) == 2 * len(fixed) == 10
    assert [line.get_linestyle() for line in drawn] == ["--"] * 5 + ["-"] * 5  # float twins below
    assert sizes[:5] == sorted(set(sizes[:5]), reverse=True) and sizes[5:] == sorted(set(sizes[5:]), reverse=True)
    for twin, chip in zip(drawn[:5], drawn[5:], strict=True):
        assert twin.get_color() == chip.get_color() and twin.get_markersize() >= chip.get_markersize() + 3
        assert twin.get_markerfacecolor() == "none"


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("paper", ["#14181d", "#ffffff"])
def test_no_colour_of_a_rule_is_lost_on_the_paper(paper: str) -> None:
    rules = [*RULE_STYLES, "one", "two", "three"]
    for rule in rules:
        light, dark = sorted((luminance(rule_style(rule, rules)[0]), luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 1.8, rule


def test_letters_and_axes_take_the_colour_of_the_page() -> None:
    for plot in plots(given.make_report()):
        assert "#000000" not in plot["svg"] and "currentColor" in plot["svg"]


def test_bars_and_curves_say_their_numbers_escaped() -> None:
    report = given.make_report()
    for result in report["results"][2:4]:
        result["rule"] = 'a<b>&"c'
    titles = [title for plot in plots(report) for title in re.findall(r"<title>(.*?)</title>", plot["svg"])]
    assert (
        "ottt-a, synapse: 202 nJ. Source: prices of the chip, under Physical numbers. Kind: as stated there." in titles
    )
    assert any(title.startswith("a&lt;b&gt;&amp;") for title in titles)
    assert all("Source: " in title and "Kind: " in title for title in titles)


def test_letters_that_no_font_here_has_are_no_warning() -> None:
    records = {
        "name": "中文", "rule": "infer", "sample": 3, "split": "test", "label": "数", "prediction": "字", "n_steps": 2,
        "inputs": {"n": 2, "events": [[0, 1]]}, "hidden": [], "readout": [{"name": "字", "sums": [0.0, 1.0]}],
    }  # fmt: skip
    figure, axes = figure_of(1.0)
    axes.set_title("中文")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "中文, infer: sample 3 of the test split" in raster_svg(records)
        assert "中文" in svg_of(figure, "x", "x")
