"""The resolved integer specification of a core: every number docs/semantics.md needs, and nothing else.

`CoreSpec` is what the golden core and the fast core are both built from. It is made by
`neurochip.network.resolve` from an experiment and a calibration, checked once (`check`), and never changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.errors import UserError
from neurochip.fixed_point import MAX_FRAC, QFormat

LEAK_NONE, LEAK_SHIFT, LEAK_CONSTANT = "none", "shift", "constant"
CREDITS = ("none", "trace", "spike", "unroll")
UPDATES = ("none", "immediate", "accumulate")
MAX_SHIFT = 30
MAX_DELIVER_BITS = 26
MAX_READOUT_BITS = 31
MAX_WIDE_REGISTER = 2**31 - 1


@dataclass(frozen=True)
class LayerSpec:
    """One plastic layer: its shape, neuron, formats and presynaptic factor (semantics sections 1 to 3)."""

    kind: str  # "dense" | "readout"
    n_in: int
    n_out: int
    bias: bool
    leak_kind: str  # "shift" | "constant"; "none" for the memoryless readout
    leak_value: int
    threshold_q: int  # 0 for the readout
    reset: str  # "subtract" | "zero"
    keeps_trace: bool  # whether p = a (else p = m)
    trace_leak_kind: str  # leak of the trace of this layer's inputs
    trace_leak_value: int
    frac_weight: int
    frac_potential: int  # frac_u, or frac_z for the readout
    frac_trace: int
    frac_error: int
    frac_gradient: int

    @property
    def frac_presynaptic(self) -> int:
        """frac_p: frac_a where p is the trace, 0 where it is the event."""
        return self.frac_trace if self.keeps_trace else 0

    @property
    def deliver_shift(self) -> int:
        """sh."""
        return self.frac_potential - self.frac_weight


@dataclass(frozen=True)
class CoreSpec:
    """A network, its formats and its rule, in integers."""

    layers: tuple[LayerSpec, ...]  # last one is the readout
    n_steps: int
    event_bits: int
    weight_bits: int
    weight_rounding: str  # "floor" | "nearest" | "stochastic"
    membrane_bits: int
    trace_bits: int
    trace_gate: int
    error_bits: int
    error_rounding: str  # "floor" | "nearest"
    delta_bits: int
    surrogate_bits: int
    surrogate: str  # "sigmoid" | "triangle" | "rectangle"
    gradient_bits: int
    readout_bits: int
    credit: str  # one of CREDITS
    update: str  # one of UPDATES
    batch: int
    rate_multiplier: int  # m_eta
    rate_shift: int  # s
    mse_share_q: int  # A = floor(256 * mse_share + 1/2)
    deliver: str  # "synapse" | "neuron"
    reset_path: str  # "detached" | "exact"
    rng_lanes: int
    seed: int
    synapse_lanes: int  # L, declared for activity
    trace_lanes: int  # M, declared for activity

    def error_shift(self, layer: int) -> int:
        """sd of hidden layer `layer`."""
        nxt = self.layers[layer + 1]
        return nxt.frac_weight + nxt.frac_error - self.layers[layer].frac_error

    def update_shift(self, layer: int) -> int:
        """S (immediate)."""
        spec = self.layers[layer]
        return spec.frac_presynaptic + spec.frac_error + self.rate_shift - spec.frac_weight

    def gradient_shift(self, layer: int) -> int:
        """sG."""
        spec = self.layers[layer]
        return spec.frac_presynaptic + spec.frac_error - spec.frac_gradient

    def apply_shift(self, layer: int) -> int:
        """S_G (accumulate)."""
        spec = self.layers[layer]
        return spec.frac_gradient + self.rate_shift - spec.frac_weight

    def check(self) -> None:
        """Refuse formats and shifts outside the legal ranges of semantics section 1.

        Raises:
            UserError: naming the key, the value and what is allowed.
        """
        _require("precision.readout.bits", len(self.layers) - 1, self.readout_bits, 8, MAX_READOUT_BITS)
        for index, layer in enumerate(self.layers):
            is_hidden = layer.kind != "readout"
            potential = "precision.membrane.frac" if is_hidden else "precision.readout.frac"
            for key, frac in (
                ("precision.weight.frac", layer.frac_weight),
                (potential, layer.frac_potential),
                ("precision.trace.frac", layer.frac_trace),
                ("precision.error.frac", layer.frac_error),
                ("precision.gradient.frac", layer.frac_gradient),
            ):
                if key == "precision.gradient.frac" and self.update != "accumulate":
                    continue
                _require(key, index, frac, 0, MAX_FRAC)
            _require(f"{potential} minus precision.weight.frac", index, layer.deliver_shift, 0, MAX_FRAC)
            widest = self.weight_bits - 1 + self.event_bits - 1 + layer.deliver_shift
            _require("precision: weight.bits + event.bits - 2 + alignment shift", index, widest, 0, MAX_DELIVER_BITS)
            if is_hidden:
                _require(potential, index, layer.frac_potential, 4, MAX_FRAC)
                top = QFormat(self.membrane_bits, 0, True).highest
                _require("network threshold in units of 2^-membrane.frac", index, layer.threshold_q, 1, top)
                self._check_wide_register(index)
            self._check_learning(index, is_hidden)

    def _check_wide_register(self, index: int) -> None:
        layer = self.layers[index]
        largest_product = (1 << (self.weight_bits - 1)) * ((1 << self.event_bits) - 1) << layer.deliver_shift
        peak = (layer.n_in + 1) * largest_product + (1 << (self.membrane_bits - 1))
        if self.deliver == "neuron" and peak > MAX_WIDE_REGISTER:
            raise UserError(
                f"learning.deliver = 'neuron' may sum up to {peak} in layer {index}; allowed is {MAX_WIDE_REGISTER} "
                "(fewer precision.weight.bits or a smaller precision.membrane.frac)"
            )

    def _check_learning(self, index: int, is_hidden: bool) -> None:
        if self.credit == "none":
            return
        if is_hidden:
            hint = "precision.weight.frac + precision.error.frac of the next layer, minus precision.error.frac"
            key = "precision: frac shift from weight x error to error"
            _require(key, index, self.error_shift(index), 0, MAX_SHIFT, hint)
        key = "precision: shift of the weight update"
        if self.update == "immediate":
            hint = "trace.frac + error.frac - weight.frac of [precision], plus the shift of learning_rate / steps"
            _require(key, index, self.update_shift(index), 0, MAX_SHIFT, hint)
        else:
            shift = self.gradient_shift(index)
            _require("precision.gradient.frac: shift into the gradient", index, shift, 0, MAX_SHIFT)
            hint = "gradient.frac - weight.frac of [precision], plus the shift of learning_rate / (steps * batch)"
            _require(key, index, self.apply_shift(index), 0, MAX_SHIFT, hint)


def _require(key: str, layer: int, value: int, low: int, high: int, hint: str = "docs/semantics.md, section 1") -> None:
    if not low <= value <= high:
        raise UserError(f"{key} of layer {layer} is {value}; allowed is {low} to {high} ({hint})")
