"""Small specifications and one-line runs of the golden core, for the tests beside this file."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

from neurochip.activity import FIELD_INDEX
from neurochip.reference.core import GoldenCore, GoldenRun, GoldenSample
from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import ConvShape

# Integers below are in units of 2**-4 unless a test changes a format.
HIDDEN = LayerSpec(
    kind="dense",
    n_in=1,
    n_out=1,
    bias=False,
    leak_kind="shift",
    leak_value=1,
    threshold_q=16,
    reset="subtract",
    keeps_trace=False,
    trace_leak_kind="shift",
    trace_leak_value=1,
    frac_weight=4,
    frac_potential=4,
    frac_trace=2,
    frac_error=4,
    frac_gradient=4,
)
READOUT = replace(HIDDEN, kind="readout", n_out=2, leak_kind="none", leak_value=0, threshold_q=0)


def make_spec(*layers: LayerSpec, **changes: Any) -> CoreSpec:
    """A specification with 8-bit formats, one step, floor in the weights and nearest in the errors."""
    settings: dict[str, Any] = {
        "layers": layers or (HIDDEN, READOUT),
        "n_steps": 1,
        "event_bits": 2,
        "weight_bits": 8,
        "weight_rounding": "floor",
        "membrane_bits": 8,
        "trace_bits": 4,
        "trace_gate": 0,
        "error_bits": 8,
        "error_rounding": "nearest",
        "delta_bits": 8,
        "surrogate_bits": 4,
        "surrogate": "sigmoid",
        "gradient_bits": 16,
        "readout_bits": 8,
        "credit": "spike",
        "update": "immediate",
        "batch": 1,
        "rate_multiplier": 5,
        "rate_shift": 3,
        "mse_share_q": 0,
        "deliver": "synapse",
        "reset_path": "detached",
        "rng_lanes": 2,
        "seed": 1,
        "synapse_lanes": 2,
        "trace_lanes": 2,
    }
    return CoreSpec(**(settings | changes))


def run(spec: CoreSpec, weights: Any, steps: Any, label: int = 0, learn: bool = True) -> tuple[GoldenCore, GoldenRun]:
    core = GoldenCore(spec, weights)
    return core, core.run([GoldenSample(steps, label)], learn, record_draws=True)


def total(result: GoldenRun, field: str, layer: int) -> int:
    return sum(step[layer][FIELD_INDEX[field]] for step in result.activity)


# One hidden neuron that stays one unit below its threshold: idx = -1, psi = 15, no spike. Both classes have z = 0,
# so p = ((32768 << 4) + 32768) // 65536 = 8 and, for label 0, e = [8 - 16, 8] = [-8, 8].
BELOW = [[[15], [0]], [[3, -5], [0, 0]]]
ONE_EVENT = [[(0, 1)]]


def conv_layer(shape: ConvShape, **changes: Any) -> LayerSpec:
    """A convolution whose neuron and formats are those of HIDDEN."""
    return replace(HIDDEN, kind="conv", n_in=shape.n_in, n_out=shape.n_out, conv=shape, **changes)


def draw_weights(spec: CoreSpec, seed: int, largest: int = 30) -> list[list[list[int]]]:
    """Weights of every layer in -largest ... largest; bias rows that do not exist are 0."""
    rng = random.Random(seed)

    def rows(layer: LayerSpec) -> list[list[int]]:
        n_drawn = layer.n_weight_rows + (layer.n_bias_rows if layer.bias else 0)
        drawn = [[rng.randint(-largest, largest) for _ in range(layer.columns)] for _ in range(n_drawn)]
        return drawn + [[0] * layer.columns for _ in range(layer.n_weight_rows + layer.n_bias_rows - n_drawn)]

    return [rows(layer) for layer in spec.layers]


def draw_samples(n_in: int, n_steps: int, seed: int, n_samples: int = 1, n_classes: int = 2) -> list[GoldenSample]:
    """Samples in which every input has an event of magnitude 1 to 3 in every second step or so."""
    rng = random.Random(seed)
    return [
        GoldenSample(
            [[(i, rng.randint(1, 3)) for i in range(n_in) if rng.random() < 0.5] for _ in range(n_steps)],
            rng.randrange(n_classes),
        )
        for _ in range(n_samples)
    ]


def dense_twin(shape: ConvShape, kernel: Any) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
    """The weights of the dense layer that does what a convolution does, by the textbook sum over its outputs.

    Returns the dense weights [n_in + 1][n_out] and, in the same shape, the (row, column) of the kernel that each of
    them is a copy of, (-1, -1) for those that are no weight of the convolution.
    """
    out_height = (shape.height + 2 * shape.padding_y - shape.kernel_height) // shape.stride_y + 1
    out_width = (shape.width + 2 * shape.padding_x - shape.kernel_width) // shape.stride_x + 1
    in_group, out_group = shape.channels // shape.groups, shape.out_channels // shape.groups
    n_in, n_out = shape.height * shape.width * shape.channels, out_height * out_width * shape.out_channels
    tied = [[(-1, -1)] * n_out for _ in range(n_in + 1)]
    for out_y, out_x, out_c in product(range(out_height), range(out_width), range(shape.out_channels)):
        output = (out_y * out_width + out_x) * shape.out_channels + out_c
        group, column = divmod(out_c, out_group)
        first_bias = shape.channels * shape.kernel_height * shape.kernel_width
        tied[n_in][output] = (first_bias + group, column)
        for k_y, k_x, c in product(range(shape.kernel_height), range(shape.kernel_width), range(in_group)):
            y = out_y * shape.stride_y + k_y - shape.padding_y
            x = out_x * shape.stride_x + k_x - shape.padding_x
            if 0 <= y < shape.height and 0 <= x < shape.width:
                channel = group * in_group + c
                row = (channel * shape.kernel_height + k_y) * shape.kernel_width + k_x
                tied[(y * shape.width + x) * shape.channels + channel][output] = (row, column)
    dense = [[kernel[row][column] if row >= 0 else 0 for row, column in copies] for copies in tied]
    return dense, tied


def tied_sum(shape: ConvShape, tied: Any, gradient: Any) -> list[list[int]]:
    """Sum the gradients of a dense twin over the copies of every weight of the convolution."""
    n_rows = shape.channels * shape.kernel_height * shape.kernel_width + shape.groups
    sums = [[0] * (shape.out_channels // shape.groups) for _ in range(n_rows)]
    for copies, values in zip(tied, gradient, strict=True):
        for (row, column), value in zip(copies, values, strict=True):
            if row >= 0:
                sums[row][column] += value
    return sums


SILENT = GoldenSample([[]], 0)  # no event, so p = 0 in every row but that of a bias


def standardise_constant(scale: float, n_rows: int) -> int:
    """C of columns of K = n_rows weights; scale = g 2^frac_w, the gain in units of a weight."""
    p = 16 + math.ceil(math.log2(n_rows))
    return math.floor(scale * 2**p * math.sqrt(n_rows - 1) / n_rows + 0.5)


def standardising_spec(n_rows: int, n_columns: int, scale: float, **changes: Any) -> CoreSpec:
    """A hidden layer that is standardised after every sample, before a readout that gives it no error."""
    hidden = replace(HIDDEN, n_in=n_rows, n_out=n_columns, standardise_constant=standardise_constant(scale, n_rows))
    return make_spec(hidden, replace(READOUT, n_in=n_columns), **({"standardise_every": 1} | changes))


def small_chip(memories: Mapping[str, Any], **changes: Any) -> Any:
    """A chip of 2 lanes, a pipeline of 1 clock and a divider of 3; what does not fit is refused."""
    settings = {
        "lanes": 2,
        "trace_lanes": 2,
        "scan_width": 4,
        "history_word_bits": 8,
        "div_cycles": 3,
        "pipeline_latency_cycles": 1,
        "memories": memories,
        "overflow": "refuse",
        "dram": None,
    }
    return SimpleNamespace(**(settings | changes))
