"""Is a cost without training that of the activity assumed, and that of a finished run to the last digit?"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_experiment as tiny

from neurochip.config import load_experiment
from neurochip.cost_of_run import cost_of_run
from neurochip.errors import UserError
from neurochip.estimate import Asked, cost_from_rates, draw_point
from neurochip.estimate_document import SCHEMA
from neurochip.network.calibrate import assumed_fracs
from neurochip.network.named import named_network
from neurochip.network.shape import layer_shapes
from neurochip.repricing import load_run

RULES = ["infer", "ottt-o", "bptt-o", "ottt-a", "bptt"]


def priced(network: str = "60-24-5", asked: Asked | None = None, *overrides: str) -> dict[str, Any]:
    chosen = [f"run.rules={json.dumps(RULES)}", "task.steps=10", *overrides]
    return cost_from_rates(named_network(network, chosen), asked or Asked(n_samples=8))


def result(document: dict[str, Any], rule: str) -> dict[str, Any]:
    return next(one for one in document["results"] if one["rule"] == rule)


def test_the_document_names_what_was_priced_and_assumed() -> None:
    document = priced()
    assert document["schema"] == SCHEMA
    assert document["network"]["shape"] == "60-24-5"
    assert document["n_steps"] == 10
    assert [one["rule"] for one in document["results"]] == RULES
    assert document["activity"]["source"] == "assumed"
    assert document["activity"]["rate"] == [0.1, 0.1]
    assert document["activity"]["rate_source"] == "assumed"
    assert any("Nothing was trained" in note for note in document["notes"])
    assert [pair["rule"] for pair in document["sensitivity"]["pairs"]] == ["ottt-o", "ottt-a"]
    json.dumps(document, allow_nan=False)


def test_the_same_seed_gives_the_same_document_and_another_one_does_not() -> None:
    assert priced() == priced()
    assert priced(asked=Asked(n_samples=8, seed=2))["results"] != priced()["results"]


@pytest.mark.parametrize(("rates", "rule"), [((0.05, 0.2), "infer"), ((0.3, 0.0), "bptt-o")])
def test_events_are_those_of_the_rates(rates: tuple[float, ...], rule: str) -> None:
    counts = result(priced(asked=Asked(rates, n_samples=64)), rule)["per_sample"]["counts"]
    expected = 10 * (rates[0] * 60 + rates[1] * 24)
    assert counts["event_fifo_read"] == pytest.approx(expected, rel=0.05)


def test_more_events_cost_more_and_no_signal_costs_no_update() -> None:
    quiet, busy = priced(asked=Asked((0.02,))), priced(asked=Asked((0.2,)))
    for rule in RULES:
        assert (
            result(busy, rule)["per_sample"]["energy_pj"]["total"]
            > result(quiet, rule)["per_sample"]["energy_pj"]["total"]
        )
    silent = priced(asked=Asked(signal_steps=0.0))
    assert result(silent, "ottt-o")["per_sample"]["counts"]["synapse_write"] == 0
    assert result(silent, "bptt")["per_sample"]["counts"]["gradient_write"] == 0


def test_inference_alone_is_the_same_for_every_rule() -> None:
    document = priced()
    base = result(document, "infer")["per_sample"]["energy_pj"]
    for rule in RULES[1:]:
        own = result(document, rule)["per_sample_inference"]["energy_pj"]
        assert own["by_memory"] == base["by_memory"]
        assert own["by_operation"] == base["by_operation"]


def test_formats_hold_what_is_assumed_and_keys_of_the_experiment_win() -> None:
    experiment = tiny.tiny_experiment()
    shapes = layer_shapes(experiment, 400, 3)
    traces = [np.linspace(0.0, top, 4001) for top in (1.9, 3.7, 1.0)]
    found = assumed_fracs(experiment, shapes, (0.1, 0.2, 0.3), traces)
    headroom = experiment.precision.weight.free_bits
    for frac, active in zip(found.weight, (40.0, 1.4, 1.5), strict=True):
        largest = 3.2905 * experiment.network.init_gain / math.sqrt(active) * 2**headroom
        assert largest * 2**frac <= 127 < largest * 2 ** (frac + 1)
    assert found.trace == (7, 6, 7)  # 8 bits unsigned
    assert found.error[-1] == 6  # 1.0 in 8 bits signed
    given = tiny.tiny_experiment(precision__weight={"frac": 3}, precision__trace={"frac": [5, 4, 3]})
    kept = assumed_fracs(given, shapes, (0.1, 0.2, 0.3), traces)
    assert kept.weight == (3, 3, 3)
    assert kept.trace == (5, 4, 3)


def test_formats_of_traces_hold_both_leaks_of_a_current() -> None:
    """An event in every step: f -> 1 / (1 - 0.75) = 4 by the leak of the current, a -> 4 / (1 - 0.5) by the other."""
    asked = Asked((1.0, 1.0, 1.0), n_samples=2)
    fracs = {}
    for name, current in {"without": {}, "with": {"current_leak_shift": 2}}.items():
        layers = [{"kind": "dense", "neurons": 9}, {"kind": "dense", "neurons": 7, **current}, {"kind": "readout"}]
        given = {"network": {"layers": layers}, "task": {"steps": 60}}
        network = named_network("30-8-5", [])
        experiment = load_experiment(None, ['run.rules=["ottt-o"]'], tables=given)
        pricers, _, refused = draw_point(dataclasses.replace(network, experiment=experiment), asked)
        assert not refused
        fracs[name] = pricers["ottt-o"].spec.layers[1].frac_trace
    assert fracs == {"without": 6, "with": 4}  # just under 2 and under 8 in 8 bits, 255 the highest


def test_a_network_file_with_currents_is_priced_under_every_rule(tmp_path: Path) -> None:
    rules = ["infer", "sltt-o", "ottt-o", "bptt-o", "ottt-a", "bptt"]
    documents = []
    for name, current in {"with": ", current_leak_shift = 2", "without": ""}.items():
        path = tmp_path / f"{name}.toml"
        path.write_text(
            "inputs = 60\nclasses = 5\nlayers = ["
            f'{{ kind = "dense", neurons = 24{current} }}, {{ kind = "readout" }}]\n',
            encoding="utf-8",
        )
        overrides = [f"run.rules={json.dumps(rules)}", "task.steps=10"]
        documents.append(cost_from_rates(named_network(str(path), overrides), Asked(n_samples=8)))
    for rule in rules:
        ours, theirs = (result(document, rule) for document in documents)
        assert ours["footprint_bits"]["neuron"] - theirs["footprint_bits"]["neuron"] == 24 * 16
        extra = ours["footprint_bits"]["error"] - theirs["footprint_bits"]["error"]
        assert extra == (24 * 12 if rule in ("bptt-o", "bptt") else 0)
        for key in ("neuron_read", "neuron_write", "synapse_write" if rule == "sltt-o" else "event_fifo_read"):
            assert ours["per_sample"]["counts"][key] == theirs["per_sample"]["counts"][key]
        added = ours["per_sample"]["counts"]["shift"] - theirs["per_sample"]["counts"]["shift"]
        assert added >= 10 * 24  # the leak of i in every step
        assert ours["per_sample"]["energy_pj"]["total"] > theirs["per_sample"]["energy_pj"]["total"]


def test_whole_batches_are_drawn() -> None:
    document = priced("60-24-5", Asked(n_samples=5), "learning.batch=4")
    assert document["activity"]["n_samples"] == 8
    apply = result(document, "bptt")["per_sample"]["by_phase"]["apply"]["energy_pj"]
    single = result(priced("60-24-5", Asked(n_samples=8)), "bptt")["per_sample"]["by_phase"]["apply"]["energy_pj"]
    assert 0 < apply < single


def test_a_network_file_and_sizes_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(
        'inputs = 60\nclasses = 5\nlayers = [{ kind = "dense", neurons = 24 }, { kind = "readout" }]\n',
        encoding="utf-8",
    )
    assert priced(str(path))["results"] == priced()["results"]


def test_an_experiment_file_brings_sizes_and_input_rate_from_its_task(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    tables = tiny.tiny_tables()
    lines = [
        "[task]", 'name = "events-h5"', f'path = "{tables["task"]["path"]}"', "steps = 4",
        "[network]", 'layers = [{ kind = "dense", neurons = 7 }, { kind = "readout" }]',
    ]  # fmt: skip
    path = tmp_path / "experiment.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    document = cost_from_rates(named_network(str(path), []), Asked())
    assert document["network"]["shape"] == f"{2 * tiny.WIDTH**2}-7-3"
    recordings = 20 * 17 / 18  # 17 of 18 training samples have 20 to 39 events in 4 steps of 50 inputs
    assert recordings / 200 < document["activity"]["rate"][0] < 2 * recordings / 200
    assert document["activity"]["rate"][1] == 0.1
    assert "measured" in document["activity"]["rate_source"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    tiny.write_tiny_task(folder)
    tiny.run_tiny(folder, folder / "out", RULES)
    return folder / "out"


def test_the_activity_of_a_run_costs_what_its_report_says(run: Path) -> None:
    saved = load_run(run)
    document = cost_of_run(saved, None, None)
    reported = {one["rule"]: one for one in saved.report["results"] if one["precision"] == "fixed"}
    assert [one["rule"] for one in document["results"]] == list(reported) == RULES
    for one in document["results"]:
        for key in (
            "per_sample", "per_sample_inference", "footprint_bits", "ratio_to_bptt", "ratio_to_inference", "summary",
        ):  # fmt: skip
            assert one[key] == reported[one["rule"]][key], (one["rule"], key)
    assert document["history"] == saved.report["history"]
    assert document["chip"] == saved.report["chip"]


def test_some_rules_of_a_run_on_another_chip_with_other_lanes(run: Path, tmp_path: Path) -> None:
    from neurochip.chip import load_chip

    source = Path(load_chip("ottt-core-28nm").file).read_text(encoding="utf-8")
    chip = tmp_path / "eight.toml"
    chip.write_text(source.replace("\nlanes = 16  ", "\nlanes = 8  ", 1), encoding="utf-8")
    document = cost_of_run(load_run(run), ["ottt-o", "bptt-o"], str(chip))
    assert [one["rule"] for one in document["results"]] == ["ottt-o", "bptt-o"]
    own = cost_of_run(load_run(run), ["ottt-o", "bptt-o"], None)
    for rule in ("ottt-o", "bptt-o"):
        eight, sixteen = (result(one, rule)["per_sample"] for one in (document, own))
        assert eight["counts"]["ac"] == sixteen["counts"]["ac"]
        assert eight["energy_pj"]["clock"] != sixteen["energy_pj"]["clock"]


def test_a_rule_that_was_not_run_is_named(run: Path) -> None:
    with pytest.raises(UserError, match="--rules sltt-o: is not in the run"):
        cost_of_run(load_run(run), ["sltt-o"], None)


@pytest.mark.parametrize(
    ("network", "asked", "overrides", "words"),
    [
        ("60-24-5", Asked((0.1, 0.2, 0.3)), [], "--rate has 3 values"),
        ("60-24-5", Asked((1.2,)), [], "--rate is 1.2"),
        ("60-24-5", Asked(n_samples=0), [], "--samples is 0"),
        ("60-24-5", Asked(), ["precision.weight.bits=99"], "precision.weight.bits"),
        ("60-24-5", Asked(), ["chip.name=abacus"], "abacus"),
        ("9000-4000-10", Asked(), ["chip.overflow=refuse"], "memories.synapse holds"),
        ("60-0-5", Asked(), [], "a size is 0"),
        ("60x24", Asked(), [], "neither sizes nor a TOML or NIR file"),
        ("no.toml", Asked(), [], "no such file"),
    ],
)
def test_bad_input_is_one_sentence(network: str, asked: Asked, overrides: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        cost_from_rates(named_network(network, overrides), dataclasses.replace(asked))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inputs = 4\nclasses = 2\nsize = 3\nlayers = []", "size is an unknown key"),
        ("inputs = 0\nclasses = 2\nlayers = []", "inputs is 0"),
        ("inputs = 4\nlayers = []", "classes is None"),
        ("inputs = 4\nclasses = 2\nlayers = []", "the last layer"),
        ("inputs = ", "cannot be read as TOML"),
    ],
)
def test_a_broken_network_file_is_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=words) as caught:
        named_network(str(path), [])
    assert str(path) in str(caught.value)


def test_memories_grow_where_the_experiment_does_not_say_what_then() -> None:
    large = named_network("3000-400-10", ["task.steps=2", "run.rules=['ottt-o']"])
    assert cost_from_rates(large, Asked(n_samples=1))["chip"]["overflow"] == "grow"
    small = named_network("60-24-5", ["task.steps=2", "run.rules=['ottt-o']"])
    assert cost_from_rates(small, Asked(n_samples=1))["chip"]["overflow"] == "refuse"
