"""Does `neurochip export` write the three formats, and say in one sentence what is wrong?"""

from __future__ import annotations

from pathlib import Path

import pytest

from neurochip.export import read_npz

from .conftest import Command

IMAGES = ["synapse", "threshold", "surrogate_table", "exponential_table", "random_registers"]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("npz", ["network.npz"]),
        ("c", ["network.h"]),
        ("readmemh", [*(f"{name}.hex" for name in IMAGES), "manifest.json"]),
    ],
)
def test_every_format_is_written_and_named(form: str, names: list[str], call: Command, run: Path, folder: Path) -> None:
    before = contents(run)
    (folder / "out").mkdir()
    done = call("export", "run", "--format", form, "--rule", "ottt-o", "--out", "out")
    assert (done.code, done.err) == (0, "")
    assert [Path(line) for line in done.out.splitlines()] == [Path("out") / name for name in names]
    assert sorted(contents(folder / "out")) == sorted(names)
    assert contents(run) == before


def test_the_rule_is_the_one_asked_for(call: Command, run: Path, folder: Path) -> None:
    for rule in ("ottt-o", "bptt-o"):
        assert call("export", "run", "--format", "npz", "--rule", rule, "--out", rule).code == 0
        assert read_npz(folder / rule / "network.npz")[0]["rule"] == rule


def test_bad_input_ends_in_one_sentence_and_writes_nothing(call: Command, run: Path, folder: Path) -> None:
    before = contents(run)
    (folder / "full").mkdir()
    (folder / "full" / "mine").write_text("kept")
    (folder / "file").write_text("kept")
    words = ("export", "run", "--format", "c", "--rule", "ottt-o", "--out")
    assert "is not empty; give a new or empty folder" in call(*words, "full").sentence()
    assert "is not empty" in call(*words, "file").sentence()
    assert "cannot be written" in call(*words, "file/below").sentence()
    assert "stays as it is" in call(*words, run / "export").sentence()
    export = ("export", "run", "--out", "out")
    assert "--format vhdl is unknown; allowed are npz, c, readmemh" in call(*export, "--format", "vhdl").sentence()
    assert "give --rule one of ottt-o, bptt-o" in call(*export, "--format", "c").sentence()
    assert "--rule sltt" in call(*export, "--format", "c", "--rule", "sltt").sentence()
    assert "is not a run directory" in call("export", "nowhere", "--format", "c", "--out", "out").sentence()
    assert "--format" in call(*export).sentence()
    assert "--out" in call("export", "run", "--format", "c").sentence()
    (run / "checkpoint.h5").write_bytes(b"\x89HDF\r\n\x1a\n and nothing")
    assert "is not a checkpoint" in call(*export, "--format", "c", "--rule", "ottt-o").sentence()
    (run / "checkpoint.h5").unlink()
    assert "there are no weights to export" in call(*export, "--format", "c", "--rule", "ottt-o").sentence()
    assert not (folder / "out").exists()
    assert {name: content for name, content in before.items() if name != "checkpoint.h5"} == contents(run)
    assert contents(folder / "full") == {"mine": b"kept"}
