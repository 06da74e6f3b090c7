"""Whole runs that begin with a network out of a NIR graph: learning, continuing without the file, reporting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import tiny_experiment as tiny
from nir_graphs import DT, chain, cuba, lif, write
from nir_runs import learn, model, tables, weights_of

from neurochip import experiment as story
from neurochip.cli import main
from neurochip.config import load_experiment
from neurochip.errors import UserError
from neurochip.network.named import named_network, network_table
from neurochip.network.shape import layer_shapes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the tiny task and the graph."""
    tiny.write_tiny_task(tmp_path)
    model(tmp_path / "model.nir")
    return tmp_path


def test_inference_runs_the_weights_of_the_graph(folder: Path) -> None:
    report = learn(folder, folder / "run", learning__rule="infer")
    first, last = weights_of(folder / "run")
    document = json.loads((folder / "run" / "nir_import.json").read_text())
    frac = document["layers"][0]["weight_frac"]
    expected = np.zeros((51, 6))  # rows: addresses p 25 + y 5 + x
    for c in range(6):
        expected[[p * 25 + c % 3 * 5 + x for p in range(2) for x in range(5)], c] = 0.75
    np.testing.assert_array_equal(first * 2.0**-frac, expected)
    assert last.shape == (7, 3)
    assert report.result("infer")["accuracy"]["test"] >= 0.8
    assert not any("float twin of bptt" in note for note in report.data["notes"])
    assert (document["spikes"]["split"], document["spikes"]["samples"]) == ("validation", tiny.SPLITS["validation"])
    (population,) = document["spikes"]["populations"]
    assert population["graph_spikes"] > 30
    assert population["differing_share"] < 0.02  # the weights are exact, only leaks round
    assert document["layers"][0]["max_weight_error"] == 0.0


def test_beside_a_teacher_inference_keeps_the_weights_of_the_graph(folder: Path) -> None:
    learn(folder, folder / "alone", learning__rule="infer")
    both = load_experiment(None, tables=tables(run__rules=["infer", "bptt"]))
    story.compare(both, base_dir=folder, out=folder / "both")
    frac = [
        json.loads((folder / run / "nir_import.json").read_text())["layers"][0]["weight_frac"]
        for run in ("alone", "both")
    ]
    alone, beside = (weights_of(folder / run, key)[0] for run, key in (("alone", "."), ("both", "infer")))
    np.testing.assert_array_equal(alone * 2.0 ** -frac[0], beside * 2.0 ** -frac[1])
    assert (weights_of(folder / "both", "bptt")[0] != beside).any()


def test_the_import_report_measures_what_few_bits_do(folder: Path) -> None:
    learn(folder, folder / "run", learning__rule="infer", precision__weight={"bits": 2, "frac": [0, 0]})
    document = json.loads((folder / "run" / "nir_import.json").read_text())
    hidden, readout = document["layers"]
    assert hidden["max_weight_error"] == 0.25 and hidden["clipped_fraction"] == 0.0  # 0.75 is 1
    assert readout["max_weight_error"] == 0.25  # the bias 0.25 is 0
    assert document["spikes"]["populations"][0]["differing"] > 0
    assert (document["dt"], document["reset"], document["comparator"]) == (DT, "subtract", "ge")
    learn(folder, folder / "clipped", learning__rule="infer", precision__weight={"bits": 2, "frac": [2, 2]})
    clipped = json.loads((folder / "clipped" / "nir_import.json").read_text())["layers"][0]
    assert clipped["clipped_fraction"] == pytest.approx(60 / 306)  # 3 quarters of 51 x 6 codes are above the highest
    assert clipped["max_weight_error"] == 0.5


def test_a_run_continues_and_runs_again_without_the_file(folder: Path) -> None:
    whole = learn(folder, folder / "whole")
    (folder / "whole" / "report.json").unlink()  # as if it had been interrupted before the report
    (folder / "model.nir").rename(folder / "moved.nir")
    resumed = story.resume(folder / "whole")
    assert resumed.data == whole.data
    again = story.learn(
        load_experiment(folder / "whole" / "experiment.toml"), base_dir=folder / "whole", out=folder / "again"
    )
    assert again.results == whole.results
    for one, other in zip(weights_of(folder / "whole"), weights_of(folder / "again"), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("experiment.toml", "network.nir", "nir_import.json"):
        assert (folder / "whole" / name).read_bytes() == (folder / "again" / name).read_bytes()


def test_a_run_of_a_time_in_which_filters_were_refused_continues(folder: Path) -> None:
    """`synapse = "refuse"` was the default; what it accepted has no filter, so it is "current"."""
    run = folder / "run"
    whole = learn(folder, run, learning__epochs=1)
    for name in ("experiment.toml", "report.json", "nir_import.json"):
        text = (run / name).read_text()
        found = text.replace('synapse = "current"', 'synapse = "refuse"').replace('"current"', '"refuse"')
        assert '"refuse"' in found
        (run / name).write_text(found)
    assert story.resume(run).results == whole.results  # as it stands
    assert main(["export", str(run), "--format", "nir", "--out", str(folder / "own.nir")]) == 0
    (run / "report.json").unlink()  # as if it had been interrupted before the report
    resumed = story.resume(run)
    assert resumed.results == whole.results
    assert resumed.data["experiment"] == whole.data["experiment"]
    assert learn(folder, run, learning__epochs=1).results == whole.results


@pytest.mark.parametrize("tau_syn", [2.5 * DT, DT * 2.0**60])
def test_a_run_with_synaptic_currents_goes_out_and_comes_back(tau_syn: float, folder: Path) -> None:
    """What ottt-o learned on a graph with currents, exported, is the same network to the bit."""
    model(folder / "model.nir", hidden=cuba((6,), tau_syn, tau_syn / DT))
    learn(folder, folder / "run", learning__rule="ottt-o", learning__epochs=1)
    assert main(["export", str(folder / "run"), "--format", "nir", "--out", str(folder / "own.nir")]) == 0
    own = tables(learning__rule="infer", network__nir={"file": "own.nir"})
    for key in ("dt", "reset", "comparator"):
        del own["network"]["nir"][key]
    story.learn(load_experiment(None, tables=own), base_dir=folder, out=folder / "again")
    for one, other in zip(weights_of(folder / "run"), weights_of(folder / "again"), strict=True):
        np.testing.assert_array_equal(one, other)
    first, second = (load_experiment(folder / run / "experiment.toml").network.layers for run in ("run", "again"))
    assert first[1:] == second[-2:]  # without the flatten, which our addresses do not need
    assert json.loads((folder / "again" / "nir_import.json").read_text())["notes"] == []


def test_the_same_command_continues_and_another_graph_does_not(folder: Path) -> None:
    first = learn(folder, folder / "run")
    assert learn(folder, folder / "run").data == first.data
    model(folder / "model.nir", 3)
    nodes, edges = chain(
        nir.Flatten(np.array([1]), 0, -1), nir.Linear(np.ones((6, 50))), lif((6,)), nir.Linear(np.ones((3, 6))),
        shape=(2, 5, 5),
    )  # fmt: skip
    write(folder / "model.nir", nodes, edges)
    with pytest.raises(UserError, match="the folder holds another experiment"):
        learn(folder, folder / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network__nir": {"sha256": "0" * 64}}, r"network\.nir\.sha256 is 0000000000000000\.\.\."),
        ({"network__nir": {"outputs": [0, 1]}}, r"has 2 values, the task 3 classes with the labels \[2, 4, 7\]"),
        ({"network__nir": {"file": "absent.nir"}}, r"absent\.nir: cannot be read"),
        ({"network__nir": {"file": "tiny.h5"}}, r"tiny\.h5: has no group 'node'"),
        (
            {"network__nir": {"file": "huge.nir"}, "precision__weight": {"bits": 6}},
            r"node '1' \(Linear\) has 59% of its weights beyond 32, the range of precision\.weight\.bits = 6",
        ),
        ({"task__crop": [3, 3]}, r"network\.input_shape = \[2, 5, 5\] is not allowed with this task"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    changes: dict[str, Any], message: str, folder: Path
) -> None:
    nodes, edges = chain(
        nir.Flatten(np.array([1]), 0, -1), nir.Linear(np.repeat([[1e300], [8e200], [40], [0], [1]], 50, axis=1)),
        lif((5,)), nir.Linear(np.ones((3, 5))), shape=(2, 5, 5),
    )  # fmt: skip
    write(folder / "huge.nir", nodes, edges)
    with pytest.raises(UserError, match=message):
        learn(folder, folder / "run", **changes)
    assert not (folder / "run").exists()


def test_a_population_far_below_its_threshold_is_named(folder: Path) -> None:
    """Ten rows of 0.75, times R dt/tau = 2^-12: 10 * 0.75 / 4096 thresholds; a given format is not argued about."""
    model(folder / "model.nir", hidden=lif((6,), r=2.0**-10))
    message = (
        r"model\.nir: node '2' \(LIF\) stays so far below its threshold that no format of precision\.membrane\.bits = "
        r"16 holds both \(.*\): with all its inputs at 1 it gets 0\.00183 thresholds in a step at most; allowed are"
    )
    with pytest.raises(UserError, match=message):
        learn(folder, folder / "run", learning__rule="infer")
    assert not (folder / "run").exists()
    learn(
        folder,
        folder / "run",
        learning__rule="infer",
        precision__membrane={"frac": [12]},
        precision__weight={"frac": [12, 6]},
    )


def test_layers_and_a_graph_exclude_each_other(folder: Path) -> None:
    found = tables()
    found["network"]["layers"] = tiny.TABLES["network"]["layers"]
    with pytest.raises(UserError, match=r"network\.layers is not allowed with network\.nir\.file = 'model\.nir'"):
        story.learn(load_experiment(None, tables=found), base_dir=folder, out=folder / "run")


def test_network_file_on_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tomli_w

    (folder / "e.toml").write_text(tomli_w.dumps(tables(learning__epochs=1)))
    arguments = ["learn", str(folder / "e.toml"), "--network", str(folder / "model.nir"), "--out", str(folder / "run")]
    assert main([*arguments, "--quiet", "--set", "network.nir.comparator=gt"]) == 0
    resolved = load_experiment(folder / "run" / "experiment.toml").network
    assert resolved.nir is not None
    assert (resolved.nir.file, resolved.nir.dt, resolved.nir.comparator) == ("network.nir", DT, "gt")
    capsys.readouterr()
    (folder / "bad.nir").write_bytes(b"no graph")
    assert main(["learn", "--network", str(folder / "bad.nir"), "--quiet"]) == 2
    assert "is damaged or no NIR graph" in capsys.readouterr().err


def test_a_graph_is_priced_like_any_network(folder: Path) -> None:
    network = named_network(str(folder / "model.nir"), [f"network.nir.dt={DT}"])
    assert (network.n_inputs, network.n_classes) == (50, 3)
    assert [shape.n_out for shape in layer_shapes(network.experiment, 50, 3)] == [6, 3]
    assert network_table(str(folder / "model.nir")) == {"nir": {"file": str(folder / "model.nir")}}
    with pytest.raises(UserError, match=r"--network nowhere\.nir: no such file; allowed are .*NIR graphs"):
        network_table("nowhere.nir")


@pytest.mark.parametrize("name", ["model.txt", "model", "model.toml", "my.model.h5"])
def test_a_graph_is_told_by_its_content_and_not_its_name(name: str, folder: Path) -> None:
    path = (folder / "model.nir").rename(folder / name)
    network = named_network(str(path), [f"network.nir.dt={DT}"])
    assert (network.n_inputs, network.n_classes) == (50, 3)
    assert network_table(str(path)) == {"nir": {"file": str(path)}}
    path.write_bytes(b"no graph")
    with pytest.raises(UserError, match="cannot be read as TOML" if name.endswith(".toml") else "nor a name"):
        network_table(str(path))


def test_a_neuron_with_gt_fires_above_its_threshold(folder: Path) -> None:
    """One unit of the membrane more in integers, the next number in floating point."""
    runs = {}
    for comparator in ("ge", "gt"):
        learn(folder, folder / comparator, learning__rule="infer", network__nir={"comparator": comparator})
        runs[comparator] = json.loads((folder / comparator / "nir_import.json").read_text())["layers"][0]
    assert runs["ge"]["threshold_error"] == 0.0
    assert runs["gt"]["threshold_error"] == 2.0 ** -runs["gt"]["membrane_frac"]
