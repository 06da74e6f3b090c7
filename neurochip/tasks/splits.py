"""Stratified splits that depend on a seed and on nothing else: no library's random stream, no platform."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
from numpy.typing import NDArray


def stratified_split(
    labels: NDArray[np.int64], sizes: tuple[int, ...], seed: int | str
) -> tuple[NDArray[np.int64], ...]:
    """Return ascending, disjoint index arrays of the given sizes, with the classes in proportion.

    Samples are ordered within their class by the SHA-256 of "seed:index" and dealt so that at every point of the
    deal each class has given its share, which `sizes` (summing to at most len(labels)) then cut.
    """
    dealt = _proportional_order(labels, seed)
    ends = np.cumsum((0, *sizes))
    if ends[-1] > len(labels):
        raise ValueError(f"sizes {sizes} ask for more than {len(labels)} samples")
    return tuple(np.sort(dealt[start:end]) for start, end in itertools.pairwise(ends))


def hold_out(
    labels: NDArray[np.int64], fraction: float, seed: int | str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (kept, held out) index arrays, both ascending; round(fraction * n) of every class is held out.

    A class with two samples or more gives at least one and keeps at least one if 0 < fraction < 1.
    """
    held: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        members = _seeded_order(np.flatnonzero(labels == label), seed)
        number = round(fraction * len(members))
        if fraction > 0 and len(members) > 1:
            number = min(max(number, 1), len(members) - 1)
        held.append(members[: min(number, len(members) - 1)])
    out = np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *held]))
    return np.setdiff1d(np.arange(len(labels)), out), out


def _seeded_order(indices: NDArray[np.int64], seed: int | str) -> NDArray[np.int64]:
    keys = {int(index): hashlib.sha256(f"{seed}:{index}".encode()).digest() for index in indices}
    return np.array(sorted(keys, key=keys.__getitem__), dtype=np.int64)


def _proportional_order(labels: NDArray[np.int64], seed: int | str) -> NDArray[np.int64]:
    """Return all samples in an order in which every stretch holds the classes in proportion."""
    samples: list[NDArray[np.int64]] = []
    due: list[NDArray[np.float64]] = []
    for label in np.unique(labels):
        members = _seeded_order(np.flatnonzero(labels == label), seed)
        samples.append(members)
        due.append((np.arange(len(members)) + 0.5) / len(members))
    return np.concatenate(samples)[np.argsort(np.concatenate(due), kind="stable")]
