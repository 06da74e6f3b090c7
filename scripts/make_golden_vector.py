"""Make docs/golden/tiny-network.json: a tiny network, every integer of it, for five learning rules.

    python scripts/make_golden_vector.py            writes the file
    python scripts/make_golden_vector.py --check    compares it, exit code 1 if it differs

docs/golden/README.md explains the keys. Inputs and weights come from SplitMix64 of a running number, so that any
other implementation can make them too.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from neurochip.activity import FIELDS
from neurochip.reference.core import GoldenCore, GoldenRun, GoldenSample
from neurochip.reference.core.arithmetic import split_mix
from neurochip.spec import CoreSpec, LayerSpec

VECTOR_FILE = Path(__file__).resolve().parent.parent / "docs" / "golden" / "tiny-network.json"
SHAPE = (6, 5, 4, 3)
N_STEPS, N_SAMPLES = 6, 3
# rule -> (credit, update, batch); three samples in batches of two leave a smaller last batch.
RULES = {
    "ottt-o": ("trace", "immediate", 1),
    "sltt-o": ("spike", "immediate", 1),
    "bptt-o": ("unroll", "immediate", 1),
    "ottt-a": ("trace", "accumulate", 2),
    "bptt": ("unroll", "accumulate", 2),
}
MAX_LINE = 118


def tiny_spec(credit: str, update: str, batch: int) -> CoreSpec:
    """The network 6-5-4-3 with one leak and one reset of each kind, stochastic rounding, and 2-bit events."""
    traces = credit == "trace"

    def layer(index: int, **special: Any) -> LayerSpec:
        frac_trace, frac_error = 4, 6
        keeps_trace = traces and index < 2
        common: dict[str, Any] = {
            "kind": "dense",
            "n_in": SHAPE[index],
            "n_out": SHAPE[index + 1],
            "bias": True,
            "threshold_q": 256,
            "keeps_trace": keeps_trace,
            "trace_leak_kind": special["leak_kind"],
            "trace_leak_value": special["leak_value"],
            "frac_weight": 5,
            "frac_potential": 8,
            "frac_trace": frac_trace,
            "frac_error": frac_error,
            "frac_gradient": frac_error + (frac_trace if keeps_trace else 0),
        }
        return LayerSpec(**(common | special))

    return CoreSpec(
        layers=(
            layer(0, leak_kind="shift", leak_value=1, reset="subtract"),
            layer(1, leak_kind="constant", leak_value=45875, reset="zero"),
            layer(2, kind="readout", leak_kind="none", leak_value=0, reset="subtract", threshold_q=0, frac_potential=7),
        ),
        n_steps=N_STEPS,
        event_bits=2,
        weight_bits=8,
        weight_rounding="stochastic",
        membrane_bits=12,
        trace_bits=6,  # 2 bits fewer than three graded events need: some traces saturate
        trace_gate=0,
        error_bits=7,
        error_rounding="nearest",
        delta_bits=7,
        surrogate_bits=4,
        surrogate="sigmoid",
        gradient_bits=13,
        readout_bits=9,
        credit=credit,
        update=update,
        batch=batch,
        rate_multiplier=11,
        rate_shift=6,
        mse_share_q=0,
        deliver="synapse",
        reset_path="detached",
        rng_lanes=4,
        seed=1,
        synapse_lanes=4,
        trace_lanes=4,
    )


def initial_weights() -> list[list[list[int]]]:
    """Weights in -48 ... 63 (real -1.5 to 2): element k of all layers in order is split_mix(k) mod 112 - 48."""
    number = 0
    weights = []
    for n_in, n_out in pairwise(SHAPE):
        rows = []
        for _ in range(n_in + 1):
            rows.append([split_mix(number + j) % 112 - 48 for j in range(n_out)])
            number += n_out
        weights.append(rows)
    return weights


def samples() -> list[GoldenSample]:
    """Sample k has label k; address i has an event at step t where v = split_mix(1000 + ...) is 0 to 3 modulo 8.

    The magnitude is 1 for v mod 8 = 0 or 1, and v mod 8 itself for 2 and 3.
    """

    def events(sample: int, step: int) -> list[tuple[int, int]]:
        values = [split_mix(1000 + (sample * N_STEPS + step) * SHAPE[0] + i) % 8 for i in range(SHAPE[0])]
        return [(i, max(1, v)) for i, v in enumerate(values) if v < 4]

    return [GoldenSample([events(k, t) for t in range(N_STEPS)], label=k) for k in range(N_SAMPLES)]


def run_rule(credit: str, update: str, batch: int) -> dict[str, Any]:
    """Everything that happens under one rule, sample by sample."""
    spec = tiny_spec(credit, update, batch)
    core = GoldenCore(spec, initial_weights())
    result: dict[str, Any] = {
        "spec": asdict(spec),
        "footprint_bits": core.footprint_bits(),
        "initial_registers": core.registers,
        "samples": [],
    }
    for index, sample in enumerate(samples()):
        run = core.run([sample], learn=True, end_of_epoch=index == N_SAMPLES - 1, record_draws=True)
        result["samples"].append(after_sample(core, run))
    require_learning(result, credit, update)
    return result


def after_sample(core: GoldenCore, run: GoldenRun) -> dict[str, Any]:
    """What one sample did, and the state it left."""
    return {
        "prediction": run.predictions[0],
        "readout_sum": run.readout_sums[0],
        **{name: steps[0] for name, steps in sorted(run.probes.items())},
        "drawn": run.drawn,
        "weights": core.weights,
        "gradients": core.gradients,
        "registers": core.registers,
        "n_applies": run.n_applies,
        "activity": run.activity,
    }


def require_learning(result: dict[str, Any], credit: str, update: str) -> None:
    """Raise unless every layer spiked, formed a signal, changed its weights and drew numbers."""
    last = result["samples"][-1]
    n_layers = len(SHAPE) - 1
    for layer in range(n_layers):

        def total(field: str, layer: int = layer) -> int:
            column = FIELDS.index(field)
            return sum(step[layer][column] for sample in result["samples"] for step in sample["activity"])

        wanted = ["events", "signal_nonzero", "update_products", "random_advances"]
        wanted += ["spikes", "psi_nonzero"] if layer < n_layers - 1 else []
        wanted += ["trace_words"] if credit == "trace" and layer < n_layers - 1 else []
        missing = [field for field in wanted if total(field) == 0]
        initial = initial_weights()[layer]
        unchanged = last["weights"][layer] == initial
        if missing or unchanged:
            raise RuntimeError(f"{credit}/{update}: layer {layer}: unchanged={unchanged}, nothing counted: {missing}")


def make_vector() -> dict[str, Any]:
    """The content of docs/golden/tiny-network.json."""
    return {
        "schema": "neurochip-golden/1",
        "activity_fields": list(FIELDS),
        "initial_weights": initial_weights(),
        "samples": [asdict(sample) for sample in samples()],
        "rules": {name: run_rule(*axes) for name, axes in RULES.items()},
    }


def render(value: Any, indent: int = 0, key_length: int = 0) -> str:
    """JSON in which whatever fits on one line is on one line, and long lists of short items fill their lines."""
    flat = json.dumps(value, separators=(", ", ": "))
    if len(flat) + indent + key_length <= MAX_LINE or not isinstance(value, (dict, list, tuple)):
        return flat
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {render(item, indent + 1, len(key) + 4)}" for key, item in value.items()]
        return "{\n" + ",\n".join(pad + item for item in items) + "\n" + " " * indent + "}"
    items = [render(item, indent + 1) for item in value]
    short = all(len(item) <= MAX_LINE // 4 for item in items)
    lines = fill_lines(items, MAX_LINE - indent - 1) if short else [item + "," for item in items]
    return "[\n" + "\n".join(pad + line for line in lines).rstrip(",") + "\n" + " " * indent + "]"


def fill_lines(items: list[str], width: int) -> list[str]:
    """Put items, each followed by a comma, on as few lines of at most `width` characters as their order allows."""
    lines = [""]
    for item in items:
        longer = f"{lines[-1]} {item}," if lines[-1] else f"{item},"
        if lines[-1] and len(longer) > width:
            lines.append(f"{item},")
        else:
            lines[-1] = longer
    return lines


def main(arguments: list[str]) -> int:
    """Write the file, or compare it with `--check`."""
    text = render(make_vector()) + "\n"
    if arguments == ["--check"]:
        return 0 if VECTOR_FILE.read_text(encoding="utf-8") == text else 1
    if arguments:
        print(f"unknown argument {arguments[0]}; allowed is --check", file=sys.stderr)
        return 2
    VECTOR_FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
