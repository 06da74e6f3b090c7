"""Codes as numbers of apytypes and back, and cores of one layer: what the tests against that library share.

Codes go in with their formats and come back by one exact `APyFixed` expression and one `cast`, so the alignment shifts
of docs/semantics.md are checked as well. What our names are there:

floor                       TRN      truncation, towards minus infinity
nearest (errors, gradients) RND_INF  to nearest, ties away from zero
nearest (weights)           RND      to nearest, ties towards plus infinity: add 2^(S-1), then floor
stochastic, with given r    TRN      of the sum with r * 2^-S
leaks                       TRN_ZERO of the product with lambda
every sat                   SAT
"""

from __future__ import annotations

from typing import Any

from apytypes import APyFixed, OverflowMode, QuantizationMode
from hypothesis import strategies as st

from neurochip.spec import CoreSpec, LayerSpec

MODES = {
    "floor": QuantizationMode.TRN,
    "nearest": QuantizationMode.RND_INF,
    "nearest weight": QuantizationMode.RND,
    "leak": QuantizationMode.TRN_ZERO,
}
ROUNDINGS = st.sampled_from(["floor", "nearest"])


def fixed(code: int, frac: int = 0) -> APyFixed:
    """code * 2^-frac, as wide as it needs to be."""
    return APyFixed(code, bits=code.bit_length() + 1, frac_bits=frac)


def code_of(x: APyFixed) -> int:
    """The code of a number in its own format."""
    bits: int = x.to_bits()
    return bits - (1 << x.bits) if bits >> (x.bits - 1) else bits


def rounded(x: APyFixed, frac: int, mode: str) -> int:
    """The code of x at `frac`, rounded, with room for every result."""
    return code_of(x.cast(int_bits=max(x.int_bits, -frac) + 2, frac_bits=frac, quantization=MODES[mode]))


def saturated(x: APyFixed, bits: int, frac: int, mode: str = "floor") -> int:
    """The code of x in a signed format, rounded and saturated."""
    cast = x.cast(bits=bits, frac_bits=frac, quantization=MODES[mode], overflow=OverflowMode.SAT)
    return code_of(cast)


def codes(bits: int) -> st.SearchStrategy[int]:
    """Codes of a signed format, its ends and neighbours of zero often."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return st.integers(low, high) | st.sampled_from([low, low + 1, -1, 0, 1, high - 1, high])


def formatted(lowest: int, highest: int) -> st.SearchStrategy[tuple[int, int]]:
    """(bits, code) of signed formats."""
    return st.integers(lowest, highest).flatmap(lambda bits: st.tuples(st.just(bits), codes(bits)))


def layer_of(**changes: Any) -> LayerSpec:
    """One readout of one input and one output; a change names a field."""
    fields: dict[str, Any] = dict(
        kind="readout", n_in=1, n_out=1, bias=False, leak_kind="none", leak_value=0, threshold_q=0, reset="subtract",
        keeps_trace=False, trace_leak_kind="shift", trace_leak_value=1, frac_weight=0, frac_potential=0, frac_trace=0,
        frac_error=0, frac_gradient=0,
    )  # fmt: skip
    return LayerSpec(**(fields | changes))


def spec_of(layer: LayerSpec, **changes: Any) -> CoreSpec:
    """A core of one layer; a change names a field."""
    fields: dict[str, Any] = dict(
        layers=(layer,), n_steps=1, event_bits=1, weight_bits=8, weight_rounding="floor", membrane_bits=16,
        trace_bits=8, trace_gate=0, error_bits=8, error_rounding="nearest", delta_bits=12, surrogate_bits=4,
        surrogate="sigmoid", gradient_bits=24, readout_bits=24, credit="spike", update="immediate", batch=1,
        rate_multiplier=1, rate_shift=0, mse_share_q=0, deliver="synapse", reset_path="detached", rng_lanes=1, seed=1,
        synapse_lanes=1, trace_lanes=1,
    )  # fmt: skip
    return CoreSpec(**(fields | changes))


def counts() -> dict[str, int]:
    return dict.fromkeys(
        ("sat_membrane", "sat_readout", "sat_trace", "sat_error", "sat_delta", "sat_gradient", "underflow_error"), 0
    )
