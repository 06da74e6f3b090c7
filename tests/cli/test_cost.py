"""`neurochip cost`: what it prints, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Command

NETWORK = ("cost", "--network", "40-20-4", "--steps", "6", "--quiet")


def test_it_prints_the_tables_and_says_what_is_assumed(call: Command) -> None:
    done = call(*NETWORK, "--rules", "infer,ottt-o,bptt-o", "--rate", "0.05,0.2", "--samples", "3")
    assert done.code == 0
    for words in (
        "40-20-4",
        "T = 6 steps",
        "3 samples drawn at 0.05, 0.2",
        "ottt-o",
        "EDP",
        "area",
        "Nothing was trained",
    ):
        assert words in done.out
    assert "Energy of ottt-o over bptt-o" in done.out
    assert "test" not in done.out.splitlines()[6]


def test_json_is_the_document_alone(call: Command) -> None:
    done = call(*NETWORK, "--rules", "bptt-o", "--json", "--psi", "0.2", "--signal", "0.3", "--seed", "4")
    document = json.loads(done.out)
    assert document["schema"] == "neurochip-cost/1"
    assert document["activity"]["psi"] == 0.2
    assert document["activity"]["signal"] == [0.3, 0.3]
    assert document["activity"]["seed"] == 4
    assert document["n_steps"] == 6


def test_the_activity_of_a_run_has_the_costs_of_its_report(call: Command, small: Path, folder: Path) -> None:
    assert call("compare", small, "--out", "run", "--quiet").code == 0
    report = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    expected = [one["per_sample"] for one in report["results"] if one["precision"] == "fixed"]
    for given in ("run", "run/activity.h5"):
        document = json.loads(call("cost", "--activity", given, "--json").out)
        assert [one["per_sample"] for one in document["results"]] == expected
    assert "of the run digits-dvs" in call("cost", "--activity", "run").out


def test_the_rates_of_a_run_are_drawn_for_rules_of_the_same_layers(call: Command, small: Path, folder: Path) -> None:
    assert call("learn", small, "--out", "run", "--quiet").code == 0
    net = folder / "net.toml"
    layers = '[{ kind = "dense", neurons = 12, leak_shift = 1 }, { kind = "readout" }]'
    net.write_text(f"inputs = 512\nclasses = 3\nlayers = {layers}\n", encoding="utf-8")
    words = ("cost", "--network", net, "--steps", "6", "--rules", "ottt-o,bptt-o", "--samples", "4", "--quiet")
    documents = [
        json.loads(call(*words, "--rates-of", given, "--json").out) for given in ("run", folder / "run" / "activity.h5")
    ]
    assert documents[0] == documents[1]
    activity = documents[0]["activity"]
    assert activity["source"] == "rates-of-run"
    assert [one["measured_on"] for one in activity["rates_of_rules"]] == ["ottt-o", "ottt-o"]
    text = " ".join(call(*words, "--rates-of", "run").out.split())
    assert "mean rates of the run digits-dvs, nothing was run: 4 samples" in text
    assert "bptt-o at those of ottt-o" in text
    assert "allowed is a run of the same layers" in call(*NETWORK, "--rates-of", "run").sentence()
    assert "give --steps 6" in call("cost", "--network", net, "--steps", "5", "--rates-of", "run", "--quiet").sentence()


def test_what_is_wrong_with_an_option_does_not_blame_the_network(call: Command) -> None:
    for words in (("--psi", "3"), ("--rate", "2"), ("--samples", "0")):
        assert call(*NETWORK, *words).sentence().startswith(f"{words[0]} is {words[1]}")


def test_a_console_says_what_flips_and_json_has_the_rest(call: Command) -> None:
    text = call(*NETWORK).out
    document = json.loads(call(*NETWORK, "--json").out)
    text = " ".join(text.split())
    assert "--json has more" in text
    for pair in document["sensitivity"]["pairs"]:
        assert f"Energy of {pair['rule']} over {pair['baseline']}" in text
        assert not any(sentence in text for sentence in pair["sentences"])
    assert text.count("numbers of chip and formats, each turned alone") == len(document["sensitivity"]["pairs"]) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("cost",), "neither --network nor --activity"),
        ((*NETWORK, "--activity", "run"), "--network cannot be given with --activity"),
        ((*NETWORK, "--rates-of", "nowhere"), "--rates-of nowhere: is not a run directory"),
        ((*NETWORK, "--rates-of", "nowhere", "--rate", "0.1"), "--rate cannot be given with --rates-of"),
        (
            (*NETWORK, "--rates-of", "nowhere", "--signal-steps", "0.1"),
            "--signal-steps cannot be given with --rates-of",
        ),
        (("cost", "--activity", "run", "--rates-of", "run"), "--rates-of cannot be given with --activity"),
        ((*NETWORK, "--rate", "much"), "--rate much"),
        ((*NETWORK, "--rate", "nan"), "--rate is nan"),
        ((*NETWORK, "--signal", "0.1,0.2,0.3"), "one or two numbers, or one for each hidden layer"),
        ((*NETWORK, "--psi", "0.1,0.2"), "--psi has 2 values; allowed is one"),
        ((*NETWORK, "--seed", "-1"), "--seed is -1"),
        ((*NETWORK, "--rules", "magic"), "'magic' is not a rule"),
        ((*NETWORK, "--chip", "abacus"), "abacus"),
        ((*NETWORK, "--set", "precision.weight.bits=99"), "--network 40-20-4 with --set: precision.weight.bits"),
        ((*NETWORK, "--samples", "0"), "--samples is 0"),
        (
            (*NETWORK, "--steps", "4000", "--set", "chip.overflow=refuse"),
            "--network 40-20-4, rule bptt-o: ",
        ),  # ottt-o, which has no history, fits
        (("cost", "--activity", "nowhere"), "nowhere"),
        (("cost", "--network", "nowhere.toml"), "no such file"),
    ],
)
def test_bad_input_ends_with_one_sentence(call: Command, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in call(*words).sentence()
