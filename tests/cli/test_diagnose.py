"""Does `neurochip diagnose` print figures and a sentence for every rule of a run, and one sentence for bad input?"""

from __future__ import annotations

import json
import re
from pathlib import Path

from .conftest import Command


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_it_prints_a_table_and_a_sentence_per_rule(call: Command, small: Path) -> None:
    call("compare", small, "--quiet", "--out", "run", "--set", "precision.weight.rounding=floor")
    before = contents(Path("run"))
    done = call("diagnose", "run", "--samples", "8", "--quiet")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line for line in lines if line.endswith("8 samples")] == [
        "digits-dvs, ottt-o, 8 samples",
        "digits-dvs, bptt-o, 8 samples",
    ]
    sentences = [line for line in lines if line.startswith(("ottt-o: ", "bptt-o: "))]
    assert len(sentences) == 2
    assert sentences[0].endswith("use stochastic rounding. Add:")
    assert lines[lines.index(sentences[0]) + 1] == "  --set precision.weight.rounding=stochastic"
    document = json.loads(call("diagnose", "run", "--samples", "8", "--json", "--quiet").out)
    assert [result["rule"] for result in document["results"]] == ["ottt-o", "bptt-o"]
    lost = document["results"][0]["layers"][0]["rounding"]["rate_lost"]
    row = next(line for line in lines if line.startswith("learning rate lost"))
    assert re.split(r"\s{2,}", row)[1] == f"{100 * lost:.3g} %"
    assert contents(Path("run")) == before


def test_bad_input_is_one_sentence(call: Command, small: Path, folder: Path) -> None:
    assert "is not a run directory" in call("diagnose", "nothing", "--quiet").sentence()
    assert "--samples" in call("diagnose", "nothing", "--samples", "0").sentence()
    call("learn", small, "--quiet", "--out", "run")
    (folder / "run" / "checkpoint.h5").unlink()
    assert "checkpoint.h5: has no weights of ottt-o" in call("diagnose", "run", "--quiet").sentence()
