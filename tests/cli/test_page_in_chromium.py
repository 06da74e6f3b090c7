"""Do the pages of a run and of a sweep open offline in Chromium, and are they right, readable and harmless?"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from chromium_page import WIDTHS, Browser, check_alone, check_clean, check_readable, same
from sweep_points_fixture import grid_points, summarised

from neurochip.report.html import report_page
from neurochip.report.sweep_page import page_text
from neurochip.report.sweep_plots import sweep_pictures

Json = dict[str, Any]
HOSTILE = (
    '<script>window.hacked = 1</script><img src=x onerror=\'window.hacked = 2\'>" onmouseover="window.hacked = 3" '
    "' autofocus onfocus='window.hacked = 4' {{7*7}} {% raw %} --></style></title><svg onload=window.hacked=5>"
)
SHORT = "\"'<i>{{7*7}}&"  # of what stands in a picture
DRAWN = ("rule", "baseline", "label")
STRUCTURE = ("schema", "precision", "formats", "unit", "kind", "group", "origin")  # keys of words that are not free
# Title and unit in the tables of rules -> keys of a result, and what to divide by.
COLUMNS: dict[tuple[str, str], tuple[tuple[str, ...], float]] = {
    ("test", "%"): (("accuracy", "test"), 0.01),
    ("energy", "nJ"): (("per_sample", "energy_pj", "total"), 1e3),
    ("latency", "µs"): (("per_sample", "latency_us"), 1),
    ("memory", "kbit"): (("footprint_bits", "total"), 1e3),
    ("accesses", "k"): (("per_sample", "totals", "memory_accesses"), 1e3),
    ("moved", "kbit"): (("per_sample", "totals", "bits_moved"), 1e3),
    ("MACs", "k"): (("per_sample", "totals", "macs"), 1e3),
    ("ACs", "k"): (("per_sample", "totals", "acs"), 1e3),
    ("energy", "×BPTT"): (("ratio_to_bptt", "energy"), 1),
    ("latency", "×BPTT"): (("ratio_to_bptt", "latency"), 1),
    ("energy", "×infer"): (("ratio_to_inference", "energy"), 1),
    ("rate", "asked"): (("learning_rate", "asked"), 1),
    ("energy low", "nJ"): (("per_sample", "energy_pj", "low"), 1e3),
    ("energy high", "nJ"): (("per_sample", "energy_pj", "high"), 1e3),
    ("power", "mW"): (("per_sample", "average_power_mw"), 1),
    ("EDP", "nJ·µs"): (("per_sample", "energy_delay_pj_us"), 1e3),
    ("area", "mm²"): (("area_mm2", "total"), 1),
    ("cycles", "k"): (("per_sample", "cycles"), 1e3),
}
NUMBER_CELLS = """
const is_number = /^[-−+]?[0-9][0-9,.]*(e[-+]?[0-9]+)?( ?(%|×|pt|dB))?$/;
return [...document.querySelectorAll("td:not(.unit), .bar > span:last-child")]
  .filter(cell => is_number.test((cell.querySelector("b") ?? cell).textContent.trim()))
  .map(cell => [cell.textContent.trim(), cell.dataset.tip ?? "", cell.tabIndex]);
"""
# Words of sentences with a number that stands by itself, and the tip of the element they are in.
NUMBERS_OF_SENTENCES = """
const alone = /(?<![\\w.^-])[±×+−-]?[0-9]+(,[0-9]{3})*([.][0-9]+)?(?![\\w-]|[.,][0-9])/u, found = [];
const sentences = ".verdict p, #header dd, #hanging p, #limits p, #notes li, details > p:not(.dim), details > summary";
for (const one of document.querySelectorAll(sentences)) {
  if (one.textContent.match(/as experiment.toml|What the columns mean/)) continue;
  const walker = document.createTreeWalker(one, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const behind = node.parentElement.closest("[data-tip]");
    if (alone.test(node.data)) found.push([node.data.trim(), behind?.dataset.tip ?? "", behind?.tabIndex ?? -1]);
  }
}
return found;
"""


@pytest.fixture(scope="module")
def report(finished: Path) -> Json:
    read: Json = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    return read


def look_up(result: Json, keys: tuple[str, ...]) -> Any:
    found: Any = result
    for key in keys:
        found = (found or {}).get(key)
    return found


def hostile(value: Any, key: str = "") -> Any:
    """The same with every free text, and every key that is one, followed by something hostile."""
    if key in STRUCTURE:
        return value
    if isinstance(value, dict):
        is_free = key in ("provenance", "gates", "versions")
        return {name + HOSTILE * is_free: hostile(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [hostile(one) for one in value]
    return value + (SHORT if key in DRAWN else HOSTILE) if isinstance(value, str) else value


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_opens_offline_asks_for_nothing_and_is_readable(
    browser: Browser, finished: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    path = finished / "report.html"
    browser.open(path, width, scheme)
    check_alone(browser, path)
    check_clean(browser)
    check_readable(browser, width)
    assert len(browser.texts("svg")) >= 4
    browser.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000


@pytest.mark.parametrize("width", WIDTHS)
def test_a_sweep_opens_offline_asks_for_nothing_and_is_readable(browser: Browser, sweep: Path, width: int) -> None:
    browser.open(sweep, width)
    check_alone(browser, sweep)
    check_clean(browser, n_scripts=1)
    check_readable(browser, width)
    before = browser.table("table.sortable")
    browser.run("document.querySelectorAll('table.sortable th button')[2].click();")
    assert "energy" in browser.hover("table.sortable td:nth-of-type(4)")
    assert browser.table("table.sortable") != before and sorted(browser.table("table.sortable")) == sorted(before)


def test_the_tables_hold_the_numbers_of_the_report(browser: Browser, finished: Path, report: Json) -> None:
    browser.open(finished / "report.html")
    results = {result["rule"]: result for result in report["results"] if result["precision"] == "fixed"}
    compared = 0
    seen = set()
    for table in range(1, len(browser.texts("#side-by-side > .scroll")) + 1):
        selector = f"#side-by-side > .scroll:nth-of-type({table}) table"
        heads = browser.run(
            "return [...document.querySelector(arguments[0]).tHead.rows[0].cells].slice(1)"
            ".map(head => [head.firstChild.textContent, head.querySelector('small').textContent]);",
            selector,
        )
        for row in browser.table(selector)[1:]:
            for head, text in zip(heads, row[1:], strict=False):
                keys, per = COLUMNS.get(tuple(head), ((), 1.0))
                value = look_up(results[row[0]], keys) if keys else None
                if keys:
                    assert text == "–" if value is None else close(text, value / per, head[1]), (row[0], head)
                    compared += value is not None
                    seen.add(tuple(head))
    assert seen == set(COLUMNS) - {("energy", "×infer")} | ({("energy", "×infer")} & seen)
    assert compared >= 30


def close(text: str, value: float, unit: str) -> bool:
    """Accuracies have one digit behind the point, all else three digits."""
    return text == f"{value:.1f}" if unit == "%" else same(text, value)


def test_the_energy_tables_hold_the_numbers_of_the_report(browser: Browser, finished: Path, report: Json) -> None:
    browser.open(finished / "report.html")
    compared = 0
    for result in report["results"]:
        if result["precision"] == "float":
            continue
        rows = {row[0]: row[1:] for row in browser.table(f"[aria-label='Energy of {result['rule']}'] table")}
        for place, one in enumerate(("per_sample", "per_sample_inference")):
            energy = result[one]["energy_pj"]
            parts = {"clock and control": energy["clock"], "leakage": energy["leakage"], "total": energy["total"]}
            parts |= {f"{name} accesses": pj for name, pj in energy["by_memory"].items()} | energy["by_operation"]
            parts |= {f"of the total, resting on numbers of kind {k}": pj for k, pj in energy["by_kind"].items()}
            for name, pj in parts.items():
                if name in rows or pj:
                    assert same(rows[name][place], pj / 1e3), (result["rule"], name)
                    compared += 1
    assert compared >= 40


def test_every_number_has_unit_source_and_kind_on_hover_and_on_focus(browser: Browser, finished: Path) -> None:
    browser.open(finished / "report.html")
    cells = browser.run(NUMBER_CELLS)
    assert len(cells) > 300
    for text, tip, tab_index in cells:
        assert re.search(r"Source: \S.*Kind: \S", tip), (text, tip)
        assert tab_index == 0
    assert "Source: of each, sum of accesses" in browser.hover(".pairs td")
    browser.run("scrollTo(0, 0); document.activeElement.blur();")
    found = [browser.press_tab() for _ in range(3)]
    assert all("Kind: " in said for _, said in found)
    assert found[0][0] == "T = 6"
    assert browser.texts(".pairs td")[0].startswith(found[1][0].split("\n")[0])


def test_every_number_of_a_sentence_has_unit_source_and_kind(browser: Browser, finished: Path) -> None:
    browser.open(finished / "report.html")
    numbers = browser.run(NUMBERS_OF_SENTENCES)
    assert len(numbers) > 40
    for text, tip, tab_index in numbers:
        assert re.search(r": \S+ (\(a number\)|\S+.*)\. Source: \S.*Kind: \S", tip), (text, tip)
        assert tab_index == 0, text
    assert "Source: " in browser.hover(".verdict .told")
    assert "Source: " in browser.tap(".verdict p:last-child .told:last-of-type")
    # Ratios, costs and accuracies of the verdict are those of the tables, down to what is said of them.
    said = {text: tip for text, tip, _ in browser.run(NUMBERS_OF_SENTENCES)}
    cells = {text: tip for text, tip, _ in browser.run(NUMBER_CELLS)}
    energy = next(text for text in said if text.endswith(" nJ"))
    assert said[energy].partition("Source: ")[2] == cells[energy.removesuffix(" nJ")].partition("Source: ")[2]


def test_every_bar_and_curve_of_the_pictures_says_its_numbers(browser: Browser, finished: Path) -> None:
    browser.open(finished / "report.html")
    titles = browser.texts("figure svg g > title")
    assert len(titles) > 30
    assert all(re.search(r"\d.* (nJ|kbit|%|times).*Source: \S.*Kind: \S", title) for title in titles), titles
    bars = browser.run("return [...document.querySelectorAll('[id^=energy-patch]')].length;")
    assert bars < 30  # of the frame and the legend: bars themselves have a text in place of an identifier


def test_the_first_screen_compares_with_bptt_in_words_and_in_bars(
    browser: Browser, finished: Path, report: Json
) -> None:
    browser.open(finished / "report.html")
    ottt, bptt = (next(r for r in report["results"] if (r["rule"], r["precision"]) == (rule, "fixed"))
                  for rule in ("ottt-o", "bptt-o"))  # fmt: skip
    large = browser.texts(".pairs td b")
    for text, key in zip(large, ("energy", "latency", "footprint"), strict=False):
        assert same(text.removesuffix(" ×"), ottt["ratio_to_bptt"][key])
    points = 100 * (ottt["accuracy"]["test"] - bptt["accuracy"]["test"])
    assert large[3] == f"{points:+.1f} pt".replace("-", "−")
    wide = browser.run(
        "return [...document.querySelectorAll('.bars figure:first-child .track')]"
        ".map(track => track.firstChild.getBoundingClientRect().width / track.getBoundingClientRect().width);"
    )
    energies = [result["per_sample"]["energy_pj"]["total"] for result in (ottt, bptt)]
    assert wide == pytest.approx([energy / max(energies) for energy in energies], abs=0.01)
    assert browser.run("return document.querySelector('.bars').getBoundingClientRect().bottom;") < 900


def test_the_page_names_command_versions_and_prices(browser: Browser, report: Json, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    commands = ["neurochip compare small.toml --quiet", "neurochip learn --resume x"]
    path.write_text(report_page(report, commands), encoding="utf-8")
    browser.open(path)
    text = browser.texts("body")[0]
    assert "neurochip compare small.toml --quiet" in text and "neurochip learn --resume x" in text
    assert all(version in browser.texts("dd") for version in report["versions"].values())
    assert set(browser.texts("th.key")) == {entry["key"] for entry in report["chip"]["provenance"]}


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_texts_of_a_run_stay_texts(browser: Browser, report: Json, tmp_path: Path, width: int) -> None:
    bad, path = hostile(report), tmp_path / "bad.html"
    text = report_page(bad, [HOSTILE])
    path.write_text(text, encoding="utf-8")
    browser.open(path, width)
    browser.run("for (const one of document.querySelectorAll('*')) one.dispatchEvent(new MouseEvent('mouseover'));")
    check_alone(browser, path)
    check_clean(browser)
    assert browser.texts("h1") == [report["name"] + HOSTILE]
    assert HOSTILE in browser.texts("code")
    assert browser.texts(".bars .label")[0] == "ottt-o" + SHORT
    assert browser.run("return document.scrollingElement.scrollWidth;") <= width

    path.write_text(html.unescape(text), encoding="utf-8")  # what the checks are for
    browser.open(path, width)
    with pytest.raises(AssertionError):
        check_clean(browser)


def test_hostile_texts_of_a_sweep_stay_texts(browser: Browser, tmp_path: Path) -> None:
    summary = summarised(grid_points())
    keys = [{**key, "title": key["title"] + HOSTILE} for key in summary["keys"]]
    bad = {**summary, "name": HOSTILE, "command": HOSTILE, "versions": {HOSTILE: HOSTILE}, "keys": keys}
    path = tmp_path / "bad.html"
    text = page_text(bad, sweep_pictures(bad))
    path.write_text(text, encoding="utf-8")
    browser.open(path, WIDTHS[1])
    check_alone(browser, path)
    check_clean(browser, n_scripts=1)
    assert browser.texts("h1") == [HOSTILE + ": sweep"]

    path.write_text(html.unescape(text), encoding="utf-8")
    browser.open(path)
    with pytest.raises(AssertionError):
        check_clean(browser, n_scripts=1)


def test_the_checks_see_a_request_an_error_small_letters_and_a_wide_page(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"

    def alone() -> None:
        check_alone(browser, path)

    def readable() -> None:
        check_readable(browser, WIDTHS[0])

    for body, check in (
        ("<img src='http://127.0.0.1:9/x.png'>", alone),
        ("<script>missing()</script>", alone),
        ("<p style='font-size: 9px'>small</p>", readable),
        ("<svg viewBox='0 0 99 9'><text style='font-size: 0.1px'>a</text></svg>", readable),
        ("<div style='width: 2000px'>wide</div>", readable),
        ("<table style='table-layout: fixed; width: 3px'><tr><td>longer<td>cells</table>", readable),
    ):
        path.write_text(f"<!DOCTYPE html><title>x</title><style></style><body>{body}", encoding="utf-8")
        browser.open(path)
        with pytest.raises(AssertionError):
            check()
