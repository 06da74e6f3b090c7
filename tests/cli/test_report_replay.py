"""Does `neurochip report` replay a sample as a trace, waveforms and a picture, and refuse in one sentence?"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from neurochip.report.formats import FORMATS

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


def named_sample(name: str, out: Path) -> tuple[str, int, bool]:
    """Split, index and whether it was learned, by the head of what a format writes of a sample."""
    if name == "sanafe":
        text = (out / "run_summary.yaml").read_text(encoding="utf-8").splitlines()[0]
    else:
        text = out.read_text(encoding="utf-8")
    if name == "perfetto":
        about = json.loads(text)["otherData"]
        title = json.loads(text)["traceEvents"][0]["args"]["name"]
        assert f"sample {about['sample']} of the {about['split']} split" in title
        return about["split"], about["sample"], about["learning"]
    found = re.search(r"sample (\d+) of the (train|test) split", text)
    assert found is not None, text[:500]
    return found[2], int(found[1]), "learning" in text[:2000] and name == "vcd"


@pytest.mark.parametrize("name", [name for name, entry in FORMATS.items() if entry.takes_sample])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ("train", 0)),
        (("--sample", "3"), ("train", 3)),
        (("--split", "train", "--sample", "3"), ("train", 3)),
        (("--split", "test", "--sample", "3"), ("test", 3)),
        (("--split", "test"), ("test", 0)),
    ],
)
def test_a_sample_is_the_same_one_in_every_format(
    name: str, options: tuple[str, ...], expected: tuple[str, int], call: Command, run: Path
) -> None:
    if name == "vcd":
        pytest.importorskip("vcd", reason="pyvcd is not installed")
    rule = ("--rule", "ottt-o") if "rule" in FORMATS[name].choices else ()
    assert call("report", "run", "--format", name, *rule, *options, "--out", "out").code == 0
    split, index, learned = named_sample(name, Path("out/ottt-o") if name == "sanafe" else Path("out"))
    assert (split, index) == expected
    assert learned == (name in ("perfetto", "vcd") and split == "train")
    sizes = json.loads((run / "report.json").read_text(encoding="utf-8"))["task"]
    for wrong in (str(sizes[f"n_{split}"]), "-1"):
        done = call("report", "run", "--format", name, *rule, "--split", split, f"--sample={wrong}", "--out", "wrong")
        allowed = f"the {split} split has {sizes[f'n_{split}']} samples; allowed is 0 to {sizes[f'n_{split}'] - 1}"
        assert done.sentence() == f"--sample {wrong}: {allowed}"  # nothing else on stderr: no task was loaded
    done = call("report", "run", "--format", name, *rule, "--split", "tst", "--out", "wrong")
    assert done.sentence() == "--split tst is unknown; allowed are train and test"


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
