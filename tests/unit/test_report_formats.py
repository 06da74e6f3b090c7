"""Formats of a report: what they say is what report.json says, and no text of it is read as markup."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from report_fixture import make_report

from neurochip.errors import UserError
from neurochip.report import markdown
from neurochip.report.csv_format import report_csv
from neurochip.report.formats import FORMATS, REPORT, find_format, loaded
from neurochip.report.html import report_page
from neurochip.report.rows import QUANTITIES, UNITS, WORDS, rows_of
from neurochip.report.yaml_text import yaml_text

NASTY = "a_b%c & $d# {e} ~f^ \\g | <i>h</i> `k` \"l\" 'm' [n] --o ,,p\n# q 中 é µ"


def named_report(name: str) -> dict[str, Any]:
    """A report whose name, rules and notes are a text that every markup knows a meaning of."""
    report = make_report(name=name, notes=[name])
    for result in report["results"]:
        result["rule"] = result["rule"].replace("ottt-o", name)
    report["history"]["footprint_by_steps"]["rules"] = {}
    return report


def test_every_entry_names_functions_that_are_there() -> None:
    for name, entry in FORMATS.items():
        assert entry.name == name
        for path in (entry.writer, entry.comparison, entry.content):
            if path not in (None, REPORT):
                assert callable(loaded(str(path)))
    assert [name for name, entry in FORMATS.items() if entry.is_folder] == ["accelergy", "sanafe"]


def test_an_unknown_format_is_named_with_those_that_are_known() -> None:
    with pytest.raises(UserError, match=r"^--format abacus is unknown; allowed are text, json, csv, "):
        find_format("abacus")


def test_csv_has_a_row_per_rule_and_precision_that_reads_back_exactly() -> None:
    report = make_report()
    rows = list(csv.DictReader(io.StringIO(report_csv(report))))
    assert [(row["rule"], row["precision"]) for row in rows] == [
        (result["rule"], result["precision"]) for result in report["results"]
    ]
    for row, result in zip(rows, report["results"], strict=True):
        assert float(row["accuracy_test"]) == result["accuracy"]["test"]
        cost = result["per_sample"]
        if cost is None:
            assert row["energy_pj"] == row["synapse_read_words"] == row["energy_inference_pj"] == ""
            continue
        assert float(row["energy_pj"]) == cost["energy_pj"]["total"]
        assert float(row["energy_trace_pj"]) == cost["energy_pj"]["by_memory"]["trace"]
        assert float(row["energy_gradient_pj"]) == 0.0  # a memory without accesses is absent in report.json
        assert float(row["cycles_phase_update"]) == cost["by_phase"]["update"]["cycles"]
        assert float(row["mac_operations"]) == cost["counts"]["mac"]
        assert float(row["latency_inference_us"]) == result["per_sample_inference"]["latency_us"]
        assert int(row["footprint_synapse_bits"]) == result["footprint_bits"]["synapse"]
    ottt = rows[2]
    assert float(ottt["energy_over_bptt"]) == 2.64 and ottt["macs_over_bptt"] == ""
    assert float(ottt["energy_to_accuracy_uj"]) == 217.5


def test_the_columns_of_a_row_do_not_depend_on_the_report() -> None:
    names = [*WORDS, *(quantity.name for quantity in QUANTITIES), "refused"]
    assert len(set(names)) == len(names)
    few = make_report(results=make_report()["results"][:1])
    assert [list(row) for row in rows_of(few)] == [names]
    ends = {
        "pJ": "pj",
        "bit": "bits",
        "us": "us",
        "mm2": "mm2",
        "mW": "mw",
        "words": "words",
        "operations": "operations",
    }
    for name, unit in UNITS.items():
        assert unit not in ends or name.endswith(f"_{ends[unit]}"), name


def test_a_rule_that_a_chip_refuses_says_why() -> None:
    report = make_report()
    report["results"][2] |= {"per_sample": None, "per_sample_inference": None, "refused": "too big, too wide"}
    assert list(csv.DictReader(io.StringIO(report_csv(report))))[2]["refused"] == "too big, too wide"


def test_markdown_has_the_numbers_and_units_of_the_console() -> None:
    lines = report_lines(make_report())
    (head,) = [line for line in lines if line.startswith("| group | rule | test (%) | float (%) | energy (nJ) |")]
    columns = cells(head)
    row = next(cells(line) for line in lines if line.startswith("| without gradient memory (BPTT: bptt-o) | ottt-o |"))
    found = dict(zip(columns, row, strict=True))
    assert (found["test (%)"], found["energy (nJ)"], found["latency (µs)"], found["energy (×BPTT)"]) == (
        "94.2", "313", "296", "2.64",
    )  # fmt: skip
    widths = {len(cells(line)) for line in lines[lines.index(head) : lines.index(head) + 7]}
    assert widths == {len(columns)}
    assert "- infer: weights trained off the chip and loaded." in lines


def report_lines(report: dict[str, Any]) -> list[str]:
    return markdown.report_markdown(report).splitlines()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown_lets_no_text_become_markup() -> None:
    lines = report_lines(named_report(NASTY))
    assert lines[0].startswith("# a\\_b%c \\& \\$d\\# \\{e\\} \\~f^ \\\\g \\| \\<i\\>h")
    tables = [line for line in lines if line.startswith("|")]
    by_table = [len(cells(line)) for line in tables]
    assert len(by_table) > 12 and all(length > 3 for length in by_table)
    nasty_rows = [cells(line) for line in tables if "a\\_b" in line]
    assert nasty_rows and all("\n" not in cell for row in nasty_rows for cell in row)
    head = next(cells(line) for line in tables if "test (%)" in line)
    assert len(next(row for row in nasty_rows if len(row) == len(head))) == len(head)


@pytest.mark.parametrize("text", ["1. x", "2) x", "- x", "+ x", "= x", "-"])
def test_a_line_of_markdown_begins_no_list(text: str) -> None:
    assert "\\" in markdown.escaped(text)
    assert markdown.escaped(text).replace("\\", "") == text


@pytest.mark.parametrize("text", ["97.2", "-3", "ottt-o", "1.5x"])
def test_numbers_and_names_stay_as_they_are_in_markdown(text: str) -> None:
    assert markdown.escaped(text) == text


class Tags(HTMLParser):
    """The tags of a page, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_has_the_texts_of_the_report_and_none_of_their_tags() -> None:
    page = Tags()
    page.feed(report_page(named_report("<i>x</i>")))
    assert "i" not in page.tags
    assert "<i>x</i>" in page.texts


@pytest.mark.parametrize("name", ["csv", "markdown", "latex", "html", "text", "json"])
def test_the_same_report_gives_the_same_bytes(name: str) -> None:
    def written() -> object:
        report = make_report()
        return FORMATS[name].write(report if name != "html" else {"report": report, "commands": ["neurochip compare"]})

    assert written() == written()


def test_json_is_the_report() -> None:
    assert json.loads(str(FORMATS["json"].write(make_report()))) == make_report()


MOST = 4  # entries of a list or table: more make the drawing slow and show no more
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            PLAIN,
            lambda inner: st.lists(inner, max_size=MOST) | st.dictionaries(st.text(), inner, max_size=MOST),
            max_leaves=12,
        ),
        max_size=MOST,
    )
)
def test_yaml_reads_back_the_same(content: dict[str, Any]) -> None:
    assert (yaml.safe_load(yaml_text(content)) or {}) == content


@pytest.mark.parametrize("value", [1e-06, 1.5e-300, 2e16, 1e22, "no", "1e3", "a: b", "# c", "", "0x1f", "null", "é\n"])
def test_yaml_keeps_numbers_numbers_and_texts_texts(value: Any) -> None:
    found = yaml.safe_load(yaml_text({"key": [{"value": value}, value]}))
    assert found == {"key": [{"value": value}, value]}
    assert type(found["key"][1]) is type(value)


def test_a_comment_of_yaml_stays_on_its_line() -> None:
    assert yaml.safe_load(yaml_text({"a": 1}, ["x\nb: 2"])) == {"a": 1}
