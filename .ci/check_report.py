"""Check the run that `neurochip compare` left, and that README's picture is of such a run.

python check_report.py RUNS_FOLDER
"""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema

from neurochip.report import load_schema

RULES = ("infer", "sltt-o", "ottt-o", "bptt-o", "ottt-a", "bptt")
TOP_KEYS = {"schema", "experiment", "chip", "versions", "results"}
RESULT_KEYS = {
    "rule",
    "precision",
    "accuracy",
    "footprint_bits",
    "per_sample",
    "per_sample_inference",
    "numerics",
    "ratio_to_bptt",
    "ratio_to_inference",
    "energy_to_accuracy",
}
PLOTS = {f"{name}.svg" for name in ("curves", "energy", "footprint", "steps")}
RUN_FILES = {"experiment.toml", "report.json", "report.html", "metrics.jsonl", "checkpoint.h5", "activity.h5"} | PLOTS
BAR = re.compile(r'<path d="M ([0-9.]+) [0-9.]+ *\nL ([0-9.]+) [0-9.]+ *\nL [0-9.]+ [0-9.]+ *\nL [0-9.]+ [0-9.]+ *\nz')
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "compare-energy.svg"


def problems_of(result: dict[str, Any]) -> list[str]:
    """Return what is wrong with one entry of `results`."""
    name = f"{result.get('rule')}/{result.get('precision')}"
    found = [f"{name} lacks {key}" for key in sorted(RESULT_KEYS - set(result))]
    if found:
        return found
    accuracy = result["accuracy"]
    found += [f"{name}: accuracy.{s} is {accuracy[s]}" for s in ("train", "test") if not 0 <= accuracy[s] <= 1]
    # Ten classes: a rule that learns at all is far above one in ten.
    if result["rule"] != "infer" and accuracy["test"] < 0.5:
        found.append(f"{name}: test accuracy {accuracy['test']} is not far above chance")
    if result["precision"] == "fixed":
        energy = result["per_sample"]["energy_pj"]["total"]
        if not (math.isfinite(energy) and energy > 0):
            found.append(f"{name}: energy per sample is {energy} pJ")
    return found


def drawn(path: Path) -> tuple[list[str], list[float]]:
    """Texts of a picture, and the lengths of its bars over that of the axis."""
    text = path.read_text(encoding="utf-8")
    _picture, axis, *bars = [float(right) - float(left) for left, right in BAR.findall(text)]
    return re.findall(r"<text[^>]*>([^<]*)</text>", text), [bar / axis for bar in bars]


def are_alike(one: Path, other: Path) -> bool:
    """Whether two pictures show the same: fonts move what is drawn a little."""
    (texts, bars), (other_texts, other_bars) = drawn(one), drawn(other)
    if texts != other_texts or len(bars) != len(other_bars):
        return False
    return all(abs(a - b) < 0.005 for a, b in zip(bars, other_bars, strict=True))


def main(folder: Path) -> int:
    """Print what was found and return 0 if the report is as promised."""
    reports = list(folder.glob("*/report.json"))
    if len(reports) != 1:
        print(f"{folder} holds {len(reports)} run directories with a report.json, not 1")
        return 1
    report = json.loads(reports[0].read_text(encoding="utf-8"))
    problems = [
        f"the run directory lacks {n}" for n in sorted(RUN_FILES - {p.name for p in reports[0].parent.iterdir()})
    ]
    problems += [f"report.json lacks {key}" for key in sorted(TOP_KEYS - set(report))]
    if report.get("schema") != "neurochip-report/1":
        problems.append(f"schema is {report.get('schema')!r}")
    expected = [(rule, precision) for rule in RULES for precision in ("fixed", "float")]
    results = report.get("results", [])
    if [(r.get("rule"), r.get("precision")) for r in results] != expected:
        problems.append(f"results are {[(r.get('rule'), r.get('precision')) for r in results]}, not {expected}")
    problems += [problem for result in results for problem in problems_of(result)]
    validator = jsonschema.Draft202012Validator(load_schema())
    problems += [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(report)]
    if not are_alike(reports[0].parent / "energy.svg", PICTURE):
        problems.append("README's picture is not the energy.svg of this run: copy it to docs/compare-energy.svg")
    for result in results:
        accuracy = result.get("accuracy", {}).get("test")
        print(f"{result.get('rule'):10} {result.get('precision'):6} test accuracy {accuracy}")
    for problem in problems:
        print(problem)
    print(f"report.json: {len(results)} results, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
