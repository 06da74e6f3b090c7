"""A small, hand-written report (the content of report.json) with plausible numbers, all of them different."""

from __future__ import annotations

from typing import Any

# rule: group, test accuracy, float twin, energy pJ, latency us, footprint bits, accesses, bits moved, MACs, ACs
RULES: dict[str, tuple[str, float, float, float, float, int, float, float, float, float]] = {
    "infer": ("infer", 0.911, 0.933, 41_230.0, 46.3, 537_000, 5_210.0, 689_000.0, 102.0, 24_300.0),
    "ottt-o": (
        "without gradient memory",
        0.942,
        0.956,
        312_600.0,
        295.7,
        549_100,
        38_400.0,
        4_920_000.0,
        167_000.0,
        25_100.0,
    ),
    "bptt-o": (
        "without gradient memory",
        0.939,
        0.951,
        118_500.0,
        131.2,
        568_900,
        13_700.0,
        1_840_000.0,
        61_400.0,
        53_800.0,
    ),
    "ottt-a": (
        "with gradient memory",
        0.946,
        0.958,
        671_900.0,
        402.9,
        2_157_000,
        76_600.0,
        18_500_000.0,
        171_500.0,
        27_200.0,
    ),
    "bptt": (
        "with gradient memory",
        0.949,
        0.962,
        423_400.0,
        219.4,
        2_176_000,
        47_900.0,
        12_300_000.0,
        64_700.0,
        55_900.0,
    ),
}
RATIOS = {  # to BPTT of the group: energy, latency, footprint; to inference: energy
    "infer": (None, None),
    "ottt-o": ((2.64, 2.25, 0.965), 7.58),
    "bptt-o": ((1.0, 1.0, 1.0), 2.87),
    "ottt-a": ((1.59, 1.84, 0.991), 16.3),
    "bptt": ((1.0, 1.0, 1.0), 10.4),
}
BASELINE = {"without gradient memory": "bptt-o", "with gradient memory": "bptt"}


def per_sample(energy: float, latency: float, accesses: float, moved: float, macs: float, acs: float) -> dict[str, Any]:
    """Costs per sample: 30 % synapse, 8 % trace, 12 % history, 14 % operations, 30 % clock, 6 % leakage."""
    return {
        "counts": {"synapse_read": 0.7 * accesses, "synapse_write": 0.3 * accesses, "mac": macs, "ac": acs},
        "bits_moved": {"synapse_read": 0.7 * moved, "synapse_write": 0.3 * moved},
        "totals": {"memory_accesses": accesses, "bits_moved": moved, "macs": macs, "acs": acs},
        "cycles": 150 * latency,
        "latency_us": latency,
        "energy_pj": {
            "total": energy,
            "by_memory": {"synapse": 0.3 * energy, "trace": 0.08 * energy, "history": 0.12 * energy},
            "by_operation": {"ac": 0.04 * energy, "mac": 0.1 * energy},
            "clock": 0.3 * energy,
            "leakage": 0.06 * energy,
            "by_kind": {
                "measured": 0.021 * energy,
                "simulated": 0.252 * energy,
                "model": 0.664 * energy,
                "assumed": 0.063 * energy,
            },
        },
        "by_phase": {
            "deliver": {"energy_pj": 0.2 * energy, "cycles": 40 * latency},
            "update": {"energy_pj": 0.44 * energy, "cycles": 110 * latency},
        },
    }


def ratio(baseline: str, energy: float, latency: float, footprint: float) -> dict[str, Any]:
    """A ratio of costs; no ratio of MACs, as the baseline may have none."""
    return {
        "baseline": baseline,
        "energy": energy,
        "latency": latency,
        "footprint": footprint,
        "memory_accesses": energy,
        "bits_moved": energy,
        "macs": None,
        "acs": latency,
    }


def _accuracy(test: float, learns: bool) -> dict[str, Any]:
    per_epoch = [
        {"epoch": epoch, "train": round(test - 0.2 / epoch, 4), "validation": round(test - 0.25 / epoch, 4)}
        for epoch in (1, 2, 3)
    ]
    return {
        "train": round(test + 0.01, 4) if learns else None,
        "validation": round(test - 0.005, 4),
        "test": test,
        "per_epoch": per_epoch if learns else [],
    }


def fixed_result(rule: str) -> dict[str, Any]:
    """The result of a rule with the chip's arithmetic."""
    group, test, _, energy, latency, footprint, accesses, moved, macs, acs = RULES[rule]
    to_bptt, to_inference = RATIOS[rule]
    learns = rule != "infer"
    return {
        "rule": rule,
        "precision": "fixed",
        "group": group,
        "summary": f"what {rule} is, in one line",
        "learning_rate": {
            "asked": 0.5 if learns else None,
            "realised_per_step": 0.0254 if learns else None,
            "multiplier": 13 if learns else None,
            "shift": 9 if learns else None,
        },
        "accuracy": _accuracy(test, learns),
        "footprint_bits": {
            "synapse": 535_000,
            "neuron": 2_000,
            "trace": 5_120 if "ottt" in rule else 0,
            "error": 1_000,
            "gradient": 1_605_000 if rule in ("ottt-a", "bptt") else 0,
            "history": 25_000 if "bptt" in rule else 0,
            "total": footprint,
        },
        "per_sample": per_sample(energy, latency, accesses, moved, macs, acs),
        "per_sample_inference": per_sample(41_230.0, 46.3, 5_210.0, 689_000.0, 102.0, 24_300.0),
        "numerics": {
            "saturation": {"membrane": 17, "weight": 3},
            "underflow": {"error": 905},
            "gated": {"trace_rows": 0.61},
        },
        "formats": {"weight": ["s8.7", "s8.6"], "membrane": ["s16.11", "s16.11"], "trace": ["u8.5"]},
        "ratio_to_bptt": ratio(BASELINE[group], *to_bptt) if to_bptt else None,
        "ratio_to_inference": ratio("infer", to_inference, to_inference, 1.02) if to_inference else None,
        "energy_to_accuracy": {"target": 0.9, "energy_uj": 217.5 if learns else None, "epoch": 2 if learns else None},
    }


def float_result(rule: str) -> dict[str, Any]:
    """The float twin of a rule: accuracies, no costs."""
    fixed = fixed_result(rule)
    costs = (
        "footprint_bits", "per_sample", "per_sample_inference", "numerics", "formats",
        "ratio_to_bptt", "ratio_to_inference", "energy_to_accuracy",
    )  # fmt: skip
    accuracy = _accuracy(RULES[rule][2], rule != "infer")
    return fixed | {"precision": "float", "accuracy": accuracy} | dict.fromkeys(costs)


def make_report(**changes: Any) -> dict[str, Any]:
    """A report of five rules; `changes` replace top-level keys."""
    steps = [1, 4, 16, 64, 256, 1024]
    return {
        "schema": "neurochip-report/1",
        "name": "digits-dvs",
        "experiment": {
            "task": {"name": "digits-dvs", "steps": 20},
            "network": {"layers": [{"kind": "dense", "neurons": 128, "leak_shift": 1}, {"kind": "readout"}]},
            "learning": {"rule": "ottt-o", "epochs": 3},
            "precision": {"weight": {"bits": 8, "rounding": "stochastic"}},
            "chip": {"name": "ottt-core-28nm"},
            "run": {"seed": 1},
        },
        "task": {
            "name": "digits-dvs",
            "n_inputs": 512,
            "n_steps": 20,
            "classes": list(range(10)),
            "n_train": 1137,
            "n_validation": 300,
            "n_test": 360,
            "provenance": {"images": "handwritten digits, 8 x 8", "encoder": "moving-image camera model"},
            "events_per_sample": 411.7,
        },
        "network": {
            "layers": [{"kind": "dense", "n_in": 512, "n_out": 128}, {"kind": "readout", "n_in": 128, "n_out": 10}],
            "shape": "512-128-10",
            "n_weights": 66_954,
        },
        "chip": {
            "name": "ottt-core-28nm",
            "microarchitecture": "ottt_core",
            "technology": "28nm",
            "clock_mhz": 150.0,
            "voltage_v": 0.9,
            "overflow": "refuse",
            "provenance": [
                {"key": "clock", "value": 150.0, "unit": "MHz", "source": "a published core", "kind": "model"},
                {"key": "voltage", "value": 0.9, "unit": "V", "source": "design choice", "kind": "assumed"},
                {"key": "logic.add[45 nm, 8 bits].energy", "value": 0.03, "unit": "pJ", "source": "x", "kind": "model"},
            ],
            "gates": {"zero_trace": True, "zero_error": True, "zero_surrogate": False},
            "notes": ["The clock is extrapolated."],
        },
        "versions": {"neurochip": "0.1.0", "python": "3.11.7", "numpy": "2.3.0", "numba": "0.63.0"},
        "history": {
            "steps_history_equals_weights": 463.2,
            "steps_history_leaves_chip": 98,
            "footprint_by_steps": {
                "steps": steps,
                "rules": {
                    "infer": [537_000] * 6,
                    "ottt-o": [549_100] * 6,
                    "bptt-o": [543_900 + 1_250 * t for t in steps],
                    "ottt-a": [2_157_000] * 6,
                    "bptt": [2_150_900 + 1_250 * t for t in steps],
                },
            },
        },
        "target_accuracy": 0.9,
        "flips": ["The order of ottt-o and bptt-o flips if rows per event fell below 2.5 (now 4.6)."],
        "notes": ["infer: weights trained off the chip and loaded."],
        "results": [make(rule) for rule in RULES for make in (fixed_result, float_result)],
    } | changes  # fmt: skip


def sensitivity() -> dict[str, Any]:
    """A section `sensitivity` of one pair, whose order flips with the lanes."""
    bars = [("lanes", "lanes", "lanes", 16.0), ("clock", "clock energy", "x", 1.0)]
    pair = {
        "rule": "ottt-o",
        "baseline": "bptt-o",
        "ratio": 2.64,
        "tornado": [
            {"knob": knob, "label": label, "unit": unit, "base": base, "swing": 0.0}
            | {end: {"value": times * base, "ratio": 2.64} for end, times in (("low", 0.5), ("high", 2.0))}
            for knob, label, unit, base in bars
        ],
        "flips": [{"knob": "lanes", "value": 32.0}, {"knob": "clock", "value": None}],
        "steps": {"steps": [1, 64], "ratio": [2.0, 1.5], "now": 20, "flip": None, "leaves_chip": None},
        "sentences": ["It flips."],
    }
    return {"pairs": [pair], "iso_sram": [{"sentences": ["Equal SRAM."]}], "iso_area": None}
