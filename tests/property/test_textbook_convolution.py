"""Are forward sums, errors and kernel gradients of a convolution what a textbook says, in both cores?

Both cores reach weights by the taps of an input address. Here the same numbers come from patches of a padded map, one
output position after the other: sums of products forward, their transpose backward, products summed over the positions
for the kernel.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from property_contract_network import Axes, contract_case, contract_spec, layer_spec
from property_network_topology import Draft
from property_strategies import Case

from neurochip.core.engine import Engine
from neurochip.reference.core import GoldenCore
from neurochip.spec import NETWORK_INPUT
from neurochip.topology import Connection, ConvShape

Array = NDArray[np.int64]
SHAPES = [
    (ConvShape(5, 4, 2, 4, 3, 2, 2, 1, 1, 0), ConvShape(3, 3, 4, 6, 2, 3, 1, 2, 0, 2, groups=2)),
    (ConvShape(4, 6, 3, 3, 3, 3, 1, 2, 2, 1, groups=3), ConvShape(6, 3, 3, 2, 1, 3, 2, 1, 0, 1)),
    (ConvShape(3, 3, 1, 2, 3, 3, 1, 1, 1, 1), ConvShape(3, 3, 2, 2, 2, 2, 1, 1, 0, 0, groups=2)),
]


def patches(shape: ConvShape, values: Array) -> Array:
    """[positions, groups, C / groups * k_h * k_w] of a map given as addresses, padded with 0."""
    by_place = values.reshape(shape.height, shape.width, shape.channels)
    padding = ((shape.padding_y, shape.padding_y), (shape.padding_x, shape.padding_x), (0, 0))
    padded = np.pad(by_place, padding).transpose(2, 0, 1)
    found = []
    for y in range(shape.out_height):
        for x in range(shape.out_width):
            top, left = y * shape.stride_y, x * shape.stride_x
            patch = padded[:, top : top + shape.kernel_height, left : left + shape.kernel_width]
            found.append(patch.reshape(shape.groups, -1))
    return np.array(found)


def forward(shape: ConvShape, kernel: Array, bias: Array, values: Array) -> Array:
    """Output addresses; kernel [groups, rows of a group, columns], bias [groups, columns]."""
    return (np.einsum("pgr,grc->pgc", patches(shape, values), kernel) + bias).ravel()


def kernel_gradient(shape: ConvShape, values: Array, signal: Array) -> Array:
    """[groups, rows of a group, columns]: products of patch and signal, summed over the positions."""
    return np.einsum("pgr,pgc->grc", patches(shape, values), signal.reshape(-1, shape.groups, shape.columns))


def input_gradient(shape: ConvShape, kernel: Array, signal: Array) -> Array:
    """The transpose of `forward`: its derivative for every input address, one unit vector after the other."""
    zero = np.zeros((shape.groups, shape.columns), dtype=np.int64)
    units = np.eye(shape.n_in, dtype=np.int64)
    return np.array([forward(shape, kernel, zero, unit) @ signal for unit in units])


def split(shape: ConvShape, rows: Any) -> tuple[Array, Array]:
    """Weights or gradients [rows, columns] as kernel [groups, rows of a group, columns] and bias [groups, columns]."""
    values = np.array(rows, dtype=np.int64)
    return values[: shape.n_rows].reshape(shape.groups, -1, shape.columns), values[shape.n_rows :]


def conv_case(first: ConvShape, second: ConvShape) -> Case:
    """Two convolutions without memory (u is the sum of this step), in formats that lose and saturate nothing."""
    n_first, n_second = first.n_out, second.n_out
    shapes = [(first.out_height, first.out_width, first.out_channels), (1, 1, 3)]
    drafts = [
        Draft("conv", first.n_in, n_first, [Connection(NETWORK_INPUT, first.n_in)], shapes[0], first),
        Draft("conv", n_first, n_second, [Connection(0, n_first)], shapes[0], second),
        Draft("readout", n_second, 3, [Connection(1, n_second)], shapes[1]),
    ]
    for draft in drafts[:2]:
        draft.leak = ("constant", 0)
    layers = tuple(
        dataclasses.replace(
            layer_spec(draft, trace=False), reset="zero", frac_gradient=6, frac_error=12 if draft.conv is first else 6
        )
        for draft in drafts
    )
    layers = (dataclasses.replace(layers[0], frac_gradient=12), *layers[1:])
    spec = contract_spec(
        Axes("spike", "backprop", "sample"), layers=layers, batch=2, error_bits=16, delta_bits=20, membrane_bits=24,
        surrogate_bits=8, surrogate="triangle", event_bits=3,
    )  # fmt: skip
    return contract_case(spec, seed=4)


@pytest.mark.parametrize("core", ["golden", "fast"])
@pytest.mark.parametrize("shapes", SHAPES)
def test_convolutions_are_those_of_a_textbook(shapes: tuple[ConvShape, ConvShape], core: str) -> None:
    case = conv_case(*shapes)
    order = np.array([0])
    if core == "golden":
        golden = GoldenCore(case.spec, [rows.tolist() for rows in case.weights])
        probes = {name: np.array(v) for name, v in golden.run(case.samples[:1], True, False).probes.items()}
        gradients = [np.array(rows) for rows in golden.gradients]
    else:
        fast = Engine(case.spec, case.weights)
        probes = fast.run(case.dataset(), order, learn=True, end_of_epoch=False, probe=(0,)).probes
        gradients = fast.gradients
    expected = [np.zeros_like(rows) for rows in case.weights[:2]]
    spiked = signals = 0
    for step, events in enumerate(case.samples[0].steps):
        inputs = np.zeros(shapes[0].n_in, dtype=np.int64)
        for address, magnitude in events:
            inputs[address] = magnitude
        for index, shape in enumerate(shapes):
            kernel, bias = split(shape, case.weights[index])
            potential = forward(shape, kernel, bias, inputs) << case.spec.layers[index].deliver_shift
            assert np.array_equal(probes[f"potential/{index}"][0, step], potential)
            signal = probes[f"signal/{index}"][0, step].astype(np.int64)
            gradient = kernel_gradient(shape, inputs, signal)
            of_bias = signal.reshape(-1, shape.groups, shape.columns).sum(axis=0)
            expected[index] += np.concatenate([gradient.reshape(-1, shape.columns), of_bias])
            inputs = probes[f"spike/{index}"][0, step].astype(np.int64)
            spiked, signals = spiked + int(inputs.sum()), signals + int(np.count_nonzero(signal))
        kernel, _ = split(shapes[1], case.weights[1])
        error = input_gradient(shapes[1], kernel, probes["signal/1"][0, step].astype(np.int64))
        assert case.spec.error_shift(0) == 0
        assert np.array_equal(probes["d/0"][0, step], np.where(probes["psi/0"][0, step] != 0, error, 0))
    assert all(np.array_equal(a, b) for a, b in zip(expected, gradients[:2], strict=True))
    assert spiked > 0 and signals > 0 and all(np.any(rows) for rows in gradients[:2])
