"""Do the example experiments mean what their comments say?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from neurochip.config import load_experiment

from .conftest import Command


def test_every_example_is_a_valid_experiment_and_documented(source_tree: Path) -> None:
    readme = (source_tree / "examples" / "README.md").read_text(encoding="utf-8")
    files = sorted((source_tree / "examples").glob("*.toml"))
    assert files
    for path in files:
        load_experiment(path)
        assert f"## {path.name}" in readme


@pytest.mark.recordings
def test_nmnist4_reads_the_recordings_beside_it(
    source_tree: Path, nmnist4_path: Path, call: Command, folder: Path
) -> None:
    (folder / "mine").mkdir()
    experiment = Path(shutil.copy(source_tree / "examples" / "nmnist4.toml", folder / "mine"))
    (folder / "mine" / "nmnist_digits6789.h5").symlink_to(nmnist4_path)
    tiny = 'network.layers=[{kind="dense",neurons=2,leak_shift=1},{kind="readout"}]'
    done = call("learn", experiment, "--json", "--quiet", "--set", "learning.epochs=1", "--set", tiny)
    assert (done.code, done.err) == (0, "")
    task = json.loads(done.out)["task"]
    assert (task["n_inputs"], task["classes"], task["n_steps"]) == (2312, [6, 7, 8, 9], 20)
