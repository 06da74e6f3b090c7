"""The report on an import, in the run directory, in report.json, on the page and on the console."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import nir
import numpy as np
import pytest
import tiny_experiment as tiny
import tomli_w
from nir_graphs import DT, chain, cuba, lif, write
from nir_runs import learn, model, tables, weights_of

from neurochip import experiment as story
from neurochip.cli import main
from neurochip.config import load_experiment
from neurochip.events import write_recordings
from neurochip.report import load_schema
from neurochip.report.nir_import import nir_import


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the tiny task and the graph."""
    tiny.write_tiny_task(tmp_path)
    model(tmp_path / "model.nir")
    return tmp_path


@pytest.mark.parametrize("k", [2.0**-9, 128.0])
def test_what_is_learned_does_not_depend_on_the_units_of_the_file(k: float, folder: Path) -> None:
    runs = [folder / "one", folder / "other"]
    results = []
    for run, units in zip(runs, (1.0, k), strict=True):
        model(folder / "model.nir", k=units)
        results.append(learn(folder, run).results)
    assert results[0] == results[1]
    for key in (".", "float"):
        for one, other in zip(*(weights_of(run, key) for run in runs), strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_report_has_the_import_report_with_the_accuracy_before_learning(folder: Path) -> None:
    tiny.write_tiny_task(folder, {"train": 18, "validation": 60, "test": 9})
    rng = np.random.default_rng(3)
    nodes, edges = chain(
        nir.Flatten(np.array([1]), 0, -1), nir.Linear(rng.normal(size=(6, 50))), lif((6,)),
        nir.Linear(rng.normal(size=(3, 6))), shape=(2, 5, 5),
    )  # fmt: skip
    write(folder / "model.nir", nodes, edges)
    report = learn(folder, folder / "run", learning__rule="infer", precision__weight={"bits": 2})
    jsonschema.Draft202012Validator(load_schema()).validate(report.data)
    section = report.data["nir_import"]
    assert section == json.loads((folder / "run" / "nir_import.json").read_text())
    assert section == json.loads((folder / "run" / "report.json").read_text())["nir_import"]
    accuracy = section["accuracy"]
    assert (accuracy["split"], accuracy["samples"]) == ("validation", 60)
    for precision in ("fixed", "float"):  # inference does not learn: what it had before is what it has
        assert accuracy[precision] == report.result("infer", precision)["accuracy"]["validation"]
    assert accuracy["fixed"] != accuracy["float"]
    spikes = section["spikes"]
    assert spikes["core_right"] == round(accuracy["fixed"] * accuracy["samples"])
    assert spikes["graph_right"] == round(accuracy["float"] * accuracy["samples"])
    page = (folder / "run" / "report.html").read_text()
    assert '<a href="nir_import.json">' in page
    assert f"{100 * accuracy['fixed']:.2f} % of the 60 validation samples were right in integers" in page


def test_without_validation_samples_the_test_split_tells_what_the_network_had(folder: Path) -> None:
    train, test = tiny.tiny_recordings(18, 0), tiny.tiny_recordings(9, 1)
    none = train.take(np.zeros(0, np.int64))
    write_recordings(folder / "tiny.h5", {"train": train, "validation": none, "test": test})
    report = learn(folder, folder / "run", learning__rule="infer")
    accuracy = report.data["nir_import"]["accuracy"]
    assert (accuracy["split"], accuracy["samples"]) == ("test", 9)
    assert accuracy["fixed"] == report.result("infer")["accuracy"]["test"]


def test_what_differs_from_the_graph_is_said_before_learning_and_in_the_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model(folder / "model.nir", hidden=cuba((6,), 2 * DT, 4.0))
    changes: dict[str, Any] = {"learning__rule": "infer", "network__nir": {"synapse": "instant"}, "task__steps": 2}
    (folder / "e.toml").write_text(tomli_w.dumps(tables(**changes)))
    assert main(["learn", str(folder / "e.toml"), "--out", str(folder / "run")]) == 0
    heard = capsys.readouterr()
    data = json.loads((folder / "run" / "report.json").read_text())
    steps, filtered = data["nir_import"]["notes"]
    assert steps.startswith("a step of the task lasts 1.9")
    assert steps.endswith("steps of dt need task.steps = 4")
    assert filtered == "node '2' (CubaLIF): the filter of its synapses (0.5 per step) is dropped, its charge kept"
    said, page = " ".join((heard.out + heard.err).split()), (folder / "run" / "report.html").read_text()
    for note in (steps, filtered):
        assert said.index(f"NIR graph: {note}") < said.index("report: ")
        assert said.count(note) == 2  # and at the end, where what stood before may have scrolled away
        assert f"NIR graph: {note}." in data["notes"]
        assert note.replace("'", "&#39;") in page
    (infers,) = (note for note in data["notes"] if note.startswith("infer runs"))
    assert "in a network that differs from the graph as the notes below say" in infers
    assert "current" not in data["nir_import"]["layers"][0]
    resolved = load_experiment(folder / "run" / "experiment.toml").network.nir
    assert resolved is not None and resolved.dt == DT


def test_a_synaptic_current_has_its_leak_in_the_report(folder: Path) -> None:
    model(folder / "model.nir", hidden=cuba((6,), 2.5 * DT, 2.5))
    report = learn(folder, folder / "run", learning__rule="infer")
    jsonschema.Draft202012Validator(load_schema()).validate(report.data)
    hidden, readout = report.data["nir_import"]["layers"]
    assert (hidden["beta"], hidden["current_leak"]) == (pytest.approx(0.6), 39322 / 65536)
    assert hidden["current_leak_error"] == pytest.approx(39322 / 65536 - 0.6)
    assert (hidden["alpha"], hidden["leak_error"]) == (0.75, 0.0)
    assert "beta" not in readout
    assert report.data["nir_import"]["notes"] == hidden["notes"] == []
    (population,) = report.data["nir_import"]["spikes"]["populations"]
    assert population["graph_spikes"] > 30
    assert population["differing_share"] < 0.02  # the weights are exact, only leaks round
    layers = report.data["experiment"]["network"]["layers"]
    assert layers[1]["current_leak_constant"] == 39322
    page = (folder / "run" / "report.html").read_text()
    assert "λ of the current, core" in page and "0.600006" in page
    model(folder / "model.nir")
    learn(folder, folder / "plain", learning__rule="infer")
    assert "λ of the current" not in (folder / "plain" / "report.html").read_text()


def test_a_network_that_is_as_in_its_graph_has_no_notes(folder: Path) -> None:
    """A step of the tiny task is 5 % from DT at most; a run of ours says dt itself, which is no step of a task."""
    first = learn(folder, folder / "run", learning__rule="infer")
    assert first.data["nir_import"]["notes"] == []
    assert "the notes below" not in str(first.data["notes"])
    assert main(["export", str(folder / "run"), "--format", "nir", "--out", str(folder / "own.nir")]) == 0
    own = tables(learning__rule="infer", network__nir={"file": "own.nir"}, task__steps=2)
    for key in ("dt", "reset", "comparator"):
        del own["network"]["nir"][key]
    second = story.learn(load_experiment(None, tables=own), base_dir=folder, out=folder / "second")
    assert second.data["nir_import"]["notes"] == []
    assert second.data["nir_import"]["dt"] == DT


@pytest.mark.parametrize(("outputs", "expected"), [(None, (3, 0)), ([2, 0, 1], (3, 0)), ([3, 4, 5], (0, 6))])
def test_spikes_of_the_last_population_tell_whether_its_answers_can_be_read(
    outputs: list[int] | None, expected: tuple[int, int], folder: Path
) -> None:
    """Biases alone drive the outputs: none, one and two spikes of the first three in four steps, none of others."""
    n_outputs = 3 if outputs is None else 6
    nodes, edges = chain(
        nir.Flatten(np.array([1]), 0, -1), nir.Linear(np.zeros((2, 50))), lif((2,)),
        nir.Affine(np.zeros((n_outputs, 2)), np.array([0.0, 0.25, 0.5, 0.0, 0.0, 0.0])[:n_outputs]),
        nir.IF(r=np.ones(n_outputs), v_threshold=np.ones(n_outputs)), shape=(2, 5, 5),
    )  # fmt: skip
    write(folder / "model.nir", nodes, edges)
    chosen = {} if outputs is None else {"network__nir": {"outputs": outputs}}
    report = learn(folder, folder / "run", learning__rule="infer", **chosen)
    spikes, (per_sample, silent) = report.data["nir_import"]["spikes"], expected
    assert (spikes["last_population"], spikes["last_spikes_per_sample"], spikes["last_silent_samples"]) == (
        "4", per_sample, silent,
    )  # fmt: skip
    page = " ".join((folder / "run" / "report.html").read_text().split())
    assert f"The last population of the graph, 4, has {per_sample or 0:{'.3f' if per_sample else ''}} spikes" in page
    assert ("it is silent in 6 of them, whose answer there is the first output." in page) == (silent == 6)
    jsonschema.Draft202012Validator(load_schema()).validate(report.data)
    written = json.loads((folder / "run" / "nir_import.json").read_text())
    jsonschema.Draft202012Validator(load_schema("neurochip-nir-import/1")).validate(written)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(load_schema("neurochip-nir-import/1")).validate({**written, "layers": []})


def test_an_output_without_a_threshold_has_no_spikes_to_count(folder: Path) -> None:
    report = learn(folder, folder / "run", learning__rule="infer")
    assert not any(key.startswith("last_") for key in report.data["nir_import"]["spikes"])
    assert "The last population of the graph" not in (folder / "run" / "report.html").read_text()


def test_every_number_of_the_layers_says_what_it_is(folder: Path) -> None:
    report = learn(folder, folder / "run", learning__rule="infer")
    section = nir_import(report.data)
    assert section is not None
    for table in (section["layers"], section["spikes"]):
        for row, tips in zip(table["rows"], table["tips"], strict=True):
            for title, text, said in zip(table["head"][1:], row[1:], tips, strict=True):
                if any(character.isdigit() for character in text) and title != "kind":
                    assert f", {title}: {text}" in said and "Source: " in said and "Kind: " in said
    first = section["layers"]
    assert first["tips"][0][1].startswith("1 → 2, format: s8.") and " bits. " in first["tips"][0][1]
    assert "1 → 2, counts as 1: 1.000 potential of the graph." in first["tips"][0][2]


def test_an_import_report_that_was_lost_is_made_again(folder: Path) -> None:
    whole = learn(folder, folder / "run")
    for name in ("report.json", "nir_import.json"):
        (folder / "run" / name).unlink()
    assert story.resume(folder / "run").data == whole.data


def test_networks_of_an_experiment_have_no_import_report(folder: Path) -> None:
    found = tiny.tiny_tables(learning__rule="sltt-o", learning__epochs=1)
    report = story.learn(load_experiment(None, tables=found), base_dir=folder, out=folder / "run")
    assert "nir_import" not in report.data
    assert "NIR" not in (folder / "run" / "report.html").read_text()
