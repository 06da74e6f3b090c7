"""The section `sensitivity` of a report in words: what the order of the rules hangs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurochip.report.table import number

TOP_KNOBS = 3


def sensitivity_lines(section: Mapping[str, Any] | None) -> list[str]:
    """For every pair one paragraph: the knobs that move it most, what flips it, and the pair on equal silicon."""
    section = section or {}
    built = {entry["rule"]: entry for entry in section.get("iso_area") or []}
    lines = []
    for pair in section.get("pairs", []):
        moving = [bar for bar in pair["tornado"] if bar["swing"] > 0][:TOP_KNOBS]
        knobs = "; ".join(f"{bar['label']} {_ends(bar)}" for bar in moving)
        what = f" ({knobs})" if knobs else ""
        sentences = [
            f"Energy of {pair['rule']} over {pair['baseline']}: {number(pair['ratio'])}{what}.",
            *pair["sentences"],
        ]
        ratios = built.get(pair["rule"], {}).get("ratio_to_bptt")
        if ratios:
            sentences.append(
                f"On chips built just for each, {pair['rule']} takes {number(ratios['area_mm2'])} times the area and "
                f"{number(ratios['energy_delay_area_pj_us_mm2'])} times the energy x delay x area."
            )
        lines.append(" ".join(sentences))
    for group in section.get("iso_sram", []):
        lines += group["sentences"]
    return lines


def _ends(bar: Mapping[str, Any]) -> str:
    """As "0.5 to 2 times: 1.88 to 1.78"."""
    unit = {"x": " times", "bits": "", "lanes": ""}.get(bar["unit"], f" {bar['unit']}")
    low, high = bar["low"], bar["high"]
    return f"{low['value']:.3g} to {high['value']:.3g}{unit}: {number(low['ratio'])} to {number(high['ratio'])}"
