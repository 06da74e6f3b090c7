"""Delta code of a waveform as it is: speech, a heart, a vibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurochip.encoding.delta import ChangeCode
from neurochip.encoding.encoded import Encoded
from neurochip.encoding.registry import parameter, register_encoder
from neurochip.events import SensorSize

SHIFT = 16
"""Full scale of a sound is 2^31, that of a threshold 2^15."""


@register_encoder("delta", "sounds")
@dataclass(frozen=True)
class DeltaEncoder(ChangeCode):
    """The waveform becomes events whenever it moved by the threshold: one address, ON = upwards.

    With s(k) = floor(sample(k) / 2^16), full scale 2^15, the events are those of `encoding.delta`: `send_on_delta` or
    `level_crossings`, at floor(k 10^6 / rate_hz). All of it is integers.
    """

    threshold: int = parameter(1024, (1, 65535), "change that makes an event, in 1/32768 of full scale")

    @property
    def sensor(self) -> SensorSize:
        """One address, OFF and ON."""
        return 1, 1, 2

    def encode(self, samples: NDArray[np.int32], rate_hz: int) -> Encoded:
        """The events of a sound."""
        times = np.arange(len(samples), dtype=np.int64) * 1_000_000 // rate_hz
        return self.changes(samples[:, None].astype(np.int64) >> SHIFT, times, self.threshold)
