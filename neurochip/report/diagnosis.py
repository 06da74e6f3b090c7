"""What limits the accuracy of a rule: its diagnosis in report.json as a sentence and as a table."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from neurochip.report.table import NOTHING

Layer = Mapping[str, Any]
HEALTHY = "no number format found that limits accuracy"
FEW_BITS = 5  # of weights: the noise of their stochastic rounding is no longer small, and is not measured
NOT_JUDGED = "; the noise of few weight bits under stochastic rounding is not judged"


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.3g} %"


def _db(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f} dB"


def _count(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def _of(table: str, key: str, text: Callable[[Any], str]) -> Callable[[Layer], str]:
    return lambda layer: NOTHING if layer[table] is None else text(layer[table].get(key))


ROWS: tuple[tuple[str, Callable[[Layer], str]], ...] = (
    *((f"saturated: {name}", _of("saturation", name, _share)) for name in
      ("membrane", "readout", "trace", "error", "delta", "gradient", "weight")),
    ("errors rounded to 0", lambda layer: _share(layer["underflow"])),
    ("weights at their limit", lambda layer: _share(layer["weights_at_limit"])),
    ("bits that weights leave empty", lambda layer: f"{layer['unused_bits']:.1f}"),
    ("updates without a change", _of("rounding", "unchanged_share", _share)),
    ("learning rate lost", _of("rounding", "rate_lost", _share)),
    ("bias of an update, LSB", _of("rounding", "bias_lsb", lambda value: f"{value:.2g}")),
    *((f"SNR: {name}", _of("snr_db", name, _db)) for name in ("potential", "trace", "error", "gradient")),
    ("samples whose spikes differ", _of("divergence", "samples_share", _share)),
    ("first step that differs", _of("divergence", "first_step", _count)),
    ("silent neurons", _of("neurons", "silent", _share)),
    ("dead neurons", _of("neurons", "dead", _share)),
    ("neurons that always fire", _of("neurons", "saturated", _share)),
)  # fmt: skip


def table_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Header and rows of the table of one rule; rows without any number are left out."""
    layers = result["layers"]
    header = ["", *(f"layer {index} ({layer['kind']})" for index, layer in enumerate(layers))]
    rows = [[title, *(cell(layer) for layer in layers)] for title, cell in ROWS]
    return [header, *(row for row in rows if any(cell != NOTHING for cell in row[1:]))]


def sentence(rule: str, diagnosis: Mapping[str, Any]) -> str:
    """What is to be done about one rule, in a sentence, with the options to type."""
    advice = diagnosis["advice"]
    if advice is None:
        return f"{rule}: {HEALTHY}."
    return f"{rule}: {advice['sentence']} Add {_options(advice)}"


def on_console(rule: str, diagnosis: Mapping[str, Any]) -> tuple[str, str]:
    """The sentence, and the options to type on a line that must not be broken; "" for a healthy rule."""
    advice = diagnosis["advice"]
    if advice is None:
        return sentence(rule, diagnosis), ""
    return f"{rule}: {advice['sentence']} Add:", _options(advice)


def _options(advice: Mapping[str, Any]) -> str:
    return " ".join(f"--set {shlex.quote(text)}" for text in advice["overrides"])


def diagnosed(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Rule -> its diagnosis, of the rules that have one; reports of earlier versions have none."""
    found = {entry["rule"]: entry.get("diagnosis") for entry in report["results"] if entry["precision"] == "fixed"}
    return {rule: diagnosis for rule, diagnosis in found.items() if diagnosis}


def limits(report: Mapping[str, Any]) -> list[str]:
    """A sentence per rule with an advice, and one for all others that were diagnosed."""
    return [*(sentence(rule, diagnosis) for rule, diagnosis in advised(report).items()), *healthy(report)]


def advised(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Rule -> its diagnosis, of the rules with an advice."""
    return {rule: diagnosis for rule, diagnosis in diagnosed(report).items() if diagnosis["advice"] is not None}


def healthy(report: Mapping[str, Any]) -> list[str]:
    """One sentence for all rules that were diagnosed and got no advice; none without any."""
    rules = [rule for rule, diagnosis in diagnosed(report).items() if diagnosis["advice"] is None]
    weight = report["experiment"]["precision"]["weight"]
    is_noisy = weight["rounding"] == "stochastic" and weight["bits"] <= FEW_BITS
    said = f"{HEALTHY}{NOT_JUDGED if is_noisy else ''}."
    return [f"{', '.join(rules)}: {said}"] if rules else []
