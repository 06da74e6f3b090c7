"""The formats of `neurochip report --format`: one entry here and one file each (docs/adding-reports.md).

A writer is named as "module:function" and loaded when it is asked for. It takes either a finished report (the content
of report.json) or the plain records that another module makes of a run; it computes nothing itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from neurochip.errors import UserError

REPORT = "report"  # `content` of the formats that are written from report.json alone
Written = str | Mapping[str, str]


@dataclass(frozen=True)
class Format:
    """One output format.

    Attributes:
        name: as `--format` takes it.
        about: what it is, in some words, for the help.
        writer: "module:function" that turns the content into a text, or, for a folder, into texts by file name.
        content: "report", or the "module:function" that makes records of (run directory, chip or None).
        is_folder: whether it is several files.
        takes_sample: whether it shows a single sample; `content` then also takes (sample, split=, listener=).
        choices: further options, by name, of formats that show a single sample; `content` takes them too.
        comparison: "module:function" that writes several runs side by side; None: one run only.
        cost: "module:function" that writes the document of `neurochip cost`; None: finished runs only.
    """

    name: str
    about: str
    writer: str
    content: str = REPORT
    is_folder: bool = False
    takes_sample: bool = False
    choices: tuple[str, ...] = ()
    comparison: str | None = None
    cost: str | None = None

    def write(self, content: Any) -> Written:
        """The text, or the texts by file name."""
        written: Written = loaded(self.writer)(content)
        return written

    def check_comparison(self) -> str:
        """The writer of several runs.

        Raises:
            UserError: the format shows one run only.
        """
        if self.comparison is None:
            able = ", ".join(one.name for one in FORMATS.values() if one.comparison is not None)
            raise UserError(f"--format {self.name} shows one run; with --compare allowed are {able}")
        return self.comparison

    def write_comparison(self, comparison: Mapping[str, Any]) -> Written:
        """Several runs side by side; errors as for `check_comparison`."""
        written: Written = loaded(self.check_comparison())(comparison)
        return written

    def check_cost(self) -> str:
        """The writer of what `neurochip cost` finds.

        Raises:
            UserError: the format shows finished runs only.
        """
        if self.cost is None:
            able = ", ".join(one.name for one in FORMATS.values() if one.cost is not None)
            raise UserError(f"--format {self.name} shows a finished run; of a cost allowed are {able}")
        return self.cost


def _entry(name: str, about: str, writer: str, **options: Any) -> Format:
    return Format(name, about, f"neurochip.report.{writer}", **options)


def _beside(kind: str) -> dict[str, str]:
    """Writers of the format for several runs side by side and for a cost."""
    return {
        "comparison": f"neurochip.report.comparison:comparison_{kind}",
        "cost": f"neurochip.report.cost_formats:cost_{kind}",
    }


_ENTRIES: tuple[Format, ...] = (
    _entry("text", "the tables", "text_format:report_text", **_beside("text")),
    _entry("json", "report.json", "json_file:report_json", **_beside("json")),
    _entry("csv", "one row per rule and precision", "csv_format:report_csv", **_beside("csv")),
    _entry("markdown", "the headline tables", "markdown:report_markdown", **_beside("markdown")),
    _entry("latex", "the headline table", "latex:report_latex", **_beside("latex")),
    _entry(
        "html",
        "the page",
        "html:page_of_records",
        content="neurochip.page_records:page_records",
        comparison="neurochip.report.comparison:comparison_html",
    ),
    _entry(
        "accelergy",
        "action counts and energy reference tables, into a folder",
        "accelergy:accelergy_files",
        content="neurochip.action_records:action_records",
        is_folder=True,
    ),
    _entry(
        "sanafe",
        "inference of one sample step by step, as SANA-FE writes it, into a folder",
        "sanafe:sanafe_files",
        content="neurochip.step_records:step_records",
        is_folder=True,
        takes_sample=True,
    ),
    _entry(
        "neurobench",
        "NeuroBench's metrics as JSON",
        "neurobench:neurobench_json",
        content="neurochip.neurobench_records:neurobench_records",
    ),
    _entry(
        "perfetto",
        "phases, stalls and memory traffic of one sample, replayed clock by clock, for ui.perfetto.dev",
        "perfetto:perfetto_trace",
        content="neurochip.replay_timeline:timeline_records",
        takes_sample=True,
        choices=("rule",),
    ),
    _entry(
        "vcd",
        "waveforms of neurons and synapses over the clocks of one replayed sample",
        "vcd:vcd_dump",
        content="neurochip.replay_waves:wave_records",
        takes_sample=True,
        choices=("rule", "neurons", "synapses", "cycles"),
    ),
    _entry(
        "raster",
        "events, spikes, potentials and readout of one replayed sample, a picture (SVG)",
        "raster:raster_svg",
        content="neurochip.replay_raster:raster_records",
        takes_sample=True,
        choices=("rule", "neurons"),
    ),
)
FORMATS: Mapping[str, Format] = {entry.name: entry for entry in _ENTRIES}


def find_format(name: str) -> Format:
    """The format of this name.

    Raises:
        UserError: there is none.
    """
    if name not in FORMATS:
        raise UserError(f"--format {name} is unknown; allowed are {', '.join(FORMATS)}")
    return FORMATS[name]


def loaded(path: str) -> Callable[..., Any]:
    """The function at "module:function"."""
    module, function = path.split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


__all__ = ["FORMATS", "REPORT", "Format", "Written", "find_format", "loaded"]
