"""Does an experiment file become what it says, and does a wrong one end in one sentence that helps?"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from neurochip.config import Experiment, load_experiment, parse_experiment
from neurochip.errors import UserError
from neurochip.rules.presets import RULES


def parse(tables: dict[str, Any]) -> Experiment:
    return parse_experiment(tables, "file.toml")


def test_nothing_is_the_default_experiment() -> None:
    experiment = load_experiment(None)
    assert experiment == Experiment()
    assert (experiment.task.name, experiment.learning.rule, experiment.run.seed) == ("digits-dvs", "ottt-o", 1)
    assert [layer.kind for layer in experiment.network.layers] == ["dense", "readout"]


def test_the_tables_of_an_experiment_are_toml_and_give_it_back() -> None:
    tables = {
        "task": {"classes": [3, 1], "sensor_size": [4, 5, 2], "validation": 0.25, "repeat": "count"},
        "network": {"weight_std": [0.1, 1e-3], "layers": [{"kind": "dense", "neurons": 3, "leak_constant": 0},
                                                          {"kind": "readout", "bias": False}]},
        "learning": {"rates": {"bptt": 0.1}, "learning_rate": 1},
        "precision": {"event": {"bits": 2}, "weight": {"frac": [5, 6]}, "error": {"frac": 4}, "delta": {"bits": 12}},
        "run": {"rules": ["bptt", "infer"], "name": "ä"},
    }  # fmt: skip
    experiment = parse(tables)
    assert parse(tomllib.loads(tomli_w.dumps(experiment.to_tables()))) == experiment


def test_every_kind_of_layer_and_option_is_toml_and_comes_back() -> None:
    tables = {
        "network": {"input_shape": [2, 8, 8], "head_std": {"0": 0.5}, "feedback_std": {"1": 0.25}, "layers": [
            {"kind": "conv2d", "channels": 3, "kernel": [3, 1], "stride": 2, "padding": [1, 0], "name": "a"},
            {"kind": "sumpool", "kernel": 2}, {"kind": "avgpool"}, {"kind": "flatten"},
            {"kind": "dense", "neurons": 3, "recurrent": True, "name": "b"}, {"kind": "add", "layer": "b"},
            {"kind": "readout", "leak_shift": 3}]},
        "learning": {"rule": "e-prop", "unroll": 3, "block": 2, "window": 6, "feedback": "symmetric",
                     "head_pool": "sum", "head_pool_kernel": 2, "train_heads": False,
                     "trace_filter": "readout", "loss_start": 2, "update_every": 3, "momentum_shift": 4,
                     "halve_every": 5, "rates": {"trace / local( 2 )/sample": 0.5}},
        "precision": {"heads": {"0": {"weight": 1, "readout": 2, "trace": 3, "error": 4}}, "feedback": {"1": 5}},
    }  # fmt: skip
    experiment = parse(tables)
    assert parse(tomllib.loads(tomli_w.dumps(experiment.to_tables()))) == experiment
    assert experiment.learning.rates == {"trace/local(2)/sample": 0.5}


@pytest.mark.parametrize("word", ["fixed", "float", "float32"])
def test_a_word_for_precision_is_its_arithmetic(word: str) -> None:
    assert parse({"precision": word}).precision.arithmetic == word


def test_delta_bits_are_error_bits_plus_4_unless_given() -> None:
    assert parse({"precision": {"error": {"bits": 6}}}).precision.delta_bits == 10
    assert parse({"precision": {"delta": {"bits": 9}}}).precision.delta_bits == 9


BAD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown table": ({"tasks": {}}, ("tasks", "allowed here are", "task")),
    "unknown key": ({"task": {"nmae": "x"}}, ("task.nmae = 'x'", "allowed here are", "name", "steps")),
    "unknown key of a layer": (
        {"network": {"layers": [{"kind": "dense", "neurons": 3, "leek": 1}, {"kind": "readout"}]}},
        ("network.layers.0.leek = 1", "leak_shift"),
    ),
    "unknown key of a signal": ({"precision": {"weight": {"bit": 3}}}, ("precision.weight.bit = 3", "rounding")),
    "a number too small": ({"task": {"steps": 0}}, ("task.steps = 0", "from 1 up to 32767")),
    "a word for a number": ({"task": {"steps": "9"}}, ("task.steps = '9'", "whole number")),
    "true for a number": ({"learning": {"epochs": True}}, ("learning.epochs = True", "whole number")),
    "not a number": ({"learning": {"learning_rate": float("nan")}}, ("learning.learning_rate = nan",)),
    "rate of 0": ({"learning": {"learning_rate": 0.0}}, ("learning.learning_rate = 0.0", "above 0")),
    "unknown rule": ({"learning": {"rule": "otto"}}, ("learning.rule: 'otto'", "ottt-o", "bptt")),
    "unknown rule of a comparison": ({"run": {"rules": ["bptt", "x"]}}, ("run.rules", "'x'", "ottt-o")),
    "a rule twice": ({"run": {"rules": ["bptt", "bptt"]}}, ("run.rules", "once")),
    "no rule": ({"run": {"rules": []}}, ("run.rules", "at least one")),
    "rate of an unknown rule": ({"learning": {"rates": {"x": 0.1}}}, ("learning.rates", "'x'", "ottt-o")),
    "two leaks": (
        {"network": {"layers": [{"kind": "dense", "neurons": 3, "leak_shift": 1, "leak_constant": 1},
                                {"kind": "readout"}]}},
        ("network.layers.0", "leak_shift and leak_constant exclude each other"),
    ),
    "no readout": ({"network": {"layers": [{"kind": "dense", "neurons": 3}]}}, ("network", "last layer", "readout")),
    "no layer": ({"network": {"layers": []}}, ("network", "last layer")),
    "readout in the middle": (
        {"network": {"layers": [{"kind": "readout"}, {"kind": "readout"}]}}, ("only the last",)
    ),
    "unknown layer": ({"network": {"layers": [{"kind": "conv"}]}}, ("network.layers.0", "dense", "readout")),
    "weight_std of another length": ({"network": {"weight_std": [0.1]}}, ("one value per layer, 2",)),
    "average over no power of two": (
        {"network": {"layers": [{"kind": "avgpool", "kernel": [2, 3]}, {"kind": "readout"}]}},
        ("network.layers.0", "kernel = [2, 3]", "power of two", "sumpool"),
    ),
    "a kernel of three": (
        {"network": {"layers": [{"kind": "sumpool", "kernel": [2, 3, 4]}, {"kind": "readout"}]}},
        ("network.layers.0.kernel", "[2, 3, 4]"),
    ),
    "an add of nothing": (
        {"network": {"layers": [{"kind": "dense", "neurons": 3, "name": "a"}, {"kind": "add", "layer": "b"},
                                {"kind": "readout"}]}},
        ("layers.1.layer = 'b'", "'input', 'a'"),
    ),
    "an add of a later layer": (
        {"network": {"layers": [{"kind": "add", "layer": "a"}, {"kind": "dense", "neurons": 3, "name": "a"},
                                {"kind": "readout"}]}},
        ("layers.0.layer = 'a'", "'input'"),
    ),
    "a name twice": (
        {"network": {"layers": [{"kind": "dense", "neurons": 3, "name": "a"}] * 2 + [{"kind": "readout"}]}},
        ("name = 'a'", "every name once"),
    ),
    "the name of the input": (
        {"network": {"layers": [{"kind": "dense", "neurons": 3, "name": "input"}, {"kind": "readout"}]}},
        ("name = 'input'", "not 'input'"),
    ),
    "a map of two": ({"network": {"input_shape": [3, 4]}}, ("network.input_shape",)),
    "no step with a loss": (
        {"task": {"steps": 6}, "learning": {"loss_start": 5, "update_every": 4}},
        ("learning.loss_start = 5", "learning.update_every = 4", "none of 6 steps"),
    ),
    "an illegal point": ({"learning": {"rule": "trace/backprop/window(3)"}}, ("learning.rule", "needs unroll(K)")),
    "a point twice": (
        {"run": {"rules": ["trace/local(2)/sample", "trace / local(2) / sample"]}}, ("run.rules", "once")
    ),
    "a filter of nothing": ({"learning": {"trace_filter": "membrane"}}, ("learning.trace_filter", "'membrane'")),
    "missing neurons": (
        {"network": {"layers": [{"kind": "dense"}, {"kind": "readout"}]}}, ("network.layers.0.neurons is missing",)
    ),
    "frac too large": ({"precision": {"weight": {"frac": 25}}}, ("precision.weight.frac", "25", "24")),
    "a word for a frac": ({"precision": {"error": {"frac": "Auto"}}}, ("precision.error.frac = 'Auto'", "or 'auto'")),
    "a word in a list of fracs": (
        {"precision": {"trace": {"frac": ["auto", "x"]}}}, ("precision.trace.frac = ['auto', 'x']", "24 or 'auto'")
    ),
    "delta narrower than error": (
        {"precision": {"error": {"bits": 8}, "delta": {"bits": 7}}}, ("delta.bits = 7", "error.bits = 8")
    ),
    "arithmetic": ({"precision": "flaot"}, ("precision.arithmetic = 'flaot'", "float32")),
    "rounding": ({"precision": {"error": {"rounding": "stochastic"}}}, ("precision.error.rounding", "'nearest'")),
    "counts in one bit": ({"task": {"repeat": "count"}}, ("task.repeat = 'count'", "precision.event.bits")),
    "validation of 1": ({"task": {"validation": 1.0}}, ("task.validation = 1.0", "below 1")),
    "a table that is none": ({"task": 3}, ("task = 3",)),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_experiment_is_one_sentence_with_file_key_value_and_what_is_allowed(name: str) -> None:
    tables, words = BAD[name]
    with pytest.raises(UserError) as caught:
        parse(tables)
    message = str(caught.value)
    assert message.startswith("file.toml: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("0.5", 0.5), ("true", True), ("[1, 2]", [1, 2]), ("bptt-o", "bptt-o"), ('"a b"', "a b"), ("a=b", "a=b"),
     ("{ bits = 4 }", {"bits": 4}), ("", "")],
)  # fmt: skip
def test_a_value_is_toml_and_a_bare_word_a_string(text: str, value: Any) -> None:
    from neurochip.config import _apply_override

    tables: dict[str, Any] = {}
    _apply_override(tables, f"a.b = {text}")
    assert tables == {"a": {"b": value}}


def test_overrides_win_over_the_file_and_later_ones_over_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text("[learning]\nepochs = 7\nbatch = 2\n", encoding="utf-8")
    experiment = load_experiment(path, ["learning.epochs=8", "learning.epochs=9"])
    assert (experiment.learning.epochs, experiment.learning.batch) == (9, 2)


def test_overrides_leave_the_tables_they_are_given_alone() -> None:
    tables = {"learning": {"epochs": 7}}
    assert load_experiment(None, ["learning.epochs=8"], tables).learning.epochs == 8
    assert tables == {"learning": {"epochs": 7}}


@pytest.mark.parametrize("text", ["learning.epochs", "=3", "learning..epochs=3", ""])
def test_an_override_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not KEY=VALUE"):
        load_experiment(None, [text])


def test_an_override_below_a_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"epochs holds 3, not a table"):
        load_experiment(None, ["learning.epochs=3", "learning.epochs.x=4"])


def test_a_wrong_override_says_that_it_was_one(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"^--set: learning.epochs = 0 "):
        load_experiment(None, ["learning.epochs=0"])
    with pytest.raises(UserError, match=r"e.toml with --set: learning.epochs = 0 "):
        load_experiment(path, ["learning.epochs=0"])


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), (b"a = ", "is not TOML"), (b"\xff", "TOML")])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        load_experiment(path)
    assert str(path) in str(caught.value)


@given(rule=st.sampled_from(RULES), epochs=st.integers(1, 100_000), rate=st.floats(2.0**-20, 8.0))
def test_what_is_set_is_what_the_experiment_holds(rule: Any, epochs: int, rate: float) -> None:
    settings = [f"learning.rule={rule.name}", f"learning.epochs={epochs}", f"learning.learning_rate={rate!r}"]
    learning = load_experiment(None, settings).learning
    assert (learning.rule, learning.epochs, learning.learning_rate) == (rule.name, epochs, rate)
