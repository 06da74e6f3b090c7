"""Does a report say which layers are recurrent, how they leak, and which have a synaptic current?"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import report_fixture as given
import tiny_experiment as tiny
from rich.console import Console

from neurochip.report import print_report
from neurochip.report.html import report_page
from neurochip.report.layers import layer_texts, network_sentence


def with_layers(layers: Any, **changes: Any) -> dict[str, Any]:
    report: dict[str, Any] = given.make_report()
    report["experiment"]["network"]["layers"] = layers
    report["network"] = {**report["network"], **changes}
    return report


LAYERS = [
    {"kind": "dense", "recurrent": True, "leak_constant": 49152, "current_leak_shift": 1},
    {"kind": "sumpool"},
    {"kind": "readout", "leak_shift": 3, "current_leak_constant": 16384},
]


def test_page_and_console_say_what_differs_between_layers() -> None:
    report = with_layers(LAYERS)
    texts = [
        "dense 512 → 128 (recurrent, λ = 0.75, synaptic current λ = 0.5)",
        "readout 128 → 10 (λ = 0.875, synaptic current λ = 0.25)",
    ]
    assert layer_texts(report) == texts
    assert f"<dt>layers</dt><dd>{'; '.join(texts)}</dd>" in report_page(report)
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=200))
    (line,) = [line for line in stream.getvalue().splitlines() if line.startswith("network")]
    assert line.endswith(" weights; layer 0 recurrent; layers 0 and 1 with a synaptic current")


def test_plain_layers_have_sizes_and_leaks_alone() -> None:
    report = given.make_report()
    assert layer_texts(report) == ["dense 512 → 128 (λ = 0.5)", "readout 128 → 10"]
    assert network_sentence(report).endswith(" weights")


@pytest.mark.parametrize(
    "layers",
    [None, [], ["bogus"], [{"kind": []}], LAYERS[:1], [*LAYERS, *LAYERS], [{"kind": "dense"}, {"leak_shift": 1}]],
)
def test_layers_that_do_not_match_the_experiment_have_their_sizes(layers: Any) -> None:
    assert layer_texts(with_layers(layers)) == ["dense 512 → 128", "readout 128 → 10"]


def test_a_run_of_a_convolution_and_a_recurrent_layer_with_a_current_says_so(tmp_path: Path) -> None:
    tiny.write_tiny_task(tmp_path)
    layers = [
        {"kind": "conv2d", "channels": 2, "kernel": 3, "leak_shift": 2},
        {"kind": "sumpool", "kernel": 2},
        {"kind": "dense", "neurons": 4, "recurrent": True, "current_leak_shift": 2},
        {"kind": "readout"},
    ]
    changes: dict[str, Any] = {"network__layers": layers, "learning__epochs": 1}
    report = tiny.run_tiny(tmp_path, tmp_path / "run", ["ottt-o"], "learn", **changes).data
    first, second, _ = layer_texts(report)
    assert first.startswith("conv") and first.endswith("(λ = 0.75)")
    assert second.startswith("dense") and "(recurrent, " in second and "synaptic current λ = 0.75" in second
    assert network_sentence(report).endswith("; layer 1 recurrent; layer 1 with a synaptic current")
