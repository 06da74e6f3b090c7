"""`spike`: Spatial Learning Through Time. The past is dropped: p_i = m_i (semantics 3.3).

Source: Meng et al., ICCV 2023 (SLTT).
"""

from __future__ import annotations

from neurochip.core._jit import jit


@jit
def list_event_rows(addresses, magnitudes, rows, factors):
    """List the rows of the events with their magnitudes; returns their number."""
    for k in range(addresses.shape[0]):
        rows[k] = addresses[k]
        factors[k] = magnitudes[k]
    return addresses.shape[0]


@jit
def spread_events(addresses, magnitudes, factors):
    """factors_i <- m_i for all inputs, 0 where no event came."""
    factors[:] = 0
    for k in range(addresses.shape[0]):
        factors[addresses[k]] = magnitudes[k]
