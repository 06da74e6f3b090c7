"""Are products that kernels form in 32 bits known to fit, whatever the events? Bounds from the formats, exactly."""

from __future__ import annotations

from property_network_cases import fixed_network_case

from neurochip.core.columns import WIDE_DOT, WIDE_PRODUCT
from neurochip.core.layout import build_layout
from neurochip.spec import CoreSpec

N_CASES = 1000
LIMIT = 1 << 31


def largest_update(spec: CoreSpec, index: int) -> int:
    """m_eta |D| at most: every position with the largest p and the lowest signal, or every bias tap."""
    layer = spec.layers[index]
    trace = (1 << spec.trace_bits) - 1 if layer.keeps_trace else spec.highest_magnitude(index)
    positions = layer.conv.n_positions if layer.conv is not None else 1
    return spec.rate_multiplier * positions * max(trace, 1 << layer.frac_presynaptic) * lowest_signal(spec)


def largest_error(spec: CoreSpec, index: int) -> int:
    """|X| at most: all taps of an input address with the lowest weight and signal."""
    layer = spec.layers[index]
    window = layer.conv.kernel_height * layer.conv.kernel_width if layer.conv is not None else 1
    return (1 << (spec.weight_bits - 1)) * lowest_signal(spec) * layer.columns * window


def lowest_signal(spec: CoreSpec) -> int:
    return 1 << ((spec.delta_bits if spec.credit == "unroll" else spec.error_bits) - 1)


def test_narrow_layers_cannot_overflow() -> None:
    narrow, only_positions = {"update": 0, "error": 0}, 0
    for seed in range(N_CASES):
        spec = fixed_network_case(seed).spec
        if spec.credit == "none":
            continue
        for index, row in enumerate(build_layout(spec).layers):
            conv = spec.layers[index].conv
            if not row[WIDE_PRODUCT]:
                assert largest_update(spec, index) < LIMIT, (seed, index)
                narrow["update"] += conv is not None
            elif conv is not None:
                only_positions += largest_update(spec, index) // conv.n_positions < LIMIT // 4
            if not row[WIDE_DOT]:
                assert largest_error(spec, index) < LIMIT, (seed, index)
                narrow["error"] += conv is not None
    print(f"\n{narrow} convolutions are narrow, {only_positions} wide because of their positions alone")
    assert min(narrow.values()) >= 100
    assert only_positions >= 20
