"""Recorded events as the forward groups take them: spikes pushed per word of FIRE, and input addresses in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import SampleTrace
from neurochip.errors import UserError
from neurochip.microarch.forward_plan import GroupPlan
from neurochip.microarch.taps import address_map, reach
from neurochip.spec import NETWORK_INPUT, CoreSpec, LayerSpec
from neurochip.topology import Connection, ConvShape

Bitmap = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class EventLists:
    """Input addresses of the events of every (sample, step), in the order in which they enter the FIFO.

    Attributes:
        offsets: [cells + 1], where those of each cell begin.
        addresses: of all of them.
    """

    offsets: Integers
    addresses: Integers


class GroupEvents:
    """The recorded events of one group; a pool's dropped spikes are left out.

    Raises:
        UserError: if the bitmaps "event/<l>" are not those of this network.
    """

    def __init__(self, trace: SampleTrace, spec: CoreSpec, plan: GroupPlan) -> None:
        self.plan, self.layer = plan, spec.layers[plan.layer]
        self.fires = None if plan.fires is None else spec.layers[plan.fires]
        self.arriving = [(_sent(trace, spec, connection), address_map(connection)) for connection in plan.connections]

    def n_events(self) -> Integers:
        """Events delivered, [samples]."""
        return sum_of([_kept(bits, addresses).sum(axis=(1, 2), dtype=np.int64) for bits, addresses in self.arriving])

    def n_taps(self, conv: ConvShape) -> Integers:
        """Taps of these events, [samples]."""
        per_address = np.repeat(reach(conv).reshape(-1), conv.channels)
        taps_of = [np.where(addresses >= 0, per_address[addresses], 0) for _, addresses in self.arriving]
        return sum_of([bits.sum(axis=1) @ taps for (bits, _), taps in zip(self.arriving, taps_of, strict=True)])

    def pushed(self, samples: slice, lanes: int) -> Integers:
        """Events pushed per word of FIRE, then those that wait in a buffer: [samples·steps, words + 1]."""
        parts, buffered = [], self.arriving
        if self.fires is not None:
            bits, addresses = self.arriving[0]
            parts, buffered = [spikes_per_word(_kept(bits[samples], addresses), self.fires, lanes)], self.arriving[1:]
        shape = (*self.arriving[0][0][samples].shape[:2], 1)
        waiting = np.zeros(shape, dtype=np.int64)
        for bits, addresses in buffered:
            waiting += _kept(bits[samples], addresses).sum(axis=2, keepdims=True)
        cells = np.concatenate([*parts, waiting], axis=2)
        return cells.reshape(-1, cells.shape[2])

    def lists(self, samples: slice) -> EventLists:
        """The input addresses of the events, connection by connection, each in the order of its source."""
        cells, found = [], []
        for bits, addresses in self.arriving:
            flat = bits[samples].reshape(-1, bits.shape[2])
            cell, source = (_kept(flat, addresses)).nonzero()
            cells.append(cell)
            found.append(addresses[source])
        n_cells = flat.shape[0]
        order = np.argsort(np.concatenate(cells), kind="stable")
        numbers = np.bincount(np.concatenate(cells), minlength=n_cells)
        return EventLists(np.concatenate([[0], np.cumsum(numbers)]), np.concatenate(found)[order])


def sum_of(parts: list[Integers]) -> Integers:
    """Their sum; there is at least one."""
    total: Integers = np.sum(parts, axis=0)
    return total


def spikes_per_word(bitmap: Bitmap, layer: LayerSpec, lanes: int) -> Integers:
    """[samples, steps, outputs] -> [samples, steps, words]: every block of outputs begins a new word."""
    blocks = bitmap.reshape(*bitmap.shape[:2], layer.n_blocks, layer.columns)
    counts = np.add.reduceat(blocks, np.arange(0, layer.columns, lanes), axis=3, dtype=np.int64)
    per_word: Integers = counts.reshape(*bitmap.shape[:2], -1)
    return per_word


def _kept(bits: Bitmap, addresses: Integers) -> Bitmap:
    """The events that a pool does not drop."""
    return bits if (addresses >= 0).all() else bits & (addresses >= 0)


def _sent(trace: SampleTrace, spec: CoreSpec, connection: Connection) -> Bitmap:
    """What the source of a connection sends, [samples, steps, its addresses]; one step late where it is delayed."""
    source = connection.source
    width = connection.n_source if source == NETWORK_INPUT else spec.layers[source].n_out
    name, wanted = f"event/{source + 1}", (len(trace.sample_indices), spec.n_steps, width)
    found = trace.bitmaps[name].shape if name in trace.bitmaps else None
    if found != wanted:
        raise UserError(f"recorded bitmap {name} has shape {found}; the network needs {wanted}")
    bitmap = trace.bitmaps[name]
    if connection.delay == 0:
        return bitmap
    late = np.zeros_like(bitmap)
    late[:, 1:] = bitmap[:, :-1]
    return late
