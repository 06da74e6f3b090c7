"""Does the command line say what there is, and start fast enough to ask it?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from neurochip._version import __version__
from neurochip.chip import list_chips, load_chip
from neurochip.network.named import list_networks
from neurochip.rules.presets import DEFAULT_COMPARISON, RULES
from neurochip.tasks import list_tasks

from .conftest import Command, environment

LISTS = ("chips", "tasks", "rules", "networks")
RUN_OPTIONS = {"--set", "--chip", "--out", "--resume", "--engine", "--json", "--quiet", "--help"}
OPTIONS = {
    (): {"--version", "--help"},
    ("learn",): RUN_OPTIONS | {"--network"},
    ("compare",): RUN_OPTIONS | {"--network", "--rules", "--tune"},
    ("report",): {
        *("--chip", "--format", "--split", "--sample", "--rule", "--neurons", "--synapses", "--cycles"),
        *("--compare", "--out", "--help"),
    },
    ("precision",): {
        *("--sweep", "--method", "--seeds", "--points", "--draw", "--workers", "--scheduler", "--from", "--twin"),
        *("--network", "--set", "--chip", "--out", "--json", "--quiet", "--help"),
    },
    ("diagnose",): {"--samples", "--json", "--quiet", "--help"},
    ("convert",): {
        *("--format", "--sensor-size", "--encoder", "--set", "--split-fraction", "--seed", "--limit"),
        *("--skip-damaged", "--exclude", "--quiet", "--help"),
    },
    ("export",): {"--format", "--out", "--rule", "--help"},
    **{(name,): {"--json", "--help"} for name in LISTS[1:]},
    ("chips",): {"--json", "--show", "--help"},
}
# pydantic is not among them: typer itself uses it to read the options of a command.
HEAVY = {
    *("dask", "h5py", "jinja2", "matplotlib", "nir", "numba", "numpy", "rich", "scipy", "sklearn", "tonic"),
    *("neurochip.config", "neurochip.experiment"),
}
LOADED = """
import sys
from neurochip.cli import main
code = main(sys.argv[1:])
print("LOADED", *sorted(sys.modules))
sys.exit(code)
"""


@pytest.mark.parametrize("command", OPTIONS, ids=lambda command: " ".join(command) or "neurochip")
def test_help_lists_every_option_and_loads_nothing_heavy(command: tuple[str, ...]) -> None:
    line = [sys.executable, "-c", LOADED, *command, "--help"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), check=True)
    text, _, loaded = done.stdout.partition("LOADED ")
    assert done.stderr == ""
    assert set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", text, re.MULTILINE)) == OPTIONS[command]
    assert HEAVY & set(loaded.split()) == set()


def test_help_lists_every_command_with_one_line(call: Command) -> None:
    done = call("--help")
    assert re.findall(r"^  (\w+) {2,}\S", done.out.partition("Commands:")[2], re.MULTILINE) == [
        *("learn", "compare", "validate", "report", "cost", "precision", "diagnose", "convert", "export", *LISTS)
    ]
    assert "..." not in done.out.partition("Commands:")[2]


def test_no_command_and_the_short_option_show_the_same_help(call: Command) -> None:
    expected = call("--help")
    assert expected.code == 0
    assert call() == call("-h") == expected


def test_version(call: Command) -> None:
    done = call("--version")
    assert (done.code, done.out, done.err) == (0, f"neurochip {__version__}\n", "")


def test_the_module_is_the_command(start: Command, call: Command) -> None:
    assert start("--version") == call("--version")


def test_help_of_compare_names_the_default_rules(call: Command) -> None:
    assert ",".join(DEFAULT_COMPARISON) in call("compare", "--help").out


def names_of(kind: str) -> list[str]:
    names = {"chips": list_chips(), "tasks": [task.name for task in list_tasks()], "rules": [r.name for r in RULES],
             "networks": [network.name for network in list_networks()]}  # fmt: skip
    return names[kind]


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_names_everything_in_order_one_line_each(kind: str, call: Command) -> None:
    done = call(kind)
    assert (done.code, done.err) == (0, "")
    found = [line.split()[0] for line in done.out.splitlines() if line]
    assert [name for name in found if name in names_of(kind)] == names_of(kind)
    assert found[0] == "name"


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_in_json_names_the_same(kind: str, call: Command) -> None:
    done = call(kind, "--json")
    assert (done.code, done.err) == (0, "")
    assert [row["name"] for row in json.loads(done.out)] == names_of(kind)


def test_rules_show_axes_group_and_summary(call: Command) -> None:
    rows = json.loads(call("rules", "--json").out)
    table = call("rules").out.splitlines()
    for rule, row in zip(RULES, rows, strict=True):
        axes = dict(zip(("temporal", "spatial", "update"), rule.axes, strict=True))
        values = {"name": rule.name, **axes, "group": rule.group, "summary": rule.summary}
        assert row == values
        (line,) = [line for line in table if line.split()[:1] == [rule.name]]
        assert re.split(r" {2,}", line.rstrip()) == list(values.values())


def test_networks_show_inputs_and_sizes(call: Command) -> None:
    rows = json.loads(call("networks", "--json").out)
    (vgg,) = [row for row in rows if row["name"] == "vgg-sws"]
    assert (vgg["inputs"], vgg["n_parameters"], vgg["n_neurons"]) == ("3x32x32", 9_225_610, 409_600)
    (line,) = [line for line in call("networks").out.splitlines() if line.split()[:1] == ["vgg-sws"]]
    assert line.split()[1:5] == ["3x32x32", "10", "9225610", "409600"]


def test_the_file_of_a_chip_is_printed_and_is_the_same_chip(call: Command, folder: Path) -> None:
    (folder / "mine.toml").write_text(call("chips", "--show", "ottt-core-28nm").out, encoding="utf-8")
    mine, packaged = load_chip(folder / "mine.toml"), load_chip("ottt-core-28nm")
    assert mine.model_dump() == packaged.model_dump()
    done = call("chips", "--show", "ottt-core")
    assert (done.code, done.out) == (2, "")
    assert "ottt-core-28nm" in done.err


def test_capacities_of_chips_follow_from_words_lanes_and_default_formats(call: Command) -> None:
    (row,) = [row for row in json.loads(call("chips", "--json").out) if row["name"] == "ottt-core-28nm"]
    chip = load_chip("ottt-core-28nm")
    words = {name: memory.banks * memory.bank_words for name, memory in chip.memories.items()}
    assert row["memory_words"] == words
    # Bits of a word: 16 lanes of 8-bit weights, 16 lanes of 24-bit gradients, and what the file states.
    bits = {"synapse": 16 * 8, "gradient": 16 * 24, "history": chip.history_word_bits}
    assert row["memory_kb"] == {name: words[name] * bits[name] / 8192 for name in bits}
    assert (row["technology"], row["clock_mhz"], row["lanes"]) == ("28nm", chip.clock_mhz, 16)


def test_a_narrow_terminal_wraps_prose_and_cuts_no_word(call: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setenv("NO_COLOR", "1")
    for kind in LISTS:
        lines = re.sub(r"\x1b\[\d*m", "", call(kind).out).splitlines()
        assert "…" not in "".join(lines)
        assert max(len(line.rstrip()) for line in lines if "=" not in line) <= 80
