"""A network as one C99 header: arrays of the narrowest integer type, everything else as #define."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neurochip.export.arrays import arrays_of
from neurochip.export.document import Document, document_of, layer_formats
from neurochip.export.load import Integers, Learned
from neurochip.fixed_point import QFormat
from neurochip.spec import APPLIES, CREDITS, KINDS, UPDATES

FILE = "network.h"
PREFIX = "NEUROCHIP"
NUMBERS_PER_LINE = 24
INT64_HIGHEST = 2**63 - 1
SAID_IN_COMMENTS = ("schema", "neurochip", "name", "rule", "classes")
LEAKS, ROUNDINGS = ("none", "shift", "constant"), ("floor", "nearest", "stochastic")
# Field -> the choice it is one of; a choice becomes one macro per value.
CHOICES = {
    "kind": "KIND",
    "role": "ROLE",
    "leak_kind": "LEAK",
    "trace_leak_kind": "LEAK",
    "filter_leak_kind": "LEAK",
    "current_leak_kind": "LEAK",
    "reset": "RESET",
    "weight_rounding": "ROUNDING",
    "error_rounding": "ROUNDING",
    "surrogate": "SURROGATE",
    "credit": "CREDIT",
    "update": "UPDATE",
    "apply_when": "APPLY",
    "deliver": "DELIVER",
    "reset_path": "RESET_PATH",
}
VALUES: dict[str, tuple[str, ...]] = {
    "KIND": KINDS,
    "ROLE": ("hidden", "head", "readout", "feedback"),
    "LEAK": LEAKS,
    "RESET": ("subtract", "zero"),
    "ROUNDING": ROUNDINGS,
    "SURROGATE": ("sigmoid", "triangle", "rectangle"),
    "CREDIT": CREDITS,
    "UPDATE": UPDATES,
    "APPLY": APPLIES,
    "DELIVER": ("synapse", "neuron"),
    "RESET_PATH": ("detached", "exact"),
}


def header_files(learned: Learned) -> dict[str, bytes]:
    """The file `network.h`."""
    document = document_of(learned)
    lines = [*_introduction(document), *_choices(), *_numbers(document)]
    about = _abouts(learned)
    for name, values in arrays_of(learned).items():
        lines += ["", f"/* {about[name]} */", *_array(f"{PREFIX.lower()}_{name}", values)]
    lines += ["", f"#endif /* {PREFIX}_NETWORK_H */", ""]
    return {FILE: "\n".join(lines).encode()}


def _introduction(document: Document) -> list[str]:
    said = [_comment(f"{key}: {json.dumps(document[key])}") for key in SAID_IN_COMMENTS]
    return [
        "/* A network that learned on the chip: integers and their formats, by `neurochip export`.",
        *(f" * {line}" for line in said),
        " * A code q of format (bits, frac) stands for q * 2^-frac. docs/export.md says what the names mean,",
        " * docs/semantics.md what to do with the numbers. */",
        f"#ifndef {PREFIX}_NETWORK_H",
        f"#define {PREFIX}_NETWORK_H",
        "",
        "#include <stdint.h>",
    ]


def _choices() -> Iterator[str]:
    for choice, values in VALUES.items():
        yield ""
        for number, value in enumerate(values):
            yield f"#define {PREFIX}_{choice}_{value.upper()} {number}"


def _numbers(document: Document) -> Iterator[str]:
    """#define lines of the network, then of each layer."""
    network = {key: value for key, value in document.items() if key not in (*SAID_IN_COMMENTS, "core", "layers")}
    network |= {"n_layers": len(document["layers"]), "n_classes": len(document["classes"])} | document["core"]
    yield ""
    yield from _defines(PREFIX, network)
    for index, layer in enumerate(document["layers"]):
        yield ""
        yield from _defines(f"{PREFIX}_L{index}", layer)


def _defines(prefix: str, values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        name = f"{prefix}_{key.upper()}"
        if isinstance(value, Mapping):
            yield from _defines(name, value)
        elif isinstance(value, list | tuple):
            yield f"#define {prefix}_N_{key.upper()} {len(value)}"
            for number, item in enumerate(value):
                yield from _defines(f"{name}_{number}", item)
        elif isinstance(value, str):
            yield f"#define {name} {PREFIX}_{CHOICES[key]}_{value.upper()}"
        elif value is not None:
            yield f"#define {name} {_literal(int(value))}"


def _literal(value: int) -> str:
    """An integer constant of C99, which finds its type by itself unless it is unsigned and of 64 bits."""
    if value > INT64_HIGHEST:
        return f"{value}ULL"
    return f"({value})" if value < 0 else str(value)


def _abouts(learned: Learned) -> dict[str, str]:
    """What stands above each array."""
    spec = learned.spec
    surrogate = QFormat(spec.surrogate_bits, spec.surrogate_bits, False)
    about = {
        "threshold": f"theta_q of every layer, 0 for readouts; {spec.membrane_bits} bits, frac as that of the membrane",
        "surrogate_table": f"psi codes of index -32 to 31, {_format(surrogate)}",
        "exponential_table": "E[k] = floor(2^15 exp(-k / 16) + 1/2)",
        "random_registers": "xorshift registers [layer][lane] as the run left them",
    }
    for index in range(len(spec.layers)):
        formats = layer_formats(spec, index)
        for name, bias, signal in (("weight", "bias", "weight"), ("velocity", "bias_velocity", "gradient")):
            if signal in formats:
                text = _format(formats[signal])
                about[f"{name}_{index}"] = f"{name} of layer {index} [row][column], {text}"
                about[f"{bias}_{index}"] = f"{bias} of layer {index} [group][column], {text}"
    return about


def _format(fmt: QFormat) -> str:
    return f"{fmt.bits} bits, frac {fmt.frac}, {'signed' if fmt.signed else 'unsigned'}"


def _array(name: str, values: Integers) -> Iterator[str]:
    shape = "".join(f"[{n}]" for n in values.shape)
    yield f"static const {np.dtype(values.dtype).name}_t {name}{shape} = {{"
    for row in values if values.ndim > 1 else [values]:
        opening, closing = ("{", "},") if values.ndim > 1 else ("", "")
        numbers = [str(value) for value in row.tolist()]
        lines = [numbers[i : i + NUMBERS_PER_LINE] for i in range(0, len(numbers), NUMBERS_PER_LINE)]
        for i, line in enumerate(lines):
            last = i == len(lines) - 1
            end = closing if last and closing else ","
            yield f"{opening if i == 0 else ' '}{', '.join(line)}{end}"
    yield "};"


def _comment(text: str) -> str:
    """Text that neither ends a comment nor makes a compiler warn."""
    return re.sub(r"[^\w .,:;()\[\]\"'/+=-]", "_", text)


__all__ = ["FILE", "header_files"]
