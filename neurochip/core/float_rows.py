"""Kernels of the float twin on the rows of dense weights, row = input address, and on biases."""

from __future__ import annotations

from typing import Any

from neurochip.core._jit import jit
from neurochip.core.float_tables import COLUMNS, CONV, GROUPS, KIND, N_OUT, N_ROWS, WEIGHT_AT, Array


@jit
def add_rows(out: Array, weights: Array, start: int, addresses: Array, values: Array) -> None:
    """out_j += sum_i m_i W_ij over the events (i, m_i), in their order."""
    n = out.size
    for k in range(addresses.size):
        at = start + addresses[k] * n
        row = weights[at : at + n]
        magnitude = out.dtype.type(values[k])
        for j in range(n):
            out[j] += magnitude * row[j]


@jit
def add_outer(target: Array, start: int, factor: float, signal: Array, addresses: Array, values: Array) -> None:
    """target_ij += factor m_i signal_j for the events (i, m_i)."""
    n = signal.size
    for k in range(addresses.size):
        at = start + addresses[k] * n
        row = target[at : at + n]
        scale = target.dtype.type(factor * values[k])
        for j in range(n):
            row[j] += scale * signal[j]


@jit
def add_outer_trace(target: Array, start: int, factor: float, signal: Array, trace: Array, gate: float) -> None:
    """target_ij += factor a_i signal_j for the addresses with a nonzero trace that is not below the gate."""
    n = signal.size
    for i in range(trace.size):
        if trace[i] != 0 and trace[i] >= gate:
            at = start + i * n
            row = target[at : at + n]
            scale = target.dtype.type(factor * trace[i])
            for j in range(n):
                row[j] += scale * signal[j]


@jit
def product(row: Array, signal: Array) -> float:
    """sum_j row_j signal_j, from the first column to the last."""
    total = 0.0
    for j in range(signal.size):
        total += row[j] * signal[j]
    return total


@jit
def add_bias(out: Array, weights: Array, size: Array, shape: Array) -> None:
    """out_{b o + j} += W_rj for the taps of the bias rows: one row for all outputs, or one per group of a map."""
    n = size[COLUMNS]
    groups = shape[GROUPS] if size[KIND] == CONV else 1
    bias = size[WEIGHT_AT] + size[N_ROWS] * n
    for block in range(size[N_OUT] // n):
        at = bias + block % groups * n
        for j in range(n):
            out[block * n + j] += weights[at + j]


@jit
def add_bias_outer(target: Array, signal: Array, size: Array, shape: Array, factor: float) -> None:
    """target_rj += factor signal_{b o + j} for the taps of the bias rows; p is in the factor."""
    n = size[COLUMNS]
    groups = shape[GROUPS] if size[KIND] == CONV else 1
    bias = size[WEIGHT_AT] + size[N_ROWS] * n
    for block in range(size[N_OUT] // n):
        at = bias + block % groups * n
        for j in range(n):
            target[at + j] += factor * signal[block * n + j]


@jit
def leak_into(out: Array, values: Array, leak: float, floor: float) -> None:
    """out_j = leak * values_j, or 0 below the floor."""
    for j in range(out.size):
        value = leak * values[j]
        out[j] = 0 if abs(value) < floor else value


@jit
def clear(values: Any) -> None:
    """values_k = 0."""
    for k in range(values.size):
        values[k] = 0
