"""Weight updates: presynaptic factor, immediate, accumulate, apply (docs/semantics.md, sections 3.3, 3.5, 3.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from neurochip.errors import UserError
from neurochip.reference.core.arithmetic import advance, leak, round_shift, saturate, signed_limits
from neurochip.reference.core.memory import Memories, learns
from neurochip.reference.core.recording import Recorder, nonzero, nonzero_words
from neurochip.spec import LEAK_SHIFT, CoreSpec, LayerSpec
from neurochip.topology import Tap

Factor = tuple[int, Sequence[Tap]]  # (p, the taps it goes to)
Products = dict[int, list[int]]  # row -> D of its columns


def presynaptic_factors(layer: LayerSpec, trace: Sequence[int], m: Mapping[int, int], gate: int) -> dict[int, int]:
    """Section 3.3: p of the input addresses where it is not 0, bias rows not included.

    p is the trace where the layer keeps one, addresses with a < gate excepted; else m.
    """
    if layer.keeps_trace:
        return {i: a for i, a in enumerate(trace) if a != 0 and a >= gate}
    return {i: magnitude for i, magnitude in sorted(m.items()) if magnitude != 0}


def products(factors: Sequence[Factor], signal: Sequence[int], columns: int) -> Products:
    """Section 3.5: D_rj = sum of p signal_{b o + j} over the taps (r, b), rows ascending, only rows that have taps."""
    sums: Products = {}
    for p, taps in factors:
        for row, block in taps:
            row_sums = sums.setdefault(row, [0] * columns)
            for j in range(columns):
                row_sums[j] += p * signal[block * columns + j]
    return dict(sorted(sums.items()))


class Plasticity:
    """Writes the weights, or the gradients, of one core."""

    def __init__(self, spec: CoreSpec, memory: Memories) -> None:
        self.spec = spec
        self.memory = memory
        self.weight_limits = signed_limits(spec.weight_bits)
        self.gradient_limits = signed_limits(spec.gradient_bits)

    def learn(self, index: int, sums: Products, step: int, rec: Recorder) -> None:
        """Section 3.5 or 3.6 for one layer and step."""
        counts = rec.counts(step, index)
        counts["weight_words"] += sum(nonzero_words(row_sums, self.spec.synapse_lanes) for row_sums in sums.values())
        if self.spec.update == "immediate":
            self.update(index, sums, step, rec)
        else:
            self.accumulate(index, sums, counts)

    def update(self, index: int, sums: Products, step: int, rec: Recorder) -> None:
        """Section 3.5: W <- sat(((W << S) + P + c) >> S) with P = -m_eta D_rj, for every row with some D != 0."""
        m_eta, shift = self.spec.rate_multiplier, self.spec.update_shift(index)
        for row, row_sums in sums.items():
            self._update_row(index, row, [-m_eta * d for d in row_sums], shift, step, rec)

    def accumulate(self, index: int, sums: Products, counts: dict[str, int]) -> None:
        """Section 3.6: G_rj <- sat(G_rj + round(D_rj, sG))."""
        shift, mode = self.spec.gradient_shift(index), self.spec.error_rounding
        for row, row_sums in sums.items():
            gradient = self.memory.gradient[index][row]
            for j, d in enumerate(row_sums):
                added = round_shift(d, shift, mode)
                gradient[j] = saturate(gradient[j] + added, self.gradient_limits, counts, "sat_gradient")

    def apply(self, rec: Recorder) -> None:
        """Section 3.6: update every weight by P = -m_eta G_rj, with momentum V_rj; layers last to first; G <- 0."""
        m_eta, step, lanes = self.spec.rate_multiplier, self.spec.n_steps, self.spec.synapse_lanes
        for index, layer in reversed(list(enumerate(self.spec.layers))):
            if not learns(layer):
                continue
            shift, counts = self.spec.apply_shift(index), rec.counts(step, index)
            for row, gradient in enumerate(self.memory.gradient[index]):
                direction = gradient
                if self.spec.momentum_shift > 0:
                    direction = self.memory.velocity[index][row]
                # A word holds something if some G or, with momentum, some V before this apply is not 0.
                held = [int(g != 0 or v != 0) for g, v in zip(gradient, direction, strict=True)]
                if self.spec.momentum_shift > 0:
                    self._accelerate(direction, gradient, counts)
                n_words = nonzero_words(held, lanes)
                counts["update_words"] += n_words
                counts["weight_words"] += n_words
                counts["update_products"] += nonzero(direction)
                self._update_row(index, row, [-m_eta * g for g in direction], shift, step, rec)
                gradient[:] = [0] * len(gradient)
        rec.n_applies += 1

    def _accelerate(self, velocity: list[int], gradient: Sequence[int], counts: dict[str, int]) -> None:
        """Section 3.6: V_rj <- sat(leak_k(V_rj) + G_rj) for a whole row."""
        for j, v in enumerate(velocity):
            kept = leak(v, LEAK_SHIFT, self.spec.momentum_shift)
            velocity[j] = saturate(kept + gradient[j], self.gradient_limits, counts, "sat_gradient")

    def _update_row(self, index: int, row: int, changes: Sequence[int], shift: int, step: int, rec: Recorder) -> None:
        """One row, word by word of R columns; a word without a nonzero P is neither written nor drawn for."""
        weights, counts = self.memory.synapse[index][row], rec.counts(step, index)
        lanes = self.spec.rng_lanes
        for first in range(0, len(changes), lanes):
            word = changes[first : first + lanes]
            if not any(word):
                continue
            offsets = self._rounding_offsets(index, shift, counts)
            for lane, change in enumerate(word):
                j = first + lane
                rounded = ((weights[j] << shift) + change + offsets[lane]) >> shift
                weights[j] = saturate(rounded, self.weight_limits, counts, "sat_weight")
                if rec.record_draws and self.spec.weight_rounding == "stochastic":
                    rec.draws.append((index, row, j, offsets[lane]))

    def _rounding_offsets(self, index: int, shift: int, counts: dict[str, int]) -> list[int]:
        """The c of every lane of a word; stochastic rounding advances all R registers of the layer once."""
        lanes, mode = self.spec.rng_lanes, self.spec.weight_rounding
        if mode == "floor":
            return [0] * lanes
        if mode == "nearest":
            return [(1 << shift) >> 1] * lanes  # 2**(S - 1), and 0 for S = 0
        if mode != "stochastic":
            raise UserError(f'precision.weight.rounding is "{mode}"; allowed is "floor", "nearest" or "stochastic"')
        registers = self.memory.registers[index]
        registers[:] = [advance(x) for x in registers]
        counts["random_advances"] += 1
        return [x & ((1 << shift) - 1) for x in registers]
