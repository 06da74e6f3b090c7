"""Does the golden core multiply, add, shift, round and saturate as apytypes does, step by step of the semantics?"""

from __future__ import annotations

import numpy as np
from apytypes_codes import (
    ROUNDINGS,
    codes,
    counts,
    fixed,
    formatted,
    layer_of,
    rounded,
    saturated,
    spec_of,
)
from hypothesis import example, given
from hypothesis import strategies as st

from neurochip.reference.core import arithmetic, error, forward
from neurochip.reference.core.memory import Memories
from neurochip.reference.core.recording import Recorder
from neurochip.reference.core.standardise import standardise_column
from neurochip.reference.core.update import Plasticity
from neurochip.topology import Connection


@given(u=formatted(6, 24), w=formatted(2, 16), m=st.integers(1, 255), fracs=st.tuples(*[st.integers(0, 6)] * 3),
       alpha=st.integers(0, 65535))  # fmt: skip
def test_a_weight_is_delivered_alike(
    u: tuple[int, int], w: tuple[int, int], m: int, fracs: tuple[int, int, int], alpha: int
) -> None:
    frac_w, frac_m, more = fracs
    layer = layer_of(kind="dense", leak_kind="constant", leak_value=alpha, frac_weight=frac_w, frac_event=frac_m,
                     frac_potential=frac_w + frac_m + more)  # fmt: skip
    potential, found = [u[1]], counts()
    added = forward.addends(layer, [[w[1]]], [[(0, 0)]], [], [(0, m)])
    forward.deliver(layer, potential, added, arithmetic.signed_limits(u[0]), found)
    kept = rounded(fixed(u[1]) * fixed(alpha, 16), 0, "leak")
    exact = fixed(kept, layer.frac_potential) + fixed(w[1], frac_w) * fixed(m, frac_m)
    expected = saturated(exact, u[0], layer.frac_potential)
    assert potential == [expected]
    assert found["sat_membrane"] == (expected != rounded(exact, layer.frac_potential, "floor"))


@given(bits=st.integers(2, 16), share=st.floats(0, 1), m=st.integers(0, 255), frac_m=st.integers(0, 4),
       sa=st.integers(0, 12), k=st.integers(1, 15))  # fmt: skip
def test_a_trace_is_updated_alike(bits: int, share: float, m: int, frac_m: int, sa: int, k: int) -> None:
    layer = layer_of(keeps_trace=True, trace_leak_value=k, frac_event=frac_m, frac_trace=frac_m + sa)
    before = int(share * ((1 << bits) - 1))
    trace = [before]
    forward.update_trace(layer, trace, [], {0: m}, arithmetic.unsigned_limits(bits), counts())
    kept = rounded(fixed(before) * fixed((1 << k) - 1, k), 0, "leak")
    exact = fixed(kept, layer.frac_trace) + fixed(m, frac_m)
    assert trace == [saturated(exact, bits + 1, layer.frac_trace)]


@given(u=codes(24), theta=st.integers(1, 2**22), frac=st.integers(4, 24))
def test_the_index_of_the_surrogate_is_truncated_and_saturated_alike(u: int, theta: int, frac: int) -> None:
    layer = layer_of(kind="dense", threshold_q=theta, frac_potential=frac)
    index = [0]
    forward.surrogate_codes(layer, [u], range(64), index)
    assert index[0] - 32 == saturated(fixed(u, frac) - fixed(theta, frac), 6, 4)


@given(w=st.tuples(codes(8), codes(8)), e=st.tuples(codes(8), codes(8)), psi=st.integers(1, 15),
       fracs=st.tuples(*[st.integers(0, 8)] * 2), sd=st.integers(0, 12), mode=ROUNDINGS)  # fmt: skip
def test_an_error_comes_back_alike(
    w: tuple[int, int], e: tuple[int, int], psi: int, fracs: tuple[int, int], sd: int, mode: str
) -> None:
    frac_w, frac_e = fracs
    frac_d = frac_w + frac_e - sd  # may be negative here: only the difference counts
    spec, signal, found = spec_of(layer_of(), error_rounding=mode), [0], counts()
    path = error.ErrorPath(Connection(0, 1), sd, [[(0, 0)]], [list(w)], 2, list(e), [])
    d = error.back_in_space(spec, [path], [psi], signal, found)
    exact = fixed(w[0], frac_w) * fixed(e[0], frac_e) + fixed(w[1], frac_w) * fixed(e[1], frac_e)
    exact = exact.cast(int_bits=exact.int_bits + 20, frac_bits=exact.frac_bits)
    assert d == [saturated(exact, 8, frac_d, mode)]
    assert signal == [saturated(fixed(d[0], frac_d) * fixed(psi, 4), 8, frac_d, mode)]


@given(later=codes(12), g=codes(8), psi=st.integers(0, 15), theta=st.integers(1, 2**14), frac=st.integers(4, 20),
       k=st.integers(1, 15), mode=ROUNDINGS)  # fmt: skip
def test_delta_is_carried_alike(later: int, g: int, psi: int, theta: int, frac: int, k: int, mode: str) -> None:
    layer = layer_of(kind="dense", leak_kind="shift", leak_value=k, threshold_q=theta, frac_potential=frac)
    spec = spec_of(layer, error_rounding=mode, reset_path="exact")
    delta = [later]
    error.back_in_time(spec, 0, [psi], [g], delta, counts())
    v = fixed(rounded(fixed(later) * fixed((1 << k) - 1, k), 0, "leak"))
    through_reset = rounded(fixed(theta, frac) * fixed(psi, 4) * v, 0, mode)
    assert delta == [saturated(v - fixed(through_reset) + fixed(g), 12, 0)]


@given(w=formatted(2, 16), d=codes(20).filter(bool), m_eta=st.integers(1, 255), frac_w=st.integers(0, 8),
       frac_e=st.integers(0, 8), shift=st.integers(0, 30), rounding=st.sampled_from(["floor", "nearest", "stochastic"]),
       register=st.integers(1, 2**32 - 1))  # fmt: skip
@example(w=(2, 1), d=1, m_eta=1, frac_w=0, frac_e=0, shift=1, rounding="nearest", register=1)
@example(w=(2, -2), d=-1, m_eta=1, frac_w=0, frac_e=0, shift=1, rounding="nearest", register=1)
def test_a_weight_is_updated_alike(
    w: tuple[int, int], d: int, m_eta: int, frac_w: int, frac_e: int, shift: int, rounding: str, register: int
) -> None:
    bits, old = w
    layer = layer_of(frac_weight=frac_w, frac_error=frac_e)
    s = shift + frac_w - frac_e
    spec = spec_of(layer, weight_bits=bits, weight_rounding=rounding, rate_multiplier=m_eta, rate_shift=s)
    memory = Memories(spec, [[[old], [0]]])
    memory.registers[0][0] = register
    recorder = Recorder(1, 1, False)
    Plasticity(spec, memory).update(0, {0: [d]}, 0, recorder)
    exact = fixed(old, frac_w) - fixed(m_eta, s) * fixed(d, frac_e)
    if rounding == "stochastic":
        exact = exact + fixed(arithmetic.advance(register) % (1 << shift), frac_w + shift)
    mode = "nearest weight" if rounding == "nearest" else "floor"
    expected = saturated(exact, bits, frac_w, mode)
    assert memory.synapse[0][0] == [expected]
    assert recorder.counts(0, 0)["sat_weight"] == (expected != rounded(exact, frac_w, mode))


@given(g=codes(12), d=codes(24), sg=st.integers(0, 16), k=st.integers(1, 15), mode=ROUNDINGS)
def test_a_gradient_and_its_velocity_are_summed_alike(g: int, d: int, sg: int, k: int, mode: str) -> None:
    layer = layer_of(frac_error=sg, frac_gradient=0)
    spec = spec_of(layer, update="accumulate", gradient_bits=12, error_rounding=mode, momentum_shift=k, rate_shift=8)
    memory, recorder = Memories(spec, [[[0], [0]]]), Recorder(1, 1, False)
    memory.gradient[0][0][0], memory.velocity[0][0][0] = g, g
    plasticity = Plasticity(spec, memory)
    plasticity.learn(0, {0: [d]}, 0, recorder)
    expected = saturated(fixed(g) + fixed(rounded(fixed(d, sg), 0, mode)), 12, 0)
    assert memory.gradient[0][0] == [expected]
    plasticity.apply(recorder)
    kept = rounded(fixed(g) * fixed((1 << k) - 1, k), 0, "leak")
    velocity = saturated(fixed(kept) + fixed(expected), 12, 0)
    assert memory.velocity[0][0] == [velocity]
    assert memory.synapse[0][0] == [saturated(fixed(-velocity, 8), 8, 0)]


@given(column=st.lists(codes(8), min_size=2, max_size=6), constant=st.integers(1, 2**40), p=st.integers(17, 20))
def test_a_column_is_standardised_alike(column: list[int], constant: int, p: int) -> None:
    k, s1, s2 = len(column), sum(column), sum(w * w for w in column)
    root = int(np.floor(np.sqrt(k * s2 - s1 * s1)))  # below 2^53: exact enough for an integer root
    found = standardise_column(column, constant, p)
    if root == 0:
        assert found == column
        return
    factor = fixed(min(2**31 - 1, constant // root), p)
    assert found == [rounded((fixed(k) * fixed(w) - fixed(s1)) * factor, 0, "nearest") for w in column]
