"""A finished run on a chip whose weights, or history, lie in DRAM."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import tiny_experiment as tiny

from neurochip._data import data_folder

RULES = ["infer", "ottt-o", "bptt-o"]


def chip_with_dram(path: Path, *small: str) -> Path:
    """Write the default chip with these memories too small for anything, and all that overflows in DRAM."""
    text = (data_folder("hw_models") / "chips" / "ottt-core-28nm.toml").read_text(encoding="utf-8")
    text = text.replace('overflow = "refuse"', 'overflow = "dram"')
    for memory in small:
        text, n = re.subn(rf"(\[memories\.{memory}\]\n[^\[]*?bank_words = )\d+", r"\g<1>1", text)
        text, m = re.subn(rf"(\[memories\.{memory}\]\n[^\[]*?banks = )\d+", r"\g<1>1", text)
        assert (n, m) == (1, 1)
    path.write_text(text, encoding="utf-8")
    return path


@cache
def off_chip_run(folder: Path) -> Path:
    """A finished run of RULES with its weights in DRAM; made once for every folder."""
    folder = folder / "off_chip_run"
    folder.mkdir()
    tiny.write_tiny_task(folder)
    chip = chip_with_dram(folder / "dram.toml", "synapse", "history")
    tiny.run_tiny(folder, folder / "run", RULES, chip__name=str(chip), chip__overflow="dram")
    return folder / "run"
