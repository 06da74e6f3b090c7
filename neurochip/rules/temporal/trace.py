"""`trace`: Online Training Through Time. The past is a decaying trace per input address (semantics 3.3).

    a_i <- sat(leak(a_i) + (m_i << frac_a)),   p_i = a_i

The leak is the postsynaptic one: the trace stands for du[t]/du[t-1]. Source: Xiao et al., NeurIPS 2022, equations
as in their reference implementation; the trace includes the current event.
"""

from __future__ import annotations

from neurochip.core._jit import jit
from neurochip.core.neuron import leak_magnitudes


@jit
def update_trace(trace, leak, leak_value, addresses, magnitudes, frac, highest, lanes, touched):
    """Decay and add the events. trace: int32 [n_in]; returns (touched words, saturations)."""
    n_words = 0
    n_in = trace.shape[0]
    for word in range(-(-n_in // lanes)):
        any_bits = 0
        for i in range(word * lanes, min((word + 1) * lanes, n_in)):
            any_bits |= trace[i]
        touched[word] = any_bits != 0
        n_words += any_bits != 0
    leak_magnitudes(trace, leak, leak_value)
    saturations = 0
    for k in range(addresses.shape[0]):
        i = addresses[k]
        exact = trace[i] + (magnitudes[k] << frac)
        kept = min(exact, highest)
        saturations += kept != exact
        trace[i] = kept
        word = i // lanes
        n_words += touched[word] == 0
        touched[word] = 1
    return n_words, saturations


@jit
def list_rows(trace, gate, rows, factors):
    """List the rows with a >= gate, ascending; returns (their number, how many a are nonzero)."""
    count = 0
    nonzero = 0
    for i in range(trace.shape[0]):
        a = trace[i]
        rows[count] = i
        factors[count] = a
        count += a >= gate
        nonzero += a != 0
    return count, nonzero
