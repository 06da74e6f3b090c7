"""Every check there is, from one folder of hardware models."""

from __future__ import annotations

from pathlib import Path

from neurochip._data import data_folder
from neurochip.chip import load_chip, load_technology
from neurochip.silicon.check import Check
from neurochip.silicon.figures import (
    LogicFigures,
    LoihiFigures,
    OdinFigures,
    ReckonFigures,
    SramFigures,
    read_figures,
)
from neurochip.silicon.laws import logic_checks, loihi_checks, sram_checks
from neurochip.silicon.odin import odin_checks
from neurochip.silicon.reckon_cycles import cycle_checks, layout_checks, throughput_checks
from neurochip.silicon.reckon_energy import energy_checks


def all_checks(hw_models: Path | None = None) -> list[Check]:
    """Compute every published number again, in the order the table shows them.

    Chips and technologies that feed no check are read as well, so that a broken file is refused wherever it is.

    Args:
        hw_models: a folder with `chips`, `technology` and `silicon`; the default is the packaged one.

    Raises:
        UserError: a file is missing or broken, or holds a value no prediction can start from.
    """
    folder = data_folder("hw_models") if hw_models is None else hw_models
    silicon = folder / "silicon"
    reckon = read_figures(ReckonFigures, silicon / "reckon.toml")
    odin = read_figures(OdinFigures, silicon / "odin.toml")
    loihi = read_figures(LoihiFigures, silicon / "loihi.toml")
    sram = read_figures(SramFigures, silicon / "sram.toml")
    logic = read_figures(LogicFigures, silicon / "logic.toml")
    chip = load_chip(folder / "chips" / f"{reckon.chip}.toml")
    names = {logic.technology, *(group.technology for group in sram.groups)}
    names |= {path.stem for path in (folder / "technology").glob("*.toml")}
    technologies = {name: load_technology(folder / "technology" / f"{name}.toml") for name in sorted(names)}
    for path in sorted((folder / "chips").glob("*.toml")):
        load_chip(path)
    return [
        *energy_checks(reckon, chip),
        *throughput_checks(reckon),
        *cycle_checks(reckon),
        *layout_checks(reckon, chip),
        *odin_checks(odin, chip),
        *sram_checks(sram, technologies),
        *logic_checks(logic, technologies),
        *loihi_checks(loihi),
    ]
