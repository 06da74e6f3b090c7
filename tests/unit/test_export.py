"""Are the exported files what the run learned, and are their numbers enough to run it and to go on learning?"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tiny_experiment as tiny
from exported_runs import CASES, finished_runs
from numpy.typing import NDArray

from neurochip.chip import load_chip
from neurochip.errors import UserError
from neurochip.export import export_files, load_learned, read_npz, spec_of
from neurochip.export.arrays import integer_type
from neurochip.export.document import document_of
from neurochip.network.resolve import Lanes
from neurochip.reference.core import GoldenCore, GoldenSample
from neurochip.reference.engine import ReferenceEngine, golden_sample
from neurochip.repricing import load_run
from neurochip.run_directory import RunDirectory, read_experiment
from neurochip.setup import task_settings
from neurochip.spec import CoreSpec
from neurochip.tasks import load_task


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Finished runs by network."""
    return finished_runs(tmp_path_factory.getbasetemp())


def checkpoint(run: Path, rule: str) -> dict[str, Any]:
    """What checkpoint.h5 holds of a rule."""
    with h5py.File(run / "checkpoint.h5") as file:
        layers = [file[rule]["layers"][str(index)] for index in range(len(file[rule]["layers"]))]
        return {
            "weights": [layer["weight"][()] for layer in layers],
            "velocities": [layer["velocity"][()] for layer in layers if "velocity" in layer],
            "registers": file[rule]["random_registers"][()],
        }


def matrices(spec: CoreSpec, arrays: Mapping[str, NDArray[Any]], name: str, bias: str) -> list[list[list[int]]]:
    """Rows of weights, then those of the bias, 0 where there is none, as the cores take them."""
    found = []
    for index, layer in enumerate(spec.layers):
        absent = np.zeros((layer.n_bias_rows, layer.columns), dtype=np.int64)
        rows = arrays.get(f"{name}_{index}", np.zeros((layer.n_weight_rows, layer.columns), dtype=np.int64))
        found.append([*rows.tolist(), *arrays.get(f"{bias}_{index}", absent).tolist()])
    return found


def golden_core(path: Path) -> GoldenCore:
    """A golden core made from nothing but an exported .npz."""
    document, arrays = read_npz(path)
    spec = spec_of(document)
    core = GoldenCore(spec, matrices(spec, arrays, "weight", "bias"))
    core.memory.registers[:] = arrays["random_registers"].tolist()
    if spec.momentum_shift:
        core.set_velocities(matrices(spec, arrays, "velocity", "bias_velocity"))
    return core


def continued(run: Path, rule: str) -> ReferenceEngine:
    """The core of the run itself, put back into its checkpoint."""
    saved, held = load_run(run), checkpoint(run, rule)
    chip = load_chip("ottt-core-28nm")
    spec = saved.spec(rule, Lanes(chip.lanes, chip.trace_lanes))
    if run.name == "dense":  # halved once after the first of two epochs
        spec = replace(spec, rate_shift=spec.rate_shift + 1)
    engine = ReferenceEngine(spec, held["weights"])
    engine.restore(held["weights"], held["registers"], held["velocities"])
    return engine


@pytest.mark.parametrize(("network", "rule"), CASES)
def test_a_core_made_from_the_npz_predicts_and_learns_on_like_the_checkpoint(
    network: str, rule: str, runs: Mapping[str, Path], tmp_path: Path
) -> None:
    run = runs[network]
    (path,) = export_files(load_learned(run, rule), "npz", tmp_path / "out")
    task = load_task(task_settings(read_experiment(run)), run, 3, lambda text: None)
    engine, core = continued(run, rule), golden_core(path)
    assert core.footprint_bits() == engine._core.footprint_bits()

    order = np.arange(len(task.test.labels))
    tested = engine.run(task.test, order, learn=False)
    ours = core.run([golden_sample(task.test, int(i)) for i in order], learn=False)
    assert ours.predictions == tested.predictions.tolist()
    assert ours.readout_sums == tested.readout_sums.tolist()
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    (result,) = [r for r in report["results"] if (r["rule"], r["precision"]) == (rule, "fixed")]
    assert np.mean(ours.predictions == task.test.labels) == result["accuracy"]["test"]

    before = core.weights
    learned = engine.run(task.train, np.arange(6), learn=True)
    samples: list[GoldenSample] = [golden_sample(task.train, i) for i in range(6)]
    ours = core.run(samples, learn=True)
    assert ours.readout_sums == learned.readout_sums.tolist()
    assert core.weights == [layer.tolist() for layer in engine.weights]
    assert core.registers == engine.registers.tolist()
    assert core.velocities == [layer.tolist() for layer in engine.velocities]
    assert (core.weights != before) == (rule != "infer")


def test_the_document_says_which_layers_have_a_current_and_older_ones_without_it_have_none(
    runs: Mapping[str, Path],
) -> None:
    document = document_of(load_learned(runs["current"], "ottt-o"))
    leaks = [(layer["current_leak_kind"], layer["current_leak_value"]) for layer in document["layers"]]
    assert leaks == [("shift", 1), ("constant", 40000), ("constant", 50000)]
    read = [(layer.current_leak_kind, layer.current_leak_value) for layer in spec_of(document).layers]
    assert read == leaks
    older = document_of(load_learned(runs["dense"], "ottt-o"))
    for layer in older["layers"]:
        del layer["current_leak_kind"], layer["current_leak_value"]
    assert [layer.has_current for layer in spec_of(older).layers] == [False] * len(older["layers"])


@pytest.mark.parametrize(("network", "rule"), CASES)
def test_the_arrays_are_the_checkpoint_in_the_narrowest_types(
    network: str, rule: str, runs: Mapping[str, Path], tmp_path: Path
) -> None:
    (path,) = export_files(load_learned(runs[network], rule), "npz", tmp_path / "out")
    document, arrays = read_npz(path)
    held, spec = checkpoint(runs[network], rule), spec_of(document)
    assert matrices(spec, arrays, "weight", "bias") == [rows.tolist() for rows in held["weights"]]
    assert np.array_equal(arrays["random_registers"], held["registers"])
    assert len(arrays["surrogate_table"]) == 64 and len(arrays["exponential_table"]) == 256
    assert arrays["threshold"].tolist() == [layer["threshold_q"] for layer in document["layers"]]
    for index, layer in enumerate(document["layers"]):
        assert arrays[f"weight_{index}"].dtype == (np.int8 if network == "dense" else np.int16)
        assert (f"bias_{index}" in arrays) == layer["bias"]
        assert layer["n_bias_rows"] == len(arrays.get(f"bias_{index}", ()))
        assert layer["formats"]["weight"]["bits"] == (6 if network == "dense" else 11)
    text = json.dumps(document)
    assert document_of(load_learned(runs[network], rule)) == document_of_text(text)


def document_of_text(text: str) -> dict[str, Any]:
    """A document as it is read back."""
    document: dict[str, Any] = json.loads(text)
    return document


def test_roles_formats_and_shifts_are_those_of_the_semantics(runs: Mapping[str, Path]) -> None:
    local, eprop = (document_of(load_learned(runs["dense"], rule)) for rule in ("ottt-local", "e-prop"))
    assert [layer["role"] for layer in local["layers"]] == ["hidden", "hidden", "head", "readout"]
    assert [layer["role"] for layer in eprop["layers"]] == ["hidden", "hidden", "feedback", "readout"]
    assert list(eprop["layers"][2]["formats"]) == ["weight"]
    first, learned = local["layers"][0], load_learned(runs["dense"], "ottt-local")
    fracs = {name: first["formats"][name]["frac"] for name in ("weight", "membrane", "trace", "error")}
    s = learned.spec.rate_shift
    assert first["shifts"] == {
        "deliver": fracs["membrane"] - fracs["weight"],
        "surrogate": fracs["membrane"] - 4,
        "error": [{"layer": 2, "shift": learned.spec.error_shift(0, 2)}],
        "trace": fracs["trace"],
        "update": fracs["trace"] + fracs["error"] + s - fracs["weight"],
    }
    layers = (replace(learned.spec.layers[0], learns=False), *learned.spec.layers[1:])
    frozen = document_of(replace(learned, spec=replace(learned.spec, layers=layers)))["layers"][0]
    assert "trace" not in frozen["formats"] and not {"trace", "update"} & set(frozen["shifts"])
    accumulating = document_of(load_learned(runs["dense"], "bptt"))["layers"][0]
    fracs = {name: fmt["frac"] for name, fmt in accumulating["formats"].items()}
    assert accumulating["shifts"]["gradient"] == fracs["event"] + fracs["error"] - fracs["gradient"]
    assert accumulating["shifts"]["apply"] == fracs["gradient"] + s - fracs["weight"]
    assert accumulating["formats"]["delta"]["bits"] == 12


@pytest.mark.parametrize(
    ("bits", "signed", "name"),
    [(2, True, "int8"), (8, True, "int8"), (9, True, "int16"), (16, False, "uint16"), (17, True, "int32"),
     (32, True, "int32"), (1, False, "uint8")],
)  # fmt: skip
def test_types_are_the_narrowest_that_hold_the_format(bits: int, signed: bool, name: str) -> None:
    assert integer_type(bits, signed) == np.dtype(name)


@pytest.mark.parametrize("form", ["npz", "c", "readmemh"])
def test_the_same_run_gives_the_same_bytes(form: str, runs: Mapping[str, Path], tmp_path: Path) -> None:
    contents: list[dict[str, bytes]] = []
    for name in ("one", "two"):
        paths = export_files(load_learned(runs["conv"], "ottt-o"), form, tmp_path / name)
        contents.append({path.name: path.read_bytes() for path in paths})
        assert set(contents[-1]) == {path.name for path in (tmp_path / name).iterdir()}
    assert contents[0] == contents[1]


def test_a_file_that_cannot_be_written_leaves_none(
    runs: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned, out = load_learned(runs["dense"], "ottt-o"), tmp_path / "out"
    write = Path.write_bytes

    def fail_at_the_last(path: Path, data: bytes) -> int:
        if "manifest" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fail_at_the_last)
    with pytest.raises(UserError, match=r"No space left on device"):
        export_files(learned, "readmemh", out)
    assert list(out.iterdir()) == []


def test_a_stream_exports_what_it_learned(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    stream = {"samples": 24}
    tiny.run_tiny(tmp_path, tmp_path / "run", ["ottt-o"], "learn", learning__mode="stream", stream=stream)
    learned = load_learned(tmp_path / "run")
    document = document_of(learned)
    assert (document["epochs"], document["stream_samples"]) == (None, 24)
    state = RunDirectory(tmp_path / "run")
    state.open(read_experiment(tmp_path / "run"))
    held = state.state(".")
    assert held is not None
    assert all(map(np.array_equal, learned.weights, held.weights))


def refused(run: Path, rule: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_learned(run, rule)
    return str(caught.value)


def test_what_cannot_be_exported_is_named(runs: Mapping[str, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs["dense"], tmp_path / "run"))
    assert "give --rule one of infer, ottt-o, bptt, ottt-local, e-prop" in refused(run)
    assert "--rule sltt: the run" in refused(run, "sltt")
    with h5py.File(run / "checkpoint.h5", "a") as file:
        weights = file["bptt/layers/0/weight"]
        weights[0, 0] = 99
        del file["e-prop"]
        del file["ottt-o/layers/2"]
    assert "outside -32 to 31" in refused(run, "bptt")
    assert "has no weights of e-prop" in refused(run, "e-prop")
    assert "has weights of shape" in refused(run, "ottt-o")
    (run / "checkpoint.h5").unlink()
    assert "checkpoint.h5: there is no such file" in refused(run, "infer")
    (run / "report.json").unlink()
    assert "report.json: there is no such file" in refused(run, "infer")


def test_a_run_in_real_numbers_has_nothing_to_export(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    tiny.run_tiny(tmp_path, tmp_path / "run", ["ottt-o"], precision__arithmetic="float")
    assert "no fixed-point results" in refused(tmp_path / "run")


def test_a_file_of_another_kind_is_no_export(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    (tmp_path / "text.npz").write_text("no zip")
    for name in ("other", "text", "absent"):
        with pytest.raises(UserError, match=r"is no \.npz that `neurochip export` wrote"):
            read_npz(tmp_path / f"{name}.npz")
    with pytest.raises(UserError, match="schema 'neurochip-export/0'"):
        spec_of({"schema": "neurochip-export/0"})
