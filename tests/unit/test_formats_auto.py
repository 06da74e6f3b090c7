"""Can single layers be set while others calibrate, and does a run say where every format is from?"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import tiny_experiment as tiny
from sweep_request import results_of, sweep_tiny

from neurochip import experiment as story
from neurochip.config import Experiment, parse_experiment
from neurochip.encoding.event_steps import bin_events
from neurochip.errors import UserError
from neurochip.experiment import Report
from neurochip.listener import Silent
from neurochip.network.calibrate import Prepared, prepare
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import layer_shapes
from neurochip.report import load_schema, write_report_html
from neurochip.rules.presets import RULES, Rule, find_rule
from neurochip.run_directory import read_experiment
from neurochip.setup import Setup, prepare_setup

PER_LAYER = ("weight", "membrane", "trace", "error")
EVERY = [*RULES, *map(find_rule, ("spike/feedback/sample", "trace/local(1)/deferred(2)"))]
WITH_A_MAP = [
    {"kind": "conv2d", "channels": 4, "kernel": 3}, {"kind": "sumpool", "kernel": 2},
    {"kind": "dense", "neurons": 5, "recurrent": True}, {"kind": "readout", "leak_shift": 2},
]  # fmt: skip


def prepared(rules: list[Rule] | None = None, **changes: Any) -> Prepared:
    experiment = tiny.tiny_experiment(**changes)
    data = bin_events(tiny.tiny_recordings(20, 0), tiny.N_STEPS, "once", (2, 4, 7), 1)
    shapes = layer_shapes(experiment, data.n_inputs, 3, (2, tiny.WIDTH, tiny.WIDTH))
    return prepare(experiment, shapes, data, rules or [])


def fracs(**asked: Any) -> dict[str, Any]:
    return {f"precision__{signal}__frac": value for signal, value in asked.items()}


@pytest.mark.parametrize("signal", PER_LAYER)
def test_one_layer_is_set_and_the_others_calibrate(signal: str) -> None:
    free = prepared().fracs
    found = getattr(free, signal)
    for place in range(len(found)):
        asked: list[Any] = ["auto"] * len(found)
        asked[place] = found[place] - 1
        mixed = prepared(**fracs(**{signal: asked})).fracs
        assert getattr(mixed, signal)[place] == found[place] - 1
        assert mixed != free
        for other in {*PER_LAYER} - {signal, "weight", "error"}:
            assert getattr(mixed, other) == getattr(free, other)
        if signal != "error":  # errors of earlier layers may be bounded by this one
            assert [f for i, f in enumerate(getattr(mixed, signal)) if i != place] == [
                f for i, f in enumerate(found) if i != place
            ]


@pytest.mark.parametrize("word", ["auto", "list"])
def test_auto_everywhere_is_the_same_as_nothing(word: str) -> None:
    lengths = {"weight": 3, "membrane": 2, "trace": 3, "error": 3}
    asked: dict[str, Any] = {s: "auto" if word == "auto" else ["auto"] * n for s, n in lengths.items()}
    free, other = prepared(), prepared(**fracs(**asked, readout="auto", gradient="auto"))
    assert (free.fracs, free.calibrated) == (other.fracs, other.calibrated)


@pytest.mark.parametrize("asked", [{"weight": ["auto", 24, "auto"]}, {"error": ["auto", 20, "auto"], "weight": 3},
                                   {"membrane": [0, "auto"]}, {"trace": [24, "auto", 0]}])  # fmt: skip
def test_a_given_frac_never_moves_beside_automatic_ones(asked: dict[str, Any]) -> None:
    result = prepared(**fracs(**asked))
    assert result.calibrated is not None
    for signal, values in asked.items():
        values = values if isinstance(values, list) else [values] * 3
        for place, value in enumerate(values):
            if value != "auto":
                assert getattr(result.fracs, signal)[place] == value
                assert getattr(result.calibrated, signal).origin[place] == "given"


@pytest.mark.parametrize("layers", [None, WITH_A_MAP])
def test_heads_feedback_convolutions_and_loops_calibrate_beside_given_layers(layers: Any) -> None:
    network = {"network__layers": layers} if layers else {}
    free = prepared(EVERY, **network)
    asked = {"weight": ["auto", free.fracs.weight[1] - 1, "auto"], "trace": [free.fracs.trace[0] + 1, "auto", "auto"]}
    mixed = prepared(EVERY, **network, **fracs(**asked))
    assert mixed.fracs.weight == (free.fracs.weight[0], free.fracs.weight[1] - 1, free.fracs.weight[2])
    assert mixed.fracs.trace == (free.fracs.trace[0] + 1, *free.fracs.trace[1:])
    assert mixed.fracs.heads == free.fracs.heads  # a list is of the layers of the network alone
    assert mixed.fracs.feedback == free.fracs.feedback
    assert set(mixed.fracs.heads) == {0}
    one_for_all = prepared(EVERY, **network, **fracs(weight=3, trace=4))
    assert {head.weight for head in one_for_all.fracs.heads.values()} == {3}
    assert one_for_all.calibrated is not None
    for part, origin in (("head_weight", "given"), ("head_trace", "given"), ("head_error", "automatic")):
        assert getattr(one_for_all.calibrated, part).origin == [origin]


def test_a_gradient_entry_is_that_of_exact_products_where_it_is_auto() -> None:
    experiment = tiny.tiny_experiment(**fracs(gradient=["auto", 5, "auto"]), learning__rule="ottt-a")
    shapes = layer_shapes(experiment, 50, 3)
    found = prepared(**fracs(gradient=["auto", 5, "auto"])).fracs
    spec = core_spec(experiment, find_rule("ottt-a"), shapes, found, Lanes(16, 16))
    exact = [(layer.frac_trace if layer.keeps_trace else 0) + layer.frac_error for layer in spec.layers]
    assert [layer.frac_gradient for layer in spec.layers] == [exact[0], 5, exact[2]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("otto", ("weight.frac = 'otto'", "0 up to 24 or 'auto'")),
        (["auto", "x", 3], ("weight.frac = ['auto', 'x', 3]", "each entry a whole number from 0 up to 24 or 'auto'")),
        (["auto", 25, 3], ("weight.frac = ['auto', 25, 3]", "up to 24")),
        (["auto", 5], ("weight.frac = ['auto', 5] has 2 values", "one for all, or a list of 3, one per layer")),
        ([], ("weight.frac = [] has 0 values",)),
    ],
)
def test_a_wrong_word_or_length_is_one_sentence(text: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        prepared(**fracs(weight=text))
    message = str(caught.value)
    assert "\n" not in message
    assert "precision.weight.frac" in message
    for word in words:
        assert word in message


# --- where a format is from


def test_magnitudes_are_those_of_the_weights_and_explain_automatic_fracs() -> None:
    result = prepared(precision__membrane__bits=24)
    table = result.calibrated
    assert table is not None and table.weight is not None and table.weight.magnitude is not None
    for weights, magnitude in zip(result.weights, table.weight.magnitude, strict=True):
        assert magnitude == np.percentile(np.abs(weights[weights != 0]), 99.9)
    limits = {"weight": (127, 1), "membrane": (2**23 - 1, 2), "trace": (255, 0), "error": (127, 0)}
    for signal, (highest, headroom) in limits.items():
        part = getattr(table, signal)
        assert part.frac == list(getattr(result.fracs, signal))
        for magnitude, frac, origin in zip(part.magnitude, part.frac, part.origin, strict=True):
            fits = magnitude * 2.0 ** (headroom + frac) <= highest
            is_largest = frac == 24 or magnitude * 2.0 ** (headroom + frac + 1) > highest
            assert (fits and is_largest) == (origin == "automatic")


def test_fracs_that_a_rule_moved_say_which() -> None:
    narrow = prepared(precision__membrane__bits=6).calibrated
    assert narrow is not None and narrow.membrane is not None and narrow.weight is not None
    assert narrow.membrane.origin == ["raised to 4"] * 2
    assert narrow.membrane.frac == [4, 4]
    assert narrow.weight.origin == ["bounded by the membrane"] * 2 + ["automatic"]
    given = prepared(**fracs(readout=2, error=["auto", "auto", 1])).calibrated
    assert given is not None and given.weight is not None and given.error is not None and given.readout is not None
    assert (given.weight.origin[2], given.weight.frac[2]) == ("bounded by the readout", 2)
    assert (given.error.origin[1:], given.error.frac[1]) == (["bounded by the next layers", "given"], 3)
    assert given.readout.origin == ["given"]
    pooled = prepared(network__layers=[{"kind": "avgpool", "kernel": 4}, {"kind": "readout"}], precision__trace__bits=4,
                      learning__readout_trace=True).calibrated  # fmt: skip
    assert pooled is not None and pooled.trace is not None and pooled.membrane is None
    assert (pooled.trace.frac, pooled.trace.origin) in (([4], ["automatic"]), ([4], ["raised to that of the events"]))


def setup_of(experiment: Experiment, folder: Path, *rules: str) -> Setup:
    return prepare_setup(experiment, [find_rule(rule) for rule in rules], folder, "fast", Silent())


def test_the_resolved_experiment_holds_numbers_and_resolves_to_itself(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    asked = fracs(weight=["auto", 4, "auto"], membrane="auto", error=["auto", "auto", 5], gradient=["auto", 6, "auto"])
    rules = ("ottt-a", "ottt-local", "e-prop")
    first = setup_of(tiny.tiny_experiment(**asked), tmp_path, *rules).resolved
    for signal in PER_LAYER:
        assert all(type(frac) is int for frac in getattr(first.precision, signal).frac)
    assert type(first.precision.readout.frac) is int
    again = parse_experiment(json.loads(json.dumps(first.to_tables())), "the test")
    assert setup_of(again, tmp_path, *rules).resolved.to_tables() == first.to_tables()


def test_a_sweep_varies_one_layer_beside_automatic_ones(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    axis = 'precision.weight.frac=auto,["auto",5,"auto"],["auto",6,"auto"]'
    free, five, six = (result["formats"]["weight"] for result in results_of(sweep_tiny(tmp_path, "out", axis)))
    assert (five[1], six[1]) == ("s8.5", "s8.6")
    assert free[::2] == five[::2] == six[::2]


# --- the report


def run(folder: Path, name: str, rules: list[str], **changes: Any) -> Report:
    tiny.write_tiny_task(folder)
    return tiny.run_tiny(folder, folder / name, rules, learning__epochs=1, **changes)


def test_a_report_says_range_magnitude_and_origin_of_every_format(tmp_path: Path) -> None:
    asked = fracs(weight=["auto", 4, "auto"])
    report = run(tmp_path, "run", ["ottt-a", "bptt", "ottt-local", "e-prop"], **asked)
    jsonschema.validate(report.data, load_schema())
    for rule in report.data["experiment"]["run"]["rules"]:
        result = report.result(rule)
        assert {name: len(found) for name, found in result["formats"].items()} == {
            name: len(found) for name, found in result["ranges"].items()
        }
        for signal, texts in result["formats"].items():
            for text, found in zip(texts, result["ranges"][signal], strict=True):
                bits, frac = map(int, text[1:].split("."))
                assert found["lsb"] == 2.0**-frac
                levels = round((found["highest"] - found["lowest"]) / found["lsb"]) + 1
                assert (levels, found["lowest"] < 0) == (2**bits, text[0] == "s")
        weights = result["ranges"]["weight"]
        assert [found["origin"] for found in weights[:2]] == ["automatic", "given"]
        assert all(found["magnitude"] > 0 for found in weights)
    assert report.result("ottt-a")["ranges"]["gradient"][0]["origin"] == "derived"
    assert [found["layer"] for found in report.result("bptt")["ranges"]["delta"]] == [0, 1]
    assert "ranges" not in report.result("bptt", "float")


def test_heads_have_readouts_and_no_membranes(tmp_path: Path) -> None:
    report = run(tmp_path, "run", ["ottt-local", "e-prop"])
    local, feedback = report.result("ottt-local"), report.result("e-prop")
    assert (len(local["formats"]["membrane"]), len(local["formats"]["readout"])) == (2, 2)
    assert (len(feedback["formats"]["membrane"]), len(feedback["formats"]["readout"])) == (2, 1)
    calibrated = read_experiment(report.directory).precision.calibrated
    assert calibrated is not None and calibrated.head_weight is not None and calibrated.head_weight.magnitude
    assert local["ranges"]["weight"][2]["magnitude"] == calibrated.head_weight.magnitude[0]
    assert local["ranges"]["readout"][0]["origin"] == "derived"


def test_a_rerun_of_the_resolved_experiment_gives_the_same_bytes_and_an_edited_frac_is_given(tmp_path: Path) -> None:
    first = run(tmp_path, "first", ["ottt-o", "ottt-local"], **fracs(weight=["auto", 4, "auto"]))
    resolved = read_experiment(first.directory)
    again = story.compare(resolved, base_dir=tmp_path, out=tmp_path / "again")
    for name in ("report.json", "experiment.toml"):
        assert (again.directory / name).read_bytes() == (first.directory / name).read_bytes()
    tables = resolved.to_tables()
    tables["precision"]["weight"]["frac"][0] -= 1
    edited = story.compare(parse_experiment(tables, "the test"), base_dir=tmp_path, out=tmp_path / "edited")
    weights = edited.result("ottt-o")["ranges"]["weight"]
    assert [found["origin"] for found in weights] == ["given", "given", "automatic"]


def test_formats_that_were_all_given_have_no_magnitude(tmp_path: Path) -> None:
    asked = fracs(weight=4, membrane=9, trace=5, error=5, readout=4)
    report = run(tmp_path, "run", ["ottt-o"], **asked)
    assert "calibrated" not in report.data["experiment"]["precision"]
    ranges = report.result("ottt-o")["ranges"]
    for signal in (*PER_LAYER, "readout"):
        assert [(found["origin"], found["magnitude"]) for found in ranges[signal]] == [("given", None)] * len(
            ranges[signal]
        )


def without_tips(page: Path) -> str:
    """A page without the attributes of its cells."""
    return re.sub("<td [^>]*>", "<td>", page.read_text(encoding="utf-8"))


def test_the_page_shows_ranges_and_pages_of_earlier_reports_still_come(tmp_path: Path) -> None:
    report = run(tmp_path, "run", ["ottt-o", "bptt-o"], **fracs(weight=["auto", 4, 0]))
    page = without_tips(report.directory / "report.html")
    assert '<th scope="row">weight</th><td>1</td><td>s8.4</td><td>-8.000 … 7.938</td><td>2^-4</td>' in page
    assert "<td>2</td><td>s8.0</td><td>-128.0 … 127.0</td><td>1</td>" in page
    assert "<td>given</td><td>ottt-o, bptt-o</td>" in page
    assert "<td>automatic</td>" in page
    for result in report.data["results"]:
        result.pop("ranges", None)
    jsonschema.validate(report.data, load_schema())
    write_report_html(report.data, tmp_path / "old.html")
    assert "<td>–</td><td>s8.4</td><td>–</td>" in without_tips(tmp_path / "old.html")
