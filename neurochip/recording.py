"""Recorded samples: which ones of a pass, and their bitmaps from the intermediates of a core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import SampleTrace

if TYPE_CHECKING:
    from neurochip.events import EventDataset

_SUBSET_STREAM, _TEST_SUBSET_STREAM = 3, 4


def subset_of(seed: int, epoch: int, n_samples: int, size: int) -> NDArray[np.int64]:
    """Positions in the order of an epoch whose events and bitmaps are recorded, ascending, drawn by seed."""
    return _drawn([seed, _SUBSET_STREAM, epoch], n_samples, size)


def inference_subset_of(seed: int, n_samples: int, size: int) -> NDArray[np.int64]:
    """Samples of the test split whose events are recorded, ascending, drawn by seed; the same for every rule."""
    return _drawn([seed, _TEST_SUBSET_STREAM], n_samples, size)


def _drawn(stream: list[int], n_samples: int, size: int) -> NDArray[np.int64]:
    if size == 0:
        return np.zeros(0, dtype=np.int64)
    rng = np.random.default_rng(stream)
    return np.sort(rng.choice(n_samples, size=min(size, n_samples), replace=False))


def joined(samples: NDArray[np.int64], parts: list[dict[str, NDArray[np.bool_]]]) -> SampleTrace | None:
    """Recorded samples whose bitmaps came in parts; None if there are none."""
    if not parts:
        return None
    names = parts[0].keys()
    return SampleTrace(samples, {name: np.concatenate([part[name] for part in parts]) for name in names})


def bitmaps_of(
    data: EventDataset, samples: NDArray[np.int64], probes: Mapping[str, Any], trace_gate: int = 0
) -> dict[str, NDArray[np.bool_]]:
    """Bitmaps of recorded samples, as `SampleTrace` names them; those of learning where the probes have them.

    Args:
        data: the split.
        samples: indices of the recorded samples in it.
        probes: intermediates of these samples, from a core.
        trace_gate: rows with a trace below it are not updated; above 0 they get a bitmap of their own.
    """
    events = np.zeros((len(samples), data.n_steps, data.n_inputs), dtype=np.bool_)
    graded = np.zeros_like(events)
    for position, sample in enumerate(samples):
        for t in range(data.n_steps):
            cell = int(sample) * data.n_steps + t
            part = slice(data.step_offsets[cell], data.step_offsets[cell + 1])
            events[position, t, data.addresses[part]] = True
            graded[position, t, data.addresses[part]] = data.magnitudes[part] != 1
    bitmaps = {"event/0": events, "graded/0": graded}
    for name, values in probes.items():
        signal, layer = name.split("/")
        if signal == "spike":
            bitmaps[f"event/{int(layer) + 1}"] = values != 0
        elif signal in ("trace", "psi", "signal"):
            bitmaps[name] = values != 0
        if signal == "trace" and trace_gate > 0:
            bitmaps[f"presynaptic/{layer}"] = values >= trace_gate
    return bitmaps
