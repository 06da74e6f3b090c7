"""Draw the pictures of README.md and docs/index.md from the run of `neurochip compare`: the energy plot of its report.

neurochip compare --out RUN
python scripts/make_docs_figures.py RUN
"""

from __future__ import annotations

import sys
from pathlib import Path

from neurochip.report import read_report_json
from neurochip.report.plots import plots

TARGET = Path(__file__).resolve().parent.parent / "docs" / "compare-energy.svg"
NAME_SPACES = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '


def energy_plot(run: Path) -> str:
    """The energy plot of a report, which is part of a page there, as a file of its own."""
    drawn = {plot["name"]: plot["svg"] for plot in plots(read_report_json(run / "report.json"))}
    return drawn["energy"].replace("<svg ", NAME_SPACES, 1) + "\n"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__)
        return 2
    TARGET.write_text(energy_plot(Path(arguments[0])), encoding="utf-8")
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
