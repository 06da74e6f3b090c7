"""Errors and learning signals: readout, back in space, back in time (docs/semantics.md, sections 3.4 and 3.7)."""

from __future__ import annotations

from collections.abc import Sequence

from neurochip.reference.core.arithmetic import leak, round_shift, saturate, signed_limits
from neurochip.spec import CoreSpec

Counts = dict[str, int]


def softmax(z: Sequence[int], frac_z: int, f: int, table: Sequence[int]) -> list[int]:
    """Section 3.4: p_c = floor(((E_c << f) + floor(sum / 2)) / sum), E_c = E[k_c], with f fractional bits."""
    z_max = max(z)
    exponentials = []
    for z_c in z:
        distance = z_max - z_c
        k = distance >> (frac_z - 4) if frac_z >= 4 else distance << (4 - frac_z)
        exponentials.append(table[min(255, k)])
    total = sum(exponentials)
    return [((e << f) + total // 2) // total for e in exponentials]


def readout_error(spec: CoreSpec, z: Sequence[int], label: int, table: Sequence[int], counts: Counts) -> list[int]:
    """Section 3.4: e = sat(p - y), mixed with a share A / 256 of squared error 2 (z - y) / C."""
    layer = spec.layers[-1]
    f, n_classes, share = layer.frac_error, layer.n_out, spec.mse_share_q
    limits = signed_limits(spec.error_bits)
    errors = []
    for c, p in enumerate(softmax(z, layer.frac_potential, f, table)):
        target = (1 << f) if c == label else 0
        error = p - target
        if share > 0:
            shift = layer.frac_potential - f
            q = round_shift(z[c], shift, spec.error_rounding) if shift >= 0 else z[c] << -shift
            mixed = (256 - share) * n_classes * error + 2 * share * (q - target)
            error = divide(mixed, 256 * n_classes, spec.error_rounding)
        errors.append(saturate(error, limits, counts, "sat_error"))
    return errors


def divide(x: int, divisor: int, mode: str) -> int:
    """x / divisor, for an even divisor > 0: "floor", or "nearest" with ties away from zero."""
    if mode == "floor":
        return x // divisor
    magnitude = (abs(x) + divisor // 2) // divisor
    return -magnitude if x < 0 else magnitude


def requantise(spec: CoreSpec, x: int, n: int, counts: Counts) -> int:
    """sat(round(x, n)) of d or g, counting an underflow when something becomes nothing."""
    rounded = round_shift(x, n, spec.error_rounding)
    if x != 0 and rounded == 0:
        counts["underflow_error"] += 1
    return saturate(rounded, signed_limits(spec.error_bits), counts, "sat_error")


def back_in_space(
    spec: CoreSpec,
    index: int,
    next_weights: Sequence[Sequence[int]],
    next_signal: Sequence[int],
    psi: Sequence[int],
    signal: list[int],
    counts: Counts,
) -> list[int]:
    """Section 3.4: d_i = sat(round(sum_j W_ij g_j, sd)), g_i = sat(round(d_i psi_i, b)); writes g, returns d.

    `next_signal` is g, e or delta of layer index + 1. d is needed only until g is formed, so it has no memory.
    """
    sd = spec.error_shift(index)
    errors = [0] * len(psi)
    for i, code in enumerate(psi):
        signal[i] = 0
        if code == 0:
            continue
        total = sum(w * g for w, g in zip(next_weights[i], next_signal, strict=True))
        errors[i] = requantise(spec, total, sd, counts)
        signal[i] = requantise(spec, errors[i] * code, spec.surrogate_bits, counts)
    return errors


def back_in_time(
    spec: CoreSpec, index: int, psi: Sequence[int], signal: Sequence[int], delta: list[int], counts: Counts
) -> None:
    """Section 3.7: delta[t] = sat(v - [exact] round(theta psi v, b + frac_u) + g[t]), v = leak(delta[t + 1])."""
    layer = spec.layers[index]
    limits = signed_limits(spec.delta_bits)
    for i, later in enumerate(delta):
        v = leak(later, layer.leak_kind, layer.leak_value)
        through_reset = 0
        if spec.reset_path == "exact":
            n = spec.surrogate_bits + layer.frac_potential
            through_reset = round_shift(layer.threshold_q * psi[i] * v, n, spec.error_rounding)
        delta[i] = saturate(v - through_reset + signal[i], limits, counts, "sat_delta")
