"""Plots and page of a sweep beside its table: every file whole, none of an earlier sweep left."""

from __future__ import annotations

from pathlib import Path

from neurochip.report.sweep_page import page_text
from neurochip.report.sweep_plots import NAMES, sweep_pictures
from neurochip.sweep.summary import Summary
from neurochip.sweep.table import write_files

PAGE_NAME = "sweep.html"


def write_page(summary: Summary | None, directory: Path) -> list[Path]:
    """Write sweep.html and the plots that apply, as SVG and PNG, and remove those that do not; None removes all.

    Raises:
        UserError: the folder cannot be written.
    """
    files: dict[str, bytes | None] = {f"{name}.{ending}": None for name in NAMES for ending in ("svg", "png")}
    files[PAGE_NAME] = None
    if summary is not None:
        pictures = sweep_pictures(summary)
        for picture in pictures:
            files |= {f"{picture.name}.svg": picture.svg_file, f"{picture.name}.png": picture.png}
        files[PAGE_NAME] = page_text(summary, pictures).encode()
    return write_files(files, directory)
