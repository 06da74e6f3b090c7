"""Does `neurochip report` replay a sample as a trace, waveforms and a picture, and refuse in one sentence?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Command


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_trace_goes_to_a_file_and_to_standard_output(call: Command, run: Path) -> None:
    before = contents(run)
    done = call("report", "run", "--format", "perfetto", "--rule", "ottt-o", "--sample", "2", "--out", "trace.json")
    assert (done.code, done.out) == (0, "")
    trace = json.loads(Path("trace.json").read_text(encoding="utf-8"))
    assert (trace["otherData"]["rule"], trace["otherData"]["sample"]) == ("ottt-o", 2)
    again = call("report", "run", "--format", "perfetto", "--rule", "ottt-o", "--sample", "2")
    assert json.loads(again.out) == trace
    assert contents(run) == before


def test_waveforms_of_what_is_chosen(call: Command, run: Path) -> None:
    pytest.importorskip("vcd", reason="pyvcd is not installed")
    options = ("--rule", "bptt-o", "--neurons", "0:3,1:2", "--synapses", "0:12:5", "--cycles", "10:50")
    done = call("report", "run", "--format", "vcd", *options)
    assert done.code == 0
    names = {line.split()[4] for line in done.out.splitlines() if line.startswith("$var")}
    assert {"cycle", "phase", "u_3", "spike_3", "z_2", "w_12_5"} <= names


def test_a_picture(call: Command, run: Path) -> None:
    assert call("report", "run", "--format", "raster", "--rule", "ottt-o", "--out", "a.svg").code == 0
    assert Path("a.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("perfetto",), "the run has several rules; give --rule one of ottt-o, bptt-o"),
        (("perfetto", "--rule", "sltt"), "--rule sltt: the run run has no such rule"),
        (("perfetto", "--rule", "ottt-o", "--neurons", "0:1"), "--neurons does not go with --format perfetto; "),
        (("text", "--cycles", "0:1"), "--cycles does not go with --format text; allowed it is with vcd"),
        (("vcd", "--rule", "ottt-o", "--cycles", "4:2"), "--cycles 4:2: holds no clock"),
        (("vcd", "--rule", "ottt-o", "--neurons", "0:12"), "--neurons 0:12: layer 0 has 12 neurons"),
        (("vcd", "--rule", "ottt-o", "--synapses", "x"), "--synapses 'x' is not understood"),
        (("raster", "--rule", "ottt-o", "--neurons", "9:0"), "--neurons 9:0: the rule has layers 0 to 1"),
        (("perfetto", "--rule", "ottt-o", "--chip", "ottt-mesh-28nm"), "ottt_mesh has no tick model"),
        (("raster", "--rule", "ottt-o", "--out", "run/a.svg"), "--out run/a.svg lies in the run directory"),
    ],
)
def test_bad_input_is_one_sentence(options: tuple[str, ...], sentence: str, call: Command, run: Path) -> None:
    done = call("report", "run", "--format", *options)
    assert sentence in done.sentence()
