"""Delta code: a signal that changes spikes, ON when it grows and OFF when it falls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.encoding.encoded import Encoded, events_of_changes
from neurochip.encoding.registry import parameter
from neurochip.events import Window


def send_on_delta(signal: NDArray[np.int64], threshold: int) -> NDArray[np.int64]:
    """Return how often every channel moved by `threshold` since its last event, + for ON, - for OFF.

    signal: int64 [n_times, n_channels]; m is the value at the last event, signal[0] at the start:
    n(k) = trunc((signal(k) - m) / threshold); m += n(k) * threshold. A signal that goes back and forth by less than
    the threshold is silent.

    Source: send-on-delta, Miskowicz (2006), section 2; a DVS pixel does it to its log intensity (Lichtsteiner 2008).
    """
    changes = np.zeros(signal.shape, dtype=np.int64)
    memory = signal[0].astype(np.int64) if len(signal) else np.zeros(signal.shape[1:], np.int64)
    for k in range(1, len(signal)):
        moved = signal[k] - memory
        changes[k] = np.sign(moved) * (np.abs(moved) // threshold)
        memory += changes[k] * threshold
    return changes


def level_crossings(signal: NDArray[np.int64], threshold: int) -> NDArray[np.int64]:
    """Return how many multiples of `threshold` every channel crossed, + upwards, - downwards.

    signal: int64 [n_times, n_channels]; n(0) = 0, n(k) = floor(signal(k) / threshold) - floor(signal(k-1) / threshold).
    Unlike `send_on_delta` it has no hysteresis: a signal that wavers about a level spikes each time.

    Source: level-crossing sampling, Sayiner, Sorensen and Viswanathan (1996).
    """
    levels = signal // threshold
    return np.diff(levels, axis=0, prepend=levels[:1])


@dataclass(frozen=True)
class ChangeCode:
    """What encoders of sounds share: a signal is sent when it changes, and no sound is longer than asked."""

    code: str = parameter("delta", ("delta", "level"), "send on delta, or level crossings")
    duration_us: int = parameter(0, (0, 10**12), "length that every sound is cut to; 0: as long as its events")

    @property
    def window_us(self) -> Window | None:
        """The duration, if there is one."""
        return (0, self.duration_us - 1) if self.duration_us else None

    def changes(self, signal: NDArray[np.int64], times_us: NDArray[np.int64], threshold: int) -> Encoded:
        """The events of a signal, int64 [n_times, n_channels]: column = channel, ON = upwards."""
        kept = int(np.searchsorted(times_us, self.duration_us)) if self.duration_us else len(times_us)
        change = send_on_delta if self.code == "delta" else level_crossings
        return events_of_changes(change(signal[:kept], threshold), times_us[:kept])
