"""Do the mean rates of an activity draw an activity like it, and a finished run the costs of itself?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_rules as made
import tiny_experiment as tiny
from random_events import random_recordings

from neurochip.activity import FIELD_INDEX, Activity
from neurochip.config import parse_experiment
from neurochip.errors import UserError
from neurochip.estimate import Asked, cost_from_rates
from neurochip.event_file import write_recordings
from neurochip.measured_rates import mean_rates
from neurochip.network.named import named_network
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import Fracs, layer_shapes
from neurochip.repricing import load_run
from neurochip.rules.presets import find_rule
from neurochip.spec import CoreSpec
from neurochip.synthetic import Assumed, activity_of_drawing, draw_trace, steps_and_layers

STEPS = 4
GIVEN = Assumed(
    rate=((0.3, 0.02), (0.05, 0.3), (0.1, 0.2), (0.0, 0.1)),
    psi=((0.9,), (0.5,), (0.3,), (0.4,)),
    signal_steps=((0.0, 1.0), (0.5, 0.5), (0.75, 1.0), (1.0, 1.0)),
    signal=((0.0, 1.0), (0.2, 0.9), (0.6, 0.5), (0.4, 0.3)),
    signal_words=((1.0,), (0.4,), (0.8,), (1.0,)),
    word_lanes=16,
)


def drawn(assumed: Assumed, spec: CoreSpec, n_samples: int = 400) -> Activity:
    return activity_of_drawing(draw_trace(assumed, spec, n_samples, 1), spec, 16, 16)


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    assert np.abs(np.array(found) - np.array(expected)).max() < tolerance


def test_rates_of_a_drawing_are_those_it_was_drawn_at() -> None:
    spec = made.spec_of("ottt-o", STEPS, n_inputs=60, hidden=320)
    found = mean_rates(drawn(GIVEN, spec), spec, for_unroll=False)
    assert found.word_lanes == 16 and not found.carried
    for name, tolerance in (("rate", 0.01), ("psi", 0.01), ("signal_steps", 0.03), ("signal", 0.03)):
        assert_close(getattr(found, name), getattr(GIVEN, name), tolerance)
    assert_close(np.array(found.signal_words)[1:3], np.array(GIVEN.signal_words)[1:3], 0.06)


def test_signals_in_groups_fill_fewer_words() -> None:
    spec = made.spec_of("ottt-o", STEPS, hidden=64)
    groups = drawn(GIVEN, spec)
    alone = drawn(dataclasses.replace(GIVEN, signal_words=1.0), spec)
    at = [FIELD_INDEX[name] for name in ("signal_nonzero", "signal_words")]
    (few, few_words), (many, many_words) = (one.totals[1, 0, at] for one in (groups, alone))
    assert few == pytest.approx(many, rel=0.1)
    assert few_words < 0.65 * many_words  # 2 words in 5 hold signals of 5 neurons in 100; alone 4 in 5 would
    again = drawn(mean_rates(groups, spec, for_unroll=False), spec)
    assert again.totals[1, 0, at[1]] == pytest.approx(few_words, rel=0.05)


def test_carried_errors_are_drawn_as_they_were_recorded() -> None:
    spec = made.spec_of("bptt-o", STEPS, hidden=64)
    first = drawn(Assumed((0.1, 0.2), signal=(0.5, 0.4)), spec)
    own = mean_rates(first, spec, for_unroll=True)
    assert own.carried
    signals = FIELD_INDEX["signal_nonzero"]
    again = drawn(own, spec)
    assert_close(again.totals[:-1, 0, signals] / first.totals[:-1, 0, signals], 1.0, 0.05)
    other = mean_rates(first, spec, for_unroll=False)
    assert not other.carried
    trace_rule = drawn(other, made.spec_of("ottt-o", STEPS, hidden=64))
    assert (trace_rule.totals[:-1, 0, signals] <= trace_rule.totals[:-1, 0, FIELD_INDEX["psi_nonzero"]]).all()


@pytest.mark.parametrize(
    "layers",
    [
        [{"kind": "dense", "neurons": 20, "recurrent": True}, {"kind": "readout"}],
        [{"kind": "sumpool", "kernel": 2}, {"kind": "dense", "neurons": 20}, {"kind": "readout"}],
    ],
    ids=["recurrent", "pool"],
)
def test_the_input_rate_is_known_behind_recurrent_spikes_and_a_pool_that_drops_inputs(layers: list[Any]) -> None:
    experiment = parse_experiment(
        {"task": {"steps": STEPS}, "network": {"layers": layers, "input_shape": [2, 5, 5]}}, "the test"
    )
    fracs = Fracs(weight=(5, 5), membrane=(9,), trace=(5, 5), error=(7, 6), readout=6)
    spec = core_spec(experiment, find_rule("sltt-o"), layer_shapes(experiment, 50, 3), fracs, Lanes(16, 16))
    found = mean_rates(drawn(dataclasses.replace(GIVEN, signal_words=1.0), spec), spec, for_unroll=False)
    assert_close(found.rate, GIVEN.rate, 0.02)


def test_a_pass_without_learning_has_rates_of_events_alone() -> None:
    spec = made.spec_of("infer", STEPS)
    found = mean_rates(drawn(GIVEN, spec), spec, for_unroll=False)
    assert_close(found.rate, GIVEN.rate, 0.01)
    assert found.psi == Assumed.psi


RULES = ["ottt-o", "bptt-o", "bptt"]
BURSTS = [0.5, 0.02, 0.02, 0.02, 0.02, 0.3]
LAYERS: list[dict[str, Any]] = [
    {"kind": "dense", "neurons": 40}, {"kind": "dense", "neurons": 32}, {"kind": "readout"},
]  # fmt: skip
KEYS = ("mac", "ac", "synapse_read", "trace_read", "error_read")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with random weights on independent random inputs, more of them in the first and the last step."""
    folder = tmp_path_factory.mktemp("random")
    splits = {"train": 60, "validation": 5, "test": 5}
    parts = {name: random_recordings(n, BURSTS, 60, 5, seed) for seed, (name, n) in enumerate(splits.items())}
    write_recordings(folder / "tiny.h5", parts)
    tiny.run_tiny(
        folder, folder / "out", RULES, task__steps=6, network__layers=LAYERS, learning__epochs=1,
        learning__learning_rate=0.02, run__activity_samples=0,
    )  # fmt: skip
    return folder / "out"


def document_of(run: Path, rules: list[str] = RULES, network: str = "60-40-32-5", **asked: Any) -> dict[str, Any]:
    overrides = [f"run.rules={json.dumps(rules)}", "task.steps=6", *asked.pop("overrides", [])]
    return cost_from_rates(named_network(network, overrides), Asked(run=load_run(run), **asked))


def errors(document: dict[str, Any], run: Path, rule: str) -> dict[str, float]:
    """Relative errors of the costs of a document against the run."""
    (here,) = (one["per_sample"] for one in document["results"] if one["rule"] == rule)
    reported = [one for one in load_run(run).report["results"] if one["precision"] == "fixed"]
    (there,) = (one["per_sample"] for one in reported if one["rule"] == rule)
    pairs = {"energy": (there["energy_pj"]["total"], here["energy_pj"]["total"])}
    pairs |= {key: (there["counts"][key], here["counts"][key]) for key in KEYS if there["counts"][key]}
    return {key: after / before - 1 for key, (before, after) in pairs.items()}


def test_costs_at_the_rates_of_a_run_are_those_of_the_run(run: Path) -> None:
    document = document_of(run, n_samples=60)
    for rule in RULES:
        found = errors(document, run, rule)
        assert max(abs(error) for error in found.values()) < 0.05, (rule, found)


def test_one_mean_for_all_steps_is_not_enough(run: Path) -> None:
    entry = document_of(run, ["ottt-o"], n_samples=4)["activity"]["rates_of_rules"][0]
    mean = {key: np.array(entry[key]).mean(axis=0) for key in ("rate", "psi", "signal_steps", "signal")}
    assumed = Asked(
        tuple(mean["rate"]), tuple(mean["psi"]), float(mean["signal_steps"][-1]), tuple(mean["signal"]), n_samples=60
    )
    network = named_network("60-40-32-5", ["run.rules=['ottt-o']", "task.steps=6"])
    found = errors(cost_from_rates(network, assumed), run, "ottt-o")
    assert abs(found["energy"]) > 0.06 and abs(found["trace_read"]) > 0.12, found


def test_the_document_says_whose_rates_were_drawn(run: Path) -> None:
    document = document_of(run, ["infer", "ottt-o", "sltt-o"], n_samples=4)
    activity = document["activity"]
    assert (activity["source"], activity["n_samples"], activity["seed"]) == ("rates-of-run", 4, 1)
    assert [(one["rule"], one["measured_on"]) for one in activity["rates_of_rules"]] == [
        ("infer", "ottt-o"), ("ottt-o", "ottt-o"), ("sltt-o", "ottt-o"),
    ]  # fmt: skip
    assert np.shape(activity["rates_of_rules"][1]["rate"]) == (6, 3)
    assert activity["rates_of_rules"][1]["rate"][0][0] == pytest.approx(0.5, abs=0.02)
    assert any("infer, sltt-o at those of ottt-o" in note for note in document["notes"])
    json.dumps(document, allow_nan=False)


def test_a_rule_that_does_not_learn_has_rates_of_events_alone(run: Path) -> None:
    entry = document_of(run, ["infer"])["activity"]["rates_of_rules"][0]
    assert set(entry) == {"rule", "measured_on", "rate"}


def test_without_samples_asked_for_there_are_enough_for_shares_of_samples(run: Path) -> None:
    assert document_of(run, ["ottt-o"])["activity"]["n_samples"] == 16


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "60-40-31-5"}, "layer 1 of the run is dense of 40 inputs and 32 outputs, that of --network dense"),
        ({"network": "60-40-5"}, "layer 1 of the run"),
        ({"network": "60-40-32-32-5"}, "layer 2 of the run"),
        ({"overrides": ["task.steps=5"]}, "give --steps 6"),
        ({"overrides": ["learning.loss_start=2"]}, "give --set learning.loss_start=1"),
        ({"n_samples": 0}, "--samples is 0"),
    ],
)
def test_a_run_of_another_network_is_refused_in_one_sentence(run: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        document_of(run, **changes)
    assert "n_samples" in changes or str(run) in str(caught.value)


def test_a_run_that_only_infers_has_no_rates_of_errors(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    tiny.run_tiny(tmp_path, tmp_path / "out", ["infer"])
    path = tmp_path / "net.toml"
    path.write_text(f"inputs = {2 * tiny.WIDTH**2}\nclasses = 3\nlayers = {_toml(tiny.TABLES)}\n", encoding="utf-8")
    asked = Asked(run=load_run(tmp_path / "out"), n_samples=2)
    priced = cost_from_rates(named_network(str(path), ["task.steps=4", "run.rules=['infer']"]), asked)
    assert set(priced["activity"]["rates_of_rules"][0]) == {"rule", "measured_on", "rate"}
    with pytest.raises(UserError, match="no rule of the run learns, so it has no rates of errors for ottt-o"):
        cost_from_rates(named_network(str(path), ["task.steps=4", "run.rules=['ottt-o']"]), asked)


def _toml(tables: dict[str, Any]) -> str:
    """The layers of an experiment as an array of inline tables."""
    layers = [
        ", ".join(f"{key} = {json.dumps(value)}" for key, value in one.items()) for one in tables["network"]["layers"]
    ]
    return f"[{', '.join(f'{{ {one} }}' for one in layers)}]"


def test_shares_are_written_out_per_step_and_layer() -> None:
    assert steps_and_layers(0.3, 2, 3).tolist() == [[0.3] * 3] * 2
    assert steps_and_layers((0.1, 0.2), 3, 2).tolist() == [[0.1, 0.2]] * 3
    assert steps_and_layers(((0.1,), (0.2,)), 2, 1).tolist() == [[0.1], [0.2]]
