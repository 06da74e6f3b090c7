"""Do the pages of several runs and of a sweep open offline in Chromium, hold the numbers of the JSON, and read well?"""

from __future__ import annotations

import copy
import html
import json
import re
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from chromium_page import WIDTHS, Browser, check_alone, check_clean, check_readable, same
from sweep_points_fixture import grid_points

from neurochip.cli.app import main
from neurochip.report.comparison_page import comparison_html
from neurochip.run_commands import COMMANDS
from neurochip.runs_compared import runs_compared
from neurochip.sweep.table import rows_of

Json = dict[str, Any]
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>\" onmouseover=\"window.hacked = 3"
# Head and unit on the page of several runs -> column of its JSON, and what to divide by.
COLUMNS: dict[tuple[str, str], tuple[str, float]] = {
    ("test", "%"): ("accuracy_test", 0.01),
    ("float", "%"): ("accuracy_test_float", 0.01),
    ("stream", "%"): ("accuracy_stream", 0.01),
    ("energy", "nJ"): ("energy_pj", 1e3),
    ("energy", "×first"): ("energy_pj_over_first", 1),
    ("inference", "nJ"): ("energy_inference_pj", 1e3),
    ("latency", "µs"): ("latency_us", 1),
    ("latency", "×first"): ("latency_us_over_first", 1),
    ("memory", "kbit"): ("footprint_bits", 1e3),
    ("memory", "×first"): ("footprint_bits_over_first", 1),
    ("accesses", "k"): ("memory_accesses_words", 1e3),
    ("area", "mm²"): ("area_mm2", 1),
    ("learning", "rate"): ("learning_rate", 1),
}
SWEPT: dict[tuple[str, str], tuple[str, float]] = {  # the same of a sweep; a mean over the seeds
    ("test", "%"): ("accuracy_test", 0.01),
    ("energy", "nJ"): ("energy_pj", 1e3),
    ("inference", "nJ"): ("energy_inference_pj", 1e3),
    ("latency", "µs"): ("latency_us", 1),
    ("area", "mm²"): ("area_mm2", 1),
    ("memory", "kbit"): ("footprint_bits", 1e3),
}
HEADS = """
return [...document.querySelector(arguments[0]).tHead.rows[0].cells]
  .map(head => [head.firstChild.textContent, head.querySelector("small")?.textContent ?? ""]);
"""
# Numbers, and in the table of the runs everything that has digits: "9 samples", "0.9 V", a version.
WITHOUT_TIP = """
const is_number = /^[<-−]?[0-9][0-9,.]*(e[-+]?[0-9]+)?$/;
const asks = cell => (cell.closest("[aria-label='The runs']") ? /[0-9]/ : is_number).test(cell.textContent.trim());
return [...document.querySelectorAll("td, .bar > span:last-child")]
  .filter(asks)
  .filter(cell => !/Source: \\S.*Kind: \\S/.test(cell.dataset.tip ?? "") || cell.tabIndex !== 0)
  .map(cell => cell.textContent);
"""
# Where the table of results ends on the right, and where its first column of numbers does.
FIRST_RESULT = """
const table = document.querySelector(arguments[0]), row = table.querySelector("tbody td")?.parentElement;
const cell = [...row.cells].find(one => one.tagName === "TD");
return [cell.getBoundingClientRect().right, table.parentElement.getBoundingClientRect().right, cell.textContent.trim()];
"""
BAR_SHARES = """
return [...document.querySelectorAll(".bars figure")].map(figure => [
  figure.querySelector("figcaption b").textContent,
  [...figure.querySelectorAll(".track")].map(
    track => track.firstChild.getBoundingClientRect().width / track.getBoundingClientRect().width),
]);
"""


@pytest.fixture(scope="module")
def runs(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A finished run, and one made of it with other numbers, other settings and a long name."""
    other = tmp_path_factory.mktemp("runs") / "the-same-network-with_eight_more_bits"
    other.mkdir()
    (finished / COMMANDS).write_text('["neurochip compare small.toml --quiet"]', encoding="utf-8")
    for name in ("experiment.toml", "report.json"):
        (other / name).write_bytes((finished / name).read_bytes())
    report = json.loads((other / "report.json").read_text(encoding="utf-8"))
    report["experiment"]["run"]["seed"] = 77
    for result in report["results"]:
        result["accuracy"]["test"] *= 0.9
        if result["precision"] == "fixed":
            result["per_sample"]["energy_pj"]["total"] *= 3
    (other / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return [finished, other]


@pytest.fixture(scope="module")
def compared(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Json]:
    """The page that the command writes, and the JSON that it writes of the same runs."""
    folder = tmp_path_factory.mktemp("compared")
    for name in ("html", "json"):
        asked = ["report", *map(str, runs), "--compare", "--format", name, "--out", str(folder / f"compared.{name}")]
        assert main(asked) == 0
    found: Json = json.loads((folder / "compared.json").read_text(encoding="utf-8"))
    return folder / "compared.html", found


def shows(text: str, value: float | None, per: float) -> bool:
    if value is None:
        return text == "–"
    return text == f"{100 * value:.1f}" if per == 0.01 else same(text, value / per)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["compared", "sweep"])
def test_a_page_opens_offline_asks_for_nothing_and_is_readable(
    browser: Browser, request: pytest.FixtureRequest, name: str, width: int, scheme: str
) -> None:
    path = request.getfixturevalue("compared")[0] if name == "compared" else request.getfixturevalue("sweep")
    browser.open(path, width, scheme)
    check_alone(browser, path)
    check_clean(browser, n_scripts=int(name == "sweep"))
    check_readable(browser, width)
    right, edge, text = browser.run(FIRST_RESULT, "#numbers table" if name == "compared" else "table.sortable")
    assert right <= edge, "the first column of results begins beyond the edge"
    assert re.fullmatch(r"[\d.]+", text)


def test_the_table_of_several_runs_holds_the_numbers_of_its_json(browser: Browser, compared: tuple[Path, Json]) -> None:
    path, comparison = compared
    browser.open(path)
    heads = [tuple(head) for head in browser.run(HEADS, "#numbers table")]
    lines = browser.table("#numbers table")[1:]
    texts, rule = {}, ""
    for line in lines:
        if len(line) == 1:
            rule = line[0]
        else:
            texts[line[0], rule] = line
    compared_numbers = 0
    for row in comparison["rows"]:
        line = texts.pop((row["run"], row["rule"]))
        for head, text in zip(heads[1:], line[1:], strict=True):
            key, per = COLUMNS[head]
            assert shows(text, row[key], per), (row["run"], row["rule"], head, text)
            compared_numbers += row[key] is not None
    assert not texts and compared_numbers >= 30
    absent = {COLUMNS[head][0] for head in COLUMNS if head not in heads}
    assert all(row.get(key) is None for row in comparison["rows"] for key in absent)


def test_bars_are_as_long_as_the_numbers_and_the_settings_are_those_that_differ(
    browser: Browser, compared: tuple[Path, Json]
) -> None:
    path, comparison = compared
    browser.open(path)
    rules = list(dict.fromkeys(row["rule"] for row in comparison["rows"]))
    rows = sorted(comparison["rows"], key=lambda row: rules.index(row["rule"]))
    energies = [row["energy_pj"] for row in rows]
    shares = dict(browser.run(BAR_SHARES))
    assert sorted(shares) == ["energy", "latency", "memory", "test"]
    assert shares["energy"] == pytest.approx([energy / max(energies) for energy in energies], abs=0.01)
    assert shares["test"] == pytest.approx([row["accuracy_test"] for row in rows], abs=0.01)
    first, second = (one["run"] for one in comparison["runs"])
    assert browser.table("[aria-label='Settings that differ'] table") == [
        ["key of the experiment", first, second],
        ["run.seed", str(comparison["differs"]["run.seed"][first]), "77"],
    ]
    about = {row[0]: row[1:] for row in browser.table("[aria-label='The runs'] table")[1:]}
    versions = comparison["runs"][0]["versions"]
    assert {name: about[name][0] for name in versions} == versions
    assert "model" in about["physical numbers"][0]
    made = [command for one in comparison["runs"] for command in one["commands"]]
    assert browser.texts("code") == [*made, f"{comparison['command']} --format html"]
    assert made == ["neurochip compare small.toml --quiet"]


@pytest.mark.parametrize("name", ["compared", "sweep"])
def test_every_number_has_unit_source_and_kind_on_hover_and_on_focus(
    browser: Browser, request: pytest.FixtureRequest, name: str
) -> None:
    path = request.getfixturevalue("compared")[0] if name == "compared" else request.getfixturevalue("sweep")
    browser.open(path)
    assert browser.run(WITHOUT_TIP) == []
    selector = "#numbers td:nth-of-type(3)" if name == "compared" else ".sortable td:nth-of-type(4)"
    shown = browser.hover(selector)
    assert re.search(r"energy: [\d.,]+ nJ\. .* Source: sum of accesses .* Kind: ", shown), shown
    browser.run("document.querySelector(arguments[0]).focus();", selector)
    assert "Kind: " in browser.press_tab()[1]


def test_a_ratio_names_both_runs(browser: Browser, compared: tuple[Path, Json]) -> None:
    path, comparison = compared
    browser.open(path)
    first, second = (one["run"] for one in comparison["runs"])
    tips = browser.run("return [...document.querySelectorAll('#numbers td')].map(one => one.dataset.tip ?? '');")
    assert any(
        f"3.00 ×first. Energy over that of the first run. Source: {second} ÷ {first}; of each" in one for one in tips
    )


def test_a_click_sorts_the_settings_of_a_sweep_and_their_numbers_are_those_of_the_rows(
    browser: Browser, sweep: Path
) -> None:
    browser.open(sweep)
    heads = [tuple(head) for head in browser.run(HEADS, "table.sortable")]
    rows = rows_of(grid_points())
    lines = browser.table("table.sortable")[1:]
    assert len(lines) == len(rows) // 3
    for place, line in enumerate(lines):
        own, cells = rows[3 * place : 3 * place + 3], dict(zip(heads, line, strict=True))
        for head, (key, per) in SWEPT.items():
            assert shows(cells[head], fmean(row[key] for row in own), per), (place, head)
    browser.run("document.querySelectorAll('table.sortable th button')[1].click();")
    tests = [float(line[1]) for line in browser.table("table.sortable")[1:]]
    assert tests == sorted(tests) and tests != [float(line[1]) for line in lines]


def test_hostile_names_of_runs_and_settings_stay_texts(browser: Browser, runs: list[Path], tmp_path: Path) -> None:
    report = json.loads((runs[0] / "report.json").read_text(encoding="utf-8"))
    other = copy.deepcopy(report)
    other["experiment"][HOSTILE] = HOSTILE
    for key in ("name", "chip", "network", "task"):
        place, last = (other, key) if key == "name" else (other[key], "shape" if key == "network" else "name")
        place[last] += HOSTILE
    other["versions"][HOSTILE] = HOSTILE
    text = comparison_html(runs_compared({"a": report, HOSTILE: other}, HOSTILE))
    path = tmp_path / "bad.html"
    path.write_text(text, encoding="utf-8")
    browser.open(path, WIDTHS[1])
    check_alone(browser, path)
    check_clean(browser)
    check_readable(browser, WIDTHS[1])
    assert f"{HOSTILE} --format html" in browser.texts("code") and HOSTILE in browser.texts("th")

    path.write_text(html.unescape(text), encoding="utf-8")  # what the checks are for
    browser.open(path)
    with pytest.raises(AssertionError):
        check_clean(browser)
