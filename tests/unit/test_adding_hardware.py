"""Does a microarchitecture come with one Python file and its clock, and a chip with one TOML file?

The two Python files of `toy_hardware` are found as if they lay in the folders of the packages, and nothing else is
touched; what they add is taken away again after each test.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny_experiment as tiny

import neurochip.microarch
import neurochip.reference
from neurochip._data import data_folder
from neurochip.chip import load_chip
from neurochip.errors import UserError
from neurochip.experiment import Report
from neurochip.microarch import list_microarchitectures, microarchitecture, registry
from neurochip.reference import clocks
from neurochip.repricing import load_run, reprice
from neurochip.run_directory import read_activity

SOURCES = Path(__file__).resolve().parent / "toy_hardware"
PLACES = ((neurochip.microarch, "toy.py"), (neurochip.reference, "clock_toy.py"))
BOTH = ("toy.py", "clock_toy.py")
DEFAULT = "chips/ottt-core-28nm.toml"
TOY = {
    'name = "ottt-core-28nm"': 'name = "toy"',
    'microarchitecture = "ottt_core"': 'microarchitecture = "toy"',
    "lanes = 16 ": "lanes = 1 ",
}
SYNAPSE = '[memories.synapse]\nstorage = "sram"\nbanks = 32\nbank_words = 1024\n'
ALL = 1000  # more recorded samples than there are
N_STEPS, N_TRAIN, DIV_CYCLES = tiny.N_STEPS, tiny.SPLITS["train"], 24
SHAPES = ((50, 7, 1), (7, 5, 0), (5, 3, 1))  # inputs, outputs and bias rows of the tiny network


@contextmanager
def toy_added(folder: Path, files: tuple[str, ...] = BOTH, fault: tuple[str, str] = ("", "")) -> Iterator[None]:
    """Add these files of the toy, each in a folder of its package; `fault` replaces a piece of the clock's text."""
    list_microarchitectures(), clocks.clock_of("")  # what the packages have is registered before and stays
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_MICROARCHITECTURES", dict(registry._MICROARCHITECTURES))
        patch.setattr(clocks, "_CLOCKS", dict(clocks._CLOCKS))
        for package, name in PLACES:
            place = folder / package.__name__
            place.mkdir(parents=True)
            patch.setattr(package, "__path__", [*package.__path__, str(place)])
            if name in files:
                text = (SOURCES / name).read_text(encoding="utf-8")
                if name.startswith("clock") and fault[0]:
                    assert text.count(fault[0]) == 1
                    text = text.replace(*fault)
                (place / name).write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            for package, name in PLACES:
                module = name.removesuffix(".py")
                sys.modules.pop(f"{package.__name__}.{module}", None)
                vars(package).pop(module, None)


def write_like(original: str, path: Path, replaced: Mapping[str, str]) -> Path:
    """The text of a file of hw_models with these pieces replaced, each of which it has once."""
    text = (data_folder("hw_models") / original).read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert text.count(f"\n{old}") == 1, old
        text = text.replace(f"\n{old}", f"\n{new}")
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    tiny.write_tiny_task(path)
    return path


@pytest.fixture(scope="module")
def toy_chip(folder: Path) -> Path:
    return write_like(DEFAULT, folder / "toy.toml", TOY)


def learn(folder: Path, out: Path, rule: str, chip: str | Path, engine: str = "fast", recorded: int = ALL) -> Report:
    changes = {"chip__name": str(chip), "run__activity_samples": recorded}
    return tiny.run_tiny(folder, out, [rule], "learn", engine=engine, **changes)


def report_bytes(report: Report) -> bytes:
    return (report.directory / "report.json").read_bytes()


def toy_cycles(report: Report, learns: bool) -> dict[str, float]:
    """Clocks of a sample by hand: one per weight and neuron, div_cycles per class, two per weight that is updated."""
    trace = read_activity(report.directory)["."].subset
    assert trace is not None and len(trace.sample_indices) == N_TRAIN
    rows = [trace.bitmaps[f"event/{index}"].sum() / N_TRAIN + N_STEPS * shape[2] for index, shape in enumerate(SHAPES)]
    delivered = sum(float(row) * n_out for row, (_, n_out, _) in zip(rows, SHAPES, strict=True))
    back = N_STEPS * (3 * DIV_CYCLES + 7 * 5 + 5 * 3)
    of_learning = {"error": back, "update": 2 * delivered} if learns else {}
    return {"deliver": delivered, "fire": N_STEPS * (7 + 5 + 3), **of_learning}


@pytest.mark.parametrize(("rule", "recorded"), [("infer", ALL), ("sltt-o", ALL), ("sltt-o", 4)])
def test_the_toy_gives_the_same_report_counted_and_clock_by_clock(
    rule: str, recorded: int, folder: Path, toy_chip: Path, tmp_path: Path
) -> None:
    with toy_added(tmp_path / "added"):
        assert load_chip(toy_chip).microarchitecture == "toy"
        counted = learn(folder, tmp_path / "fast", rule, toy_chip, recorded=recorded)
        ticked = learn(folder, tmp_path / "reference", rule, toy_chip, "reference", recorded)
    assert report_bytes(ticked) == report_bytes(counted)
    assert counted.data["chip"]["microarchitecture"] == "toy"
    assert counted.result(rule)["per_sample"]["cycles_sampled"] is None
    assert counted.result(rule)["per_sample"]["energy_pj"]["total"] > 0


@pytest.mark.parametrize("rule", ["infer", "sltt-o"])
def test_the_toy_takes_the_clocks_of_its_formula(rule: str, folder: Path, toy_chip: Path, tmp_path: Path) -> None:
    with toy_added(tmp_path / "added"):
        report = learn(folder, tmp_path / "run", rule, toy_chip)
    cost = report.result(rule)["per_sample"]
    expected = toy_cycles(report, rule == "sltt-o")
    assert {name: phase["cycles"] for name, phase in cost["by_phase"].items() if phase["cycles"]} == pytest.approx(
        expected, rel=1e-12
    )
    assert cost["cycles"] == pytest.approx(sum(expected.values()), rel=1e-12)
    assert cost["stalls"]["port"] == pytest.approx(expected.get("update", 0) / 2, rel=1e-12)


def test_two_ports_take_half_the_clocks_of_the_update(folder: Path, toy_chip: Path, tmp_path: Path) -> None:
    two_ports = TOY | {f'{SYNAPSE}ports = "1rw"': f'{SYNAPSE}ports = "1r1w"'}
    chip = write_like(DEFAULT, tmp_path / "toy.toml", two_ports)
    with toy_added(tmp_path / "added"):
        one = learn(folder, tmp_path / "one", "sltt-o", toy_chip).result("sltt-o")["per_sample"]
        counted = learn(folder, tmp_path / "fast", "sltt-o", chip)
        ticked = learn(folder, tmp_path / "reference", "sltt-o", chip, "reference")
    two = counted.result("sltt-o")["per_sample"]
    assert report_bytes(ticked) == report_bytes(counted)
    assert two["by_phase"]["update"]["cycles"] == one["by_phase"]["update"]["cycles"] / 2 > 0
    assert two["counts"] == one["counts"]


def test_a_clock_that_computes_something_else_stops_the_run(folder: Path, toy_chip: Path, tmp_path: Path) -> None:
    fault = ("self.sums[c] += value", "self.sums[c] += value + 1")
    with (
        toy_added(tmp_path / "added", fault=fault),
        pytest.raises(RuntimeError, match="tick model ended with other readout sums"),
    ):
        learn(folder, tmp_path / "run", "infer", toy_chip, "reference")


def test_a_clock_that_takes_longer_is_what_the_report_shows(folder: Path, toy_chip: Path, tmp_path: Path) -> None:
    fault = ("len(z) * self.div_cycles)", "len(z) * self.div_cycles + 1)")
    with toy_added(tmp_path / "added", fault=fault):
        counted, ticked = (
            learn(folder, tmp_path / engine, "sltt-o", toy_chip, engine).result("sltt-o")["per_sample"]["cycles"]
            for engine in ("fast", "reference")
        )
    assert ticked == pytest.approx(counted + N_STEPS, rel=1e-12)


def test_without_its_file_a_microarchitecture_is_unknown(folder: Path, toy_chip: Path, tmp_path: Path) -> None:
    with (
        toy_added(tmp_path / "added", files=("clock_toy.py",)),
        pytest.raises(UserError, match=r'microarchitecture = "toy" is unknown; allowed are .*ottt_core'),
    ):
        learn(folder, tmp_path / "run", "infer", toy_chip)
    assert not (tmp_path / "run").exists()


def test_a_rule_the_toy_cannot_run_is_refused_before_anything_is_written(
    folder: Path, toy_chip: Path, tmp_path: Path
) -> None:
    with (
        toy_added(tmp_path / "added"),
        pytest.raises(UserError, match=r"credit trace .* allowed are the rules infer and sltt-o"),
    ):
        learn(folder, tmp_path / "run", "ottt-o", toy_chip)
    assert not (tmp_path / "run").exists()


def test_a_saved_run_is_priced_again_on_the_toy(folder: Path, toy_chip: Path, tmp_path: Path) -> None:
    saved = learn(folder, tmp_path / "saved", "sltt-o", "ottt-core-28nm")
    with toy_added(tmp_path / "added"):
        learned = learn(folder, tmp_path / "learned", "sltt-o", toy_chip).result("sltt-o")
        (again, _) = reprice(load_run(saved.directory), str(toy_chip))["results"]
    for key in ("cycles", "stalls", "bits_moved"):
        assert again["per_sample"][key] == pytest.approx(learned["per_sample"][key], rel=1e-12)
        assert again["per_sample_inference"][key] == pytest.approx(learned["per_sample_inference"][key], rel=1e-12)


def test_nothing_of_the_toy_is_left_behind(tmp_path: Path) -> None:
    before = [entry.name for entry in list_microarchitectures()]
    assert clocks.clock_of("toy") is None
    modules = set(sys.modules)
    with toy_added(tmp_path):
        assert [entry.name for entry in list_microarchitectures()] == sorted([*before, "toy"])
        clock = clocks.clock_of("toy")
        assert getattr(clock, "__name__", None) == "ToyClock"
        assert set(sys.modules) - modules == {"neurochip.microarch.toy", "neurochip.reference.clock_toy"}
    assert [entry.name for entry in list_microarchitectures()] == before
    assert clocks.clock_of("toy") is None
    assert clocks.clock_of("ottt_core") is not None
    assert set(sys.modules) == modules
    with pytest.raises(UserError, match="toy"):
        microarchitecture("toy")


@pytest.mark.parametrize("technology", ["22nm", "25nm.toml"])
def test_a_chip_is_one_toml_file_and_so_is_a_technology(technology: str, folder: Path, tmp_path: Path) -> None:
    """Another technology and other lanes: a run on the chip, and a saved run priced again, give the same costs."""
    write_like(
        "technology/28nm.toml",
        tmp_path / "25nm.toml",
        {'name = "28nm"': 'name = "25nm"', "node_nm = 28\n": "node_nm = 25\n"},
    )
    small = {
        'name = "ottt-core-28nm"': 'name = "small"',
        'technology = "28nm"': f'technology = "{technology}"',
        "lanes = 16 ": "lanes = 4 ",
        "trace_lanes = 16": "trace_lanes = 8",
    }
    chip = write_like(DEFAULT, tmp_path / "small.toml", small)
    saved = learn(folder, tmp_path / "saved", "sltt-o", "ottt-core-28nm")
    learned = learn(folder, tmp_path / "learned", "sltt-o", chip)
    repriced = reprice(load_run(saved.directory), str(chip))
    assert learned.data["chip"]["name"] == repriced["chip"]["name"] == "small"
    name = technology.removesuffix(".toml")
    assert learned.data["chip"]["technology"] == repriced["chip"]["technology"] == name
    (again, _), own, first = repriced["results"], learned.result("sltt-o"), saved.result("sltt-o")
    assert flat(again["per_sample"]) == pytest.approx(flat(own["per_sample"]), rel=1e-12)
    assert flat(again["per_sample_inference"]) == pytest.approx(flat(own["per_sample_inference"]), rel=1e-12)
    assert own["accuracy"] == first["accuracy"]
    assert own["per_sample"]["cycles"] > first["per_sample"]["cycles"]
    assert own["per_sample"]["energy_pj"]["total"] != first["per_sample"]["energy_pj"]["total"]


def flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with dotted keys and without what is None."""
    found: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            found |= flat({str(index): item for index, item in enumerate(value)}, f"{prefix}{key}.")
        elif value is not None:
            found[prefix + key] = value
    return found
