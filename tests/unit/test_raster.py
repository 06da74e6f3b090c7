"""Does the raster show what the golden core did, and is the picture whole, escaped and always the same?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from exported_runs import CASES, finished_runs

from neurochip.errors import UserError
from neurochip.reference.core import GoldenCore
from neurochip.reference.engine import golden_sample
from neurochip.replay import open_run, replay
from neurochip.replay_raster import raster_records
from neurochip.report.raster import raster_svg

SAMPLE = 5


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Finished runs by network."""
    return finished_runs(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(("network", "rule"), CASES)
def test_records_are_those_of_the_golden_core(network: str, rule: str, runs: Mapping[str, Path]) -> None:
    records = raster_records(runs[network], None, SAMPLE, rule=rule)
    one = replay(open_run(runs[network], None, rule), SAMPLE)
    core = GoldenCore(one.spec, [layer.tolist() for layer in one.learned.weights])
    core.memory.registers[:] = one.learned.registers.tolist()
    sample = golden_sample(one.sample.data, 0)
    run = core.run([sample], one.learn)
    events = [[step, address] for step, cell in enumerate(sample.steps) for address, _ in cell]
    assert records["inputs"]["events"] == events
    assert [layer["layer"] for layer in records["hidden"]] == [
        index for index, layer in enumerate(one.spec.layers) if layer.is_hidden
    ]
    for layer in records["hidden"]:
        index, unit = layer["layer"], 2.0 ** -one.spec.layers[layer["layer"]].frac_potential
        spikes = run.probes[f"spike/{index}"][0]
        assert layer["spikes"] == [[t, j] for t, row in enumerate(spikes) for j, s in enumerate(row) if s]
        assert layer["threshold"] == one.spec.layers[index].threshold_q * unit
        assert layer["potentials"]
        for shown in layer["potentials"]:
            assert shown["values"] == [row[shown["index"]] * unit for row in run.probes[f"potential/{index}"][0]]
    last = len(one.spec.layers) - 1
    unit = 2.0 ** -one.spec.layers[last].frac_potential
    assert [one["sums"][-1] for one in records["readout"]] == [n * unit for n in run.readout_sums[0]]
    assert records["prediction"] == records["readout"][run.predictions[0]]["name"]


def test_any_chip_and_any_neuron_will_do(runs: Mapping[str, Path]) -> None:
    own = raster_records(runs["dense"], None, SAMPLE, rule="ottt-o", neurons="1:4,0:2,2:1")
    mesh = raster_records(runs["dense"], "ottt-mesh-28nm", SAMPLE, rule="ottt-o", neurons="1:4,0:2,2:1")
    assert [[shown["index"] for shown in layer["potentials"]] for layer in own["hidden"]] == [[2], [4]]
    assert mesh == own | {"chip": "ottt-mesh-28nm"}
    with pytest.raises(UserError, match="--neurons 0:7: layer 0 has 7 neurons"):
        raster_records(runs["dense"], None, SAMPLE, rule="ottt-o", neurons="0:7")


def drawn(records: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The file and the texts in it."""
    svg = raster_svg(records)
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return svg, ["".join(one.itertext()).strip() for one in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_picture_has_every_panel(runs: Mapping[str, Path]) -> None:
    records = raster_records(runs["dense"], None, SAMPLE, rule="ottt-o", neurons="0:3,0:6")
    svg, texts = drawn(records)
    n_spikes = [len(layer["spikes"]) for layer in records["hidden"]]
    for text in (
        f"{len(records['inputs']['events'])} events", f"{n_spikes[0]} spikes", f"{n_spikes[1]} spikes", "neuron 3",
        "neuron 6", "threshold", "class 2", "class 4", "class 7", "step", "input address",
    ):  # fmt: skip
        assert text in texts
    assert any(f"sample {SAMPLE} of the train split, label {records['label']}" in text for text in texts)
    assert svg == raster_svg(records)
    assert "<metadata" not in svg or "Date" not in svg


def test_a_sample_without_events_is_drawn(runs: Mapping[str, Path]) -> None:
    records = raster_records(runs["dense"], None, 0, rule="infer")
    assert records["inputs"]["events"] == []
    assert "0 events" in drawn(records)[1]


def test_no_name_reaches_the_picture_unescaped(runs: Mapping[str, Path]) -> None:
    records = raster_records(runs["dense"], None, SAMPLE, rule="infer")
    evil = '</text><script>alert("1")</script> $x_$ &amp; &'
    svg, texts = drawn({**records, "name": evil})
    assert "<script" not in svg
    assert any(text.startswith(evil) for text in texts)


def test_very_many_events_are_one_image(runs: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    records = raster_records(runs["dense"], None, SAMPLE, rule="infer")
    assert "<image" not in raster_svg(records)
    monkeypatch.setattr("neurochip.report.raster.MOST_MARKS", len(records["inputs"]["events"]) - 1)
    assert "<image" in raster_svg(records)
