"""Errors and learning signals: readout, back in space, back in time (docs/semantics.md, sections 3.4 and 3.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurochip.reference.core.arithmetic import leak, round_shift, saturate, signed_limits
from neurochip.spec import CoreSpec
from neurochip.topology import Connection, Tap

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


def readout_error(
    spec: CoreSpec, z: Sequence[int], label: int, table: Sequence[int], counts: Counts, index: int = -1
) -> list[int]:
    """Section 3.4: e = sat(p - y) of readout `index`, mixed with a share A / 256 of squared error 2 (z - y) / C."""
    layer = spec.layers[index]
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
    """sat(round(x, n)), counting an underflow when something becomes nothing."""
    rounded = round_shift(x, n, spec.error_rounding)
    if x != 0 and rounded == 0:
        counts["underflow_error"] += 1
    return saturate(rounded, signed_limits(spec.error_bits), counts, "sat_error")


@dataclass(frozen=True)
class ErrorPath:
    """One connection on which error comes back to its source: from the signal of layer n through its weights.

    Attributes:
        connection: from the source to layer n.
        shift: right shift of X, sd[l, n]; frac_w[l] along a delayed connection.
        taps: of the input addresses of layer n.
        weights: of layer n.
        columns: o of layer n.
        signal: of layer n; that of step t + 1 along a delayed connection.
        stored: where X of every address of the connection is kept; empty: nowhere.
    """

    connection: Connection
    shift: int
    taps: Sequence[Sequence[Tap]]
    weights: Sequence[Sequence[int]]
    columns: int
    signal: Sequence[int]
    stored: list[int]

    def addresses(self, psi: Sequence[int]) -> set[int]:
        """The input addresses of layer n to which some neuron with psi != 0 leads."""
        found = {self.connection.address(i) for i, code in enumerate(psi) if code}
        return {address for address in found if address is not None}

    def back(self, psi: Sequence[int]) -> dict[int, int]:
        """X_i' of these addresses: over the taps (r, b) of i', the sum over j of W_rj signal_{b o + j}."""
        sums = {}
        for address in self.addresses(psi):
            total = 0
            for row, block in self.taps[address]:
                part = self.signal[block * self.columns : (block + 1) * self.columns]
                total += sum(w * g for w, g in zip(self.weights[row], part, strict=True))
            if self.stored:
                self.stored[address - self.connection.offset] = total
            sums[address] = total
        return sums


def back_in_space(
    spec: CoreSpec, paths: Sequence[ErrorPath], psi: Sequence[int], signal: list[int], counts: Counts
) -> list[int]:
    """Section 3.4: d_i = sat(sum of round(X_i', shift) over the paths), g_i = sat(round(d_i psi_i, b)).

    Writes g and returns d, which is needed only until g is formed and so has no memory.
    """
    sums = [path.back(psi) for path in paths]
    limits = signed_limits(spec.error_bits)
    errors = [0] * len(psi)
    for i, code in enumerate(psi):
        signal[i] = 0
        if code == 0:
            continue
        total, comes = 0, False
        for path, x_of in zip(paths, sums, strict=True):
            address = path.connection.address(i)
            if address is None:
                continue
            total += round_shift(x_of[address], path.shift, spec.error_rounding)
            comes = comes or x_of[address] != 0
        errors[i] = saturate(total, limits, counts, "sat_error")
        if comes and errors[i] == 0:
            counts["underflow_error"] += 1
        signal[i] = requantise(spec, errors[i] * code, spec.surrogate_bits, counts)
    return errors


def back_in_time(
    spec: CoreSpec, index: int, psi: Sequence[int], signal: Sequence[int], delta: list[int], counts: Counts
) -> None:
    """Section 3.7: delta[t] = sat(v - [exact] round(theta psi v, b + frac_u) + g[t]), v = leak(delta[t + 1]).

    For a leaky readout `signal` is e and there is no reset path.
    """
    layer = spec.layers[index]
    limits = signed_limits(spec.delta_bits)
    for i, later in enumerate(delta):
        v = leak(later, layer.leak_kind, layer.leak_value)
        through_reset = 0
        if spec.reset_path == "exact" and layer.is_hidden:
            n = spec.surrogate_bits + layer.frac_potential
            through_reset = round_shift(layer.threshold_q * psi[i] * v, n, spec.error_rounding)
        delta[i] = saturate(v - through_reset + signal[i], limits, counts, "sat_delta")


def back_through_current(
    spec: CoreSpec, index: int, delta: Sequence[int], delta_current: list[int], counts: Counts
) -> None:
    """Section 3.7: eps[t] = sat(current_leak(eps[t + 1]) + delta[t]), the error of a synaptic current.

    `delta` is delta[t]; `delta_current` holds eps, of a layer without a current it is empty.
    """
    layer, limits = spec.layers[index], signed_limits(spec.delta_bits)
    for j, later in enumerate(delta_current):
        kept = leak(later, layer.current_leak_kind, layer.current_leak_value)
        delta_current[j] = saturate(kept + delta[j], limits, counts, "sat_delta")
