"""Weight updates: presynaptic factor, immediate, accumulate, apply (docs/semantics.md, sections 3.3, 3.5, 3.6)."""

from __future__ import annotations

from collections.abc import Sequence

from neurochip.errors import UserError
from neurochip.reference.core.arithmetic import advance, round_shift, saturate, signed_limits
from neurochip.reference.core.memory import Memories
from neurochip.reference.core.recording import Recorder, nonzero, nonzero_words
from neurochip.spec import CoreSpec, LayerSpec

Factor = tuple[int, int]  # (row, p)


def presynaptic_factors(
    layer: LayerSpec, trace: Sequence[int], events: Sequence[tuple[int, int]], gate: int
) -> list[Factor]:
    """Section 3.3: the rows with p != 0 in ascending order, the bias row (p = 1 << frac_p) last.

    p is the trace where the layer keeps one, rows with a < gate excepted; else the magnitude of the event.
    """
    if layer.keeps_trace:
        factors = [(i, a) for i, a in enumerate(trace) if a != 0 and a >= gate]
    else:
        factors = [(i, m) for i, m in events if m != 0]
    if layer.bias:
        factors.append((layer.n_in, 1 << layer.frac_presynaptic))
    return factors


class Plasticity:
    """Writes the weights, or the gradients, of one core."""

    def __init__(self, spec: CoreSpec, memory: Memories) -> None:
        self.spec = spec
        self.memory = memory
        self.weight_limits = signed_limits(spec.weight_bits)
        self.gradient_limits = signed_limits(spec.gradient_bits)

    def update(self, index: int, factors: Sequence[Factor], signal: Sequence[int], step: int, rec: Recorder) -> None:
        """Section 3.5: W <- sat(((W << S) + P + c) >> S) with P = -m_eta p_i g_j, for every row with p != 0."""
        m_eta, shift = self.spec.rate_multiplier, self.spec.update_shift(index)
        for row, p in factors:
            self._update_row(index, row, [-m_eta * p * g for g in signal], shift, step, rec)

    def accumulate(self, index: int, factors: Sequence[Factor], signal: Sequence[int], counts: dict[str, int]) -> None:
        """Section 3.6: G_ij <- sat(G_ij + round(p_i g_j, sG))."""
        shift, mode = self.spec.gradient_shift(index), self.spec.error_rounding
        for row, p in factors:
            gradient = self.memory.gradient[index][row]
            for j, g in enumerate(signal):
                added = round_shift(p * g, shift, mode)
                gradient[j] = saturate(gradient[j] + added, self.gradient_limits, counts, "sat_gradient")

    def apply(self, rec: Recorder) -> None:
        """Section 3.6: update every weight by P = -m_eta G_ij, layers from last to first, then set G to 0."""
        m_eta, step = self.spec.rate_multiplier, self.spec.n_steps
        for index in reversed(range(len(self.spec.layers))):
            shift = self.spec.apply_shift(index)
            counts = rec.counts(step, index)
            for row, gradient in enumerate(self.memory.gradient[index]):
                counts["update_words"] += nonzero_words(gradient, self.spec.synapse_lanes)
                counts["update_products"] += nonzero(gradient)
                self._update_row(index, row, [-m_eta * g for g in gradient], shift, step, rec)
                gradient[:] = [0] * len(gradient)
        rec.n_applies += 1

    def _update_row(self, index: int, row: int, products: Sequence[int], shift: int, step: int, rec: Recorder) -> None:
        """One row, word by word of R columns; a word without a nonzero product is neither written nor drawn for."""
        weights, counts = self.memory.synapse[index][row], rec.counts(step, index)
        lanes = self.spec.rng_lanes
        for first in range(0, len(products), lanes):
            word = products[first : first + lanes]
            if not any(word):
                continue
            offsets = self._rounding_offsets(index, shift, counts)
            for lane, product in enumerate(word):
                j = first + lane
                rounded = ((weights[j] << shift) + product + offsets[lane]) >> shift
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
