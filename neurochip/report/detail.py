"""The tables of one rule on the page, each number with what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurochip.counters import COUNTERS, MEMORIES, PHASES
from neurochip.report.origins import COUNTED, LEARNED, SHAPES, clocks_origin, energy_origin, prices_of, tip
from neurochip.report.table import NOTHING, RuleResults, number
from neurochip.report.told import always, told

Report = Mapping[str, Any]
Passes = Sequence[Mapping[str, Any]]
Origin = tuple[str, str]
Table = dict[str, Any]  # head: texts; rows: lists of texts; tips: what to say on rows[i][1:]
PASSES = ("learning on", "inference alone")
RATE = ("experiment, learning.rate; realised by the multiplier and the shift of the chip", "given, then calculated")


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]], tips: Sequence[Sequence[str]]) -> Table:
    """A table whose cells behind the first each have a text to show on hover, "" for none."""
    return {"head": head, "rows": rows, "tips": tips}


def detail(results: RuleResults, report: Report) -> dict[str, Any]:
    """Everything the page shows of a rule that has costs."""
    fixed: Mapping[str, Any] = results.fixed or {}
    passes = (fixed["per_sample"], fixed["per_sample_inference"])
    return {
        "rule": results.rule,
        "summary": fixed["summary"],
        "accuracy": _accuracy(results, report),
        "phases": _phases(passes),
        "counts": _counts(passes),
        "energy": _energy(passes, report),
        "footprint": _footprint(fixed["footprint_bits"]),
        "numerics": _numerics(fixed["numerics"]),
        "ratios": _ratios(fixed),
        "rate": told(rate_sentence(fixed["learning_rate"]), "learning rate", always(*RATE)),
    }


def rate_sentence(rate: Mapping[str, Any]) -> str:
    """The learning rate asked for and how it is realised."""
    if rate["asked"] is None:
        return "none"
    text = f"{number(rate['asked'])} asked per sample"
    if rate["realised_per_step"] is not None:
        text += f", {number(rate['realised_per_step'])} realised per step"
    if rate["multiplier"] is not None:
        text += f" = {rate['multiplier']} · 2^-{rate['shift']}"
    return text


def _accuracy(results: RuleResults, report: Report) -> Table:
    splits = ("train", "validation", "test")
    rows, tips = [], []
    for name, result in (("chip's arithmetic", results.fixed), ("float twin", results.float_twin)):
        if result is not None:
            found = [result["accuracy"][split] for split in splits]
            texts = [NOTHING if share is None else f"{100 * share:.2f}" for share in found]
            rows.append([name, *texts])
            origins = [(f"{report['task'][f'n_{split}']:,} {split} samples of {report['task']['name']}", LEARNED)
                       for split in splits]  # fmt: skip
            tips.append(
                [tip(f"{name}, {split}", text, "%", "samples classified rightly, of all", origin)
                 for split, text, origin in zip(splits, texts, origins, strict=True)]
            )  # fmt: skip
    return table_of(["accuracy (%)", *splits], rows, tips)


def _phases(passes: Passes) -> Table:
    """Energy and cycles of every phase that did anything, learning on and inference alone."""
    rows, tips = [], []
    for phase in PHASES:
        found = [one["by_phase"].get(phase, {"energy_pj": 0.0, "cycles": 0.0}) for one in passes]
        if any(part["energy_pj"] or part["cycles"] for part in found):
            row, said = [phase], []
            for part, what, one in zip(found, PASSES, passes, strict=True):
                texts = (number(part["energy_pj"] / 1e3), number(part["cycles"], 4))
                row += texts
                kinds = f"as its prices; of the total of all phases {energy_origin(one)[1]}"
                counted = ("accesses and operations of the phase × their prices", kinds)
                cycles = clocks_origin(one)
                said += [tip(f"{phase}, {what}", texts[0], "nJ per sample", "", counted),
                         tip(f"{phase}, {what}", texts[1], "cycles per sample", "", cycles)]  # fmt: skip
            rows.append(row)
            tips.append(said)
    head = ["phase", "learning: nJ", "learning: cycles", "inference: nJ", "inference: cycles"]
    return table_of(head, rows, tips)


def _counts(passes: Passes) -> Table:
    rows, tips = [], []
    for counter in COUNTERS:
        values = [one["counts"].get(counter.key, 0) for one in passes]
        if any(values):
            bits = passes[0]["bits_moved"].get(counter.key)
            moved = NOTHING if bits is None else number(bits / 1e3)
            texts = [number(value, 4) for value in values]
            rows.append([counter.key, counter.unit, *texts, moved, counter.meaning])
            origin = ("counts of this run, mean per sample", COUNTED)
            widths = ("accesses counted × word width", COUNTED)
            said = [tip(f"{counter.key}, {what}", text, counter.unit, counter.meaning, origin)
                    for what, text in zip(PASSES, texts, strict=True)]  # fmt: skip
            tips.append(["", *said, tip(f"{counter.key}, {PASSES[0]}", moved, "kbit", "", widths), ""])
    head = ["counter", "unit", "learning", "inference", "learning: kbit moved", "one of it is"]
    return table_of(head, rows, tips)


def _energy(passes: Passes, report: Report) -> Table:
    """Every part of the energy that is not zero, then the total again by kind of number."""
    rows, tips = [], []

    def add(name: str, values: Sequence[float], origins: Sequence[Origin]) -> None:
        texts = [number(value / 1e3) for value in values]
        rows.append([name, *texts])
        tips.append([tip(f"{name}, {what}", text, "nJ per sample", "", origin)
                     for what, text, origin in zip(PASSES, texts, origins, strict=True)])  # fmt: skip

    for group in ("by_memory", "by_operation"):
        for part in dict.fromkeys(part for one in passes for part in one["energy_pj"][group]):
            values = [one["energy_pj"][group].get(part, 0) for one in passes]
            if any(values):
                add(
                    f"{part} accesses" if part in MEMORIES else part,
                    values,
                    [_counted(part, one, report) for one in passes],
                )
    for name, key, of in (("clock and control", "clock", "cycles"), ("leakage", "leakage", "latency × banks in use")):
        priced = [prices_of(key, report, one["energy_pj"]["by_kind"]) for one in passes]
        origins = [(f"{of} × price; {source}", kind) for source, kind in priced]
        add(name, [one["energy_pj"][key] for one in passes], origins)
    add("total", [one["energy_pj"]["total"] for one in passes], [energy_origin(one) for one in passes])
    for kind in passes[0]["energy_pj"]["by_kind"]:
        origin = (f"parts of the total whose weakest number is of kind {kind}", kind)
        values = [one["energy_pj"]["by_kind"][kind] for one in passes]
        add(f"of the total, resting on numbers of kind {kind}", values, [origin] * len(passes))
    return table_of(["energy per sample (nJ)", "learning", "inference"], rows, tips)


def _counted(part: str, one_pass: Mapping[str, Any], report: Report) -> Origin:
    """Where the energy of a memory or an operation comes from: how many, and whose price."""
    counts = one_pass["counts"]
    if part in MEMORIES:
        reads, writes = (number(counts.get(f"{part}_{access}", 0), 4) for access in ("read", "write"))
        how_many = f"{reads} reads and {writes} writes × their prices"
    else:
        how_many = f"{number(counts.get(part, 0), 4)} operations × their prices"
    source, kind = prices_of(part, report, one_pass["energy_pj"]["by_kind"])
    return f"{how_many}; {source}", kind


def _footprint(bits: Mapping[str, int]) -> Table:
    rows = [[name, f"{value:,}"] for name, value in bits.items() if value]
    return table_of(["memory", "bits"], rows, [[tip(name, text, "bits", "", SHAPES)] for name, text in rows])


def _numerics(numerics: Mapping[str, Mapping[str, float]]) -> Table:
    rows = [
        [event, name, number(value, 4)]
        for event in ("saturation", "underflow", "gated")
        for name, value in numerics[event].items()
    ]
    origin = ("events counted in this run", COUNTED)
    tips = [["", tip(f"{event}: {name}", text, "events", "", origin)] for event, name, text in rows]
    return table_of(["event", "signal or gate", "number"], rows, tips)


def _ratios(fixed: Mapping[str, Any]) -> Table:
    """Costs over those of BPTT of the group and over inference."""
    names = ("energy", "latency", "footprint", "memory_accesses", "bits_moved", "macs", "acs")
    words = [name.replace("_", " ") for name in names]
    rows, tips = [], []
    for key in ("ratio_to_bptt", "ratio_to_inference"):
        if fixed[key] is not None:
            texts, baseline = [number(fixed[key][name]) for name in names], fixed[key]["baseline"]
            rows.append([f"over {baseline}", *texts])
            origin = (f"cost of {fixed['rule']} ÷ cost of {baseline}", "ratio of two numbers of this report")
            tips.append([tip(word, text, "times", "", origin) for word, text in zip(words, texts, strict=True)])
    return table_of(["ratio", *words], rows, tips)
