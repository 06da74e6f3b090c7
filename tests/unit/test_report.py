"""Does every output format say what the report says, and nothing else?"""

from __future__ import annotations

import copy
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import report_fixture as given
from rich.console import Console

from neurochip.counters import COUNTER_KEYS, MEMORIES, OPERATIONS, PHASES, is_memory
from neurochip.errors import UserError
from neurochip.report import load_schema, print_report, read_report_json, write_report_json
from neurochip.report.sentences import chip_sentence, hanging_on, history_sentence, verdict
from neurochip.report.table import number

RULES = list(given.RULES)


def printed(report: dict[str, Any], width: int = 100) -> list[str]:
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=width))
    return stream.getvalue().splitlines()


def problems(report: dict[str, Any]) -> list[str]:
    return [e.json_path for e in jsonschema.Draft202012Validator(load_schema()).iter_errors(report)]


@pytest.fixture
def report() -> dict[str, Any]:
    made: dict[str, Any] = given.make_report()
    return made


class TestSchema:
    def test_is_a_valid_schema_that_the_report_meets(self, report: dict[str, Any]) -> None:
        jsonschema.Draft202012Validator.check_schema(load_schema())
        assert problems(report) == []

    def test_a_float_twin_may_lack_the_costs(self, report: dict[str, Any]) -> None:
        report["results"][1] = {k: v for k, v in report["results"][1].items() if v is not None}
        assert "per_sample" not in report["results"][1]
        assert problems(report) == []

    @pytest.mark.parametrize(
        "damage",
        [
            lambda r: r.pop("history"),
            lambda r: r.update(schema="neurochip-report/2"),
            lambda r: r["results"][0].update(per_sample=None),
            lambda r: r["results"][0].pop("ratio_to_bptt"),
            lambda r: r["results"][0]["accuracy"].update(test=91.1),
            lambda r: r["results"][0]["per_sample"]["counts"].update(synapse_reads=1),
            lambda r: r["results"][0]["per_sample"]["energy_pj"].update(sram=1.0),
            lambda r: r["results"][0]["formats"].update(weight=["8.7"]),
            lambda r: r["chip"]["provenance"][0].update(kind="guessed"),
        ],
    )
    def test_refuses_a_damaged_report(self, damage: Any, report: dict[str, Any]) -> None:
        damage(report)
        assert len(problems(report)) >= 1

    def test_names_are_those_of_the_counter_table(self) -> None:
        shape = load_schema()["$defs"]["per_sample"]["properties"]
        energy = shape["energy_pj"]["properties"]
        assert shape["counts"]["propertyNames"]["enum"] == list(COUNTER_KEYS)
        assert shape["bits_moved"]["propertyNames"]["enum"] == [key for key in COUNTER_KEYS if is_memory(key)]
        assert shape["by_phase"]["propertyNames"]["enum"] == list(PHASES)
        assert energy["by_memory"]["propertyNames"]["enum"] == list(MEMORIES)
        assert energy["by_operation"]["propertyNames"]["enum"] == list(OPERATIONS)

    def test_every_key_is_documented(self, source_tree: Path) -> None:
        text = (source_tree / "docs" / "report.md").read_text(encoding="utf-8")
        keys: set[str] = set()

        def collect(node: Any) -> None:
            for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
                collect(child)
            if isinstance(node, dict):
                keys.update(node.get("properties", {}) if isinstance(node.get("properties"), dict) else {})

        schema = load_schema()
        schema["$defs"].pop("experiment")  # docs/experiment.md lists its keys
        collect(schema)
        assert {key for key in keys if not re.search(rf"\b{key}\b", text)} == set()


class TestJson:
    def test_reads_back_what_was_written_in_the_same_order(self, report: dict[str, Any], tmp_path: Path) -> None:
        report["target_accuracy"] = 0.1 + 0.2
        report["name"] = "größe µ"
        write_report_json(report, tmp_path / "report.json")
        back = read_report_json(tmp_path / "report.json")
        assert json.dumps(back) == json.dumps(report)
        assert "größe µ" in (tmp_path / "report.json").read_text(encoding="utf-8")

    def test_two_writes_give_the_same_bytes_and_leave_one_file(self, report: dict[str, Any], tmp_path: Path) -> None:
        path = tmp_path / "report.json"
        write_report_json(report, path)
        first = path.read_bytes()
        write_report_json(copy.deepcopy(report), path)
        assert path.read_bytes() == first
        assert first.endswith(b"}\n") and b"\r" not in first
        assert [p.name for p in tmp_path.iterdir()] == ["report.json"]

    def test_what_json_cannot_hold_leaves_the_old_file(self, report: dict[str, Any], tmp_path: Path) -> None:
        write_report_json(report, tmp_path / "report.json")
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_report_json({**report, "target_accuracy": float("nan")}, tmp_path / "report.json")
        assert read_report_json(tmp_path / "report.json") == report

    def test_a_failed_write_leaves_no_file_behind(self, report: dict[str, Any], tmp_path: Path) -> None:
        (tmp_path / "report.json").mkdir()
        with pytest.raises(OSError, match=r"report\.json"):
            write_report_json(report, tmp_path / "report.json")
        assert [p.name for p in tmp_path.iterdir()] == ["report.json"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, "there is no such file"),
            ("{", "cannot be read as JSON"),
            ("[1]", "schema is None"),
            ('{"schema": "neurochip-sweep/1"}', "schema is 'neurochip-sweep/1'; only .* 'neurochip-report/1'"),
            ('{"schema": "neurochip-report/1"}', "key name is missing"),
        ],
    )
    def test_a_bad_file_is_named(self, text: str | None, message: str, tmp_path: Path) -> None:
        path = tmp_path / "other.json"
        if text is not None:
            path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=rf"other\.json: .*{message}"):
            read_report_json(path)


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, "–"),
            (0, "0"),
            (0.965, "0.965"),
            (1.0, "1.00"),
            (9.996, "10.0"),
            (99.96, "100"),
            (123_456.7, "123,457"),
            (-0.01234, "-0.0123"),
            (0.00002, "2.00e-05"),
        ],
    )
    def test_three_significant_digits_and_never_fewer_than_the_whole_part(self, value: float | None, text: str) -> None:
        assert number(value) == text


class TestConsole:
    def headline(self, report: dict[str, Any]) -> dict[str, list[str]]:
        lines = printed(report)
        start = next(i for i, line in enumerate(lines) if "latency" in line)
        table = lines[start : lines.index("", start)]
        return {line.split()[0]: line.split()[1:] for line in table if line.split()[0] in ("rule", *RULES)}

    def test_the_headline_table_holds_every_number_once(self, report: dict[str, Any]) -> None:
        rows = self.headline(report)
        assert list(rows) == ["rule", *RULES]
        assert " ".join(rows["ottt-o"]) == "94.2 95.6 313 296 549 38.4 4,920 167 25.1 2.64 2.25 7.58"
        assert " ".join(rows["bptt"]) == "94.9 96.2 423 219 2,176 47.9 12,300 64.7 55.9 1.00 1.00 10.4"
        assert rows["infer"][-3:] == ["–", "–", "–"]
        numbers = [text for rule in RULES for text in rows[rule] if text not in ("–", "1.00")]
        assert len(numbers) == len(set(numbers)) == 5 * 12 - 3 - 4

    @pytest.mark.parametrize("width", [100, 80, 60])
    def test_no_line_is_wider_than_the_console_and_no_row_is_broken(self, width: int, report: dict[str, Any]) -> None:
        lines = printed(report, width)
        assert max(map(len, lines)) <= width
        starts = [line.split()[0] for line in lines if line[:1].strip() and line.split()[0] in RULES]
        assert starts == RULES * (len(starts) // len(RULES))
        titles = [word for line in lines if line.startswith("rule") for word in line.split()]
        assert titles.count("×BPTT") == 2 and titles.count("×infer") == 1
        assert {"2.64", "7.58", "25.1"} <= {word for line in lines for word in line.split()}

    def test_100_columns_hold_the_headline_table_in_one_block(self, report: dict[str, Any]) -> None:
        assert sum(line.startswith("rule") for line in printed(report)) == 2

    def test_the_header_says_chip_overflow_and_history(self, report: dict[str, Any]) -> None:
        text = " ".join(" ".join(printed(report)).split())
        for part in ("512-128-10", "T = 20", "150 MHz", "overflow = refuse", "T* = 463 steps", "from T = 98 on"):
            assert text.count(part) == 1

    def test_a_history_that_never_leaves_is_not_given_a_number(self, report: dict[str, Any]) -> None:
        report["history"] |= {"steps_history_equals_weights": None, "steps_history_leaves_chip": None}
        assert not any(line.startswith("history") for line in printed(report))
        assert problems(report) == []

    def test_a_single_result_is_printed_without_a_verdict_on_the_group(self) -> None:
        lines = printed(given.make_report(results=[given.fixed_result("ottt-o")]))
        assert sum(line.startswith("ottt-o ") for line in lines) == 2
        assert not any("Cheapest" in line for line in lines)

    def test_a_float_run_has_accuracies_and_no_costs(self) -> None:
        lines = printed(given.make_report(results=[given.float_result("ottt-o")]))
        row = next(line for line in lines if line.startswith("ottt-o ")).split()
        assert row == ["ottt-o", "–", "95.6", *["–"] * 10]

    def test_names_are_text_not_markup(self) -> None:
        assert printed(given.make_report(name="[red]a[/b]"))[0] == "[red]a[/b]"

    def test_a_terminal_without_unicode_gets_plain_letters(self, report: dict[str, Any]) -> None:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii")
        print_report({**report, "notes": ["größer"]}, Console(file=stream, width=100))
        stream.flush()
        text = raw.getvalue().decode("ascii")
        assert "us" in text and "xBPTT" in text and "Note: gr??er" in text


class TestVerdict:
    def with_energy_ratio(self, energy: float) -> str:
        result = given.fixed_result("ottt-o")
        result["ratio_to_bptt"]["energy"] = energy
        return " ".join(verdict(given.make_report(results=[result])))

    def test_says_when_bptt_is_cheaper(self) -> None:
        text = self.with_energy_ratio(3.1)
        assert text.startswith(
            "BPTT is cheaper than OTTT here: ottt-o needs 3.10 times the energy of bptt-o, 2.25 times"
        )

    def test_says_when_bptt_is_dearer(self) -> None:
        text = self.with_energy_ratio(0.45)
        assert text.startswith("OTTT is cheaper than BPTT here: ottt-o needs 0.450 times the energy of bptt-o")

    def test_says_when_they_are_equal(self) -> None:
        assert self.with_energy_ratio(1.001).startswith("OTTT and BPTT cost the same energy here")

    def test_names_the_cheapest_rule_of_each_group_and_each_cost(self, report: dict[str, Any]) -> None:
        sentences = [sentence for sentence in verdict(report) if sentence.startswith("Cheapest")]
        assert sentences == [
            "Cheapest rule without gradient memory: in energy bptt-o (118 nJ), in latency bptt-o (131 µs), "
            "in memory ottt-o (549 kbit); most accurate ottt-o (94.2 % test).",
            "Cheapest rule with gradient memory: in energy bptt (423 nJ), in latency bptt (219 µs), "
            "in memory ottt-a (2,157 kbit); most accurate bptt (94.9 % test).",
        ]

    def test_says_in_one_place_how_a_rule_compares_and_what_flips_the_order(self, report: dict[str, Any]) -> None:
        report["sensitivity"] = given.sensitivity()
        (line,) = (line for line in verdict(report) if "ottt-o needs" in line)
        assert line.endswith("1 of 2 numbers of chip and formats, each turned alone, flips it: lanes from 32 (now 16).")
        (other,) = (line for line in verdict(report) if "ottt-a needs" in line)
        assert other.endswith("times its memory.")  # no section on it, nothing said

    def test_leaves_the_long_sentences_to_the_page(self, report: dict[str, Any]) -> None:
        report["sensitivity"] = given.sensitivity()
        long = hanging_on(report)
        assert long == [*report["flips"], "Energy of ottt-o over bptt-o: 2.64. It flips.", "Equal SRAM."]
        lines = " ".join(printed(report))
        assert not any(sentence in lines for sentence in long)
        assert "report.html has more: what moves each ratio" in lines
        again = " ".join(printed({**report, "repriced": {}}))
        assert "The JSON form has more" in again and "report.html" not in again
        assert "has more" not in " ".join(printed({**report, "flips": [], "sensitivity": None}))

    def test_a_tie_names_both(self, report: dict[str, Any]) -> None:
        report["results"][4]["per_sample"]["latency_us"] = report["results"][2]["per_sample"]["latency_us"]
        assert "in latency ottt-o and bptt-o (296 µs)" in verdict(report)[0]


def test_a_chip_file_of_another_name_than_the_chip_is_named(report: dict[str, Any]) -> None:
    assert chip_sentence(report).startswith("ottt-core-28nm (ottt_core, 28nm), 150 MHz")
    report["experiment"]["chip"]["name"] = "ottt-core-28nm.toml"
    assert "file" not in chip_sentence(report)
    report["experiment"]["chip"]["name"] = "eight-lanes.toml"
    assert chip_sentence(report).startswith("ottt-core-28nm (file eight-lanes.toml, ottt_core, 28nm), 150 MHz")


@pytest.mark.parametrize(
    ("overflow", "end"),
    [("refuse", "from T = 98 on"), ("dram", "on and lies in DRAM"), ("grow", "on, whose memory grows")],
)
def test_where_a_history_goes_that_does_not_fit(report: dict[str, Any], overflow: str, end: str) -> None:
    report["chip"]["overflow"] = overflow
    assert history_sentence(report).endswith(end)


def test_importing_the_package_is_light() -> None:
    code = "import sys, neurochip.report; print({'matplotlib', 'jinja2', 'rich', 'numpy', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
