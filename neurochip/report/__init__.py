"""A finished report (the content of report.json) as files and text: one output format per file; computes nothing."""

from __future__ import annotations

from neurochip.report.console import print_report
from neurochip.report.html import write_report_html
from neurochip.report.json_file import read_report_json, write_report_json
from neurochip.report.schema import load_schema

__all__ = ["load_schema", "print_report", "read_report_json", "write_report_html", "write_report_json"]
