"""Recordings of independent random events, on which mean rates can stand for a run."""

from __future__ import annotations

import numpy as np

from neurochip.events import Recordings

STEP_US = 1000


def random_recordings(n_samples: int, rates: list[float], n_inputs: int, n_classes: int, seed: int) -> Recordings:
    """Every input and step on its own, at the rate of the step; classes are those of the index and mean nothing."""
    n_steps = len(rates)
    fired = np.random.default_rng(seed).random((n_samples, n_steps, n_inputs)) < np.array(rates)[:, None]
    fired[:, 0, 0] = fired[:, -1, 0] = True  # the first and last event of a recording are its first and last step
    sample, step, address = np.nonzero(fired)
    times = step * STEP_US + np.where(step == n_steps - 1, STEP_US - 1, 0)
    offsets = np.searchsorted(sample, np.arange(n_samples + 1))
    nothing = np.zeros(len(address), np.uint8)
    return Recordings(address, nothing, nothing, times, offsets, np.arange(n_samples) % n_classes, (n_inputs, 1, 1))
