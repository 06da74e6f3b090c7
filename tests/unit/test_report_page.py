"""Does the page say what the report says, escape it, and fetch nothing?"""

from __future__ import annotations

import copy
import html
import html.parser
import re
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest
import report_fixture as given

from neurochip.counters import MEMORIES
from neurochip.report import write_report_html
from neurochip.report.plots import NAMED_OPERATIONS, PART_STYLES, RULE_STYLES

MALICIOUS = "<script>alert(1)</script>"


RULES = list(given.RULES)


def page(report: dict[str, Any], path: Path, *commands: str) -> str:
    write_report_html(report, path, commands)
    return path.read_text(encoding="utf-8")


def words_of(text: str) -> str:
    """The page without its tags."""
    return html.unescape(re.sub(r"<[^>]*>", "", text))


@pytest.fixture
def report() -> dict[str, Any]:
    made: dict[str, Any] = given.make_report()
    return made


class Attributes(html.parser.HTMLParser):
    """Collects every tag and every attribute of a page, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Attributes:
    parser = Attributes()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


class TestPage:
    def test_what_the_order_hangs_on_has_a_section_of_its_own(self, report: dict[str, Any], tmp_path: Path) -> None:
        heading = "What the order of the rules hangs on"
        text = words_of(page(report, tmp_path / "report.html"))
        assert text.index(heading) < text.index(report["flips"][0])
        none = words_of(page({**report, "flips": []}, tmp_path / "none.html"))
        assert report["flips"][0] not in none and heading not in none

    def test_shows_every_rule_number_and_source(self, report: dict[str, Any], tmp_path: Path) -> None:
        text = page(report, tmp_path / "report.html", "neurochip compare a.toml --rules ottt-o")
        for rule in RULES:
            assert f">{rule}</th>" in text
        for cell in ("94.2", "95.6", "313", "296", "549", "38.4", "4,920", "167", "25.1", "2.64", "2.25", "7.58"):
            assert f">{cell}</td>" in text
        for entry in report["chip"]["provenance"]:
            assert entry["key"] in text and entry["source"] in text
        assert "neurochip compare a.toml --rules ottt-o" in text
        assert "BPTT is cheaper than OTTT here" in text
        assert text.count("<svg ") == 4

    def test_fetches_nothing_and_runs_nothing(self, report: dict[str, Any], tmp_path: Path) -> None:
        text = page(report, tmp_path / "report.html")
        parser = parsed(text)
        assert not {"script", "link", "iframe", "img", "object", "embed"} & set(parser.tags)
        links = [value for name, value in parser.attributes if name in ("src", "href", "xlink:href", "srcset", "data")]
        assert all(link.startswith("#") for link in links)
        assert "http" not in text and "@import" not in text
        assert set(re.findall(r"url\((.)", text)) <= {"#"}

    def test_identifiers_are_unique_and_every_reference_has_one(self, report: dict[str, Any], tmp_path: Path) -> None:
        text = page(report, tmp_path / "report.html")
        names = [value for name, value in parsed(text).attributes if name == "id"]
        assert len(names) == len(set(names))
        assert set(re.findall(r"url\(#([^)]*)\)", text)) | set(re.findall(r'href="#([^"]*)"', text)) <= set(names)

    def test_escapes_what_the_report_says(self, report: dict[str, Any], tmp_path: Path) -> None:
        report["name"] = report["task"]["name"] = MALICIOUS
        report["task"]["provenance"] = {MALICIOUS: MALICIOUS}
        report["experiment"]["task"]["name"] = MALICIOUS
        report["chip"]["provenance"][0]["source"] = '"><script>'
        report["notes"] = [MALICIOUS]
        for result in report["results"][:2]:
            result["rule"] = MALICIOUS
        for result in report["results"][2:4]:
            result["rule"] = r"$\no formula$"
        text = page(report, tmp_path / "report.html", MALICIOUS)
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        parsed(text)

    def test_two_writes_give_the_same_bytes(self, report: dict[str, Any], tmp_path: Path) -> None:
        first = page(report, tmp_path / "a.html")
        pictures = {path.name: path.read_bytes() for path in tmp_path.glob("*.svg")}
        assert page(copy.deepcopy(report), tmp_path / "b.html") == first
        assert {path.name: path.read_bytes() for path in tmp_path.glob("*.svg")} == pictures
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["a.html", "b.html", *pictures])

    def test_the_plots_are_files_of_their_own(self, report: dict[str, Any], tmp_path: Path) -> None:
        text = page(report, tmp_path / "report.html")
        pictures = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.svg")}
        assert sorted(pictures) == ["curves", "energy", "footprint", "steps"]
        for picture in pictures.values():
            root = xml.etree.ElementTree.fromstring(picture)
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert picture.split(">", 1)[1].rstrip() in text

    def test_a_float_run_has_a_page(self, tmp_path: Path) -> None:
        text = page(given.make_report(results=[given.float_result("ottt-o")]), tmp_path / "report.html")
        assert "95.6" in text and "Rule by rule" not in text
        parsed(text)

    def test_every_rule_and_part_has_a_colour_of_its_own(self) -> None:
        assert set(PART_STYLES) == {*MEMORIES, *NAMED_OPERATIONS, "other operations", "clock", "leakage"}
        for styles in (PART_STYLES, RULE_STYLES):
            assert len({colour for colour, _ in styles.values()}) == len(styles)

    def test_a_stacked_bar_is_as_long_as_the_total(self, report: dict[str, Any]) -> None:
        from neurochip.report.plots import _energy

        figure = _energy(report)
        assert figure is not None
        ends: dict[float, float] = {}
        for bar in figure.axes[0].patches:
            ends[bar.get_y()] = max(ends.get(bar.get_y(), 0.0), bar.get_x() + bar.get_width())
        totals = [r["per_sample"]["energy_pj"]["total"] / 1e3 for r in report["results"] if r["precision"] == "fixed"]
        assert list(ends.values()) == pytest.approx(totals)

    def test_a_short_run_of_one_rule_has_a_page(self, report: dict[str, Any], tmp_path: Path) -> None:
        result = given.fixed_result("ottt-o")
        result["accuracy"]["per_epoch"] = []
        result["per_sample"] = given.per_sample(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        report["results"] = [result]
        report["history"]["footprint_by_steps"] = {"steps": [20], "rules": {"ottt-o": [549_100]}}
        text = page(report, tmp_path / "report.html")
        assert "Learning curves" not in text and "energy per sample (nJ)" in text
        parsed(text)
